"""Validation: what the service says of a spec before a job is made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tuneserve.errors import FieldError
from tuneserve.records import Document, Record


@dataclass(frozen=True, kw_only=True)
class Validation(Record):
    """What the service would make of a spec: resolved, priced, and what does not fit.

    The digests are those of the job that would come of it, so equal ones mean an equal result.
    """

    valid: bool
    spec: Mapping[str, Any] | None = None
    space: Any = None
    estimate: Any = None
    warnings: tuple[Any, ...] = ()
    errors: tuple[FieldError, ...] = ()
    spec_digest: str | None = None
    dataset_digest: str | None = None

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a validation with the places that do not fit."""
        errors = [FieldError.parse(error) for error in document.get("errors") or ()]
        return super().parse({**document, "errors": errors})
