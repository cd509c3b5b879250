"""What notebooks show of jobs and data sets: tables without scripts or colours of their own.

Everything that comes from the service is escaped. Text takes the colour of the page, light or dark.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from tuneserve.progress import plural

if TYPE_CHECKING:
    from tuneserve.datasets import Dataset
    from tuneserve.jobs import Job

MOST_CLASSES = 20
"""Classes that are listed; of the others only the number is told."""

_CELL = "text-align: left; padding: 0.1em 0.8em 0.1em 0"
_FAINT = "opacity: 0.7; font-weight: normal"


def job_html(job: "Job") -> str:
    """A job with its state, progress, best score and hyperparameters."""
    rows = [("state", _state(job)), ("progress", _progress(job))]
    if job.labels:
        rows.append(("labels", _text(", ".join(f"{name}: {value}" for name, value in job.labels.items()))))
    if job.best:
        at = f"trial {job.best.trial}" + (f", epoch {job.best.epoch}" if job.best.epoch else "")
        rows.append(("best", f"<b>{_text(number(job.best.score))}</b> <span>({_text(at)})</span>"))
        rows.append(("hyperparameters", _pairs(job.best.hyperparameters)))
    if job.error:
        rows.append(
            ("error", f"<b>{_text(job.error.code)}</b>: {_text(job.error.detail or job.error.title)}")
        )
    for warning in job.raw.get("warnings") or ():
        rows.append(("warning", _text(_said(warning))))
    return _table("job", job.name, job.id, rows)


def dataset_html(dataset: "Dataset") -> str:
    """A data set with its shape, classes and their counts."""
    rows = [
        ("samples", _text(f"{dataset.samples:,}")),
        ("shape", _text(" x ".join(map(str, dataset.shape)))),
        ("values", _text(f"{dataset.dtype}, {size(dataset.bytes)}")),
        ("classes", _classes(dataset)),
    ]
    rows += [("warning", _text(_said(warning))) for warning in dataset.warnings]
    return _table("data set", dataset.name, dataset.id, rows)


def number(value: Any) -> str:
    """A number as people read it: four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def size(count: int) -> str:
    """Bytes as people read them."""
    amount, units = float(count), ["bytes", "kB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.3g} {units[0]}"


def _state(job: "Job") -> str:
    why = f" ({job.stop_reason})" if job.stop_reason else ""
    return f"<b>{_text(job.state)}</b>{_text(why)}"


def _progress(job: "Job") -> str:
    progress = job.progress
    of = f" of {progress.max_trials}" if progress.max_trials else ""
    trials = plural(progress.max_trials or progress.ended, "trial")
    epochs = f"{progress.epochs} {plural(progress.epochs, 'epoch')}"
    told = _text(f"{progress.ended}{of} {trials}, {epochs}, {progress.elapsed_seconds:.0f} s")
    if not progress.max_trials:
        return told
    return f'<progress value="{progress.ended:d}" max="{progress.max_trials:d}"></progress> {told}'


def _classes(dataset: "Dataset") -> str:
    shown = dataset.classes[:MOST_CLASSES]
    more = len(dataset.classes) - len(shown)
    told = _pairs({one.name: f"{one.count:,}" for one in shown})
    return told + (f"<div>and {more} more</div>" if more else "")


def _pairs(values: Mapping[str, Any]) -> str:
    """A table within the table."""
    rows = "".join(
        f'<tr><td style="{_CELL}">{_text(name)}</td><td style="{_CELL}">{_text(number(value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _said(warning: Any) -> str:
    return str(warning.get("detail") or warning.get("code")) if isinstance(warning, Mapping) else str(warning)


def _table(kind: str, name: str | None, id: str, rows: Iterable[tuple[str, str]]) -> str:
    """Rows of a name and HTML."""
    title = f"{_text(kind)} <b>{_text(name)}</b>" if name else _text(kind)
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL}; {_FAINT}; vertical-align: top">{_text(key)}</th>'
        f'<td style="{_CELL}">{html}</td></tr>'
        for key, html in rows
    )
    caption = f'<caption style="text-align: left">{title} <code>{_text(id)}</code></caption>'
    return f'<table class="tuneserve">{caption}<tbody>{lines}</tbody></table>'


def _text(value: Any) -> str:
    return escape(str(value), quote=True)
