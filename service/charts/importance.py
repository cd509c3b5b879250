"""Importance of hyperparameters: how differently the best trials choose each value from all trials.

By PED-ANOVA (Watanabe et al., IJCAI 2023), as Optuna has it.
"""

import math
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

from schemas.charts import Rows, Tried
from schemas.distributions import Distribution, IntRange, Range, Value
from schemas.spaces import Space
from service.charts.frame import BLUE, INK, Empty, Specification, framed, of_all, require_scores, thinned
from service.charts.places import choices, place

TITLE = "Importance of hyperparameters"
# Fewer say nothing. Of how many the best are told apart: a tenth, but these at least, as Optuna advises.
MIN_TRIALS, MIN_BEST = 5, 5
MAX_BARS = 20
# Optuna's time grows with the trials; so many, spread over the search, tell as much.
MAX_TRIALS = 2_000
_SHARE = 0.1
_ROW = 27


def draw(rows: Rows) -> Specification:
    require_scores(rows)
    found = rows.configurations
    if not len(rows.space):
        raise Empty("Nothing was left open: no hyperparameter can be more important than another.")
    if len(found) < MIN_TRIALS:
        text = f"{MIN_TRIALS} trials with a score are needed; there {'is' if len(found) == 1 else 'are'}"
        raise Empty(f"{text} {len(found)} so far.")
    if len({trial.score for trial in found}) == 1:
        raise Empty("All trials have the same score: nothing tells the best from the others.")
    there, found = len(found), thinned(found, MAX_TRIALS)
    shares = importances(rows.space, found, rows.objective.direction)
    if not shares:
        raise Empty("The best trials cannot be told from the others by their values.")
    return _drawn(len(found), there, shares)


def _drawn(count: int, there: int, shares: dict[str, float]) -> Specification:
    values = [{"name": name, "share": share} for name, share in list(shares.items())[:MAX_BARS]]
    compared = of_all(count, there, "configuration")
    subtitle = f"What tells the best {best_of(count)} of {compared} from all (PED-ANOVA)"
    if len(values) < len(shares):
        subtitle += f"; {of_all(len(values), len(shares), 'hyperparameter')}"
    first = next(iter(shares))
    said = f"A bar for each hyperparameter, the most important first: {first}. {subtitle}."
    told = [
        {"field": "name", "type": "nominal", "title": "hyperparameter"},
        {"field": "share", "type": "quantitative", "title": "importance", "format": ".1%"},
    ]
    axis = {"format": ".0%", "tickCount": 5}
    y_axis = {"labelLimit": 300, "labelFontSize": 12, "domain": False, "ticks": False, "labelPadding": 8}
    body = {
        "data": {"values": values},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "title": None, "sort": None, "axis": y_axis},
            "x": {
                "field": "share",
                "type": "quantitative",
                "title": "importance (all bars together are 100%)",
                "axis": axis,
                "scale": {"domainMin": 0},
            },
            "tooltip": told,
        },
        "layer": [
            {"mark": {"type": "bar", "color": BLUE, "cornerRadiusEnd": 3, "height": {"band": 0.68}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 6, "color": INK},
                "encoding": {"text": {"field": "share", "type": "quantitative", "format": ".1%"}},
            },
        ],
    }
    return framed(TITLE, subtitle + ".", said, body, height=130 + _ROW * len(values))


def best_of(count: int) -> int:
    """How many trials are taken for the best: half of them at most."""
    return min(max(math.ceil(_SHARE * count), MIN_BEST), count // 2)


def importances(space: Space, found: Sequence[Tried], direction: str) -> dict[str, float]:
    """Shares of 1 by name, the largest first; nothing when no value makes any difference."""
    optuna = _optuna()
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
    translated = {one.name: _translated(optuna, one.distribution) for one in space}
    study.add_trials([_trial(optuna, trial, space, translated) for trial in found])
    # Half a trial less: rounded up, as it is, it must not become one more.
    quantile = (best_of(len(found)) - 0.5) / len(found)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    evaluated = evaluator.evaluate(study)
    # No trial has had the others; which of equal ones comes first must not depend on a set's order.
    raw = {one.name: float(evaluated.get(one.name, 0.0)) for one in space}
    total = sum(raw.values())
    ranked = sorted(raw, key=lambda name: -raw[name])
    return {name: raw[name] / total for name in ranked} if total > 0 else {}


def _trial(optuna: Any, trial: Tried, space: Space, translated: dict[str, Any]) -> Any:
    """As Optuna would have it: without the values that the configuration does not have."""
    params = {
        one.name: _value(one.distribution, trial.hyperparameters[one.name])
        for one in space
        if one.name in trial.hyperparameters
    }
    distributions = {name: translated[name] for name in params}
    return optuna.trial.create_trial(params=params, distributions=distributions, value=trial.score)


def _translated(optuna: Any, given: Distribution) -> Any:
    """Numbers as places on their axis, so that every sampling is an even one; what is counted as indices."""
    count = _count(given)
    if not isinstance(given, Range):
        return optuna.distributions.CategoricalDistribution(list(range(count or 1)))
    if count is not None:
        return optuna.distributions.IntDistribution(0, count - 1)
    return optuna.distributions.FloatDistribution(0.0, 1.0)


def _value(given: Distribution, value: Value) -> float | int:
    count = _count(given)
    if count is None:
        return place(given, value)
    last = given.on_step(count - 1) if isinstance(given, Range) and given.step is not None else None
    whole = 1.0 if last is None else _share(given, last)
    index = round(_share(given, value) / whole * (count - 1)) if whole else 0
    return min(max(index, 0), count - 1)


def _share(given: Distribution, value: Value) -> float:
    """The place, from the end at which steps are counted."""
    share = place(given, value)
    return 1 - share if isinstance(given, Range) and given.sampling == "reverse_log" else share


def _count(given: Distribution) -> int | None:
    """How many values are told apart, if they are counted.

    Whole numbers by a logarithmic sampling are not: their places are uneven, the axis is not.
    """
    if not isinstance(given, Range):
        return len(choices(given))
    if given.step is not None:
        return given.steps()
    is_counted = isinstance(given, IntRange) and given.sampling == "linear"
    return int(given.max) - int(given.min) + 1 if is_counted else None


@cache
def _optuna() -> Any:
    """Optuna, once a chart needs it, as it is where scikit-learn is not installed.

    Its other evaluators would bring scikit-learn, SciPy and pandas into the process where they are there.
    """
    hidden = "sklearn" not in sys.modules
    if hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        import optuna
        import optuna.importance
    finally:
        if hidden:
            sys.modules.pop("sklearn", None)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Of conditional values that only one trial has had.
    warnings.filterwarnings("ignore", module="optuna")
    return optuna
