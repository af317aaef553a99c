"""Prices and greeks against published numbers, 50-digit arithmetic, QuantLib and vollib."""

import json
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.reference import black76, black_scholes, implied_vol
from sim.reference.black import WORTHWHILE, Greeks

VECTORS = Path(__file__).parents[1] / "vectors"


def cases(name):
    return json.loads((VECTORS / name).read_text())["cases"]


def price_of(case):
    if case.get("model") == "black76":
        return black76(
            case["forward"],
            case["strike"],
            case["T_years"],
            case["vol"],
            case["type"] == "call",
            math.exp(-case["rate"] * case["T_years"]),
        )
    return black_scholes(
        case["spot"],
        case["strike"],
        case["T_years"],
        case["vol"],
        case["type"] == "call",
        case["rate"],
        case.get("carry_b"),
    )


def figure(case, key):
    g = price_of(case)
    years, vol = case["T_years"], case["vol"]
    if key in g._fields:
        return getattr(g, key)
    if key == "elasticity":
        return g.delta * case["spot"] / g.price
    if key == "dividend_rho":
        return -years * case["spot"] * g.delta
    if key in ("d1", "d2"):
        forward = case.get("forward") or case["spot"] * math.exp(case["rate"] * years)
        sign = 1 if key == "d1" else -1
        deviation = vol * math.sqrt(years)
        return math.log(forward / case["strike"]) / deviation + sign * deviation / 2
    name, unit = key.split("_per_")
    scale = {"day_365": 365, "year": 1, "1pct": 100}[unit]
    return getattr(g, name) / scale


@pytest.mark.parametrize(
    "case",
    [
        *cases("bs_haug_prices.json"),
        *cases("bs_haug_greeks.json"),
        *cases("bs_black76_hull_vollib.json"),
    ],
    ids=lambda case: case["id"],
)
def test_published(case):
    for key, expected in case["expected"].items():
        assert figure(case, key) == pytest.approx(expected, abs=case["tolerance_abs"])


def exact_forward(f, k, t, v, call, d):
    """Price in mpmath numbers; the greeks follow by numerical differentiation."""
    deviation = v * mpmath.sqrt(t)
    d1 = mpmath.log(f / k) / deviation + deviation / 2
    side = 1 if call else -1
    return d * side * (f * mpmath.ncdf(side * d1) - k * mpmath.ncdf(side * (d1 - deviation)))


def exact_greeks(price, x, t, v, r):
    """All eight figures from a price(x, t, v, r) in mpmath."""

    def by(n, order=1):
        arguments = [x, t, v, r]
        step = {0: (order, 0, 0, 0), 1: (0, order, 0, 0), 2: (0, 0, order, 0), 3: (0, 0, 0, order)}
        return mpmath.diff(price, tuple(arguments), step[n])

    return Greeks(
        price(x, t, v, r),
        by(0),
        by(0, 2),
        by(2),
        -by(1),
        by(3),
        mpmath.diff(price, (x, t, v, r), (1, 0, 1, 0)),
        by(2, 2),
    )


