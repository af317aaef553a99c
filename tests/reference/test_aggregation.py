"""Greeks in one numeraire, concentration, what-if and hedges."""

import numpy as np
import pytest

from sim import rulebooks
from sim.errors import InputError
from sim.reference import (
    CALL,
    Book,
    Expiries,
    Market,
    Underlyings,
    candidates,
    concentration,
    exposures,
    least_cost,
    suggest_hedge,
    what_if,
)
from tests.reference.books import DAY, NOW, random_book, random_market


def test_totals_agree_however_they_are_grouped():
    rng = np.random.default_rng(1)
    market = random_market(rng)
    got = exposures(random_book(rng, market), market)
    for name in got.total._fields:
        total = getattr(got.total, name)
        for group in ("by_account", "by_underlying", "by_account_underlying"):
            assert getattr(getattr(got, group), name).sum() == pytest.approx(total)
    for name in ("dollar_gamma", "vega", "theta"):
        assert getattr(got.by_expiry, name).sum() == pytest.approx(getattr(got.total, name))


def test_dollar_greeks_are_derivatives_of_value():
    rng = np.random.default_rng(2)
    market = random_market(rng)
    # Own vols, because a surface's vol is looked up at the forward, which this test moves
    book = random_book(rng, market, accounts=3)
    perp = book.kind == 1
    book = Book.of(
        **{
            name: getattr(book, name)
            for name in book.__dataclass_fields__
            if name not in ("vol", "holdings", "assets")
        },
        vol=np.where(perp, np.nan, 0.7),
    )

    def moved(x):
        u, e = market.underlyings, market.expiries
        fresh = Market.of(
            NOW,
            Underlyings(u.id, u.spot * x, u.name, mark=u.mark * x),
            Expiries(e.underlying, e.time, e.forward_variable * x, e.forward_fixed),
        )
        got = exposures(book, fresh).by_account
        perps = np.bincount(
            book.row[perp],
            weights=(book.size * u.mark[book.underlying])[perp] * (x - 1),
            minlength=3,
        )
        return got.value + perps, got.dollar_delta

    h = 1e-5
    (up, up_delta), (down, down_delta), (_, delta) = moved(1 + h), moved(1 - h), moved(1.0)
    scale = np.abs(delta).max()
    np.testing.assert_allclose((up - down) / (2 * h), delta, rtol=1e-4, atol=1e-4 * scale)
    gamma = exposures(book, market).by_account.dollar_gamma
    slope = (up_delta / (1 + h) - down_delta / (1 - h)) / (2 * h)
    options = np.abs(gamma).max()
    # d(dollar delta / x)/dx at 1 leaves the perps, whose dollar delta is linear, out
    np.testing.assert_allclose(slope, gamma, rtol=1e-2, atol=1e-2 * options)


def test_concentration():
    got = concentration([3.0, -1.0, 0.0])
    assert got.shares.tolist() == [0.75, 0.25, 0.0]
    assert got.herfindahl == pytest.approx(0.625)
    assert got.effective == pytest.approx(1.6)
    assert got.largest == 0
    assert concentration(np.ones(8)).effective == pytest.approx(8)
    assert concentration([0.0, 0.0]).herfindahl == 0
    with pytest.raises(InputError, match=r"amounts\[1\] = nan"):
        concentration([1, np.nan])


def test_what_if_pays_the_price():
    rng = np.random.default_rng(3)
    market = random_market(rng, doubtful=False)
    book = random_book(rng, market, accounts=2)
    trade = {"account": [7], "underlying": 0, "kind": CALL, "expiry": NOW + 7 * DAY}
    got = what_if(
        book, market, rulebooks.load("house"), **trade, strike=3200.0, size=[2.0], price=100.0
    )
    worth = got.after.option_value[0] - got.before.option_value[0]
    assert got.after.equity[0] == pytest.approx(got.before.equity[0] + worth - 200)
    assert got.after.equity[1] == got.before.equity[1]
    assert got.exposures_after.total.vega > got.exposures_before.total.vega


def test_least_cost_picks_the_cheaper_instrument():
    # Two ways to sell delta; the second costs less per delta but is limited.
    got = least_cost([10.0], [[1.0, 2.0]], [1.0], [1.0, 1.0], lot=[1, 1], most=[100, 3])
    assert got.trades.tolist() == [-3.0, -3.0]
    assert got.cost == 6
    assert got.within_limits
    free = least_cost([10.0], [[1.0]], [1.0], [1.0])
    assert free.trades == pytest.approx([-9])


def test_least_cost_against_every_combination():
    rng = np.random.default_rng(4)
    grid = np.array(np.meshgrid(*[np.arange(-4, 5)] * 3)).reshape(3, -1)
    for _ in range(10):
        exposure, slopes = rng.normal(0, 4, 2), rng.normal(0, 1, (2, 3))
        cost, limit = rng.uniform(0.5, 2, 3), rng.uniform(0.3, 1, 2)
        got = least_cost(exposure, slopes, limit, cost, lot=1, most=4)
        fits = (np.abs(exposure[:, None] + slopes @ grid) <= limit[:, None]).all(axis=0)
        if fits.any():
            best = (cost @ np.abs(grid[:, fits])).min()
            assert got.within_limits
            assert got.cost == pytest.approx(best, rel=1e-3)
        else:
            assert not got.within_limits


def test_least_cost_comes_as_close_as_it_can():
    got = least_cost([10.0, 0.0], [[1.0], [0.0]], [1.0, 5.0], [1.0], lot=1, most=4)
    assert got.trades.tolist() == [-4.0]
    assert not got.within_limits
    assert got.excess.tolist() == [5.0, 0.0]
    nothing = least_cost([10.0], np.zeros((1, 0)), [20.0], np.zeros(0))
    assert nothing.within_limits
    with pytest.raises(InputError, match="sensitivity: shape"):
        least_cost([1.0], [[1.0], [2.0]], [1.0], [1.0])
    with pytest.raises(InputError, match=r"limit\[0\] = -1"):
        least_cost([1.0], [[1.0]], [-1.0], [1.0])


def test_hedge_brings_a_book_inside_limits():
    rng = np.random.default_rng(5)
    market = random_market(rng)
    book = random_book(rng, market, accounts=3)
    offered = candidates(market, moneyness=[0.9, 1.0, 1.1], lot=0.0)
    got = suggest_hedge(book, market, 2_000, vega_limit=1_000, instruments=offered)
    assert got.solution.within_limits
    rows = np.flatnonzero(got.solution.trades)
    after = book.traded(
        account=np.full(rows.size, 7),
        underlying=got.instruments.underlying[rows],
        kind=got.instruments.kind[rows],
        expiry=got.instruments.expiry[rows],
        strike=got.instruments.strike[rows],
        size=got.solution.trades[rows],
    )
    left = exposures(after, market).by_underlying
    assert (np.abs(left.dollar_delta) <= 2_000 * (1 + 1e-6)).all()
    assert (np.abs(left.vega) <= 1_000 * (1 + 1e-6)).all()
