"""A Keras model of one's own as the family `layers`.

Reads what the model says of itself (`get_config`): Keras is imported by whoever made the model, never here.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tuneserve.errors import CannotExpress

Config = Mapping[str, Any]

NEEDED = object()
"""Stands for the default of an argument that has none."""

_ACTIVATED = {
    "activation": None,
    "use_bias": True,
    "bias_initializer": "zeros",
    "bias_regularizer": None,
}
_KERNEL = {**_ACTIVATED, "kernel_initializer": "glorot_uniform", "kernel_regularizer": None}
_DEPTHWISE = {
    **_ACTIVATED,
    "depth_multiplier": 1,
    "depthwise_initializer": "glorot_uniform",
    "depthwise_regularizer": None,
}
_POINTWISE = {"pointwise_initializer": "glorot_uniform", "pointwise_regularizer": None}
_WINDOW = {"kernel_size": NEEDED, "strides": 1, "padding": "valid", "dilation_rate": 1}
_POOLING = {"pool_size": 2, "strides": None, "padding": "valid"}
_GLOBAL = {"keepdims": False}
_SCALED = {"epsilon": 1e-3, "center": True, "scale": True}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "Conv2D": {"filters": NEEDED, **_WINDOW, "groups": 1, **_KERNEL},
    "SeparableConv2D": {"filters": NEEDED, **_WINDOW, **_DEPTHWISE, **_POINTWISE},
    "DepthwiseConv2D": {**_WINDOW, **_DEPTHWISE},
    "Conv2DTranspose": {"filters": NEEDED, **_WINDOW, **_KERNEL},
    "MaxPooling2D": _POOLING,
    "AveragePooling2D": _POOLING,
    "GlobalAveragePooling2D": _GLOBAL,
    "GlobalMaxPooling2D": _GLOBAL,
    "Dense": {"units": NEEDED, **_KERNEL},
    "Flatten": {},
    "Reshape": {"target_shape": NEEDED},
    "Dropout": {"rate": NEEDED},
    "SpatialDropout2D": {"rate": NEEDED},
    "GaussianDropout": {"rate": NEEDED},
    "AlphaDropout": {"rate": NEEDED},
    "GaussianNoise": {"stddev": NEEDED},
    "BatchNormalization": {**_SCALED, "momentum": 0.99},
    "LayerNormalization": _SCALED,
    "GroupNormalization": {**_SCALED, "groups": 32},
    "Activation": {"activation": NEEDED},
    "ReLU": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
    "LeakyReLU": {"negative_slope": 0.3},
    "ELU": {"alpha": 1.0},
    "PReLU": {"shared_axes": None, "alpha_regularizer": None},
    "Softmax": {},
    "ZeroPadding2D": {"padding": 1},
    "Cropping2D": {"cropping": 0},
    "UpSampling2D": {"size": 2, "interpolation": "nearest"},
    "ActivityRegularization": {"l1": 0.0, "l2": 0.0},
    "Rescaling": {"scale": NEEDED, "offset": 0.0},
}
"""The layers of the family with their arguments and defaults; a test holds it against the service's own."""

ACTIVATIONS = frozenset(
    {
        "relu",
        "relu6",
        "elu",
        "gelu",
        "leaky_relu",
        "mish",
        "selu",
        "silu",
        "softplus",
        "softsign",
        "tanh",
        "sigmoid",
        "hard_sigmoid",
        "hard_silu",
        "linear",
        "softmax",
    }
)
INITIALIZERS = frozenset(
    {
        "glorot_uniform",
        "glorot_normal",
        "he_uniform",
        "he_normal",
        "lecun_uniform",
        "lecun_normal",
        "orthogonal",
        "random_uniform",
        "random_normal",
        "truncated_normal",
    }
)
BIAS_INITIALIZERS = (INITIALIZERS | {"zeros", "ones"}) - {"orthogonal"}

_AUGMENTATION = "augments images: that is the spec's `augmentation`"
_SIZE = "changes the size of images: that is `preprocessing.image_size`"
_JOIN = "joins branches, and the family is a chain; `cnn` and `resnet` have residual blocks"
HINTS = {
    **dict.fromkeys(
        ("AutoContrast", "AugMix", "CutMix", "MixUp", "RandAugment", "Solarization"), _AUGMENTATION
    ),
    **dict.fromkeys(("CenterCrop", "Resizing"), _SIZE),
    **dict.fromkeys(
        ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"), _JOIN
    ),
    "Normalization": "stands behind other layers; in front, `preprocessing.scaling` does what it does",
    "Lambda": "is code, which is never sent",
    "MultiHeadAttention": "is not in the family; `vit` has attention",
}

