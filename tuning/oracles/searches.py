"""The algorithms that search a space: all but the range test, which may go on with any of them."""

from tuning.oracles.bayesian import BayesianOracle
from tuning.oracles.cmaes import CmaesOracle
from tuning.oracles.coarse_to_fine import CoarseToFineOracle
from tuning.oracles.grid import GridOracle
from tuning.oracles.hyperband import HyperbandOracle
from tuning.oracles.random import RandomOracle
from tuning.oracles.rebuilt import RebuiltOracle
from tuning.oracles.tpe import TpeOracle

SEARCHES: dict[str, type[RebuiltOracle]] = {
    "random": RandomOracle,
    "grid": GridOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
    "tpe": TpeOracle,
    "cmaes": CmaesOracle,
    "coarse_to_fine": CoarseToFineOracle,
}
