"""Funding and profit of perps."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.reference import accrued_index, funding_rate, perp_pnl
from sim.reference.perp import perp


def test_funding_rate_is_clamped():
    got = funding_rate([101, 99, 150, 50], 100, 8, 1e-5, 0.004)
    np.testing.assert_allclose(got, [0.00126, -0.00124, 0.004, -0.004])


def test_funding_sums_to_zero():
    rng = np.random.default_rng(1)
    sizes = rng.normal(size=50)
    sizes[-1] = -sizes[:-1].sum()
    index = accrued_index(funding_rate(3010, 3000), 3000, 5400)
    assert index == pytest.approx(10 / 3000 / 8 * 3000 * 1.5)
    assert perp_pnl(sizes, 3000, 3000, 0, index).sum() == pytest.approx(0, abs=1e-12)


def test_profit():
    assert perp_pnl(-2, 100, 90, 1.0, 1.5) == pytest.approx(20 + 1)
    got = perp(2, 100, 110, 100, 0.0001)
    assert (got.value, got.delta) == (20, 2)
    assert got.theta == pytest.approx(-2 * 100 * 0.0001 * 8760)
    with pytest.raises(InputError, match=r"mark\[0\] = 0"):
        funding_rate([0], 100)
