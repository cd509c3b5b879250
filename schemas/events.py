"""What a stream of a job's events tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from schemas.fields import (
    AnswerSchema,
    Between,
    Boolean,
    Dict,
    Integer,
    Nested,
    Number,
    QueryInteger,
    StrictSchema,
    String,
    Timestamp,
)
from schemas.jobs import JobErrorSchema, JobSchema
from schemas.problems import Message
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import EpochSchema, TrialErrorSchema

JOB, TRIAL, EPOCH, PROGRESS, END = "job", "trial", "epoch", "progress", "end"

# `QueryInteger` reads so many digits.
_LARGEST = 10**18 - 1
_STATES = [state.value for state in JobState]
_REASONS = [*[reason.value for reason in StopReason], None]


@dataclass(frozen=True)
class Event:
    """One thing that happened, at a revision of its job; ``data`` as the schema of its kind takes it."""

    kind: str
    revision: int
    data: Mapping[str, Any]


class JobEventSchema(AnswerSchema):
    """The job is in another state, or it is known why it makes no more trials."""

    time = Timestamp(required=True)
    state = String(required=True, metadata={"enum": _STATES})
    stop_reason = String(required=True, allow_none=True, metadata={"enum": _REASONS})
    error = Nested(JobErrorSchema, required=True, allow_none=True)


class TrialEventSchema(AnswerSchema):
    """A trial is in another state; numbers are those of that moment."""

    time = Timestamp(required=True)
    number = Integer(required=True)
    state = String(required=True, metadata={"enum": [state.value for state in TrialState]})
    attempt = Integer(required=True)
    hyperparameters = Dict(keys=String(), required=True)
    score = Number(required=True, allow_none=True)
    best_epoch = Integer(required=True, allow_none=True)
    parameters = Integer(required=True, allow_none=True)
    error = Nested(TrialErrorSchema, required=True, allow_none=True)
    reason = String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Why it waits again or has ended early: what it was told to stop for, a stopping "
            "rule, the code of what was away, or one of lost, paused, handed_back, extended, reused, "
            "begun_anew."
        },
    )


class EpochEventSchema(EpochSchema):
    """An epoch of a trial; one that comes again replaces what was told of it before."""

    trial = Integer(required=True)


class ProgressEventSchema(JobSchema):
    """How the job stands after the events before; told anew with each batch, and not kept."""

    class Meta:
        fields = ("state", "stop_reason", "progress", "best", "revision")


class EndEventSchema(AnswerSchema):
    """The job has ended. Trials of one that failed may still be stopping: their ends have later numbers."""

    state = String(required=True, metadata={"enum": _STATES})
    stop_reason = String(required=True, allow_none=True, metadata={"enum": _REASONS})


SCHEMAS: Mapping[str, type[AnswerSchema]] = {
    JOB: JobEventSchema,
    TRIAL: TrialEventSchema,
    EPOCH: EpochEventSchema,
    PROGRESS: ProgressEventSchema,
    END: EndEventSchema,
}


class QueryBoolean(Boolean):
    """A boolean in a URL, where everything is text."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        known = {"true": True, "false": False}
        if value not in known:
            raise self.make_error("invalid", input=value)
        return known[value]


class LastEventId(QueryInteger):
    """The id of an event, as a header; an empty one is none (HTML Standard, 9.2.6)."""

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return ValidationError([Message("invalid_last_event_id", "The id of an event is a whole number.")])

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if value == "":
            return None
        number = super()._deserialize(value, attr, data, **kwargs)
        if number < 0:
            raise self.make_error("invalid")
        return number


class EventsHeadersSchema(StrictSchema):
    last_event_id = LastEventId(
        data_key="Last-Event-ID",
        metadata={
            "minimum": 0,
            "maximum": _LARGEST,
            "description": "The id of the last event that has arrived: tell what came after it.",
        },
    )


class EventsQuerySchema(StrictSchema):
    after = QueryInteger(
        load_default=0,
        validate=Between(0, _LARGEST),
        metadata={
            "description": "Tell what came after this revision; the header Last-Event-ID wins over it."
        },
    )
    follow = QueryBoolean(
        load_default=True,
        metadata={"description": "Whether to stay for what is yet to happen."},
    )
