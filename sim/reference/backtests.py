"""Backtests of VaR and expected shortfall forecasts, each with its power.

An exception is a loss above its VaR. A level of 0.99 claims one exception in a hundred. All tests
are weak on a year of days, so every result can say how likely it was to catch a wrong model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, bdtrc, chdtrc, chdtri, gammaln, ndtr, ndtri, stdtr, stdtrit, xlogy

from sim.errors import InputError, unknown
from sim.reference.covariance import Garch11, ewma_variances
from sim.reference.risk_measures import METHODS, normal_tail, tail_risk
from sim.reference.samples import confidence, series
from sim.reference.student import StudentT, fit_student_t
from sim.reference.validation import Bools, Floats, finite, floats, require

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class LikelihoodRatio:
    """Outcome of a likelihood-ratio test.

    Attributes
    ----------
    statistic : float
        Chi-squared under the model, asymptotically; at least 0.
    p_value : float
        Its tail probability.
    degrees : int
        Degrees of freedom.
    """

    statistic: float
    p_value: float
    degrees: int

    def rejected(self, significance: float = SIGNIFICANCE) -> bool:
        """Whether the model is rejected at this significance."""
        return self.p_value < significance


@dataclass(frozen=True)
class Kupiec(LikelihoodRatio):
    """Outcome of `kupiec_pof`: also the counts it was made from."""

    failures: int
    observations: int
    level: float

    def power(self, true_rate: float | None = None, significance: float = SIGNIFICANCE) -> float:
        """Probability of rejection at a true exception rate, by default twice the claimed one."""
        rate = 2 * (1 - self.level) if true_rate is None else true_rate
        return kupiec_power(self.observations, self.level, rate, significance)


@dataclass(frozen=True)
class Christoffersen(LikelihoodRatio):
    """Outcome of `christoffersen`: conditional coverage, the sum of its two parts.

    Attributes
    ----------
    coverage, independence : LikelihoodRatio
        Kupiec's test and the independence test, one degree of freedom each.
    transitions : (2, 2) tuple of int
        Entry (i, j) counts steps from state i to state j; state 1 is an exception.
    level : float
    """

    coverage: Kupiec
    independence: LikelihoodRatio
    transitions: tuple[tuple[int, int], tuple[int, int]]
    level: float

    def power(
        self,
        true_rate: float | None = None,
        repeat_rate: float | None = None,
        significance: float = SIGNIFICANCE,
    ) -> float:
        """Probability of rejection at true rates, by default twice the claimed and no clusters.

        See `christoffersen_power`.
        """
        rate = 2 * (1 - self.level) if true_rate is None else true_rate
        return christoffersen_power(
            self.coverage.observations, self.level, rate, repeat_rate, significance
        )


@dataclass(frozen=True)
class TrafficLight:
    """Outcome of `traffic_light`.

    Attributes
    ----------
    zone : str
        "green", "yellow" or "red".
    cumulative_probability : float
        Of at most that many exceptions, if the model is right.
    plus_factor, multiplier : float
        Basel 1996, for 250 observations at 0.99; nan for other designs.
    multiplier_mar99 : float
        Basel framework MAR99, likewise.
    """

    zone: str
    cumulative_probability: float
    plus_factor: float
    multiplier: float
    multiplier_mar99: float
    observations: int
    level: float

    def power(self, true_rate: float | None = None) -> float:
        """Probability of leaving green at a true rate, by default twice the claimed one."""
        rate = 2 * (1 - self.level) if true_rate is None else true_rate
        return 1 - traffic_light_odds(self.observations, self.level, rate)["green"]


def kupiec_pof(failures: int, observations: int, level: float) -> Kupiec:
    """Kupiec's test (1995) that the proportion of failures is 1 - level.

    Parameters
    ----------
    failures, observations : int
        Exceptions and days.
    level : float
        Confidence of the VaR, such as 0.99.

    Raises
    ------
    InputError

    Notes
    -----
    -2 ln of the binomial likelihood ratio, with 0·ln 0 = 0, so that no failures at all can reject:
    LR = 5.13 for none in 255 at 0.99, although some tables print "N < 7".
    """
    x, n, level = _counts(failures, observations, level)
    statistic = float(_coverage_ratio(np.array(float(x)), n, 1 - level))
    return Kupiec(statistic, float(chdtrc(1, statistic)), 1, x, n, level)


def christoffersen(exceptions: ArrayLike, level: float) -> Christoffersen:
    """Christoffersen's test (1998) of conditional coverage: the right rate, and no clusters.

    Parameters
    ----------
    exceptions : (n,) of bool, or of 0 and 1
        In time order; at least two.
    level : float
        Confidence of the VaR.

    Returns
    -------
    Christoffersen
        LR = coverage (over all n observations) + independence (over the n - 1 transitions),
        chi-squared with two degrees of freedom.

    Raises
    ------
    InputError
    """
    hits = series("exceptions", floats("exceptions", exceptions), least=2)
    require((hits == 0) | (hits == 1), "exceptions", hits, "0 and 1")
    before, after = hits[:-1] == 1, hits[1:] == 1
    n00, n01 = int((~before & ~after).sum()), int((~before & after).sum())
    n10, n11 = int((before & ~after).sum()), int((before & after).sum())
    coverage = kupiec_pof(int(hits.sum()), hits.size, level)
    apart = float(_independence_ratio(*(np.array(float(c)) for c in (n00, n01, n10, n11))))
    independence = LikelihoodRatio(apart, float(chdtrc(1, apart)), 1)
    statistic = coverage.statistic + apart
    return Christoffersen(
        statistic,
        float(chdtrc(2, statistic)),
        2,
        coverage,
        independence,
        ((n00, n01), (n10, n11)),
        coverage.level,
    )


def _counts(failures: int, observations: int, level: float) -> tuple[int, int, float]:
    counts = finite("observations", observations), finite("failures", failures)
    n, x = (float(count) for count in counts)
    require(n >= 1 and n == int(n), "observations", n, "whole numbers of at least 1")
    require(0 <= x <= n and x == int(x), "failures", x, f"whole numbers from 0 to {int(n)}")
    return int(x), int(n), confidence(level)


def _coverage_ratio(failures: Floats, observations: int, rate: float) -> Floats:
    x, n = failures, float(observations)
    ratio = xlogy(x, x / n) + xlogy(n - x, (n - x) / n) - xlogy(x, rate) - xlogy(n - x, 1 - rate)
    return np.maximum(2 * ratio, 0.0)


def _independence_ratio(n00: Floats, n01: Floats, n10: Floats, n11: Floats) -> Floats:
    def best(hits: Floats, misses: Floats) -> Floats:
        """Highest binomial log likelihood."""
        total = np.maximum(hits + misses, 1.0)
        return np.asarray(xlogy(hits, hits / total) + xlogy(misses, misses / total))

    together = best(n01 + n11, n00 + n10)
    return np.maximum(2 * (best(n01, n00) + best(n11, n10) - together), 0.0)


def _rate(name: str, value: float) -> float:
    rate = float(finite(name, value))
    require(0 <= rate <= 1, name, rate, "numbers from 0 to 1")
    return rate


def kupiec_power(
    observations: int, level: float, true_rate: float, significance: float = SIGNIFICANCE
) -> float:
    """Exact probability that `kupiec_pof` rejects when exceptions come at `true_rate`.

    At `true_rate` = 1 - level this is the true size of the test. Raises `InputError`.
    """
    _, n, level = _counts(0, observations, level)
    rate = _rate("true_rate", true_rate)
    counts = np.arange(n + 1, dtype=np.float64)
    rejected = _coverage_ratio(counts, n, 1 - level) > chdtri(1, significance)
    probabilities = np.exp(
        _log_choose(float(n), counts) + xlogy(counts, rate) + xlogy(n - counts, 1 - rate)
    )
    return float(probabilities[rejected].sum())


def christoffersen_power(
    observations: int,
    level: float,
    true_rate: float,
    repeat_rate: float | None = None,
    significance: float = SIGNIFICANCE,
) -> float:
    """Exact probability that `christoffersen` rejects a Markov chain of exceptions.

    Parameters
    ----------
    observations : int
        At least 2.
    level : float
        The claim.
    true_rate : float
        Long-run rate of exceptions, in (0, 1).
    repeat_rate : float, optional
        Probability of an exception right after one, by default `true_rate`: no clusters.
    significance : float

    Raises
    ------
    InputError

    Notes
    -----
    The statistic depends on the chain through its number of exceptions, the number of runs they
    form and its two ends; the sequences with equal counts are counted by compositions.
    """
    _, n, level = _counts(0, observations, level)
    require(n >= 2, "observations", n, "numbers of at least 2")
    p = _rate("true_rate", true_rate)
    require(0 < p < 1, "true_rate", p, "numbers in (0, 1)")
    p11 = p if repeat_rate is None else _rate("repeat_rate", repeat_rate)
    p01 = p * (1 - p11) / (1 - p)  # keeps the long-run rate
    require(p01 <= 1, "repeat_rate", p11, "rates that the long-run rate allows")
    spread = np.sqrt(n * p * (1 - p) * max((1 + p11 - p01) / max(1 - p11 + p01, 1e-3), 1.0))
    most = min(n, int(n * p + 12 * spread + 12))
    ones = np.arange(1, most + 1, dtype=np.float64)[:, None]
    runs = np.arange(1, most + 1, dtype=np.float64)[None, :]
    zeros = n - ones
    critical = chdtri(2, significance)
    cover = _coverage_ratio(ones, n, 1 - level)
    # All zeros: one sequence.
    total = 0.0
    if float(_coverage_ratio(np.array(0.0), n, 1 - level)) > critical:
        total += (1 - p) * (1 - p01) ** (n - 1)
    for starts_hit in (0, 1):
        for ends_hit in (0, 1):
            gaps = runs + 1 - starts_hit - ends_hit  # runs of zeros
            n01, n10 = runs - starts_hit, runs - ends_hit
            n11, n00 = ones - runs, zeros - gaps
            possible = (runs <= ones) & (gaps <= zeros) & ((gaps > 0) | (zeros == 0))
            with np.errstate(invalid="ignore"):
                log_probability = (
                    _log_choose(ones - 1, runs - 1)
                    + np.where(gaps > 0, _log_choose(zeros - 1, gaps - 1), 0.0)
                    + np.log(p if starts_hit else 1 - p)
                    + xlogy(n01, p01)
                    + xlogy(n00, 1 - p01)
                    + xlogy(n11, p11)
                    + xlogy(n10, 1 - p11)
                )
                apart = _independence_ratio(
                    *(np.where(possible, c, 0.0) for c in (n00, n01, n10, n11))
                )
            chosen = possible & (cover + apart > critical)
            total += float(np.exp(log_probability[chosen]).sum())
    return min(total, 1.0)


def _log_choose(n: Floats | float, k: Floats) -> Floats:
    return np.asarray(gammaln(np.add(n, 1)) - gammaln(k + 1) - gammaln(n - k + 1))


_PLUS_FACTOR = {5: 0.40, 6: 0.50, 7: 0.65, 8: 0.75, 9: 0.85}
_MAR99 = {5: 1.70, 6: 1.76, 7: 1.83, 8: 1.88, 9: 1.92}
_GREEN, _YELLOW = 0.95, 0.9999


def traffic_light(failures: int, observations: int = 250, level: float = 0.99) -> TrafficLight:
    """Basel's three zones (BCBS 22, 1996; MAR99).

    Green up to a cumulative probability of 95 %, yellow up to 99.99 %, red above.

    Raises
    ------
    InputError
    """
    x, n, level = _counts(failures, observations, level)
    probability = float(bdtr(x, n, 1 - level))
    zone = "green" if probability <= _GREEN else "yellow" if probability <= _YELLOW else "red"
    plus, mar99 = float("nan"), float("nan")
    if n == 250 and abs(level - 0.99) < 1e-12:
        plus = _PLUS_FACTOR.get(x, 0.0 if x < 5 else 1.0)
        mar99 = _MAR99.get(x, 1.5 if x < 5 else 2.0)
    return TrafficLight(zone, probability, plus, 3 + plus, mar99, n, level)


def traffic_light_odds(observations: int, level: float, true_rate: float) -> dict[str, float]:
    """Probability of each zone when exceptions come at `true_rate`.

    Of 250 days at 0.99, a true 2 % stays green with 44 %. Raises `InputError`.
    """
    _, n, level = _counts(0, observations, level)
    rate = _rate("true_rate", true_rate)
    cumulative = bdtr(np.arange(n + 1), n, 1 - level)
    last_green = int((cumulative <= _GREEN).sum()) - 1
    last_yellow = int((cumulative <= _YELLOW).sum()) - 1
    green = float(bdtr(last_green, n, rate)) if last_green >= 0 else 0.0
    red = float(bdtrc(last_yellow, n, rate)) if last_yellow >= 0 else 1.0
    return {"green": green, "yellow": max(1 - green - red, 0.0), "red": red}


class ShortfallTest(float):
    """An Acerbi-Székely statistic: a number that knows its distribution if the model is right.

    Expected value 0 for a right model, negative when expected shortfall is forecast too low.

    Attributes
    ----------
    statistic : float
        The number itself.
    exceptions, observations : int
    level : float
    dof : float
        Of the Student-t losses under the model; infinite for normal ones.
    """

    exceptions: int
    observations: int
    level: float
    dof: float
    _count: int | None

    def __new__(
        cls, value: float, exceptions: int, observations: int, level: float, dof: float, given: bool
    ) -> ShortfallTest:
        self = super().__new__(cls, value)
        self.exceptions, self.observations = exceptions, observations
        self.level, self.dof = level, dof
        self._count = exceptions if given else None
        return self

    def __reduce__(self) -> tuple[type[ShortfallTest], tuple[object, ...]]:
        given = self._count is not None
        values = float(self), self.exceptions, self.observations, self.level, self.dof, given
        return ShortfallTest, values

    @property
    def statistic(self) -> float:
        """The value as a plain float; nan for Z1 without exceptions."""
        return float(self)

    @cached_property
    def p_value(self) -> float:
        """Probability of a value at most this low, if the model is right."""
        if np.isnan(self):
            return float("nan")
        return self._distribution.at_most(float(self))

    def critical_value(self, significance: float = SIGNIFICANCE) -> float:
        """Value below which the model is rejected. It depends on the tail: see `dof`."""
        if self._count == 0:
            return float("nan")
        return self._distribution.lower_quantile(significance)

    def rejected(self, significance: float = SIGNIFICANCE) -> bool:
        """Whether the model is rejected at this significance."""
        return self.p_value < significance

    def power(
        self,
        true_scale: float | None = None,
        true_dof: float | None = None,
        significance: float = SIGNIFICANCE,
    ) -> float:
        """Probability of rejection when losses are truly wider or fatter-tailed.

        Parameters
        ----------
        true_scale : float, optional
            True over forecast standard deviation; by default so large that exceptions are twice
            as frequent as claimed.
        true_dof : float, optional
            True degrees of freedom, above 2; by default those of the model.
        significance : float
        """
        if self._count == 0:
            return float("nan")
        model = _tail_family(self.dof)
        if true_scale is None:
            twice = 1 - 2 * (1 - self.level)
            true_scale = model.quantile(self.level) / model.quantile(max(twice, 0.51))
        truth = _tail_family(self.dof if true_dof is None else true_dof)
        wrong = _Aggregate(model, truth, true_scale, self.observations, self.level, self._count)
        return wrong.at_most(self.critical_value(significance))

    @cached_property
    def _distribution(self) -> _Aggregate:
        model = _tail_family(self.dof)
        return _Aggregate(model, model, 1.0, self.observations, self.level, self._count)


def acerbi_szekely_z1(
    losses: ArrayLike, var: ArrayLike, es: ArrayLike, level: float, dof: float = np.inf
) -> ShortfallTest:
    """Acerbi and Székely's first test: the size of exceptions, given how many there are.

    Z1 = 1 - mean of loss/ES over the exceptions; nan without exceptions. Arguments and errors as
    in `acerbi_szekely_z2`.
    """
    sample, limits, shortfalls, level = _forecasts(losses, var, es, level)
    hit = sample > limits
    count = int(hit.sum())
    value = 1 - float((sample[hit] / shortfalls[hit]).mean()) if count else float("nan")
    return ShortfallTest(value, count, sample.size, level, _degrees(dof), given=True)


def acerbi_szekely_z2(
    losses: ArrayLike, var: ArrayLike, es: ArrayLike, level: float, dof: float = np.inf
) -> ShortfallTest:
    """Acerbi and Székely's second test (2014): number and size of exceptions together.

    Parameters
    ----------
    losses : (n,)
        Realised losses, positive.
    var, es : (n,) or float
        Forecasts made before each loss; es above 0 and at least var.
    level : float
        Confidence of both, such as 0.975.
    dof : float
        Tail of the model, for p-value, critical value and power: Student t of mean zero with
        these degrees of freedom (above 2), by default normal. At 0.975 and 250 days the 5 %
        critical value is -0.70 for the normal and -0.82 for 3 degrees of freedom.

    Returns
    -------
    ShortfallTest
        A float, 1 - Σ loss/ES over the exceptions / (n·(1 - level)). Negative: ES too low.

    Raises
    ------
    InputError

    Notes
    -----
    The distribution is not simulated: the sum is compound binomial, and its characteristic
    function is inverted on a grid.
    """
    sample, limits, shortfalls, level = _forecasts(losses, var, es, level)
    hit = sample > limits
    total = float((sample[hit] / shortfalls[hit]).sum())
    value = 1 - total / (sample.size * (1 - level))
    return ShortfallTest(value, int(hit.sum()), sample.size, level, _degrees(dof), given=False)


def _degrees(dof: float) -> float:
    value = float(floats("dof", dof))
    require(value > 2, "dof", value, "numbers above 2")
    return value


def _forecasts(
    losses: ArrayLike, var: ArrayLike, es: ArrayLike, level: float
) -> tuple[Floats, Floats, Floats, float]:
    level = confidence(level)
    sample = series("losses", losses)
    limits, shortfalls = finite("var", var), finite("es", es)
    for name, forecast in (("var", limits), ("es", shortfalls)):
        if forecast.shape not in ((), sample.shape):
            raise InputError(f"{name}: shape {forecast.shape}, expected () or {sample.shape}")
    limits = np.broadcast_to(limits, sample.shape)
    shortfalls = np.broadcast_to(shortfalls, sample.shape)
    require(shortfalls > 0, "es", shortfalls, "numbers above 0")
    require(shortfalls >= limits, "es", shortfalls, "numbers of at least var")
    return sample, limits, shortfalls, level


@dataclass(frozen=True)
class _TailFamily:
    """Losses of mean zero and deviation one."""

    quantile: Callable[[float], float]
    survival: Callable[[Floats], Floats]
    shortfall: Callable[[float], float]


def _tail_family(dof: float) -> _TailFamily:
    if np.isinf(dof):
        return _TailFamily(
            lambda level: float(ndtri(level)),
            lambda x: np.asarray(ndtr(-x)),
            lambda level: normal_tail(level).expected_shortfall,
        )
    scale = StudentT.with_deviation(dof).scale
    return _TailFamily(
        lambda level: scale * float(stdtrit(dof, level)),
        lambda x: np.asarray(stdtr(dof, -x / scale)),
        StudentT.with_deviation(dof).expected_shortfall,
    )


class _Aggregate:
    """Distribution of an Acerbi-Székely statistic: of one less a sum of loss/ES, scaled.

    The number of terms is binomial, or fixed when `count` is given (Z1).
    """

    def __init__(
        self,
        model: _TailFamily,
        truth: _TailFamily,
        scale: float,
        observations: int,
        level: float,
        count: int | None,
    ) -> None:
        var, es = model.quantile(level), model.shortfall(level)
        rate = float(truth.survival(np.array(var / scale)))
        expected = observations * rate if count is None else float(count)
        self._unit = observations * (1 - level) if count is None else float(count)
        # Far enough out for what remains beyond not to matter, fine enough for three decimals.
        reach = scale * (expected + 12 * np.sqrt(expected) + 60)
        cells = 1 << 17
        self._step = reach / cells
        edges = (np.arange(cells + 1) - 0.5) * self._step * es / scale
        beyond = truth.survival(np.maximum(edges, var / scale)) / rate
        term = -np.diff(beyond)
        term[-1] += beyond[-1]
        transform = np.fft.rfft(term)
        if count is None:
            transform = (1 - rate + rate * transform) ** observations
        else:
            transform = transform**count
        mass = np.maximum(np.fft.irfft(transform, cells), 0.0)
        self._upper = np.cumsum(mass[::-1])[::-1]  # P(sum ≥ cell)

    def at_most(self, value: float) -> float:
        """P(statistic ≤ value)."""
        cell = (1 - value) * self._unit / self._step
        if cell >= self._upper.size - 1:
            return 0.0
        return float(min(self._upper[max(round(cell), 0)], 1.0))

    def lower_quantile(self, probability: float) -> float:
        """The value with P(statistic ≤ value) = probability."""
        cell = int(np.searchsorted(-self._upper, -probability))
        return float(1 - cell * self._step / self._unit)


Model = Callable[[Floats], tuple[float, float]]
"""From past losses, oldest first, to VaR and expected shortfall of the next."""

MODELS = (*METHODS, "ewma_normal", "ewma_student_t", "garch_student_t")


def forecaster(name: str, level: float, refit_every: int = 50) -> Model:
    """Build a forecast model by name.

    Parameters
    ----------
    name : str
        A method of `value_at_risk`; "ewma_normal" and "ewma_student_t": an EWMA volatility with
        that tail; "garch_student_t": GARCH(1,1) with Student-t shocks by maximum likelihood.
    level : float
    refit_every : int
        Forecasts between two fits of parameters that change slowly (degrees of freedom, GARCH);
        volatility is always brought up to date.

    Raises
    ------
    InputError
    """
    level = confidence(level)
    if name in METHODS:

        def by_method(history: Floats) -> tuple[float, float]:
            measured = tail_risk(history, level, name)
            return measured.value_at_risk, measured.expected_shortfall

        return by_method
    if name == "ewma_normal":
        unit = normal_tail(level)

        def by_ewma(history: Floats) -> tuple[float, float]:
            deviation = float(np.sqrt(ewma_variances(history)[-1]))
            return deviation * unit.value_at_risk, deviation * unit.expected_shortfall

        return by_ewma
    if name in ("ewma_student_t", "garch_student_t"):
        return _Refitted(name == "garch_student_t", level, refit_every)
    raise unknown("model", name, MODELS)


class _Refitted:
    """Volatility filter with a Student-t tail, whose parameters are fitted now and then."""

    def __init__(self, by_garch: bool, level: float, every: int) -> None:
        self._by_garch = by_garch
        self._level, self._every, self._calls = level, every, 0
        self._garch: Garch11 | None = None

    def __call__(self, history: Floats) -> tuple[float, float]:
        if self._calls % self._every == 0:
            self._refit(history)
        self._calls += 1
        centred = history - self._mean
        if self._garch is None:
            variance = float(ewma_variances(centred)[-1])
        else:
            variance = float(self._garch.variances(centred, float((centred**2).mean()))[-1])
        deviation = float(np.sqrt(variance))
        return (
            self._mean + deviation * self._unit.value_at_risk(self._level),
            self._mean + deviation * self._unit.expected_shortfall(self._level),
        )

    def _refit(self, history: Floats) -> None:
        if self._by_garch:
            from sim.reference.calibration import fit_garch  # slow to import

            fitted = fit_garch(history, student=True)
            self._mean, dof = fitted.mean, fitted.dof
            self._garch = fitted.model
        else:
            self._mean = float(history.mean())
            centred = history - self._mean
            residuals = centred / np.sqrt(ewma_variances(centred)[:-1])
            dof = fit_student_t(residuals)[0].dof
        self._unit = StudentT.with_deviation(max(dof, 2.05))


@dataclass(frozen=True, eq=False)
class RollingBacktest:
    """Forecasts against what happened, each from the window before it.

    Attributes
    ----------
    losses, var, es : (t,)
        Realised loss and the forecasts for it.
    level : float
    first : int
        Index of the first forecast loss in the series that was given.
    """

    losses: Floats
    var: Floats
    es: Floats
    level: float
    first: int

    @property
    def exceptions(self) -> Bools:
        """(t,) losses above their VaR."""
        return np.asarray(self.losses > self.var)

    @cached_property
    def coverage(self) -> Christoffersen:
        """Kupiec, independence and their sum."""
        return christoffersen(self.exceptions, self.level)

    @cached_property
    def zone(self) -> TrafficLight:
        """Basel's zone."""
        return traffic_light(int(self.exceptions.sum()), self.losses.size, self.level)

    def z1(self, dof: float = np.inf) -> ShortfallTest:
        """Acerbi and Székely's first test."""
        return acerbi_szekely_z1(self.losses, self.var, self.es, self.level, dof)

    def z2(self, dof: float = np.inf) -> ShortfallTest:
        """Acerbi and Székely's second test."""
        return acerbi_szekely_z2(self.losses, self.var, self.es, self.level, dof)


def rolling_backtest(
    losses: ArrayLike, model: Model | str, level: float, window: int = 250
) -> RollingBacktest:
    """Forecast every loss from the `window` losses before it; nothing looks ahead.

    Parameters
    ----------
    losses : (n,)
        In time order, oldest first; at least two more than `window`.
    model : callable or str
        From the window to (VaR, ES), or a name of `MODELS`.
    level : float
    window : int

    Raises
    ------
    InputError
        Also when the model returns something that is not finite, naming the step.
    """
    level = confidence(level)
    require(window >= 2, "window", window, "numbers of at least 2")
    sample = series("losses", losses, least=window + 2)
    forecast = forecaster(model, level) if isinstance(model, str) else model
    out = np.empty((sample.size - window, 2))
    for row in range(out.shape[0]):
        out[row] = forecast(sample[row : row + window])
        if not np.isfinite(out[row]).all():
            raise InputError(f"model: the forecast for losses[{row + window}] is not finite")
    return RollingBacktest(sample[window:], out[:, 0], out[:, 1], level, window)
