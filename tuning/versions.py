"""Which software a result comes from."""

import platform
from importlib import metadata

import keras

from schemas.models import GROUP
from tuning.devices import accelerators

_DISTRIBUTIONS = (
    "tuneserve-server",
    "keras",
    "keras-tuner",
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
    training = ("tuneserve-server", "keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "numpy")
    found = [f"{name} {version}" for name, version in versions().items() if name in training]
    kinds = sorted({name.split(":")[0] for name in accelerators()}) or ["CPU"]
    return ", ".join([keras.backend.backend(), *kinds, *found, *_families()])


def _families() -> list[str]:
    """The distributions that an operator's own families are from."""
    found = metadata.entry_points(group=GROUP)
    return sorted({f"{one.dist.name} {one.dist.version}" for one in found if one.dist is not None})


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
