"""Parallel coordinates: each trial a line through the values that it had, coloured by its score."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from schemas.charts import Rows, Tried
from schemas.spaces import Hyperparameter
from service.charts.frame import (
    INK,
    WIDTH,
    Data,
    Empty,
    Specification,
    fields,
    framed,
    metric_title,
    of_all,
    require_scores,
    text,
    thinned,
    told,
    tooltip,
)
from service.charts.places import place, ticks

TITLE = "Parallel coordinates"
# Lines and axes of one picture.
MAX_LINES, MAX_AXES = 200, 12
# Where a line passes an axis whose value its configuration does not have: below it.
UNUSED = -0.12
_AXIS_WIDTH = 96


@dataclass(frozen=True)
class Scores:
    """The last axis; up is more, whether more is better or not."""

    low: float
    high: float

    @classmethod
    def of(cls, found: Sequence[Tried]) -> Self:
        scores = [one.score for one in found if one.score is not None]
        return cls(min(scores), max(scores))

    def place(self, score: float) -> float:
        return 0.5 if self.low == self.high else (score - self.low) / (self.high - self.low)

    def ticks(self) -> dict[float, str]:
        found = (self.low, (self.low + self.high) / 2, self.high)
        return {self.place(one): text(float(one)) for one in found}


def draw(rows: Rows) -> Specification:
    require_scores(rows)
    if not len(rows.space):
        raise Empty("Nothing was left open: all trials have the same hyperparameters.")
    found = rows.configurations
    lines, axes = chosen(rows, found), [*rows.space][:MAX_AXES]
    scores = Scores.of(found)
    metric = rows.objective.metric
    values = [row for trial in reversed(lines) for row in _rows(metric, scores, trial, axes)]
    subtitle = _subtitle(rows, len(lines), len(found), len(axes))
    names = [*(one.name for one in axes), metric]
    said = f"A line for each configuration through its values, coloured by score. {subtitle}"
    body = {
        "width": max(WIDTH, _AXIS_WIDTH * len(names)),
        "layer": [_rules(names), _lines(rows, values, lines), _labels(metric, scores, axes, lines)],
        "encoding": _shared(names),
    }
    return framed(TITLE, subtitle, said, body)


def chosen(rows: Rows, found: Sequence[Tried]) -> list[Tried]:
    """Best first. Of many the best half of `MAX_LINES`, and a spread of the others to compare them with."""
    ranked = rows.best_first(found)
    if len(ranked) <= MAX_LINES:
        return ranked
    half = MAX_LINES // 2
    return ranked[:half] + thinned(ranked[half:], MAX_LINES - half)


def _subtitle(rows: Rows, lines: int, there: int, axes: int) -> str:
    parts = [f"{of_all(lines, there, 'configuration')} with a score"]
    if lines < there:
        parts.append(f"the best {MAX_LINES // 2} and a spread of the others")
    if axes < len(rows.space):
        parts.append(f"the first {axes} of {len(rows.space)} hyperparameters")
    if any(one.conditions for one in [*rows.space][:axes]):
        parts.append("below an axis: without this value")
    return "; ".join(parts) + "."


def _rows(
    metric: str, scores: Scores, trial: Tried, axes: Sequence[Hyperparameter]
) -> Iterator[dict[str, object]]:
    assert trial.score is not None
    for one in axes:
        value = trial.hyperparameters.get(one.name)
        where = UNUSED if value is None else place(one.distribution, value)
        yield {"line": trial.number, "axis": one.name, "place": where, "score": trial.score}
    where = scores.place(trial.score)
    yield {"line": trial.number, "axis": metric, "place": where, "score": trial.score}


def _shared(names: Sequence[str]) -> Specification:
    axis = {
        "title": None,
        "orient": "top",
        "domain": False,
        "ticks": False,
        "labelAngle": 0,
        "labelPadding": 10,
        "labelLimit": _AXIS_WIDTH - 6,
        "labelFontWeight": "bold",
        # The parts of a path under each other: this text is ours, the label is data.
        "labelExpr": "split(datum.label, '.')",
        "labelBaseline": "line-bottom",
    }
    scale = {"type": "point", "padding": 0.45, "domain": list(names)}
    return {"x": {"field": "axis", "type": "nominal", "axis": axis, "scale": scale}}


def _rules(names: Sequence[str]) -> Specification:
    low = {"datum": 0, "type": "quantitative", "axis": None, "scale": {"domain": [UNUSED - 0.03, 1.03]}}
    return {
        "data": {"values": [{"axis": name} for name in names]},
        "mark": {"type": "rule", "color": "#BBBBBB", "strokeWidth": 1.2},
        "encoding": {"y": {**low}, "y2": {"datum": 1}},
    }


def _lines(rows: Rows, values: Data, lines: Sequence[Tried]) -> Specification:
    """The best are drawn last, over the others."""
    source = {"data": {"values": [told(one, rows.space) for one in lines]}, "key": "trial"}
    lookup = {"lookup": "line", "from": {**source, "fields": ["trial", *fields(rows.space)]}}
    many = len(lines) > 60
    color = {
        "field": "score",
        "type": "quantitative",
        "title": metric_title(rows.objective).split(" ", 1),
        # Dark is good; the palest end of the scheme is left out, white paper swallows it.
        "scale": {
            "scheme": {"name": "viridis", "extent": [0.0, 0.92]},
            "reverse": rows.objective.direction == "maximize",
            "zero": False,
            "nice": False,
        },
        "legend": {"format": ".4~g", "gradientLength": 160, "titleLimit": 160},
    }
    return {
        "data": {"values": values},
        "transform": [lookup],
        "mark": {"type": "line", "strokeWidth": 1.2 if many else 2, "opacity": 0.4 if many else 0.8},
        "encoding": {
            "y": {"field": "place", "type": "quantitative"},
            "detail": {"field": "line", "type": "nominal"},
            "color": color,
            "tooltip": tooltip(rows.objective, rows.space),
        },
    }


def _labels(
    metric: str, scores: Scores, axes: Sequence[Hyperparameter], lines: Sequence[Tried]
) -> Specification:
    values = [
        {"axis": one.name, "place": where, "label": label}
        for one in axes
        for where, label in [*ticks(one.distribution), *_unused(one, lines)]
    ]
    values += [{"axis": metric, "place": where, "label": label} for where, label in scores.ticks().items()]
    return {
        "data": {"values": values},
        # A white edge keeps them readable over the lines.
        "layer": [
            {"mark": {**_TEXT, "stroke": "white", "strokeWidth": 3.5, "strokeOpacity": 0.85}},
            {"mark": {**_TEXT, "color": INK}},
        ],
        "encoding": {
            "y": {"field": "place", "type": "quantitative"},
            "text": {"field": "label", "type": "nominal"},
        },
    }


_TEXT = {
    "type": "text",
    "align": "left",
    "dx": 5,
    "fontSize": 10.5,
    "limit": _AXIS_WIDTH - 14,
    "tooltip": None,
}


def _unused(one: Hyperparameter, lines: Sequence[Tried]) -> list[tuple[float, str]]:
    missing = any(one.name not in trial.hyperparameters for trial in lines)
    return [(UNUSED, "not used")] if missing else []
