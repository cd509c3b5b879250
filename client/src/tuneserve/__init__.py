"""Python SDK for Tuneserve: ask for a tuned image classifier over HTTP."""

from tuneserve import spaces as hp
from tuneserve.artifacts import Artifact
from tuneserve.best import Best, BestTrial, ModelFacts
from tuneserve.charts import Chart, ChartInfo
from tuneserve.client import Client
from tuneserve.datasets import Dataset, DatasetClass, Datasets
from tuneserve.errors import (
    ApiError,
    BadRequest,
    CannotExpress,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    DigestMismatch,
    FieldError,
    Forbidden,
    Invalid,
    JobFailed,
    MissingExtra,
    NotFound,
    RateLimited,
    ServerFault,
    TooLarge,
    TuneserveError,
    Unauthorized,
    Unsendable,
    WaitTimeout,
)
from tuneserve.events import Event
from tuneserve.jobs import Job, JobProblem, Jobs
from tuneserve.keras_layers import layers_from_keras
from tuneserve.progress import Progress
from tuneserve.spaces import Boolean, Choice, Float, Int
from tuneserve.trials import Epoch, Fold, Trial, TrialProblem
from tuneserve.validation import Validation
from tuneserve.version import __version__

__all__ = [
    "ApiError",
    "Artifact",
    "BadRequest",
    "Best",
    "BestTrial",
    "Boolean",
    "CannotExpress",
    "Chart",
    "ChartInfo",
    "Choice",
    "Client",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Dataset",
    "DatasetClass",
    "Datasets",
    "DigestMismatch",
    "Epoch",
    "Event",
    "FieldError",
    "Float",
    "Fold",
    "Forbidden",
    "Int",
    "Invalid",
    "Job",
    "JobFailed",
    "JobProblem",
    "Jobs",
    "MissingExtra",
    "ModelFacts",
    "NotFound",
    "Progress",
    "RateLimited",
    "ServerFault",
    "TooLarge",
    "Trial",
    "TrialProblem",
    "TuneserveError",
    "Unauthorized",
    "Unsendable",
    "Validation",
    "WaitTimeout",
    "__version__",
    "hp",
    "layers_from_keras",
]
