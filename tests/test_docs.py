"""The documentation says what the code does."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_of_fields_is_as_the_schemas_are() -> None:
    made = runpy.run_path(str(DOCS / "make_fields.py"))["page"]()
    assert (DOCS / "fields.md").read_text(encoding="utf-8") == made, "run `make docs`"
