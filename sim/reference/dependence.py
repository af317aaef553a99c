"""Copulas: how factors fall together, apart from how each of them moves.

Every copula has `fit(u)`, a class method that returns a new one; `sample(n, rng)`; `cdf(u)`,
`pdf(u)` and `logpdf(u)`; `tail_dependence()`, the limit of the probability that one factor is in
its tail given that the other is, as (lower, upper). Here u is (n, d), observations in [0, 1] of d
factors, and rng a numpy Generator, which is all the randomness there is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import factorial
from typing import Any, Callable, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, ndtr, ndtri, stdtr, stdtrit, stirling2
from scipy.stats import kendalltau, multivariate_normal, multivariate_t, rankdata

from sim.errors import InputError
from sim.reference.covariance import nearest_correlation
from sim.reference.samples import correlation_matrix, one_number, table, varying
from sim.reference.student import log_density
from sim.reference.validation import Floats, finite, require

_LEAST, _MOST = 1e-300, 1 - 2.0**-53  # sampled uniforms stay inside (0, 1)
_CDF_SEED = 20_140_601  # of scipy's quasi-random integration in three and more dimensions


class Copula(Protocol):
    """What the copulas of this module have in common."""

    @property
    def dimension(self) -> int:
        """Number of factors."""

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw (n, d) dependent uniforms."""

    def cdf(self, u: ArrayLike) -> Floats:
        """P(U ≤ u) at (n, d) points: (n,)."""

    def logpdf(self, u: ArrayLike) -> Floats:
        """Log density at (n, d) points inside the unit cube: (n,)."""


def pseudo_observations(values: ArrayLike) -> Floats:
    """Ranks over n + 1, column by column: (n, d) numbers in (0, 1); ties share their mean rank.

    Copulas are fitted to these, not to the data. Raises `InputError` for a column that never
    changes.
    """
    columns = table("values", values, least=2)
    varying("values", columns)
    return np.asarray(rankdata(columns, axis=0) / (columns.shape[0] + 1))


def kendall_tau(u: ArrayLike) -> Floats:
    """Kendall's rank correlations of (n, d) values: (d, d)."""
    columns = table("u", u, least=2)
    varying("u", columns)
    d = columns.shape[1]
    matrix = np.eye(d)
    for i in range(d):
        for j in range(i):
            tau = float(kendalltau(columns[:, i], columns[:, j]).statistic)
            matrix[i, j] = matrix[j, i] = tau
    return matrix


def _inside(u: ArrayLike, dimension: int | None = None, least: int = 1) -> Floats:
    """Return (n, d) points strictly inside the unit cube."""
    points = _points(u, dimension, least)
    require((points > 0) & (points < 1), "u", points, "numbers in (0, 1)")
    return points


def _points(u: ArrayLike, dimension: int | None = None, least: int = 1) -> Floats:
    """Return (n, d) points of the closed unit cube; one point may come as (d,)."""
    points = finite("u", u)
    if points.ndim == 1:
        points = points[None, :]
    points = table("u", points, least, dimension)
    if points.shape[1] < 2:
        raise InputError(f"u: shape {points.shape}, expected at least two columns")
    require((points >= 0) & (points <= 1), "u", points, "numbers from 0 to 1")
    return points


def _count(n: int) -> int:
    require(n >= 0 and n == int(n), "n", n, "whole numbers of at least 0")
    return int(n)


def _generator(rng: np.random.Generator) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise InputError(f"rng = {rng!r}: allowed is a generator: numpy.random.default_rng(seed)")
    return rng


