"""Charts are pure functions of rows: valid Vega-Lite whatever the search, with the rows' values in it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair
import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from schemas.charts import Point, Rows
from schemas.distributions import BooleanChoice, Choice, Distribution, FloatRange, IntRange, Range
from schemas.objective import Objective
from schemas.states import TrialState
from service.charts import CHARTS, curves, drawn, history, importance, parallel, timeline
from service.charts.frame import MAX_TOLD, STATE_COLORS, thinned
from service.charts.places import place, ticks
from tests.service.charts.searches import (
    ACCURACY,
    LOSS,
    NOW,
    SEARCHES,
    at,
    rows,
    running,
    search,
    staged,
    tried,
)

ROOT = Path(__file__).parents[2]
SCHEMA = Path(altair.__file__).parent / "vegalite" / "v6" / "schema" / "vega-lite-schema.json"
# Kinds of search that are held against the schema, which is slow: between them they have every part of every
# chart. The others are compiled and rendered.
CHECKED = ("no trials", "running", "a loss, with a target", "cross-validated", "reused")


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    """Every chart of every kind of search."""
    return {
        kind: {name: drawn(chart, found) for name, chart in CHARTS.items()}
        for kind, found in ((kind, make()) for kind, make in SEARCHES.items())
    }


@pytest.fixture(scope="module")
def checker() -> Draft7Validator:
    return Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def data(specification: Any) -> Iterator[dict[str, Any]]:
    """Every row of data anywhere in a specification."""
    if isinstance(specification, dict):
        yield from specification.get("data", {}).get("values", [])
        specification = list(specification.values())
    if isinstance(specification, list):
        for part in specification:
            yield from data(part)


def having(specification: Any, *names: str) -> list[dict[str, Any]]:
    return [row for row in data(specification) if {*names} <= row.keys()]


def drawn_of(kind: str, name: str) -> Any:
    return drawn(CHARTS[name], SEARCHES[kind]())


def said(specification: Any) -> str:
    text: str = specification["title"]["subtitle"]
    return text


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_valid_vega_lite(made: Any, checker: Draft7Validator, name: str) -> None:
    for kind in CHECKED:
        problems = [error.message[:300] for error in checker.iter_errors(thin(made[kind][name]))]
        assert problems == [], kind


def thin(specification: Any) -> Any:
    """With a few rows of data only: their form is not what the schema checks."""
    if isinstance(specification, dict):
        return {
            key: value[:2] if key == "values" and value and isinstance(value[0], dict) else thin(value)
            for key, value in specification.items()
        }
    return [thin(one) for one in specification] if isinstance(specification, list) else specification


@pytest.mark.parametrize("version", ["5.21", "6.1"])
@pytest.mark.parametrize("kind", [kind for kind in SEARCHES if kind != "large"])
def test_every_chart_of_every_search_compiles_without_a_warning(
    made: Any, kind: str, version: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for specification in made[kind].values():
        compiled = vl_convert.vegalite_to_vega(specification, vl_version=version, show_warnings=True)
        assert compiled["marks"]
    assert warnings_of(capfd) == []


def test_charts_may_be_as_wide_as_their_place(made: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for specification in made["mixed"].values():
        wide = {**specification, "width": "container"}
        vl_convert.vegalite_to_vega(wide, vl_version="5.21", show_warnings=True)
    assert warnings_of(capfd) == []


def warnings_of(capfd: pytest.CaptureFixture[str]) -> list[str]:
    printed = capfd.readouterr()
    return [line for line in (printed.out + printed.err).splitlines() if "WARN" in line or "ERROR" in line]


def test_warnings_would_be_seen(made: Any, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = {**made["mixed"]["importance"], "width": {"step": 20}}
    vl_convert.vegalite_to_vega(wrong, vl_version="5.21", show_warnings=True)
    assert warnings_of(capfd) != []


@pytest.mark.parametrize("kind", ["running", "hostile", "not finite", "reused", "one trial"])
def test_charts_are_rendered_with_their_title_in_them(
    made: Any, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, specification in made[kind].items():
        picture = vl_convert.vegalite_to_svg(specification, vl_version="5.21", show_warnings=True)
        assert CHARTS[name].title in picture
        assert "NaN" not in picture
        assert "<script" not in picture
        assert "<img" not in picture
    assert warnings_of(capfd) == []


def test_charts_are_json_with_a_description_and_no_number_that_is_none(made: Any) -> None:
    for charts in made.values():
        for name, specification in charts.items():
            json.dumps(specification, allow_nan=False)
            assert specification["description"].startswith(CHARTS[name].title)
            assert specification["title"]["text"] == CHARTS[name].title
            assert specification["$schema"].endswith("/vega-lite/v5.json")


def test_fields_have_no_names_that_vega_takes_for_paths(made: Any) -> None:
    for charts in made.values():
        for specification in charts.values():
            assert {name for name in fields_of(specification) if not name.isalnum()} == set()


def fields_of(specification: Any) -> Iterator[str]:
    if isinstance(specification, dict):
        yield from [specification["field"]] if isinstance(specification.get("field"), str) else []
        specification = list(specification.values())
    if isinstance(specification, list):
        for part in specification:
            yield from fields_of(part)


def test_no_text_of_a_client_is_in_an_expression(made: Any) -> None:
    for specification in made["hostile"].values():
        for key, text in texts_of(specification):
            if key in ("labelExpr", "expr", "signal", "calculate", "filter", "test"):
                assert "img" not in text


def texts_of(specification: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(specification, str):
        yield key, specification
    elif isinstance(specification, dict):
        for name, value in specification.items():
            yield from texts_of(value, name)
    elif isinstance(specification, list):
        for value in specification:
            yield from texts_of(value, key)


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("no trials", "history", "No trial has a score yet."),
        ("failed only", "history", "have failed"),
        ("range test", "history", "range test has no score"),
        ("no trials", "curves", "No trial has ended an epoch yet."),
        ("nothing open", "parallel", "Nothing was left open"),
        ("nothing open", "importance", "Nothing was left open"),
        ("one trial", "importance", "there is 1 so far"),
        ("constant", "importance", "the same score"),
        ("waiting", "timeline", "No trial has begun yet."),
    ],
)
def test_a_chart_with_nothing_to_show_says_why(made: Any, kind: str, name: str, why: str) -> None:
    specification = made[kind][name]
    assert why in said(specification)
    assert list(data(specification)) == []


# History.

SCORES = st.lists(st.none() | st.floats(-10, 10, allow_nan=False), min_size=1, max_size=30)


@given(scores=SCORES, objective=st.sampled_from([ACCURACY, LOSS]))
@settings(max_examples=60, deadline=None)
def test_the_best_so_far_only_gets_better_and_is_a_score_of_a_trial(
    scores: list[float | None], objective: Objective
) -> None:
    found = rows([tried(number, score) for number, score in enumerate(scores)], objective)
    steps = history.best_so_far(found)
    best = max if objective.direction == "maximize" else min
    for number in range(len(scores)):
        so_far = [score for score in scores[: number + 1] if score is not None]
        reached = [score for at_number, score in steps if at_number <= number]
        assert (reached[-1] if reached else None) == (best(so_far) if so_far else None)
    assert [number for number, _ in steps] == sorted({number for number, _ in steps})


@pytest.mark.parametrize("objective", [ACCURACY, LOSS])
def test_history_shows_the_score_of_every_trial(objective: Objective) -> None:
    found = search(20, objective)
    specification = drawn(CHARTS["history"], found)
    shown = {row["trial"]: row["score"] for row in having(specification, "score")}
    assert shown == {trial.number: trial.score for trial in found.scored}
    failed = {trial.number for trial in found.trials if trial.state == TrialState.FAILED}
    crosses = {row["trial"] for row in having(specification, "state") if "score" not in row}
    assert (crosses, len(failed)) == (failed, 1)


def test_history_names_the_trial_that_the_job_calls_its_best() -> None:
    """Of equal scores, the lower validation loss decides."""
    equal = [tried(0, 0.9, loss=0.3), tried(1, 0.9, loss=0.2), tried(2, 0.8, loss=0.1)]
    assert "0.9 in trial 1" in said(drawn(CHARTS["history"], rows(equal)))


def test_history_of_very_many_trials_is_thinned_and_says_so() -> None:
    many = [tried(number, 0.5 + 0.4 * (number == 1234)) for number in range(3000)]
    specification = drawn(CHARTS["history"], rows(many))
    shown = [row["trial"] for row in having(specification, "score")]
    assert len(shown) <= history.MAX_POINTS + 2
    assert {0, 1234, 2999} <= set(shown)
    assert f"{len(shown):,} of 3,000 trials" in said(specification)


def test_a_tooltip_has_the_number_the_state_the_score_and_every_hyperparameter() -> None:
    found = search(5)
    specification = drawn(CHARTS["history"], found)
    [points] = [layer for layer in specification["layer"] if "color" in layer["encoding"]]
    titles = {line["field"]: line["title"] for line in points["encoding"]["tooltip"]}
    names = [one.name for one in found.space]
    assert list(titles.values()) == ["trial", "state", "val_accuracy", *names]
    first = points["data"]["values"][0]
    told = {titles[field]: value for field, value in first.items() if field in titles}
    values = found.trials[0].hyperparameters
    assert told["training.optimizer"] == values["training.optimizer"]
    assert float(told["training.learning_rate"]) == pytest.approx(values["training.learning_rate"], rel=1e-3)
    momentum = values.get("training.momentum")
    assert told["training.momentum"] == ("none" if momentum is None else f"{momentum:.4g}")


# Curves.


def test_curves_have_the_values_of_every_epoch() -> None:
    found = search(10)
    shown = having(drawn(CHARTS["curves"], found), "line", "value")
    assert {(row["line"], row["epoch"], row["value"]) for row in shown} == {
        (number, point.epoch, point.value) for number, points in found.points.items() for point in points
    }
    best = found.best_first(found.scored)[0].number
    assert {row["line"] for row in shown if row["kind"] == curves.BEST} == {best}


def test_a_trial_that_goes_on_from_another_has_one_curve_with_it() -> None:
    shown = having(drawn(CHARTS["curves"], staged()), "line", "value")
    assert [row["epoch"] for row in shown if row["line"] == 12] == list(range(1, 13))
    assert {row["line"] for row in shown} == {0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12} - {0, 2}
    assert set(curves.wanted(staged())) == set(range(13))


def test_running_trials_have_curves_and_waiting_ones_have_none() -> None:
    shown = having(drawn(CHARTS["curves"], running()), "line", "value")
    assert {row["line"] for row in shown if row["kind"] == curves.RUNNING} == {14, 15, 16}
    assert 17 not in {row["line"] for row in shown}


def test_of_many_trials_the_best_have_curves() -> None:
    found = search(1000, epochs=3)
    wanted = curves.wanted(found)
    assert wanted == sorted(trial.number for trial in found.best_first(found.scored)[: curves.MAX_CURVES])
    text = said(drawn(CHARTS["curves"], found))
    assert "50 curves of 1,000 trials" in text
    assert set(curves.kept(found)) == {9, 12}


def test_epochs_that_are_left_out_and_folds_are_told() -> None:
    thinned_out = replace(search(2), points={0: [Point(1, 0.1), Point(11, 0.2)]})
    assert "not every epoch is drawn" in said(drawn(CHARTS["curves"], thinned_out))
    assert "not every epoch" not in said(drawn(CHARTS["curves"], search(2)))
    assert "means over the folds" in said(drawn_of("cross-validated", "curves"))


def test_values_that_are_not_finite_leave_gaps() -> None:
    shown = having(drawn_of("not finite", "curves"), "line", "value")
    assert [row["value"] for row in shown if row["line"] == 0] == [None, None, 0.7]


def test_a_loss_that_falls_far_is_drawn_on_a_logarithmic_scale() -> None:
    falling = [Point(epoch, 10.0 ** (1 - epoch)) for epoch in range(1, 5)]
    found = rows([tried(0, 0.001)], LOSS, {0: falling})
    assert drawn(CHARTS["curves"], found)["encoding"]["y"]["scale"] == {"type": "log"}
    assert "type" not in drawn(CHARTS["curves"], search(3))["encoding"]["y"]["scale"]


# Places on axes.

RANGES = st.builds(
    lambda kind, low, width, sampling: kind(None, None, low, low + width, None, sampling),
    st.sampled_from([FloatRange, IntRange]),
    st.integers(1, 50),
    st.integers(1, 10_000),
    st.sampled_from(["linear", "log", "reverse_log"]),
)


@given(distribution=RANGES, share=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_place_of_a_value_is_the_share_that_it_was_drawn_at(distribution: Range, share: float) -> None:
    assert place(distribution, distribution.at(share)) == pytest.approx(share, abs=1e-6)


def test_places_of_a_log_axis_and_of_choices() -> None:
    rate = FloatRange(None, None, 1e-5, 1e-1, None, "log")
    assert [place(rate, 10.0**power) for power in (-5, -4, -3, -1)] == pytest.approx([0, 0.25, 0.5, 1])
    choice = Choice(None, None, [1, "1", True], None)
    assert [place(choice, value) for value in (1, "1", True)] == [0, 0.5, 1]
    assert [place(BooleanChoice(None, None), value) for value in (False, True)] == [0, 1]
    assert place(IntRange(None, None, 4, 4, None, "linear"), 4) == 0.5


@pytest.mark.parametrize(
    ("distribution", "labels"),
    [
        (FloatRange(None, None, 1e-5, 1e-1, None, "log"), ["1e-05", "0.0001", "0.001", "0.01", "0.1"]),
        (IntRange(None, None, 1, 3, None, "linear"), ["1", "2", "3"]),
        (FloatRange(None, None, 0.0, 0.8, None, "linear"), ["0", "0.2", "0.4", "0.6", "0.8"]),
        (BooleanChoice(None, None), ["false", "true"]),
        (Choice(None, None, list(range(40)), None), [str(number) for number in range(0, 40, 5)]),
    ],
)
def test_ticks_are_round_values_where_they_belong(distribution: Distribution, labels: list[str]) -> None:
    found = ticks(distribution)
    assert [label for _, label in found] == labels
    assert [where for where, _ in found] == sorted(where for where, _ in found)


def test_parallel_lines_pass_every_axis_at_their_value() -> None:
    found = search(20)
    shown = having(drawn(CHARTS["parallel"], found), "line", "axis")
    by_name = {one.name: one for one in found.space}
    for row in shown:
        trial = found.trials[row["line"]]
        assert row["score"] == trial.score
        if row["axis"] in trial.hyperparameters:
            distribution = by_name[row["axis"]].distribution
            assert row["place"] == place(distribution, trial.hyperparameters[row["axis"]])
        elif row["axis"] in by_name:
            assert row["place"] == parallel.UNUSED
    assert {row["line"] for row in shown} == {trial.number for trial in found.scored}
    assert any(row["place"] == parallel.UNUSED for row in shown)
    # The best one lies on top.
    assert shown[-1]["line"] == found.best_first(found.scored)[0].number


def test_a_configuration_that_was_promoted_is_one_line_not_three() -> None:
    shown = having(drawn(CHARTS["parallel"], staged()), "line", "axis")
    assert {row["line"] for row in shown} == {3, 4, 5, 6, 7, 8, 9, 11, 12}


def test_of_many_configurations_the_best_and_a_spread_are_drawn() -> None:
    found = search(1000)
    lines = parallel.chosen(found, found.configurations)
    ranked = found.best_first(found.scored)
    assert len(lines) == parallel.MAX_LINES
    assert lines[:100] == ranked[:100]
    assert lines[-1] == ranked[-1]
    assert "200 of 910 configurations" in said(drawn(CHARTS["parallel"], found))


# Importance.


def test_what_decides_the_score_is_the_most_important() -> None:
    found = search(200)
    shares = {row["name"]: row["share"] for row in having(drawn(CHARTS["importance"], found), "share")}
    assert next(iter(shares)) == "training.learning_rate"
    assert shares["training.learning_rate"] > 0.5
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == {one.name for one in found.space}


def test_importances_are_those_of_optuna_on_the_values_themselves() -> None:
    """The places that stand for the values change nothing where Optuna knows the distribution."""
    optuna = importance._optuna()
    found = search(40)
    known = {"training.learning_rate": (1e-5, 1e-1, True), "model.blocks": (1, 3, False)}
    study = optuna.create_study(direction="maximize")
    for trial in found.scored:
        params = {name: trial.hyperparameters[name] for name in known}
        distributions = {
            name: optuna.distributions.FloatDistribution(low, high, log=log)
            if log
            else optuna.distributions.IntDistribution(low, high)
            for name, (low, high, log) in known.items()
        }
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=trial.score)
        )
    quantile = (importance.best_of(len(found.scored)) - 0.5) / len(found.scored)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    kept = tuple(one for one in found.space if one.name in known)
    ours = importance.importances(replace(found.space, hyperparameters=kept), found.scored, "maximize")
    assert ours == pytest.approx(expected)


@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
@pytest.mark.parametrize("kind", [FloatRange, IntRange])
def test_values_on_steps_are_told_apart(kind: type[Range], sampling: str) -> None:
    stepped = kind(None, None, 1, 40, 3, sampling)
    values = stepped.grid_values()
    indices = [importance._value(stepped, value) for value in values]
    if sampling == "reverse_log":
        indices.reverse()
    expected = list(range(stepped.steps()))
    assert sorted(indices) == expected


def test_the_best_are_a_tenth_but_five_at_least_and_half_at_most() -> None:
    assert [importance.best_of(count) for count in (5, 9, 10, 28, 50, 51, 910)] == [2, 4, 5, 5, 5, 6, 91]


def test_importance_of_very_many_trials_takes_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "MAX_TRIALS", 60)
    specification = drawn(CHARTS["importance"], search(100))
    assert "the best 6 of 60 of 91 configurations" in said(specification)
    assert having(specification, "share")[0]["name"] == "training.learning_rate"


def test_importance_brings_nothing_into_the_process_that_trains(tmp_path: Path) -> None:
    code = """
