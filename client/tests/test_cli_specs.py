"""Specs: what is read from YAML, TOML and JSON, what `--set` changes, and where it says that a fault is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tuneserve.cli import specs
from tuneserve.cli.specs import SpecError, changes, read_source, read_spec, scalar


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, content: str | bytes) -> Path:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


def test_one_spec_in_three_languages(write: Any) -> None:
    wanted = {
        "dataset": "ds_1",
        "training": {"learning_rate": 1e-4, "epochs": 5},
        "budget": {"max_trials": 3},
    }
    yaml = "dataset: ds_1\ntraining: {learning_rate: 1e-4, epochs: 5}\nbudget:\n  max_trials: 3\n"
    toml = 'dataset = "ds_1"\n[training]\nlearning_rate = 1e-4\nepochs = 5\n[budget]\nmax_trials = 3\n'
    json = '{"dataset": "ds_1", "training": {"learning_rate": 1e-4, "epochs": 5},'
    json += '\n\t"budget": {"max_trials": 3}}'
    assert read_spec(write("a.yaml", yaml)) == read_spec(write("a.toml", toml)) == wanted
    assert read_spec(write("a.json", "\ufeff" + json)) == read_spec(write("a.txt", json)) == wanted


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("+3", 3),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("true", True),
        ("~", None),
        ("null", None),
        ("no", "no"),
        ("off", "off"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("builtin:digits", "builtin:digits"),
    ],
)
def test_words_mean_what_yaml_1_2_says(word: str, value: Any, write: Any) -> None:
    assert scalar(word) == value
    found = read_spec(write("a.yaml", f"value: {word}\nlist: [{word}]\nquoted: '{word}'"))
    assert found == {"value": value, "list": [value], "quoted": word}
    assert type(found["value"]) is type(value)


def test_anchors_are_followed_and_tags_are_not(write: Any) -> None:
    assert read_spec(write("a.yaml", "a: &x [1, 2]\nb: *x\nc: !!str 5")) == {
        "a": [1, 2],
        "b": [1, 2],
        "c": "5",
    }


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", "a: 1\nb: {c: 2\n", "a.yaml:3:1: not YAML"),
        ("a.yaml", "a: 1\nb: 2\na: 3\n", "a.yaml:3:1: 'a' is given twice, first in line 1"),
        ("a.yaml", "a: {\n  b: 1}\nc:1\nd: 2\n", "; in line 3 a space is missing after the colon"),
        ("a.yaml", "a: !!python/object:os.system 1", "a.yaml:1:4: the tag"),
        ("a.yaml", "a: .nan", "a.yaml:1:4: .nan is not a number that JSON has"),
        ("a.yaml", "? [1]\n: 2", "a.yaml:1:3: a name must be text"),
        ("a.yaml", "a: 1\n---\nb: 2", "a.yaml:2:1: not YAML"),
        ("a.yaml", "a: &x [*x]", "a.yaml"),
        ("a.yaml", "", "a.yaml: a spec is an object with dataset, model and budget, but this is empty"),
        ("a.yaml", "- 1", "but this is a list"),
        ("a.yaml", b"a: 1\nb: \xff", "a.yaml:2: not UTF-8 text"),
        ("a.yaml", "[" * 2_000, "a.yaml: nested too deep"),
        ("a.yaml", "a: [" + "1, " * 200_000 + "]", "a.yaml: more than 100,000 commas and lines"),
        ("a.yaml", "#" * (2**20 + 1), "a.yaml: more than 1,048,576 bytes"),
        ("a.json", " " * 2**20 + "{}", "a.json: more than 1,048,576 bytes"),
        ("a.json", '{"a": 1,\n "b": }', "a.json:2:7: not JSON"),
        ("a.json", '{"a": 1,\n "a": 2}', "a.json:2:2: 'a' is given twice"),
        ("a.json", '{"a": NaN}', "NaN is not a number that JSON has"),
        ("a.json", "[" * 100_000, "a.json: nested too deep"),
        ("a.toml", "a = 1\nb = = 2", "a.toml:2:5: not TOML"),
        ("a.toml", "a = 2026-01-01", "2026-01-01 is a date"),
        ("a.toml", "a = nan", "nan is not a number"),
        ("a.yaml", 'a: "\\e[31m"\n"\\e[31m": 1\n"\\e[31m": 2', "'\\x1b[31m' is given twice"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(name: str, content: Any, said: str, write: Any) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(write(name, content))
    assert said in caught.value.message
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    assert "\x1b" not in caught.value.message


def test_aliases_do_not_make_billions(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "MAX_VALUES", 1000)
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(SpecError, match="more than 1,000 values"):
        read_spec(write("a.yaml", "\n".join(rows)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        read_spec(tmp_path / "no.yaml")
    with pytest.raises(SpecError, match="directory"):
        read_spec(tmp_path)
    with pytest.raises(SpecError, match="give a SPEC file"):
        read_spec(None)


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"seed: 1")))
    assert read_source(Path("-")).where("/seed") == "stdin:1:1"


def test_places(write: Any) -> None:
    file = write("a.yaml", "model:\n  layers:\n    - {type: Dense,\n       units: 0}\nseed: x\n")
    source = read_source(file, ["budget.max_trials=x"])
    assert source.where("/model/layers/0/units") == f"{file}:4:8"
    assert source.where("/model/layers/0/unknown") == f"{file}:3:7"
    assert source.where("/nowhere/at/all") == source.where("") == f"{file}:1:1"
    assert source.where("/budget/max_trials") == "--set budget.max_trials=x"
    file = write("a.json", '{\n  "seed": "x"\n}')
    assert read_source(file).where("/seed") == f"{file}:2:3"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("training.epochs=5", {"training": {"epochs": 5}}),
        (
            "training.learning_rate={type: float, min: 1e-4, max: 1}",
            {"training": {"learning_rate": {"type": "float", "min": 1e-4, "max": 1}}},
        ),
        ('search={"algorithm": "grid"}', {"search": {"algorithm": "grid"}}),
        ("name=a=b", {"name": "a=b"}),
        ("name=", {"name": None}),
        ("name='5'", {"name": "5"}),
        ("/search/enqueue/training.epochs=5", {"search": {"enqueue": {"training.epochs": 5}}}),
        ("/labels/a~1b=x", {"labels": {"a/b": "x"}}),
    ],
)
def test_set_makes_what_is_missing(text: str, wanted: Any) -> None:
    assert changes([text]) == wanted


def test_set_goes_into_lists_by_number(write: Any) -> None:
    file = write("a.yaml", "model: {layers: [{units: 1}, {units: 2}]}")
    sets = ["model.layers.1.units=3", "model.layers.2={units: 4}", "model.layers.3.units=5"]
    assert read_spec(file, sets)["model"]["layers"] == [
        {"units": 1},
        {"units": 3},
        {"units": 4},
        {"units": 5},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.epochs", "write PATH=VALUE"),
        ("=5", "write PATH=VALUE"),
        ("a..b=5", "write PATH=VALUE"),
        ("seed.x=1", "seed is a number, nothing can be set in it"),
        ("model.layers.x=1", "model.layers is a list: 'x' must be 0 to 1, or 2 for one more"),
        ("model.layers.3=1", "model.layers is a list: '3' must be 0 to 1, or 2 for one more"),
        ("model.layers.-1=1", "model.layers is a list"),
        ("seed={", "not YAML"),
        ("seed=.inf", "not a number that JSON has"),
        ("seed=\x1b]0;x\x07", r"\x1b]0;x\x07"),
    ],
)
def test_set_says_what_does_not_go(text: str, said: str, write: Any) -> None:
    file = write("a.yaml", "seed: 0\nmodel: {layers: [1, 2]}")
    with pytest.raises(SpecError) as caught:
        read_spec(file, [text])
    assert said in caught.value.message
    assert "\x1b" not in caught.value.message
