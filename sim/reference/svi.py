"""SVI slices of an implied vol surface: values, fit, and no-arbitrage checks.

Sources: Gatheral, "A parsimonious arbitrage-free implied volatility parameterization" (2004);
Gatheral and Jacquier, "Arbitrage-free SVI volatility surfaces" (2014), for the butterfly and
calendar conditions; Zeliade Systems, "Quasi-explicit calibration of Gatheral's SVI model" (2009),
for the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.validation import Floats, broadcast, finite, positive, require

_GRID = np.linspace(-3.0, 3.0, 1201)  # log-moneyness at which arbitrage is looked for
_ROUNDING = 1e-12


def total_variance(
    k: ArrayLike,
    a: Floats | float,
    b: Floats | float,
    rho: Floats | float,
    m: Floats | float,
    sigma: Floats | float,
) -> Floats:
    """Return raw SVI w(k) = a + b·(rho·(k - m) + √((k - m)² + sigma²)); arguments broadcast."""
    x = np.asarray(k, dtype=np.float64) - m
    return np.asarray(a + b * (rho * x + np.sqrt(x * x + np.square(sigma))))


class Violations(NamedTuple):
    """Where arbitrage was found; `ok` when nowhere."""

    k: Floats
    amount: Floats

    @property
    def ok(self) -> bool:
        """Whether there is none."""
        return self.k.size == 0


@dataclass(frozen=True)
class Svi:
    """One raw SVI slice of total variance.

    Parameters
    ----------
    a, b, rho, m, sigma : float
        b ≥ 0, |rho| ≤ 1, sigma ≥ 0, and w(k) ≥ 0 everywhere.

    Raises
    ------
    InputError
        Naming the parameter.
    """

    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def __post_init__(self) -> None:
        for name in ("a", "b", "rho", "m", "sigma"):
            finite(f"Svi.{name}", getattr(self, name))
        require(self.b >= 0, "Svi.b", self.b, "numbers of at least 0")
        require(abs(self.rho) <= 1, "Svi.rho", self.rho, "numbers from -1 to 1")
        require(self.sigma >= 0, "Svi.sigma", self.sigma, "numbers of at least 0")
        least = self.a + self.b * self.sigma * np.sqrt(1 - self.rho**2)
        require(least >= -_ROUNDING, "Svi.a", self.a, "values that keep w(k) ≥ 0")

    def w(self, k: ArrayLike) -> Floats:
        """Total variance at log-moneyness k = ln(K/F)."""
        return total_variance(k, self.a, self.b, self.rho, self.m, self.sigma)

    def vol(self, k: ArrayLike, years: ArrayLike) -> Floats:
        """Annualised vol √(w/years)."""
        return np.asarray(np.sqrt(np.maximum(self.w(k), 0.0) / positive("years", years)))

    def density_factor(self, k: ArrayLike) -> Floats:
        """Durrleman's g(k): the risk-neutral density is g times a positive number."""
        x = np.asarray(k, dtype=np.float64)
        w = self.w(x)
        root = np.sqrt((x - self.m) ** 2 + self.sigma**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = self.b * (self.rho + np.where(root > 0, (x - self.m) / root, 0.0))
            bend = np.where(root > 0, self.b * self.sigma**2 / root**3, 0.0)
            g = (1 - x * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 0.25) + bend / 2
        return np.asarray(g)

    def butterfly(self, k: ArrayLike = _GRID) -> Violations:
        """Log-moneyness where the density is negative, and where a wing is steeper than 2.

        The wings are reported at k = ±∞ with the excess of their slope (Lee's moment formula).
        """
        at = finite("k", k)
        g = self.density_factor(at)
        bad = ~(g >= -_ROUNDING)
        slopes = np.array([self.b * (1 - self.rho), self.b * (1 + self.rho)])
        steep = slopes > 2 + _ROUNDING
        return Violations(
            np.concatenate((at[bad], np.array([-np.inf, np.inf])[steep])),
            np.concatenate((-g[bad], (slopes - 2)[steep])),
        )


def calendar(slices: Sequence[Svi], k: ArrayLike = _GRID) -> list[Violations]:
    """Where total variance falls from each slice to the next, slices in order of expiry.

    Returns
    -------
    list of Violations
        One for each pair of neighbours.
    """
    at = finite("k", k)
    found = []
    for near, far in pairwise(slices):
        fall = near.w(at) - far.w(at)
        bad = fall > _ROUNDING
        found.append(Violations(at[bad], fall[bad]))
    return found


class Fit(NamedTuple):
    """A fitted slice and how well it fits, in total variance."""

    svi: Svi
    rmse: float
    worst: float


def fit(k: ArrayLike, w: ArrayLike, weights: ArrayLike = 1.0) -> Fit:
    """Fit one slice to total variances by weighted least squares.

    For given m and sigma the rest is linear: w = a + u·(r + y) + v·(r - y) with y = (k - m)/sigma,
    r = √(y² + 1) and u, v from 0 to sigma, which is b ≥ 0, |rho| ≤ 1 and Lee's bound on both wings.
    The two that remain are searched by Nelder-Mead from several starts. The result may still admit
    butterflies: `Svi.butterfly` says.

    Parameters
    ----------
    k, w : (n,) array_like
        Log-moneyness and total variance, n ≥ 5, w above 0.
    weights : array_like
        At least 0, not all 0; broadcast.

    Raises
    ------
    InputError
        For too few points, or a value that is not allowed.
    """
    # Half a second that only a fit needs
    from scipy.optimize import OptimizeResult, lsq_linear, minimize

    k_, w_, weight = broadcast(
        k=finite("k", k), w=positive("w", w), weights=finite("weights", weights)
    )
    require(weight >= 0, "weights", weight, "numbers of at least 0")
    if k_.ndim != 1 or np.unique(k_[weight > 0]).size < 5:
        raise InputError(f"k: shape {k_.shape}; a slice needs 5 distinct points with weight")
    root_weight = np.sqrt(weight / weight.sum())

    def misfit(parameters: Floats) -> float:
        return linear(float(parameters[0]), float(np.exp(parameters[1])))[1]

    def linear(m: float, sigma: float) -> tuple[Floats, float]:
        y = (k_ - m) / sigma
        r = np.sqrt(y * y + 1)
        basis = np.stack((np.ones_like(y), r + y, r - y), axis=1) * root_weight[:, None]
        target = w_ * root_weight
        free = np.linalg.lstsq(basis, target, rcond=None)[0]
        if not ((free[1:] >= 0) & (free[1:] <= sigma)).all() or _least(free, sigma) < 0:
            bounds = ([-np.inf, 0, 0], [np.inf, sigma, sigma])
            free = lsq_linear(basis, target, bounds, method="bvls").x
            free[0] += max(0.0, -_least(free, sigma))
        return free, float(np.sum((basis @ free - target) ** 2))

    span = float(np.ptp(k_))
    bottom = float(k_[np.argmin(w_)])
    starts = [
        np.array([m, np.log(scale * span)])
        for m in (bottom, float(np.mean(k_)))
        for scale in (0.05, 0.3, 1.0)
    ]
    bounds = [
        (float(k_.min()) - span, float(k_.max()) + span),
        (float(np.log(1e-4)), float(np.log(10 * span + 1))),
    ]

    def search(start: Floats, tolerance: float, most: int) -> OptimizeResult:
        return minimize(
            misfit,
            start,
            method="Nelder-Mead",
            bounds=bounds,
            options={"xatol": tolerance, "fatol": tolerance**2, "maxiter": most},
        )

    rough = min((search(start, 1e-4, 60) for start in starts), key=lambda found: found.fun)
    best = search(rough.x, 1e-10, 600)
    m, sigma = float(best.x[0]), float(np.exp(best.x[1]))
    (a, u, v), _ = linear(m, sigma)
    b = (u + v) / sigma
    svi = Svi(float(a), float(b), float((u - v) / (u + v)) if u + v > 0 else 0.0, m, sigma)
    miss = svi.w(k_) - w_
    return Fit(svi, float(np.sqrt(np.mean(miss**2))), float(np.abs(miss).max()))


def _least(linear: Floats, sigma: float) -> float:
    """Least total variance of a + u·(r + y) + v·(r - y)."""
    a, u, v = linear
    return float(a + 2 * np.sqrt(max(u, 0.0) * max(v, 0.0)))
