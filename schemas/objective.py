"""What makes one trial better than another, and when one is good enough."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import post_load

from schemas.fields import Among, Number, StrictSchema, String
from schemas.metrics import MONITORS, direction
from schemas.problems import fault


@dataclass(frozen=True)
class Objective:
    """What makes one trial better than another, at its best epoch."""

    metric: str
    direction: str
    target: float | None

    def is_better(self, score: float, other: float | None) -> bool:
        if other is None:
            return True
        return score > other if self.direction == "maximize" else score < other

    def prefers(self, metrics: Mapping[str, float | None], other: Mapping[str, float | None]) -> bool:
        """Whether one epoch (or one trial's best) is to be preferred to another.

        Accuracies on few images are often equal; then the lower validation loss decides.
        """
        score, known = metrics.get(self.metric), other.get(self.metric)
        if score is None or score != known:
            return score is not None and self.is_better(score, known)
        return _loss(metrics) < _loss(other)

    def is_met(self, score: float | None) -> bool:
        """Whether the score is as good as the target, if there is one."""
        if score is None or self.target is None:
            return False
        return not self.is_better(self.target, score)


def _loss(metrics: Mapping[str, float | None]) -> float:
    loss = metrics.get("val_loss")
    return math.inf if loss is None else loss


class ObjectiveSchema(StrictSchema):
    # `if`, not `anyOf`: programs that write clients from the document take that for two kinds of object.
    rules: ClassVar[dict[str, Any]] = {
        # The metric is `val_accuracy` unless it is given.
        "if": {
            "properties": {"metric": {"enum": [name for name in MONITORS if direction(name) == "minimize"]}},
            "required": ["metric"],
        },
        "then": {"properties": {"direction": {"enum": ["minimize", None]}}},
        "else": {"properties": {"direction": {"enum": ["maximize", None]}}},
    }
    metric = String(
        load_default="val_accuracy",
        validate=Among(MONITORS),
        metadata={"description": "Compared at each trial's best epoch."},
    )
    direction = String(
        load_default=None,
        allow_none=True,
        validate=Among(("maximize", "minimize")),
        metadata={"description": "From the metric unless given."},
    )
    target = Number(
        load_default=None,
        allow_none=True,
        metadata={"description": "The search ends once a trial is as good as this."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Objective:
        natural = direction(data["metric"])
        if data["direction"] not in (None, natural):
            raise fault("value_not_allowed", f"{data['metric']} is to {natural}.", "direction")
        return Objective(**{**data, "direction": natural})
