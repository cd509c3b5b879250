"""The command line `tuneserve`; its packages come with the extra `[cli]`."""

import sys

PACKAGES = ("click", "jsonschema", "rich", "ruamel")
"""What the extra brings."""

MISSING = (
    "Error: the command line needs more packages (the extra `cli`): "
    "pip install click jsonschema rich ruamel.yaml"
)


def main() -> None:
    """Run the command line; without the extra, say how to get it."""
    try:
        from tuneserve.cli.program import program
    except ModuleNotFoundError as error:
        if not is_extra(error):
            raise
        print(MISSING, file=sys.stderr)
        sys.exit(2)
    program(prog_name="tuneserve")


def is_extra(error: ModuleNotFoundError) -> bool:
    """Whether what is missing is a package of the extra."""
    return (error.name or "").partition(".")[0] in PACKAGES