def random_options(count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield (
            float(np.exp(rng.uniform(-3, 3))),
            float(np.exp(rng.uniform(np.log(1 / 8760), np.log(2)))),
            float(np.exp(rng.uniform(np.log(0.05), np.log(5)))),
            bool(rng.integers(2)),
            float(rng.uniform(-0.05, 0.2)),
            float(rng.uniform(-0.1, 0.1)),
        )


def close(got, want, scale):
    assert float(got) == pytest.approx(float(want), rel=2e-11, abs=1e-13 * scale)


@pytest.mark.parametrize("option", list(random_options(40, 1)))
def test_greeks_of_black_scholes_against_mpmath(option):
    moneyness, years, vol, call, rate, carry = option
    spot, strike = 100.0, 100.0 / moneyness
    with mpmath.workdps(50):
        q = mpmath.mpf(rate) - mpmath.mpf(carry)
        k = mpmath.mpf(strike)

        def price(s, t, v, r):
            return exact_forward(s * mpmath.exp((r - q) * t), k, t, v, call, mpmath.exp(-r * t))

        want = exact_greeks(price, *(mpmath.mpf(x) for x in (spot, years, vol, rate)))
        # Theta holds rate and carry, which is what holding rate and yield is.
    got = black_scholes(spot, strike, years, vol, call, rate, carry)
    scale = max(spot, strike)
    for name in Greeks._fields:
        wide = scale * {"theta": 1 / years, "volga": 10}.get(name, 1.0)
        close(getattr(got, name), getattr(want, name), wide)


@pytest.mark.parametrize("option", list(random_options(40, 2)))
def test_greeks_of_black76_against_mpmath(option):
    moneyness, years, vol, call, rate, _ = option
    forward, strike = 100.0, 100.0 / moneyness
    discount = math.exp(-rate * years)
    with mpmath.workdps(50):
        k = mpmath.mpf(strike)

        def price(f, t, v, r):
            return exact_forward(f, k, t, v, call, mpmath.exp(-r * t))

        held = -mpmath.log(mpmath.mpf(discount)) / mpmath.mpf(years)
        want = exact_greeks(price, *(mpmath.mpf(x) for x in (forward, years, vol)), held)
    got = black76(forward, strike, years, vol, call, discount)
    scale = max(forward, strike)
    for name in Greeks._fields:
        wide = scale * {"theta": 1 / years, "volga": 10}.get(name, 1.0)
        close(getattr(got, name), getattr(want, name), wide)
    assert got.rho == pytest.approx(-years * got.price)


def test_deep_wings_keep_relative_precision():
    rng = np.random.default_rng(3)
    for _ in range(60):
        deviation = float(np.exp(rng.uniform(np.log(1e-4), np.log(3))))
        distance = float(rng.uniform(0, 35))
        strike = 100 * math.exp(distance * deviation)
        with mpmath.workdps(60):
            want = exact_forward(
                *(mpmath.mpf(x) for x in (100.0, strike, 1.0, deviation)), True, mpmath.mpf(1)
            )
        assert black76(100.0, strike, 1.0, deviation, True).price == pytest.approx(
            float(want), rel=1e-11, abs=0
        )


def test_second_opinions():
    ql = pytest.importorskip("QuantLib")
    vollib = pytest.importorskip("vollib.black_scholes_merton.greeks.analytical")
    rng = np.random.default_rng(4)
    for _ in range(30):
        s, k = 100.0, float(rng.uniform(60, 160))
        t, v, r, q = (float(rng.uniform(*x)) for x in ((0.05, 2), (0.1, 1), (0, 0.1), (0, 0.1)))
        call = bool(rng.integers(2))
        got = black_scholes(s, k, t, v, call, r, r - q)
        forward, discount = s * math.exp((r - q) * t), math.exp(-r * t)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, k)
        other = ql.BlackCalculator(payoff, forward, v * math.sqrt(t), discount)
        # QuantLib's volga is left out: it is too large by 1/√T.
        for name, value in {
            "price": other.value(),
            "delta": other.delta(s),
            "gamma": other.gamma(s),
            "vega": other.vega(t),
            "theta": other.theta(s, t),
            "rho": other.rho(t),
        }.items():
            assert getattr(got, name) == pytest.approx(value, rel=1e-9, abs=1e-10), name
        flag = "c" if call else "p"
        assert got.vega / 100 == pytest.approx(vollib.vega(flag, s, k, t, r, v, q), rel=1e-9)
        assert got.rho / 100 == pytest.approx(vollib.rho(flag, s, k, t, r, v, q), rel=1e-9)
        assert got.theta / 365 == pytest.approx(vollib.theta(flag, s, k, t, r, v, q), rel=1e-9)


EDGES = [0.0, 1e-300, 1e-12, 1e-3, 1.0, 50.0]


def test_limits_are_finite_and_documented():
    f, k, t, v = np.meshgrid([0, 1e-9, 99, 100, 101, 1e9], [0, 1e-9, 100, 1e9], EDGES, EDGES)
    for call in (True, False):
        for result in (black76(f, k, t, v, call, 0.9), black_scholes(f, k, t, v, call, 0.1, 0.02)):
            for name, column in zip(Greeks._fields, result, strict=True):
                assert np.isfinite(column).all(), name
        side = 1 if call else -1
        price = black76(f, k, t, v, call, 0.9).price
        rest = (v * np.sqrt(t) == 0) | (f == 0) | (k == 0)
        intrinsic = 0.9 * np.maximum(side * (f - k), 0)
        assert (price >= intrinsic * (1 - 1e-15)).all()
        np.testing.assert_allclose(price[rest], intrinsic[rest], rtol=1e-15)
    assert black76(100, 90, 0, 0.5, True).delta == 1
    assert black76(100, 90, 0, 0.5, False).delta == 0
    assert black76(100, 100, 1, 0, True).delta == 0.5
    assert black76(100, 100, 1, 0, True).vega == pytest.approx(100 / math.sqrt(2 * math.pi))
    assert black76(100, 0, 1, 0.5, True, 0.9).price == 90
    assert black76(0, 100, 1, 0.5, False, 0.9).price == 90
    assert black76(100, 120, 0.5, 0, False, 0.9).theta == pytest.approx(18 * -math.log(0.9) / 0.5)


def test_broadcasting_and_errors():
    got = black76(np.ones((3, 1)) * 100, [90, 100], 1.0, 0.2, [[True], [False], [True]])
    assert got.price.shape == (3, 2)
    assert black76([], 100, 1, 0.2, True).price.shape == (0,)
    with pytest.raises(InputError, match=r"strike\[1\] = -5.0"):
        black76(100, [90, -5], 1, 0.2, True)
    with pytest.raises(InputError, match=r"vol\[0, 1\] = nan"):
        black76(100, 100, 1, [[0.2, np.nan]], True)
    with pytest.raises(InputError, match=r"is_call\[0\] = 2.0"):
        black76(100, 100, 1, 0.2, [2])
    with pytest.raises(InputError, match=r"discount = 0.0"):
        black76(100, 100, 1, 0.2, True, 0)
    with pytest.raises(InputError, match=r"broadcast: forward \(2,\), strike \(3,\)"):
        black76([1, 2], [1, 2, 3], 1, 0.2, True)
    with pytest.raises(InputError, match="years: expected numbers"):
        black76(100, 100, "soon", 0.2, True)
    with pytest.raises(InputError, match=r"rate\[5000\] = inf"):
        black_scholes(100, 100, 1, 0.2, True, np.append(np.zeros(5000), np.inf))


