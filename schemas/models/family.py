"""What a model family is: the same for ours and for those that an operator adds.

A family is a schema (what may be fixed or left open), a frozen value (one configuration) that can say what
it costs, and a builder. The schema and the value know no Keras, since the API answers from them; the builder
is named by a path and imported by workers only.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from schemas.fields import StrictSchema


class Infeasible(ValueError):
    """A configuration that no model can be built from; the oracle is told, nothing has crashed."""


@dataclass(frozen=True)
class Phase:
    """Epochs that are trained in one go, with one optimizer.

    ``unfrozen`` is the share of the backbone's layers that learn, counted from the output; None where there
    is no backbone.
    """

    epochs: int
    learning_rate: float
    unfrozen: float | None = None


class Model(ABC):
    """One configuration of a family: nothing in it is open. Families derive frozen dataclasses from it."""

    family: ClassVar[str]

    @abstractmethod
    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        """Parameters, trained or not, of the whole net, the classification head included.

        Args:
            shape: of one prepared input, (height, width, channels) or (features,).

        Raises:
            Infeasible: no net can be built for such an input; the text says why.
        """

    def phases(self, epochs: int, learning_rate: float) -> list[Phase]:
        """How a training of so many epochs goes; one phase unless the family knows better."""
        return [Phase(epochs, learning_rate)]

    @property
    def earlier_job(self) -> str | None:
        """The job whose best model this one starts from, if it does."""
        return None


class FamilySchema(StrictSchema):
    """Base of the families' schemas: ``makes`` is called with the section's fields but ``family``."""

    makes: ClassVar[type[Any]]


@dataclass(frozen=True)
class Family:
    """A row of the table of families.

    Args:
        schema: its docstring is the family's line in the catalogue.
        builder: ``"module:function"``. The function takes the configuration, the scaled pixels as a
            `keras.KerasTensor` and `tuning.models.Materials`; it gives back the features (batch, n) that the
            classification head is put on.
    """

    schema: type[FamilySchema]
    builder: str

    @property
    def name(self) -> str:
        return str(self.schema.makes.family)


def images(shape: Sequence[int], family: str) -> tuple[int, int, int]:
    """(height, width, channels), for families that look at images.

    Raises:
        Infeasible: the data are rows of features.
    """
    if len(shape) != 3:
        raise Infeasible(f"the family {family} takes images, not rows of features")
    height, width, channels = shape
    return height, width, channels
