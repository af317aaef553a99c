"""The elementary functions: accurate against arbitrary precision, and the same bits everywhere."""

from __future__ import annotations

from hashlib import sha256

import mpmath
import numpy as np
import pytest
from scipy import special, stats

from sim.market import exact

RNG = np.random.default_rng(1)


def worst_ulp(mine: np.ndarray, function, x: np.ndarray) -> float:
    """Return the largest error in units in the last place."""
    with mpmath.workprec(200):
        return max(
            float(abs(mpmath.mpf(float(m)) - function(mpmath.mpf(float(v)))))
            / float(np.spacing(abs(float(m))))
            for m, v in zip(mine, x, strict=True)
        )


def test_exp_is_accurate_to_two_units_in_the_last_place():
    x = np.concatenate((RNG.uniform(-700, 700, 1500), RNG.normal(0, 1e-3, 500), [0.0]))
    assert worst_ulp(exact.exp(x), mpmath.exp, x) < 2.0


def test_exp_goes_to_zero_and_infinity_at_the_ends():
    assert exact.exp(np.array([-800.0, 800.0])).tolist() == [0.0, np.inf]


def test_log_is_accurate_to_two_units_in_the_last_place():
    x = np.concatenate((10 ** RNG.uniform(-300, 300, 1500), RNG.uniform(0.5, 2, 1500)))
    assert worst_ulp(exact.log(x), mpmath.log, x) < 2.0


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_log_refuses_what_has_none(bad):
    with pytest.raises(ValueError, match="logarithm"):
        exact.log(bad)


def test_normal_quantile_inverts_the_distribution():
    p = np.concatenate((RNG.uniform(0, 1, 3000), 10 ** RNG.uniform(-300, -1, 1000), [0.5]))
    np.testing.assert_allclose(exact.normal_quantile(p), special.ndtri(p), rtol=5e-15, atol=1e-16)


def test_normal_cdf_is_accurate_in_both_tails():
    x = np.concatenate((RNG.normal(0, 3, 3000), [0.0, 3.5, -3.5, -20.0, -37.0]))
    np.testing.assert_allclose(exact.normal_cdf(x), special.ndtr(x), rtol=5e-12, atol=1e-16)


@pytest.mark.parametrize("dof", [1.0, 2.1, 3.0, 4.0, 7.5, 30.0])
def test_student_cdf_agrees_with_scipy(dof):
    x = np.concatenate((RNG.standard_t(3, 1000) * 3, [0.0, -1e3]))
    np.testing.assert_allclose(exact.student_cdf(x, dof), stats.t.cdf(x, dof), rtol=1e-10)


@pytest.mark.parametrize("dof", [1.0, 2.1, 4.0, 30.0])
def test_student_quantile_inverts_the_cdf(dof):
    p = np.concatenate((RNG.uniform(0, 1, 1000), 10 ** RNG.uniform(-15, -1, 300), [0.2, 0.5]))
    x = exact.student_quantile(p, dof)
    tail = np.minimum(p, 1 - p)
    np.testing.assert_allclose(exact.student_cdf(-np.abs(x), dof), tail, rtol=1e-10)


def test_log_gamma_agrees_with_scipy():
    x = np.concatenate((RNG.uniform(0.01, 200, 300), [0.5, 1.0, 2.0]))
    mine = [exact.log_gamma(float(v)) for v in x]
    np.testing.assert_allclose(mine, special.gammaln(x), rtol=1e-12, atol=1e-13)


def test_draws_are_uniform_and_normal():
    rng = np.random.default_rng(5)
    assert stats.kstest(exact.uniforms(rng, 20_000), "uniform").pvalue > 1e-3
    assert stats.kstest(exact.normals(rng, 20_000), "norm").pvalue > 1e-3


def test_every_function_gives_the_bits_it_always_gave():
    x = np.linspace(-30, 30, 4001)
    p = (np.arange(4000) + 0.5) / 4000
    parts = (
        exact.exp(x),
        exact.log(p * 1e3),
        exact.normal_quantile(p),
        exact.normal_cdf(x / 4),
        exact.student_cdf(x, 4.0),
        exact.student_quantile(p, 3.5),
        exact.normals(np.random.Generator(np.random.Philox(key=7)), 1000),
    )
    found = [sha256(part.tobytes()).hexdigest()[:12] for part in parts]
    assert found == GOLDEN


GOLDEN = [
    "00b7a81a002c",
    "32d96ba3e22d",
    "87a46eba2e5d",
    "300456d64153",
    "1edd54f59d60",
    "3dbe25b0141b",
    "407199c5452c",
]


@pytest.mark.parametrize("dof", [0.5, 1.0, 1.7, 2.0, 4.5, 30.0])
def test_chi_squares_are_distributed_so(dof):
    drawn = exact.chi_squares(np.random.default_rng(5), dof, 20_000)
    assert drawn.min() > 0
    assert stats.kstest(drawn, stats.chi2(dof).cdf).pvalue > 1e-3


def test_more_chi_squares_begin_with_the_same():
    few, many = (exact.chi_squares(np.random.default_rng(5), 3.3, n) for n in (10, 50))
    assert many[:10].tobytes() == few.tobytes()
