"""Search algorithms: a table from the algorithm's name to a `keras_tuner.Oracle`.

An oracle lives for one step of planning. It is rebuilt from the job's trials each time, so that it
does not matter which worker plans, and nothing is lost with one.
"""

from collections.abc import Sequence

from schemas.specs import JobSpec
from schemas.trials import Known, Trial
from tuning.oracles.lr_range_test import RangeTestOracle
from tuning.oracles.rebuilt import Exhausted, RebuiltOracle, Wait, most_infeasible, restored
from tuning.oracles.searches import SEARCHES

ORACLES: dict[str, type[RebuiltOracle]] = {**SEARCHES, "lr_range_test": RangeTestOracle}

__all__ = ["ORACLES", "Exhausted", "RebuiltOracle", "Wait", "most_infeasible", "rebuild"]


def rebuild(spec: JobSpec, trials: Sequence[Trial], earlier: Sequence[Known] = ()) -> RebuiltOracle:
    """The oracle of a job as its trials, numbered from 0 without gaps, have left it.

    Args:
        earlier: what other jobs have found, told to the algorithms that learn as if it were of this one.
    """
    return restored(ORACLES[spec.search.algorithm](spec, earlier), trials)
