"""Python SDK for Tuneserve: ask for a tuned image classifier over HTTP."""

from tuneserve.artifacts import Artifact
from tuneserve.best import Best, BestTrial
from tuneserve.client import Client
from tuneserve.datasets import Dataset, DatasetClass, Datasets
from tuneserve.errors import (
    ApiError,
    BadRequest,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    DigestMismatch,
    FieldError,
    Forbidden,
    Invalid,
    JobFailed,
    NotFound,
    RateLimited,
    ServerFault,
    TooLarge,
    TuneserveError,
    Unauthorized,
    WaitTimeout,
)
from tuneserve.jobs import Job, JobProblem, Jobs
from tuneserve.progress import Progress
from tuneserve.trials import Epoch, Trial, TrialProblem
from tuneserve.validation import Validation
from tuneserve.version import __version__

__all__ = [
    "ApiError",
    "Artifact",
    "BadRequest",
    "Best",
    "BestTrial",
    "Client",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Dataset",
    "DatasetClass",
    "Datasets",
    "DigestMismatch",
    "Epoch",
    "FieldError",
    "Forbidden",
    "Invalid",
    "Job",
    "JobFailed",
    "JobProblem",
    "Jobs",
    "NotFound",
    "Progress",
    "RateLimited",
    "ServerFault",
    "TooLarge",
    "Trial",
    "TrialProblem",
    "TuneserveError",
    "Unauthorized",
    "Validation",
    "WaitTimeout",
    "__version__",
]
