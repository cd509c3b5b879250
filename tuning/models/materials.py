"""What the builders of several families need."""

from dataclasses import dataclass
from pathlib import Path

import keras

# Keras' default of 0.99 needs hundreds of steps before the moving statistics mean anything: a data set
# of a thousand images has 40 steps an epoch, and is scored by noise for its first epochs.
NORM_MOMENTUM = 0.9


class WeightsUnavailable(RuntimeError):
    """Pretrained weights that the configuration starts from cannot be had here."""


@dataclass(frozen=True)
class Materials:
    """What a configuration may start from, beside its own values.

    Args:
        weights_folder: the operator's folder of pretrained weights, if there is one.
        earlier_model: ``model.keras`` of the earlier job that the spec names, if it names one.
    """

    weights_folder: Path | None = None
    earlier_model: Path | None = None


def penalty(l2: float) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(l2) if l2 else None
