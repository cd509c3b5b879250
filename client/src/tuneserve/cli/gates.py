"""Gates: what a job's model must come to before a pipeline goes on, checked before the job is paid for.

A gate names a metric of the validation share (`val_accuracy`), of the test share (`test_accuracy`), the
objective (`score`) or a fact of the model (`parameters`, `model_bytes`, `prediction_seconds`), and a limit.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from tuneserve.best import Best
from tuneserve.cli.refusals import Refused

Bound = Literal["min", "max"]
Spec = Mapping[str, Any]
Values = Mapping[str, float | None]

SCORE = "score"
"""The objective, whatever metric that is."""

FACTS = ("parameters", "model_bytes", "prediction_seconds")
"""Of the model that is handed out: a count, bytes of `model.keras`, seconds that one image takes."""

ALWAYS = ("loss", "accuracy")
"""Measured in every job, asked for or not."""

SHARES = ("val_", "test_")
"""What stands before a metric: the share of the images that it is measured on."""

_TINY = 1e-12


class GateError(Refused):
    """A gate that cannot be: found before anything is submitted."""


@dataclass(frozen=True)
class Gate:
    """A limit that a metric must keep; `baseline` is the value that the limit was made from, if it was."""

    metric: str
    bound: Bound
    limit: float
    baseline: float | None = None

    def __str__(self) -> str:
        return f"{self.metric} {'>=' if self.bound == 'min' else '<='} {number(self.limit)}"

    @property
    def option(self) -> str:
        """Such as `--min val_accuracy`: what the gate came from."""
        return "--baseline" if self.baseline is not None else f"--{self.bound} {self.metric}"

    def is_met(self, actual: float) -> bool:
        # 0.98 - 0.005 is a little more than 0.975: the last digit must not decide.
        if math.isclose(actual, self.limit, rel_tol=_TINY, abs_tol=_TINY):
            return True
        return actual >= self.limit if self.bound == "min" else actual <= self.limit


@dataclass(frozen=True)
class Judged:
    """A gate and what came out; `reason` says why there is no number."""

    gate: Gate
    actual: float | None
    is_met: bool
    reason: str | None = None

    def document(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {**document_of(self.gate), "actual": self.actual, "met": self.is_met, "reason": self.reason}


def document_of(gate: Gate) -> dict[str, Any]:
    """A gate that was not judged, as `--json` has it."""
    known = {"metric": gate.metric, "bound": gate.bound, "limit": gate.limit, "baseline": gate.baseline}
    return {**known, "actual": None, "met": None, "reason": None}


def number(value: float | None) -> str:
    """A number as people read it: counts whole, the rest to six digits."""
    if value is None:
        return "none"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.6g}"


def direction(metric: str) -> Bound:
    """Which bound keeps a metric from getting worse: more is better but for losses, sizes and times."""
    return "max" if metric in FACTS or _bare(metric) == "loss" else "min"


def read_gates(mins: Sequence[str], maxs: Sequence[str]) -> list[Gate]:
    """The gates of `--min` and `--max`, each `metric=number`.

    Raises:
        GateError: It is not of that form, the number is none that the metric can have, a gate is given
            twice, or two of them cannot both be met.
    """
    gates = [_read("min", text) for text in mins] + [_read("max", text) for text in maxs]
    limits: dict[tuple[str, Bound], float] = {}
    for gate in gates:
        if (gate.metric, gate.bound) in limits:
            raise GateError(f"{gate.option} is given twice.")
        limits[gate.metric, gate.bound] = gate.limit
    for metric in {gate.metric for gate in gates}:
        low, high = limits.get((metric, "min")), limits.get((metric, "max"))
        if low is not None and high is not None and low > high:
            raise GateError(f"{metric} cannot be at least {number(low)} and at most {number(high)}.")
    return gates


def _read(bound: Bound, text: str) -> Gate:
    metric, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not metric:
        raise GateError(f"--{bound} {text}: a gate is metric=number, such as val_accuracy=0.97.")
    try:
        limit = float(value)
    except ValueError:
        hint = _unit_hint(metric)
        raise GateError(f"--{bound} {metric}: {value!r} is not a number{hint}.") from None
    if not math.isfinite(limit):
        raise GateError(f"--{bound} {metric}: {value} is not a limit.")
    return _possible(Gate(metric, bound, limit))


def _unit_hint(metric: str) -> str:
    hints = {
        "parameters": "a plain count, such as 2e6",
        "model_bytes": "bytes, without a unit, such as 5e6",
        "prediction_seconds": "seconds, without a unit, such as 0.01",
    }
    return f" ({hints.get(metric, 'a share is a number from 0 to 1, such as 0.97')})"


def _possible(gate: Gate) -> Gate:
    """The gate, if some value of its metric meets it and some other does not."""
    if gate.limit < 0:
        raise GateError(f"{gate.option}: {gate.metric} is never below 0.")
    if is_share(gate.metric) and gate.limit > 1:
        raise GateError(_no_share(f"{gate.option}: {gate.metric} is", gate.limit))
    return gate


def check_tolerance(tolerance: float, metric: str) -> None:
    """Raises `GateError` for one that no value of the metric could exceed: the gate would say nothing."""
    if is_share(metric) and tolerance >= 1:
        raise GateError(_no_share(f"--tolerance: {metric} is", tolerance))


def _no_share(told: str, given: float) -> str:
    hint = f"; is {number(given / 100)} meant?" if given <= 100 else ""
    return f"{told} a number from 0 to 1, not {number(given)}{hint}"


def is_share(metric: str) -> bool:
    """Whether a metric goes from 0 to 1."""
    return metric.startswith(SHARES) and _bare(metric) != "loss"


def _bare(metric: str) -> str:
    return metric.removeprefix("val_").removeprefix("test_")


def offered(spec: Spec) -> list[str]:
    """Every metric that a job of this resolved spec has in the end; none where it trains no model."""
    if _trains_no_model(spec):
        return []
    measured = _measured(spec)
    shares = SHARES if _section(spec, "split").get("test") else SHARES[:1]
    return [SCORE, *(share + name for share in shares for name in measured), *FACTS]


def _trains_no_model(spec: Spec) -> bool:
    search = _section(spec, "search")
    return search.get("algorithm") == "lr_range_test" and search.get("then") is None


def _measured(spec: Spec) -> list[str]:
    """What is always there, what was asked for, and what the job is judged by."""
    training = _section(spec, "training")
    judged = [objective(spec), (training.get("early_stopping") or {}).get("monitor")]
    # A monitor that is left open is another one in each trial: the best trial's is not known yet.
    names = [_bare(name) for name in judged if isinstance(name, str)]
    return list(dict.fromkeys([*ALWAYS, *(training.get("metrics") or ()), *names]))


def objective(spec: Spec) -> str:
    """The metric that `score` is, such as `val_accuracy`."""
    return str(_section(spec, "objective").get("metric") or "val_accuracy")


def _section(spec: Spec, name: str) -> Mapping[str, Any]:
    return spec.get(name) or {}


def absent(gates: Iterable[Gate], spec: Spec) -> list[str]:
    """Metrics of gates that a job of this resolved spec will not have."""
    there = offered(spec)
    return list(dict.fromkeys(gate.metric for gate in gates if gate.metric not in there))


def absence(names: Sequence[str], spec: Spec, catalog: Mapping[str, Any]) -> GateError:
    """What to tell of metrics that the job will not have, and which it will.

    Args:
        catalog: What the service can measure; tells a metric that was not asked for from one that is not.
    """
    there = offered(spec)
    if not there:
        return GateError("This job trains no model (a range test without `then`): no gate can be on it.")
    lines = [f"No gate can be on {name}: {_why(name, spec, there, catalog)}" for name in names]
    return GateError("\n".join([*lines, f"This job will have: {', '.join(there)}."]))


def _why(name: str, spec: Spec, there: Sequence[str], catalog: Mapping[str, Any]) -> str:
    known = {str(entry.get("name")) for entry in catalog.get("metrics") or ()} | set(_measured(spec))
    bare = _bare(name)
    if name.startswith("test_") and bare in known and not _section(spec, "split").get("test"):
        return "split.test is 0, so no images are kept for a test."
    if name.startswith(SHARES) and bare in known:
        return f"it is not measured; put {bare} into training.metrics."
    if name in known:
        return f"say on which images: val_{name} or test_{name}."
    close = get_close_matches(name, there, 1)
    return f"there is no such metric{f'; is {close[0]} meant?' if close else '.'}"


def doubts(gates: Sequence[Gate], spec: Spec, estimate: Mapping[str, Any]) -> list[str]:
    """What is odd about gates, and yet may be meant."""
    return [*_turned_around(gates, spec), *unlikely(gates, estimate)]


def _turned_around(gates: Iterable[Gate], spec: Spec) -> Iterable[str]:
    """Gates that keep a loss from getting better."""
    for gate in gates:
        metric = objective(spec) if gate.metric == SCORE else gate.metric
        if gate.bound == "min" and _bare(metric) == "loss":
            yield f"{gate.option}: a lower {metric} is better; is --max meant?"


def unlikely(gates: Iterable[Gate], estimate: Mapping[str, Any]) -> list[str]:
    """Gates on the count of parameters that no model of the space will meet, by the estimate."""
    least, most = estimate.get("smallest_parameters"), estimate.get("largest_parameters")
    found = []
    for gate in gates:
        if gate.metric != "parameters" or least is None or most is None:
            continue
        if gate.bound == "max" and least > gate.limit:
            found.append(f"{gate}: the smallest model of this space has {number(least)}.")
        if gate.bound == "min" and most < gate.limit:
            found.append(f"{gate}: the largest model of this space has {number(most)}.")
    return found


def values_of(best: Best) -> dict[str, float | None]:
    """Everything that a gate may be on, of the best of a job that has ended."""
    facts = best.model
    return {
        SCORE: best.score,
        **{f"val_{name}": value for name, value in best.validation.items()},
        **{f"test_{name}": value for name, value in best.test.items()},
        "parameters": facts.parameters if facts else None,
        "model_bytes": facts.bytes if facts else None,
        "prediction_seconds": facts.prediction_seconds if facts else None,
    }


def judge(gates: Iterable[Gate], values: Values) -> list[Judged]:
    """Hold each gate against what came out; a value that is missing meets no gate."""
    return [_judged(gate, values) for gate in gates]


def _judged(gate: Gate, values: Values) -> Judged:
    actual = values.get(gate.metric)
    if actual is not None and math.isfinite(actual):
        return Judged(gate, actual, gate.is_met(actual))
    reason = "it was not finite" if gate.metric in values else "the result does not have it"
    if gate.metric in FACTS:
        reason = "the result does not tell it"
    return Judged(gate, None, False, reason)
