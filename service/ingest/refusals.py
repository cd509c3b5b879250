"""How an upload is refused: with a code, and a pointer to the array or the file."""

import lzma
import zipfile
import zlib
from collections.abc import Sequence

from schemas.problems import ErrorItem, Invalid, pointer

# What zipfile and its decompressors raise over bytes that are not what they should be.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    UnicodeDecodeError,
)
# So many bad files are named; a person mends them by the folder, not one by one.
MAX_NAMED = 20
_SHOWN = 200


def refuse(code: str, detail: str, array: str = "") -> Invalid:
    """The 422 over an upload; the pointer names the array."""
    return Invalid(code, detail, errors=[ErrorItem(f"/{array}" if array else "", code, detail)])


def bad_file(code: str, name: str, what: str) -> ErrorItem:
    """One file of an archive that cannot be taken; its path is the pointer."""
    place = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name[:_SHOWN])
    return ErrorItem(pointer(*place.split("/")), code, f"{place}: {what}")


def refuse_files(found: Sequence[ErrorItem]) -> Invalid:
    """The 422 over files of an archive, of which the first lends its code and leads the detail."""
    first = found[0]
    more = len(found) - 1
    others = f" ({more if len(found) <= MAX_NAMED else f'at least {MAX_NAMED}'} more)" if more else ""
    return Invalid(first.code, first.detail + others, errors=list(found[:MAX_NAMED]))
