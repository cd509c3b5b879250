"""What a worker's process holds: opened lazily, once a process, never carried over a fork."""

import os
import socket
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.artifacts import MODEL
from schemas.problems import NotFound, Unavailable
from schemas.settings import Settings
from store import artifacts, datasets, jobs
from store.blobs import BlobStore
from store.database import Database
from store.searches import Work
from tasks.send import Sender

if TYPE_CHECKING:
    from tuning.data import Arrays, Shelf
    from tuning.models import Materials


def worker_id() -> str:
    """Names the worker (not the slot); set by the parent before it forks."""
    return os.environ.setdefault("TUNESERVE_INTERNAL_WORKER_ID", f"{socket.gethostname()[:60]}-{os.getpid()}")


@dataclass
class Context:
    settings: Settings
    worker: str = field(default_factory=worker_id)

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database_url)

    @cached_property
    def blobs(self) -> BlobStore:
        return BlobStore(self.settings.storage_url)

    @cached_property
    def send(self) -> Sender:
        return Sender(self.settings)

    @cached_property
    def shelf(self) -> "Shelf":
        from tuning.data import Shelf

        return Shelf()

    def forget_parent(self) -> None:
        """To be called in a new child: what the parent has opened is the parent's.

        A slot's process that replaces another is forked from a parent that has been at work; two processes
        on one database connection would read each other's answers.
        """
        if "database" in self.__dict__:
            self.database.dispose()
        for name in ("database", "blobs", "send", "shelf"):
            self.__dict__.pop(name, None)

    @property
    def scratch(self) -> Path:
        """A folder for files on their way to the storage."""
        folder = Path(self.settings.data_folder) / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def arrays(self, work: Work) -> "Arrays":
        """The images of a job, from memory if an earlier trial left them there.

        Raises:
            Unavailable: the storage does not answer.
            DatasetUnreadable: it answers with something else than was uploaded.
        """
        from tuning.data import BUILTIN_LOADERS

        load = BUILTIN_LOADERS.get(work.dataset, lambda: self._uploaded(work))
        return self.shelf.get(work.dataset_digest, load)

    def materials(self, project: str, earlier_job: str | None) -> "Materials":
        """What a configuration starts from: the operator's weights, and an earlier job's model.

        Raises:
            Unavailable: the storage does not answer.
        """
        from tuning.models import Materials

        folder = self.settings.weights_folder
        earlier = None if earlier_job is None else self._model_of(project, earlier_job)
        return Materials(Path(folder) if folder else None, earlier)

    def _model_of(self, project: str, job_id: str) -> Path | None:
        """An earlier job's model, from this machine's cache or the storage; None if it is gone."""
        try:
            with self.database.read() as session:
                jobs.get(session, project, job_id)
                artifact = artifacts.get(session, job_id, MODEL)
        except NotFound:
            return None
        local = Path(self.settings.data_folder) / "cache" / artifact.path
        if not local.exists():
            self.blobs.fetch(artifact.path, local)
        return local

    def _uploaded(self, work: Work) -> "Arrays":
        """An upload, from this machine's cache or else from the storage."""
        from tuning.data import DatasetUnreadable, open_npz

        path = datasets.blob_path(work.project, work.dataset)
        local = Path(self.settings.data_folder) / "cache" / path
        if not local.exists():
            try:
                self.blobs.fetch(path, local)
            except Unavailable as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    raise DatasetUnreadable("The data set is not there any more.") from error
                raise
        try:
            return open_npz(local)
        except DatasetUnreadable:
            # The copy may be what is damaged; the next attempt makes a new one.
            local.unlink(missing_ok=True)
            raise
