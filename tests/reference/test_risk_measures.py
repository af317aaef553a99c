"""VaR and ES against the recorded vectors, closed forms, definitions and their properties."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sim.errors import InputError
from sim.reference.covariance import Garch11
from sim.reference.risk_measures import (
    ESTIMATORS,
    METHODS,
    cornish_fisher_quantile,
    cornish_fisher_shortfall,
    cornish_fisher_valid,
    expected_shortfall,
    filtered_losses,
    normal_tail,
    tail_risk,
    value_at_risk,
)
from sim.reference.student import StudentT, fit_student_t

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "var_es_textbook.json").read_text())["cases"]

levels = st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.975, 0.99])
samples = st.lists(st.integers(-1000, 1000), min_size=1, max_size=60)


@pytest.mark.parametrize("case", [c for c in CASES if "dist" in c], ids=lambda case: case["id"])
def test_closed_forms(case: dict) -> None:
    expected, level = case["expected"], case["level"]
    if case["dist"].startswith("normal"):
        measured = normal_tail(level)
        assert measured.value_at_risk == pytest.approx(expected["VaR"], abs=1e-12)
        assert measured.expected_shortfall == pytest.approx(expected["ES"], abs=1e-12)
        return
    dof = float(case["id"][1])
    student, unit = StudentT(dof), StudentT.with_deviation(dof)
    assert student.value_at_risk(level) == pytest.approx(expected["VaR"], abs=1e-10)
    assert student.expected_shortfall(level) == pytest.approx(expected["ES"], abs=1e-10)
    assert unit.value_at_risk(level) == pytest.approx(expected["VaR_unit_variance"], abs=1e-10)
    assert unit.expected_shortfall(level) == pytest.approx(expected["ES_unit_variance"], abs=1e-10)
    assert unit.deviation == pytest.approx(1, abs=1e-14)


def test_one_to_a_hundred() -> None:
    expected = next(c for c in CASES if c["id"] == "empirical_1_to_100")["expected"]
    losses = np.arange(1, 101)
    assert value_at_risk(losses, 0.95) == expected["VaR_lower_order_stat"]
    assert value_at_risk(losses, 0.95, estimator="linear") == pytest.approx(
        expected["VaR_numpy_linear"], abs=1e-12
    )
    assert value_at_risk(losses, 0.95, estimator="higher") == expected["VaR_higher"]
    assert expected_shortfall(losses, 0.95) == pytest.approx(expected["ES_acerbi_exact"], abs=1e-12)


def test_fractional_tail() -> None:
    expected = next(c for c in CASES if c["id"] == "empirical_noninteger_tail_2")["expected"]
    found = expected_shortfall(np.arange(1, 11), 0.85)
    assert found == pytest.approx(expected["ES_acerbi_tasche"], abs=1e-12)


@pytest.mark.parametrize("n", [1, 7, 20, 100, 1000])
@pytest.mark.parametrize("level", [0.5, 0.55, 0.57, 0.58, 0.9, 0.95, 0.99, 0.999])
def test_order_statistic_is_the_definition_in_exact_arithmetic(n: int, level: float) -> None:
    """n·level in binary can land just beside an integer (0.55·100); the rank must not move."""
    thousandths = round(level * 1000)
    rank = -(-n * thousandths // 1000)
    assert value_at_risk(np.arange(1, n + 1), level) == rank


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_shortfall_is_the_integral_of_the_quantile(estimator: str) -> None:
    losses = np.random.default_rng(4).standard_normal(37)
    for level in (0.9, 0.95):
        edges = np.linspace(level, 1, 200_001)
        middle = (edges[1:] + edges[:-1]) / 2
        expected = np.quantile(losses, middle, method=estimator).mean()  # type: ignore[call-overload]
        assert expected_shortfall(losses, level, estimator=estimator) == pytest.approx(
            expected, abs=2e-5
        )


@settings(max_examples=60, deadline=None)
@given(samples, levels, st.integers(-500, 500), st.integers(1, 9))
def test_axioms(losses: list[int], level: float, cash: int, factor: int) -> None:
    sample = np.array(losses, dtype=float)
    for measure in (value_at_risk, expected_shortfall):
        value = measure(sample, level)
        assert measure(sample - cash, level) == pytest.approx(value - cash, abs=1e-9)
        assert measure(factor * sample, level) == pytest.approx(factor * value, abs=1e-9)
        assert measure(np.maximum(sample, 0), level) >= value
        assert measure(sample[::-1], level) == value
    assert expected_shortfall(sample, level) >= value_at_risk(sample, level)
    assert expected_shortfall(sample, level) <= sample.max() + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), levels, st.randoms(use_true_random=False))
def test_shortfall_is_subadditive_on_common_scenarios(n: int, level: float, random) -> None:  # type: ignore[no-untyped-def]
    first, second = (np.array([random.uniform(-1, 1) ** 5 for _ in range(n)]) for _ in range(2))
    apart = expected_shortfall(first, level) + expected_shortfall(second, level)
    assert expected_shortfall(first + second, level) <= apart + 1e-12


def test_value_at_risk_is_not_subadditive() -> None:
    """Two bonds that default apart, 4 % each: neither shows at 95 %, together they do."""
    first, second = np.zeros(100), np.zeros(100)
    first[:4], second[4:8] = 100, 100
    assert value_at_risk(first, 0.95) == value_at_risk(second, 0.95) == 0
    assert value_at_risk(first + second, 0.95) == 100


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"filtered_historical"}))
def test_methods_agree_on_normal_losses(method: str) -> None:
    losses = 0.3 + 2 * np.random.default_rng(5).standard_normal(20_000)
    measured = tail_risk(losses, 0.99, method)
    exact = normal_tail(0.99, 0.3, 2)
    assert measured.value_at_risk == pytest.approx(exact.value_at_risk, abs=0.12)
    assert measured.expected_shortfall == pytest.approx(exact.expected_shortfall, abs=0.18)
    assert measured.value_at_risk == value_at_risk(losses, 0.99, method)


@pytest.mark.parametrize("n", [1_000, 10_000, 100_000])
def test_historical_errors_are_right_for_fat_tails(n: int) -> None:
    """Means over samples, against the spread of those samples and quant.md section 6."""
    rng = np.random.default_rng(n)
    exact = StudentT(4)
    runs = [tail_risk(rng.standard_t(4, n), 0.99) for _ in range(200 if n < 100_000 else 20)]
    var = np.array([run.value_at_risk for run in runs])
    es = np.array([run.expected_shortfall for run in runs])
    var_error = float(np.mean([run.var_standard_error for run in runs]))
    es_error = float(np.sqrt(np.mean([run.es_standard_error**2 for run in runs])))
    assert var_error == pytest.approx(var.std(), rel=0.4)
    assert es_error == pytest.approx(es.std(), rel=0.5)
    assert abs(var.mean() - exact.value_at_risk(0.99)) < 4 * var_error / np.sqrt(len(runs)) + 0.05
    quoted = {1_000: (0.097, 0.15), 10_000: (0.031, 0.044), 100_000: (0.010, 0.015)}[n]
    assert var_error / exact.value_at_risk(0.99) == pytest.approx(quoted[0], rel=0.25)
    assert es_error / exact.expected_shortfall(0.99) == pytest.approx(quoted[1], rel=0.45)


def test_parametric_errors() -> None:
    rng = np.random.default_rng(8)
    for method, draw in (
        ("normal", lambda: rng.standard_normal(400)),
        ("student_t", lambda: rng.standard_t(5, 1000)),
    ):
        runs = [tail_risk(draw(), 0.99, method) for _ in range(80)]
        for name, error in (
            ("value_at_risk", "var_standard_error"),
            ("expected_shortfall", "es_standard_error"),
        ):
            spread = np.std([getattr(run, name) for run in runs])
            assert np.median([getattr(run, error) for run in runs]) == pytest.approx(
                spread, rel=0.3
            )


def test_student_fit_is_that_of_scipy() -> None:
    sample = 0.01 * np.random.default_rng(2).standard_t(4, 1500) + 0.001
    fitted, likelihood = fit_student_t(sample)
    dof, location, scale = stats.t.fit(sample)
    assert fitted.dof == pytest.approx(dof, rel=1e-3)
    assert fitted.location == pytest.approx(location, abs=1e-6)
    assert fitted.scale == pytest.approx(scale, rel=1e-3)
    assert likelihood.log_likelihood >= stats.t.logpdf(sample, dof, location, scale).sum() - 1e-6


def test_student_fit_survives_repeated_values() -> None:
    rng = np.random.default_rng(12)
    sample = np.where(rng.random(400) < 0.7, 0.0, rng.standard_normal(400))
    fitted, likelihood = fit_student_t(sample)
    assert fitted.scale > 0.01
    assert np.isfinite(likelihood.log_likelihood)
    assert expected_shortfall(sample, 0.99, "student_t") > 1


def test_student_needs_enough_moments() -> None:
    with pytest.raises(InputError, match="dof"):
        StudentT.with_deviation(2.0)
    with pytest.raises(InputError, match="dof above 1"):
        StudentT(1.0).expected_shortfall(0.99)
    assert StudentT(2.0).deviation == np.inf
    assert StudentT(3.0).ppf(0.25) == pytest.approx(stats.t.ppf(0.25, 3))


def test_cornish_fisher() -> None:
    assert cornish_fisher_quantile(0.99, 0, 0) == pytest.approx(2.3263478740408408, abs=1e-14)
    z = 2.3263478740408408
    expected = z + (z**2 - 1) * 0.5 / 6 + (z**3 - 3 * z) / 24 - (2 * z**3 - 5 * z) * 0.25 / 36
    assert cornish_fisher_quantile(0.99, 0.5, 1) == pytest.approx(expected, abs=1e-14)
    both = cornish_fisher_quantile([0.95, 0.99], 0.5, 1)
    assert both[1] == pytest.approx(expected)  # type: ignore[index]
    assert cornish_fisher_quantile(0.01, -0.5, 1) == pytest.approx(-expected)


def test_cornish_fisher_shortfall_is_the_integral() -> None:
    edges = np.linspace(0.975, 1, 400_001)
    quantiles = cornish_fisher_quantile((edges[1:] + edges[:-1]) / 2, 0.6, 2.0)
    found = cornish_fisher_shortfall(0.975, 0.6, 2.0)
    assert found == pytest.approx(np.mean(quantiles), rel=1e-5)


@pytest.mark.parametrize(
    ("skew", "low", "high"), [(0, -0.5, 8), (0.5, 0.2, 8.2), (1, 1.6, 8.9), (1.5, 3.6, 9.9)]
)
def test_cornish_fisher_range(skew: float, low: float, high: float) -> None:
    """The range of quant.md section 6, to the one decimal given there."""
    for sign in (1, -1):
        assert cornish_fisher_valid(sign * skew, low + 0.08)
        assert cornish_fisher_valid(sign * skew, high - 0.08)
        assert not cornish_fisher_valid(sign * skew, low - 0.08)
        assert not cornish_fisher_valid(sign * skew, high + 0.08)


def test_filtered_losses_scale_to_the_forecast() -> None:
    losses = np.concatenate((np.tile([1.0, -1.0], 100), np.tile([5.0, -5.0], 100)))
    filtered = filtered_losses(losses, 0.9)
    assert np.abs(filtered[-1]) == pytest.approx(5, rel=1e-6)
    assert value_at_risk(filtered, 0.95) > 0
    model = Garch11(0.05, 0.1, 0.85)
    by_garch = filtered_losses(losses, model)
    variances = model.variances(losses)
    np.testing.assert_allclose(by_garch, losses * np.sqrt(variances[-1] / variances[:-1]))
    np.testing.assert_allclose(filtered_losses(3 * losses), 3 * filtered_losses(losses))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], 0.01), "write 0.99"),
        (([1.0, 2.0], 1.0), "level"),
        (([1.0, 2.0], float("nan")), "level"),
        (([1.0, np.nan], 0.99), r"losses\[1\] = nan"),
        (([1.0, np.inf], 0.99), r"losses\[1\] = inf"),
        (([], 0.99), "at least 1"),
        (([[1.0, 2.0]], 0.99), "one dimension"),
        (([1.0, 2.0], 0.99, "histrical"), "did you mean 'historical'"),
        (([1.0, 2.0], 0.99, "historical", "linera"), "did you mean 'linear'"),
        (([1.0, 2.0], 0.99, "student_t"), "at least 10"),
        (([1.0] * 20, 0.99, "student_t"), "every value is the same"),
        (([0.0] * 50 + [1.0], 0.99, "cornish_fisher"), "monotone"),
    ],
)
def test_bad_input_is_named(arguments: tuple, message: str) -> None:
    for measure in (value_at_risk, expected_shortfall):
        with pytest.raises(InputError, match=message):
            measure(*arguments)
