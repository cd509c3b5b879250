"""The JSON Schema that the SDK carries is the one that the service publishes, and stands on its own."""

import json
import runpy
from pathlib import Path

from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[1]
FILE = ROOT / "client/src/tuneserve/job.schema.json"


def test_the_schema_in_the_sdk_is_the_published_one() -> None:
    made = runpy.run_path(str(ROOT / "docs/make_schema.py"))["text"]()
    assert FILE.read_text(encoding="utf-8") == made, "run `make docs`"


def test_it_refers_to_nothing_outside() -> None:
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    named = {f"#/$defs/{name}" for name in schema["$defs"]}
    found = _references(schema)
    assert found <= named
    assert "components" not in FILE.read_text(encoding="utf-8")


def test_it_takes_every_example_and_refuses_what_is_misspelt() -> None:
    validator = Draft202012Validator(json.loads(FILE.read_text(encoding="utf-8")))
    for file in sorted((ROOT / "examples").glob("*.json")):
        spec = json.loads(file.read_text(encoding="utf-8"))
        assert validator.is_valid(spec), file.name
    assert not validator.is_valid({**spec, "modell": {}})


def _references(part: object) -> set[str]:
    below = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    found = {part["$ref"]} if isinstance(part, dict) and isinstance(part.get("$ref"), str) else set()
    return found.union(*map(_references, below))
