"""Black-76 on chain against 50 digits and against published values."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evm import Contract, Evm, Reverted

WAD = 10**18
YEAR = 31_536_000
VECTORS = Path(__file__).parents[1] / "vectors"
EVM = Evm()
MATH = EVM.deploy("OptionMath.vy")


def exact(
    forward: int, strike: int, seconds: int, vol: int, discount: int, is_call: bool
) -> dict[str, mp.mpf]:
    """Price and greeks in 50 digits, in natural units."""
    with mp.workdps(50):
        f, k, s, d = (mp.mpf(x) / WAD for x in (forward, strike, vol, discount))
        t = mp.mpf(seconds) / YEAR
        v = s * mp.sqrt(t)
        if v == 0 or k == 0:
            call, delta, density = max(f - k, 0), mp.mpf(f > k), mp.mpf(0)
        else:
            d1 = mp.log(f / k) / v + v / 2
            call, delta = f * mp.ncdf(d1) - k * mp.ncdf(d1 - v), mp.ncdf(d1)
            density = mp.npdf(d1)
        price = (call if is_call else call - f + k) * d
        return {
            "price": price,
            "delta": (delta if is_call else delta - 1) * d,
            "gamma": density * d / (f * v) if density else mp.mpf(0),
            "vega": density * d * f * mp.sqrt(t),
            "theta": (-density * d * f * s / (2 * mp.sqrt(t)) if density else mp.mpf(0))
            + (-mp.log(d) / t * price if t else 0),
        }


def check_price(case: tuple[Any, ...]) -> None:
    forward, strike = case[0], case[1]
    with mp.workdps(50):
        error = abs(mp.mpf(MATH.price(*case)) - exact(*case)["price"] * WAD)
        allowed = mp.mpf(max(forward, strike)) * mp.mpf("1e-15") + 1
    assert error <= allowed, (case, mp.nstr(error / allowed, 5))
    # What black76._error promises to the engines, with a factor of two to spare.
    promised = (max(forward, strike) >> 54) + 2
    assert error <= promised, (case, mp.nstr(error / promised, 5))


def test_stated_domain() -> None:
    """F/K from 0.05 to 20, vols from 5 % to 500 %, an hour to two years."""
    rng = random.Random(76)
    for _ in range(1500):
        strike = int(3000 * WAD * 10 ** rng.uniform(-3, 3))
        ratio = rng.choice([20 ** rng.uniform(-1, 1), 1.0, 1 + rng.uniform(-0.01, 0.01)])
        vol = int(WAD * 0.05 * 100 ** rng.random())
        seconds = int(3600 * 17_520 ** rng.random())
        discount = rng.choice([WAD, int(WAD * rng.uniform(0.5, 1))])
        check_price((int(strike * ratio), strike, seconds, vol, discount, rng.random() < 0.5))


@given(
    forward=st.integers(0, 2**100),
    strike=st.integers(0, 2**100),
    seconds=st.one_of(st.integers(0, 3600), st.integers(0, 2**31 - 1)),
    vol=st.one_of(st.integers(0, 10**17), st.integers(0, 10**20)),
    discount=st.integers(0, WAD),
    is_call=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whole_domain(
    forward: int, strike: int, seconds: int, vol: int, discount: int, is_call: bool
) -> None:
    check_price((forward, strike, seconds, vol, discount, is_call))


@pytest.mark.parametrize(
    "case",
    [
        (3000, 3000, 0, 0.5),  # at expiry
        (3000, 2900, 0, 0.5),
        (3000, 3000, 86_400, 0),  # no vol
        (3000, 3100, 86_400, 0),
        (3000, 0, 86_400, 0.5),  # no strike
        (0, 3000, 86_400, 0.5),  # no forward
        (0, 0, 0, 0),
        (3000, 1e-9, 86_400, 0.5),  # wings
        (1e-9, 3000, 86_400, 0.5),
        (3000, 3e7, 1, 100),
        (3000, 3000, 2**31 - 1, 100),
        (3000, 3000, 1, 1e-18),
    ],
)
@pytest.mark.parametrize("is_call", [True, False])
def test_edges(case: tuple[float, float, int, float], is_call: bool) -> None:
    forward, strike, seconds, vol = case
    check_price(
        (round(forward * 1e9) * 10**9, round(strike * 1e9) * 10**9, seconds, int(vol * WAD), WAD,
         is_call)
    )  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        (2**112, WAD, 1, WAD, WAD),
        (WAD, 2**112, 1, WAD, WAD),
        (WAD, WAD, 2**31, WAD, WAD),
        (WAD, WAD, 1, 10**20 + 1, WAD),
        (WAD, WAD, 1, WAD, WAD + 1),
    ],
)
def test_outside_the_domain_reverts(case: tuple[int, ...]) -> None:
    with pytest.raises(Reverted, match="black76: out of bounds"):
        MATH.price(*case, True)
    with pytest.raises(Reverted, match="black76: out of bounds"):
        MATH.quote(*case, False)


def test_greeks() -> None:
    rng = random.Random(77)
    for _ in range(300):
        strike = int(3000 * WAD)
        forward = int(strike * 5 ** rng.uniform(-1, 1))
        case = (
            forward,
            strike,
            int(3600 * 17_520 ** rng.random()),
            int(WAD * 0.05 * 100 ** rng.random()),
            rng.choice([WAD, int(WAD * rng.uniform(0.8, 1))]),
            rng.random() < 0.5,
        )
        got, want = MATH.quote(*case), exact(*case)
        scale = max(forward, strike) / WAD
        assert got.price == MATH.price(*case)
        assert abs(got.delta / WAD - want["delta"]) < 1e-15
        assert abs(got.gamma / WAD - want["gamma"]) < 1e-14 * want["gamma"] + 2e-18
        assert abs(got.vega / WAD - want["vega"]) < 1e-15 * scale
        assert abs(got.theta / WAD - want["theta"]) < 1e-12 * scale


def test_greeks_of_intrinsic_value() -> None:
    assert MATH.quote(3000 * WAD, 2900 * WAD, 0, WAD, WAD, True)[:4] == (100 * WAD, WAD, 0, 0)
    assert MATH.quote(3000 * WAD, 2900 * WAD, 0, WAD, WAD, False)[:4] == (0, 0, 0, 0)
    assert MATH.quote(3000 * WAD, 3000 * WAD, 86_400, 0, WAD, True)[:4] == (0, 0, 0, 0)
    assert MATH.quote(3000 * WAD, 0, 86_400, WAD, WAD, True)[:4] == (3000 * WAD, WAD, 0, 0)


@given(
    forward=st.integers(10**9, 2**90),
    strike=st.integers(10**9, 2**90),
    seconds=st.integers(0, 10**8),
    vol=st.integers(0, 5 * WAD),
)
@settings(max_examples=100, deadline=None)
def test_parity_is_exact_and_prices_are_bounded(
    forward: int, strike: int, seconds: int, vol: int
) -> None:
    call = MATH.price(forward, strike, seconds, vol, WAD, True)
    put = MATH.price(forward, strike, seconds, vol, WAD, False)
    assert call - put == forward - strike
    assert max(forward - strike, 0) <= call <= forward
    assert max(strike - forward, 0) <= put <= strike


def published() -> list[Any]:
    """Cases with a Black-76 equivalent, from the files' own fields."""
    cases = []
    for case in json.loads((VECTORS / "bs_haug_prices.json").read_text())["cases"]:
        same = case["equivalent_black76"]
        cases.append(
            pytest.param(
                same["forward"], case["strike"], case["T_years"], case["vol"], same["discount"],
                case["type"] == "call", {"price": case["expected"]["price"]},
                case["tolerance_abs"], id=case["id"],
            )
        )  # fmt: skip
    units = {"price": 1.0, "delta": 1.0, "gamma": 1.0, "vega_per_1pct": 100.0,
             "theta_per_day_365": 365.0}  # fmt: skip
    for case in json.loads((VECTORS / "bs_black76_hull_vollib.json").read_text())["cases"]:
        if case.get("model") != "black76":
            continue
        wanted = {
            name.split("_per_")[0]: value * units[name]
            for name, value in case["expected"].items()
            if name in units
        }
        if wanted:
            scale = max(units[name] for name in case["expected"] if name in units)
            cases.append(
                pytest.param(
                    case["forward"], case["strike"], case["T_years"], case["vol"],
                    float(mp.exp(-case["rate"] * case["T_years"])), case["type"] == "call", wanted,
                    case["tolerance_abs"] * scale, id=case["id"],
                )
            )  # fmt: skip
    return cases