def _log_less(x: Floats) -> Floats:
    """ln(1 - e^x) for x < 0, without cancellation at either end."""
    with np.errstate(divide="ignore"):
        return np.where(x > -0.7, np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def _best(log_likelihood: Callable[[float], float], low: float, high: float) -> float:
    """Maximise a function of one parameter; the ends of the range count."""
    found = minimize_scalar(
        lambda x: -log_likelihood(float(x)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-9 * (1 + abs(high))},
    )
    return max((low, float(found.x), high), key=log_likelihood)


class _Elliptical(ABC):
    """What the Gaussian and the Student-t copula share."""

    corr: Floats

    @property
    def dimension(self) -> int:
        """Number of factors."""
        return int(self.corr.shape[0])

    @cached_property
    def _root(self) -> Floats:
        """A square root of the matrix, also of a singular one."""
        values, vectors = np.linalg.eigh(self.corr)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    @cached_property
    def _whitener(self) -> tuple[Floats, float]:
        """Inverse of the Cholesky factor, and half the log determinant."""
        try:
            factor = np.linalg.cholesky(self.corr)
        except np.linalg.LinAlgError:
            raise InputError("corr: singular, the copula has no density") from None
        return np.linalg.inv(factor), float(np.log(np.diagonal(factor)).sum())

    def _squared_distance(self, x: Floats) -> Floats:
        """xᵀ corr⁻¹ x, row by row."""
        return np.asarray(((x @ self._whitener[0].T) ** 2).sum(axis=1))

    def pdf(self, u: ArrayLike) -> Floats:
        """Density at (n, d) points inside the unit cube: (n,)."""
        return np.exp(self.logpdf(u))

    @abstractmethod
    def logpdf(self, u: ArrayLike) -> Floats:
        """Log density."""

    def _cdf(self, u: ArrayLike, dof: float, quantile: Callable[[Floats], Floats]) -> Floats:
        """P(U ≤ u) with the edges of the cube taken exactly."""
        points = _points(u, self.dimension)
        result = np.empty(points.shape[0])
        zero, below_one = (points == 0).any(axis=1), points < 1
        result[zero] = 0.0
        for row in np.flatnonzero(~zero):
            kept = np.flatnonzero(below_one[row])
            if kept.size <= 1:
                result[row] = points[row, kept[0]] if kept.size else 1.0
        inner = ~zero & (below_one.sum(axis=1) == 2)
        if inner.any():
            first, second = np.argsort(~below_one[inner], axis=1, kind="stable")[:, :2].T
            rows = np.flatnonzero(inner)
            result[rows] = _bivariate_cdf(
                points[rows, first], points[rows, second], self.corr[first, second], dof, quantile
            )
        for row in np.flatnonzero(~zero & (below_one.sum(axis=1) > 2)):
            kept = np.flatnonzero(below_one[row])
            result[row] = _orthant(quantile(points[row, kept]), self.corr[np.ix_(kept, kept)], dof)
        return np.clip(result, 0.0, 1.0)


def _orthant(x: Floats, corr: Floats, dof: float) -> float:
    """P(X ≤ x) in three and more dimensions, to about 1e-5, by a quasi-random rule."""
    rng = np.random.default_rng(_CDF_SEED)
    zero = np.zeros(x.size)
    if np.isinf(dof):
        return float(
            multivariate_normal.cdf(x, zero, corr, allow_singular=True, abseps=1e-6, rng=rng)
        )
    fractional: Any = dof  # scipy's stubs know whole degrees of freedom only
    student = multivariate_t(zero, corr, fractional, allow_singular=True, seed=rng)
    return float(student.cdf(x, maxpts=50_000))


# Nodes and weights of the double-exponential rule on (-1, 1), with the distance of each node from
# the nearer end, which 1 - |x| would lose to rounding.
_T = np.arange(-200, 201) * 0.0175
_FAR = np.pi / 2 * np.sinh(np.abs(_T))
_GAP = np.exp(-_FAR) / np.cosh(_FAR)
_WEIGHTS = 0.0175 * np.pi / 2 * np.cosh(_T) / np.cosh(_FAR) ** 2


def _bivariate_cdf(
    u: Floats, v: Floats, rho: Floats, dof: float, quantile: Callable[[Floats], Floats]
) -> Floats:
    """C(u, v) of bivariate normal (dof infinite) or Student-t copulas, to about 1e-13.

    ∂C/∂ρ is the density of the pair at the quantiles, times a power for Student t (Plackett 1954;
    Genz 2004). With ρ = sin θ it is integrated from the nearer of perfect opposition and perfect
    agreement, where C is known, by a rule that stands the near-singular ends.
    """
    h, k = quantile(u)[:, None], quantile(v)[:, None]
    agree = rho > 0
    angle = np.arcsin(rho)
    span = np.where(agree, np.pi / 2 - angle, angle + np.pi / 2)[:, None]
    # φ is the angle from the start: near 0 the pair is almost perfectly (anti)correlated.
    phi = span * np.where(_T <= 0, _GAP / 2, 1 - _GAP / 2)
    sign = np.where(agree, 1.0, -1.0)[:, None]
    # h² + k² - 2hk·sin θ = (h ∓ k)² ± 2hk(1 - |sin θ|), cos²θ = sin²φ.
    form = (h - sign * k) ** 2 + sign * 4 * h * k * np.sin(phi / 2) ** 2
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scaled = np.maximum(form, 0.0) / np.sin(phi) ** 2
        density = (
            np.exp(-scaled / 2) if np.isinf(dof) else np.exp(-dof / 2 * np.log1p(scaled / dof))
        )
    integral = (np.nan_to_num(density) * _WEIGHTS).sum(axis=1) * span[:, 0] / 2 / (2 * np.pi)
    return np.where(agree, np.minimum(u, v) - integral, np.maximum(u + v - 1, 0.0) + integral)


def _scores_tail(rho: Floats, tail: Callable[[Floats], Floats]) -> tuple[Any, Any]:
    """Tail dependence of a symmetric elliptical copula: floats for a pair, else matrices."""
    matrix = tail(rho)
    np.fill_diagonal(matrix, 1.0)
    if matrix.shape == (2, 2):
        return float(matrix[0, 1]), float(matrix[0, 1])
    return matrix, matrix.copy()


@dataclass(frozen=True, eq=False)
class GaussianCopula(_Elliptical):
    """Copula of a multivariate normal: no tail dependence short of perfect correlation.

    Parameters
    ----------
    corr : (d, d), or float for a pair
        Correlation matrix of the normal scores, positive semidefinite.

    Raises
    ------
    InputError
    """

    corr: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "corr", correlation_matrix("corr", self.corr))

    @classmethod
    def fit(cls, u: ArrayLike) -> Self:
        """Fit to (n, d) pseudo-observations by the correlation of their normal scores."""
        points = _inside(u, least=10)
        varying("u", points)
        scores = ndtri(points)
        moment = scores.T @ scores
        deviations = np.sqrt(np.diagonal(moment))
        matrix = moment / np.outer(deviations, deviations)
        np.fill_diagonal(matrix, 1.0)
        return cls(matrix)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw (n, d) dependent uniforms."""
        normals = _generator(rng).standard_normal((_count(n), self.dimension)) @ self._root.T
        return np.clip(ndtr(normals), _LEAST, _MOST)

    def cdf(self, u: ArrayLike) -> Floats:
        """P(U ≤ u) at (n, d) points: (n,); exact for two factors, to 1e-5 for more."""
        return self._cdf(u, np.inf, ndtri)

    def logpdf(self, u: ArrayLike) -> Floats:
        """Log density at (n, d) points inside the unit cube: (n,)."""
        x = ndtri(_inside(u, self.dimension))
        return np.asarray(((x**2).sum(axis=1) - self._squared_distance(x)) / 2 - self._whitener[1])

    def tail_dependence(self) -> tuple[Any, Any]:
        """(lower, upper): 0 unless correlation is one; matrices for more than two factors."""
        return _scores_tail(self.corr, lambda rho: np.where(rho >= 1 - 1e-12, 1.0, 0.0))


@dataclass(frozen=True, eq=False)
class StudentTCopula(_Elliptical):
    """Copula of a multivariate Student t: factors crash together.

    Parameters
    ----------
    corr : (d, d), or float for a pair
        Correlation matrix, positive semidefinite.
    dof : float
        Degrees of freedom, above 0; the smaller, the more joint extremes.

    Raises
    ------
    InputError
    """

    corr: Floats
    dof: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "corr", correlation_matrix("corr", self.corr))
        object.__setattr__(self, "dof", one_number("dof", self.dof, 0.0))

    @classmethod
    def fit(cls, u: ArrayLike) -> Self:
        """Fit to (n, d) pseudo-observations.

        Correlations from Kendall's tau, sin(πτ/2), made positive semidefinite if need be; degrees
        of freedom from 1 to 300 by maximum likelihood given them (McNeil, Frey and Embrechts).
        """
        points = _inside(u, least=10)
        matrix = np.clip(np.sin(np.pi / 2 * kendall_tau(points)), -0.9999, 0.9999)
        np.fill_diagonal(matrix, 1.0)
        matrix = nearest_correlation(matrix)
        if np.linalg.eigvalsh(matrix)[0] < 1e-8:  # a repaired matrix is singular
            matrix = (1 - 1e-6) * matrix + 1e-6 * np.eye(matrix.shape[0])
        inverse = _best(lambda x: float(cls(matrix, 1 / x).logpdf(points).sum()), 1 / 300, 1.0)
        return cls(matrix, 1 / inverse)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw (n, d) dependent uniforms."""
        normals = _generator(rng).standard_normal((_count(n), self.dimension)) @ self._root.T
        mixing = np.sqrt(self.dof / rng.chisquare(self.dof, (n, 1)))
        return np.asarray(np.clip(stdtr(self.dof, normals * mixing), _LEAST, _MOST))

    def cdf(self, u: ArrayLike) -> Floats:
        """P(U ≤ u) at (n, d) points: (n,); exact for two factors, to 1e-4 for more."""
        return self._cdf(u, self.dof, lambda p: np.asarray(stdtrit(self.dof, p)))

    def logpdf(self, u: ArrayLike) -> Floats:
        """Log density at (n, d) points inside the unit cube: (n,)."""
        d, dof = self.dimension, self.dof
        x = np.asarray(stdtrit(dof, _inside(u, d)), dtype=np.float64)
        constant = gammaln((dof + d) / 2) - gammaln(dof / 2) - d / 2 * np.log(dof * np.pi)
        joint = constant - (dof + d) / 2 * np.log1p(self._squared_distance(x) / dof)
        return np.asarray(joint - self._whitener[1] - log_density(x, dof).sum(axis=1))

    def tail_dependence(self) -> tuple[Any, Any]:
        """(lower, upper) = 2·t(-√((dof + 1)(1 - ρ)/(1 + ρ))) with dof + 1 degrees of freedom.

        Floats for two factors, (d, d) matrices for more.
        """

        def tail(rho: Floats) -> Floats:
            with np.errstate(divide="ignore"):
                odds = np.sqrt((self.dof + 1) * np.maximum(1 - rho, 0.0) / (1 + rho))
            return np.asarray(2 * stdtr(self.dof + 1, -odds))

        return _scores_tail(self.corr, tail)


