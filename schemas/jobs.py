"""A job as clients see it: its progress, its best trial, its price and its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import INCLUDE

from schemas.budget import BudgetFields
from schemas.datasets import DIGEST
from schemas.distributions import Value
from schemas.fields import (
    Among,
    AnswerSchema,
    Between,
    Boolean,
    Dict,
    Integer,
    List,
    Nested,
    Number,
    Pattern,
    QueryInteger,
    Sized,
    StrictSchema,
    String,
    Timestamp,
)
from schemas.labels import labels_field, name_field
from schemas.pages import PageQuerySchema, page_of
from schemas.problems import ErrorItemSchema, WarningSchema
from schemas.states import JobState, StopReason


@dataclass(frozen=True)
class Progress:
    max_trials: int
    pending: int
    running: int
    completed: int
    stopped: int
    failed: int
    cancelled: int
    infeasible: int
    reused: int
    epochs: int
    elapsed_seconds: float
    eta_seconds: float | None


@dataclass(frozen=True)
class BestTrial:
    trial: int
    score: float
    epoch: int
    hyperparameters: Mapping[str, Value]


@dataclass(frozen=True)
class Cost:
    trial_seconds: float
    gpu_seconds: float
    artifact_bytes: int


@dataclass(frozen=True)
class Job:
    """A job as clients see it."""

    id: str
    name: str
    labels: Mapping[str, str]
    state: JobState
    stop_reason: StopReason | None
    spec: Mapping[str, Any]
    spec_digest: str
    dataset_digest: str
    progress: Progress
    best: BestTrial | None
    cost: Cost
    warnings: Sequence[Mapping[str, Any]]
    error: Mapping[str, Any] | None
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    revision: int


class ProgressSchema(AnswerSchema):
    max_trials = Integer(required=True)
    pending = Integer(required=True)
    running = Integer(required=True)
    completed = Integer(required=True)
    stopped = Integer(required=True)
    failed = Integer(required=True)
    cancelled = Integer(required=True)
    infeasible = Integer(
        required=True,
        metadata={"description": "Of the failed ones: could not be built; the budget asked for others."},
    )
    reused = Integer(
        required=True,
        metadata={"description": "Of the completed ones: the result was taken from an equal trial."},
    )
    epochs = Integer(required=True, metadata={"description": "Trained so far, in all trials."})
    elapsed_seconds = Number(required=True)
    eta_seconds = Number(required=True, allow_none=True)


class BestTrialSchema(AnswerSchema):
    trial = Integer(required=True)
    score = Number(required=True)
    epoch = Integer(required=True)
    hyperparameters = Dict(keys=String(), required=True)


class CostSchema(AnswerSchema):
    trial_seconds = Number(required=True)
    gpu_seconds = Number(required=True)
    artifact_bytes = Integer(required=True)


class FailureCauseSchema(AnswerSchema):
    code = String(required=True)
    count = Integer(required=True)
    message = String(required=True)


class JobErrorSchema(AnswerSchema):
    code = String(required=True)
    title = String(required=True)
    detail = String(required=True)
    trials = List(Nested(FailureCauseSchema), metadata={"description": "The most frequent causes."})


class JobSchema(AnswerSchema):
    id = String(required=True)
    name = String(required=True)
    labels = Dict(keys=String(), values=String(), required=True)
    state = String(required=True, metadata={"enum": [state.value for state in JobState]})
    stop_reason = String(
        required=True,
        allow_none=True,
        metadata={"enum": [*[reason.value for reason in StopReason], None]},
    )
    # The title keeps generated clients from giving two types one name: a request's JobSpec is another.
    spec = Dict(
        required=True,
        metadata={"title": "ResolvedSpec", "description": "As resolved: every default written out."},
    )
    spec_digest = String(
        required=True,
        metadata={"description": "Of the spec without what no result depends on: see the recipe's page."},
    )
    dataset_digest = String(required=True)
    progress = Nested(ProgressSchema, required=True)
    best = Nested(BestTrialSchema, required=True, allow_none=True)
    cost = Nested(CostSchema, required=True)
    warnings = List(Nested(WarningSchema), required=True)
    error = Nested(JobErrorSchema, required=True, allow_none=True)
    create_time = Timestamp(required=True)
    start_time = Timestamp(required=True, allow_none=True)
    end_time = Timestamp(required=True, allow_none=True)
    revision = Integer(required=True)


class EstimateSchema(AnswerSchema):
    """The price of a job, before it is paid."""

    trials = Integer(required=True, metadata={"description": "At most."})
    epochs = Integer(required=True, metadata={"description": "In all trials, at most."})
    smallest_parameters = Integer(required=True)
    largest_parameters = Integer(required=True)
    training_images = Integer(required=True)
    validation_images = Integer(required=True)
    test_images = Integer(required=True)


class SpaceSummarySchema(AnswerSchema):
    open_values = Integer(required=True)
    size = Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Configurations; null when a continuous value is open."},
    )
    grid_size = Integer(required=True, metadata={"description": "What a grid search would try."})


class ValidationSchema(AnswerSchema):
    """What `POST /v1/jobs` would say of the spec, and what the job would cost."""

    valid = Boolean(required=True)
    spec = Dict(required=True, allow_none=True)
    spec_digest = String(required=True, allow_none=True)
    dataset_digest = String(required=True, allow_none=True)
    space = Nested(SpaceSummarySchema, required=True, allow_none=True)
    estimate = Nested(EstimateSchema, required=True, allow_none=True)
    warnings = List(Nested(WarningSchema), required=True)
    errors = List(Nested(ErrorItemSchema), required=True)


class JobQuerySchema(PageQuerySchema):
    state = String(load_default=None, validate=Among([state.value for state in JobState]))
    label = String(
        load_default=None,
        validate=Pattern(r"[^:]{1,63}:.{0,255}", "A label is key:value."),
        metadata={"description": "key:value"},
    )
    dataset = String(load_default=None, validate=Sized(max=100))
    created_after = Timestamp(load_default=None)
    created_before = Timestamp(load_default=None)
    q = String(
        load_default=None,
        validate=Sized(max=200),
        metadata={"description": "Part of the name."},
    )
    spec_digest = String(load_default=None, validate=Pattern(DIGEST, "A digest is sha256: and 64 digits."))
    dataset_digest = String(
        load_default=None,
        validate=Pattern(
            rf"{DIGEST}|builtin:[A-Za-z0-9_.:-]{{1,71}}",
            "A digest is sha256: and 64 digits; that of a built-in data set begins with builtin:.",
        ),
    )


class JobChangeSchema(StrictSchema):
    """What may be changed of a job; what is left out stays."""

    name = name_field()
    labels = labels_field()
    budget = Nested(
        # By their names: a plateau is given whole.
        BudgetFields(partial=tuple(BudgetFields().fields)),
        metadata={"description": "What is left out stays; a job that has ended goes on if it gets more."},
    )


class CloneSchema(AnswerSchema):
    """Changes of a spec, laid over it as a JSON merge patch (RFC 7396).

    An object that names another `family`, `algorithm`, `rule` or `type` than the one that is there replaces
    it whole; null puts a default in the place of a value.
    """

    class Meta:
        unknown = INCLUDE


class JobGetQuerySchema(StrictSchema):
    wait = QueryInteger(
        load_default=0,
        validate=Between(0, 60),
        metadata={"description": "Hold the answer until the revision changes, so many seconds."},
    )


JobPageSchema = page_of(JobSchema, "JobPage")


class VerifiedSchema(AnswerSchema):
    accuracy = Number(required=True)
    difference = Number(required=True)


class ModelFactsSchema(AnswerSchema):
    """What the model that is handed out costs whoever uses it."""

    parameters = Integer(required=True)
    bytes = Integer(required=True, metadata={"description": "Of the file."})
    prediction_seconds = Number(
        required=True,
        metadata={"description": "Median of predictions of one image each, on the worker that made it."},
    )


class BestSchema(AnswerSchema):
    """The result: the best trial, and the model that was made from it."""

    job = String(required=True)
    trial = Integer(required=True)
    epoch = Integer(required=True)
    score = Number(required=True)
    hyperparameters = Dict(keys=String(), required=True)
    validation = Dict(keys=String(), values=Number(allow_none=True), required=True)
    test = Dict(
        keys=String(),
        values=Number(allow_none=True),
        required=True,
        allow_none=True,
        metadata={"description": "On the share that no trial saw; null before the job finishes."},
    )
    verified = Nested(
        VerifiedSchema,
        required=True,
        allow_none=True,
        metadata={"description": "model.keras loaded again and evaluated again on raw pixels."},
    )
    model = Nested(
        ModelFactsSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null before the job finishes."},
    )
    refit = Boolean(required=True)
    artifacts = List(String(), required=True)
    reproducibility = Dict(required=True)
