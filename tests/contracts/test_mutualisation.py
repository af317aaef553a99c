"""Mutualised losses against exact fractions: once, and pro rata within 1 wei."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.contracts.feeds import WAD
from tests.contracts.test_cash import FUND, Cash

RECEIVER = 99


@pytest.fixture
def cash() -> Cash:
    return Cash()


def lose(cash: Cash, loss: int) -> None:
    """Mutualise a loss; what is covered leaves positive cash at once, as a debt is paid with it."""
    cash.used.add(RECEIVER)
    cash.book.add(RECEIVER, -loss)
    cash.book.cover(RECEIVER, loss, True)


def test_small_and_large_bear_the_same_share(cash: Cash) -> None:
    cash.fund(1, 10**6 * WAD)
    cash.fund(2, 1)
    cash.fund(3, 10**9 * WAD + 7)
    lose(cash, 10**8 * WAD)
    for account in (1, 2, 3):
        start = {1: 10**6 * WAD, 2: 1, 3: 10**9 * WAD + 7}[account]
        exact = start * (1 - Fraction(10**8 * WAD, 10**9 * WAD + 10**6 * WAD + 8))
        assert exact - 1 <= cash.book.current(account) <= exact


def test_a_holder_pays_every_loss_since_it_was_touched(cash: Cash) -> None:
    cash.fund(1, 1000 * WAD)
    cash.fund(2, 1000 * WAD)
    for _ in range(3):
        lose(cash, cash.book.ledger().positive // 2)
    assert cash.book.current(1) == 125 * WAD
    cash.book.add(1, 0)
    assert cash.events("Haircut") == [{"account": 1, "amount": 875 * WAD}]
    cash.book.add(1, 0)
    assert cash.events("Haircut") == []


@pytest.mark.parametrize("parts", [10**5, 10**6, 10**7, 10**12, 10**18])
def test_an_index_that_falls_is_scaled_and_stays_exact(cash: Cash, parts: int) -> None:
    start = 10**8 * WAD
    cash.fund(1, start)
    cash.fund(2, start)
    positive = cash.book.ledger().positive
    lose(cash, positive - positive // parts)
    exact = Fraction(start, parts)
    assert exact - 1 <= cash.book.current(1) <= exact
    cash.check()


def test_two_steps_of_scale_are_still_worth_something(cash: Cash) -> None:
    """A dollar of a million left is a dollar, though the scale has moved twice."""
    cash.fund(1, 10**6 * WAD)
    cash.fund(2, 10**6 * WAD)
    # 1e36 to just under 1e30: one step; then to just under 1e30 again: a second.
    for parts in (10**6 + 1, 10**6 + 1):
        positive = cash.book.ledger().positive
        lose(cash, positive - positive // parts)
    assert cash.book.index()[1:] == (2, 0)
    exact = Fraction(10**6 * WAD, (10**6 + 1) ** 2)
    assert exact - 2 <= cash.book.current(1) <= exact
    cash.check()


def test_a_wipe_out_begins_an_epoch(cash: Cash) -> None:
    cash.fund(1, 100)
    lose(cash, 100)
    cash.fund(2, 50)
    assert cash.book.index() == (10**36, 0, 1)
    lose(cash, 10)
    assert cash.book.current(1) == 0
    assert cash.book.current(2) == 40
    cash.book.add(1, 0)
    cash.book.add(2, 0)
    cash.check()


def test_scales_far_behind_are_worth_nothing(cash: Cash) -> None:
    cash.fund(1, 10**9 * WAD)
    for _ in range(9):
        cash.fund(2, 10**9 * WAD)
        positive = cash.book.ledger().positive
        lose(cash, positive - positive // 10**7)
        cash.check()
    assert cash.book.index()[1] > 8
    assert cash.book.current(1) == 0


amounts = st.one_of(
    st.integers(1, 1000),
    st.integers(10**6, 10**12),
    st.integers(WAD, 10**6 * WAD),
    st.integers(10**26, 10**28),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fund"), st.integers(1, 5), amounts),
        st.tuples(st.just("pay"), st.integers(1, 5), amounts),
        st.tuples(st.just("lose"), st.floats(0, 1.2), st.just(0)),
        st.tuples(st.just("nearly"), st.integers(1, 10**9), st.just(0)),
        st.tuples(st.just("touch"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("fee"), st.integers(1, 5), amounts),
        st.tuples(st.just("sweep"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_any_history_is_pro_rata_and_conserves(history: list[tuple[str, float, int]]) -> None:
    """Against exact fractions: an account has its share, at most 1 wei a touch less."""
    cash = Cash()
    share = {account: Fraction(0) for account in range(6)}
    slack = {account: Fraction(0) for account in range(6)}
    for kind, who, amount in history:
        account = int(who) if kind in ("fund", "pay", "touch", "fee") else 0
        if kind == "fund":
            cash.fund(account, amount)
            share[account] += amount
        elif kind in ("pay", "fee"):
            spent = min(amount, max(cash.book.current(account), 0))
            if kind == "pay":
                cash.book.pay(account, account % 5 + 1, spent)
                share[account % 5 + 1] += spent
                slack[account % 5 + 1] += 1
                cash.used.add(account % 5 + 1)
            else:
                cash.book.take_fee(account, spent)
            share[account] -= spent
        elif kind == "touch":
            cash.book.add(account, 0)
        elif kind == "sweep":
            share[FUND] += cash.book.ledger().fees
            cash.book.sweep_fees()
        else:
            positive = cash.book.ledger().positive
            loss = int(positive * who) if kind == "lose" else max(positive - int(who), 0)
            if loss == 0:
                continue
            fees = min(cash.book.ledger().fees, loss)
            paid_by_fund = min(max(cash.book.current(FUND), 0), loss - fees)
            loss_shared = loss - fees - paid_by_fund
            share[FUND] -= paid_by_fund
            left = positive - paid_by_fund
            lose(cash, loss)
            factor = Fraction(max(left - loss_shared, 0), left) if left else Fraction(1)
            event(f"scale {cash.book.index()[1]}, epoch {min(cash.book.index()[2], 2)}")
            for each in share:
                share[each] *= factor
                slack[each] = slack[each] * factor + 1
        slack[account] += 1
        cash.check()
        share[FUND] += sum(event["amount"] for event in cash.events("LeftoverBooked"))
        for each in range(1, 6):
            current = cash.book.current(each)
            # What the fund gains by rounding others lose, and the total shrinks with it.
            assert current - share[each] <= slack[each]
            assert share[each] - current <= slack[each] * 6