import sys
from service.charts import CHARTS, drawn
from tests.service.charts.searches import search
assert "optuna" not in sys.modules
specification = drawn(CHARTS["importance"], search(30))
print(sorted({"sklearn", "scipy", "pandas", "keras", "tensorflow", "tuning"} & set(sys.modules)))
print(len(specification["data"]["values"]), "sklearn" in sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (found.stdout.splitlines(), found.stderr) == (["[]", "7 False"], "")


# Timeline.


def test_bars_last_as_long_as_the_trials_and_running_ones_until_now() -> None:
    found = running()
    bars = {row["trial"]: row for row in having(drawn(CHARTS["timeline"], found), "start", "end")}
    begun = [trial for trial in found.trials if trial.start_time is not None]
    assert set(bars) == {trial.number for trial in begun}
    for trial in begun:
        assert trial.start_time is not None
        assert bars[trial.number]["start"] == round(trial.start_time.timestamp() * 1000)
        assert bars[trial.number]["end"] == round((trial.end_time or NOW).timestamp() * 1000)


@given(
    times=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.sampled_from("ab")), max_size=25),
)
@settings(max_examples=60, deadline=None)
def test_bars_of_one_lane_never_overlap_and_no_lane_is_more_than_needed(times: list[Any]) -> None:
    found = [
        tried(number, worker=worker, start_time=at(begin), end_time=at(begin + length))
        for number, (begin, length, worker) in enumerate(times)
    ]
    lanes = timeline.packed(found, NOW)
    for one in found:
        assert lanes[one.number].partition(" ")[0] == one.worker
        for other in found[: one.number]:
            if lanes[other.number] == lanes[one.number]:
                assert one.start_time is not None
                assert other.start_time is not None
                assert one.end_time is not None
                assert other.end_time is not None
                assert one.end_time <= other.start_time or other.end_time <= one.start_time
    for worker in "ab":
        mine = [(begin, begin + max(length, 0.5)) for begin, length, name in times if name == worker]
        most = max((sum(a <= begin < b for a, b in mine) for begin, _ in mine), default=0)
        assert len({lane for number, lane in lanes.items() if times[number][2] == worker}) <= max(most, 1)


