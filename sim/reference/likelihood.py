"""Maximum likelihood with standard errors from the observed information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

import numpy as np
from scipy.optimize import minimize

from sim.reference.validation import Floats

_RELATIVE_STEP = 1e-4  # of the differences that measure curvature: balances truncation and rounding


@dataclass(frozen=True, eq=False)
class MaximumLikelihood:
    """Where a likelihood is highest and how sharply.

    Attributes
    ----------
    estimate : (p,)
    covariance : (p, p)
        Inverse of the observed information. Rows and columns of parameters that sit on a bound
        are nan, and so is everything when the likelihood is flat in some direction.
    log_likelihood : float
    observations : int
    """

    estimate: Floats
    covariance: Floats
    log_likelihood: float
    observations: int

    @property
    def standard_errors(self) -> Floats:
        """(p,) square roots of the diagonal of `covariance`."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2p - 2 ln L: lower is better."""
        return 2 * self.estimate.size - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, p ln n - 2 ln L: lower is better."""
        return self.estimate.size * float(np.log(self.observations)) - 2 * self.log_likelihood


def maximise(
    log_likelihood: Callable[[Floats], float],
    starts: Sequence[Sequence[float]],
    bounds: Sequence[tuple[float, float]],
    observations: int,
) -> MaximumLikelihood:
    """Maximise a log-likelihood inside bounds, from each start, and keep the best.

    Parameters should be of order one: bring them to that scale before.
    """

    def objective(parameters: Floats) -> float:
        value = -float(log_likelihood(parameters))
        return value if np.isfinite(value) else 1e300

    best = min(
        (
            minimize(objective, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13})
            for start in starts
        ),
        key=lambda result: float(result.fun),
    )
    if not best.success:
        polished = minimize(
            objective,
            best.x,
            method="Nelder-Mead",
            bounds=bounds,
            options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 200 * len(bounds)},
        )
        if polished.fun < best.fun:
            best = polished
    estimate = np.asarray(best.x, dtype=np.float64)
    covariance = _inverse_information(objective, estimate, bounds)
    return MaximumLikelihood(estimate, covariance, -float(best.fun), observations)


def _inverse_information(
    objective: Callable[[Floats], float],
    estimate: Floats,
    bounds: Sequence[tuple[float, float]],
) -> Floats:
    """Invert the Hessian of `objective` over the parameters that are clear of their bounds."""
    steps = _RELATIVE_STEP * np.maximum(np.abs(estimate), 1.0)
    low, high = np.array(bounds, dtype=np.float64).T
    free = np.flatnonzero((estimate - 2 * steps > low) & (estimate + 2 * steps < high))
    moves = np.diag(steps)
    size = estimate.size
    covariance = np.full((size, size), np.nan)
    hessian = np.empty((free.size, free.size))
    for a, i in enumerate(free):
        for b, j in enumerate(free[: a + 1]):
            corners = (
                objective(estimate + moves[i] + moves[j])
                - objective(estimate + moves[i] - moves[j])
                - objective(estimate - moves[i] + moves[j])
                + objective(estimate - moves[i] - moves[j])
            )
            hessian[a, b] = hessian[b, a] = corners / (4 * steps[i] * steps[j])
    if free.size and np.linalg.eigvalsh(hessian)[0] > 0:
        covariance[np.ix_(free, free)] = np.linalg.inv(hessian)
    return covariance
