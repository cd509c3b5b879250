"""Uploads: what is wrong with a file or folder is told with its path."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneserve.cli.refusals import Refused

if TYPE_CHECKING:
    from tuneserve.client import Client
    from tuneserve.datasets import Dataset


def uploaded(client: "Client", source: str | Path, **given: Any) -> "Dataset":
    """The data set of a file or folder.

    Raises:
        Refused: It is none, such as a folder without class folders.
    """
    try:
        return client.datasets.upload(source, **given)
    except (TypeError, ValueError) as error:
        raise Refused(f"{source}: {error}") from None
