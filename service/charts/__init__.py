"""Charts of a search: Vega-Lite specifications with their data in them, made from rows by pure functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.charts import ChartInfo, Rows
from service.charts import curves, history, importance, parallel, timeline
from service.charts.frame import Empty, Make, Specification, empty


@dataclass(frozen=True)
class Chart:
    """Args:
    needs: the trials whose epochs it is made of.
    """

    title: str
    description: str
    make: Make
    needs: Callable[[Rows], Sequence[int]] | None = None


CHARTS = {
    "history": Chart(
        history.TITLE, "The score of each trial that has ended, and the best score so far.", history.draw
    ),
    "curves": Chart(
        curves.TITLE,
        "The objective's metric after each epoch; the best trial highlighted.",
        curves.draw,
        curves.wanted,
    ),
    "parallel": Chart(
        parallel.TITLE,
        "Each hyperparameter an axis, each configuration a line, coloured by score.",
        parallel.draw,
    ),
    "importance": Chart(
        importance.TITLE, "How much each hyperparameter tells the best trials from all.", importance.draw
    ),
    "timeline": Chart(
        timeline.TITLE, "When each trial ran, and on which worker; coloured by state.", timeline.draw
    ),
}


def listed() -> list[ChartInfo]:
    return [ChartInfo(name, one.title, one.description) for name, one in CHARTS.items()]


def drawn(chart: Chart, rows: Rows) -> Specification:
    """The chart of these rows, or an empty one that says why there is nothing to see yet."""
    try:
        return chart.make(rows)
    except Empty as why:
        return empty(chart.title, str(why))
