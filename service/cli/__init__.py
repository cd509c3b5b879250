"""``tuneserve-server``: everything in one folder, or each part alone."""

import os
import sys
from typing import Any

import click
from environs import EnvError

from schemas.settings import Settings, table
from service.cli import parts
from store import keys
from store.database import Database


def _settings_help() -> str:
    """The table of settings, as click prints it."""
    rows = [f"\b\n{name}  [{default}]\n    {text}" for name, default, text in table()]
    return "\n\n".join(["Settings, by environment variable [default]:", *rows])


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except EnvError as error:
        raise click.ClickException(str(error)) from None


@click.group(epilog=_settings_help())
@click.version_option(package_name="tuneserve-server")
def main() -> None:
    """Hyperparameter tuning as a service for image classifiers."""


@main.command()
@click.option("--data", metavar="FOLDER", help="Everything is kept here.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
@click.option("--slots", type=int, help="Trials at once; by default one a GPU, or else one a core.")
def up(data: str | None, host: str | None, port: int | None, slots: int | None) -> None:
    """Start all parts here; one Ctrl-C stops them."""
    from service.cli.up import run

    for name, value in {"DATA_FOLDER": data, "HOST": host, "PORT": port, "SLOTS": slots}.items():
        if value is not None:
            os.environ[f"TUNESERVE_{name}"] = str(value)
    sys.exit(run(_settings()))


@main.command()
def api() -> None:
    """Serve the HTTP API alone."""
    settings = _settings()
    _become(parts.api(settings, f"{settings.host}:{settings.port}"))


@main.command()
@click.option("--queues", type=click.Choice(["trials", "control"]), default="trials")
def worker(queues: str) -> None:
    """Run a worker alone: one with slots for trials, or the one that reconciles."""
    _settings()
    _become(parts.worker(queues))


@main.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    Database(_settings().database_url).migrate()
    click.echo("The database is up to date.")


@main.group(name="keys")
def keys_group() -> None:
    """Bearer keys."""


@keys_group.command(name="create")
@click.option("--project", default=keys.DEFAULT_PROJECT, show_default=True)
@click.option("--name", default="", help="What the key is for.")
@click.option("--scope", type=click.Choice(keys.SCOPES), default=keys.WRITE, show_default=True)
def create_key(project: str, name: str, scope: str) -> None:
    """Make a key and print it; it is not to be had again."""
    with Database(_settings().database_url).write() as session:
        _, text = keys.create(session, project, name, [scope])
    click.echo(text)


@keys_group.command(name="list")
def list_keys() -> None:
    """List keys, without their secrets."""
    with Database(_settings().database_url).read() as session:
        for key in keys.every(session):
            state = "revoked" if key.revoke_time else "live"
            click.echo("\t".join([key.id, key.project, ",".join(key.scopes), state, key.name]))


@keys_group.command(name="revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """End a key, by the id that `list` shows."""
    with Database(_settings().database_url).write() as session:
        if not keys.revoke(session, key_id):
            raise click.ClickException(f"There is no live key {key_id}.")
    click.echo(f"Revoked {key_id}.")


def _become(command: list[str]) -> Any:
    """The part takes this process over: signals reach it, its exit code is ours."""
    os.execv(command[0], command)
