"""Fields and counts that several families share."""

from typing import Any

from schemas import tunables

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


def activation(default: str = "relu", text: str = "Activation of the hidden layers.") -> Any:
    return tunables.name(ACTIVATIONS, text, default)


def dropout(default: float, text: str) -> Any:
    return tunables.number(0.0, 0.99, text, default)


def l2() -> Any:
    return tunables.number(0.0, 10.0, "L2 penalty on the kernels of convolutions and dense layers.", 0.0)


def dense(inputs: int, units: int) -> int:
    """Parameters of a dense layer with a bias."""
    return (inputs + 1) * units


def convolution(kernel: int, inputs: int, filters: int) -> int:
    """Parameters of a square convolution with a bias."""
    return (kernel * kernel * inputs + 1) * filters


def normalization(channels: int) -> int:
    """Parameters of a batch normalisation: scale, shift, moving mean and variance."""
    return 4 * channels
