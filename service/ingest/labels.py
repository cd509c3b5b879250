"""What is asked of classes and images, however they were uploaded."""

from collections.abc import Sequence
from typing import Any

from schemas.datasets import LabelClass
from service.ingest.refusals import refuse

MAX_CLASSES = 10_000
MAX_LABEL = 200
MAX_SIDE = 4096


def require_samples(count: int, array: str = "") -> None:
    """Raises Invalid: `dataset_too_small`. ``array`` is what the pointer names."""
    if count < 2:
        raise refuse("dataset_too_small", f"{count} images cannot be divided.", array)


def require_classes(names: Sequence[Any], array: str = "") -> None:
    """Raises Invalid: `dataset_single_class`, or `dataset_bad_labels` for too many."""
    if len(names) == 1:
        raise refuse("dataset_single_class", f"All labels are {names[0]}.", array)
    if len(names) > MAX_CLASSES:
        text = f"{len(names)} classes; at most {MAX_CLASSES} are supported."
        raise refuse("dataset_bad_labels", text, array)


def class_warnings(classes: Sequence[LabelClass]) -> list[dict[str, Any]]:
    counts = [one.count for one in classes]
    if min(counts) * 10 >= max(counts):
        return []
    text = f"The classes have between {min(counts)} and {max(counts)} images."
    return [{"code": "classes_unbalanced", "detail": text}]