def test_large_arrays_fall_back_element_by_element():
    n = WORTHWHILE
    f, k, t, v = (np.full(n, x) for x in (100.0, 110.0, 0.5, 0.4))
    t[3], v[4], k[5], f[6], v[7] = 0.0, 0.0, 0.0, 0.0, 1e3
    k[8] = 1e-200
    for call in (True, False):
        large, small = (
            black76(f, k, t, v, call, 0.97),
            black76(f[:9], k[:9], t[:9], v[:9], call, 0.97),
        )
        for a, b in zip(large, small, strict=True):
            np.testing.assert_allclose(a[:9], b, rtol=1e-13, atol=1e-13)


numbers = st.floats(0.05, 20).map(lambda x: 100 * x)


@settings(max_examples=60, deadline=None)
@given(
    forward=numbers,
    strike=numbers,
    years=st.floats(1e-4, 3),
    vol=st.floats(0.01, 4),
    discount=st.floats(0.5, 1.1),
)
def test_properties_of_prices(forward, strike, years, vol, discount):
    call = black76(forward, strike, years, vol, True, discount)
    put = black76(forward, strike, years, vol, False, discount)
    scale = max(forward, strike)
    assert abs(call.price - put.price - discount * (forward - strike)) <= 1e-14 * scale
    assert 0 <= call.price <= discount * forward * (1 + 1e-15)
    assert call.gamma >= 0
    assert call.vega >= 0
    assert call.gamma == put.gamma
    assert call.delta - put.delta == pytest.approx(discount, rel=1e-12)
    ladder = black76(forward, strike * np.array([0.9, 1.0, 1.1]), years, vol, True, discount).price
    assert (np.diff(ladder) <= 1e-13 * scale).all()
    assert ladder[0] - 2 * ladder[1] + ladder[2] >= -1e-12 * scale
    more = black76(forward, strike, years, vol * 1.01, True, discount).price
    assert more >= call.price - 1e-13 * scale


@settings(max_examples=80, deadline=None)
@given(
    moneyness=st.floats(-3, 3),
    years=st.floats(1e-4, 3),
    vol=st.floats(0.02, 4),
    discount=st.floats(0.5, 1.1),
)
def test_implied_vol_inverts_the_price(moneyness, years, vol, discount):
    strike = 100 * math.exp(moneyness * vol * math.sqrt(years))
    call = strike >= 100
    g = black76(100, strike, years, vol, call, discount)
    if g.price > 1e-280:
        found = implied_vol(g.price, 100, strike, years, call, discount)
        # What rounding of the price itself costs, and some units in the last place
        noise = 4e-16 * g.price / (g.vega * vol) + 2e-14
        assert found == pytest.approx(vol, rel=4 * noise)


def test_implied_vol_says_when_there_is_none():
    prices = [-1e-9, 0.0, 1e-300, 50.0, 100.0, 100.1]
    got = implied_vol(prices, 100, 120, 1, True)
    assert np.isnan(got[[0, 5]]).all()
    assert got[1] == 0
    assert np.isposinf(got[4])
    assert np.isfinite(got[[2, 3]]).all()
    back = black76(100, 120, 1, got[[2, 3]], True).price
    np.testing.assert_allclose(back, [1e-300, 50], rtol=1e-10)
    assert implied_vol(10, 110, 100, 1, True) == 0
    with pytest.raises(InputError, match=r"years\[1\] = 0"):
        implied_vol(1, 100, 100, [1, 0], True)


def test_implied_vol_at_least_as_close_as_lets_be_rational():
    lbr = pytest.importorskip("vollib.black.implied_volatility")
    rng = np.random.default_rng(5)
    ours, theirs = [], []
    for _ in range(200):
        years, vol = float(rng.uniform(0.01, 2)), float(rng.uniform(0.1, 2))
        strike = 100 * math.exp(float(rng.uniform(0, 4)) * vol * math.sqrt(years))
        with mpmath.workdps(40):
            exact = exact_forward(
                *(mpmath.mpf(x) for x in (100.0, strike, years, vol)), True, mpmath.mpf(1)
            )
        price = float(exact)
        ours.append(abs(implied_vol(price, 100.0, strike, years, True) / vol - 1))
        theirs.append(abs(lbr.implied_volatility(price, 100.0, strike, 0.0, years, "c") / vol - 1))
    assert max(ours) <= max(*theirs, 5e-15)


def test_numbers_give_numbers():
    greeks = black76(100, 100, 1.0, 0.2, True)
    assert all(isinstance(figure, np.float64) for figure in greeks)
    assert isinstance(implied_vol(greeks.price, 100, 100, 1.0, True), np.float64)
