"""Merton's jump diffusion against Haug's table, its own limits and differences."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sim.errors import InputError
from sim.reference import black_scholes, merton
from sim.reference.black import Greeks

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "merton76_haug.json").read_text())


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["id"])
def test_published(case):
    total, share = case["total_vol"], case["gamma_fraction_of_variance_from_jumps"]
    intensity = case["jump_intensity_per_year"]
    jump_vol = total * math.sqrt(share / intensity)
    got = merton(
        case["spot"],
        case["strike"],
        case["T_years"],
        total * math.sqrt(1 - share),
        case["type"] == "call",
        case["rate"],
        case["rate"] - case["dividend_yield"],
        intensity=intensity,
        jump_mean=-(jump_vol**2) / 2,
        jump_vol=jump_vol,
    )
    assert got.price == pytest.approx(case["expected"]["price"], abs=case["tolerance_abs"])


JUMPS = {"intensity": 3.0, "jump_mean": -0.1, "jump_vol": 0.2}


@pytest.mark.parametrize("call", [True, False])
def test_greeks_are_the_derivatives(call):
    at = {"spot": 100.0, "years": 0.7, "vol": 0.3, "rate": 0.04, "carry": 0.02}

    def figures(**change):
        x = at | change
        return merton(x["spot"], 105.0, x["years"], x["vol"], call, x["rate"], x["carry"], **JUMPS)

    def slope(name, of="price", step=1e-5, **also):
        up = figures(**{name: at[name] + step}, **{k: at[k] + step for k in also})
        down = figures(**{name: at[name] - step}, **{k: at[k] - step for k in also})
        return (getattr(up, of) - getattr(down, of)) / (2 * step)

    got = figures()
    want = Greeks(
        got.price,
        slope("spot", step=1e-3),
        slope("spot", "delta", step=1e-3),
        slope("vol"),
        -slope("years"),
        slope("rate", carry=True),  # the yield is held, so the carry moves too
        slope("vol", "delta"),
        slope("vol", "vega"),
    )
    for name, a, b in zip(Greeks._fields, got, want, strict=True):
        assert a == pytest.approx(b, rel=1e-6), name


def test_without_jumps_it_is_black_scholes():
    arguments = (100.0, [80.0, 100.0, 130.0], 0.5, 0.4, [True, False, True], 0.03, 0.01)
    plain = black_scholes(*arguments)
    for jumps in ((0.0, -0.2, 0.3), (2.0, 0.0, 0.0)):
        named = dict(zip(("intensity", "jump_mean", "jump_vol"), jumps, strict=True))
        for a, b in zip(merton(*arguments, **named), plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11)


def test_parity_and_many_jumps():
    named = {"intensity": 900.0, "jump_mean": 0.01, "jump_vol": 0.02}
    call, put = (merton(100, 120, 1.0, 0.3, side, 0.05, **named).price for side in (True, False))
    assert call - put == pytest.approx(100 - 120 * math.exp(-0.05), rel=1e-10)


def test_limits_and_errors():
    got = merton(100, [90, 110], 0, 0.3, True, **JUMPS)
    np.testing.assert_allclose(got.price, [10, 0])
    for column in merton([0, 100], [90, 0], [0.5, 0.0], [0, 0.3], False, **JUMPS):
        assert np.isfinite(column).all()
    with pytest.raises(InputError, match=r"intensity\[1\] = -1"):
        merton(100, 100, 1, 0.3, True, intensity=[1, -1], jump_mean=0, jump_vol=0.1)
    with pytest.raises(InputError, match="intensity = 9000"):
        merton(100, 100, 1, 0.3, True, intensity=9000, jump_mean=0, jump_vol=0.1)
