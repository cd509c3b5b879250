"""The contract: what a job is, what may be asked, and what is answered. Pure values; no database, queue or network."""
