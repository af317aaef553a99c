"""Models fitted to a price history: with standard errors, goodness of fit and what could be wrong.

Prices come as arrays; nothing here reads files. `years` is the length of one observation interval
(an hour is 1/8760). Returns are log returns in time order, oldest first; losses are minus returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import chdtrc, gammaln, logsumexp, ndtr, xlogy

from sim.errors import EnvironmentFault, InputError, unknown
from sim.reference.covariance import Garch11
from sim.reference.dependence import (
    ClaytonCopula,
    Copula,
    FrankCopula,
    GaussianCopula,
    GumbelCopula,
    StudentTCopula,
    pseudo_observations,
)
from sim.reference.likelihood import maximise
from sim.reference.risk_measures import normal_tail, tail_risk
from sim.reference.samples import confidence, one_number, series, table, varying
from sim.reference.student import LEAST_DOF, MOST_DOF, StudentT, fit_student_t
from sim.reference.validation import Floats, non_negative, positive, require

LEAST_RETURNS = 30
_LEAST_FOR_MODELS = 50  # of several parameters
CopulaFamily = (
    type[GaussianCopula]
    | type[StudentTCopula]
    | type[ClaytonCopula]
    | type[GumbelCopula]
    | type[FrankCopula]
)
COPULAS: Mapping[str, CopulaFamily] = {
    "gaussian": GaussianCopula,
    "student_t": StudentTCopula,
    "clayton": ClaytonCopula,
    "gumbel": GumbelCopula,
    "frank": FrankCopula,
}


def log_returns(prices: ArrayLike) -> Floats:
    """Log returns of (n,) or (n, k) prices: one row fewer. Raises `InputError`."""
    values = positive("prices", prices)
    if values.ndim not in (1, 2) or values.shape[0] < 2:
        raise InputError(f"prices: shape {values.shape}, expected at least two rows")
    return np.diff(np.log(values), axis=0)


@dataclass(frozen=True)
class Estimate:
    """A fitted parameter and its standard error (nan where it sits on a bound)."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class GoodnessOfFit:
    """Pearson's test that probability transforms are uniform; a small p-value rejects the model."""

    statistic: float
    degrees: int
    p_value: float


