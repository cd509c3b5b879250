"""Data sets: what the service knows of one without opening it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import prod
from typing import Any

from schemas.fields import (
    AnswerSchema,
    Integer,
    List,
    Nested,
    Pattern,
    Sized,
    StrictSchema,
    String,
    Timestamp,
)
from schemas.pages import PageQuerySchema, page_of
from schemas.problems import WarningSchema

BUILTIN_PREFIX = "builtin:"
# The form of a SHA-256.
DIGEST = r"sha256:[0-9a-f]{64}"


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


def _builtin(
    name: str, source: str, shape: tuple[int, int, int], counts: Sequence[int], names: Sequence[str] = ()
) -> Dataset:
    """Args: names: of the classes; their numbers if not given."""
    labels = names or [str(number) for number in range(len(counts))]
    return Dataset(
        id=f"{BUILTIN_PREFIX}{name}",
        name=name,
        kind="builtin",
        digest=f"{BUILTIN_PREFIX}{name}:{source}-1",
        shape=shape,
        samples=sum(counts),
        classes=tuple(LabelClass(label, count) for label, count in zip(labels, counts, strict=True)),
        dtype="uint8",
        bytes=sum(counts) * prod(shape),
        warnings=(),
    )


_FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_ALL = (
    _builtin("digits", "scikit-learn", (8, 8, 1), (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)),
    _builtin("mnist", "keras", (28, 28, 1), (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958)),
    _builtin("fashion_mnist", "keras", (28, 28, 1), (7000,) * 10, _FASHION),
    _builtin("cifar10", "keras", (32, 32, 3), (6000,) * 10, _CIFAR10),
    _builtin("cifar100", "keras", (32, 32, 3), (600,) * 100),
)

# Known by heart, so that the API answers without importing what loads them; a test holds these facts
# against what `tuning.data` loads, where that can be had.
BUILTINS: dict[str, Dataset] = {dataset.id: dataset for dataset in _ALL}


class LabelClassSchema(AnswerSchema):
    name = String(required=True)
    count = Integer(required=True)


class DatasetSchema(AnswerSchema):
    id = String(required=True)
    name = String(required=True)
    kind = String(required=True, metadata={"description": "npz, zip or builtin."})
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
    digest = String(
        load_default=None,
        validate=Pattern(DIGEST, "A digest is sha256: and 64 digits."),
        metadata={"description": "Of the uploaded bytes."},
    )


DatasetPageSchema = page_of(DatasetSchema, "DatasetPage")
