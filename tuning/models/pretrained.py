"""Weights that were trained on ImageNet: the operator's own files first, then Keras' downloads."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import keras

from schemas.models.backbones import snake_name
from schemas.models.family import Infeasible
from tuning.downloads import patient
from tuning.models.materials import Materials, WeightsUnavailable

# Keras' names for the weights without the classification head; `*` stands for what follows the size of the
# images that they were trained on, which does not matter to convolutions.
_KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"
_FILES = {
    "MobileNet": "mobilenet_1_0_*_tf_no_top.h5",
    "MobileNetV2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_*_no_top.h5",
    "MobileNetV3Small": "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    "MobileNetV3Large": "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    "NASNetMobile": "nasnet_mobile_no_top.h5",
    "NASNetLarge": "nasnet_large_no_top.h5",
    "InceptionV3": f"inception_v3{_KERNELS}",
    "InceptionResNetV2": f"inception_resnet_v2{_KERNELS}",
    **{f"ConvNeXt{size}": f"convnext_{size.lower()}_notop.h5" for size in ("Tiny", "Small", "Base")},
    **{f"EfficientNetB{size}": f"efficientnetb{size}_notop.h5" for size in range(8)},
    **{f"EfficientNetV2{size}": f"efficientnetv2-{size.lower()}_notop.h5" for size in "SML"},
    **{f"EfficientNetV2B{size}": f"efficientnetv2-b{size}_notop.h5" for size in range(4)},
}

# Seconds without a byte from the network after which a download has failed.
_PATIENCE = 30.0


def pretrained(application: str, materials: Materials, make: Callable[[str], keras.Model]) -> keras.Model:
    """An application of Keras with weights from ImageNet, without its classification head.

    Args:
        application: the name of its class in `keras.applications`.
        make: builds it with Keras' argument ``weights``: "imagenet", or the path of a file.

    Raises:
        WeightsUnavailable: they are neither in the operator's folder nor to be downloaded, or cannot be read.
    """
    file = _operators(application, materials.weights_folder)
    try:
        return make(str(file)) if file else _downloaded(application, make)
    except Infeasible:
        raise
    except Exception as error:
        if not _is_about_weights(error):
            raise
        raise WeightsUnavailable(_text(application, file, error)) from error


def _operators(application: str, folder: Path | None) -> Path | None:
    """The operator's file of these weights."""
    if folder is None:
        return None
    patterns = (_keras_file(application), *_short_names(application))
    return next((file for pattern in patterns for file in sorted(folder.glob(pattern), reverse=True)), None)


def _keras_file(application: str) -> str:
    return _FILES.get(application, application.lower() + _KERNELS)


def _short_names(application: str) -> tuple[str, str]:
    """Names that a person would give: Keras' present format, and the one before it."""
    name = snake_name(application)
    return f"{name}.weights.h5", f"{name}.h5"


def _downloaded(application: str, make: Callable[[str], keras.Model]) -> keras.Model:
    """With the weights that Keras has downloaded before, or downloads now."""
    with _alone() as folder, patient(_PATIENCE):
        try:
            return make("imagenet")
        except OSError as error:
            # A process that was killed while it downloaded leaves a part behind. HDF5 refuses to open it,
            # with an error of its own, which has no number of the system's.
            parts = list(folder.glob(_keras_file(application)))
            if not parts or error.errno is not None:
                raise
            for part in parts:
                part.unlink()
            return make("imagenet")


@contextmanager
def _alone() -> Iterator[Path]:
    """One process at a time in Keras' folder: it takes for complete what another still writes."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    folder = (home if os.access(home, os.W_OK) else Path(tempfile.gettempdir(), ".keras")) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tuneserve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _is_about_weights(error: Exception) -> bool:
    """Not about memory, say. Keras' downloads fail with a bare `Exception`."""
    kinds = (OSError, ValueError, LookupError, RuntimeError, HTTPException)
    return type(error) is Exception or isinstance(error, kinds)


def _text(application: str, file: Path | None, error: Exception) -> str:
    # Clients read it: the operator's folders are not their business.
    reason = str(error).partition("\n")[0].replace(str(file), file.name if file else "")
    where = f"cannot be read from {file.name}" if file else "cannot be downloaded here"
    keras_file = _keras_file(application).replace("*", "224")
    names = " or ".join((keras_file, *_short_names(application)))
    advice = f"an operator can put them into TUNESERVE_WEIGHTS_FOLDER as {names}"
    return f"The ImageNet weights of {application} {where} ({reason}); {advice}."
