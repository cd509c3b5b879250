"""Data sets: what the service knows of one without opening it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.fields import (
    AnswerSchema,
    Integer,
    List,
    Nested,
    Sized,
    StrictSchema,
    String,
    Timestamp,
)
from schemas.pages import PageQuerySchema, page_of
from schemas.problems import WarningSchema

BUILTIN_PREFIX = "builtin:"


@dataclass(frozen=True)
class LabelClass:
    name: str
    count: int


@dataclass(frozen=True)
class Dataset:
    """Images (or rows of features) with labels.

    ``shape`` is that of one image: (height, width, channels). ``digest`` is the SHA-256 of the
    uploaded bytes; that of a built-in data set is its name and version.
    """

    id: str
    name: str
    kind: str
    digest: str
    shape: Sequence[int]
    samples: int
    classes: Sequence[LabelClass]
    dtype: str
    bytes: int
    warnings: Sequence[dict[str, Any]]
    create_time: datetime | None = None

    @property
    def smallest_class(self) -> LabelClass:
        return min(self.classes, key=lambda one: one.count)


def _digits() -> Dataset:
    counts = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    classes = tuple(LabelClass(str(digit), count) for digit, count in enumerate(counts))
    return Dataset(
        id="builtin:digits",
        name="digits",
        kind="builtin",
        digest="builtin:digits:scikit-learn-1",
        shape=(8, 8, 1),
        samples=sum(counts),
        classes=classes,
        dtype="uint8",
        bytes=sum(counts) * 64,
        warnings=(),
    )


# Known by heart, so that the API answers without importing what loads them; a test holds these facts
# against what `tuning.data` loads.
BUILTINS: dict[str, Dataset] = {"builtin:digits": _digits()}


class LabelClassSchema(AnswerSchema):
    name = String(required=True)
    count = Integer(required=True)


class DatasetSchema(AnswerSchema):
    id = String(required=True)
    name = String(required=True)
    kind = String(required=True, metadata={"description": "npz, or builtin."})
    digest = String(required=True, metadata={"description": "sha256:... of the uploaded bytes."})
    shape = List(Integer(), required=True, metadata={"description": "One image: height, width, channels."})
    samples = Integer(required=True)
    classes = List(Nested(LabelClassSchema), required=True)
    dtype = String(required=True)
    bytes = Integer(required=True)
    warnings = List(Nested(WarningSchema), required=True)
    create_time = Timestamp(allow_none=True)


class DatasetUploadQuerySchema(StrictSchema):
    name = String(validate=Sized(max=200), load_default=None, allow_none=True)


class DatasetQuerySchema(PageQuerySchema):
    pass


DatasetPageSchema = page_of(DatasetSchema, "DatasetPage")
