"""How a net is trained: every value that the articles discuss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from marshmallow import validates_schema

from schemas.distributions import Distribution, Tunable, highest, lowest
from schemas.fields import Among, Between, Boolean, Integer, List, Nested, Number, Sized, StrictSchema, String
from schemas.metrics import METRICS, MONITORS
from schemas.problems import fault
from schemas.schedules import Cyclical, Schedule, ScheduleField, schedule_of

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta", "lion")
WITH_MOMENTUM = ("sgd", "rmsprop")
CLASS_WEIGHTS = ("none", "balanced")
# Keras' names. The labels are classes, so the first two are the same.
LOSSES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "mean_squared_error",
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
    nesterov: bool
    weight_decay: float | None
    clipnorm: float | None
    schedule: Schedule
    batch_size: int
    epochs: int
    early_stopping: EarlyStopping | None
    loss: str
    label_smoothing: float
    class_weight: str
    mixed_precision: bool
    metrics: Sequence[str]

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """From a section in which nothing is open."""
        early = section["early_stopping"]
        nested = {
            "schedule": schedule_of(section["schedule"]),
            "early_stopping": None if early is None else EarlyStopping(**early),
        }
        return cls(**{**section, **nested})


class TrainingSchema(StrictSchema):
    optimizer = Tunable(
        String(validate=Among(OPTIMIZERS)),
        load_default="adam",
        metadata={"description": "Keras' optimizer of that name."},
    )
    learning_rate = Tunable(
        Number(validate=Between(0.0, 100.0, open_min=True)),
        load_default=0.001,
        metadata={"description": "Step size of the optimizer; the schedule moves around it."},
    )
    momentum = Tunable(
        Number(validate=Between(0.0, 0.9999)),
        load_default=0.0,
        metadata={"description": "Momentum of sgd and rmsprop; the others have none."},
    )
    nesterov = Tunable(
        Boolean(),
        load_default=False,
        metadata={"description": "Nesterov's momentum, for sgd."},
    )
    weight_decay = Tunable(
        Number(validate=Between(0.0, 10.0)),
        load_default=None,
        allow_none=True,
        metadata={"description": "Decoupled weight decay; null for the optimizer's own (0.004 for adamw)."},
    )
    clipnorm = Tunable(
        Number(validate=Between(0.0, 1e6, open_min=True)),
        load_default=None,
        allow_none=True,
        metadata={"description": "Gradients of a weight with a larger norm are cut to it; null for none."},
    )
    schedule = ScheduleField(
        load_default=lambda: {"type": "constant"},
        metadata={"description": "How the learning rate moves during training."},
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
    loss = Tunable(
        String(validate=Among(LOSSES)),
        load_default="sparse_categorical_crossentropy",
        metadata={"description": "What training makes small; trials are scored by the metrics."},
    )
    label_smoothing = Tunable(
        Number(validate=Between(0.0, 0.99)),
        load_default=0.0,
        metadata={"description": "Share of each label that is spread over all classes."},
    )
    class_weight = Tunable(
        String(validate=Among(CLASS_WEIGHTS)),
        load_default="none",
        metadata={"description": "balanced: each class weighs the same, however many images it has."},
    )
    mixed_precision = Tunable(
        Boolean(),
        load_default=False,
        metadata={"description": "Compute in 16-bit floats; the model that is handed out has 32."},
    )
    metrics = List(
        String(validate=Among(METRICS)),
        load_default=lambda: ["loss", "accuracy"],
        validate=Sized(max=len(METRICS)),
        metadata={"description": "Of every epoch; loss, accuracy and the objective are always there."},
    )

    @validates_schema
    def cycles(self, data: dict[str, Any], **_: Any) -> None:
        """The rate goes up from ``low``: there has to be something above it."""
        schedule = data["schedule"]
        if not _may_be(schedule["type"], Cyclical.type) or schedule["low"] is None:
            return
        high = data["learning_rate"] if schedule["high"] is None else schedule["high"]
        if lowest(schedule["low"]) > highest(high):
            text = "low must not be above high, which is the learning rate unless it is given."
            raise fault("invalid_range", text, "schedule", "low")


def _may_be(value: Any, wanted: str) -> bool:
    return value.contains(wanted) if isinstance(value, Distribution) else bool(value == wanted)