def goodness_of_fit(transforms: ArrayLike, parameters: int) -> GoodnessOfFit:
    """Test F(x₁)..F(xₙ) for uniformity, F fitted with `parameters` parameters to the same data.

    Parameters
    ----------
    transforms : (n,)
        Values of the fitted distribution function.
    parameters : int
        Taken off the degrees of freedom, which makes the test slightly conservative or liberal
        by at most that many degrees (Chernoff and Lehmann 1954).

    Raises
    ------
    InputError
    """
    values = series("transforms", transforms, least=LEAST_RETURNS)
    require((values >= 0) & (values <= 1), "transforms", values, "numbers from 0 to 1")
    bins = int(np.clip(values.size // 10, parameters + 3, 40))
    counts = np.bincount(np.minimum((values * bins).astype(int), bins - 1), minlength=bins)
    expected = values.size / bins
    statistic = float(((counts - expected) ** 2).sum() / expected)
    degrees = bins - 1 - parameters
    return GoodnessOfFit(statistic, degrees, float(chdtrc(degrees, statistic)))


def ljung_box(values: ArrayLike, lags: int = 10) -> float:
    """P-value of no autocorrelation up to `lags` (Ljung and Box 1978). Raises `InputError`."""
    sample = series("values", values, least=lags + 10)
    varying("values", sample)
    n, centred = sample.size, sample - sample.mean()
    power = float(centred @ centred)
    correlations = np.array([centred[k:] @ centred[:-k] / power for k in range(1, lags + 1)])
    statistic = n * (n + 2) * float((correlations**2 / (n - np.arange(1, lags + 1))).sum())
    return float(chdtrc(lags, statistic))


@dataclass(frozen=True)
class VolatilityFit:
    """Independent normal returns: annualised volatility and drift of the log price."""

    volatility: Estimate
    drift: Estimate
    log_likelihood: float
    goodness: GoodnessOfFit
    clustering_p_value: float  # Ljung-Box of the squared returns: small when volatility clusters


def fit_volatility(returns: ArrayLike, years: float) -> VolatilityFit:
    """Volatility of (n,) returns, with the standard error that their own kurtosis implies.

    Raises `InputError` for fewer than 30 returns or equal ones.
    """
    sample = _returns(returns)
    interval = one_number("years", years, 0.0)
    n, mean, deviation = sample.size, float(sample.mean()), float(sample.std(ddof=1))
    residuals = (sample - mean) / deviation
    kurtosis = float((residuals**4).mean())
    volatility = deviation / np.sqrt(interval)
    return VolatilityFit(
        Estimate(float(volatility), float(volatility / 2 * np.sqrt(max(kurtosis - 1, 0) / n))),
        Estimate(mean / interval, deviation / interval / float(np.sqrt(n))),
        float(-n / 2 * (np.log(2 * np.pi * residuals.var() * deviation**2) + 1)),
        goodness_of_fit(ndtr(residuals), 2),
        ljung_box(residuals**2),
    )


@dataclass(frozen=True)
class StudentFit:
    """Independent Student-t returns."""

    distribution: StudentT
    dof: Estimate
    location: Estimate
    scale: Estimate
    log_likelihood: float
    goodness: GoodnessOfFit


def fit_student(returns: ArrayLike) -> StudentFit:
    """Student t fitted to (n,) returns, per interval. Raises `InputError`."""
    sample = _returns(returns)
    fitted, likelihood = fit_student_t(sample)
    location, scale, dof = (
        Estimate(float(value), float(error))
        for value, error in zip(likelihood.estimate, likelihood.standard_errors, strict=True)
    )
    goodness = goodness_of_fit(fitted.cdf(sample), 3)
    return StudentFit(fitted, dof, location, scale, likelihood.log_likelihood, goodness)


@dataclass(frozen=True)
class GarchFit:
    """GARCH(1,1) with normal or Student-t shocks about a constant mean, per interval.

    Attributes
    ----------
    model : Garch11
    mean : float
    dof : float
        Of the shocks; infinite for the normal.
    omega, alpha, beta : Estimate
        Robust (Bollerslev-Wooldridge) standard errors.
    shocks : Estimate
        Of dof; infinite with nan for the normal.
    log_likelihood : float
    integrated : bool
        The fit had no long-run variance; `model` then has persistence 0.9999 about the sample's,
        and its parameters have no standard errors.
    forecast : float
        Variance of the next interval.
    goodness : GoodnessOfFit
        Of the standardised residuals.
    clustering_p_value : float
        Ljung-Box of their squares: small when clustering is left.
    """

    model: Garch11
    mean: float
    dof: float
    omega: Estimate
    alpha: Estimate
    beta: Estimate
    shocks: Estimate
    log_likelihood: float
    integrated: bool
    forecast: float
    goodness: GoodnessOfFit
    clustering_p_value: float


_MOST_PERSISTENT = 0.9999


def fit_garch(returns: ArrayLike, student: bool = False) -> GarchFit:
    """Fit GARCH(1,1) by maximum likelihood with the package arch.

    Parameters
    ----------
    returns : (n,)
        At least 50.
    student : bool
        Student-t instead of normal shocks.

    Raises
    ------
    InputError
        Also when the optimiser does not converge.
    EnvironmentFault
        Without arch.
    """
    sample = series("returns", returns, least=_LEAST_FOR_MODELS)
    varying("returns", sample)
    try:
        from arch.univariate import ConstantMean
        from arch.univariate.distribution import Normal, StudentsT
        from arch.univariate.volatility import GARCH
    except ImportError as error:  # pragma: no cover
        raise EnvironmentFault("GARCH needs the package arch") from error

    unit = float(sample.std())  # arch wants returns of order one
    model = ConstantMean(sample / unit, rescale=False)
    model.volatility = GARCH(p=1, q=1)
    model.distribution = StudentsT() if student else Normal()
    result = model.fit(disp="off", show_warning=False)
    if result.convergence_flag not in (0, 8):  # 8: no better point along the search direction
        raise InputError(f"returns: the GARCH fit did not converge ({result.convergence_flag})")
    values = np.asarray(result.params, dtype=np.float64)
    errors = np.sqrt(np.maximum(np.diagonal(np.asarray(result.param_cov)), 0.0))
    mean, omega, alpha, beta = values[:4]
    dof = float(values[4]) if student else np.inf
    integrated = bool(alpha + beta > _MOST_PERSISTENT) or omega <= 0
    kept_alpha, kept_beta, kept_omega = float(alpha), float(beta), float(omega) * unit**2
    if integrated:
        shrink = min(_MOST_PERSISTENT / max(float(alpha + beta), 1e-12), 1.0)
        kept_alpha, kept_beta = kept_alpha * shrink, kept_beta * shrink
        kept_omega = (1 - kept_alpha - kept_beta) * unit**2
        errors[1:4] = np.nan  # those of the fit are not those of what is kept
    garch = Garch11(kept_omega, kept_alpha, kept_beta)
    centred = sample - mean * unit
    path = garch.variances(centred, float((centred**2).mean()))
    residuals = centred / np.sqrt(path[:-1])
    transforms = StudentT.with_deviation(dof).cdf(residuals) if student else ndtr(residuals)
    return GarchFit(
        garch,
        float(mean) * unit,
        dof,
        Estimate(garch.omega, float(errors[1]) * unit**2),
        Estimate(garch.alpha, float(errors[2])),
        Estimate(garch.beta, float(errors[3])),
        Estimate(dof, float(errors[4]) if student else float("nan")),
        float(result.loglikelihood) - sample.size * float(np.log(unit)),
        integrated,
        float(path[-1]),
        goodness_of_fit(transforms, values.size),
        ljung_box(residuals**2),
    )


@dataclass(frozen=True)
class MertonReturns:
    """Log returns of a jump diffusion over one interval: a Poisson mixture of normals.

    Parameters
    ----------
    years : float
        Length of the interval.
    drift : float
        Of the log price per year, jumps apart.
    volatility : float
        Of the diffusion, annualised.
    jump_rate : float
        Jumps per year.
    jump_mean, jump_deviation : float
        Of the log price at a jump.

    Notes
    -----
    Merton, Option pricing when underlying stock returns are discontinuous (1976).
    """

    years: float
    drift: float
    volatility: float
    jump_rate: float
    jump_mean: float
    jump_deviation: float

    def __post_init__(self) -> None:
        positive("years", self.years)
        for name in ("volatility", "jump_rate", "jump_deviation"):
            non_negative(name, getattr(self, name))

    def _components(self) -> tuple[Floats, Floats, Floats]:
        """Weights, means and deviations of the normals, one for each number of jumps."""
        mean = self.jump_rate * self.years
        jumps = np.arange(int(mean + 12 * np.sqrt(mean) + 12))
        log_weights = xlogy(jumps, mean) - mean - gammaln(jumps + 1)
        variances = self.volatility**2 * self.years + jumps * self.jump_deviation**2
        return (
            np.exp(log_weights),
            self.drift * self.years + jumps * self.jump_mean,
            np.sqrt(variances),
        )

    def cdf(self, x: ArrayLike) -> Floats:
        """Probability of a return of at most x."""
        weights, means, deviations = self._components()
        return np.asarray(ndtr((np.asarray(x)[..., None] - means) / deviations) @ weights)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw n independent returns."""
        jumps = rng.poisson(self.jump_rate * self.years, n)
        diffusion = self.volatility * np.sqrt(self.years) * rng.standard_normal(n)
        jumped = np.sqrt(jumps) * self.jump_deviation * rng.standard_normal(n)
        return np.asarray(self.drift * self.years + diffusion + jumps * self.jump_mean + jumped)

    def value_at_risk(self, level: float) -> float:
        """VaR of the loss, minus the return, over the interval."""
        level = confidence(level)
        _, means, deviations = self._components()
        reach = float((abs(means) + 40 * deviations).max())
        return -float(brentq(lambda x: float(self.cdf(x)) - (1 - level), -reach, reach, xtol=1e-14))

    def expected_shortfall(self, level: float) -> float:
        """Mean loss beyond VaR, in closed form given it."""
        limit = -self.value_at_risk(level)
        weights, means, deviations = self._components()
        z = (limit - means) / deviations
        below = means * ndtr(z) - deviations * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        return -float(weights @ below) / (1 - level)


@dataclass(frozen=True)
class MertonFit:
    """Merton's jump diffusion, annualised.

    Attributes
    ----------
    model : MertonReturns
    drift, volatility, jump_rate, jump_mean, jump_deviation : Estimate
    log_likelihood : float
    gain : float
        Log-likelihood above a normal without jumps.
    separation : float
        Largest correlation, in size, of two of the estimates: near 1 the data cannot tell them
        apart.
    goodness : GoodnessOfFit
    """

    model: MertonReturns
    drift: Estimate
    volatility: Estimate
    jump_rate: Estimate
    jump_mean: Estimate
    jump_deviation: Estimate
    log_likelihood: float
    gain: float
    separation: float
    goodness: GoodnessOfFit


def fit_merton(returns: ArrayLike, years: float) -> MertonFit:
    """Fit a Merton jump diffusion to (n,) returns by maximum likelihood.

    Parameters
    ----------
    returns : (n,)
        At least 50.
    years : float
        Length of one interval.

    Raises
    ------
    InputError

    Notes
    -----
    The likelihood of a mixture is unbounded where its narrowest part collapses on repeated values,
    and flat where jumps become as frequent as diffusion: the diffusion is kept above a tenth of
    the spread of the middle half, jumps below one in two intervals.
    """
    sample = series("returns", returns, least=_LEAST_FOR_MODELS)
    varying("returns", sample)
    interval = one_number("years", years, 0.0)
    centre = float(np.median(sample))
    low, high = np.quantile(sample, [0.25, 0.75])
    unit = max(float(high - low) / 1.349, float(sample.std()) / 50)
    scaled = (sample - centre) / unit

    bounds = [
        (-5.0, 5.0),
        (np.log(0.1), 5.0),
        (np.log(1e-6), np.log(0.5)),
        (-100.0, 100.0),
        (np.log(0.05), np.log(100.0)),
    ]
    found = maximise(
        lambda parameters: _merton_log_likelihood(scaled, parameters),
        _merton_starts(scaled),
        bounds,
        sample.size,
    )
    location, log_vol, log_rate, jump_mean, log_jump = found.estimate
    root = np.sqrt(interval)
    values = np.array(
        [
            (centre + unit * location) / interval,
            unit * np.exp(log_vol) / root,
            np.exp(log_rate) / interval,
            unit * jump_mean,
            unit * np.exp(log_jump),
        ]
    )
    slopes = np.array([unit / interval, values[1], values[2], unit, values[4]])
    covariance = found.covariance * np.outer(slopes, slopes)
    errors = np.sqrt(np.diagonal(covariance))
    correlations = covariance / np.outer(errors, errors)
    beside = correlations[np.triu_indices(5, 1)]
    separation = float(np.nanmax(np.abs(beside))) if np.isfinite(beside).any() else float("nan")
    model = MertonReturns(interval, *(float(value) for value in values))
    constant = -sample.size * (np.log(unit) + 0.5 * np.log(2 * np.pi))
    likelihood = found.log_likelihood + float(constant)
    plain = -sample.size / 2 * (float(np.log(2 * np.pi * sample.var())) + 1)
    estimates = [Estimate(float(v), float(e)) for v, e in zip(values, errors, strict=True)]
    return MertonFit(
        model,
        drift=estimates[0],
        volatility=estimates[1],
        jump_rate=estimates[2],
        jump_mean=estimates[3],
        jump_deviation=estimates[4],
        log_likelihood=likelihood,
        gain=likelihood - plain,
        separation=separation,
        goodness=goodness_of_fit(np.clip(model.cdf(sample), 0.0, 1.0), 5),
    )


def _merton_log_likelihood(scaled: Floats, parameters: Floats) -> float:
    """Of location, log vol, log jumps an interval, mean jump and log deviation of a jump."""
    location, log_vol, log_rate, jump_mean, log_jump = parameters
    rate = np.exp(log_rate)
    jumps = np.arange(3 + int(8 * np.sqrt(rate) + 6 * rate))[:, None]
    variances = np.exp(2 * log_vol) + jumps * np.exp(2 * log_jump)
    log_weights = jumps * log_rate - rate - gammaln(jumps + 1) - 0.5 * np.log(variances)
    squares = (scaled - location - jumps * jump_mean) ** 2 / variances
    return float(logsumexp(log_weights - squares / 2, axis=0).sum())


def _merton_starts(scaled: Floats) -> list[tuple[float, ...]]:
    """Where to look first: what lies beyond three deviations are the jumps."""
    tail = scaled[np.abs(scaled) > 3]
    spread = float(np.sqrt((tail**2).mean())) if tail.size else 3.0
    share = float(np.clip(tail.size / scaled.size, 1e-4, 0.3))
    return [
        (0.0, -0.1, np.log(rate), mean, np.log(width))
        for rate, mean, width in (
            (share, 0.0, spread),
            (min(5 * share, 0.4), 0.0, max(spread / 2, 1.0)),
            (share, float(tail.mean()) if tail.size else 0.0, max(spread / 3, 0.5)),
        )
    ]


def _returns(returns: ArrayLike) -> Floats:
    sample = series("returns", returns, least=LEAST_RETURNS)
    varying("returns", sample)
    return sample


@dataclass(frozen=True, eq=False)
class CopulaFit:
    """One copula family fitted to ranks.

    Attributes
    ----------
    family : str
    copula : Copula
    log_likelihood, aic : float
        Of the pseudo-observations.
    parameters : dict of str to Estimate
        "dof", "theta", and "corr[i, j]" below the diagonal. Standard errors from a jackknife of
        twenty blocks, which feels the ranks and short memory; nan when not asked for.
    """

    family: str
    copula: Copula
    log_likelihood: float
    aic: float
    parameters: dict[str, Estimate]


def fit_copulas(returns: ArrayLike, families: Sequence[str] = tuple(COPULAS)) -> list[CopulaFit]:
    """Fit copula families to (n, k) returns, the best by AIC first, with its standard errors.

    Raises `InputError` for fewer than 50 rows, one column, or an unknown family.
    """
    values = table("returns", returns, least=_LEAST_FOR_MODELS)
    if values.shape[1] < 2:
        raise InputError("returns: one column, a copula needs at least two")
    for name in families:
        if name not in COPULAS:
            raise unknown("copula family", name, COPULAS)
    points = pseudo_observations(values)
    fits = []
    for name in families:
        copula = COPULAS[name].fit(points)
        likelihood = float(copula.logpdf(points).sum())
        parameters = {key: Estimate(v, float("nan")) for key, v in _parameters(copula).items()}
        aic = 2 * len(parameters) - 2 * likelihood
        fits.append(CopulaFit(name, copula, likelihood, aic, parameters))
    fits.sort(key=lambda fit: fit.aic)
    best = fits[0]
    errors = _jackknife(values, lambda rows: _parameters(COPULAS[best.family].fit(rows)))
    parameters = {key: Estimate(e.value, errors[key]) for key, e in best.parameters.items()}
    fits[0] = CopulaFit(best.family, best.copula, best.log_likelihood, best.aic, parameters)
    return fits


def _parameters(copula: Copula) -> dict[str, float]:
    found = {}
    for name in ("theta", "dof"):
        if hasattr(copula, name):
            found[name] = float(getattr(copula, name))
    if hasattr(copula, "corr"):
        for i in range(copula.dimension):
            for j in range(i):
                found[f"corr[{i}, {j}]"] = float(copula.corr[i, j])
    return found


def _jackknife(
    values: Floats, estimate: Callable[[Floats], dict[str, float]], blocks: int = 20
) -> dict[str, float]:
    """Standard errors from leaving out one block of consecutive rows at a time."""
    edges = np.linspace(0, values.shape[0], blocks + 1).astype(int)
    runs = []
    for first, last in pairwise(edges):
        kept = np.delete(values, slice(first, last), axis=0)
        runs.append(estimate(pseudo_observations(kept)))
    return {
        key: float(np.sqrt((blocks - 1) * np.var([run[key] for run in runs]))) for key in runs[0]
    }


def copula_distance(copula: Copula, returns: ArrayLike) -> float:
    """Cramér-von Mises distance of a copula of two factors from the ranks of (n, 2) returns."""
    points = pseudo_observations(table("returns", returns, columns=2))
    empirical = np.array([(points <= row).all(axis=1).mean() for row in points])
    return float(((empirical - copula.cdf(points)) ** 2).sum())


def copula_p_value(
    family: str, returns: ArrayLike, rng: np.random.Generator, draws: int = 100
) -> float:
    """P-value of a copula family by parametric bootstrap of `copula_distance`.

    Parameters
    ----------
    family : str
    returns : (n, 2)
    rng : numpy.random.Generator
    draws : int
        Simulated samples, each fitted again (Genest, Rémillard and Beaudoin 2009).

    Raises
    ------
    InputError
    """
    values = table("returns", returns, least=_LEAST_FOR_MODELS, columns=2)
    if family not in COPULAS:
        raise unknown("copula family", family, COPULAS)
    fitted = COPULAS[family].fit(pseudo_observations(values))
    observed = copula_distance(fitted, values)
    larger = 0
    for _ in range(draws):
        drawn = fitted.sample(values.shape[0], rng)
        again = COPULAS[family].fit(pseudo_observations(drawn))
        larger += copula_distance(again, drawn) >= observed
    return (larger + 0.5) / (draws + 1)


@dataclass(frozen=True)
class AssetCalibration:
    """Every model of one asset, and what they disagree about.

    Attributes
    ----------
    returns : int
    volatility, student, garch, jumps
        The fits.
    shortfalls : dict of str to float
        Expected shortfall of the log return over one interval, by model, at the level asked for.
    warnings : tuple of str
        The model-risk statement.
    """

    returns: int
    volatility: VolatilityFit
    student: StudentFit
    garch: GarchFit
    jumps: MertonFit
    shortfalls: dict[str, float]
    warnings: tuple[str, ...]


def calibrate_asset(returns: ArrayLike, years: float, level: float = 0.99) -> AssetCalibration:
    """Fit every model to (n,) returns of one asset and say what the choice of model decides.

    Raises `InputError` for fewer than 50 returns or equal ones.
    """
    sample = series("returns", returns, least=_LEAST_FOR_MODELS)
    level = confidence(level)
    volatility = fit_volatility(sample, years)
    student = fit_student(sample)
    garch = fit_garch(sample, student=True)
    jumps = fit_merton(sample, years)
    mean, deviation = float(sample.mean()), float(sample.std(ddof=1))
    unit = StudentT.with_deviation(garch.dof)
    losses = StudentT(
        student.distribution.dof, -student.distribution.location, student.distribution.scale
    )
    shortfalls = {
        "normal": normal_tail(level, -mean, deviation).expected_shortfall,
        "student_t": losses.expected_shortfall(level),
        "jumps": jumps.model.expected_shortfall(level),
        "garch_student_t": -garch.mean
        + float(np.sqrt(garch.forecast)) * unit.expected_shortfall(level),
        "historical": tail_risk(-sample, level).expected_shortfall,
    }
    warnings = _model_risk(sample, level, volatility, student, garch, jumps, shortfalls)
    return AssetCalibration(
        sample.size, volatility, student, garch, jumps, shortfalls, tuple(warnings)
    )


def _model_risk(
    sample: Floats,
    level: float,
    volatility: VolatilityFit,
    student: StudentFit,
    garch: GarchFit,
    jumps: MertonFit,
    shortfalls: Mapping[str, float],
) -> list[str]:
    said = []
    low, high = (pick(shortfalls, key=lambda name: shortfalls[name]) for pick in (min, max))
    said.append(
        f"expected shortfall at {level:.4g} of one interval's log return is {shortfalls[low]:.4f} "
        f"by {low} and {shortfalls[high]:.4f} by {high}: the choice of model is worth a factor of "
        f"{shortfalls[high] / shortfalls[low]:.2f}"
    )
    tail = sample.size * (1 - level)
    if tail < 20:
        said.append(
            f"{sample.size} returns leave {tail:.1f} observations beyond {level:.4g}: the tail is "
            "extrapolated, not measured"
        )
    if volatility.goodness.p_value < 0.01:
        said.append(f"normal returns are rejected (p = {volatility.goodness.p_value:.2g})")
    if student.goodness.p_value < 0.01:
        said.append(f"Student-t returns are rejected (p = {student.goodness.p_value:.2g})")
    dof = student.dof
    if dof.value <= LEAST_DOF * 1.01 or dof.value <= 2:
        said.append(f"{dof.value:.2f} degrees of freedom: the fitted t has no variance")
    elif dof.value <= 4:
        said.append(
            f"{dof.value:.2f} degrees of freedom: no fourth moment, so the standard error of the "
            "volatility is itself unreliable"
        )
    elif dof.value >= MOST_DOF * 0.99:
        said.append("no fat tail is visible in this sample; that does not mean there is none")
    if volatility.clustering_p_value < 0.01:
        said.append(
            f"volatility clusters (Ljung-Box p = {volatility.clustering_p_value:.2g}): scaling by "
            "the square root of time and independent draws are wrong"
        )
    if garch.integrated:
        said.append("GARCH finds no long-run variance: forecasts do not revert to a mean")
    elif garch.clustering_p_value < 0.01:
        said.append(f"GARCH leaves clustering behind (p = {garch.clustering_p_value:.2g})")
    expected_jumps = jumps.model.jump_rate * jumps.model.years * sample.size
    if jumps.gain < 5.7:  # chi-squared of three parameters at 1 %, halved
        said.append("jumps do not improve on a diffusion significantly")
    elif np.isnan(jumps.jump_rate.standard_error):
        said.append(
            "jumps come as often as is allowed: this is changing volatility, not rare jumps"
        )
    elif not jumps.separation < 0.9:
        said.append("jump and diffusion parameters are poorly separated: do not read them singly")
    if expected_jumps < 10:
        said.append(f"the jump size rests on about {expected_jumps:.1f} jumps")
    return said
