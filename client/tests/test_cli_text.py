"""What reaches a terminal: no control characters of others, short numbers, curves."""

from __future__ import annotations

import io
import json
import re
import sys
from datetime import UTC, datetime

import pytest

from tuneserve.cli import text
from tuneserve.cli.context import Output


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("plain text, ünï & 字 👍🏽", "plain text, ünï & 字 👍🏽"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("two\nlines\r\tand a tab", r"two\nlines\r\tand a tab"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202egnp.exe\u2066\ufeff", r"a\u202egnp.exe\u2066\ufeff"),
        ("\u2028\u2029\ud800\x00\x7f", r"\u2028\u2029\ud800\x00\x7f"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_control_characters_are_shown_and_not_sent(given: str, wanted: str) -> None:
    assert text.shown(given) == wanted


def test_json_is_ascii() -> None:
    written = text.as_json({"name": "\x1b\x9b\u202eü"})
    assert written.isascii()
    assert written.isprintable() is False  # of its line breaks alone
    assert json.loads(written) == {"name": "\x1b\x9b\u202eü"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, "-"),
        (True, "true"),
        (0.1 + 0.2, "0.3"),
        (1e-7, "1e-07"),
        (693962, "693962"),
        ("a\nb", r"a\nb"),
        ([3, 3], "3, 3"),
        ({"a.b": 1, "c.b": 2, "d.e": 3}, "a.b=1  c.b=2  e=3"),
        ({"layers.0": 1}, "layers.0=1"),
    ],
)
def test_values(given: object, wanted: str) -> None:
    assert text.value(given) == wanted


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (None, "-"),
        (0.4, "0 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7440, "2 h 4 min"),
        (400000, "111 h 6 min"),
    ],
)
def test_seconds(number: float | None, wanted: str) -> None:
    assert text.seconds(number) == wanted


@pytest.mark.parametrize(
    ("number", "wanted"), [(None, "-"), (0, "0 B"), (999, "999 B"), (1843200, "1.84 MB"), (5e12, "5e+03 GB")]
)
def test_size(number: float | None, wanted: str) -> None:
    assert text.size(number) == wanted


def test_sparklines() -> None:
    assert text.sparkline([]) == ""
    assert text.sparkline([0, 1]) == "▁█"
    assert text.sparkline([0.5, 0.5, 0.5]) == "▅▅▅"
    assert text.sparkline([0, None, 1]) == "▁·█"
    assert text.sparkline([None]) == "·"
    long = text.sparkline(list(range(1000)), width=8)
    assert long == "▁▂▃▄▅▆▇█"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [30, 50, 60, 80, 100, *range(104, 112), 200])
def test_a_table_that_does_not_fit_is_folded_and_not_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    id = "job_01k9zq4x7t8w2v5n6m3p0r1s2d"
    columns = ("id", "title", "state", "trials", "best", "created", "labels")
    row = [id, "letters", "succeeded", "10/10", "0.981234", "2026-11-01 10:00:00", "team=vision"]
    Output().table(columns, [row])
    heading, body = re.split("─+", terminal.getvalue())
    assert max(map(len, body.splitlines())) <= width
    assert body.split()[0] == id or width < 60
    # Nothing is lost: what is folded stands below itself.
    for told, wanted in ((heading, columns), (body, row)):
        assert sorted("".join(told.split())) == sorted("".join(wanted).replace(" ", ""))


@pytest.mark.parametrize("name", ["letters of three alphabets, again", "-"])
def test_names_are_shortened_before_anything_is_folded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    columns = ("id", "name", "state", "trials", "best", "created")
    row = ["job_01k9zq4x7t8w2v5n6m3p0r1s2d", name, "succeeded", "10/10", "0.981234", "11-01 10:00"]
    Output().table(columns, [row])
    (line,) = re.split("─+", terminal.getvalue())[1].strip("\n─ ").splitlines()
    shown = [] if name == "-" else ["lette…"]
    assert re.split("  +", line.strip()) == [row[0], *shown, *row[2:]]


def test_times_on_a_terminal_are_short() -> None:
    year = datetime.now(UTC).year
    assert text.moment(f"{year}-11-21T20:14:03.5Z") == "11-21 20:14"
    assert text.moment(f"{year - 1}-11-21T20:14:03.5Z") == f"{year - 1}-11-21"
