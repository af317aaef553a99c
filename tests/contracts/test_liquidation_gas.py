"""Gas of trades and bids against figures kept in the repository; the largest account's bound.

    python -m tests.contracts.test_liquidation_gas

writes the figures anew, when a change is for the better or has a good reason.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from sim.bench.gas import (
    GOAL_BID,
    GOAL_TRADE,
    LARGEST,
    LIMIT_BID,
    clearing_costs,
    crowded_bid,
    largest_bid,
)
from tests.contracts.feeds import DAY, ETH, FORWARD, RATE, WAD, option
from tests.contracts.harbour import INSTRUMENT, Harbour
from tests.evm import Reverted

SNAPSHOT = Path(__file__).parents[1] / "vectors" / "clearing_gas.json"
TOLERANCE = 0.01


def measured() -> dict[str, int]:
    """Gas of cold transactions: `plimsoll bench gas` prints the same."""
    largest = {f"largest {u} x {e}": largest_bid(u, e) for u, e in LARGEST}
    return {**asdict(clearing_costs()), **largest, "crowded": crowded_bid()}


def test_gas_is_as_it_was() -> None:
    gas = measured()
    kept = json.loads(SNAPSHOT.read_text())
    assert gas == pytest.approx(kept, rel=TOLERANCE), "see the head of this file"
    assert gas["trade"] <= GOAL_TRADE
    assert max(gas["part"], gas["whole"]) <= GOAL_BID
    assert max(gas[name] for name in gas if name.startswith("largest")) <= LIMIT_BID


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


def test_an_account_has_32_expiries_at_most(harbour: Harbour) -> None:
    """More would make liquidating it cost more than PROTOCOL 8 allows."""
    dates = [harbour.expiry + i * DAY for i in range(33)]
    for date in dates:
        harbour.registry.list_series(ETH, date, [3000 * WAD, 3100 * WAD])
    account, maker = harbour.open("account", 10**6), harbour.open("maker", 10**8)
    keeper = harbour.open("keeper", 10**8)
    push(harbour, dates, 3000)
    for date in dates[:32]:
        harbour.trade(account, maker, option(ETH, date, 3000 * WAD) & INSTRUMENT, -WAD, 0)
    last = option(ETH, dates[32], 3000 * WAD) & INSTRUMENT
    with pytest.raises(Reverted, match="gate: too many expiries"):
        harbour.trade(account, maker, last, WAD, 0)
    # More of what is held, and a perpetual, are no matter.
    harbour.trade(account, maker, option(ETH, dates[0], 3100 * WAD) & INSTRUMENT, -WAD, 0)
    harbour.trade(account, maker, harbour.perp, WAD, 3000 * WAD)
    # Neither may a bidder with another expiry take a part of it.
    other = harbour.open("other", 10**8)
    harbour.trade(keeper, other, last, WAD, 0)
    spot = 3000
    while harbour.health(account) >= 0:
        spot += 1000
        push(harbour, dates, spot)
    harbour.flag(account)
    with pytest.raises(Reverted, match="gate: too many expiries"):
        harbour.bid(account, keeper)
    harbour.trade(other, keeper, last, WAD, 0)
    harbour.bid(account, keeper)


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
    assert harbour.evm.gas < LIMIT_BID
    before = harbour.health(account)
    harbour.bid(account, bidder)
    assert harbour.evm.gas < LIMIT_BID
    assert harbour.health(account) >= before
    assert len(harbour.house.positions(bidder)) == 64
    harbour.check_conservation()


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(measured(), indent=1) + "\n")
