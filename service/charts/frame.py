"""What all charts have in common: the frame around a picture, colours, and what a tooltip says of a trial.

Names and values that clients chose stand in data and titles only. The fields of the data have names of our
own (`h0`, `h1`, ...): Vega-Lite reads the dots and brackets of `training.learning_rate` as a path.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from schemas.charts import Rows, Tried
from schemas.distributions import Value
from schemas.objective import Objective
from schemas.spaces import Space
from schemas.states import TrialState

Specification = dict[str, Any]
Data = list[dict[str, Any]]
Item = TypeVar("Item")

# Version 5 is what JupyterLab renders without an extension; nothing here differs in version 6.
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
WIDTH, HEIGHT = 680, 380

# Of the palette of Okabe and Ito (2008), which people with any kind of colour vision tell apart.
BLUE, SKY, GREEN, ORANGE, GREY = "#0072B2", "#56B4E9", "#009E73", "#D55E00", "#999999"
INK, PALE = "#333333", "#8FA3B5"
STATE_COLORS = {
    TrialState.COMPLETED: BLUE,
    TrialState.STOPPED: SKY,
    TrialState.RUNNING: GREEN,
    TrialState.FAILED: ORANGE,
    TrialState.CANCELLED: GREY,
    TrialState.PENDING: "#F0E442",
}
# What a trial does not have: a score before its end, a value whose condition does not hold.
ABSENT = "none"
# Hyperparameters that a tooltip has room for.
MAX_TOLD = 20

_CONFIG: Specification = {
    "font": "sans-serif",
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "fontSize": 16,
        "color": INK,
        "subtitleColor": "#666666",
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
        "offset": 14,
    },
    "axis": {
        "gridColor": "#ECECEC",
        "domainColor": "#AAAAAA",
        "tickColor": "#AAAAAA",
        "labelColor": "#555555",
        "labelFontSize": 11,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "legend": {
        "labelColor": "#555555",
        "titleColor": INK,
        "titleFontWeight": "normal",
        "symbolStrokeWidth": 2,
    },
}


class Empty(Exception):
    """There is nothing to show yet; the text says why."""


class Make(Protocol):
    """Draws a chart: a pure function of rows. Raises `Empty`."""

    def __call__(self, rows: Rows) -> Specification: ...


def framed(
    title: str, subtitle: str, said: str, body: Mapping[str, Any], height: float = HEIGHT
) -> Specification:
    """A whole specification.

    Args:
        said: the description, for who cannot see the picture.
        body: data, and layers or a mark with its encoding.
    """
    return {
        "$schema": SCHEMA,
        "description": f"{title}. {said}",
        "title": {"text": title, "subtitle": subtitle},
        "width": WIDTH,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": 12,
        "background": "white",
        **body,
        "config": _CONFIG,
    }


def empty(title: str, why: str) -> Specification:
    """A chart of nothing."""
    encoding = {"text": {"field": "text", "type": "nominal"}}
    body = {"data": {"values": []}, "mark": "text", "encoding": encoding}
    return framed(title, why, why, body, height=120)


def told(trial: Tried, space: Space) -> dict[str, Any]:
    """What a tooltip says of a trial, as data."""
    state = f"{trial.state.value} ({trial.error})" if trial.error else trial.state.value
    if trial.reused:
        state = f"taken from trial {trial.reused['trial']} of {trial.reused['job']}"
    values = {
        _field(place): text(trial.hyperparameters.get(one.name))
        for place, one in enumerate([*space][:MAX_TOLD])
    }
    return {"trial": trial.number, "state": state, "result": text(trial.score), **values}


def tooltip(objective: Objective, space: Space, *more: Mapping[str, Any]) -> Data:
    """The lines of a tooltip over data made by `told`, those of ``more`` after the score."""
    named = [line("trial", "trial"), line("state", "state"), line("result", objective.metric)]
    values = [line(_field(place), one.name) for place, one in enumerate([*space][:MAX_TOLD])]
    return [*named, *map(dict, more), *values]


def fields(space: Space) -> list[str]:
    """The fields that `told` makes."""
    return ["state", "result", *(_field(place) for place in range(min(len(space), MAX_TOLD)))]


def line(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "nominal", "title": title}


def _field(place: int) -> str:
    return f"h{place}"


def text(value: Value | None) -> str:
    """A value for people, numbers with four digits that count."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None


def state_scale(found: Sequence[Tried]) -> Specification:
    """The colours of the states that occur."""
    present = [state for state in STATE_COLORS if any(trial.state == state for trial in found)]
    return {"domain": [state.value for state in present], "range": [STATE_COLORS[one] for one in present]}


def metric_title(objective: Objective) -> str:
    better = "higher" if objective.direction == "maximize" else "lower"
    return f"{objective.metric} ({better} is better)"


def whole_numbers(first: int, last: int) -> Specification:
    """An axis of numbers of trials or epochs: no tick between two of them."""
    few = {"values": list(range(first, last + 1))} if last - first <= 15 else {}
    return {"format": "d", "grid": False, **few}


def span(values: Iterable[float]) -> Specification:
    """The scale of a score: about the values that there are, also when all are equal."""
    low, high = min(values := list(values)), max(values)
    if low < high:
        return {"zero": False, "padding": 12}
    margin = 0.1 * abs(low) or 0.1
    return {"zero": False, "nice": False, "domain": [low - margin, high + margin]}


def milliseconds(moment: datetime) -> int:
    """Since 1970: what Vega takes for a time without parsing."""
    return round(moment.timestamp() * 1000)


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def of_all(shown: int, there: int, noun: str) -> str:
    """How much of what there is a chart shows."""
    return counted(there, noun) if shown == there else f"{shown:,} of {counted(there, noun)}"


def require_scores(rows: Rows) -> None:
    """Raises `Empty` unless some trial has a score."""
    if rows.scored:
        return
    if any(trial.is_range_test for trial in rows.trials):
        raise Empty("A learning-rate range test has no score, and no trial after it has ended yet.")
    if any(trial.state == TrialState.FAILED for trial in rows.trials):
        raise Empty("No trial has a score: those that ended have failed or were cancelled.")
    raise Empty("No trial has a score yet.")
