"""Search algorithms: a table from the algorithm's name to a `keras_tuner.Oracle`.

An oracle lives for one step of planning. It is rebuilt from the job's trials each time, so that it
does not matter which worker plans, and nothing is lost with one.
"""

from collections.abc import Sequence

from schemas.specs import JobSpec
from schemas.trials import Trial
from tuning.oracles.grid import GridOracle
from tuning.oracles.random import RandomOracle
from tuning.oracles.rebuilt import Exhausted, RebuiltOracle, Wait, most_infeasible

ORACLES: dict[str, type[RebuiltOracle]] = {"grid": GridOracle, "random": RandomOracle}

__all__ = ["ORACLES", "Exhausted", "RebuiltOracle", "Wait", "most_infeasible", "rebuild"]


def rebuild(spec: JobSpec, trials: Sequence[Trial]) -> RebuiltOracle:
    """The oracle of a job as its trials, numbered from 0 without gaps, have left it."""
    oracle = ORACLES[spec.search.algorithm](spec)
    for trial in trials:
        oracle.restore(trial)
    return oracle
