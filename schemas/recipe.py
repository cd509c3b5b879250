"""The training recipe: how the data is divided and prepared, which model, how it is trained.

Every section is a schema, and beside it the frozen value that it makes once nothing is open any more.
`Recipe.of` fills a configuration into the open document.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from marshmallow import post_load

from schemas.distributions import Distribution, Tunable, Value
from schemas.fields import Among, Between, Boolean, Integer, Nested, Number, StrictSchema, String
from schemas.models import FAMILIES, Model
from schemas.problems import fault
from schemas.spaces import Space

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta", "lion")
SCALINGS = ("unit", "standardize", "none")
MONITORS = ("val_accuracy", "val_loss")


@dataclass(frozen=True)
class Split:
    """Shares of the data for validation and test; the rest is for training."""

    validation: float
    test: float
    stratify: bool

    def divide(self, count: int) -> tuple[int, int, int]:
        """How many of ``count`` images go to training, validation and test.

        A share that is asked for gets at least one image; training gets what is left, which may be
        less than one: then there are too few images.
        """
        validation = max(1, round(self.validation * count))
        test = max(1, round(self.test * count)) if self.test else 0
        return count - validation - test, validation, test

    def sizes(self, class_counts: Sequence[int]) -> tuple[int, int, int]:
        """Images in training, validation and test for a data set with these classes."""
        if not self.stratify:
            return self.divide(sum(class_counts))
        shares = [self.divide(count) for count in class_counts]
        return sum(s[0] for s in shares), sum(s[1] for s in shares), sum(s[2] for s in shares)


class SplitSchema(StrictSchema):
    validation = Number(
        load_default=0.2,
        validate=Between(0.0, 0.9, open_min=True),
        metadata={"description": "Share of the images that scores the trials."},
    )
    test = Number(
        load_default=0.1,
        validate=Between(0.0, 0.9),
        metadata={"description": "Share of the images that no trial sees; 0 for none."},
    )
    stratify = Boolean(
        load_default=True,
        metadata={"description": "Keep the classes' proportions in every share."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Split:
        if data["validation"] + data["test"] >= 0.99:
            raise fault("value_out_of_range", "validation and test leave nothing to train on.", "validation")
        return Split(**data)


@dataclass(frozen=True)
class Preprocessing:
    scaling: str


class PreprocessingSchema(StrictSchema):
    scaling = Tunable(
        String(validate=Among(SCALINGS)),
        load_default="unit",
        metadata={
            "description": "unit: the training share's pixel range to [0, 1]; standardize: its mean "
            "to 0 and deviation to 1; none: pixels as they are."
        },
    )


@dataclass(frozen=True)
class EarlyStopping:
    monitor: str
    patience: int
    min_delta: float


class EarlyStoppingSchema(StrictSchema):
    monitor = Tunable(
        String(validate=Among(MONITORS)),
        load_default="val_loss",
        metadata={"description": "The metric that has to improve."},
    )
    patience = Tunable(
        Integer(validate=Between(0, 10_000)),
        load_default=3,
        metadata={"description": "Epochs without improvement before the trial ends."},
    )
    min_delta = Tunable(
        Number(validate=Between(0.0, 1e6)),
        load_default=0.0,
        metadata={"description": "The least change that counts as improvement."},
    )


@dataclass(frozen=True)
class Training:
    optimizer: str
    learning_rate: float
    momentum: float
    batch_size: int
    epochs: int
    early_stopping: EarlyStopping | None


class TrainingSchema(StrictSchema):
    optimizer = Tunable(
        String(validate=Among(OPTIMIZERS)),
        load_default="adam",
        metadata={"description": "Keras' optimizer of that name."},
    )
    learning_rate = Tunable(
        Number(validate=Between(0.0, 100.0, open_min=True)),
        load_default=0.001,
        metadata={"description": "Step size of the optimizer."},
    )
    momentum = Tunable(
        Number(validate=Between(0.0, 0.9999)),
        load_default=0.0,
        metadata={"description": "Momentum of sgd and rmsprop; the others have none."},
    )
    batch_size = Tunable(
        Integer(validate=Between(1, 65_536)),
        load_default=32,
        metadata={"description": "Images in one gradient step."},
    )
    epochs = Tunable(
        Integer(validate=Between(1, 10_000)),
        load_default=10,
        metadata={"description": "Passes over the training share, at most."},
    )
    early_stopping = Nested(
        EarlyStoppingSchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "End a trial that no longer improves; the best epoch counts."},
    )


@dataclass(frozen=True)
class Recipe:
    """One configuration of a spec: nothing in it is open."""

    preprocessing: Preprocessing
    model: Model
    training: Training

    @classmethod
    def of(cls, document: Mapping[str, Any], values: Mapping[str, Value]) -> Self:
        """Fills ``values`` into a loaded spec.

        A value that is open but not among ``values`` does not exist in this configuration (its
        condition does not hold); the recipe then has the field's default.
        """
        model_schema = FAMILIES[document["model"]["family"]]()
        model = _filled(document["model"], model_schema, values, "model")
        model.pop("family")
        training = _filled(document["training"], TrainingSchema(), values, "training")
        early = document["training"]["early_stopping"]
        if early is not None:
            path = "training.early_stopping"
            training["early_stopping"] = EarlyStopping(**_filled(early, EarlyStoppingSchema(), values, path))
        preprocessing = _filled(document["preprocessing"], PreprocessingSchema(), values, "preprocessing")
        return cls(Preprocessing(**preprocessing), model_schema.makes(**model), Training(**training))


def _filled(
    section: Mapping[str, Any], schema: StrictSchema, values: Mapping[str, Value], path: str
) -> dict[str, Any]:
    def fill(name: str, value: Any) -> Any:
        if not isinstance(value, Distribution):
            return value
        return values.get(f"{path}.{name}", schema.load_fields[name].load_default)

    return {name: fill(name, value) for name, value in section.items()}


def leaves(document: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Every value of a loaded document with its path, sections walked through."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield from leaves(value, *path, name)
    else:
        yield ".".join(path), document


def space_of(document: Mapping[str, Any]) -> Space:
    """The open values of the loaded sections ``preprocessing``, ``model`` and ``training``.

    Raises:
        ValidationError: a condition that points at nothing, or in a circle.
    """
    found = dict(leaves(document))
    opened = {name: value for name, value in found.items() if isinstance(value, Distribution)}
    fixed = {name: value for name, value in found.items() if name not in opened}
    return Space.of(opened.items(), fixed)
