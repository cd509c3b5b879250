"""What an operator would install: a family of models of their own."""
