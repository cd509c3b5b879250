"""Trials as a table: a column for whatever any of them has, and nothing that a spreadsheet would compute."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.distributions import Value
from schemas.states import TrialState
from schemas.trial_tables import Columns, body, header
from schemas.trials import Trial

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(seconds=2.5)


def trial(number: int, hyperparameters: dict[str, Value], **more: Any) -> Trial:
    times = {"create_time": START, "start_time": START, "end_time": END}
    common = {"attempt": 1, "score": None, "best_epoch": None, "parameters": None, "error": None}
    given: dict[str, Any] = {"metrics": {}, **common, **times, **more}
    return Trial(number, TrialState.COMPLETED, hyperparameters=hyperparameters, **given)


def table(*trials: Trial) -> list[dict[str, str]]:
    columns = Columns.of(trials)
    return list(csv.DictReader((header(columns) + body(trials, columns)).splitlines()))


def test_there_is_a_column_for_what_any_trial_has() -> None:
    one = trial(0, {"b": 1}, metrics={"val_loss": 0.5, "loss": None})
    two = trial(1, {"a": "x"}, score=-0.25, error={"code": "out_of_memory", "message": "much"})
    first, second = table(one, two)
    fixed = ["number", "state", "attempt", "score", "deviation", "best_epoch", "parameters", "seconds"]
    assert list(first) == [*fixed, "a", "b", "loss", "val_loss", "error"]
    assert (first["a"], first["b"], first["loss"], first["val_loss"], first["error"]) == (
        "",
        "1",
        "",
        "0.5",
        "",
    )
    assert (second["a"], second["score"], second["error"]) == ("x", "-0.25", "out_of_memory")
    assert first["seconds"] == "2.5"


def test_without_trials_there_is_the_first_line() -> None:
    assert table() == []
    assert header(Columns.of([])).startswith("number,state,")


def test_a_table_in_pieces_is_the_table() -> None:
    trials = [trial(number, {"a": number}) for number in range(5)]
    columns = Columns.of(trials)
    assert body(trials[:2], columns) + body(trials[2:], columns) == body(trials, columns)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_text_is_a_formula(text: str) -> None:
    columns = Columns.of([made := trial(0, {text: text}, metrics={text: 0.5})])
    names, values = csv.reader([*header(columns).splitlines(True), *body([made], columns).splitlines(True)])
    assert names[8:10] == [f"'{text}"] * 2
    assert values[8:10] == [f"'{text}", "0.5"]


def test_numbers_stay_numbers_and_plain_text_stays_as_it_is() -> None:
    (row,) = table(trial(0, {"a": -3, "b": -0.5, "c": "relu", "d": True, "e": 'x,"y"'}))
    assert [row[name] for name in "abcde"] == ["-3", "-0.5", "relu", "True", 'x,"y"']
