"""Adequacy of a margin: known answers, full revaluation by hand, ranked counterexamples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim.errors import InputError
from sim.reference.adequacy import SHAPES, adequacy, random_books
from sim.reference.black import black76
from sim.reference.book import CALL, PERP, PUT, Assets, Book, Expiries, Market, Underlyings
from sim.reference.horizon import Shocks, horizon_losses, simulate_shocks
from sim.reference.margin import assess
from sim.reference.risk_measures import expected_shortfall

NOW = 1_768_435_200
DAY = 86_400
EXPIRIES = [NOW + DAY * days for days in (2, 9, 37)]


def market() -> Market:
    variance = 0.6**2 * np.array([2, 9, 37]) / 365
    return Market.of(
        NOW,
        Underlyings(np.array([0, 1]), np.array([91_000.0, 3_200.0]), ("BTC", "ETH")),
        Expiries(
            np.array([0, 0, 0, 1, 1, 1]),
            np.array(EXPIRIES * 2),
            np.array([91_000.0] * 3 + [3_200.0] * 3),
            a=np.tile(variance, 2),
            b=np.zeros(6),
            rho=0.0,
            m=0.0,
            sigma=0.1,
            tau=np.tile(np.array(EXPIRIES) - NOW, 2).astype(float),
        ),
        Assets(np.array([5]), np.array([91_000.0]), np.array([0])),
    )


def test_losses_are_full_revaluation() -> None:
    book = Book.of(
        [1, 2],
        assets=[5],
        holdings=[[0.0], [2.0]],
        account=[1, 1, 2],
        underlying=[1, 0, 0],
        kind=[PUT, CALL, PERP],
        expiry=[EXPIRIES[0], EXPIRIES[1], 0],
        strike=[3_000.0, 100_000.0, 0.0],
        size=[-2.0, 1.0, -0.5],
    )
    spot = np.array([[0.9, 0.8], [1.1, 1.2], [1.0, 1.0]])
    vol = np.array([[1.5, 2.0], [0.9, 0.8], [1.0, 1.0]])
    hours = 6
    losses = horizon_losses(book, market(), Shocks(spot, vol, hours * 3600.0))
    assert losses.shape == (2, 3)

    def value(forward: float, strike: float, days: float, sigma: float, call: bool) -> float:
        return float(black76(forward, strike, days / 365, sigma, call).price)

    for row in range(3):
        put = value(3_200 * spot[row, 1], 3_000, 2 - 0.25, 0.6 * vol[row, 1], False)
        call = value(91_000 * spot[row, 0], 100_000, 9 - 0.25, 0.6 * vol[row, 0], True)
        before = -2 * value(3_200, 3_000, 2, 0.6, False) + value(91_000, 100_000, 9, 0.6, True)
        assert losses[0, row] == pytest.approx(before - (-2 * put + call), rel=1e-9, abs=1e-8)
        moved = (2 - 0.5) * 91_000 * (spot[row, 0] - 1)
        assert losses[1, row] == pytest.approx(-moved, abs=1e-8)


def test_options_past_expiry_are_intrinsic() -> None:
    book = Book.of(
        [1], account=1, underlying=1, kind=CALL, expiry=EXPIRIES[0], strike=3_000.0, size=[1.0]
    )
    ones = np.ones((1, 2))
    loss = horizon_losses(book, market(), Shocks(ones, ones, 3.0 * DAY))
    before = black76(3_200, 3_000, 2 / 365, 0.6, True).price
    assert loss[0, 0] == pytest.approx(before - 200)


def test_shocks_have_the_moments_asked_for() -> None:
    shocks = simulate_shocks(
        [0.6, 0.9], 0.8, DAY, 60_000, np.random.default_rng(0), dof=6, leverage=-0.5
    )
    spot, vol = np.log(shocks.spot), np.log(shocks.vol)
    np.testing.assert_allclose(spot.std(axis=0), np.array([0.6, 0.9]) * np.sqrt(1 / 365), rtol=0.03)
    assert vol.std(axis=0)[0] == pytest.approx(1.5 * np.sqrt(1 / 365), rel=0.03)
    assert np.corrcoef(spot.T)[0, 1] == pytest.approx(0.8, abs=0.02)
    assert np.corrcoef(spot[:, 0], vol[:, 0])[0, 1] == pytest.approx(-0.5, abs=0.03)
    assert stats.kurtosis(spot[:, 0]) > 1
    one = simulate_shocks([0.6], 1.0, DAY, 10, np.random.default_rng(0))
    assert one.spot.shape == (10, 1)


def test_books_are_drawn_from_the_generator_alone() -> None:
    first, shapes = random_books(market(), 60, np.random.default_rng(3))
    again, _ = random_books(market(), 60, np.random.default_rng(3))
    np.testing.assert_array_equal(first.size, again.size)
    assert set(shapes) == set(SHAPES)
    assert np.array_equal(first.accounts, np.arange(1, 61))
    assert np.isfinite(horizon_losses(first, market(), Shocks(*[np.ones((1, 2))] * 2, 0.0))).all()


def test_standing_still_costs_nothing() -> None:
    book, _ = random_books(market(), 30, np.random.default_rng(4))
    ones = np.ones((2, 2))
    np.testing.assert_allclose(
        horizon_losses(book, market(), Shocks(ones, ones, 0.0)), 0.0, atol=1e-6
    )


def test_counterexamples_are_ranked() -> None:
    losses = np.tile(np.linspace(0, 100, 1000), (5, 1))
    shortfall = expected_shortfall(losses[0], 0.99)
    margin = shortfall * np.array([1.0, 0.5, 2.0, 0.999, 0.8])
    found = adequacy(margin, losses, names=["a", "b", "c", "d", "e"])
    np.testing.assert_array_equal(found.covered, [True, False, True, False, False])
    assert found.coverage == pytest.approx(0.4)
    listed = found.counterexamples()
    assert [c.name for c in listed] == ["b", "e", "d"]
    assert [c.significant for c in listed] == [True, True, False]
    assert listed[0].ratio == pytest.approx(0.5)
    assert listed[0].index == 1
    low, high = found.coverage_interval()
    exact = stats.binomtest(2, 5).proportion_ci(0.95, "exact")
    assert (low, high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_callables_are_the_same_as_arrays() -> None:
    rng = np.random.default_rng(5)
    losses = rng.standard_normal((8, 500))
    by_call = adequacy(lambda i: 2.5 + 0.1 * i, lambda i: losses[i], books=range(8))
    by_array = adequacy(2.5 + 0.1 * np.arange(8), losses)
    np.testing.assert_array_equal(by_call.expected_shortfall, by_array.expected_shortfall)
    np.testing.assert_array_equal(by_call.margin, by_array.margin)


def test_all_or_none_covered_has_bounds() -> None:
    losses = np.ones((20, 50))
    assert adequacy(np.full(20, 2.0), losses).coverage_interval()[1] == 1
    assert adequacy(np.full(20, 2.0), losses).coverage_interval()[0] == pytest.approx(
        0.832, abs=1e-3
    )
    assert adequacy(np.zeros(20), losses).coverage_interval()[0] == 0


def test_house_rules_cover_what_static_ratios_cover_and_an_empty_margin_does_not() -> None:
    rulebooks = pytest.importorskip("sim.rulebooks")
    rng = np.random.default_rng(6)
    book, shapes = random_books(market(), 60, rng)
    shocks = simulate_shocks([0.6, 0.8], 0.8, 6 * 3600.0, 2000, rng)
    losses = horizon_losses(book, market(), shocks)
    house = assess(book, market(), rulebooks.load("house"))
    enough = adequacy(house.initial, losses, names=shapes)
    assert enough.coverage > 0.95
    none = adequacy(np.zeros(60), losses, names=shapes)
    assert none.coverage < 0.2
    assert none.counterexamples()[0].ratio == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adequacy([1.0, np.nan], np.ones((2, 9))), r"margin\[1\] = nan"),
        (lambda: adequacy([1.0], np.ones((2, 9))), "losses: shape"),
        (lambda: adequacy([1.0], lambda book: [np.nan], books=[0]), "losses of book 0"),
        (lambda: adequacy([1.0], np.ones((1, 9)), names=["a", "b"]), "names"),
        (lambda: adequacy([1.0], np.ones((1, 9)), level=0.01), "level"),
        (lambda: Shocks(np.ones((2, 2)), np.zeros((2, 2)), 1.0), r"vol\[0, 0\] = 0"),
        (lambda: simulate_shocks([0.5], 1.0, 0.0, 5, np.random.default_rng(0)), "seconds"),
        (
            lambda: horizon_losses(
                Book.of([1]), market(), Shocks(np.ones((1, 1)), np.ones((1, 1)), 1.0)
            ),
            "2 underlyings",
        ),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()