@dataclass(frozen=True)
class _Archimedean(ABC):
    """What the Archimedean copulas share: one parameter for all pairs of d factors."""

    theta: float
    dimension: int = 2

    _range: ClassVar[tuple[float, float]]  # of theta for a pair
    _fitted: ClassVar[tuple[float, float]]  # where a fit looks; at 60 it is nearly comonotone
    _independent: ClassVar[float]  # theta of independence: the least for more than two factors

    def __post_init__(self) -> None:
        theta = one_number("theta", self.theta, -np.inf)
        object.__setattr__(self, "theta", theta)
        d = self.dimension
        require(d == int(d) and d >= 2, "dimension", d, "whole numbers of at least 2")
        low, high = self._range
        if d > 2:
            low = self._independent
        require(low <= theta <= high, "theta", theta, f"numbers from {low:g} to {high:g}")

    @classmethod
    def fit(cls, u: ArrayLike) -> Self:
        """Fit theta to (n, d) pseudo-observations by maximum likelihood."""
        points = _inside(u, least=10)
        varying("u", points)
        d = points.shape[1]
        low, high = cls._fitted
        low = low if d == 2 else cls._independent

        def log_likelihood(theta: float) -> float:
            total = float(cls(theta, d).logpdf(points).sum())
            return total if np.isfinite(total) else -1e300

        pieces = [(low, cls._independent), (cls._independent, 4.0), (4.0, high)]
        found = [_best(log_likelihood, a, b) for a, b in pieces if a < b]
        return cls(max(found, key=log_likelihood), d)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw (n, d) dependent uniforms."""
        _generator(rng)
        if self.theta == self._independent:
            return np.clip(rng.random((_count(n), self.dimension)), _LEAST, _MOST)
        return np.clip(self._sample(_count(n), rng), _LEAST, _MOST)

    def cdf(self, u: ArrayLike) -> Floats:
        """P(U ≤ u) at (n, d) points: (n,)."""
        points = _points(u, self.dimension)
        if self.theta == self._independent:
            return np.asarray(points.prod(axis=1))
        result = np.zeros(points.shape[0])
        positive = (points > 0).all(axis=1)
        result[positive] = self._cdf(points[positive])
        return np.clip(result, 0.0, 1.0)

    def pdf(self, u: ArrayLike) -> Floats:
        """Density at (n, d) points inside the unit cube: (n,)."""
        return np.exp(self.logpdf(u))

    def logpdf(self, u: ArrayLike) -> Floats:
        """Log density at (n, d) points inside the unit cube: (n,)."""
        points = _inside(u, self.dimension)
        if self.theta == self._independent:
            return np.zeros(points.shape[0])
        return self._logpdf(points)

    @abstractmethod
    def _sample(self, n: int, rng: np.random.Generator) -> Floats: ...

    @abstractmethod
    def _cdf(self, u: Floats) -> Floats: ...

    @abstractmethod
    def _logpdf(self, u: Floats) -> Floats: ...


class ClaytonCopula(_Archimedean):
    """Lower tail dependence: (Σ uⱼ^-θ - d + 1)^(-1/θ).

    Parameters
    ----------
    theta : float
        Above 0; 0 is independence; down to -1 (perfect opposition) for a pair.
    dimension : int
        Number of factors, 2 by default.

    Raises
    ------
    InputError
    """

    _range = (-1.0, 1e6)
    _fitted = (-0.99, 60.0)
    _independent = 0.0

    def _sample(self, n: int, rng: np.random.Generator) -> Floats:
        if self.theta > 0:  # Marshall and Olkin (1988): gamma frailty
            frailty = rng.gamma(1 / self.theta, size=(n, 1))
            waits = rng.standard_exponential((n, self.dimension))
            with np.errstate(divide="ignore"):
                return np.asarray(np.exp(-np.log1p(waits / frailty) / self.theta))
        first, other = rng.random((2, n))
        if self.theta == -1:
            return np.column_stack((first, 1 - first))
        # Conditional inversion: the second given the first.
        theta = self.theta
        inner = (other ** (-theta / (1 + theta)) - 1) * first**-theta + 1
        return np.column_stack((first, np.maximum(inner, 0.0) ** (-1 / theta)))

    def _log_sum(self, u: Floats) -> Floats:
        """ln(Σ uⱼ^-θ - d + 1); -∞ where it is not positive (θ < 0)."""
        powers = -self.theta * np.log(u)
        top = powers.max(axis=1)
        rest = np.exp(powers - top[:, None]).sum(axis=1) - (self.dimension - 1) * np.exp(-top)
        # Powers near 1 cancel against d - 1.
        near = np.abs(powers).max(axis=1) < 0.5
        excess = np.maximum(np.expm1(np.where(near[:, None], powers, 0.0)).sum(axis=1), -1.0)
        with np.errstate(divide="ignore"):
            large = top + np.log(np.maximum(rest, 0.0))
            return np.where(near, np.log1p(excess), large)

    def _cdf(self, u: Floats) -> Floats:
        return np.asarray(np.exp(-self._log_sum(u) / self.theta))

    def _logpdf(self, u: Floats) -> Floats:
        d, theta = self.dimension, self.theta
        if theta == -1:
            raise InputError("theta = -1: perfect opposition has no density")
        total = self._log_sum(u)
        constant = np.log1p(theta * np.arange(d)).sum()
        with np.errstate(invalid="ignore"):
            density = constant - (theta + 1) * np.log(u).sum(axis=1) - (d + 1 / theta) * total
        return np.where(np.isneginf(total), -np.inf, density)

    def tail_dependence(self) -> tuple[float, float]:
        """(lower, upper) = (2^(-1/θ), 0), of any pair."""
        return (float(2 ** (-1 / self.theta)) if self.theta > 0 else 0.0), 0.0


class GumbelCopula(_Archimedean):
    """Upper tail dependence: exp(-(Σ(-ln uⱼ)^θ)^(1/θ)).

    Parameters
    ----------
    theta : float
        At least 1, which is independence.
    dimension : int
        Number of factors, 2 by default.

    Raises
    ------
    InputError
    """

    _range = (1.0, 1e6)
    _fitted = (1.0, 60.0)
    _independent = 1.0

    def _sample(self, n: int, rng: np.random.Generator) -> Floats:
        # Marshall and Olkin: positive stable frailty of index 1/θ, by Kanter's formula (1975).
        index = 1 / self.theta
        angle = np.pi * (1 - rng.random((n, 1)))
        wait = rng.standard_exponential((n, 1))
        log_frailty = (
            np.log(np.sin(index * angle))
            - np.log(np.sin(angle)) / index
            + (1 / index - 1) * (np.log(np.sin((1 - index) * angle)) - np.log(wait))
        )
        waits = rng.standard_exponential((n, self.dimension))
        return np.asarray(np.exp(-np.exp((np.log(waits) - log_frailty) * index)))

    def _log_norm(self, u: Floats) -> tuple[Floats, Floats]:
        """Logarithms of -ln uⱼ, (n, d), and of s = (Σ(-ln uⱼ)^θ)^(1/θ), (n,)."""
        with np.errstate(divide="ignore"):
            logs = np.log(-np.log(u))
        top = logs.max(axis=1)
        finite_top = np.where(np.isneginf(top), 0.0, top)
        total = np.exp(self.theta * (logs - finite_top[:, None])).sum(axis=1)
        with np.errstate(divide="ignore"):
            return logs, np.asarray(finite_top + np.log(total) / self.theta)

    def _cdf(self, u: Floats) -> Floats:
        return np.asarray(np.exp(-np.exp(self._log_norm(u)[1])))

    def _logpdf(self, u: Floats) -> Floats:
        # Hofert, Mächler and McNeil (2012): θ^d e^-s Π(x^(θ-1)/u) s^(-θd) Σ aₖ s^k, x = -ln u.
        d, theta = self.dimension, self.theta
        logs, log_s = self._log_norm(u)
        s = np.exp(log_s)
        polynomial = np.polynomial.Polynomial(np.append(0.0, self._coefficients))(s)
        return np.asarray(
            d * np.log(theta)
            - s
            + (theta - 1) * logs.sum(axis=1)
            - np.log(u).sum(axis=1)
            - theta * d * log_s
            + np.log(polynomial)
        )

    @property
    def _coefficients(self) -> Floats:
        """a₁..a_d of the polynomial: (-1)^(d-k) Σⱼ θ^-j s(d, j) S(j, k), Stirling numbers."""
        d = self.dimension
        first = np.poly(np.arange(d))[::-1]  # x(x - 1)...(x - d + 1): s(d, 0..d)
        return np.array(
            [
                (-1.0) ** (d - k)
                * sum(
                    self.theta**-j * first[j] * float(stirling2(j, k, exact=True))
                    for j in range(k, d + 1)
                )
                for k in range(1, d + 1)
            ]
        )

    def tail_dependence(self) -> tuple[float, float]:
        """(lower, upper) = (0, 2 - 2^(1/θ)), of any pair."""
        return 0.0, 2 - float(2 ** (1 / self.theta))


class FrankCopula(_Archimedean):
    """No tail dependence: -ln(1 + Π(e^-θuⱼ - 1)/(e^-θ - 1)^(d-1))/θ.

    Parameters
    ----------
    theta : float
        0 is independence; negative for a pair only.
    dimension : int
        Number of factors, 2 by default.

    Raises
    ------
    InputError
    """

    _range = (-700.0, 700.0)
    _fitted = (-60.0, 60.0)
    _independent = 0.0

    def _mirrored(self, u: Floats) -> tuple[FrankCopula, Floats]:
        """Turn a pair of negative theta into one of positive theta."""
        return FrankCopula(-self.theta), np.column_stack((1 - u[:, 0], u[:, 1]))

    def _sample(self, n: int, rng: np.random.Generator) -> Floats:
        theta = abs(self.theta)
        if self.dimension > 2:  # Marshall and Olkin: logarithmic frailty
            require(theta <= 36, "theta", theta, "numbers up to 36 to sample more than two factors")
            frailty = rng.logseries(-np.expm1(-theta), (n, 1))
            waits = rng.standard_exponential((n, self.dimension))
            return np.asarray(-np.log1p(np.expm1(-theta) * np.exp(-waits / frailty)) / theta)
        first, other = rng.random((2, n))
        # Conditional inversion: the second given the first.
        power = np.exp(-theta * first)
        odds = other * -np.expm1(-theta) / (other + power * (1 - other))
        second = -np.log1p(-np.minimum(odds, 1 - 2.0**-53)) / theta
        return np.column_stack((first if self.theta > 0 else 1 - first, second))

    def _log_h(self, u: Floats) -> Floats:
        """ln h, h = Π(1 - e^-θuⱼ)/(1 - e^-θ)^(d-1)."""
        whole = _log_less(np.asarray(-self.theta))
        return np.asarray(_log_less(-self.theta * u).sum(axis=1) - (self.dimension - 1) * whole)

    def _cdf(self, u: Floats) -> Floats:
        if self.theta < 0:
            copula, turned = self._mirrored(u)
            return np.asarray(u[:, 1] - copula._cdf(turned))
        return np.asarray(-_log_less(self._log_h(u)) / self.theta)

    def _logpdf(self, u: Floats) -> Floats:
        if self.theta < 0:
            copula, turned = self._mirrored(u)
            return copula._logpdf(turned)
        d, theta = self.dimension, self.theta
        whole = -np.expm1(-theta)
        if d == 2:
            # The denominator as a sum of positive terms.
            a, b = np.exp(-theta * u).T
            below = a * (1 - b) + b * -np.expm1(-theta * (1 - u[:, 1]))
            return np.asarray(
                np.log(theta) + np.log(whole) - theta * u.sum(axis=1) - 2 * np.log(below)
            )
        # Hofert, Mächler and McNeil (2012), with the polylogarithm of order 1 - d as a polynomial.
        log_h = self._log_h(u)
        odds = np.exp(log_h) / -np.expm1(log_h)
        terms = [0.0] + [factorial(k) * float(stirling2(d, k + 1, exact=True)) for k in range(d)]
        polylog = np.polynomial.Polynomial(terms)(odds)
        return np.asarray(
            (d - 1) * np.log(theta / whole) + np.log(polylog) - theta * u.sum(axis=1) - log_h
        )

    def tail_dependence(self) -> tuple[float, float]:
        """(lower, upper) = (0, 0)."""
        return 0.0, 0.0
