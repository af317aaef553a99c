"""The largest account can be liquidated within a block (PROTOCOL 8)."""

from __future__ import annotations

import pytest

from tests.contracts.feeds import DAY, ETH, FORWARD, RATE, WAD, option
from tests.contracts.harbour import INSTRUMENT, Harbour

LIMIT = 8_000_000


def full_account(harbour: Harbour, expiries: int) -> int:
    """Open an account of 64 options in equally many per expiry, just below maintenance margin."""
    dates = [harbour.expiry + i * DAY for i in range(expiries)]
    strikes = [2000 + 100 * i for i in range(32 // expiries)]
    for date in dates:
        harbour.registry.list_series(ETH, date, [k * WAD for k in strikes])
    account, maker = harbour.open("account", 10**6), harbour.open("maker", 10**8)
    push(harbour, dates, 3000)
    names = [
        option(ETH, date, k * WAD, kind) & INSTRUMENT
        for date in dates
        for k in strikes
        for kind in (2, 3)
    ]
    for first in range(0, 64, 8):
        legs = []
        for i, name in enumerate(names[first : first + 8]):
            size = WAD if i % 4 == 3 else -WAD
            legs += [(account, name, size, 0), (maker, name, -size, 0)]
        harbour.direct.trade(legs, sender=harbour.matcher)
    assert len(harbour.house.positions(account)) == 64
    owner = harbour.owner(account)
    equity, initial, _, _ = harbour.gate.margins(account)
    spare = (equity - initial) // 10**12 - 1
    harbour.house.withdraw(account, 0, spare, owner, sender=owner)
    spot = 3000
    while harbour.health(account) >= 0:
        spot += 50
        push(harbour, dates, spot)
    return account


def push(harbour: Harbour, dates: list[int], spot: int) -> None:
    harbour.evm.time += 60
    harbour.push(spot)
    for date in dates:
        harbour.desk.push(FORWARD, spot * WAD, ETH, date)
        harbour.desk.push(RATE, 0, ETH, date)
        harbour.desk.shape(ETH, date)


@pytest.mark.parametrize("expiries", [1, 16, 32])
def test_liquidating_64_positions_fits_a_block(expiries: int) -> None:
    harbour = Harbour()
    account = full_account(harbour, expiries)
    bidder = harbour.open("bidder", 10**7)
    quote = harbour.liquidator.quote(account)
    assert quote.can_flag
    harbour.flag(account)
    assert harbour.evm.gas < LIMIT
    before = harbour.health(account)
    harbour.bid(account, bidder)
    assert harbour.evm.gas < LIMIT
    assert harbour.health(account) >= before
    assert len(harbour.house.positions(bidder)) == 64
    harbour.check_conservation()
