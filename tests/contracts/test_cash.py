"""The cash ledger alone: conservation, interest, fees, the waterfall."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.contracts.feeds import WAD
from tests.evm import Contract, Evm, Reverted

YEAR = 365 * 86_400
FUND = 0
CURVE = (WAD // 50, 8 * WAD // 100, 9 * WAD // 10, 85 * WAD // 100)
RAY = 10**27


def terms(ledger: Any) -> int:
    """The left side of PROTOCOL 9's identity."""
    return sum(
        (
            ledger.cash,
            ledger.perp_settlement,
            ledger.option_settlement,
            ledger.pool,
            ledger.deficit,
            ledger.fees,
        )
    )


class Cash:
    """The ledger, with every account that was ever used."""

    def __init__(self) -> None:
        self.evm = Evm()
        self.book: Contract = self.evm.deploy("testing/CashHarness.vy")
        self.book.set_interest(CURVE)
        self.used = {FUND}

    def fund(self, account: int, amount: int) -> None:
        self.used.add(account)
        self.book.receive_tokens(account, amount)

    def events(self, name: str) -> list[Any]:
        return [event.args for event in self.evm.events if event.name == name]

    def check(self) -> Any:
        """Every identity of the ledger, exactly."""
        seen = self.book.ledger()
        stored = {account: self.book.stored(account) for account in self.used}
        assert terms(seen) == seen.booked
        assert sum(stored.values()) == seen.cash
        assert seen.debt == -sum(min(amount, 0) for amount in stored.values())
        positive, older = self.book.census()
        assert positive == sum(amount > 0 for amount in stored.values())
        current = sum(max(self.book.current(account), 0) for account in self.used)
        assert current <= seen.positive
        if older == 0:
            assert (current, seen.pool) == (seen.positive, 0)
        assert seen.deficit <= 0
        return seen


@pytest.fixture
def cash() -> Cash:
    return Cash()


def test_tokens_are_booked_in_and_out(cash: Cash) -> None:
    cash.fund(1, 100 * WAD)
    cash.fund(2, 50 * WAD)
    cash.book.send_tokens(1, 120 * WAD)
    seen = cash.check()
    assert (seen.booked, seen.positive, seen.debt) == (30 * WAD, 50 * WAD, 20 * WAD)


def test_no_more_tokens_leave_than_came(cash: Cash) -> None:
    cash.fund(1, 100)
    with pytest.raises(Reverted, match="cash: not enough tokens"):
        cash.book.send_tokens(1, 101)


def test_cash_out_of_range_is_refused(cash: Cash) -> None:
    with pytest.raises(Reverted, match="cash: out of range"):
        cash.book.add(1, 2**127)
    with pytest.raises(Reverted, match="cash: out of range"):
        cash.book.add(1, -(2**127))
    with pytest.raises(Reverted, match="cash: out of range"):
        cash.book.receive_tokens(1, 2**128)


@pytest.mark.parametrize("amount", [1, -1, 10**30, -(10**30)])
def test_settlements_are_signed(cash: Cash, amount: int) -> None:
    cash.used |= {1, 2}
    cash.book.add(1, amount)
    cash.book.settle_option(2, -2 * amount)
    seen = cash.check()
    assert (seen.perp_settlement, seen.option_settlement) == (-amount, 2 * amount)
    cash.book.add(1, -amount)
    cash.book.settle_option(2, 2 * amount)
    seen = cash.check()
    assert (seen.perp_settlement, seen.option_settlement) == (0, 0)


def test_positive_cash_earns_nothing(cash: Cash) -> None:
    cash.fund(1, 100 * WAD)
    cash.book.pay(2, 1, 50 * WAD)
    cash.used.add(2)
    cash.evm.time += YEAR
    assert cash.book.current(1) == 150 * WAD


