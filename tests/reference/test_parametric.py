"""Delta-normal and delta-gamma against vectors, closed forms and simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sim.errors import InputError
from sim.reference.parametric import QuadraticForm, delta_gamma, delta_normal
from sim.reference.risk_measures import normal_tail, tail_risk
from sim.reference.student import StudentT

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = {c["id"]: c for c in json.loads((VECTORS / "var_es_textbook.json").read_text())["cases"]}


def test_hull_microsoft() -> None:
    case = CASES["hull_msft"]
    measured, _, _ = delta_normal(
        [case["position"]], [[case["sigma_day"] ** 2]], case["level"], case["horizon_days"]
    )
    rounded_z = case["z_used"] / normal_tail(case["level"]).value_at_risk
    assert measured.value_at_risk * rounded_z == pytest.approx(case["expected"]["VaR"], abs=1)


def test_hull_two_assets() -> None:
    case = CASES["hull_two_asset"]
    vols, rho = np.array(case["sigma_day"]), case["rho"]
    covariance = np.outer(vols, vols) * [[1, rho], [rho, 1]]
    level, z = case["level"], normal_tail(case["level"]).value_at_risk
    daily, _, _ = delta_normal(case["positions"], covariance, level)
    assert daily.value_at_risk / z == pytest.approx(case["expected"]["sigma_1day"], abs=1)
    ten, by_var, _ = delta_normal(case["positions"], covariance, level, case["horizon_days"])
    rounded_z = case["z_used"] / z
    assert ten.value_at_risk * rounded_z == pytest.approx(case["expected"]["VaR"], abs=60)
    alone = [
        delta_normal([position], [[vol**2]], level, case["horizon_days"])[0].value_at_risk
        for position, vol in zip(case["positions"], vols, strict=True)
    ]
    undiversified = sum(alone) * rounded_z
    assert undiversified == pytest.approx(case["expected"]["undiversified"], abs=60)
    assert by_var.component.sum() == pytest.approx(ten.value_at_risk, rel=1e-12)
    assert by_var.incremental[0] == pytest.approx(ten.value_at_risk - alone[1], rel=1e-12)


def test_marginal_is_the_derivative() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    exposures, covariance = np.array([1.0, -2.0, 0.5]), root @ root.T
    _, by_var, by_es = delta_normal(exposures, covariance, 0.99, dof=5)
    for i in range(3):
        step = np.eye(3)[i] * 1e-6
        up = delta_normal(exposures + step, covariance, 0.99, dof=5)[0]
        down = delta_normal(exposures - step, covariance, 0.99, dof=5)[0]
        assert by_var.marginal[i] == pytest.approx(
            (up.value_at_risk - down.value_at_risk) / 2e-6, rel=1e-6
        )
        assert by_es.marginal[i] == pytest.approx(
            (up.expected_shortfall - down.expected_shortfall) / 2e-6, rel=1e-6
        )


def test_student_multiplier() -> None:
    measured = delta_normal([2.0], [[4.0]], 0.99, dof=4)[0]
    unit = StudentT.with_deviation(4)
    assert measured.value_at_risk == pytest.approx(4 * unit.value_at_risk(0.99))
    assert measured.expected_shortfall == pytest.approx(4 * unit.expected_shortfall(0.99))


def test_no_exposure_has_no_risk() -> None:
    measured, by_var, _ = delta_normal([0.0, 0.0], np.eye(2), 0.99)
    assert measured.value_at_risk == 0
    np.testing.assert_array_equal(by_var.component, 0)
    assert delta_gamma([0.0], [[0.0]], [[1.0]], 0.99, drift=3).value_at_risk == -3


def test_imhof_table() -> None:
    """Imhof (1961), table 1: 0.6χ² + 0.3χ² + 0.1χ², to the four decimals printed."""
    form = QuadraticForm(0.0, np.zeros(3), np.array([1.2, 0.6, 0.2]))
    found = [form.exceedance(x) for x in (0.1, 0.7, 2.0)]
    np.testing.assert_allclose(found, [0.9458, 0.5064, 0.1240], rtol=0, atol=5e-5)


def one_factor_exceedance(constant: float, b: float, curvature: float, x: float) -> float:
    """P(c + bz + ½λz² > x) from the roots of the quadratic."""
    if curvature == 0:
        return float(stats.norm.sf((x - constant) / abs(b)))
    discriminant = b * b - 2 * curvature * (constant - x)
    if discriminant < 0:
        return float(curvature > 0)
    half = -(b + np.copysign(np.sqrt(discriminant), b)) / 2  # without cancellation
    roots = np.sort([half / (curvature / 2), (constant - x) / half])
    outside = stats.norm.cdf(roots[0]) + stats.norm.sf(roots[1])
    inside = stats.norm.cdf(roots[1]) - stats.norm.cdf(roots[0])
    return float(outside if curvature > 0 else inside)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-2, 2),
    st.sampled_from([-3.0, -1.0, -1e-4, 0.0, 1e-9, 1e-3, 0.5, 2.0]),
    st.sampled_from([0.5, 0.9, 0.99, 0.9999]),
)
def test_quadratic_form_of_one_factor_is_exact(b: float, curvature: float, level: float) -> None:
    form = QuadraticForm(0.25, np.array([b]), np.array([curvature]))
    if form.cumulants[1] < 1e-6:
        return
    x = form.quantile(level)
    assert one_factor_exceedance(0.25, b, curvature, x) == pytest.approx(1 - level, abs=1e-9)


def test_quadratic_form_far_in_the_tail() -> None:
    form = QuadraticForm(0.0, np.zeros(1), np.array([2.0]))
    assert form.exceedance(60.0) == pytest.approx(stats.chi2.sf(60.0, 1), rel=1e-9)
    many = QuadraticForm(0.0, np.zeros(7), np.full(7, 2.0))
    for x in (1.0, 7.0, 40.0):
        assert many.exceedance(x) == pytest.approx(stats.chi2.sf(x, 7), rel=1e-10)
    shifted = QuadraticForm(0.5 * 1.5**2, np.array([1.5, 0.0]), np.array([1.0, 1.0]))
    assert shifted.exceedance(6.0) == pytest.approx(stats.ncx2.sf(12.0, 2, 1.5**2), rel=1e-9)


def test_bounded_form_never_exceeds_its_bound() -> None:
    form = QuadraticForm(1.0, np.array([1.0, 0.5]), np.array([-1.0, -2.0]))
    bound = 1 + 0.5 + 0.25 / 4
    assert form.exceedance(bound) == 0
    assert form.quantile(0.999) < bound


def test_cumulants() -> None:
    rng = np.random.default_rng(1)
    form = QuadraticForm(0.2, np.array([0.5, -1.0]), np.array([0.6, -0.3]))
    z = rng.standard_normal((2_000_000, 2))
    values = 0.2 + z @ form.linear + z**2 @ form.curvature / 2
    assert values.mean() == pytest.approx(form.cumulants[0], abs=0.005)
    assert values.var() == pytest.approx(form.cumulants[1], rel=0.01)
    assert stats.skew(values) == pytest.approx(
        form.cumulants[2] / form.cumulants[1] ** 1.5, abs=0.02
    )


@pytest.mark.parametrize("strength", [0.3, -1.0, 5.0])
def test_delta_gamma_against_simulation(strength: float) -> None:
    rng = np.random.default_rng(2)
    root = rng.standard_normal((4, 4)) * 0.1
    covariance, delta = root @ root.T, rng.standard_normal(4)
    gamma = rng.standard_normal((4, 4))
    gamma = strength * (gamma + gamma.T)
    moves = rng.multivariate_normal(np.zeros(4), covariance, 400_000)
    losses = -(0.1 + moves @ delta + np.einsum("ni,ij,nj->n", moves, gamma, moves) / 2)
    measured = delta_gamma(delta, gamma, covariance, 0.99, drift=0.1)
    simulated = tail_risk(losses, 0.99)
    assert abs(measured.value_at_risk - simulated.value_at_risk) < (
        4 * simulated.var_standard_error
    )
    assert abs(measured.expected_shortfall - simulated.expected_shortfall) < (
        4 * simulated.es_standard_error
    )


def test_delta_gamma_says_how() -> None:
    linear = delta_gamma([1.0], [[0.0]], [[1.0]], 0.99, method="cornish_fisher")
    assert linear.method == "delta-gamma Cornish-Fisher"
    assert linear.value_at_risk == pytest.approx(normal_tail(0.99).value_at_risk)
    exact = delta_gamma([1.0], [[0.0]], [[1.0]], 0.99)
    assert exact.value_at_risk == pytest.approx(linear.value_at_risk, rel=1e-10)
    assert exact.expected_shortfall == pytest.approx(linear.expected_shortfall, rel=1e-10)
    short_gamma = delta_gamma([0.0], [[-2.0]], [[1.0]], 0.99, method="cornish_fisher")
    assert short_gamma.method == "delta-gamma exact"
    assert "not monotone" in short_gamma.note
    assert short_gamma.value_at_risk == pytest.approx(stats.chi2.ppf(0.99, 1), rel=1e-9)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="covariance: shape"):
        delta_normal([1.0, 2.0], [[1.0]], 0.99)
    with pytest.raises(InputError, match="eigenvalue"):
        delta_normal([1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]], 0.99)
    with pytest.raises(InputError, match="gamma"):
        delta_gamma([1.0], [[1.0, 0.0], [0.0, 1.0]], [[1.0]], 0.99)
    with pytest.raises(InputError, match="method"):
        delta_gamma([1.0], [[1.0]], [[1.0]], 0.99, method="taylor")
    with pytest.raises(InputError, match="dof"):
        delta_normal([1.0], [[1.0]], 0.99, dof=2)


def test_a_straight_factor_beside_a_curved_one():
    """The curvature of the first comes out of the eigenvalues as 1e-18, not as 0."""
    deviations = np.array([0.65, 0.5]) * np.sqrt(300 / 31_536_000)
    covariance = np.outer(deviations, deviations) * [[1, 0.85], [0.85, 1]]
    delta, gamma = np.array([-297_588.24, 45_550.0]), np.diag([-77_688.0, 0.0])
    measured = delta_gamma(delta, gamma, covariance, 0.99, drift=0.17)
    linear = delta_normal(delta, covariance, 0.99)[0]
    assert measured.value_at_risk == pytest.approx(linear.value_at_risk, rel=0.01)
    form = QuadraticForm.of(-0.17, -delta, -gamma, covariance)
    assert np.isfinite([form.exceedance(x) for x in (-1500.0, -54.1, 0.0, 1500.0)]).all()
