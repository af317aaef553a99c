"""SVI slices: values, fit, arbitrage."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.reference import svi
from sim.reference.svi import Svi

GOOD = Svi(a=0.02, b=0.1, rho=-0.4, m=0.05, sigma=0.2)


def test_values():
    k = np.array([-0.3, 0.0, 0.4])
    want = 0.02 + 0.1 * (-0.4 * (k - 0.05) + np.sqrt((k - 0.05) ** 2 + 0.04))
    np.testing.assert_allclose(GOOD.w(k), want, rtol=1e-15)
    np.testing.assert_allclose(GOOD.vol(k, 0.25), np.sqrt(want / 0.25), rtol=1e-15)


def test_fit_recovers_a_slice():
    k = np.linspace(-0.8, 0.8, 21)
    found = svi.fit(k, GOOD.w(k))
    for name in ("a", "b", "rho", "m", "sigma"):
        assert getattr(found.svi, name) == pytest.approx(getattr(GOOD, name), rel=1e-6)
    assert found.worst < 1e-10


def test_fit_of_noise_stays_in_bounds():
    rng = np.random.default_rng(1)
    k = np.linspace(-0.5, 0.5, 11)
    for _ in range(5):
        found = svi.fit(k, GOOD.w(k) * np.exp(rng.normal(0, 0.1, k.size)))
        assert found.rmse < 0.02
        assert found.svi.b * (1 + abs(found.svi.rho)) <= 2 + 1e-9


def test_butterfly_of_the_example_of_vogt():
    """Gatheral and Jacquier (2014), section 3: parameters whose density is negative."""
    vogt = Svi(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
    bad = vogt.butterfly()
    assert not bad.ok
    assert 0.5 < bad.k.min() < 1.5
    assert GOOD.butterfly().ok
    steep = Svi(0.1, 1.5, 0.5, 0.0, 0.3).butterfly()
    assert np.isposinf(steep.k).any()


def test_density_factor_is_that_of_the_prices():
    """g(k) is positive times the second derivative of the call price in the strike."""
    from sim.reference import black76

    k = np.linspace(-0.5, 0.5, 9)
    step = 1e-3

    def call(x):
        return black76(1.0, np.exp(x), 1.0, GOOD.vol(x, 1.0), True).price

    strike = np.exp(k)
    up, down = np.log(strike + step), np.log(strike - step)
    density = (call(up) - 2 * call(k) + call(down)) / step**2
    w = GOOD.w(k)
    d2 = -k / np.sqrt(w) - np.sqrt(w) / 2
    want = GOOD.density_factor(k) / (strike * np.sqrt(2 * np.pi * w)) * np.exp(-d2 * d2 / 2)
    np.testing.assert_allclose(density, want, rtol=1e-4)


def test_calendar():
    later = Svi(0.05, 0.1, -0.4, 0.05, 0.2)
    fine, broken = svi.calendar([GOOD, later, GOOD])
    assert fine.ok
    np.testing.assert_allclose(broken.amount, 0.03, rtol=1e-12)


def test_errors():
    with pytest.raises(InputError, match=r"Svi\.rho"):
        Svi(0.1, 0.1, 1.5, 0, 0.1)
    with pytest.raises(InputError, match=r"Svi\.a"):
        Svi(-1, 0.1, 0, 0, 0.1)
    with pytest.raises(InputError, match="5 distinct points"):
        svi.fit([0, 0.1, 0.2, 0.3], [0.1] * 4)
    with pytest.raises(InputError, match=r"w\[2\] = -0.1"):
        svi.fit([0, 0.1, 0.2, 0.3, 0.4], [0.1, 0.1, -0.1, 0.1, 0.1])
