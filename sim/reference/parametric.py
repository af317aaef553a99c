"""VaR and expected shortfall of normal factor moves: delta-normal, and delta-gamma exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from sim.errors import InputError, unknown
from sim.reference.attribution import Attribution
from sim.reference.risk_measures import (
    TailRisk,
    cornish_fisher_quantile,
    cornish_fisher_shortfall,
    cornish_fisher_valid,
    normal_tail,
)
from sim.reference.samples import confidence, covariance_matrix, one_number, series, symmetric
from sim.reference.student import StudentT
from sim.reference.validation import Floats, finite


def delta_normal(
    exposures: ArrayLike,
    covariance: ArrayLike,
    level: float,
    intervals: float = 1.0,
    dof: float = np.inf,
) -> tuple[TailRisk, Attribution, Attribution]:
    """VaR and ES of linear exposures to factor returns of mean zero.

    Parameters
    ----------
    exposures : (k,)
        Money gained per unit of each factor's return (dollar deltas); signed.
    covariance : (k, k)
        Of the returns over one interval.
    level : float
        From 0.5 to below 1.
    intervals : float
        Horizon, by which the covariance is multiplied: right for independent returns only, not
        with jumps or GARCH.
    dof : float
        Degrees of freedom of a multivariate Student t with that covariance, above 2; infinite
        for the normal.

    Returns
    -------
    TailRisk
    Attribution, Attribution
        Of VaR and of ES to the exposures.

    Raises
    ------
    InputError
    """
    amounts = series("exposures", exposures)
    matrix = covariance_matrix("covariance", covariance)
    if matrix.shape != (amounts.size, amounts.size):
        raise InputError(f"covariance: shape {matrix.shape}, expected {(amounts.size,) * 2}")
    matrix = matrix * one_number("intervals", intervals, 0.0)
    gradient = matrix @ amounts
    deviation = float(np.sqrt(max(float(amounts @ gradient), 0.0)))
    unit = normal_tail(level)
    factors = [unit.value_at_risk, unit.expected_shortfall]
    fat_tailed = dof != np.inf
    if fat_tailed:
        student = StudentT.with_deviation(dof)
        factors = [student.value_at_risk(level), student.expected_shortfall(level)]
    # Without exposure i the variance is σ² - 2xᵢ(Σx)ᵢ + xᵢ²Σᵢᵢ.
    without = deviation**2 - 2 * amounts * gradient + amounts**2 * np.diagonal(matrix)
    saved = deviation - np.sqrt(np.maximum(without, 0.0))
    slopes = gradient / deviation if deviation > 0 else np.zeros_like(amounts)
    attributions = [
        Attribution(
            total=factor * deviation,
            component=factor * amounts * slopes,
            marginal=factor * slopes,
            incremental=factor * saved,
        )
        for factor in factors
    ]
    name = "delta-student-t" if fat_tailed else "delta-normal"
    measured = TailRisk(level, factors[0] * deviation, factors[1] * deviation, name, 0.0, 0.0)
    return measured, attributions[0], attributions[1]


def delta_gamma(
    delta: ArrayLike,
    gamma: ArrayLike,
    covariance: ArrayLike,
    level: float,
    drift: float = 0.0,
    method: str = "exact",
) -> TailRisk:
    """VaR and ES of the loss -(drift + δᵀx + ½xᵀΓx) with x normal of mean zero.

    Parameters
    ----------
    delta : (k,)
        Money per unit of each factor.
    gamma : (k, k)
        Money per squared unit, symmetric.
    covariance : (k, k)
        Of the factors over the horizon.
    level : float
        From 0.5 to below 1.
    drift : float
        Gain without any move, such as theta over the horizon.
    method : {"exact", "cornish_fisher"}
        "exact" inverts the quadratic form. "cornish_fisher" is the usual expansion; outside the
        range where it is monotone the form is inverted instead and the result says so. Inside the
        range it can still be 25 % off.

    Raises
    ------
    InputError
    """
    if method not in ("exact", "cornish_fisher"):
        raise unknown("method", method, ("exact", "cornish_fisher"))
    level = confidence(level)
    form = QuadraticForm.of(
        -float(finite("drift", drift)),
        -series("delta", delta),
        -symmetric("gamma", gamma),
        covariance,
    )
    mean, variance, third, fourth = form.cumulants
    if variance == 0:
        return TailRisk(level, mean, mean, "delta-gamma", 0.0, 0.0, "no factor moves the loss")
    deviation = float(np.sqrt(variance))
    skew, excess = third / deviation**3, fourth / variance**2
    moments = f"skewness {skew:.3g} and excess kurtosis {excess:.3g}"
    valid = cornish_fisher_valid(skew, excess)
    if method == "exact" or not valid:
        note = "" if method == "exact" else f"Cornish-Fisher is not monotone at {moments}"
        var = form.quantile(level)
        shortfall = var + form.excess(var) / (1 - level)
        return TailRisk(level, var, shortfall, "delta-gamma exact", 0.0, 0.0, note)
    return TailRisk(
        level,
        mean + deviation * float(cornish_fisher_quantile(level, skew, excess)),
        mean + deviation * cornish_fisher_shortfall(level, skew, excess),
        "delta-gamma Cornish-Fisher",
        0.0,
        0.0,
        f"an expansion at {moments}",
    )


@dataclass(frozen=True, eq=False)
class QuadraticForm:
    """c + Σ(bⱼzⱼ + ½λⱼzⱼ²) of independent standard normal z: a normal quadratic form.

    Attributes
    ----------
    constant : float
    linear, curvature : (k,)
        b and λ.

    Notes
    -----
    Tail probabilities invert the moment generating function exp K(s) along a hyperbola that
    crosses the real axis at the saddlepoint and opens toward the side on which the integrand
    vanishes. On the imaginary axis this is Imhof's integral (1961), which for few factors
    converges slowly; here the trapezium rule converges geometrically, and the relative precision
    holds far into the tail.
    """

    constant: float
    linear: Floats
    curvature: Floats

    @classmethod
    def of(
        cls, constant: float, linear: Floats, quadratic: Floats, covariance: ArrayLike
    ) -> QuadraticForm:
        """Bring c + lᵀx + ½xᵀQx, x normal with mean zero, to independent factors."""
        matrix = covariance_matrix("covariance", covariance)
        k = linear.size
        for name, given in (("gamma", quadratic), ("covariance", matrix)):
            if given.shape != (k, k):
                raise InputError(f"{name}: shape {given.shape}, expected {(k, k)}")
        variances, vectors = np.linalg.eigh(matrix)
        root = vectors * np.sqrt(np.maximum(variances, 0.0))
        curvature, turn = np.linalg.eigh(root.T @ quadratic @ root)
        # What rounding leaves of a factor without curvature must not decide how K(s) ends.
        noise = 1e-13 * np.abs(curvature).max(initial=0.0)
        curvature = np.where(np.abs(curvature) > noise, curvature, 0.0)
        return cls(constant, turn.T @ (root.T @ linear), curvature)

    @property
    def cumulants(self) -> tuple[float, float, float, float]:
        """Mean, variance, third and fourth cumulant."""
        b, c = self.linear**2, self.curvature
        return (
            self.constant + float(c.sum()) / 2,
            float((b + c**2 / 2).sum()),
            float((3 * b * c + c**3).sum()),
            float((12 * b * c**2 + 3 * c**4).sum()),
        )

    def exceedance(self, x: float) -> float:
        """P(value > x)."""
        return self._tail_integral(x, 1)

    def excess(self, x: float) -> float:
        """E[max(value - x, 0)]."""
        return self._tail_integral(x, 2)

    def quantile(self, level: float) -> float:
        """The x with P(value ≤ x) = level, for a level in (0, 1)."""
        mean, variance, _, _ = self.cumulants
        odds = level / (1 - level)  # Cantelli's inequality brackets the quantile
        low, high = mean - np.sqrt(variance / odds), mean + np.sqrt(variance * odds)

        def surplus(x: float) -> float:
            return float(np.log(max(self.exceedance(x), 1e-300) / (1 - level)))

        return float(brentq(surplus, low, high, xtol=1e-13 * np.sqrt(variance), rtol=1e-14))

    @property
    def _stationary(self) -> float:
        """The bound of a form of curvature of one sign, and what decides how K(s) - sx ends."""
        bent = self.curvature != 0
        return self.constant - float((self.linear[bent] ** 2 / self.curvature[bent]).sum()) / 2

    def _tail_integral(self, x: float, order: int) -> float:
        """∫ exp(K(s) - sx) s^-order ds / 2πi, to the right of zero."""
        variance = self.cumulants[1]
        positive = float(self.curvature.max(initial=0.0))
        straight = bool(np.any(self.linear[self.curvature == 0]))
        if positive <= 0 and not straight and x >= self._stationary:
            return 0.0  # beyond the largest value
        limit = 1 / positive if positive > 0 else np.inf
        cross = max(self._saddlepoint(x, limit), min(0.3 / np.sqrt(variance), 0.3 * limit))
        width = 1 / np.sqrt(self._second_derivative(cross))
        width = min(width, cross, limit - cross)
        side = 1.0 if x > self._stationary else -1.0
        previous, points = np.nan, 256
        while points <= 65_536:
            # At t = 80 the slowest integrand, that of one curved factor, has fallen by e^-40.
            t = (np.arange(points) + 0.5) * (80 / points)
            s = cross + width * (0.5 * side * (np.cosh(t) - 1) + 1j * np.sinh(t))
            turn = width * (0.5 * side * np.sinh(t) + 1j * np.cosh(t))
            value = float((self._integrand(s, x, order) * turn).imag.sum()) * 80 / points / np.pi
            if abs(value - previous) <= 1e-13 * abs(value):
                break
            previous, points = value, 2 * points
        return value

    def _integrand(self, s: NDArray[np.complex128], x: float, order: int) -> NDArray[np.complex128]:
        less = 1 - s[:, None] * self.curvature
        growth = (s[:, None] * self.linear) ** 2 / less - np.log(less)
        return np.asarray(np.exp(growth.sum(axis=1) / 2 + s * (self.constant - x)) / s**order)

    def _saddlepoint(self, x: float, limit: float) -> float:
        """Solve K'(s) = x for s in (0, limit); 0 at or below the mean."""
        if x <= self.cumulants[0]:
            return 0.0

        def slope(s: float) -> float:
            less = 1 - s * self.curvature
            terms = self.linear**2 * s * (1 + 1 / less) / less + self.curvature / less
            return self.constant + float(terms.sum()) / 2 - x

        high = 0.5 * limit if np.isfinite(limit) else 1 / np.sqrt(self.cumulants[1])
        while slope(high) < 0:
            high = (high + limit) / 2 if np.isfinite(limit) else 2 * high
        return float(brentq(slope, 0.0, high))

    def _second_derivative(self, s: float) -> float:
        less = 1 - s * self.curvature
        return float((self.linear**2 / less**3 + self.curvature**2 / less**2 / 2).sum())