@pytest.mark.parametrize(
    ("positive", "debt", "rate"),
    [
        (1000, 1, Fraction(2, 100) + Fraction(8, 100) * Fraction(1, 1000) / Fraction(9, 10)),
        (1000, 450, Fraction(6, 100)),
        (1000, 900, Fraction(10, 100)),
        (1000, 950, Fraction(10, 100) + Fraction(85, 100) / 2),
        (1000, 1000, Fraction(95, 100)),
    ],
)
def test_interest_follows_the_kinked_curve(
    cash: Cash, positive: int, debt: int, rate: Fraction
) -> None:
    cash.fund(1, (positive - debt) * WAD)
    cash.book.pay(2, 1, debt * WAD)
    cash.used.add(2)
    cash.evm.time += YEAR
    owed = -cash.book.current(2)
    exact = debt * WAD * (1 + rate)
    assert exact <= owed <= exact * (1 + Fraction(3, WAD)) + 1


def test_interest_goes_to_the_fund_when_the_account_is_touched(cash: Cash) -> None:
    cash.fund(1, 500 * WAD)
    cash.book.pay(2, 1, 500 * WAD)
    cash.used.add(2)
    cash.evm.time += YEAR // 2
    owed = -cash.book.current(2)
    assert cash.book.stored(FUND) == 0
    cash.book.add(2, 0)
    assert cash.book.stored(2) == -owed
    assert cash.book.stored(FUND) == owed - 500 * WAD
    assert cash.events("InterestPaid") == [{"account": 2, "amount": owed - 500 * WAD}]
    cash.check()


def test_interest_starts_when_debt_starts(cash: Cash) -> None:
    cash.fund(1, 500 * WAD)
    cash.evm.time += YEAR
    cash.book.pay(2, 1, WAD)
    assert cash.book.current(2) == -WAD
    assert cash.book.borrow_index() == RAY


def test_interest_accrues_at_the_utilisation_of_each_moment(cash: Cash) -> None:
    cash.fund(1, 1000 * WAD)
    cash.used.add(2)
    cash.book.pay(2, 1, 450 * WAD)
    cash.evm.time += YEAR
    cash.fund(3, 10**6 * WAD)
    first = Fraction(cash.book.borrow_index(), RAY)
    cash.evm.time += YEAR
    second = Fraction(cash.book.borrow_index(), RAY)
    assert first > 1
    assert second / first < 1 + Fraction(21, 1000)
    cash.check()


def test_the_fund_pays_no_interest_to_itself(cash: Cash) -> None:
    cash.fund(1, 500 * WAD)
    cash.book.pay(FUND, 1, 100 * WAD)
    cash.evm.time += YEAR
    assert cash.book.current(FUND) == -100 * WAD


def test_the_smallest_debt_pays_at_least_one_wei(cash: Cash) -> None:
    cash.fund(1, WAD)
    cash.book.pay(2, 1, 1)
    cash.used.add(2)
    cash.evm.time += 1
    assert cash.book.current(2) == -2
    cash.book.add(2, 0)
    cash.check()


def test_fees_are_kept_and_swept_into_the_fund(cash: Cash) -> None:
    cash.fund(1, 100 * WAD)
    cash.book.take_fee(1, 3 * WAD)
    assert cash.check().fees == 3 * WAD
    assert cash.book.capacity() == (3 * WAD, 0)
    cash.book.sweep_fees()
    assert cash.check().fees == 0
    assert cash.book.capacity() == (0, 3 * WAD)


def test_losses_are_paid_by_fees_then_fund_then_everyone(cash: Cash) -> None:
    cash.fund(FUND, 20 * WAD)
    cash.fund(1, 110 * WAD)
    cash.fund(2, 100 * WAD)
    cash.book.take_fee(1, 10 * WAD)
    cash.used.add(3)
    cash.book.cover(3, 80 * WAD, True)
    (covered,) = cash.events("Covered")
    assert covered == {
        "target": 3,
        "amount": 80 * WAD,
        "fees": 10 * WAD,
        "fund": 20 * WAD,
        "mutualised": 50 * WAD,
        "deficit": 0,
    }
    cash.check()
    assert [cash.book.current(account) for account in range(4)] == [
        0,
        75 * WAD,
        75 * WAD,
        80 * WAD,
    ]


