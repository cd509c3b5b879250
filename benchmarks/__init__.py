"""One script a claim; each prints the numbers that the README quotes."""
