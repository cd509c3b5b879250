"""What a schema says of a document that does not fit."""

from typing import Any

import pytest
from marshmallow import Schema, ValidationError

from schemas.problems import error_items


def faults(schema: type[Schema], document: Any) -> list[tuple[str, str]]:
    """(pointer, code) of everything that is wrong."""
    with pytest.raises(ValidationError) as caught:
        schema().load(document)
    return [(item.pointer, item.code) for item in error_items(caught.value.messages)]
