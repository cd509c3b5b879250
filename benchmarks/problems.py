"""What searches are compared on: published test functions, and the table of real trainings.

A problem is a space, an objective and its best value; how far a search is from that is its regret.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmarks import cnn_table
from benchmarks.cnn_table import EPOCHS
from schemas.distributions import Choice, Distribution, FloatRange, Value
from schemas.objective import Objective
from schemas.spaces import Hyperparameter, Space
from schemas.specs import JobSpec

Values = Mapping[str, Value]


@dataclass(frozen=True)
class Problem:
    """
    Args:
        source: where it was published.
        optimum: the best value that there is.
        evaluate: the value of a configuration after so many epochs; None when it fails. Functions have no
            epochs and are what they are.
    """

    name: str
    source: str
    space: Space
    objective: Objective
    optimum: float
    evaluate: Callable[[Values, int], float | None]
    has_epochs: bool = False

    def spec(self, algorithm: str, seed: int, max_trials: int) -> JobSpec:
        """A job that searches it with one of our algorithms, one trial at a time."""
        budget = {"max_trials": max_trials, "parallel_trials": 1}
        job = cnn_table.spec(seed=seed, search={"algorithm": algorithm}, budget=budget)
        return replace(job, space=self.space, objective=self.objective)

    def regret(self, score: float) -> float:
        return abs(self.optimum - score)


def branin(x: float, y: float) -> float:
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def rosenbrock(*x: float) -> float:
    return sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


_HARTMANN_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMANN_P = (
    (1312, 1696, 5569, 124, 8283, 5886),
    (2329, 4135, 8307, 3736, 1004, 9991),
    (2348, 1451, 3522, 2883, 3047, 6650),
    (4047, 8828, 8732, 5743, 1091, 381),
)


def hartmann(*x: float) -> float:
    def exponent(weights: tuple[float, ...], centre: tuple[int, ...]) -> float:
        return sum(a * (b - c * 1e-4) ** 2 for a, b, c in zip(weights, x, centre, strict=True))

    peaks = zip((1.0, 1.2, 3.0, 3.2), _HARTMANN_A, _HARTMANN_P, strict=True)
    return -sum(height * math.exp(-exponent(a, p)) for height, a, p in peaks)


def six_hump_camel(x: float, y: float) -> float:
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2


def beale(x: float, y: float) -> float:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


_PARTS: dict[str, Callable[[float, float], float]] = {
    "rosenbrock": lambda x, y: rosenbrock(x, y) / 300,
    "camel": lambda x, y: six_hump_camel(x, y) / 10,
    "beale": lambda x, y: beale(x, y) / 50,
}


def func_2c(first: str, second: str, x: float, y: float) -> float:
    """The sum of two functions that are chosen by name; the second's third to fifth names mean the same."""
    return sum(_PARTS[name.split("-")[0]](2 * x, 2 * y) for name in (first, second))


def _float(low: float, high: float) -> FloatRange:
    return FloatRange(None, None, low, high, None, "linear")


def _choice(*values: Value) -> Choice:
    return Choice(None, None, values, None)


def _function(
    name: str, source: str, optimum: float, call: Callable[..., float], *inputs: Distribution
) -> Problem:
    space = Space(tuple(Hyperparameter(f"x{number}", one, ()) for number, one in enumerate(inputs)))

    def evaluate(values: Values, epochs: int) -> float:
        return call(*(values[one.name] for one in space))

    return Problem(name, source, space, Objective("val_loss", "minimize", None), optimum, evaluate)


def functions() -> list[Problem]:
    """Domains and best values as in Surjanovic and Bingham's Virtual Library of Simulation Experiments."""
    beales = ("beale", "beale-2", "beale-3")
    mixed = (_choice(*_PARTS), _choice("rosenbrock", "camel", *beales), _float(-1, 1), _float(-1, 1))
    return [
        _function("branin", "Branin 1972", 0.397887, branin, _float(-5, 10), _float(0, 15)),
        _function("hartmann6", "Hartmann 1973", -3.32237, hartmann, *[_float(0, 1)] * 6),
        _function("rosenbrock4", "Rosenbrock 1960", 0.0, rosenbrock, *[_float(-5, 10)] * 4),
        _function("func2c", "Ru et al. 2020, Func-2C: mixed kinds", -0.206326, func_2c, *mixed),
    ]


def table() -> Problem:
    """Real CNNs on MNIST; see `cnn_table`."""
    curves, spec = cnn_table.load(), cnn_table.spec()
    best = max(score for curve in curves.values() if (score := curve.score(EPOCHS)) is not None)

    def evaluate(values: Values, epochs: int) -> float | None:
        return curves[cnn_table.key(values)].score(epochs)

    source = f"{len(curves)} trainings, cnn_table.py"
    return Problem("cnn table", source, spec.space, spec.objective, best, evaluate, has_epochs=True)


def problems() -> list[Problem]:
    return [*functions(), table()]
