"""How a net is trained: every value that the articles discuss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from marshmallow import validates_schema

from schemas import tunables
from schemas.distributions import Distribution, highest, lowest
from schemas.fields import Among, List, Nested, Sized, StrictSchema, String
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
    monitor = tunables.name(MONITORS, "The metric that has to improve.", "val_loss")
    patience = tunables.integer(0, 10_000, "Epochs without improvement before the trial ends.", 3)
    min_delta = tunables.number(0.0, 1e6, "The least change that counts as improvement.", 0.0)


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
    optimizer = tunables.name(OPTIMIZERS, "Keras' optimizer of that name.", "adam")
    learning_rate = tunables.number(
        0.0, 100.0, "Step size of the optimizer; the schedule moves around it.", 0.001, open_min=True
    )
    momentum = tunables.number(0.0, 0.9999, "Momentum of sgd and rmsprop; the others have none.", 0.0)
    nesterov = tunables.flag("Nesterov's momentum, for sgd.", False)
    weight_decay = tunables.number(
        0.0, 10.0, "Decoupled weight decay; null for the optimizer's own (0.004 for adamw).", None
    )
    clipnorm = tunables.number(
        0.0,
        1e6,
        "Gradients of a weight with a larger norm are cut to it; null for none.",
        None,
        open_min=True,
    )
    schedule = ScheduleField(
        load_default=lambda: {"type": "constant"},
        metadata={"description": "How the learning rate moves during training."},
    )
    batch_size = tunables.integer(1, 65_536, "Images in one gradient step.", 32)
    epochs = tunables.integer(1, 10_000, "Passes over the training share, at most.", 10)
    early_stopping = Nested(
        EarlyStoppingSchema,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "End a trial that no longer improves; the best epoch counts. "
            "A frozen phase is not cut short."
        },
    )
    loss = tunables.name(
        LOSSES,
        "What training makes small; trials are scored by the metrics.",
        "sparse_categorical_crossentropy",
    )
    label_smoothing = tunables.number(0.0, 0.99, "Share of each label that is spread over all classes.", 0.0)
    class_weight = tunables.name(
        CLASS_WEIGHTS, "balanced: each class weighs the same, however many images it has.", "none"
    )
    mixed_precision = tunables.flag("Compute in 16-bit floats; the model that is handed out has 32.", False)
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
