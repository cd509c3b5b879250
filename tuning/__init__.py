"""Machine learning: search spaces, oracles, models, training. Knows no database, queue or network."""
