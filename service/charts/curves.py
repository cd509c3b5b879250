"""Learning curves: the objective's metric by epoch, the best trial's in front."""

from collections.abc import Mapping, Sequence

from schemas.charts import Point, Rows, Tried
from schemas.states import TrialState
from service.charts.frame import (
    BLUE,
    GREEN,
    PALE,
    Data,
    Empty,
    Specification,
    counted,
    fields,
    finite,
    framed,
    line,
    metric_title,
    span,
    told,
    tooltip,
    whole_numbers,
)

TITLE = "Learning curves"
# Curves of one picture, and epochs of each.
MAX_CURVES, MAX_EPOCHS = 50, 100

BEST, RUNNING, OTHERS = "best trial", "running", "others"
_COLORS = {BEST: BLUE, RUNNING: GREEN, OTHERS: PALE}
# A loss that falls further than this is drawn on a logarithmic scale.
_WIDE = 30


def wanted(rows: Rows) -> list[int]:
    """The trials whose epochs are to be read: those that are drawn, and those that they go on from."""
    by_number = {trial.number: trial for trial in rows.trials}
    return sorted({one.number for trial in _drawn(rows) for one in _line(trial, by_number)})


def kept(rows: Rows) -> list[int]:
    """Epochs of them that must not be thinned away: the best and the last ones."""
    drawn = set(wanted(rows))
    ends = [epoch for one in rows.trials if one.number in drawn for epoch in (one.best_epoch, one.last_epoch)]
    return [epoch for epoch in ends if epoch is not None]


def draw(rows: Rows) -> Specification:
    by_number = {trial.number: trial for trial in rows.trials}
    curves = {one.number: _points(one, by_number, rows.points) for one in _drawn(rows)}
    drawn = [one for one in _drawn(rows) if curves[one.number]]
    if not drawn:
        raise Empty("No trial has ended an epoch yet.")
    best = rows.best_first(rows.scored)[:1]
    # What is drawn last is in front.
    values = [
        row
        for trial in sorted(drawn, key=lambda one: -list(_COLORS).index(_kind(one, best)))
        for row in _rows(trial, best, curves[trial.number])
    ]
    subtitle = _subtitle(rows, [curves[one.number] for one in drawn])
    body = {
        "data": {"values": values},
        "transform": [_lookup(rows, drawn)],
        "encoding": _shared(rows, values),
        "layer": [*_lines(rows), _dots(rows, values), *_peak(rows, best)],
    }
    said = f"{rows.objective.metric} of trials after each epoch, the best trial highlighted. {subtitle}"
    return framed(TITLE, subtitle, said, body)


def _drawn(rows: Rows) -> list[Tried]:
    """Running trials, then the best, then what else has begun; no trial that another goes on from."""
    ranked = rows.best_first(_begun(rows))
    # Before all others: the best one that has ended.
    first = sorted(ranked, key=lambda one: (one is not ranked[0], one.state != TrialState.RUNNING))
    return first[:MAX_CURVES]


def _begun(rows: Rows) -> list[Tried]:
    gone_on = {one.parent for one in rows.trials if one.start_time is not None}
    return [
        one
        for one in rows.trials
        if one.start_time is not None and one.number not in gone_on and not one.is_range_test
    ]


def _line(trial: Tried, by_number: Mapping[int, Tried]) -> list[Tried]:
    """The trial and all that it goes on from, itself last."""
    found = [trial]
    while (parent := found[0].parent) is not None and parent in by_number:
        found.insert(0, by_number[parent])
    return found


def _points(
    trial: Tried, by_number: Mapping[int, Tried], points: Mapping[int, Sequence[Point]]
) -> list[Point]:
    """The whole curve of a configuration."""
    found = {one.epoch: one for part in _line(trial, by_number) for one in points.get(part.number, ())}
    return [found[epoch] for epoch in sorted(found)]


def _kind(trial: Tried, best: Sequence[Tried]) -> str:
    if trial in best:
        return BEST
    return RUNNING if trial.state == TrialState.RUNNING else OTHERS


