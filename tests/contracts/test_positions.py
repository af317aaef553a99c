"""Positions against a model: a dictionary per account, whatever the order of trades."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.feeds import BTC, MARK, SPOT, WAD, perpetual
from tests.contracts.harbour import INSTRUMENT, Harbour

STRIKES = (2000, 3000, 4000)
MARKS = (2900, 3000, 3100)


@cache
def _harbour() -> Harbour:
    """Two underlyings and an expiry; accounts rich enough for anything."""
    harbour = Harbour()
    harbour.desk.list_underlying(BTC)
    harbour.registry.list_perp(BTC)
    harbour.desk.push(SPOT, 3000 * WAD, BTC)
    harbour.desk.push(MARK, 3000 * WAD, BTC)
    for name in ("alice", "bob", "carol"):
        harbour.open(name, 10**8)
    return harbour


legs = st.tuples(
    st.integers(0, 7),
    st.permutations([1, 2, 3]),
    st.integers(-3, 3).filter(bool),
    st.integers(-50, 50),
)
trades = st.lists(
    st.tuples(st.lists(legs, min_size=1, max_size=5, unique_by=lambda leg: leg[0]), st.booleans()),
    min_size=1,
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(trades, st.lists(st.sampled_from(MARKS), min_size=8, max_size=8))
def test_any_trades_add_up(
    history: list[tuple[list[tuple[int, list[int], int, int]], bool]], marks: list[int]
) -> None:
    harbour = _harbour()
    prices, snapshot = dict(harbour.prices), harbour.evm.snapshot()
    names = [harbour.perp, perpetual(BTC) & INSTRUMENT]
    names += [make(strike) for strike in STRIKES for make in (harbour.call, harbour.put)]
    sizes: dict[int, dict[int, int]] = {account: defaultdict(int) for account in (1, 2, 3)}
    cash = dict.fromkeys((1, 2, 3), 10**8 * WAD)
    try:
        for (batch, settles), mark in zip(history, marks, strict=False):
            booked = []
            for which, order, lots, money in batch:
                buyer, seller = order[0], order[1]
                amount = money * WAD + lots
                booked += [
                    (buyer, names[which], lots * WAD, -amount),
                    (seller, names[which], -lots * WAD, amount),
                ]
                sizes[buyer][names[which]] += lots * WAD
                sizes[seller][names[which]] -= lots * WAD
                cash[buyer] -= amount
                cash[seller] += amount
                if which < 2:
                    price = harbour.prices["spot"] if which == 0 else 3000 * WAD
                    cash[buyer] += lots * price
                    cash[seller] -= lots * price
            harbour.direct.trade(booked, sender=harbour.matcher)
            before = harbour.prices["spot"]
            harbour.push(mark)
            for account in (1, 2, 3):
                held = sizes[account][harbour.perp]
                cash[account] += held * (mark * WAD - before) // WAD
                if settles:
                    harbour.house.settle(account)
        for account in (1, 2, 3):
            harbour.house.settle(account)
            words = harbour.house.positions(account)
            assert [word & INSTRUMENT for word in words] == sorted(
                word & INSTRUMENT for word in words
            )
            seen = {}
            for word in words:
                name = word & INSTRUMENT
                if name & 255 == 1:
                    name &= ~((2**88 - 1) << 8)
                seen[name] = ((word >> 160) - (2**96 if word >> 255 else 0)) * 10**9
            assert seen == {name: size for name, size in sizes[account].items() if size}
            assert harbour.house.cash(account) == cash[account]
        harbour.check_conservation()
    finally:
        harbour.evm.revert(snapshot)
        harbour.prices = prices