# What initializers of Keras draw from, unless they are told otherwise.
_DRAWN = {
    "RandomNormal": {"mean": 0.0, "stddev": 0.05},
    "TruncatedNormal": {"mean": 0.0, "stddev": 0.05},
    "RandomUniform": {"minval": -0.05, "maxval": 0.05},
    "Orthogonal": {"gain": 1.0},
}
# Arguments that the family does not have, where they say what it does anyway.
_AS_ALWAYS = {
    "data_format": "channels_last",
    "beta_initializer": "zeros",
    "gamma_initializer": "ones",
    "moving_mean_initializer": "zeros",
    "moving_variance_initializer": "ones",
    "alpha_initializer": "zeros",
}
# Names for people, where the layer is computed, and draws that the seed of the job decides.
_WITHOUT_EFFECT = frozenset({"name", "dtype", "seed", "renorm_momentum"})

_PAIRS = frozenset({"kernel_size", "strides", "dilation_rate", "pool_size", "size", "cropping"})
_PIXELS = 255
_HEADS = ("softmax", "sigmoid", "linear")
MOST_LAYERS = 200
_LAYER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_TAKEN = re.compile(
    "pixels|scaling|logits|probabilities|resizing|backbone|rgb|features|(get_item|rgb_to_grayscale)_*[0-9]*"
)


def layers_from_keras(model: Any, *, has_head: bool = True) -> dict[str, Any]:
    """`spec["model"]` for a Sequential model, or a functional one that is a chain, of Keras 3.

    Left out is what the service adds itself: the input, and the head (a last `Dense`, with or without
    softmax). A `Rescaling` in front is taken together with the service's scaling to [0, 1], so that pixels
    from 0 to 255 come out as before; a `Normalization` in front is left out with a warning. Weights are not
    carried: each trial trains from the beginning.

    Args:
        model: The model; built or not.
        has_head: False keeps all layers, of a model that ends in features.

    Raises:
        CannotExpress: The message names every layer that the family cannot express, and why.
    """
    problems: list[str] = []
    placed = list(_flat(_config(model), "", problems))
    if has_head:
        placed = _without_head(placed, problems)
    placed, scaled = _without_normalization(placed)
    layers = list(_written(placed, problems))
    if layers and not scaled:
        layers = _on_unit_pixels(layers)
    if len(placed) > MOST_LAYERS:
        problems.append(f"{len(placed)} layers; a list has at most {MOST_LAYERS}")
    if not placed and not problems:
        problems.append("no layer is left between the input and the head")
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise CannotExpress(f"the family `layers` cannot express this model:\n{listed}")
    if scaled:
        text = f"{scaled} is left out: set preprocessing={{'scaling': 'standardize'}} in the spec"
        warnings.warn(text, UserWarning, stacklevel=2)
    return {"family": "layers", "layers": layers}


class _NotExpressed(Exception):
    """Why a layer cannot be."""


@dataclass(frozen=True)
class _Placed:
    """A layer as Keras tells of it; `path` has the names of the models that it is in."""

    path: str
    entry: Config

    @property
    def kind(self) -> str:
        return str(self.entry.get("class_name"))

    @property
    def config(self) -> Config:
        return self.entry.get("config") or {}

    @property
    def is_keras(self) -> bool:
        return self.entry.get("module") == "keras.layers"

    def because(self, reason: str) -> str:
        return f"{self.path} ({self.kind}): {reason}"


def _config(model: Any) -> Config:
    if not callable(getattr(model, "get_config", None)):
        raise TypeError(f"a Keras model is needed, not a {type(model).__name__}")
    try:
        config: Config = model.get_config()
    except NotImplementedError as error:
        first = str(error).strip().partition("\n")[0]
        raise CannotExpress(f"the model does not say what it is made of: {first}") from error
    if "layers" not in config:
        kind = type(model).__name__
        raise CannotExpress(
            f"{kind} is a class of your own: only Sequential and functional models list layers"
        )
    return config


def _flat(config: Config, within: str, problems: list[str]) -> Iterator[_Placed]:
    """The layers in their order, those of models inside the model in the place of these."""
    entries = config["layers"]
    if "input_layers" in config:
        entries = _chained(config, within, problems)
    for entry in entries:
        if entry["class_name"] == "InputLayer":
            continue
        inner = entry.get("config") or {}
        path = within + str(inner.get("name", entry["class_name"]))
        if "layers" in inner:
            yield from _flat(inner, f"{path}/", problems)
        else:
            yield _Placed(path, entry)


