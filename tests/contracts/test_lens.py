"""What an observer reads."""

from __future__ import annotations

import pytest

from tests.contracts.feeds import (
    CLOSING,
    DAY,
    ETH,
    HOUR,
    LIQUIDATION,
    OPENING,
    WAD,
    Desk,
    read_terms,
)
from tests.contracts.harbour import WETH, Harbour
from tests.evm import Reverted

ALL = OPENING | CLOSING | LIQUIDATION
NOTHING = 0


@pytest.fixture
def traders(harbour: Harbour) -> tuple[int, int]:
    """A buyer and a writer of two calls, who also hold a perpetual against each other."""
    buyer, writer = harbour.open("buyer", 5000), harbour.open("writer", 20_000, weth=1)
    harbour.trade(buyer, writer, harbour.call(3000), 2 * WAD, 90 * WAD)
    harbour.trade(buyer, writer, harbour.perp, WAD, 3000 * WAD)
    return buyer, writer


def test_risks_are_what_the_gate_sees(harbour: Harbour, traders: tuple[int, int]) -> None:
    seen = harbour.lens.risks(list(traders))
    for risk, account in zip(seen, traders, strict=True):
        equity, initial, maintenance, usable = harbour.gate.margins(account)
        assert (risk.equity, risk.initial, risk.maintenance) == (equity, initial, maintenance)
        assert risk.initial >= risk.maintenance > 0
        assert (risk.account, risk.usable, risk.phase) == (account, usable, 0)
        assert (risk.engine, risk.rulebook) == (harbour.engine.address, 1)
        assert risk.book == harbour.house.book(account)
    buyer, writer = seen
    assert buyer.greeks[0].underlying == ETH
    assert buyer.greeks[0].gamma == -writer.greeks[0].gamma > 0
    assert len(buyer.book.positions) == 2


def test_risks_of_many_accounts_keep_their_order(harbour: Harbour) -> None:
    accounts = [harbour.open(f"trader{i}", i) for i in range(31)]
    asked = [*reversed(accounts), 0]
    seen = harbour.lens.risks(asked)
    assert [risk.account for risk in seen] == asked
    assert [risk.equity for risk in seen] == [
        *(i * WAD for i in reversed(range(31))),
        harbour.equity(0),
    ]


def test_risks_of_an_account_that_does_not_exist(harbour: Harbour) -> None:
    (risk,) = harbour.lens.risks([10**9])
    assert (risk.account, risk.usable, risk.equity) == (10**9, NOTHING, 0)


def test_cash_alone_needs_no_market(harbour: Harbour) -> None:
    saver = harbour.open("saver", 10)
    harbour.evm.time += 30 * DAY
    (risk,) = harbour.lens.risks([saver])
    assert (risk.usable, risk.equity, risk.cash) == (ALL, 10 * WAD, 10 * WAD)
    assert harbour.gate.margins(saver) == (10 * WAD, 0, 0, ALL)


def test_risks_say_what_the_data_is_fresh_enough_for(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    for age, usable in (
        (HOUR, ALL),
        (HOUR + 1, CLOSING | LIQUIDATION),
        (6 * HOUR + 1, CLOSING),
    ):
        harbour.push()
        harbour.evm.time += age
        (risk,) = harbour.lens.risks([traders[0]])
        assert risk.usable == usable
        assert risk.equity == harbour.equity(traders[0])


def test_risks_of_an_account_without_a_price(harbour: Harbour) -> None:
    """An asset without a price empties the status, and nothing else."""
    holder, other = harbour.open("holder", 10, weth=1), harbour.open("other", 20)
    harbour.use_oracle(Desk(harbour.evm).oracle)
    unpriced, priced = harbour.lens.risks([holder, other])
    assert (unpriced.usable, unpriced.equity) == (NOTHING, 0)
    assert unpriced.book.holdings[0] == (WETH, WAD)
    assert (priced.usable, priced.equity) == (ALL, 20 * WAD)
    with pytest.raises(Reverted, match="lens: price missing"):
        harbour.lens.assess(holder)


def test_risks_of_an_engine_that_does_not_answer(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    """A rulebook that was never published makes the engine revert."""
    harbour.registry.set_scheme(9, harbour.engine.address, 99)
    stuck = harbour.house.open_account(9, sender=harbour.evm.address("stuck"))
    harbour.deposit(stuck, 10**18, WETH)
    risk, other = harbour.lens.risks([stuck, traders[0]])
    assert (risk.usable, risk.equity, risk.rulebook) == (NOTHING, 0, 99)
    assert risk.book.holdings[0] == (WETH, WAD)
    assert other.usable == ALL


def test_risks_after_expiry(harbour: Harbour, traders: tuple[int, int]) -> None:
    """An expired option is worth its settlement price, and the view goes on."""
    harbour.wait(harbour.expiry - harbour.evm.time, spot=3100)
    harbour.push()
    for account in traders:
        (risk,) = harbour.lens.risks([account])
        assert risk.usable == ALL
        assert len(risk.book.positions) == 1
        assert risk.equity == harbour.equity(account)
        before = risk.book.unsettled
        assert before != 0
        assert risk.cash == harbour.house.cash(account)


def test_assess_has_every_figure(harbour: Harbour, traders: tuple[int, int]) -> None:
    for account in traders:
        seen = harbour.lens.assess(account)
        equity, initial, maintenance, _ = harbour.gate.margins(account)
        assert (seen.equity, seen.initial, seen.maintenance) == (equity, initial, maintenance)
        assert seen.risk > 0
        assert len(seen.expiry_value) == 1
        assert len(seen.loss_up) == len(seen.loss_down) == 1


def test_the_market_holds_all_that_is_listed(harbour: Harbour) -> None:
    later = harbour.expiry + DAY
    harbour.registry.list_series(ETH, later, [3000 * WAD])
    market = harbour.lens.market()
    assert [u.id for u in market.underlyings] == [ETH]
    assert market.underlyings[0].mark == 3000 * WAD
    assert [read_terms(e.terms).expiry for e in market.expiries] == [harbour.expiry, later]
    assert [a.id for a in market.assets] == [WETH]
    assert market.usable == NOTHING  # nothing was ever reported of the later expiry
    harbour.evm.time = harbour.expiry
    assert [read_terms(e.terms).expiry for e in harbour.lens.market().expiries] == [later]


def test_the_market_is_as_fresh_as_its_oldest_figure(harbour: Harbour) -> None:
    assert harbour.lens.market().usable == ALL
    harbour.evm.time += HOUR + 1
    assert harbour.lens.market().usable == CLOSING | LIQUIDATION


def test_the_ledger_is_the_houses(harbour: Harbour, traders: tuple[int, int]) -> None:
    assert harbour.lens.ledger() == harbour.house.ledger()
    assert harbour.lens.ledger().booked == 25_000 * WAD


def test_the_lens_wants_a_registry(harbour: Harbour) -> None:
    with pytest.raises(Reverted, match="lens: registry is no contract"):
        harbour.evm.deploy("Lens.vy", harbour.matcher)


def test_the_lens_fits_a_contract(harbour: Harbour) -> None:
    assert harbour.evm.size(harbour.lens.address) <= 24_576
