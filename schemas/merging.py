"""Changes of a spec, as JSON merge patches (RFC 7396) that know of variants."""

from collections.abc import Mapping
from typing import Any

# What tells the variants of a section or a value apart.
_NAMES = ("family", "algorithm", "rule", "type")


def merged(document: Any, patch: Any) -> Any:
    """A document with a patch over it: null removes, objects are merged, anything else replaces.

    An object that says which variant it is, and is another than the one that is there, replaces it whole:
    what a family, an algorithm, a rule or a distribution has of its own means nothing to another.
    """
    if not isinstance(patch, Mapping):
        return patch
    base = document if isinstance(document, Mapping) and not _is_another(document, patch) else {}
    changed = {name: value for name, value in base.items() if name not in patch}
    for name, value in patch.items():
        if value is not None:
            changed[name] = merged(base.get(name), value)
    return changed


def _is_another(document: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    return any(name in patch and patch[name] != document.get(name) for name in _NAMES)
