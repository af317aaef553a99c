"""Value at risk and expected shortfall of a sample of losses, with their standard errors.

Losses are positive numbers. VaR at level a is inf{x : P(L ≤ x) ≥ a}; expected shortfall is the mean
of VaR over the levels from a to 1. A level is 0.99, never 0.01.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from sim.errors import InputError, unknown
from sim.reference.covariance import Garch11, ewma_variances
from sim.reference.samples import confidence, series, varying
from sim.reference.student import StudentT, fit_student_t
from sim.reference.validation import Floats, finite, require

METHODS = ("historical", "filtered_historical", "normal", "student_t", "cornish_fisher")

# Empirical quantiles after Hyndman and Fan (1996), named as in numpy.quantile. Those that
# interpolate have nodes at (j + 1 - α)/(n + 1 - α - β), those that step have jumps at
# (j + shift)/(n - less).
_INTERPOLATED = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_STEPPED = {
    "inverted_cdf": (0.0, 0),
    "averaged_inverted_cdf": (0.0, 0),
    "closest_observation": (0.5, 0),
    "lower": (0.0, 1),
    "higher": (0.0, 1),
    "midpoint": (0.0, 1),
    "nearest": (0.5, 1),
}
ESTIMATORS = (*_STEPPED, *_INTERPOLATED)


@dataclass(frozen=True)
class TailRisk:
    """VaR and expected shortfall with what is known about their accuracy.

    Attributes
    ----------
    level : float
    value_at_risk, expected_shortfall : float
        In the units of the losses.
    method : str
        How they were computed.
    var_standard_error, es_standard_error : float
        Sampling errors; nan where the method has none, 0 for closed forms with given parameters.
    note : str
        What a reader must know, such as the reason for a method.
    """

    level: float
    value_at_risk: float
    expected_shortfall: float
    method: str
    var_standard_error: float = float("nan")
    es_standard_error: float = float("nan")
    note: str = ""


def value_at_risk(
    losses: ArrayLike, level: float, method: str = "historical", estimator: str = "inverted_cdf"
) -> float:
    """Value at risk of a sample of losses.

    Parameters
    ----------
    losses : (n,)
        Losses, positive; in time order, oldest first, for "filtered_historical".
    level : float
        From 0.5 to below 1, such as 0.99.
    method : str
        "historical": empirical quantile, by `estimator`.
        "filtered_historical": the same after `filtered_losses`.
        "normal": mean + z·s, s with n - 1.
        "student_t": quantile of the Student t fitted by maximum likelihood.
        "cornish_fisher": mean + s·`cornish_fisher_quantile`, of the sample's skewness and kurtosis.
    estimator : str
        Empirical quantile, as in `numpy.quantile`: "inverted_cdf" (an order statistic, the
        definition above), "linear", "higher", ...; ignored by parametric methods.

    Raises
    ------
    InputError
        For a level below 0.5, an unknown method or estimator, a loss that is not finite, a sample
        too short for the method, and moments outside the range of Cornish-Fisher.
    """
    return tail_risk(losses, level, method, estimator).value_at_risk


def expected_shortfall(
    losses: ArrayLike, level: float, method: str = "historical", estimator: str = "inverted_cdf"
) -> float:
    """Expected shortfall of a sample of losses; arguments and errors as in `value_at_risk`.

    The historical one is the exact integral of the empirical quantile over the tail. With
    "inverted_cdf" this is the mean of the worst n(1 - level) losses, the last of them counted by
    its fraction (Acerbi and Tasche 2002), which is coherent.
    """
    return tail_risk(losses, level, method, estimator).expected_shortfall


def tail_risk(
    losses: ArrayLike, level: float, method: str = "historical", estimator: str = "inverted_cdf"
) -> TailRisk:
    """VaR and expected shortfall of a sample with standard errors; see `value_at_risk`.

    Historical errors assume independent losses: of VaR half the distance of the order statistics
    one binomial deviation away (Woodruff 1952), of expected shortfall from its influence function.
    Parametric errors are those of the fitted parameters; Cornish-Fisher has none.
    """
    level = confidence(level)
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if estimator not in ESTIMATORS:
        raise unknown("estimator", estimator, ESTIMATORS)
    if method == "historical":
        return _historical(series("losses", losses), level, method, estimator)
    if method == "filtered_historical":
        return _historical(filtered_losses(losses), level, method, estimator)
    if method == "student_t":
        return _student(series("losses", losses, least=10), level)
    sample = series("losses", losses, least=2 if method == "normal" else 4)
    mean, deviation = float(sample.mean()), float(sample.std(ddof=1))
    if method == "normal":
        return normal_tail(level, mean, deviation, sample.size)
    varying("losses", sample)
    centred = sample - mean
    variance = float((centred**2).mean())
    skew = float((centred**3).mean()) / variance**1.5
    excess = float((centred**4).mean()) / variance**2 - 3
    if not cornish_fisher_valid(skew, excess):
        raise InputError(
            f"losses: skewness {skew:.3g} and excess kurtosis {excess:.3g} are outside the range "
            "where Cornish-Fisher is monotone; use historical or student_t"
        )
    return TailRisk(
        level,
        mean + deviation * float(cornish_fisher_quantile(level, skew, excess)),
        mean + deviation * cornish_fisher_shortfall(level, skew, excess),
        method,
    )


def tail_weights(count: int, level: float) -> tuple[Floats, int]:
    """Weights of the worst losses in expected shortfall, worst first, and the rank of VaR.

    Returns the weights (they sum to one) of the worst ⌈count·(1 - level)⌉ losses of `count`, and
    how many losses are worse than the one that is VaR under "inverted_cdf".
    """
    tail = count * (1 - level)
    whole = round(tail)
    if abs(tail - whole) > 4 * np.finfo(np.float64).eps * count:  # 100·(1 - 0.95) is 5, not 5.0…04
        whole = int(tail)
        weights = np.append(np.ones(whole), tail - whole)
    else:
        weights = np.ones(whole)
    return weights / weights.sum(), whole


def _historical(sample: Floats, level: float, method: str, estimator: str) -> TailRisk:
    ordered = np.sort(sample)
    n = ordered.size
    weights, worse = tail_weights(n, level)
    if estimator == "inverted_cdf":
        quantile = float(ordered[n - 1 - worse])
        shortfall = float(weights @ ordered[::-1][: weights.size])
    else:
        quantile = float(np.quantile(ordered, level, method=estimator))  # type: ignore[call-overload]
        shortfall = _integrated_quantile(ordered, level, estimator)
    return TailRisk(
        level,
        quantile,
        max(shortfall, quantile),
        method,
        _order_statistic_error(ordered, level, worse),
        float(np.std(np.maximum(sample - quantile, 0.0)) / (1 - level) / np.sqrt(n)),
    )


def _order_statistic_error(ordered: Floats, level: float, worse: int) -> float:
    """Half the distance of the order statistics one binomial deviation from the quantile."""
    n = ordered.size
    reach = max(1, round(float(np.sqrt(n * level * (1 - level)))))
    low, high = max(n - 1 - worse - reach, 0), min(n - 1 - worse + reach, n - 1)
    if high == low:
        return float("nan")
    return float(ordered[high] - ordered[low]) * reach / (high - low)


def _integrated_quantile(ordered: Floats, level: float, estimator: str) -> float:
    """Mean of the empirical quantile function over [level, 1], exactly.

    The function is linear or constant between nodes: the trapezium rule on them, or the value
    midway between two, leaves no error.
    """
    n = ordered.size
    if n == 1:
        return float(ordered[0])
    j = np.arange(n + 1, dtype=np.float64)
    if estimator in _INTERPOLATED:
        alpha, beta = _INTERPOLATED[estimator]
        nodes = (j + 1 - alpha) / (n + 1 - alpha - beta)
    else:
        shift, less = _STEPPED[estimator]
        nodes = (j + shift) / (n - less)
    edges = np.concatenate(([level], nodes[(nodes > level) & (nodes < 1)], [1.0]))
    at = edges if estimator in _INTERPOLATED else (edges[1:] + edges[:-1]) / 2
    values = np.quantile(ordered, at, method=estimator)  # type: ignore[call-overload]
    if estimator in _INTERPOLATED:
        values = (values[1:] + values[:-1]) / 2
    return float(values @ np.diff(edges)) / (1 - level)


def _student(sample: Floats, level: float) -> TailRisk:
    fitted, likelihood = fit_student_t(sample)

    def measures(parameters: Floats) -> Floats:
        location, scale, dof = parameters.tolist()
        moved = StudentT(dof, location, scale)
        return np.array([moved.value_at_risk(level), moved.expected_shortfall(level)])

    at = likelihood.estimate
    here = measures(at)
    steps = 1e-4 * np.array([fitted.scale, fitted.scale, fitted.dof])
    slopes = np.array([(measures(at + step) - here) / step.sum() for step in np.diag(steps)])
    known = np.nan_to_num(likelihood.covariance)  # dof at the end of its range: taken as given
    errors = np.sqrt(np.einsum("ai,ab,bi->i", slopes, known, slopes))
    return TailRisk(
        level,
        float(here[0]),
        float(here[1]),
        "student_t",
        float(errors[0]),
        float(errors[1]),
        f"Student t with {fitted.dof:.3g} degrees of freedom",
    )


def normal_tail(
    level: float, mean: float = 0.0, deviation: float = 1.0, observations: float = np.inf
) -> TailRisk:
    """VaR mean + z·deviation and ES mean + deviation·φ(z)/(1 - level) of normal losses.

    Standard errors are those of a mean and deviation estimated from `observations` losses.
    Raises `InputError` for a level below 0.5 or a negative deviation.
    """
    level = confidence(level)
    centre = float(finite("mean", mean))
    require(deviation >= 0, "deviation", deviation, "numbers of at least 0")
    z = float(ndtri(level))
    factor = _normal_density(z) / (1 - level)
    errors = [float(deviation * np.sqrt((1 + x**2 / 2) / observations)) for x in (z, factor)]
    return TailRisk(
        level, centre + z * deviation, centre + factor * deviation, "normal", errors[0], errors[1]
    )


def _normal_density(z: float) -> float:
    return float(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))


def cornish_fisher_quantile(
    level: ArrayLike, skew: ArrayLike, excess_kurtosis: ArrayLike
) -> Floats | float:
    """Quantile of a standardised loss from its skewness and excess kurtosis.

    Parameters
    ----------
    level : array_like
        In (0, 1), of losses: 0.99 is the bad tail.
    skew, excess_kurtosis : array_like
        Of the losses: a positive skew is a long tail of losses.

    Returns
    -------
    float, or an array if an argument is one
        w = z + (z² - 1)s/6 + (z³ - 3z)k/24 - (2z³ - 5z)s²/36, whether or not the expansion is
        monotone there: see `cornish_fisher_valid`.

    Raises
    ------
    InputError

    Notes
    -----
    Cornish and Fisher (1937); Maillard, A user's guide to the Cornish Fisher expansion (2012).
    """
    probability = finite("level", level)
    require((probability > 0) & (probability < 1), "level", probability, "numbers in (0, 1)")
    z, s = ndtri(probability), finite("skew", skew)
    k = finite("excess_kurtosis", excess_kurtosis)
    quantile = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    return float(quantile) if np.ndim(quantile) == 0 else np.asarray(quantile)


def cornish_fisher_shortfall(level: float, skew: float, excess_kurtosis: float) -> float:
    """Mean of `cornish_fisher_quantile` over the levels from `level` to 1, in closed form."""
    z = float(ndtri(confidence(level)))
    s, k = float(finite("skew", skew)), float(finite("excess_kurtosis", excess_kurtosis))
    # E[Z], E[Z² - 1], E[Z³] beyond z are φ(z)/(1 - level) times 1, z, z² + 2.
    cubic = z**2 + 2
    terms = 1 + z * s / 6 + (cubic - 3) * k / 24 - (2 * cubic - 5) * s**2 / 36
    return _normal_density(z) / (1 - level) * terms


def cornish_fisher_valid(skew: float, excess_kurtosis: float) -> bool:
    """Whether the expansion rises everywhere on z in [-4, 4], so that it is a quantile there."""
    s, k = float(finite("skew", skew)), float(finite("excess_kurtosis", excess_kurtosis))
    # Derivative: square·z² + slope·z + constant.
    square, slope, constant = k / 8 - s**2 / 6, s / 3, 1 - k / 8 + 5 * s**2 / 36
    points = [-4.0, 4.0]
    if square != 0 and abs(slope / (2 * square)) < 4:
        points.append(-slope / (2 * square))
    return all(square * z**2 + slope * z + constant >= 0 for z in points)


def filtered_losses(losses: ArrayLike, filter_by: Garch11 | float = 0.94) -> Floats:
    """Past losses brought to the volatility forecast for the next interval: (n,).

    Parameters
    ----------
    losses : (n,)
        In time order, oldest first; at least two, not all zero.
    filter_by : Garch11 or float
        The variance filter; a number is the decay of `ewma_variances`.

    Raises
    ------
    InputError

    Notes
    -----
    Each loss is divided by the volatility in force for it and multiplied by the forecast: filtered
    historical simulation (Hull and White 1998; Barone-Adesi, Giannopoulos and Vosper 1999).
    """
    sample = series("losses", losses, least=2)
    if isinstance(filter_by, Garch11):
        variances = filter_by.variances(sample)
    else:
        variances = ewma_variances(sample, filter_by)
    require(variances > 0, "losses variance", variances, "variances above 0")
    return np.asarray(sample * np.sqrt(variances[-1] / variances[:-1]))
