"""Which software a result comes from."""

import platform
from importlib import metadata

import keras

_DISTRIBUTIONS = (
    "tuneserve-server",
    "keras",
    "keras-tuner",
    "optuna",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
)


def versions() -> dict[str, str]:
    """Of Python and what is installed of what matters."""
    known = {name: _version(name) for name in _DISTRIBUTIONS}
    found = {name: version for name, version in known.items() if version}
    return {"python": platform.python_version(), **found}


def engine() -> str:
    """What the result of a training depends on beside its configuration."""
    training = ("tuneserve-server", "keras", "tensorflow-cpu", "tensorflow", "jax", "torch")
    found = [f"{name} {version}" for name, version in versions().items() if name in training]
    return ", ".join([keras.backend.backend(), *found])


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
