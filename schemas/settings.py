"""Settings of the server's parts, from the environment: one table, told by `--help` and the docs."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import platformdirs
from environs import Env

PREFIX = "TUNESERVE_"


def setting(default: Any, help: str) -> Any:
    """A setting whose type is that of its field."""
    return field(default=default, metadata={"help": help})


def default_data_folder() -> Path:
    return platformdirs.user_data_path("tuneserve")


@dataclass(frozen=True)
class Settings:
    """Each field is read from ``TUNESERVE_<NAME>``."""

    database_url: str = setting(
        "", "SQLAlchemy URL; SQLite or PostgreSQL. Empty: tuneserve.db in the data folder."
    )
    broker_url: str = setting(
        "redis://localhost:6379/0", "Redis or Valkey, redis://, rediss:// or redis+socket://."
    )
    storage_url: str = setting(
        "", "Where blobs lie: file:///folder, or what obstore takes. Empty: in the data folder."
    )
    data_folder: str = setting("", "Folder of everything local. Empty: the user's data directory.")
    host: str = setting("127.0.0.1", "Address that the API listens on.")
    port: int = setting(8080, "Port that the API listens on; 0 takes a free one.")
    api_threads: int = setting(32, "Requests that the API answers at once.")
    streams_per_key: int = setting(8, "Streams of events that one key may have open at once.")
    slots: int = setting(0, "Trials that a worker runs at once. 0: one a GPU, or else one a core.")
    lease_seconds: float = setting(20.0, "A trial is given to another after so long without a sign.")
    reconcile_seconds: float = setting(2.0, "Pause between two looks at what is late or lost.")
    resend_seconds: float = setting(10.0, "A message is sent again when nothing came of it so long.")
    stop_seconds: float = setting(15.0, "A trial that was told to stop has so long before it is killed.")
    slot_trials: int = setting(200, "A slot's process is replaced after so many tasks.")
    slot_memory_mb: int = setting(8192, "A slot's process is replaced when it holds more than this.")
    max_upload_bytes: int = setting(2 * 2**30, "Largest upload.")
    max_body_bytes: int = setting(2**20, "Largest JSON body.")
    max_parameters: int = setting(100_000_000, "Largest model, in parameters.")
    weights_folder: str = setting("", "Folder of pretrained weights, where they cannot be downloaded.")
    min_free_bytes: int = setting(512 * 2**20, "Uploads are refused when the disk has less left.")
    log_level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR.")

    def __post_init__(self) -> None:
        folder = Path(self.data_folder or default_data_folder()).absolute()
        object.__setattr__(self, "data_folder", str(folder))
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{folder / 'tuneserve.db'}")
        if not self.storage_url:
            object.__setattr__(self, "storage_url", (folder / "blobs").as_uri())

    @classmethod
    def from_environment(cls) -> Self:
        """Reads the settings.

        Raises:
            EnvError: a variable is not of its setting's type; the message names it.
        """
        env = Env(prefix=PREFIX)
        readers: dict[type, Callable[..., Any]] = {int: env.int, float: env.float, str: env.str}
        return cls(
            **{one.name: readers[type(one.default)](one.name.upper(), one.default) for one in fields(cls)}
        )

    def to_environment(self) -> dict[str, str]:
        """The variables that make these settings, for a part started as another process."""
        return {PREFIX + one.name.upper(): str(getattr(self, one.name)) for one in fields(self)}


def table() -> list[tuple[str, str, str]]:
    """(variable, default, help) of every setting."""
    return [(PREFIX + one.name.upper(), str(one.default), one.metadata["help"]) for one in fields(Settings)]
