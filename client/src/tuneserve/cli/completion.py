"""`tuneserve completion`: the script that a shell reads."""

import os
from pathlib import PurePath

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_TUNESERVE_COMPLETE"


@click.command()
@click.argument("shell", required=False, type=click.Choice(SHELLS))
def completion(shell: str | None) -> None:
    """Print a script that completes commands in a shell: bash, zsh or fish.

    \b
    eval "$(tuneserve completion bash)"                                   # in ~/.bashrc
    eval "$(tuneserve completion zsh)"                                    # in ~/.zshrc
    tuneserve completion fish > ~/.config/fish/completions/tuneserve.fish
    """
    from tuneserve.cli.program import program

    found = get_completion_class(shell or _own())
    assert found is not None
    click.echo(found(program, {}, "tuneserve", VARIABLE).source())


def _own() -> str:
    name = PurePath(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise click.UsageError(f"name a shell: {', '.join(SHELLS)}")
    return name
