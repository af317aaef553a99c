"""Implied vol: free of static arbitrage whatever happens, and moved as stated."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from sim.market.surface import Implied, Slices
from sim.streams import Streams
from sim.units import YEAR

STEPS, STEP = 300, 3_600
YEARS = (np.array([2, 9, 30, 90, 365]) * 86_400 + STEPS * STEP)[None, :] / YEAR - (
    np.arange(STEPS) * STEP / YEAR
)[:, None]
K = np.linspace(-1.5, 1.5, 121)


def crash() -> np.ndarray:
    """Return a path that falls by 60 % and comes back half of it."""
    x = np.concatenate((np.linspace(0, -0.9, 200), np.linspace(-0.9, -0.4, 100)))
    return 100.0 * np.exp(x + 0.02 * np.sin(np.arange(STEPS)))


def surfaces(implied: Implied) -> tuple[np.ndarray, Slices]:
    spot = crash()
    flat = np.ones(STEPS)
    level = implied.levels("ETH", 0.8, spot, flat, np.zeros(STEPS), STEP, Streams(3))
    theta = implied.total_variance(0.8, level, np.log(spot / spot[0]), YEARS)
    return theta, implied.slices(theta)


@pytest.mark.parametrize("dynamics", ["leverage", "sticky_delta", "sticky_strike"])
@pytest.mark.parametrize(("skew", "curvature"), [(-0.3, 0.8), (-0.7, 1.17), (0.5, 1.3)])
def test_no_butterfly_and_no_calendar_arbitrage_at_any_step(dynamics, skew, curvature):
    theta, slices = surfaces(
        Implied(dynamics=dynamics, skew=skew, curvature=curvature, vol_of_vol=2.0)
    )
    assert np.all(np.diff(theta, axis=1) > 0)
    rows = np.arange(0, STEPS, 20)
    a, b, rho, m, sigma = (
        getattr(slices, key)[rows][..., None] for key in ("a", "b", "rho", "m", "sigma")
    )
    d = K - m
    root = np.sqrt(d * d + sigma * sigma)
    w = a + b * (rho * d + root)
    first = b * (rho + d / root)
    second = b * sigma**2 / root**3
    # Gatheral's g(k): the density it implies is not negative.
    g = (1 - K * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + 0.25) + second / 2
    assert g.min() >= 0
    assert np.diff(w, axis=1).min() >= -1e-12


def test_at_the_money_the_slice_is_theta():
    implied = Implied()
    theta = np.array([1e-5, 0.04, 2.0])
    np.testing.assert_allclose(implied.slices(theta).variance(np.zeros(3)), theta, rtol=1e-12)


def test_leverage_lifts_vol_when_the_spot_falls_and_nothing_else_does():
    spot = crash()
    flat, none = np.ones(STEPS), np.zeros(STEPS)
    levels = {
        name: Implied(dynamics=name).levels("ETH", 0.8, spot, flat, none, STEP, Streams(3))
        for name in ("leverage", "sticky_delta")
    }
    assert levels["leverage"].max() > 1.5
    assert np.ptp(levels["sticky_delta"]) < 1e-12


def test_sticky_strike_keeps_the_vol_of_the_strike_that_comes_to_the_money():
    implied = Implied(dynamics="sticky_strike")
    sticky = Implied(dynamics="sticky_delta")
    level, years = np.full(2, 0.8), np.full((2, 1), 0.25)
    moved = implied.total_variance(0.8, level, np.array([0.0, -0.3]), years)
    anchored = sticky.total_variance(0.8, level, np.zeros(2), years)
    expected = sticky.slices(anchored).variance(np.array([[0.0], [-0.3]]))
    np.testing.assert_allclose(moved, expected, rtol=1e-12)


def test_a_shock_to_vol_halves_in_its_halflife():
    implied = Implied(dynamics="sticky_delta", halflife="10h")
    shifts = np.zeros(11)
    shifts[0] = np.log(2.0)
    level = implied.levels("E", 0.5, np.ones(11), np.ones(11), shifts, STEP, Streams(0))
    np.testing.assert_allclose(level[[0, 10]], [1.0, 0.5 * np.sqrt(2)], rtol=1e-12)


def test_vol_stays_between_floor_and_cap():
    implied = Implied(vol_of_vol=20.0, floor="40%", cap="120%")
    level = implied.levels("E", 0.8, crash(), np.ones(STEPS), np.zeros(STEPS), STEP, Streams(1))
    assert (level.min(), level.max()) == (0.4, 1.2)


def test_an_expiry_that_has_passed_has_no_surface():
    theta = Implied().total_variance(
        0.8, np.full(1, 0.8), np.zeros(1), np.array([[-0.1, 0.0, 0.1]])
    )
    assert np.isnan(theta).tolist() == [[True, True, False]]


def test_a_smile_with_arbitrage_is_refused():
    with pytest.raises(ValidationError, match="above 2 the surface has arbitrage"):
        Implied(skew=-0.9, curvature=1.2)
