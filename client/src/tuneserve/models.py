"""The tuned model as a Keras model, fetched once and kept."""

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tuneserve.errors import DigestMismatch, MissingExtra, NotFound

if TYPE_CHECKING:
    import keras

    from tuneserve.artifacts import Artifact
    from tuneserve.jobs import Job

MODEL_NAME = "model.keras"


def best_model(job: "Job") -> "keras.Model":
    """The job's tuned model, from raw pixels to class probabilities, loaded with Keras' safe mode.

    The file is kept in `cache_folder`, so it is fetched once; what is there is checked before it is used.
    Keras takes the backend that `KERAS_BACKEND` or its own configuration names.

    Raises:
        MissingExtra: Keras is not installed.
        NotFound: The job has no model, or not yet.
        DigestMismatch: What came is not what the service published; nothing is kept.
    """
    keras = _keras()
    path = model_file(job)
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def model_file(job: "Job") -> Path:
    """The job's `model.keras` in the cache, fetched if it is not there or damaged.

    Raises:
        NotFound: The job has no model, or not yet.
        DigestMismatch: What came is not what the service published; nothing is kept.
    """
    artifact = _artifact(job)
    path = cache_folder() / "models" / _folder_name(artifact.sha256) / MODEL_NAME
    if _digest(path) != artifact.sha256.lower():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and renamed: two processes may fetch the same model.
        job.download(MODEL_NAME, path)
    return path


def cache_folder() -> Path:
    """`TUNESERVE_CACHE`, else `tuneserve` in `XDG_CACHE_HOME`, else `~/.cache/tuneserve`."""
    if own := os.environ.get("TUNESERVE_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has paths that are not absolute be passed over.
    return (Path(shared) if Path(shared).is_absolute() else Path.home() / ".cache") / "tuneserve"


def _keras() -> Any:
    try:
        import keras
    except ModuleNotFoundError as error:
        # Its backend is missing: Keras says which.
        if error.name != "keras":
            raise
        raise MissingExtra("keras", "loading a model") from None
    return cast("Any", keras)


def _artifact(job: "Job") -> "Artifact":
    for artifact in job.artifacts():
        if artifact.name == MODEL_NAME:
            return artifact
    detail = f"job {job.id} is {job.state} and has no {MODEL_NAME}"
    raise NotFound(404, "artifact_not_found", "Not Found", detail)


def _folder_name(sha256: str) -> str:
    """The digest, once it is sure that it names a folder and nothing else."""
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise DigestMismatch(f"{MODEL_NAME}: the service published no sha256, but {sha256!r}")
    return sha256.lower()


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
