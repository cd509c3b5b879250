"""docs/cli.md says what the command line does: every command and option of its examples exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from tuneserve.cli.exits import MEANINGS
from tuneserve.cli.program import COMMANDS, program

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
EXAMPLES = [
    match[1].removesuffix(')"')
    for match in re.finditer(r'^(?:eval "\$\()?(tuneserve .*)$', PAGE, re.MULTILINE)
]


def test_exit_codes_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows == {str(int(code)): meaning for code, meaning in MEANINGS.items()}


def test_every_command_has_an_example() -> None:
    shown = {shlex.split(line)[1] for line in EXAMPLES}
    assert shown == set(COMMANDS)
    headings = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    assert {name for line in headings for name in re.findall(r"`(\w+)`", line)} == set(COMMANDS) - {"events"}


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters.npz").touch()
    context, (name, *rest) = click.Context(program), shlex.split(line)[1:]
    command = program.get_command(context, name)
    while isinstance(command, click.Group):
        command, rest = command.get_command(context, rest[0]), rest[1:]
    assert command is not None
    # Reads the arguments and runs nothing; a wrong one raises.
    command.make_context(name, rest, parent=context)


def test_help_texts_are_short() -> None:
    context = click.Context(program)
    commands = [program.get_command(context, name) for name in COMMANDS]
    groups = [command for command in commands if isinstance(command, click.Group)]
    for command in [*commands, *(one for group in groups for one in group.commands.values())]:
        assert command is not None
        assert command.help, command.name
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, option.name
                assert len(option.help) <= 80, option.help


def test_the_oldest_click_that_may_be_installed_is_one_that_works() -> None:
    """Before 8.4 `click.ParamType[...]` raises, and no command starts."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    (wanted,) = (
        one for one in map(Requirement, project["optional-dependencies"]["cli"]) if one.name == "click"
    )
    assert "8.4.0" in wanted.specifier
    assert "8.3.3" not in wanted.specifier


def test_the_page_names_every_command_that_tells_faults_on_stdout() -> None:
    assert "but for `validate`, `doctor` and `run --json`" in PAGE
