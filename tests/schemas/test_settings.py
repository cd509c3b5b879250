"""Settings: one table, told by the documentation and by `--help`."""

from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from environs import EnvError

from schemas.settings import PREFIX, Settings, table
from service.cli import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
NAMES = [name for name, _, _ in table()]


def test_the_table_has_every_setting() -> None:
    assert [PREFIX + one.name.upper() for one in fields(Settings)] == NAMES
    assert all(help for _, _, help in table())


@pytest.mark.parametrize(("name", "default"), [(name, default) for name, default, _ in table()])
def test_every_setting_is_in_the_documentation(name: str, default: str) -> None:
    row = next((line for line in DOCUMENT.read_text().splitlines() if f"`{name}`" in line), "")
    assert row, f"{name} is not in docs/settings.md"
    assert default in row


def test_every_setting_is_in_the_help() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    assert [name for name in NAMES if name not in shown.output] == []
    assert [default for _, default, _ in table() if f"[{default}]" not in shown.output] == []


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "0", "LEASE_SECONDS": "1.5", "HOST": "::1"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    read = Settings.from_environment()
    assert (read.port, read.lease_seconds, read.host) == (0, 1.5, "::1")


def test_a_wrong_value_is_refused_by_the_variables_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_PORT", "eighty")
    with pytest.raises(EnvError, match="TUNESERVE_PORT"):
        Settings.from_environment()


def test_a_wrong_value_ends_the_command_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_PORT", "eighty")
    shown = CliRunner().invoke(main, ["migrate"])
    assert shown.exit_code == 1
    assert "TUNESERVE_PORT" in shown.output
    assert "Traceback" not in shown.output


def test_settings_survive_the_way_to_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = Settings(data_folder=str(tmp_path), port=0, slots=3, lease_seconds=0.1)
    for name, value in given.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment() == given


def test_everything_local_lies_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_folder=str(tmp_path))
    assert settings.database_url == f"sqlite:///{tmp_path}/tuneserve.db"
    assert settings.storage_url == f"file://{tmp_path}/blobs"


def test_a_relative_data_folder_is_made_absolute() -> None:
    assert Path(Settings(data_folder="here").data_folder).is_absolute()
