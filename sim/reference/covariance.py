"""Covariance and correlation of factor returns: estimates, repair, stress, shared factors.

Tables of returns are (n, k): n observations in time order, oldest first, of k factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError, unknown
from sim.reference.samples import (
    LEAST_EIGENVALUE,
    correlation_matrix,
    covariance_matrix,
    one_number,
    series,
    table,
    unit_diagonal,
    varying,
)
from sim.reference.validation import Floats, fraction, non_negative, positive, require


def sample_covariance(returns: ArrayLike) -> Floats:
    """Unbiased sample covariance, (k, k), per observation interval.

    Parameters
    ----------
    returns : (n, k)
        At least two observations.

    Raises
    ------
    InputError
        Naming the element that is not finite, or the wrong shape.
    """
    values = table("returns", returns, least=2)
    centred = values - values.mean(axis=0)
    return np.asarray(centred.T @ centred / (values.shape[0] - 1))


def ewma_covariance(
    returns: ArrayLike, decay: float = 0.94, initial: ArrayLike | None = None
) -> Floats:
    """Exponentially weighted covariance for the next interval, (k, k), about a mean of zero.

    Parameters
    ----------
    returns : (n, k)
    decay : float
        λ in (0, 1); RiskMetrics has 0.94 for daily returns.
    initial : (k, k), optional
        The estimate before the first observation: Σ' = λΣ + (1 - λ)rrᵀ. Without it the weights
        λⁱ are scaled to sum to one.

    Raises
    ------
    InputError
    """
    values = table("returns", returns)
    rate = one_number("decay", decay, 0.0, 1.0)
    weights = rate ** np.arange(values.shape[0] - 1, -1, -1, dtype=np.float64)
    weighted = (values * weights[:, None]).T @ values
    if initial is None:
        return np.asarray(weighted / weights.sum())
    start = covariance_matrix("initial", initial)
    if start.shape != weighted.shape:
        raise InputError(f"initial: shape {start.shape}, expected {weighted.shape}")
    return np.asarray(rate ** values.shape[0] * start + (1 - rate) * weighted)


def ewma_variances(returns: ArrayLike, decay: float = 0.94, initial: float | None = None) -> Floats:
    """Variance in force for each return, then the forecast for the next: (n + 1,).

    Parameters
    ----------
    returns : (n,)
    decay : float
        λ in (0, 1).
    initial : float, optional
        Variance in force for the first return; by default the mean square of all of them.

    Raises
    ------
    InputError

    Notes
    -----
    σ²ₜ₊₁ = λσ²ₜ + (1 - λ)r²ₜ (J.P. Morgan/Reuters, RiskMetrics 1996; Hull, EWMA).
    """
    rate = one_number("decay", decay, 0.0, 1.0)
    return _recursion(series("returns", returns), initial, 0.0, 1 - rate, rate)


def _recursion(
    returns: Floats, initial: float | None, omega: float, alpha: float, beta: float
) -> Floats:
    """σ²ₜ₊₁ = ω + αr²ₜ + βσ²ₜ from the variance in force for the first return."""
    squares = returns**2
    variance = float(squares.mean()) if initial is None else float(non_negative("initial", initial))
    path = [variance]
    for square in squares.tolist():
        variance = omega + alpha * square + beta * variance
        path.append(variance)
    return np.array(path)


@dataclass(frozen=True)
class Garch11:
    """GARCH(1,1): σ²ₜ₊₁ = ω + αr²ₜ + βσ²ₜ, variances per interval (Bollerslev 1986).

    Parameters
    ----------
    omega : float
        Above 0, in squared units of the returns.
    alpha, beta : float
        At least 0, together below 1 (else no long-run variance exists).

    Raises
    ------
    InputError
    """

    omega: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        positive("omega", self.omega)
        non_negative("alpha", self.alpha)
        non_negative("beta", self.beta)
        if self.persistence >= 1:
            raise InputError(f"alpha + beta = {self.persistence:g}: allowed are sums below 1")

    @property
    def persistence(self) -> float:
        """α + β: the share of a variance shock left after one interval."""
        return self.alpha + self.beta

    @property
    def long_run_variance(self) -> float:
        """ω/(1 - α - β), per interval."""
        return self.omega / (1 - self.persistence)

    def variances(self, returns: ArrayLike, initial: float | None = None) -> Floats:
        """Variance in force for each of n returns, then the forecast for the next: (n + 1,).

        `initial` is the variance in force for the first return, by default the long-run one.
        """
        start = self.long_run_variance if initial is None else initial
        return _recursion(series("returns", returns), start, self.omega, self.alpha, self.beta)

    def forecast(self, variance: ArrayLike, steps: ArrayLike) -> Floats:
        """Expected variance of the interval `steps` after the one that `variance` is in force for.

        E[σ²ₙ₊ₜ] = V + (α + β)ᵗ(σ²ₙ - V) with V the long-run variance (Hull, eq. 23.13).
        Broadcasts; steps = 0 returns `variance` itself.
        """
        start = non_negative("variance", variance)
        ahead = non_negative("steps", steps)
        gap = start - self.long_run_variance
        return np.asarray(self.long_run_variance + self.persistence**ahead * gap)

    def horizon_variance(self, variance: ArrayLike, intervals: ArrayLike) -> Floats:
        """Expected variance of the sum of the next `intervals` returns; broadcasts.

        `variance` is in force for the first of them. Unlike √time it reverts to the mean.
        """
        start = non_negative("variance", variance)
        count = non_negative("intervals", intervals)
        decayed = (1 - self.persistence**count) / (1 - self.persistence)
        level = self.long_run_variance
        return np.asarray(count * level + decayed * (start - level))


def ledoit_wolf(returns: ArrayLike) -> tuple[Floats, float]:
    """Covariance shrunk toward a multiple of the identity: (k, k), and the weight of the target.

    Parameters
    ----------
    returns : (n, k)
        At least two observations; k may exceed n.

    Raises
    ------
    InputError

    Notes
    -----
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004),
    with the moments divided by n as there.
    """
    values = table("returns", returns, least=2)
    n, k = values.shape
    centred = values - values.mean(axis=0)
    moment = centred.T @ centred / n
    target = np.trace(moment) / k * np.eye(k)
    distance = float(((moment - target) ** 2).sum())
    if distance == 0:
        return target, 1.0
    squares = centred**2
    error = float((squares.T @ squares / n - moment**2).sum()) / n
    weight = min(max(error, 0.0) / distance, 1.0)
    return np.asarray(weight * target + (1 - weight) * moment), weight


def correlation(covariance: ArrayLike) -> tuple[Floats, Floats]:
    """Correlation matrix and standard deviations of a covariance matrix: (k, k) and (k,).

    Raises `InputError` where a variance is zero or the matrix is not positive semidefinite.
    """
    matrix = covariance_matrix("covariance", covariance)
    variances = np.diagonal(matrix)
    require(variances > 0, "covariance diagonal", variances, "variances above 0")
    deviations = np.sqrt(variances)
    scaled = np.clip(matrix / np.outer(deviations, deviations), -1.0, 1.0)
    np.fill_diagonal(scaled, 1.0)
    return scaled, deviations


def least_eigenvalue(matrix: ArrayLike) -> float:
    """Smallest eigenvalue of a symmetric unit-diagonal matrix; below -1e-12 it needs repair."""
    return float(np.linalg.eigvalsh(unit_diagonal("matrix", matrix))[0])


def spectral_repair(matrix: ArrayLike) -> Floats:
    """Positive semidefinite correlation by clipping eigenvalues: quick, not the nearest.

    Parameters
    ----------
    matrix : (k, k)
        Symmetric, unit diagonal, entries from -1 to 1.

    Raises
    ------
    InputError

    Notes
    -----
    Negative eigenvalues become zero and rows are scaled back to a unit diagonal (Rebonato and
    Jäckel 1999). A matrix that is positive semidefinite already comes back as it is.
    """
    given = unit_diagonal("matrix", matrix)
    # The same question to the same routine as elsewhere: two of them may differ in the last digit.
    if np.linalg.eigvalsh(given)[0] >= 0:
        return given
    values, vectors = np.linalg.eigh(given)
    root = vectors * np.sqrt(np.maximum(values, 0))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    return _as_correlation(root @ root.T)


def nearest_correlation(
    matrix: ArrayLike, tolerance: float = 1e-12, most_iterations: int = 100_000
) -> Floats:
    """Correlation matrix nearest in the Frobenius norm.

    Parameters
    ----------
    matrix : (k, k)
        Symmetric, unit diagonal, entries from -1 to 1.
    tolerance : float
        Largest change of an entry at which the iteration stops.
    most_iterations : int

    Raises
    ------
    InputError
        Also when the iteration has not settled.

    Notes
    -----
    Alternating projections with Dykstra's correction (Higham, Computing the nearest correlation
    matrix, 2002).
    """
    given = unit_diagonal("matrix", matrix)
    if np.linalg.eigvalsh(given)[0] >= 0:
        return given
    current, correction = given, np.zeros_like(given)
    for _ in range(most_iterations):
        shifted = current - correction
        values, vectors = np.linalg.eigh(shifted)
        semidefinite = (vectors * np.maximum(values, 0)) @ vectors.T
        correction = semidefinite - shifted
        previous, current = current, semidefinite.copy()
        np.fill_diagonal(current, 1.0)
        if np.abs(current - previous).max() <= tolerance:
            return spectral_repair(_as_correlation(current))
    raise InputError(f"matrix: no nearest correlation within {most_iterations} iterations")


def _as_correlation(matrix: Floats) -> Floats:
    """Remove what rounding left: asymmetry, a diagonal beside one, entries beyond ±1."""
    tidy = np.clip((matrix + matrix.T) / 2, -1.0, 1.0)
    np.fill_diagonal(tidy, 1.0)
    return np.asarray(tidy)


_REPAIRS = {"spectral": spectral_repair, "nearest": nearest_correlation}


def repair_correlation(matrix: ArrayLike, method: str) -> Floats:
    """Repair by name: "spectral" (`spectral_repair`) or "nearest" (`nearest_correlation`).

    The result is checked: unit diagonal, no eigenvalue below -1e-12.
    """
    if method not in _REPAIRS:
        raise unknown("repair method", method, _REPAIRS)
    return correlation_matrix("repaired matrix", _REPAIRS[method](matrix))


def stressed_correlation(
    matrix: ArrayLike, weight: float, direction: ArrayLike | None = None
) -> Floats:
    """Move correlations toward ±1, staying positive semidefinite.

    Parameters
    ----------
    matrix : (k, k)
        A correlation matrix.
    weight : float
        From 0 (unchanged) to 1 (every pair at ±1).
    direction : (k,) of ±1, optional
        The way each factor moves in the crisis; by default all the same way. Pairs with equal
        signs go toward +1, the others toward -1.

    Raises
    ------
    InputError

    Notes
    -----
    (1 - w)C + w·ssᵀ is a mixture of two positive semidefinite matrices; moving each pair freely
    toward ±1 would not be one.
    """
    calm = correlation_matrix("matrix", matrix)
    share = float(fraction("weight", weight))
    signs = np.ones(calm.shape[0]) if direction is None else series("direction", direction)
    if signs.shape != calm.shape[:1]:
        raise InputError(f"direction: shape {signs.shape}, expected {calm.shape[:1]}")
    require(np.abs(signs) == 1, "direction", signs, "-1 and 1")
    return _as_correlation((1 - share) * calm + share * np.outer(signs, signs))


def with_pairs(
    matrix: ArrayLike, pairs: Mapping[tuple[int, int], float], repair: str = "nearest"
) -> Floats:
    """Set single pairs of a correlation matrix and repair the result if it needs it.

    Parameters
    ----------
    matrix : (k, k)
        A correlation matrix.
    pairs : mapping of (i, j) to a correlation
        i ≠ j; both halves are set.
    repair : {"nearest", "spectral"}
        Used only if the edited matrix is not positive semidefinite: then no entry, the set ones
        included, is exactly as given.

    Raises
    ------
    InputError
    """
    edited = correlation_matrix("matrix", matrix).copy()
    for (i, j), value in pairs.items():
        if i == j or not (0 <= i < edited.shape[0] and 0 <= j < edited.shape[0]):
            raise InputError(f"pairs ({i}, {j}): allowed are two factors of {edited.shape[0]}")
        edited[i, j] = edited[j, i] = value
    if least_eigenvalue(edited) >= LEAST_EIGENVALUE:
        return edited
    return repair_correlation(edited, repair)


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """Shared factors of a table of returns, the strongest first.

    Attributes
    ----------
    variances : (k,)
        Variance of each component, descending.
    explained : (k,)
        Share of the total variance; sums to one.
    loadings : (k, k)
        Column j is component j as a unit vector over the factors; its largest entry is positive.
    mean, scale : (k,)
        What was subtracted from and divided out of the returns.
    """

    variances: Floats
    explained: Floats
    loadings: Floats
    mean: Floats
    scale: Floats

    def scores(self, returns: ArrayLike) -> Floats:
        """Values of the components for (n, k) returns: (n, k)."""
        values = table("returns", returns, columns=self.mean.size)
        return np.asarray((values - self.mean) / self.scale @ self.loadings)


def principal_components(returns: ArrayLike, standardise: bool = False) -> PrincipalComponents:
    """Principal components of (n, k) returns, of their correlation when `standardise` is set.

    Raises
    ------
    InputError
        Also when a column never changes and `standardise` is set.
    """
    values = table("returns", returns, least=2)
    mean = values.mean(axis=0)
    scale = np.ones_like(mean)
    if standardise:
        varying("returns", values)
        scale = values.std(axis=0, ddof=1)
    variances, vectors = np.linalg.eigh(sample_covariance((values - mean) / scale))
    variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1]
    total = variances.sum()
    if total == 0:
        raise InputError("returns: every value is the same, nothing can be explained")
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(mean.size)] < 0, -1.0, 1.0)
    return PrincipalComponents(variances, variances / total, vectors * signs, mean, scale)