@pytest.mark.parametrize(
    ("forward", "strike", "years", "vol", "discount", "is_call", "expected", "tolerance"),
    published(),
)
def test_published_values(
    forward: float,
    strike: float,
    years: float,
    vol: float,
    discount: float,
    is_call: bool,
    expected: dict[str, float],
    tolerance: float,
) -> None:
    # Years are rounded to whole seconds: at most 1e-8 of a year off.
    quote = MATH.quote(
        int(forward * WAD), int(strike * WAD), round(years * YEAR), int(vol * WAD),
        int(discount * WAD), is_call,
    )  # fmt: skip
    for name, value in expected.items():
        assert abs(getattr(quote, name) / WAD - value) <= tolerance + 2e-6 * abs(value), name


@pytest.fixture(scope="module")
def venom() -> Contract:
    return EVM.deploy("OptionMath.vy", venom=True)


@given(
    forward=st.integers(0, 2**112 - 1),
    strike=st.integers(0, 2**112 - 1),
    seconds=st.integers(0, 2**31 - 1),
    vol=st.integers(0, 10**20),
    discount=st.integers(0, WAD),
    is_call=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_both_code_generators_agree(venom: Contract, **case: Any) -> None:
    assert _answer(MATH, case) == _answer(venom, case)


def _answer(contract: Contract, case: dict[str, Any]) -> Any:
    try:
        return contract.quote(*case.values())
    except Reverted as reverted:
        return str(reverted)
