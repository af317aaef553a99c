"""The compiled kernels against 50-digit arithmetic: the accuracy that `fast` states."""

import mpmath
import numpy as np
import pytest
from scipy.special import erfcx

from sim.errors import InputError
from sim.reference import black76, fast
from sim.reference.black import Greeks, _black76, _black_scholes
from sim.reference.portfolio import Portfolio
from tests.reference.books import random_book, random_market


def test_functions():
    x = np.concatenate((np.linspace(-700, 700, 401), np.linspace(-1, 1, 201)))
    with mpmath.workdps(30):
        exp_error = max(abs(fast._exp(float(v)) / mpmath.exp(v) - 1) for v in x)
        points = np.exp(np.linspace(-200, 200, 401))
        logs = [(fast._log(float(v)), mpmath.log(mpmath.mpf(float(v)))) for v in points]
        near = [1 + float(v) for v in np.linspace(-0.2, 0.2, 201) if v]
        logs += [(fast._log(v), mpmath.log(mpmath.mpf(v))) for v in near]
        log_error = max(abs(a / b - 1) for a, b in logs if b)
    assert exp_error < 3e-16
    assert log_error < 3e-16
    z = np.linspace(0, 39, 2000)
    mills = np.array([fast._mills(v) for v in z])
    np.testing.assert_allclose(mills, erfcx(z / np.sqrt(2)) / 2, rtol=2e-15)


def random_inputs(count, seed):
    rng = np.random.default_rng(seed)
    f = np.exp(rng.uniform(-3, 3, count)) * 100
    k = f * np.exp(rng.uniform(-3, 3, count))
    t = np.exp(rng.uniform(np.log(1 / 8760), np.log(2), count))
    v = np.exp(rng.uniform(np.log(0.05), np.log(5), count))
    return f, k, t, v, rng.integers(0, 2, count).astype(float), rng.uniform(0.8, 1.02, count)


def test_price_and_delta_against_mpmath():
    f, k, t, v, call, d = random_inputs(400, 1)
    got = Greeks(*fast.black76(f, k, t, v, call, d))
    with mpmath.workdps(50):
        for i in range(f.size):
            F, K, T, V, D = (mpmath.mpf(float(x[i])) for x in (f, k, t, v, d))
            deviation = V * mpmath.sqrt(T)
            d1 = mpmath.log(F / K) / deviation + deviation / 2
            side = 1 if call[i] else -1
            delta = D * side * mpmath.ncdf(side * d1)
            price = (
                D * side * (F * mpmath.ncdf(side * d1) - K * mpmath.ncdf(side * (d1 - deviation)))
            )
            assert abs(got.price[i] - price) <= 1e-15 * max(f[i], k[i])
            assert abs(got.delta[i] - delta) <= 2e-15


@pytest.mark.parametrize("seed", [2, 3])
def test_greeks_against_the_exact_path(seed):
    inputs = random_inputs(20_000, seed)
    compare(fast.black76(*inputs), _black76(*inputs))
    f, k, t, v, call, _ = inputs
    rng = np.random.default_rng(seed)
    rates = rng.uniform(-0.1, 0.2, (2, f.size))
    spot = (f, k, t, v, call, *rates)
    compare(fast.black_scholes(*spot), _black_scholes(*spot))


def compare(kernel, exact):
    for name, got, want in zip(Greeks._fields, kernel, exact, strict=True):
        assert np.abs(got - want).max() <= 1e-13 * np.abs(want).max(), name


def test_elements_outside_the_range_are_left_to_the_exact_path():
    f = np.array([100.0, np.nan, 0.0, 100, 100, 100, -1, 100])
    v = np.array([0.5, 0.5, 0.5, 0.0, np.inf, 0.5, 0.5, 0.5])
    call = np.array([1.0, 1, 1, 1, 1, 0.5, 1, 0])
    price = fast.black76(f, np.full(8, 90.0), np.full(8, 0.5), v, call, np.ones(8))[0]
    np.testing.assert_array_equal(np.isnan(price), [0, 1, 1, 1, 1, 1, 1, 0])
    values = fast.forward_values(f, np.full(8, 90.0), np.full(8, 0.5), v, call)
    assert values[0] == price[0]
    assert np.isnan(values[1:5]).all()


def test_outputs_may_be_given():
    inputs = random_inputs(5000, 4)
    out = tuple(np.empty(5000) for _ in range(8))
    given = fast.black76(*inputs, out=out)
    assert given is out
    for a, b in zip(out, fast.black76(*inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_book_in_many_scenarios_is_repriced_in_full():
    rng = np.random.default_rng(5)
    market = random_market(rng)
    p = Portfolio(random_book(rng, market, accounts=8), market)
    spot, vol = np.exp(rng.normal(0, 0.3, (2, 1500, 3)))
    got = p.options_in(spot, vol)
    e = market.expiries
    u, at = np.asarray(e.underlying)[p.series_expiry], p.series_expiry
    want = np.zeros(1500)
    for i in range(0, 1500, 100):
        forward = e.forward_fixed[at] + e.forward_variable[at] * spot[i][u]
        vols = p.series_vol * vol[i][u]
        price = black76(forward, p.series_strike, p.series_years, vols, p.series_is_call).price
        want[i] = p.size @ price[p.series]
    scale = np.abs(p.size) @ p.series_strike[p.series]
    assert np.abs(got[::100] - want[::100]).max() <= 1e-14 * scale
    np.testing.assert_allclose(p.options_in(np.ones((2, 3))), p.by_expiry(p.greeks.price).sum())
    with pytest.raises(InputError, match=r"spot: shape \(2, 2\)"):
        p.options_in(np.ones((2, 2)))
    with pytest.raises(InputError, match=r"spot\[0, 1\] = 0"):
        p.options_in([[1, 0, 1]])
