"""A trial: one configuration, trained and scored once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.distributions import Value
from schemas.fields import (
    Among,
    AnswerSchema,
    Dict,
    Integer,
    List,
    Nested,
    Number,
    String,
    Timestamp,
)
from schemas.pages import PageQuerySchema, page_of
from schemas.states import TrialState

INFEASIBLE = "infeasible_model"
# The stage of a learning-rate range test, which trains no model.
RANGE_TEST = "range_test"

ERROR_CODES = (
    "out_of_memory",
    "non_finite_objective",
    INFEASIBLE,
    "trial_timeout",
    "dataset_unreadable",
    "dataset_unavailable",
    "weights_unavailable",
    "storage_unavailable",
    "poison",
    "internal",
)


@dataclass(frozen=True)
class Epoch:
    """One pass over the training share; ``epoch`` and ``fold`` count from 1."""

    epoch: int
    seconds: float
    learning_rate: float
    metrics: Mapping[str, float | None]
    fold: int = 1


@dataclass(frozen=True)
class Effort:
    """What of a full training a trial is given, where the algorithm says so.

    Args:
        until_epoch: the last epoch to train, counted from the first one of the configuration; None for as
            many as the recipe says. The schedule of the learning rate is that of the whole recipe.
        data_share: of the training share's images.
        parent: the trial whose weights, optimizer and epoch it goes on from.
        stage: where in the algorithm's plan it stands, such as ``{"bracket": 2, "round": 0}``.
    """

    until_epoch: int | None = None
    data_share: float = 1.0
    parent: int | None = None
    stage: Mapping[str, int | str] | None = None

    @property
    def is_range_test(self) -> bool:
        return (self.stage or {}).get("name") == RANGE_TEST

    @property
    def is_whole(self) -> bool:
        """Whether it ends where the recipe ends, on all images."""
        return self.until_epoch is None and self.data_share == 1

    @property
    def is_full(self) -> bool:
        """Whether it is trained from nothing to the end, on all images."""
        return self.is_whole and self.parent is None and not self.is_range_test


FULL = Effort()


@dataclass(frozen=True)
class Suggestion:
    """What a search wants tried next."""

    values: Mapping[str, Value]
    effort: Effort = FULL


@dataclass(frozen=True)
class Known:
    """A configuration whose worth is known from elsewhere; ``score`` is None when it failed."""

    values: Mapping[str, Value]
    score: float | None


@dataclass(frozen=True)
class Trial:
    """``epochs`` is None where nobody asked for them.

    With cross-validation ``score`` and ``metrics`` are means over the folds, ``deviation`` is that of the
    folds' scores (n - 1 in the denominator), and ``folds`` has each of them.

    Args:
        stop_reason: what ended it early.
        last_epoch: the last one that was trained.
        reused: the job and trial that the result was taken from.
        range_test: the curve of a learning-rate range test, and what it suggests.
    """

    number: int
    state: TrialState
    attempt: int
    hyperparameters: Mapping[str, Value]
    score: float | None
    best_epoch: int | None
    metrics: Mapping[str, float | None]
    parameters: int | None
    error: Mapping[str, Any] | None
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    deviation: float | None = None
    folds: Sequence[Mapping[str, Any]] | None = None
    epochs: Sequence[Epoch] | None = None
    effort: Effort = FULL
    stop_reason: str | None = None
    last_epoch: int | None = None
    reused: Mapping[str, Any] | None = None
    range_test: Mapping[str, Any] | None = None

    @property
    def is_infeasible(self) -> bool:
        """Whether nothing could be built from the configuration: knowledge, not a crash."""
        return self.error is not None and self.error["code"] == INFEASIBLE

    @property
    def seconds(self) -> float | None:
        """Duration of the last attempt, once it has ended."""
        if self.start_time is None or self.end_time is None:
            return None
        return (self.end_time - self.start_time).total_seconds()


class EffortSchema(AnswerSchema):
    """What of a full training a trial is given, where the algorithm says so."""

    until_epoch = Integer(
        required=True, allow_none=True, metadata={"description": "The last epoch; null for all of them."}
    )
    data_share = Number(required=True, metadata={"description": "Of the training images."})
    parent = Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The trial that it goes on from, with its weights, optimizer and epoch."},
    )
    stage = Dict(
        keys=String(),
        required=True,
        allow_none=True,
        metadata={"description": "Where in the algorithm's plan it stands."},
    )


class ReusedSchema(AnswerSchema):
    job = String(required=True)
    trial = Integer(required=True)


class SuggestedRatesSchema(AnswerSchema):
    min = Number(required=True)
    max = Number(required=True)


class RangeTestResultSchema(AnswerSchema):
    """The loss over a growing learning rate."""

    points = List(
        List(Number(allow_none=True)),
        required=True,
        metadata={"description": "[learning rate, loss, smoothed loss] of batches."},
    )
    suggested = Nested(SuggestedRatesSchema, required=True, allow_none=True)
    steepest = Number(
        required=True, allow_none=True, metadata={"description": "The rate at which the loss fell fastest."}
    )
    stopped_at = Number(
        required=True,
        allow_none=True,
        metadata={"description": "The last rate before the loss diverged; null if it never did."},
    )
    criterion = String(required=True, metadata={"description": "How the range was chosen."})


class EpochSchema(AnswerSchema):
    epoch = Integer(required=True, metadata={"description": "From 1."})
    fold = Integer(required=True, metadata={"description": "From 1; always 1 without cross-validation."})
    seconds = Number(required=True)
    learning_rate = Number(required=True, metadata={"description": "Of the epoch's first step."})
    metrics = Dict(
        keys=String(),
        values=Number(allow_none=True),
        required=True,
        metadata={"description": "null stands for a value that is not finite."},
    )


class FoldSchema(AnswerSchema):
    fold = Integer(required=True)
    score = Number(required=True)
    best_epoch = Integer(required=True)
    metrics = Dict(keys=String(), values=Number(allow_none=True), required=True)


class TrialErrorSchema(AnswerSchema):
    code = String(required=True, metadata={"enum": list(ERROR_CODES)})
    message = String(required=True)


class TrialSchema(AnswerSchema):
    number = Integer(required=True, metadata={"description": "Within its job, from 0."})
    state = String(required=True, metadata={"enum": [state.value for state in TrialState]})
    attempt = Integer(required=True)
    hyperparameters = Dict(keys=String(), required=True)
    score = Number(required=True, allow_none=True)
    deviation = Number(
        required=True,
        allow_none=True,
        metadata={"description": "Standard deviation of the folds' scores; null without folds."},
    )
    best_epoch = Integer(required=True, allow_none=True)
    metrics = Dict(keys=String(), values=Number(allow_none=True), required=True)
    parameters = Integer(required=True, allow_none=True)
    error = Nested(TrialErrorSchema, required=True, allow_none=True)
    seconds = Number(required=True, allow_none=True)
    create_time = Timestamp(required=True)
    start_time = Timestamp(required=True, allow_none=True)
    end_time = Timestamp(required=True, allow_none=True)
    epochs = List(Nested(EpochSchema), allow_none=True)
    effort = Nested(EffortSchema, required=True)
    stop_reason = String(
        required=True,
        allow_none=True,
        metadata={"description": "What ended it early: a stopping rule, or why its job ended."},
    )
    last_epoch = Integer(
        required=True, allow_none=True, metadata={"description": "The last one that was trained."}
    )
    reused = Nested(
        ReusedSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The equal trial of another job that the result was taken from."},
    )
    range_test = Nested(RangeTestResultSchema, required=True, allow_none=True)
    folds = List(
        Nested(FoldSchema),
        allow_none=True,
        metadata={"description": "Of a cross-validated trial; its score is their mean."},
    )


class TrialQuerySchema(PageQuerySchema):
    state = String(load_default=None, validate=Among([state.value for state in TrialState]))
    order_by = String(load_default="number", validate=Among(("number", "score", "duration")))


TrialPageSchema = page_of(TrialSchema, "TrialPage")
