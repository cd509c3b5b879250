"""A picture of a search in text: a Mermaid chart, which sites such as GitHub and GitLab draw."""

import math
import re
from collections.abc import Sequence

from tuneserve.cli.gates import direction, is_share

_MOST_POINTS = 60


def best_so_far(scores: Sequence[float | None], metric: str) -> list[float]:
    """The best score after each trial that ended, from the first one with a score on."""
    better = max if direction(metric) == "min" else min
    found: list[float] = []
    for score in scores:
        if score is not None and math.isfinite(score):
            found.append(better(found[-1], score) if found else score)
        elif found:
            found.append(found[-1])
    return found


def thinned(values: Sequence[float]) -> list[float]:
    """At most so many values as a picture has room for, the first and the last among them."""
    if len(values) <= _MOST_POINTS:
        return list(values)
    step = (len(values) - 1) / (_MOST_POINTS - 1)
    return [values[round(index * step)] for index in range(_MOST_POINTS)]


def mermaid(values: Sequence[float], metric: str) -> str:
    """A line chart of the values; empty when there are none."""
    shown = thinned(values)
    if not shown:
        return ""
    name = re.sub(r"\W", " ", metric)
    low, high = min(shown), max(shown)
    room = (high - low) * 0.1 or abs(high) * 0.01 or 0.01
    top = min(high + room, 1.0) if is_share(metric) else high + room
    # One point is no line.
    points = shown * 2 if len(shown) == 1 else shown
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'    title "Best {name} so far"',
            f'    x-axis "Trials" 1 --> {max(2, len(values))}',
            f'    y-axis "{name}" {_plain(low - room)} --> {_plain(top)}',
            f"    line [{', '.join(_plain(value) for value in points)}]",
            "```",
        ]
    )


def _plain(value: float) -> str:
    # The chart's grammar knows no exponents.
    return f"{value:.8f}".rstrip("0").rstrip(".")