def test_without_mutualisation_the_fund_is_the_end(cash: Cash) -> None:
    cash.fund(FUND, 20 * WAD)
    cash.fund(1, 100 * WAD)
    cash.book.cover(2, 20 * WAD, False)
    with pytest.raises(Reverted, match="cash: fund exhausted"):
        cash.book.cover(2, 1, False)


def test_covering_the_fund_itself_skips_its_own_cash(cash: Cash) -> None:
    cash.fund(FUND, 20 * WAD)
    cash.fund(1, 80 * WAD)
    cash.book.cover(FUND, 10 * WAD, True)
    (covered,) = cash.events("Covered")
    assert (covered["fund"], covered["mutualised"]) == (0, 10 * WAD)
    cash.book.add(1, 0)
    cash.check()
    # 100 positive in all, of which the fund's own 20 bear nothing.
    assert cash.book.current(1) == 70 * WAD
    assert cash.book.current(FUND) == 30 * WAD


def test_a_loss_above_everyone_elses_cash_leaves_the_funds(cash: Cash) -> None:
    cash.fund(FUND, 20 * WAD)
    cash.fund(1, 80 * WAD)
    cash.book.cover(FUND, 90 * WAD, True)
    (covered,) = cash.events("Covered")
    assert (covered["mutualised"], covered["deficit"]) == (80 * WAD, 10 * WAD)
    cash.book.add(1, 0)
    cash.check()
    assert cash.book.current(1) == 0
    assert cash.book.current(FUND) == 110 * WAD


def test_a_loss_above_all_cash_is_a_deficit_that_later_fees_repay(cash: Cash) -> None:
    cash.fund(1, 30 * WAD)
    cash.used |= {2, 3}
    cash.book.cover(2, 100 * WAD, True)
    seen = cash.check()
    assert (seen.deficit, seen.pool) == (-70 * WAD, -30 * WAD)
    assert cash.book.current(1) == 0
    assert cash.book.current(2) == 100 * WAD
    assert cash.book.index() == (10**36, 0, 1)
    cash.book.take_fee(2, 50 * WAD)
    seen = cash.check()
    assert (seen.deficit, seen.fees) == (-20 * WAD, 0)
    cash.book.take_fee(2, 50 * WAD)
    seen = cash.check()
    assert (seen.deficit, seen.fees) == (0, 30 * WAD)
    cash.book.add(1, 0)
    assert cash.check().pool == 0


def test_with_nobody_to_share_it_the_whole_loss_is_a_deficit(cash: Cash) -> None:
    cash.used.add(1)
    cash.book.cover(1, 5, True)
    seen = cash.check()
    assert (seen.deficit, seen.pool) == (-5, 0)
    assert cash.book.index() == (10**36, 0, 0)


def test_debt_bears_no_share_of_a_loss(cash: Cash) -> None:
    cash.fund(1, 100 * WAD)
    cash.used |= {2, 3}
    cash.book.pay(2, 1, 60 * WAD)
    cash.book.cover(3, 16 * WAD, True)
    assert cash.book.current(2) == -60 * WAD
    assert cash.book.current(1) == 144 * WAD
    cash.check()


def test_cash_that_comes_after_a_loss_is_not_cut(cash: Cash) -> None:
    cash.fund(1, 100)
    cash.used.add(9)
    cash.book.cover(9, 50, True)
    cash.fund(2, 100)
    assert cash.book.current(2) == 100
    cash.fund(1, 100)
    assert cash.book.current(1) == 150
    cash.check()


def test_the_leftover_of_rounding_goes_to_the_fund(cash: Cash) -> None:
    for account in (1, 2, 3):
        cash.fund(account, 10)
    cash.used.add(9)
    cash.book.cover(9, 10, True)
    for account in (1, 2, 3):
        cash.book.add(account, 0)
    assert cash.events("LeftoverBooked") == [{"amount": 2}]
    assert [cash.book.stored(account) for account in (FUND, 1, 2, 3, 9)] == [2, 6, 6, 6, 10]
    assert cash.check().pool == 0