def _rows(trial: Tried, best: Sequence[Tried], points: Sequence[Point]) -> Data:
    return [
        {
            "line": trial.number,
            "kind": _kind(trial, best),
            "epoch": one.epoch,
            "value": finite(one.value),
            **({"folds": one.folds} if one.folds > 1 else {}),
        }
        for one in points
    ]


def _subtitle(rows: Rows, lines: Sequence[Sequence[Point]]) -> str:
    there = len(_begun(rows))
    few = f" of {there:,} trials, running and best ones first" if there > MAX_CURVES else ""
    parts = [counted(len(lines), "curve") + few]
    if any(point.folds > 1 for points in lines for point in points):
        parts.append("means over the folds")
    if any(points[-1].epoch > len(points) for points in lines):
        parts.append("not every epoch is drawn")
    return "; ".join(parts) + "."


def _lookup(rows: Rows, drawn: Sequence[Tried]) -> Specification:
    """What is said of a trial stands in the data once, not once an epoch."""
    values = [told(one, rows.space) for one in drawn]
    source = {"data": {"values": values}, "key": "trial", "fields": ["trial", *fields(rows.space)]}
    return {"lookup": "line", "from": source}


def _shared(rows: Rows, values: Data) -> Specification:
    present = [kind for kind in _COLORS if any(row["kind"] == kind for row in values)]
    scale = {"domain": present, "range": [_COLORS[kind] for kind in present]}
    return {
        "x": {
            "field": "epoch",
            "type": "quantitative",
            "title": "epoch",
            "axis": whole_numbers(1, max(row["epoch"] for row in values)),
            "scale": {"zero": False, "nice": False, "padding": 8},
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "title": metric_title(rows.objective),
            "scale": _scale(rows, values),
        },
        "detail": {"field": "line", "type": "nominal"},
        "color": {"field": "kind", "type": "nominal", "title": None, "scale": scale},
    }


def _scale(rows: Rows, values: Data) -> Specification:
    seen = [row["value"] for row in values if row["value"] is not None]
    wide = seen and min(seen) > 0 and max(seen) / min(seen) > _WIDE
    if rows.objective.direction == "minimize" and wide:
        return {"type": "log"}
    return span(seen or [0.0])


def _lines(rows: Rows) -> list[Specification]:
    """The best one in a layer of its own: thicker, and over all others."""
    told_all = tooltip(rows.objective, rows.space)
    others = {"type": "line", "strokeWidth": 1.3, "opacity": 0.6}
    best = {"type": "line", "strokeWidth": 3}
    return [
        {
            "transform": [{"filter": {"field": "kind", ("equal" if front else "oneOf"): kinds}}],
            "mark": mark,
            "encoding": {"tooltip": told_all},
        }
        for front, kinds, mark in ((False, [OTHERS, RUNNING], others), (True, BEST, best))
    ]


def _dots(rows: Rows, values: Data) -> Specification:
    """Something to point at; seen only where there are too few epochs for lines."""
    few = len({row["epoch"] for row in values}) <= 2
    more = [line("epoch", "epoch"), line("value", f"{rows.objective.metric} here")]
    folds = [line("folds", "folds so far")] if any("folds" in row for row in values) else []
    return {
        "mark": {"type": "point", "filled": True, "size": 40, "opacity": 0.9 if few else 0},
        "encoding": {"tooltip": tooltip(rows.objective, rows.space, *more, *folds)},
    }


def _peak(rows: Rows, best: Sequence[Tried]) -> list[Specification]:
    """The epoch that the best trial is judged by."""
    if not best or best[0].best_epoch is None:
        return []
    of_best = {
        "and": [{"field": "line", "equal": best[0].number}, {"field": "epoch", "equal": best[0].best_epoch}]
    }
    mark = {"type": "point", "filled": True, "size": 90, "opacity": 1, "stroke": "white", "strokeWidth": 1.5}
    encoding = {"tooltip": tooltip(rows.objective, rows.space, line("epoch", "best epoch"))}
    return [{"transform": [{"filter": of_best}], "mark": mark, "encoding": encoding}]
