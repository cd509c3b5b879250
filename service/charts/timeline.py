"""Trials over time: a bar for each, in the slot of the worker that ran it, coloured by state."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.charts import Rows, Tried
from service.charts.frame import (
    INK,
    STATE_COLORS,
    Data,
    Empty,
    Specification,
    counted,
    framed,
    line,
    milliseconds,
    of_all,
    state_scale,
    told,
    tooltip,
)

TITLE = "Trials over time"
# Bars of one picture: the latest.
MAX_BARS = 1_000
REUSED = "taken over"
_LANE = 28
# Bars that are narrower than this share of the time carry no number.
_NARROW = 0.035
# Milliseconds up to which the axis has labels of this form.
_FORMATS = ((600_000, "%H:%M:%S"), (86_400_000, "%H:%M"), (math.inf, "%b %d %H:%M"))


def draw(rows: Rows) -> Specification:
    began = [trial for trial in rows.trials if trial.start_time is not None]
    if not began:
        raise Empty("No trial has begun yet.")
    shown = sorted(began, key=_start)[-MAX_BARS:]
    ran, taken = [one for one in shown if not one.reused], [one for one in shown if one.reused]
    lanes = packed(ran, rows.now)
    names = [*dict.fromkeys(lanes[one.number] for one in sorted(ran, key=_start))]
    names = sorted(names, key=_natural) + ([REUSED] if taken else [])
    values = [_row(rows, one, lanes[one.number]) for one in ran]
    subtitle = _subtitle(rows, len(shown), len(began), len(taken))
    said = f"A bar for each trial from its beginning to its end. {subtitle}"
    layers = [
        *([_bars(rows, values, ran), _numbers(values)] if ran else []),
        *([_marks(rows, taken)] if taken else []),
    ]
    body = {"layer": layers, "encoding": _shared(names)}
    return framed(TITLE, subtitle, said, body, height=130 + _LANE * len(names))


def packed(trials: Sequence[Tried], now: datetime) -> dict[int, str]:
    """The lane of each: rows know the worker, not the slot, so what overlaps goes to different lanes."""
    found: dict[int, tuple[str, int]] = {}
    ends: dict[str, list[datetime]] = {}
    for trial in sorted(trials, key=_start):
        worker = trial.worker or "worker"
        mine = ends.setdefault(worker, [])
        free = [lane for lane, end in enumerate(mine) if end <= _start(trial)[0]]
        lane = free[0] if free else len(mine)
        mine[lane : lane + 1] = [trial.end_time or now]
        found[trial.number] = worker, lane
    return {
        number: f"{worker} · {lane + 1}" if len(ends[worker]) > 1 else worker
        for number, (worker, lane) in found.items()
    }


def _natural(name: str) -> tuple[str, int]:
    worker, _, lane = name.partition(" · ")
    return worker, int(lane or 0)


def _start(trial: Tried) -> tuple[datetime, int]:
    assert trial.start_time is not None
    return trial.start_time, trial.number


def _subtitle(rows: Rows, shown: int, there: int, taken: int) -> str:
    parts = [of_all(shown, there, "trial") + (", the latest" if shown < there else "")]
    if taken:
        parts.append(f"{counted(taken, 'result')} taken over from other jobs")
    if any(trial.is_range_test for trial in rows.trials):
        parts.append("a learning-rate range test among them")
    waiting = len(rows.trials) - there
    return (
        "; ".join([*parts, *([f"{waiting:,} not begun"] if waiting else [])]) + ". Of each the last attempt."
    )


def _row(rows: Rows, trial: Tried, lane: str) -> dict[str, object]:
    start, end = _start(trial)[0], trial.end_time or rows.now
    # Clocks of two machines may differ.
    end = max(start, end)
    kind = {"result": "range test"} if trial.is_range_test else {}
    return {
        **told(trial, rows.space),
        **kind,
        "lane": lane,
        "kind": trial.state.value,
        "start": milliseconds(start),
        "end": milliseconds(end),
        "began": f"{start.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "seconds": f"{(end - start).total_seconds():.1f} s",
    }


def _shared(names: Sequence[str]) -> Specification:
    axis = {"labelLimit": 220, "domain": False, "ticks": False, "labelPadding": 8}
    return {
        "y": {
            "field": "lane",
            "type": "nominal",
            "title": None,
            "axis": axis,
            "scale": {"domain": list(names), "paddingInner": 0.25},
        }
    }


def _x(values: Data) -> Specification:
    """The axis of time, its labels as fine as the whole is short."""
    format_ = next(text for limit, text in _FORMATS if _length(values) <= limit)
    axis = {"format": format_, "tickCount": 5, "labelOverlap": True, "labelSeparation": 12}
    scale = {"type": "utc", "nice": False}
    return {"type": "temporal", "title": "time (UTC)", "axis": axis, "scale": scale}


def _length(values: Data) -> int:
    return max(1, _end(values) - _begin(values))


def _begin(values: Data) -> int:
    return min((row["start"] for row in values), default=0)


def _end(values: Data) -> int:
    return max((row["end"] for row in values), default=0)


def _bars(rows: Rows, values: Data, ran: Sequence[Tried]) -> Specification:
    # A white edge keeps bars apart, but swallows those that are hardly wider than itself.
    narrowest = min(row["end"] - row["start"] for row in values)
    edge = {"stroke": "white", "strokeWidth": 1} if narrowest > 0.01 * _length(values) else {}
    more = [line("began", "began"), line("seconds", "lasted")]
    return {
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadius": 2, **edge},
        "encoding": {
            "x": {"field": "start", **_x(values)},
            "x2": {"field": "end"},
            "color": {"field": "kind", "type": "nominal", "title": None, "scale": state_scale(ran)},
            "tooltip": tooltip(rows.objective, rows.space, *more),
        },
    }


def _numbers(values: Data) -> Specification:
    """The numbers of the trials whose bars are wide enough."""
    wide = [
        {
            "lane": row["lane"],
            "middle": (row["start"] + row["end"]) / 2,
            "label": str(row["trial"]),
            "ink": INK if row["kind"] in _LIGHT else "white",
        }
        for row in values
        if row["end"] - row["start"] > _NARROW * _length(values)
    ]
    return {
        "data": {"values": wide},
        "mark": {"type": "text", "fontSize": 11, "tooltip": None},
        "encoding": {
            "x": {"field": "middle", "type": "temporal"},
            "text": {"field": "label", "type": "nominal"},
            "color": {"field": "ink", "type": "nominal", "scale": None},
        },
    }


# States whose colours are too light for white letters.
_LIGHT = [state.value for state, color in STATE_COLORS.items() if color in ("#56B4E9", "#F0E442", "#999999")]


def _marks(rows: Rows, taken: Sequence[Tried]) -> Specification:
    """Results from the trial cache took no time."""
    values = [_row(rows, one, REUSED) for one in taken]
    return {
        "data": {"values": values},
        "mark": {
            "type": "point",
            "shape": "diamond",
            "filled": True,
            "size": 90,
            "color": INK,
            "opacity": 0.8,
        },
        "encoding": {
            "x": {"field": "start", **_x(values)},
            "tooltip": tooltip(rows.objective, rows.space, line("began", "at")),
        },
    }