def _chained(config: Config, within: str, problems: list[str]) -> list[Config]:
    """The layers of a functional model from the input on; tells of whatever makes it no chain."""
    entries = {entry["name"]: entry for entry in config["layers"]}
    sources = {name: list(_sources(entry.get("inbound_nodes"))) for name, entry in entries.items()}
    followers: dict[str, list[str]] = {name: [] for name in entries}
    for name, found in sources.items():
        for source in dict.fromkeys(found):
            followers[source].append(name)
    before = len(problems)
    for name, entry in entries.items():
        if reason := _no_link(entry, sources[name], followers[name]):
            problems.append(_Placed(within + name, entry).because(reason))
    inputs = [name for name, entry in entries.items() if entry["class_name"] == "InputLayer"]
    outputs = [name for name in entries if not followers[name]]
    for what, found in (("inputs", inputs), ("outputs", outputs)):
        if len(found) != 1:
            problems.append(f"{len(found)} {what} ({', '.join(found)}); the family has one")
    if len(problems) > before:
        return list(entries.values())
    return [entries[name] for name in _walked(inputs[0], followers)]


def _walked(name: str, followers: Mapping[str, list[str]]) -> Iterator[str]:
    while True:
        yield name
        if not followers[name]:
            return
        (name,) = followers[name]


def _no_link(entry: Config, sources: list[str], followers: list[str]) -> str | None:
    """Why a layer is no link of a chain."""
    nodes = entry.get("inbound_nodes") or []
    if len(nodes) > 1:
        return f"is used {len(nodes)} times with the same weights"
    if len(sources) > 1:
        return _JOIN
    if len(followers) > 1:
        return f"goes to several layers ({', '.join(followers)}), and the family is a chain"
    called = [f"{k}={v!r}" for node in nodes for k, v in (node.get("kwargs") or {}).items() if v is not None]
    if called and entry.get("module") == "keras.layers":
        return f"is called with {', '.join(called)}"
    return None


def _sources(value: Any) -> Iterator[str]:
    """The layers that the tensors in a layer's calls come from."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"]["keras_history"][0]
            return
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    for one in value:
        yield from _sources(one)


def _without_head(placed: list[_Placed], problems: list[str]) -> list[_Placed]:
    """Without the last `Dense` and the softmax on it."""
    end = len(placed)
    if end and placed[-1].is_keras and (placed[-1].kind == "Softmax" or _activation(placed[-1]) in _HEADS):
        end -= 1
    last = placed[end - 1] if end else None
    if last and last.is_keras and last.kind == "Dense" and last.config.get("activation") in _HEADS:
        return placed[: end - 1]
    ends = placed[-1].because("is the last layer") if placed else "it has no layers"
    problems.append(
        f"{ends}; the model does not end in a head, a Dense with or without softmax. The service adds one: "
        f"with has_head=False it stands behind all of these layers"
    )
    return placed


def _activation(placed: _Placed) -> Any:
    return placed.config.get("activation") if placed.kind == "Activation" else None


def _without_normalization(placed: list[_Placed]) -> tuple[list[_Placed], str]:
    """Without a `Normalization` in front, and what it is called."""
    if placed and placed[0].is_keras and placed[0].kind == "Normalization":
        return placed[1:], placed[0].path
    return placed, ""


def _written(placed: Iterable[_Placed], problems: list[str]) -> Iterator[dict[str, Any]]:
    """The layers as the spec has them; what cannot be goes to `problems`."""
    listed = list(placed)
    names = Counter(str(one.config.get("name")) for one in listed)
    for one in listed:
        try:
            layer = _layer(one)
        except _NotExpressed as reason:
            # Told already of one that is no link of the chain.
            if not any(problem.startswith(f"{one.path} ({one.kind})") for problem in problems):
                problems.append(one.because(str(reason)))
            continue
        name = str(one.config.get("name"))
        if names[name] == 1 and _is_own(name, one.kind):
            layer = {"type": layer.pop("type"), "name": name, **layer}
        yield layer


def _on_unit_pixels(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With a `Rescaling` in front that takes pixels from 0 to 1, not 255; without one that is then idle."""
    first, *others = layers
    if first["type"] != "Rescaling":
        return layers
    scale = float(f"{first['scale'] * _PIXELS:.12g}")
    return others if scale == 1 and "offset" not in first else [{**first, "scale": scale}, *others]