def test_results_that_were_taken_over_have_a_mark_and_no_slot() -> None:
    specification = drawn_of("reused", "timeline")
    marks = [row for row in having(specification, "lane", "began") if row["lane"] == timeline.REUSED]
    assert {row["trial"] for row in marks} == {0, 1, 5}
    assert all("job_01abc" in row["state"] for row in marks)
    assert "3 results taken over" in said(specification)


def test_states_have_the_same_colours_in_every_chart(made: Any) -> None:
    seen = set()
    for charts in made.values():
        for name in ("history", "timeline"):
            for layer in charts[name].get("layer", []):
                scale = layer.get("encoding", {}).get("color", {}).get("scale") or {}
                for state, color in zip(scale.get("domain", []), scale.get("range", []), strict=True):
                    assert STATE_COLORS[TrialState(state)] == color
                    seen.add(state)
    assert seen == {"completed", "stopped", "running", "failed"}


@given(count=st.integers(0, 300), most=st.integers(2, 50))
@settings(max_examples=40, deadline=None)
def test_what_is_thinned_keeps_both_ends_and_the_order(count: int, most: int) -> None:
    kept = thinned(range(count), most)
    assert len(kept) == min(count, most)
    assert kept == sorted(set(kept))
    assert not count or (kept[0], kept[-1]) == (0, count - 1)


