"""The state of a job as its events tell it, and the table that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneserve.cli import text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

ENDED = ("completed", "stopped", "failed", "cancelled")
STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "stopped": "yellow",
    "cancelled": "yellow",
}
CURVE_WIDTH = 16
OTHER_LINES = 6
"""Lines of the display that are no trials."""


@dataclass
class Row:
    """A trial on the board; `curve` is the metric by epoch, of the fold that it is in."""

    number: int
    state: str = "pending"
    score: float | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    fold: int = 1
    curve: dict[int, float | None] = field(default_factory=dict)


@dataclass
class Board:
    """What is known of a job; `metric` is what its curves show."""

    id: str
    name: str = ""
    metric: str = "val_accuracy"
    state: str = "queued"
    progress: Mapping[str, Any] = field(default_factory=dict)
    best: Mapping[str, Any] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take an event in; one of an unknown kind changes nothing."""
        if kind in ("job", "progress", "end"):
            self.state = str(data.get("state") or self.state)
            self.progress = data.get("progress") or self.progress
            self.best = data.get("best") or self.best
        elif kind == "trial":
            self._trial(data)
        elif kind == "epoch":
            self._epoch(data)

    def take_trial(self, trial: Mapping[str, Any]) -> None:
        """Take in a whole trial, as the list of trials has it."""
        self._trial(trial)
        for epoch in trial.get("epochs") or ():
            self._epoch({**epoch, "trial": trial.get("number")})

    def _trial(self, data: Mapping[str, Any]) -> None:
        row = self._row(data.get("number"))
        row.state = str(data.get("state") or row.state)
        row.score = data.get("score")
        row.hyperparameters = data.get("hyperparameters") or row.hyperparameters
        row.error = (data.get("error") or {}).get("code")

    def _epoch(self, data: Mapping[str, Any]) -> None:
        row, fold = self._row(data.get("trial")), int(data.get("fold") or 1)
        if fold != row.fold:
            row.fold, row.curve = fold, {}
        row.curve[int(data.get("epoch") or 0)] = (data.get("metrics") or {}).get(self.metric)

    def _row(self, number: Any) -> Row:
        return self.rows.setdefault(int(number or 0), Row(int(number or 0)))

    def shown_rows(self, most: int) -> list[Row]:
        """The rows that there is room for: the running ones and the best one first, then the newest."""
        best = self.best.get("trial")

        def weight(row: Row) -> tuple[bool, bool, int]:
            return row.state == "running", row.number == best, row.number

        chosen = sorted(self.rows.values(), key=weight, reverse=True)[: max(1, most)]
        return sorted(chosen, key=lambda row: row.number)

    def headline(self) -> str:
        """`letters  running  7/10 trials  best 0.981 (trial 5)  about 3 min left`."""
        done = sum(int(self.progress.get(name) or 0) for name in ENDED)
        of = self.progress.get("max_trials")
        parts = [self.name or self.id, self.state, f"{done}/{of} trials" if of else f"{done} trials"]
        if self.best.get("score") is not None:
            parts.append(f"best {text.value(self.best['score'])} (trial {self.best.get('trial')})")
        if (left := self.progress.get("eta_seconds")) is not None and self.state == "running":
            parts.append(f"about {text.seconds(left)} left")
        return "  ".join(map(text.shown, parts))

    def render(self, height: int) -> "RenderableType":
        """The display, for a terminal of so many lines."""
        from rich.console import Group
        from rich.text import Text

        rows = self.shown_rows(height - OTHER_LINES)
        parts: list[RenderableType] = [
            Text(self.headline(), style="bold", no_wrap=True, overflow="ellipsis"),
            self._table(rows),
        ]
        if hidden := len(self.rows) - len(rows):
            more = f"and {hidden} more: tuneserve trials {text.shown(self.id)}"
            parts.append(Text(more, style="dim", no_wrap=True))
        return Group(*parts)

    def _table(self, rows: list[Row]) -> "Table":
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for name in ("trial", "state", "score", text.shown(self.metric)):
            table.add_column(name, justify="right" if name in ("trial", "score") else "left", no_wrap=True)
        # The one column that gives way; its cells are cut, for a line of a live display must not wrap.
        table.add_column("hyperparameters")
        for row in rows:
            is_best = row.number == self.best.get("trial")
            table.add_row(
                Text(f"{row.number}{'*' if is_best else ''}"),
                Text(text.shown(row.error or row.state), style=STYLES.get(row.state, "")),
                Text("" if row.score is None else text.value(row.score)),
                Text(text.sparkline([row.curve[epoch] for epoch in sorted(row.curve)], CURVE_WIDTH)),
                Text(text.pairs(row.hyperparameters), no_wrap=True, overflow="ellipsis"),
                style="bold" if is_best else "",
            )
        return table
