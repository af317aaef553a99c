"""Covariance against the recorded vectors, published examples and a second implementation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.reference.covariance import (
    Garch11,
    correlation,
    ewma_covariance,
    ewma_variances,
    least_eigenvalue,
    ledoit_wolf,
    nearest_correlation,
    principal_components,
    repair_correlation,
    sample_covariance,
    spectral_repair,
    stressed_correlation,
    with_pairs,
)

VECTORS = Path(__file__).parents[1] / "vectors"
RECURSIONS = {
    case["id"]: case for case in json.loads((VECTORS / "ewma_garch.json").read_text())["cases"]
}
REPAIR = json.loads((VECTORS / "correlation_psd_repair.json").read_text())["cases"][0]


def returns(n: int = 400, k: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, k)) @ rng.standard_normal((k, k)) * 0.01


def test_hull_ewma() -> None:
    case = RECURSIONS["hull_ewma"]
    path = ewma_variances([case["return_prev"]], case["lambda_"], case["sigma_prev_per_day"] ** 2)
    assert path[-1] == pytest.approx(case["expected"]["variance"], abs=1e-12)
    assert np.sqrt(path[-1]) == pytest.approx(case["expected"]["sigma"], abs=5e-5)


def test_hull_garch() -> None:
    case = RECURSIONS["hull_garch"]
    model = Garch11(case["omega"], case["alpha"], case["beta"])
    after = model.variances([case["return_prev"]], case["sigma_prev_per_day"] ** 2)[-1]
    assert after == pytest.approx(case["expected"]["variance"], abs=1e-12)
    assert np.sqrt(after) == pytest.approx(case["expected"]["sigma"], abs=5e-5)
    assert model.long_run_variance == pytest.approx(
        case["expected"]["long_run_variance"], abs=1e-12
    )
    assert np.sqrt(model.long_run_variance) == pytest.approx(
        case["expected"]["long_run_sigma"], abs=5e-5
    )


def test_hull_garch_forecast() -> None:
    case = RECURSIONS["hull_garch_forecast10"]
    model = Garch11(case["omega"], case["alpha"], case["beta"])
    forecast = model.forecast(case["sigma0_per_day"] ** 2, case["days"])
    assert forecast == pytest.approx(case["expected"]["expected_variance"], abs=5e-10)


def test_quantlib_garch_filter() -> None:
    case = RECURSIONS["quantlib_garch_filter"]
    model = Garch11(case["omega"], case["alpha"], case["beta"])
    constant = case["constant_return"]
    expected = case["expected"]["sigma_path"]
    path = model.variances([constant] * len(expected), constant**2)[1:]
    np.testing.assert_allclose(np.sqrt(path), expected, rtol=0, atol=1e-6)


def test_garch_horizon_is_the_sum_of_the_forecasts() -> None:
    model = Garch11(2e-6, 0.13, 0.86)
    each = model.forecast(2.56e-4, np.arange(10))
    assert model.horizon_variance(2.56e-4, 10) == pytest.approx(each.sum(), rel=1e-12)
    assert model.horizon_variance(2.56e-4, 1) == pytest.approx(2.56e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.8), (0.5, 0.6), (-0.1, 0.5)])
def test_garch_refuses_no_long_run(alpha: float, beta: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        Garch11(1e-6, alpha, beta)


def test_ewma_covariance_is_the_recursion() -> None:
    values = returns(50, 3)
    start = sample_covariance(values)
    expected = start
    for row in values:
        expected = 0.9 * expected + 0.1 * np.outer(row, row)
    np.testing.assert_allclose(ewma_covariance(values, 0.9, start), expected, rtol=1e-12)
    diagonal = [ewma_variances(values[:, i], 0.9, start[i, i])[-1] for i in range(3)]
    np.testing.assert_allclose(np.diagonal(expected), diagonal, rtol=1e-12)


def test_ewma_of_equal_squares_is_that_square() -> None:
    assert ewma_covariance([[0.02], [-0.02], [0.02]], 0.5)[0, 0] == pytest.approx(4e-4)


def test_sample_covariance_is_numpy() -> None:
    values = returns()
    np.testing.assert_allclose(sample_covariance(values), np.cov(values.T), rtol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(20, 3), (10, 25), (500, 8)])
def test_ledoit_wolf_is_the_formula_of_the_paper(n: int, k: int) -> None:
    """Ledoit and Wolf (2004), section 3.3, observation by observation: m, d², b̄² and b²."""
    values = returns(n, k, seed=n)
    shrunk, weight = ledoit_wolf(values)
    centred = values - values.mean(axis=0)
    sample = sum(np.outer(x, x) for x in centred) / n
    m = np.trace(sample) / k
    d2 = ((sample - m * np.eye(k)) ** 2).sum() / k
    spread = sum(((np.outer(x, x) - sample) ** 2).sum() for x in centred) / k / n**2
    b2 = min(spread, d2)
    assert weight == pytest.approx(b2 / d2, rel=1e-10)
    expected = b2 / d2 * m * np.eye(k) + (1 - b2 / d2) * sample
    np.testing.assert_allclose(shrunk, expected, rtol=1e-9, atol=1e-15)
    assert np.linalg.eigvalsh(shrunk)[0] > 0


def test_rebonato_jaeckel() -> None:
    repaired = spectral_repair(REPAIR["input"])
    np.testing.assert_allclose(repaired, REPAIR["expected"], rtol=0, atol=1e-10)
    assert least_eigenvalue(REPAIR["input"]) == pytest.approx(REPAIR["input_min_eigenvalue"])


def test_higham_example() -> None:
    """Higham (2002), section 4: nearest to the tridiagonal matrix of ones, to four decimals."""
    nearest = nearest_correlation([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    expected = [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]]
    np.testing.assert_allclose(nearest, expected, rtol=0, atol=5e-5)


def test_nearest_is_nearer_than_spectral_and_optimal() -> None:
    given = np.array(REPAIR["input"])
    nearest, spectral = nearest_correlation(given), spectral_repair(given)
    distance = np.linalg.norm(nearest - given)
    assert distance < np.linalg.norm(spectral - given)
    rng = np.random.default_rng(3)
    for _ in range(200):
        root = np.linalg.cholesky(nearest + 1e-9 * np.eye(3)) + 0.02 * rng.standard_normal((3, 3))
        root /= np.linalg.norm(root, axis=1, keepdims=True)
        assert np.linalg.norm(root @ root.T - given) >= distance - 1e-8


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.lists(st.floats(-1, 1), min_size=k * (k - 1) // 2, max_size=k * (k - 1) // 2)
    ),
    st.sampled_from(["spectral", "nearest"]),
)
@example([0.0, 1.0, 1e-9], "spectral")
def test_repairs_give_correlations(pairs: list[float], method: str) -> None:
    k = round((1 + np.sqrt(1 + 8 * len(pairs))) / 2)
    matrix = np.eye(k)
    matrix[np.triu_indices(k, 1)] = pairs
    matrix = np.triu(matrix) + np.triu(matrix, 1).T
    repaired = repair_correlation(matrix, method)
    np.testing.assert_array_equal(np.diagonal(repaired), 1.0)
    assert np.linalg.eigvalsh(repaired)[0] >= -1e-12
    if np.linalg.eigvalsh(matrix)[0] >= 0:
        np.testing.assert_array_equal(repaired, matrix)


def test_stress_reaches_one_and_stays_semidefinite() -> None:
    calm = correlation(sample_covariance(returns()))[0]
    np.testing.assert_array_equal(stressed_correlation(calm, 0.0), calm)
    np.testing.assert_array_equal(stressed_correlation(calm, 1.0), np.ones((4, 4)))
    for weight in (0.3, 0.9, 1.0):
        stressed = stressed_correlation(calm, weight, [1, -1, 1, 1])
        assert np.linalg.eigvalsh(stressed)[0] >= -1e-12
        assert stressed[0, 1] == pytest.approx((1 - weight) * calm[0, 1] - weight)


def test_pairs_are_set_or_repaired() -> None:
    kept = with_pairs(np.eye(3), {(0, 1): 0.5})
    assert kept[1, 0] == 0.5
    edited = with_pairs(spectral_repair(REPAIR["input"]), {(0, 2): -0.9})
    assert np.linalg.eigvalsh(edited)[0] >= -1e-12
    with pytest.raises(InputError, match="pairs"):
        with_pairs(np.eye(3), {(1, 1): 1.0})


def test_principal_components_of_one_shared_factor() -> None:
    rng = np.random.default_rng(1)
    shared = rng.standard_normal(2000)
    values = np.outer(shared, [1.0, 2.0, 2.0]) + 0.01 * rng.standard_normal((2000, 3))
    found = principal_components(values)
    assert found.explained[0] > 0.999
    assert found.explained.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.loadings[:, 0], np.array([1, 2, 2]) / 3, atol=1e-3)
    scores = found.scores(values)
    np.testing.assert_allclose(np.cov(scores.T), np.diag(found.variances), atol=1e-10)
    rebuilt = scores @ found.loadings.T * found.scale + found.mean
    np.testing.assert_allclose(rebuilt, values, atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 0.5], [0.4, 1]], r"matrix\[0, 1\]"),
        ([[1, 2], [2, 1]], r"matrix\[0, 1\] = 2"),
        ([[1, 0.5], [0.5, 0.9]], r"diagonal\[1\]"),
        ([[1, np.nan], [np.nan, 1]], r"matrix\[0, 1\] = nan"),
        ([1, 2, 3], "square"),
    ],
)
def test_bad_matrices_are_named(matrix: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spectral_repair(matrix)  # type: ignore[arg-type]


def test_indefinite_covariance_is_refused() -> None:
    with pytest.raises(InputError, match="eigenvalue"):
        stressed_correlation(REPAIR["input"], 0.5)


def test_bad_returns_are_named() -> None:
    with pytest.raises(InputError, match=r"returns\[1, 0\] = nan"):
        sample_covariance([[0.1, 0.2], [np.nan, 0.1]])
    with pytest.raises(InputError, match="at least 2"):
        sample_covariance([[0.1, 0.2]])
    with pytest.raises(InputError, match="decay"):
        ewma_covariance([[0.1]], 1.0)
