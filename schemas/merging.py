"""Changes of a spec, as JSON merge patches (RFC 7396) that know of variants."""

from collections.abc import Mapping
from typing import Any

from schemas.recipe import SECTIONS

Path = tuple[str, ...]


def merged(document: Any, patch: Any, path: Path = ()) -> Any:
    """A spec with a patch over it: null removes, objects are merged, anything else replaces.

    An object that says which variant it is, and is another than the one that is there, replaces it whole:
    what a family, an algorithm, a rule or a distribution has of its own means nothing to another.
    """
    if not isinstance(patch, Mapping):
        return patch
    base = document if isinstance(document, Mapping) and not _is_another(document, patch, path) else {}
    changed = {name: value for name, value in base.items() if name not in patch}
    for name, value in patch.items():
        if value is not None:
            changed[name] = merged(base.get(name), value, (*path, name))
    return changed


def _is_another(document: Mapping[str, Any], patch: Mapping[str, Any], path: Path) -> bool:
    name = _discriminator(path)
    return name in patch and patch[name] != document.get(name)


def _discriminator(path: Path) -> str:
    """What tells the variants of what stands at a place of a spec apart, if it has any."""
    if path == ("model",):
        return "family"
    if path in (("search",), ("search", "then")):
        return "algorithm"
    if path[:1] == ("search",) and path[-1] == "stopping":
        return "rule"
    return "type" if path and path[0] in SECTIONS else ""