def test_charts_stay_small_however_large_the_search(made: Any) -> None:
    assert {name: len(json.dumps(one)) < 500_000 for name, one in made["large"].items()} == dict.fromkeys(
        CHARTS, True
    )


def test_rows_are_ranked_as_the_objective_prefers() -> None:
    found: Rows = rows([tried(0, 0.5), tried(1, None), tried(2, 0.7, loss=None), tried(3, 0.7, loss=0.2)])
    assert [trial.number for trial in found.best_first(found.trials)] == [3, 2, 0, 1]
    flipped = replace(found, objective=LOSS)
    assert [trial.number for trial in flipped.best_first(flipped.trials)] == [0, 3, 2, 1]


def test_the_page_about_charts_has_every_chart_and_its_limits() -> None:
    page = (ROOT / "docs" / "charts.md").read_text(encoding="utf-8")
    for name in CHARTS:
        assert f"| `{name}` |" in page
    assert f"{history.MAX_POINTS:,} points" in page
    assert f"{curves.MAX_CURVES} trials" in page
    assert f"{curves.MAX_EPOCHS} epochs" in page
    assert f"{parallel.MAX_AXES} hyperparameters" in page
    assert f"from {importance.MIN_TRIALS} trials on" in page
    assert f"more than {importance.MAX_TRIALS:,} configurations" in page
    assert f"{timeline.MAX_BARS:,} trials" in page
    assert f"the first {MAX_TOLD} of them" in page
