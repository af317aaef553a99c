"""What the gate answers to those who ask; what it lets pass is tested at the clearing house."""

from __future__ import annotations

import pytest

from tests.contracts.feeds import HOUR, WAD
from tests.contracts.harbour import INSTRUMENT, SCHEME, Harbour
from tests.evm import Reverted

INITIAL, MAINTENANCE = 1, 2
Book = tuple[int, int, list[tuple[int, int]], list[int]]
ALL = 7


@pytest.fixture
def account(harbour: Harbour) -> int:
    """Long 3 perpetuals and a put, on 5,000 dollars."""
    account, other = harbour.open("alice", dollars=5000), harbour.open("bob", dollars=10**6)
    harbour.trade(account, other, harbour.perp, 3 * WAD, 3000 * WAD)
    harbour.trade(account, other, harbour.put(2500), WAD, 20 * WAD)
    return account


def test_margins_are_the_engines(harbour: Harbour, account: int) -> None:
    seen = harbour.lens.assess(account)
    assert harbour.gate.margins(account) == (seen.equity, seen.initial, seen.maintenance, ALL)


@pytest.mark.parametrize("kind", [INITIAL, MAINTENANCE])
def test_check_is_exact_or_a_bound_that_equity_covers(
    harbour: Harbour, account: int, kind: int
) -> None:
    equity, *required, _ = harbour.gate.margins(account)
    seen, bound, usable = harbour.gate.check(account, kind)
    assert (seen, usable) == (equity, ALL)
    assert required[kind - 1] <= bound <= equity


def test_a_proof_is_a_lower_bound(harbour: Harbour, account: int) -> None:
    equity, _, maintenance, _ = harbour.gate.margins(account)
    worst = harbour.lens.assess(account).binding_down[0]
    proven, bound, usable = harbour.gate.prove(account, [worst])
    assert (proven, usable) == (equity, ALL)
    assert 0 < bound <= maintenance
    assert bound > maintenance * 999 // 1000
    assert harbour.gate.prove(account, []) == harbour.gate.prove(account, [0])


def test_cash_alone_needs_neither_market_nor_engine(harbour: Harbour) -> None:
    account = harbour.open("carol", dollars=7)
    harbour.evm.time += 100 * HOUR
    assert harbour.gate.margins(account) == (7 * WAD, 0, 0, ALL)
    assert harbour.gate.check(account, INITIAL) == (7 * WAD, 0, ALL)
    assert harbour.gate.prove(account, []) == (7 * WAD, 0, ALL)


def test_an_appraisal_says_what_rounding_to_units_may_come_to(harbour: Harbour) -> None:
    """2e-9·(forward + strike) or 2e-9·mark of a position, a token unit of collateral, and wei."""
    account, other = harbour.open("alice", 5000, weth=1), harbour.open("bob", dollars=10**6)
    harbour.trade(account, other, harbour.perp, 3 * WAD, 3000 * WAD)
    harbour.trade(account, other, harbour.put(2500), WAD, 20 * WAD)
    harbour.trade(account, other, harbour.call(4000), -WAD, 20 * WAD)
    harbour.push(3100)
    seen = harbour.gate.appraise(SCHEME, harbour.house.book(account))
    assert (seen.equity, seen.initial, seen.maintenance, seen.usable) == harbour.gate.margins(
        account
    )
    prices = 3100 + (3100 + 2500) + (3100 + 4000)
    assert seen.dust == 2 * prices * WAD // 10**9 + 3 + 4 + 3100 + 1


def test_an_appraisal_of_cash_alone_is_exact(harbour: Harbour) -> None:
    account = harbour.open("carol", dollars=7)
    harbour.evm.time += 100 * HOUR
    assert harbour.gate.appraise(SCHEME, harbour.house.book(account)) == (ALL, 7 * WAD, 0, 0, 0)


def test_values_of_instruments(harbour: Harbour, account: int) -> None:
    assert harbour.gate.value(account, harbour.perp, -2 * WAD) == (0, 6000 * WAD)
    long, notional = harbour.gate.value(account, harbour.put(2500), WAD)
    short, _ = harbour.gate.value(account, harbour.put(2500), -WAD)
    assert notional == 3000 * WAD
    assert 0 <= -short - long <= 10**12
    assert 0 < long < 100 * WAD


def test_the_notional_of_an_account(harbour: Harbour, account: int) -> None:
    assert harbour.gate.notional(account) == 3 * 3000 * WAD + 3000 * WAD
    harbour.push(2700)
    assert harbour.gate.notional(account) == 4 * 2700 * WAD
    assert harbour.gate.notional(harbour.open("carol")) == 0
    harbour.evm.time = harbour.expiry
    assert harbour.gate.notional(account) == 3 * 2700 * WAD


def test_an_instrument_without_a_market_has_no_value(harbour: Harbour, account: int) -> None:
    unknown = harbour.call(3000) + (HOUR << 96)
    with pytest.raises(Reverted, match="gate: no market"):
        harbour.gate.value(account, unknown, WAD)


def test_nothing_passes_where_neither_branch_is_open(harbour: Harbour) -> None:
    book: Book = (WAD, 0, [], [])
    assert harbour.gate.admit(1, book, book, 5, True, False) == 5
    with pytest.raises(Reverted, match="gate: opening is paused or the instrument not listed"):
        harbour.gate.admit(1, book, book, 0, False, False)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.gate.admit(1, book, (-1, 0, [], []), 0, True, False)
    with pytest.raises(Reverted, match="gate: equity falls"):
        harbour.gate.admit(1, book, (WAD - 1, 0, [], []), 0, False, True)


def test_a_fee_may_not_lower_health_either(harbour: Harbour) -> None:
    """Closing must take more margin away than it costs; below zero it costs nothing."""
    poor: Book = (WAD, 0, [], [])
    broke: Book = (-WAD, 0, [], [])
    with pytest.raises(Reverted, match="gate: health falls"):
        harbour.gate.admit(1, poor, poor, 3 * WAD, True, True)
    assert harbour.gate.admit(1, broke, broke, 3 * WAD, True, True) == 0


def test_a_position_answers_for_one_position(harbour: Harbour, account: int) -> None:
    """Two words that each are smaller than the one before do not reduce it."""
    before = harbour.house.book(account)
    perp = before.positions[0]
    assert perp & 255 == 1
    third = (perp & INSTRUMENT) | (perp >> 160) // 3 << 160

    def admit(*words: int) -> int:
        after: Book = (before.cash, 0, [], sorted(words, key=lambda word: word & INSTRUMENT))
        fee: int = harbour.gate.admit(SCHEME, before, after, 0, False, True)
        return fee

    assert admit(third, before.positions[1]) == 0
    for words in ((third, third), (third, third, before.positions[1])):
        with pytest.raises(Reverted, match="gate: opening is paused or the instrument not listed"):
            admit(*words)


def test_without_a_price_nothing_passes(harbour: Harbour) -> None:
    book: Book = (WAD, 0, [(7, WAD)], [])
    with pytest.raises(Reverted, match="gate: market is stale"):
        harbour.gate.admit(1, book, book, 0, True, False)
    with pytest.raises(Reverted, match="gate: no market"):
        harbour.gate.admit(1, book, book, 0, True, True)
