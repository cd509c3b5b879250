"""Stopping rules: which trials are ended early for what their learning curves look like."""

from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import post_load, validate

from schemas.fields import Between, Integer, StrictSchema, String
from schemas.variants import VariantSchema


@dataclass(frozen=True)
class Stopping:
    rule: ClassVar[str]


@dataclass(frozen=True)
class NoStopping(Stopping):
    rule = "none"


@dataclass(frozen=True)
class MedianStopping(Stopping):
    """The median rule of Google Vizier (Golovin et al. 2017, section 3.2.2)."""

    rule = "median"
    grace_epochs: int


@dataclass(frozen=True)
class AshaStopping(Stopping):
    """Asynchronous successive halving (Li et al. 2020), as a rule that stops instead of promoting."""

    rule = "asha"
    grace_epochs: int
    factor: int


def _grace() -> Integer:
    return Integer(
        load_default=1,
        validate=Between(1, 10_000),
        metadata={"description": "No trial is stopped before it has trained so many epochs."},
    )


class NoStoppingSchema(StrictSchema):
    """Every trial trains to its end."""

    rule = String(load_default=NoStopping.rule, validate=validate.Equal(NoStopping.rule))

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Stopping:
        return NoStopping()


class MedianStoppingSchema(StrictSchema):
    """A trial ends when its best epoch so far is worse than the median of the others' means up to there."""

    rule = String(required=True, validate=validate.Equal(MedianStopping.rule))
    grace_epochs = _grace()

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Stopping:
        return MedianStopping(data["grace_epochs"])


class AshaStoppingSchema(StrictSchema):
    """At 1, factor, factor^2, ... times the grace, a trial goes on only as one of the best 1/factor."""

    rule = String(required=True, validate=validate.Equal(AshaStopping.rule))
    grace_epochs = _grace()
    factor = Integer(
        load_default=3,
        validate=Between(2, 10),
        metadata={"description": "One in so many trials goes on at each halt."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Stopping:
        return AshaStopping(data["grace_epochs"], data["factor"])


RULES: dict[str, type[StrictSchema]] = {
    NoStopping.rule: NoStoppingSchema,
    MedianStopping.rule: MedianStoppingSchema,
    AshaStopping.rule: AshaStoppingSchema,
}


class StoppingSchema(VariantSchema):
    """One of the stopping rules, told apart by ``rule``."""

    type_field = "rule"
    type_schemas = RULES
    default = NoStopping.rule
