"""Student-t losses: tail in closed form, and the fit to a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, stdtr, stdtrit

from sim.errors import InputError
from sim.reference.likelihood import MaximumLikelihood, maximise
from sim.reference.samples import confidence, one_number, series, varying
from sim.reference.validation import Floats, finite, floats

LEAST_DOF, MOST_DOF = 1.05, 300.0  # the range in which a fit looks; at its end it is normal


@dataclass(frozen=True)
class StudentT:
    """location + scale·T with T standard Student t of `dof` degrees of freedom.

    Parameters
    ----------
    dof : float
        Above 0. The variance exists above 2, expected shortfall above 1.
    location : float
    scale : float
        Above 0; it is not the standard deviation.

    Raises
    ------
    InputError
    """

    dof: float
    location: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        one_number("dof", self.dof, 0.0)
        finite("location", self.location)
        one_number("scale", self.scale, 0.0)

    @classmethod
    def with_deviation(cls, dof: float, mean: float = 0.0, deviation: float = 1.0) -> StudentT:
        """Build from a standard deviation: scale = deviation·√((dof - 2)/dof), dof above 2."""
        one_number("dof", dof, 2.0)
        return cls(dof, mean, deviation * float(np.sqrt((dof - 2) / dof)))

    @property
    def deviation(self) -> float:
        """Standard deviation; infinite for dof of at most 2."""
        if self.dof <= 2:
            return float("inf")
        return self.scale * float(np.sqrt(self.dof / (self.dof - 2)))

    def value_at_risk(self, level: float) -> float:
        """Quantile at `level`, of losses (positive is a loss)."""
        return self.location + self.scale * float(stdtrit(self.dof, confidence(level)))

    def expected_shortfall(self, level: float) -> float:
        """Mean beyond the quantile: t(q)/(1 - level)·(dof + q²)/(dof - 1), scaled and moved.

        McNeil, Frey and Embrechts, Quantitative Risk Management. Raises `InputError` for
        dof of at most 1, where it is infinite.
        """
        if self.dof <= 1:
            raise InputError(f"dof = {self.dof:g}: expected shortfall needs dof above 1")
        quantile = float(stdtrit(self.dof, confidence(level)))
        density = float(np.exp(log_density(quantile, self.dof)))
        tail = density / (1 - level) * (self.dof + quantile**2) / (self.dof - 1)
        return self.location + self.scale * tail

    def cdf(self, x: ArrayLike) -> Floats:
        """Probability of a value of at most x."""
        return np.asarray(stdtr(self.dof, (finite("x", x) - self.location) / self.scale))

    def ppf(self, u: ArrayLike) -> Floats:
        """Quantile function."""
        return np.asarray(self.location + self.scale * stdtrit(self.dof, floats("u", u)))


def log_density(x: ArrayLike, dof: float) -> Floats:
    """Log density of the standard Student t."""
    constant = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof * np.pi)
    return np.asarray(constant - (dof + 1) / 2 * np.log1p(np.square(x) / dof))


def fit_student_t(sample: ArrayLike) -> tuple[StudentT, MaximumLikelihood]:
    """Fit location, scale and degrees of freedom by maximum likelihood.

    Parameters
    ----------
    sample : (n,)
        At least 10 values, not all equal.

    Returns
    -------
    StudentT
        With dof from 1.05 to 300; at 300 the sample shows no fat tail.
    MaximumLikelihood
        Of (location, scale, dof); the standard error of dof is nan at either end.

    Raises
    ------
    InputError
    """
    values = series("sample", sample, least=10)
    varying("sample", values)
    centre = float(np.median(values))
    low, high = np.quantile(values, [0.25, 0.75])
    spread = float(high - low) / 1.35 or float(np.abs(values - centre).mean())
    scaled = (values - centre) / spread

    def log_likelihood(parameters: Floats) -> float:
        location, log_scale, inverse = parameters
        dof = 1 / inverse
        residuals = (scaled - location) * np.exp(-log_scale)
        return float(log_density(residuals, dof).sum() - scaled.size * log_scale)

    # 1/dof rather than dof: the likelihood is nearly quadratic in it, up to the normal at 0. The
    # scale is kept from collapsing on repeated values, where the likelihood has no bound.
    bounds = [(-10.0, 10.0), (np.log(0.05), 10.0), (1 / MOST_DOF, 1 / LEAST_DOF)]
    found = maximise(log_likelihood, [(0.0, 0.0, 0.2)], bounds, values.size)
    location, log_scale, inverse = found.estimate
    fitted = StudentT(
        float(1 / inverse),
        centre + spread * float(location),
        spread * float(np.exp(log_scale)),
    )
    slopes = np.array([spread, fitted.scale, -(fitted.dof**2)])
    return fitted, MaximumLikelihood(
        np.array([fitted.location, fitted.scale, fitted.dof]),
        found.covariance * np.outer(slopes, slopes),
        found.log_likelihood - values.size * float(np.log(spread)),
        values.size,
    )
