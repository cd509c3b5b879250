"""The contract: what a job is, what may be asked, what is answered. No database, queue or network."""
