"""Contributions sum to the whole; revaluation in pieces is revaluation at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.reference.attribution import attribute
from sim.reference.parametric import delta_normal
from sim.reference.revaluation import monte_carlo, revalue
from sim.reference.risk_measures import expected_shortfall, normal_tail, value_at_risk
from sim.reference.validation import Floats


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 80),
    st.integers(1, 5),
    st.sampled_from([0.5, 0.9, 0.97, 0.99]),
    st.integers(0, 2**32 - 1),
)
def test_components_sum_to_the_total(n: int, m: int, level: float, seed: int) -> None:
    losses = np.random.default_rng(seed).standard_t(3, (n, m))
    for name, measure in (
        ("expected_shortfall", expected_shortfall),
        ("value_at_risk", value_at_risk),
    ):
        divided = attribute(losses, level, name)
        assert divided.total == measure(losses.sum(axis=1), level)
        assert divided.component.sum() == pytest.approx(divided.total, abs=1e-9)
        for i in range(m):
            without = np.delete(losses, i, axis=1).sum(axis=1)
            assert divided.incremental[i] == pytest.approx(
                divided.total - measure(without, level), abs=1e-9
            )
    divided = attribute(losses, level)
    for i in range(m):  # coherent: no position brings more than it would alone
        alone = expected_shortfall(losses[:, i], level)
        assert divided.component[i] <= alone + 1e-9
        assert divided.incremental[i] <= alone + 1e-9


def test_scenarios_agree_with_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.4], [0.4, 2.0]])
    exposures = np.array([3.0, -1.0])
    moves = rng.multivariate_normal([0, 0], covariance, 400_000)
    _, by_var, by_es = delta_normal(exposures, covariance, 0.99)
    losses = -moves * exposures
    for name, exact in (("value_at_risk", by_var), ("expected_shortfall", by_es)):
        found = attribute(losses, 0.99, name, exposures)
        np.testing.assert_allclose(found.component, exact.component, atol=0.1)
        np.testing.assert_allclose(found.marginal, exact.marginal, atol=0.1)
        np.testing.assert_allclose(found.incremental, exact.incremental, atol=0.1)


def test_one_scenario_value_at_risk() -> None:
    losses = np.column_stack((np.arange(100.0), np.zeros(100)))
    np.testing.assert_array_equal(
        attribute(losses, 0.95, "value_at_risk", neighbours=0).component, [94, 0]
    )


def test_bad_attributions_are_named() -> None:
    losses = np.ones((10, 2))
    with pytest.raises(InputError, match=r"exposures\[1\]"):
        attribute(losses, 0.9, exposures=[1.0, 0.0])
    with pytest.raises(InputError, match="exposures: shape"):
        attribute(losses, 0.9, exposures=[1.0])
    with pytest.raises(InputError, match="measure"):
        attribute(losses, 0.9, "variance")


def many_calls(strikes: Floats):  # type: ignore[no-untyped-def]
    def reprice(scenarios: Floats) -> Floats:
        return np.maximum(scenarios[:, :1] - strikes, 0.0)

    return reprice


def test_revaluation_in_pieces() -> None:
    rng = np.random.default_rng(1)
    strikes = rng.uniform(50, 150, 1000)
    scenarios = 100 * np.exp(0.1 * rng.standard_normal((500, 1)))
    base = np.maximum(100 - strikes, 0.0)
    whole = base - np.maximum(scenarios - strikes, 0.0)
    np.testing.assert_array_equal(
        revalue(many_calls(strikes), scenarios, base, by_position=True), whole
    )
    np.testing.assert_allclose(revalue(many_calls(strikes), scenarios, base), whole.sum(axis=1))
    total = revalue(lambda s: many_calls(strikes)(s).sum(axis=1), scenarios, float(base.sum()))
    np.testing.assert_allclose(total, whole.sum(axis=1), atol=1e-9)


def test_ten_thousand_scenarios_of_a_thousand_options_stay_small() -> None:
    rng = np.random.default_rng(2)
    strikes = rng.uniform(50, 150, 1000)
    scenarios = 100 * np.exp(0.1 * rng.standard_normal((10_000, 1)))
    tracemalloc.start()
    revalue(many_calls(strikes), scenarios, np.maximum(100 - strikes, 0.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_monte_carlo_of_a_linear_book() -> None:
    def simulate(count: int, rng: np.random.Generator) -> Floats:
        return rng.standard_normal((count, 1))

    measured = monte_carlo(
        lambda s: 5 - 2 * s[:, 0], simulate, 5.0, 20_000, np.random.default_rng(3), 0.99
    )
    exact = normal_tail(0.99, 0, 2)
    assert abs(measured.value_at_risk - exact.value_at_risk) < 4 * measured.var_standard_error
    assert abs(measured.expected_shortfall - exact.expected_shortfall) < (
        4 * measured.es_standard_error
    )


def test_bad_revaluations_are_named() -> None:
    with pytest.raises(InputError, match="returned shape"):
        revalue(lambda s: s, np.ones((4, 2)), 1.0)
    with pytest.raises(InputError, match="scenario 0"):
        revalue(lambda s: np.full(4, np.nan), np.ones((4, 2)), 1.0)
