"""Fields and counts that several families share."""

from typing import Any

from schemas.distributions import Tunable
from schemas.fields import Among, Between, Integer, Number, String

# Attention compares every place of a map with every other: so many have 16 million pairs.
MAX_PLACES = 4096

ACTIVATIONS = (
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
)

INITIALIZERS = (
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
)


def integer(low: int, high: int, default: int, text: str) -> Any:
    """A whole number that may be left open."""
    return Tunable(Integer(validate=Between(low, high)), load_default=default, metadata={"description": text})


def number(low: float, high: float, default: float, text: str) -> Any:
    """A real number that may be left open."""
    return Tunable(Number(validate=Between(low, high)), load_default=default, metadata={"description": text})


def name(among: tuple[str, ...], default: str, text: str) -> Any:
    """One of some names; it may be left open."""
    return Tunable(String(validate=Among(among)), load_default=default, metadata={"description": text})


def activation(default: str = "relu", text: str = "Activation of the hidden layers.") -> Any:
    return name(ACTIVATIONS, default, text)


def dropout(default: float, text: str) -> Any:
    return number(0.0, 0.99, default, text)


def l2() -> Any:
    return number(0.0, 10.0, 0.0, "L2 penalty on the kernels of convolutions and dense layers.")


def dense(inputs: int, units: int) -> int:
    """Parameters of a dense layer with a bias."""
    return (inputs + 1) * units


def convolution(kernel: int, inputs: int, filters: int) -> int:
    """Parameters of a square convolution with a bias."""
    return (kernel * kernel * inputs + 1) * filters


def normalization(channels: int) -> int:
    """Parameters of a batch normalisation: scale, shift, moving mean and variance."""
    return 4 * channels
