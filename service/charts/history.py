"""Optimisation history: the score of each trial, and the best so far."""

from collections.abc import Sequence

from schemas.charts import Rows, Tried
from schemas.states import TrialState
from service.charts.frame import (
    INK,
    ORANGE,
    Data,
    Specification,
    counted,
    framed,
    metric_title,
    of_all,
    require_scores,
    span,
    state_scale,
    text,
    thinned,
    told,
    tooltip,
    whole_numbers,
)

TITLE = "Optimisation history"
# Points of one picture; more than that are thinned.
MAX_POINTS = 1_000


def draw(rows: Rows) -> Specification:
    require_scores(rows)
    scored = rows.scored
    shown = _shown(rows, scored)
    failed = thinned([one for one in rows.trials if one.state == TrialState.FAILED], MAX_POINTS)
    best = rows.best_first(scored)[0]
    subtitle = f"{of_all(len(shown), len(scored), 'trial')} with a score" + _failures(rows)
    subtitle += f". Best: {text(best.score)} in trial {best.number}; the line is the best so far."
    said = f"The score of every trial of a search, by number. {subtitle}"
    layers = [
        _step(best_so_far(rows)),
        _points(rows, shown),
        *([_crosses(rows, failed)] if failed else []),
        *_target(rows),
    ]
    return framed(TITLE, subtitle, said, {"layer": layers, "encoding": _shared(rows)})


def best_so_far(rows: Rows) -> list[tuple[int, float]]:
    """(number, best score up to it) wherever it changes, and at the last trial with a score."""
    steps: list[tuple[int, float]] = []
    for trial in rows.scored:
        assert trial.score is not None
        if rows.objective.is_better(trial.score, steps[-1][1] if steps else None):
            steps.append((trial.number, trial.score))
    last = rows.scored[-1].number if steps else None
    return steps if last is None or steps[-1][0] == last else [*steps, (last, steps[-1][1])]


def _shown(rows: Rows, scored: Sequence[Tried]) -> list[Tried]:
    """All of them, or so many as fit, every new best among them."""
    new_bests = {number for number, _ in best_so_far(rows)}
    kept = {trial.number for trial in thinned(scored, MAX_POINTS)} | new_bests
    return [trial for trial in scored if trial.number in kept]


def _failures(rows: Rows) -> str:
    failed = sum(trial.state == TrialState.FAILED for trial in rows.trials)
    return f", {counted(failed, 'failed one')} (crosses)" if failed else ""


def _shared(rows: Rows) -> Specification:
    axis = whole_numbers(rows.trials[0].number, rows.trials[-1].number)
    scale = {"zero": False, "nice": False, "padding": 12}
    x = {"field": "trial", "type": "quantitative", "title": "trial", "axis": axis, "scale": scale}
    return {"x": x}


def _step(steps: Sequence[tuple[int, float]]) -> Specification:
    values: Data = [{"trial": number, "best": score} for number, score in steps]
    return {
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "color": INK, "strokeWidth": 2},
        "encoding": {"y": {"field": "best", "type": "quantitative"}},
    }


def _points(rows: Rows, shown: Sequence[Tried]) -> Specification:
    values = [{**told(one, rows.space), "score": one.score, "kind": one.state.value} for one in shown]
    y = {"field": "score", "type": "quantitative", "title": metric_title(rows.objective)}
    target = [rows.objective.target] if rows.objective.target is not None else []
    scale = span([*(one.score for one in shown if one.score is not None), *target])
    color = {"field": "kind", "type": "nominal", "title": None, "scale": state_scale(shown)}
    return {
        "data": {"values": values},
        "mark": {"type": "point", "filled": True, "size": 60 if len(shown) <= 200 else 25, "opacity": 0.85},
        "encoding": {
            "y": {**y, "scale": scale},
            "color": color,
            "tooltip": tooltip(rows.objective, rows.space),
        },
    }


def _crosses(rows: Rows, failed: Sequence[Tried]) -> Specification:
    """Failed trials have no score: they stand on the axis."""
    mark = {"type": "point", "shape": "cross", "angle": 45, "filled": True, "color": ORANGE}
    return {
        "data": {"values": [told(one, rows.space) for one in failed]},
        "mark": {**mark, "size": 75 if len(failed) <= 50 else 25, "yOffset": -6},
        "encoding": {"y": {"value": "height"}, "tooltip": tooltip(rows.objective, rows.space)},
    }


def _target(rows: Rows) -> list[Specification]:
    if rows.objective.target is None:
        return []
    y = {"datum": rows.objective.target, "type": "quantitative"}
    rule = {"type": "rule", "strokeDash": [5, 4], "color": "#777777"}
    name = {"type": "text", "align": "right", "dy": -6, "dx": -4, "color": "#777777", "text": "target"}
    nowhere: Specification = {"values": [{}]}
    at_right = {"x": {"value": "width"}, "y": y}
    across = {"x": {"value": 0}, "x2": {"value": "width"}, "y": y}
    return [
        {"data": nowhere, "mark": rule, "encoding": across},
        {"data": nowhere, "mark": name, "encoding": at_right},
    ]
