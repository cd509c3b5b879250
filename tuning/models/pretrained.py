"""Weights that were trained on ImageNet: the operator's own files first, then Keras' downloads."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import keras
import numpy as np
from keras import layers

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

# Of ImageNet's red, green and blue, for pixels in [0, 1].
_DEVIATIONS = np.array([0.229, 0.224, 0.225])

# Seconds without a byte from the network after which a download has failed.
_PATIENCE = 30.0


# Builds an application with Keras' argument ``weights``: None, "imagenet", or the path of a file.
Make = Callable[[str | None], keras.Model]


def pretrained(application: str, materials: Materials, make: Make) -> keras.Model:
    """An application of Keras with weights from ImageNet, without its classification head.

    The net is the same wherever its weights came from.

    Args:
        application: the name of its class in `keras.applications`.

    Raises:
        WeightsUnavailable: they are neither in the operator's folder nor to be downloaded, or cannot be read.
    """
    file = _operators(application, materials.weights_folder)
    try:
        net = make(str(file)) if file else _downloaded(application, make)
    except Infeasible:
        raise
    except Exception as error:
        if not _is_about_weights(error):
            raise
        raise WeightsUnavailable(_text(application, file, error)) from error
    return _divided(net, make) if application.startswith("EfficientNetB") else net


def _divided(source: keras.Model, make: Make) -> keras.Model:
    """An EfficientNet with the weights of another, and the scale of pixels that goes with them.

    The numbers in Keras' files want a further division by the root of ImageNet's deviations. Keras adds a
    layer for it where it has found the file itself, and none for a file that it is told of. Here the division
    goes into the variances of the layer before it.
    """
    net = make(None)
    net.set_weights(source.get_weights())
    (normalization,) = (layer for layer in net.layers if isinstance(layer, layers.Normalization))
    mean, variance, count = normalization.get_weights()
    normalization.set_weights([mean, variance * _DEVIATIONS, count])
    finalize(net)
    return net


def finalize(net: keras.Model) -> None:
    """To be called when weights were set: a normalization of inputs computes with copies of its own."""
    for layer in net.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()


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


def _downloaded(application: str, make: Make) -> keras.Model:
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
