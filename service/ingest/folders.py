"""Which files of an archive are images, and of which class: `class/.../image`, below a top folder or none."""

import sys
import unicodedata
import zipfile
from collections.abc import Collection
from dataclasses import dataclass

from schemas.problems import ErrorItem
from service.ingest.archives import danger
from service.ingest.labels import MAX_LABEL
from service.ingest.refusals import MAX_NAMED, bad_file, refuse, refuse_files

_JUNK = {"__macosx", "thumbs.db", "desktop.ini"}
_SHARES = {"train", "training", "val", "valid", "validation", "test", "testing"}

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """An image to be: its class, and its place in the archive."""

    label: str
    entry: zipfile.ZipInfo

    @property
    def path(self) -> str:
        return self.entry.filename


def members(entries: Collection[zipfile.ZipInfo]) -> tuple[list[Member], int]:
    """The images of an archive, by class, then by path; and how many files were skipped.

    Raises:
        Invalid: `archive_unsafe_path`, `archive_link_member`, `image_without_class`,
            `dataset_bad_labels`; each file is named.
    """
    _refuse_any([item for entry in entries if (item := danger(entry))])
    files = [entry for entry in entries if not entry.filename.endswith("/")]
    # Parts are made anew each time: of hundreds of thousands of files they would take much memory.
    kept = [entry for entry in files if not _is_junk(_parts(entry))]
    depth = 1 if _has_top_folder(kept) else 0
    _refuse_any([_classless(entry) for entry in kept if len(_parts(entry)) < depth + 2])
    _refuse_any([_nameless(entry) for entry in kept if not _is_label(_label(_parts(entry)[depth]))])
    found = [Member(_label(_parts(entry)[depth]), entry) for entry in kept]
    _require_classes({one.label for one in found})
    return sorted(found, key=lambda one: (one.label, one.path)), len(files) - len(kept)


def _refuse_any(found: list[ErrorItem]) -> None:
    if found:
        raise refuse_files(found[: MAX_NAMED + 1])


def _parts(entry: zipfile.ZipInfo) -> Parts:
    return tuple(part for part in entry.filename.split("/") if part not in ("", "."))


def _is_junk(parts: Parts) -> bool:
    """What systems leave in folders, and no person put there."""
    return not parts or any(part.startswith(".") or part.lower() in _JUNK for part in parts)


def _has_top_folder(files: list[zipfile.ZipInfo]) -> bool:
    return len({_parts(entry)[0] for entry in files}) == 1 and any(len(_parts(entry)) > 2 for entry in files)


def _label(name: str) -> str:
    """One spelling, and one text in memory, for all images of a class."""
    return sys.intern(unicodedata.normalize("NFC", name))


def _classless(entry: zipfile.ZipInfo) -> ErrorItem:
    return bad_file("image_without_class", entry.filename, "each image lies in the folder of its class.")


def _is_label(name: str) -> bool:
    return bool(name.strip()) and name.isprintable() and len(name) <= MAX_LABEL


def _nameless(entry: zipfile.ZipInfo) -> ErrorItem:
    text = f"the name of a class is up to {MAX_LABEL} printable characters."
    return bad_file("dataset_bad_labels", entry.filename, text)


def _require_classes(labels: set[str]) -> None:
    if len(labels) > 1 and {label.lower() for label in labels} <= _SHARES:
        text = (
            f"The folders {', '.join(sorted(labels))} are shares, not classes. Put all images of a class into"
            " one folder: a job's `split` divides them."
        )
        raise refuse("dataset_bad_labels", text)
