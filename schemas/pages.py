"""Lists come in pages: a bounded size, an opaque token for the next one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.fields import (
    AnswerSchema,
    Between,
    List,
    Nested,
    QueryInteger,
    Sized,
    StrictSchema,
    String,
)

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    items: Sequence[Item]
    next_page_token: str | None


class PageQuerySchema(StrictSchema):
    page_size = QueryInteger(
        load_default=DEFAULT_PAGE_SIZE,
        validate=Between(1, MAX_PAGE_SIZE),
        metadata={"description": "Items on a page."},
    )
    page_token = String(
        load_default=None,
        validate=Sized(max=1024),
        metadata={"description": "next_page_token of the page before."},
    )


def page_of(schema: type[AnswerSchema], name: str) -> type[AnswerSchema]:
    """The schema of one page of ``schema``'s objects."""
    page = AnswerSchema.from_dict(
        {
            "items": List(Nested(schema), required=True),
            "next_page_token": String(required=True, allow_none=True),
        },
        name=name,
    )
    assert issubclass(page, AnswerSchema)
    return page
