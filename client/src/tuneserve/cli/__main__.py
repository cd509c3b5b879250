"""`python -m tuneserve.cli` is `tuneserve`."""

from tuneserve.cli import main

main()
