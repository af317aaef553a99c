"""What other venues compute beyond PROTOCOL 5, by hand."""

import math

import numpy as np
import pytest

from sim import rulebooks
from sim.reference import (
    CALL,
    PERP,
    PUT,
    Book,
    Expiries,
    Market,
    ScenarioRulebook,
    Underlyings,
    assess,
    black76,
)
from tests.reference.books import DAY, NOW, random_book, random_market

MARKET = Market.of(
    NOW,
    Underlyings([0, 1], [100.0, 10.0]),
    Expiries([0, 0, 1], [NOW + 30 * DAY, NOW + 90 * DAY, NOW + 30 * DAY], [100.0, 100.0, 10.0]),
)
ONES = [[1.0, 1.0], [1.0, 1.0]]


def rules(extension, scenarios=({"spot": 1.0},), **change):
    """Rules that ask for nothing but what the extension does."""
    return ScenarioRulebook.model_validate(
        {
            "kind": "scenario",
            "title": "test",
            "source": "test",
            "scenarios": list(scenarios),
            "vol": {"range_up": 0.0, "range_down": 0.0},
            "correlation": {"ids": [0, 1], "low": ONES, "high": ONES, "floor": 1.0},
            "extension": extension,
        }
        | change
    )


@pytest.mark.parametrize("kind", ["linear", "abs"])
def test_skew_counts_every_expiry_as_a_loss(kind):
    skew = {
        "kind": kind,
        "weight": 0.5,
        "cap_base": 0.2,
        "cap_scale": 0.1,
        "width_floor": 0.05,
        "width_scale": 2.0,
        "vol_base": 0.6,
        "vol_scale": 0.1,
    }
    strikes, sizes = [90.0, 120.0, 90.0], [1.0, -2.0, 3.0]
    days = [30, 30, 90]
    book = Book.of(
        kind=[PUT, CALL, PUT],
        expiry=[NOW + d * DAY for d in days],
        strike=strikes,
        size=sizes,
        vol=0.5,
    )
    got = assess(book, MARKET, rules({"skew": [skew]}))
    change = {30: 0.0, 90: 0.0}
    for strike, size, d, call in zip(strikes, sizes, days, [0, 1, 0], strict=True):
        t = d / 365
        root = math.sqrt(t)
        k = math.log(strike / 100)
        k = abs(k) if kind == "abs" else k
        cap = 0.1 * root + 0.2
        width = max(0.05, root * 2.0 * (0.6 + 0.1 * root))
        vol = 0.5 * max(0, 1 + min(max(k * cap / width, -cap), cap))
        prices = black76(100, strike, t, [vol, 0.5], call).price
        change[d] += size * (prices[0] - prices[1])
    loss = 0.5 * sum(map(abs, change.values()))
    assert got.loss_up[0, 0] == pytest.approx(loss)
    assert got.loss_down[0, 0] == pytest.approx(loss)
    assert got.binding_up[0, 0] == 2  # one scenario and the basis come before it
    assert got.initial[0] == got.maintenance[0] == pytest.approx(loss)


def test_minimum_delta():
    book = Book.of(underlying=[0, 1], size=[3.0, -5.0])
    extra = {"minimum_delta": {"hedged": 0.01, "unhedged": 0.02}}
    assert assess(book, MARKET, rules(extra)).risk[0] == pytest.approx(0.02 * 300 + 0.02 * 50)
    hedged = Book.of(
        kind=[PERP, PUT], expiry=[0, NOW + 30 * DAY], strike=[0, 1000.0], size=[3.0, 2.0], vol=0.1
    )
    # The put is deep in the money: 200 short against 300 long
    got = assess(hedged, MARKET, rules(extra)).risk[0]
    assert got == pytest.approx(0.01 * 200 + 0.02 * 100)


def test_short_option_minimum():
    book = Book.of(kind=CALL, expiry=NOW + 30 * DAY, strike=500.0, size=[-4.0], vol=0.3)
    got = assess(book, MARKET, rules({"short_option_minimum": 0.01}))
    assert got.risk[0] == pytest.approx(4.0)


def test_offset_pays_a_share_of_gains():
    scenarios = [{"spot": 1.1}, {"spot": 0.9}]
    book = Book.of(underlying=[0, 1], size=[1.0, -6.0])
    # 10 % up: +10 and -6; down: -10 and +6
    got = assess(book, MARKET, rules({"offset": {"share": 0.5, "cap": 1e9}}, scenarios))
    assert got.risk[0] == pytest.approx(10 - 0.5 * 6)
    capped = assess(book, MARKET, rules({"offset": {"share": 0.5, "cap": 1.0}}, scenarios))
    assert capped.risk[0] == pytest.approx(9)
    none = assess(book, MARKET, rules(None, scenarios))
    assert none.risk[0] == pytest.approx(16)


def test_roll_charges_calendar_spreads_only():
    roll = {"roll": {"annual": 0.1, "floor": 0.01}}

    def forwards(near, far):
        """Synthetic forwards: long calls and short puts deep in the money have delta 1."""
        return Book.of(
            kind=CALL,
            expiry=[NOW + 30 * DAY, NOW + 90 * DAY],
            strike=1.0,
            size=[near, far],
            vol=0.1,
        )

    alone = assess(forwards(2.0, 0.0), MARKET, rules(roll)).risk[0]
    assert alone == pytest.approx(0)
    spread = assess(forwards(2.0, -2.0), MARKET, rules(roll)).risk[0]
    assert spread == pytest.approx(200 * 0.01 + 200 * 0.1 * 90 / 365)


def test_every_extension_holds_initial_above_maintenance_in_random_books():
    rng = np.random.default_rng(1)
    market = random_market(rng)
    book = random_book(rng, market)
    for name in ("derive-pmrm2", "deribit-pm", "paradex-scan", "span-16"):
        shipped = rulebooks.load(name)
        got = assess(book, market, shipped)
        plain = assess(book, market, shipped.model_copy(update={"extension": None}))
        assert (got.initial >= got.maintenance).all()
        if name != "deribit-pm":  # whose offset lowers it
            assert (got.initial >= plain.initial - 1e-9).all()
        assert (got.equity == plain.equity).all()
