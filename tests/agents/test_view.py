"""Prices on the board agree with the reference; what agents read is what there is."""

from __future__ import annotations

import numpy as np
import pytest

from sim.agents import stage
from sim.agents.intents import Instrument
from sim.errors import InputError
from sim.reference import black76
from sim.reference.book import CALL, NO_UNDERLYING
from sim.units import YEAR

BOARD = stage.board()


def test_option_prices_and_deltas_are_those_of_black76():
    table = BOARD.market.expiries
    for e, (u, expiry) in enumerate(zip(table.underlying, table.time, strict=True)):
        for instrument in BOARD.options(int(u)):
            if instrument.expiry != expiry:
                continue
            d = np.log(instrument.strike / table.forward[e]) - table.m[e]
            w = table.a[e] + table.b[e] * (table.rho[e] * d + np.hypot(d, table.sigma[e]))
            years = (expiry - BOARD.market.time) / YEAR
            expected = black76(
                table.forward[e],
                instrument.strike,
                years,
                np.sqrt(w / years),
                instrument.kind == CALL,
            )
            assert BOARD.price(instrument) == pytest.approx(float(expected.price), rel=1e-9)
            assert BOARD.delta(instrument) == pytest.approx(float(expected.delta), rel=1e-9)


def test_a_perp_is_worth_its_mark():
    assert (BOARD.price(Instrument(1)), BOARD.delta(Instrument(1))) == (200.0, 1.0)


def test_the_board_finds_series_tokens_and_vols():
    expiry = BOARD.expiries(0)[0]
    assert BOARD.nearest(0, CALL, expiry, 8_300.0) == Instrument(0, CALL, expiry, 8_000.0)
    assert BOARD.nearest(0, CALL, expiry + 1, 8_300.0) is None
    assert (BOARD.asset_price("ETH"), BOARD.asset_price("USDC")) == (200.0, 1.0)
    assert (BOARD.asset_underlying("BTC"), BOARD.asset_underlying("USDC")) == (0, NO_UNDERLYING)
    assert (BOARD.underlying(None), BOARD.underlying("ETH")) == (0, 1)
    with pytest.raises(InputError, match="unknown underlying 'ETC'; did you mean 'ETH'"):
        BOARD.underlying("ETC")


def test_margin_use_is_initial_margin_over_equity():
    assert stage.account(equity=100.0, initial=80.0).use == 0.8
    assert stage.account(equity=-1.0).use == float("inf")
    assert stage.account(equity=0.0).use == 0.0
