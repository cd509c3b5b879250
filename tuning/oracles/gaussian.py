"""A Gaussian process of a few hundred points, fitted in milliseconds: what Bayesian search asks.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1 and equation 5.9.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]
_JITTER = 1e-8
_LOWEST, _HIGHEST = -7.0, 6.0


@dataclass(frozen=True)
class Kernel:
    """Matern 5/2, with a length scale for each group of columns; the logarithms of what was fitted."""

    scales: Floats
    signal: float
    noise: float
    groups: NDArray[np.int_]

    def between(self, some: Floats, others: Floats) -> Floats:
        """Covariances, shape (some, others)."""
        scale = np.exp(-self.scales)[self.groups]
        return float(np.exp(self.signal)) * _matern(cdist(some * scale, others * scale))

    @property
    def variance(self) -> float:
        return float(np.exp(self.signal))


def fitted(points: Floats, values: Floats, groups: NDArray[np.int_], iterations: int = 40) -> Kernel:
    """The kernel under which ``values``, of mean 0 and deviation 1, are most likely.

    The prior of the length scales grows with the number of dimensions (Hvarfner et al. 2024), so that many
    dimensions and few points do not end in a model in which nothing is near anything.

    Args:
        points: shape (n, columns).
        groups: the group of each column.
    """
    count = int(groups.max()) + 1
    squares = np.stack([_squares(points[:, groups == one]) for one in range(count)])
    centre = np.array([*np.full(count, np.sqrt(2) + np.log(count) / 2), 0.0, -5.0])
    width = np.array([*np.full(count, np.sqrt(3)), 0.7, 1.5])
    starts = [np.concatenate([np.full(count, length), [0.0, -5.0]]) for length in (-1.0, 0.5)]
    found = [
        minimize(
            _cost,
            start,
            args=(squares, values, centre, width),
            jac=True,
            method="L-BFGS-B",
            bounds=[(_LOWEST, _HIGHEST)] * count + [(-3.0, 3.0), (-12.0, 0.0)],
            options={"maxiter": iterations},
        )
        for start in starts
    ]
    best = min(found, key=lambda one: float(one.fun)).x
    return Kernel(best[:count], float(best[count]), float(best[count + 1]), groups)


def _cost(at: Floats, squares: Floats, values: Floats, centre: Floats, width: Floats) -> tuple[float, Floats]:
    """The negative logarithm of likelihood times prior, and its gradient."""
    lengths, signal, noise = at[:-2], np.exp(at[-2]), np.exp(at[-1])
    weighted = squares * np.exp(-2 * lengths)[:, None, None]
    root = np.sqrt(5 * weighted.sum(axis=0))
    decay = signal * np.exp(-root)
    covariance = decay * (1 + root + root**2 / 3)
    whole = covariance + (noise + _JITTER) * np.eye(len(values))
    try:
        lower = cholesky(whole, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(at)
    solved = cho_solve((lower, True), values, check_finite=False)
    inverse = cho_solve((lower, True), np.eye(len(values)), check_finite=False)
    pull = np.outer(solved, solved) - inverse
    likelihood = -0.5 * values @ solved - np.log(np.diag(lower)).sum()
    steep = pull * decay * (1 + root) * (5 / 3)
    by_length = 0.5 * weighted.reshape(len(lengths), -1) @ steep.ravel()
    gradient = np.array([*by_length, 0.5 * (pull * covariance).sum(), 0.5 * noise * np.trace(pull)])
    away = (at - centre) / width
    return float(-likelihood + 0.5 * (away**2).sum()), -gradient + away / width


class Process:
    """A kernel with the points that are known."""

    def __init__(self, kernel: Kernel, points: Floats, values: Floats) -> None:
        self.kernel, self.points, self.values = kernel, points, values
        noise = float(np.exp(kernel.noise)) + _JITTER
        whole = kernel.between(points, points) + noise * np.eye(len(points))
        self._lower = cholesky(whole, lower=True, check_finite=False)
        self._solved = cho_solve((self._lower, True), values, check_finite=False)

    def at(self, points: Floats) -> tuple[Floats, Floats]:
        """Means and deviations of the function, without noise, at points."""
        between = self.kernel.between(self.points, points)
        mean: Floats = between.T @ self._solved
        half = solve_triangular(self._lower, between, lower=True, check_finite=False)
        variance = self.kernel.variance - (half**2).sum(axis=0)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def believing(self, points: Floats) -> "Process":
        """The process if what it expects at ``points`` came true: as sure there as if they were known."""
        if not len(points):
            return self
        values = np.concatenate([self.values, self.at(points)[0]])
        return Process(self.kernel, np.vstack([self.points, points]), values)


def _squares(columns: Floats) -> Any:
    return cdist(columns, columns, "sqeuclidean")


def _matern(distances: Floats) -> Floats:
    root = np.sqrt(5) * distances
    closeness: Floats = (1 + root + root**2 / 3) * np.exp(-root)
    return closeness