def _is_own(name: str, kind: str) -> bool:
    """Whether the name was given by a person, and may be carried."""
    made = re.sub("(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    if re.fullmatch(rf"{made}(_[0-9]+)?", name) or _TAKEN.fullmatch(name):
        return False
    return _LAYER_NAME.fullmatch(name) is not None


def _layer(placed: _Placed) -> dict[str, Any]:
    _check_kind(placed)
    defaults = ARGUMENTS[placed.kind]
    layer: dict[str, Any] = {"type": placed.kind}
    for name, value in placed.config.items():
        if name not in defaults:
            _check_absent(placed, name, value)
            continue
        argument = _argument(placed, name, value)
        if defaults[name] is NEEDED or argument != defaults[name]:
            layer[name] = argument
    return layer


def _check_kind(placed: _Placed) -> None:
    if not placed.is_keras:
        operation = str(placed.entry.get("module")).startswith(("keras.src.ops", "keras.ops"))
        raise _NotExpressed("is an operation, no layer" if operation else "is no layer of Keras itself")
    if placed.kind in HINTS:
        raise _NotExpressed(HINTS[placed.kind])
    if placed.kind.startswith("Random"):
        raise _NotExpressed(_AUGMENTATION)
    if placed.kind not in ARGUMENTS:
        raise _NotExpressed("is not in the family")


def _check_absent(placed: _Placed, name: str, value: Any) -> None:
    """An argument that the family does not have must say what the family does."""
    if name in _WITHOUT_EFFECT or value is None or (value is False and name != "trainable"):
        return
    if name == "trainable":
        if value is False:
            raise _NotExpressed("is frozen, and the family trains all layers; `transfer` freezes some")
        return
    if name == "axis" and _is_last(placed, value):
        return
    given = _initializer(value) if name.endswith("_initializer") else value
    if given != _AS_ALWAYS.get(name):
        raise _NotExpressed(f"{name}={_brief(value)} is not in the family")


def _is_last(placed: _Placed, axis: Any) -> bool:
    """Whether an axis is that of the channels."""
    (index,) = axis if isinstance(axis, (list, tuple)) and len(axis) == 1 else (axis,)
    shape = (placed.entry.get("build_config") or {}).get("input_shape")
    return index == -1 or (shape is not None and index == len(shape) - 1)


def _argument(placed: _Placed, name: str, value: Any) -> Any:
    if name.endswith("_initializer"):
        allowed = BIAS_INITIALIZERS if name == "bias_initializer" else INITIALIZERS
        return _among(name, _initializer(value), allowed, value)
    if name.endswith("_regularizer"):
        return _regularizer(name, value)
    if name == "activation":
        found = _among(name, value, ACTIVATIONS, value)
        return None if found == "linear" and placed.kind != "Activation" else found
    if name in _PAIRS or placed.kind == "ZeroPadding2D":
        return _window(placed, name, value)
    if isinstance(value, (list, tuple)):
        if name not in ("target_shape", "shared_axes") or not 1 <= len(value) <= 3:
            raise _NotExpressed(f"{name}={_brief(value)} is not in the family")
        return list(value)
    return value


def _window(placed: _Placed, name: str, value: Any) -> Any:
    # A pooling without strides says that they are the size of its window.
    if name == "strides" and "pool_size" in placed.config and value == placed.config["pool_size"]:
        return None
    return _short(value)


def _short(value: Any) -> Any:
    """(2, 2) as 2, ((1, 1), (1, 1)) as 1, ((1, 2), (0, 0)) as [[1, 2], 0]."""
    if not isinstance(value, (list, tuple)):
        return value
    sides = [_short(side) for side in value]
    if all(side == sides[0] for side in sides) and not isinstance(sides[0], list):
        return sides[0]
    return sides


def _initializer(value: Any) -> Any:
    """Its name, where it draws as Keras does by that name; the seed is the job's."""
    if not isinstance(value, Mapping):
        return value
    kind, config = str(value.get("class_name")), value.get("config")
    if not isinstance(config, Mapping) or value.get("module") != "keras.initializers":
        return None
    told = {name: one for name, one in config.items() if name != "seed" and one is not None}
    return re.sub("(?<=.)(?=[A-Z])", "_", kind).lower() if told == _DRAWN.get(kind, {}) else None


def _regularizer(name: str, value: Any) -> dict[str, float] | None:
    if value is None:
        return None
    kind, config = (
        (value.get("class_name"), value.get("config")) if isinstance(value, Mapping) else (value, {})
    )
    if kind not in ("L1", "L2", "L1L2") or not isinstance(config, Mapping):
        raise _NotExpressed(f"{name}={_brief(value)} is not in the family; L1, L2 and L1L2 are")
    return {factor: float(size) for factor, size in config.items() if size} or None


def _among(name: str, found: Any, allowed: frozenset[str], given: Any) -> str:
    if not isinstance(found, str) or found not in allowed:
        text = f"{name}={_brief(given)} is not in the family, which has {', '.join(sorted(allowed))}"
        raise _NotExpressed(text)
    return found


def _brief(value: Any) -> str:
    """What Keras made of an argument, as its user wrote it."""
    if isinstance(value, Mapping) and "class_name" in value:
        config = value.get("config")
        if not isinstance(config, Mapping):
            return str(config or value["class_name"])
        told = ", ".join(f"{name}={one!r}" for name, one in config.items() if one is not None)
        return f"{value['class_name']}({told})"
    if isinstance(value, Mapping):
        return "a function of your own"
    return repr(value)
