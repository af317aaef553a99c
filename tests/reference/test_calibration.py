"""Parameters recovered from simulated data, within their standard errors; closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from sim.errors import InputError
from sim.reference.calibration import (
    Estimate,
    MertonReturns,
    calibrate_asset,
    copula_distance,
    copula_p_value,
    fit_copulas,
    fit_garch,
    fit_merton,
    fit_student,
    fit_volatility,
    goodness_of_fit,
    ljung_box,
    log_returns,
)
from sim.reference.covariance import Garch11
from sim.reference.dependence import ClaytonCopula, StudentTCopula
from sim.reference.risk_measures import tail_risk
from sim.reference.student import StudentT

DAY = 1 / 365
MERTON = MertonReturns(DAY, 0.1, 0.6, 12.0, -0.08, 0.06)


def simulate_garch(model: Garch11, n: int, dof: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shocks = StudentT.with_deviation(dof).scale * rng.standard_t(dof, n)
    returns, variance = np.empty(n), model.long_run_variance
    for t in range(n):
        returns[t] = np.sqrt(variance) * shocks[t]
        variance = model.omega + model.alpha * returns[t] ** 2 + model.beta * variance
    return returns


def assert_near(found: Estimate, true: float, errors: float = 4.0) -> None:
    assert np.isfinite(found.standard_error)
    assert abs(found.value - true) < errors * found.standard_error


def test_volatility_and_its_error() -> None:
    rng = np.random.default_rng(0)
    fits = [fit_volatility(0.02 * rng.standard_t(8, 500) * np.sqrt(6 / 8), DAY) for _ in range(60)]
    true = 0.02 * np.sqrt(365)
    values = np.array([fit.volatility.value for fit in fits])
    assert values.mean() == pytest.approx(true, rel=0.02)
    errors = np.mean([fit.volatility.standard_error for fit in fits])
    assert errors == pytest.approx(values.std(), rel=0.3)
    assert_near(fits[0].drift, 0.0)


def test_student_recovery() -> None:
    rng = np.random.default_rng(1)
    for dof in (2.5, 4.0, 8.0):
        fit = fit_student(0.001 + 0.01 * rng.standard_t(dof, 4000))
        assert_near(fit.dof, dof)
        assert_near(fit.location, 0.001)
        assert_near(fit.scale, 0.01)
        assert fit.goodness.p_value > 1e-3


def test_merton_recovery() -> None:
    for seed in range(3):
        fit = fit_merton(MERTON.sample(4000, np.random.default_rng(seed)), DAY)
        for name in ("drift", "volatility", "jump_rate", "jump_mean", "jump_deviation"):
            assert_near(getattr(fit, name), getattr(MERTON, name))
        assert fit.gain > 20
        assert fit.goodness.p_value > 1e-3
        assert 0 < fit.separation <= 1


def test_merton_of_a_plain_diffusion_gains_nothing() -> None:
    fit = fit_merton(0.02 * np.random.default_rng(3).standard_normal(2000), DAY)
    assert fit.gain < 6
    assert fit.model.value_at_risk(0.99) == pytest.approx(0.02 * 2.3263, rel=0.1)


def test_merton_survives_repeated_prices() -> None:
    """Many equal returns invite the diffusion to collapse on them."""
    rng = np.random.default_rng(4)
    returns = np.where(rng.random(500) < 0.6, 0.0, 0.01 * rng.standard_normal(500))
    fit = fit_merton(returns, DAY)
    assert np.isfinite(fit.log_likelihood)
    assert fit.volatility.value > 0


def test_merton_distribution() -> None:
    draws = MERTON.sample(400_000, np.random.default_rng(5))
    for x in (-0.15, -0.03, 0.0, 0.05):
        assert MERTON.cdf(x) == pytest.approx((draws <= x).mean(), abs=4e-3)
    simulated = tail_risk(-draws, 0.99)
    assert abs(MERTON.value_at_risk(0.99) - simulated.value_at_risk) < (
        4 * simulated.var_standard_error
    )
    assert abs(MERTON.expected_shortfall(0.99) - simulated.expected_shortfall) < (
        4 * simulated.es_standard_error
    )
    limit = MERTON.value_at_risk(0.99)
    assert float(MERTON.cdf(-limit)) == pytest.approx(0.01, abs=1e-12)
    beyond = quad(lambda x: float(MERTON.cdf(-x)), limit, 2.0, epsabs=1e-12)[0]
    assert MERTON.expected_shortfall(0.99) == pytest.approx(limit + beyond / 0.01, rel=1e-7)
    plain = MertonReturns(DAY, 0.0, 0.6, 0.0, 0.0, 0.0)
    assert plain.value_at_risk(0.99) == pytest.approx(0.6 * np.sqrt(DAY) * 2.3263478740408408)


@pytest.mark.parametrize("student", [False, True])
def test_garch_recovery(student: bool) -> None:
    true = Garch11(4e-6, 0.1, 0.87)
    returns = simulate_garch(true, 6000, 6.0 if student else 1e6, seed=6)
    fit = fit_garch(returns, student)
    assert_near(fit.alpha, true.alpha)
    assert_near(fit.beta, true.beta)
    assert_near(fit.omega, true.omega)
    if student:
        assert_near(fit.shocks, 6.0)
    assert not fit.integrated
    assert fit.clustering_p_value > 1e-3
    assert fit.goodness.p_value > 1e-3
    assert fit.model.long_run_variance == pytest.approx(returns.var(), rel=0.3)


def test_garch_does_not_depend_on_the_unit() -> None:
    returns = simulate_garch(Garch11(4e-6, 0.1, 0.87), 1500, 6.0, seed=7)
    small, large = fit_garch(returns), fit_garch(1000 * returns)
    assert large.alpha.value == pytest.approx(small.alpha.value, rel=1e-4)
    assert large.omega.value == pytest.approx(1e6 * small.omega.value, rel=1e-3)
    shift = returns.size * np.log(1000)
    assert large.log_likelihood == pytest.approx(small.log_likelihood - shift, rel=1e-6)


def test_copula_recovery() -> None:
    rng = np.random.default_rng(8)
    true = StudentTCopula([[1, 0.7, 0.4], [0.7, 1, 0.5], [0.4, 0.5, 1]], 4.0)
    returns = stats.norm.ppf(true.sample(2000, rng))
    fits = fit_copulas(returns)
    assert [fit.aic for fit in fits] == sorted(fit.aic for fit in fits)
    best = fits[0]
    assert best.family == "student_t"
    assert_near(best.parameters["dof"], 4.0)
    assert_near(best.parameters["corr[1, 0]"], 0.7)
    assert_near(best.parameters["corr[2, 1]"], 0.5)
    clayton = fit_copulas(ClaytonCopula(2.0).sample(1500, rng))[0]
    assert clayton.family == "clayton"
    assert_near(clayton.parameters["theta"], 2.0)


def test_copula_goodness_of_fit() -> None:
    rng = np.random.default_rng(9)
    sample = ClaytonCopula(2.0).sample(250, rng)
    right = copula_p_value("clayton", sample, rng, draws=30)
    wrong = copula_p_value("gumbel", sample, rng, draws=30)
    assert right > 0.05
    assert wrong < 0.05
    assert copula_distance(ClaytonCopula(2.0), sample) < copula_distance(ClaytonCopula(0.2), sample)


def test_goodness_of_fit_has_its_size() -> None:
    rng = np.random.default_rng(10)
    p_values = []
    for _ in range(200):
        sample = rng.standard_normal(300)
        scaled = (sample - sample.mean()) / sample.std()
        p_values.append(goodness_of_fit(stats.norm.cdf(scaled), 2).p_value)
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.12
    assert goodness_of_fit(rng.random(1000) ** 2, 0).p_value < 1e-6


def test_ljung_box_is_that_of_statsmodels() -> None:
    reference = pytest.importorskip("statsmodels.stats.diagnostic")
    values = simulate_garch(Garch11(4e-6, 0.2, 0.7), 400, 1e6, seed=11) ** 2
    expected = float(reference.acorr_ljungbox(values, lags=[10])["lb_pvalue"].iloc[0])
    assert ljung_box(values) == pytest.approx(expected, rel=1e-9)


def test_calibration_of_one_asset_says_what_is_uncertain() -> None:
    returns = simulate_garch(Garch11(4e-6, 0.15, 0.8), 700, 4.0, seed=12)
    found = calibrate_asset(returns, DAY)
    assert found.returns == 700
    assert set(found.shortfalls) == {
        "normal",
        "student_t",
        "jumps",
        "garch_student_t",
        "historical",
    }
    assert min(found.shortfalls.values()) > 0
    text = " ".join(found.warnings)
    assert "factor of" in text
    assert "normal returns are rejected" in text
    assert "volatility clusters" in text
    assert "7.0 observations beyond 0.99" in text


def test_log_returns() -> None:
    np.testing.assert_allclose(log_returns([1.0, np.e, 1.0]), [1, -1])
    assert log_returns([[1.0, 2.0], [2.0, 4.0]]).shape == (1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_returns([1.0, 0.0]), r"prices\[1\] = 0"),
        (lambda: log_returns([1.0]), "at least two rows"),
        (lambda: fit_volatility([0.1] * 10, DAY), "at least 30"),
        (lambda: fit_volatility([0.1] * 100, DAY), "every value is the same"),
        (lambda: fit_volatility(np.arange(50.0), 0.0), "years"),
        (lambda: fit_merton([0.0, np.nan] * 100, DAY), r"returns\[1\] = nan"),
        (lambda: fit_garch([0.1, 0.2] * 10), "at least 50"),
        (lambda: fit_copulas(np.random.default_rng(0).random((60, 1))), "one column"),
        (lambda: fit_copulas(np.random.default_rng(0).random((60, 2)), ["t"]), "copula family 't'"),
        (lambda: MertonReturns(DAY, 0.0, -0.1, 0.0, 0.0, 0.0), "volatility"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()
