"""The backstop: taking over, covering, deleveraging, and the withdrawal lock."""

from __future__ import annotations

import pytest

from tests.contracts.feeds import DAY, HOUR, WAD
from tests.contracts.harbour import BACKSTOP, USD, WETH, Harbour
from tests.evm import Reverted

FUND = 0
MUTUALISE, DELEVERAGE = 1, 2
# What an engine's value of such a book may be off by (PROTOCOL 11).
BUDGET = 10**14


def break_down(harbour: Harbour, spot: int = 2200) -> tuple[int, int, int]:
    """Leave an account long 5 perpetuals and 2 calls insolvent, its path over.

    The first of its two counterparties is short 3 perpetuals and holds 20,000 dollars, the
    second is short the rest and holds 100,000.
    """
    account = harbour.open("alice", dollars=3900)
    near, far = harbour.open("bob", dollars=20_000), harbour.open("carol", dollars=100_000)
    harbour.trade(account, near, harbour.perp, 3 * WAD, 3000 * WAD)
    harbour.trade(account, far, harbour.perp, 2 * WAD, 3000 * WAD)
    harbour.trade(account, far, harbour.call(3500), WAD // 5, 0)
    harbour.wait(60, spot)
    harbour.flag(account)
    harbour.wait(HOUR, spot)
    return account, near, far


def burn(harbour: Harbour, account: int, other: int) -> None:
    """Pay what an account has above initial margin for next to nothing."""
    equity, initial, *_ = harbour.gate.margins(account)
    harbour.trade(account, other, harbour.call(4000), 10**9, (equity - initial - WAD) * 10**9)


# Taking over


def test_fees_and_fund_bear_a_loss_before_anyone_else(harbour: Harbour) -> None:
    account, near, _ = break_down(harbour)
    harbour.deposit(FUND, 10_000 * USD)
    equity, before = harbour.equity(account), harbour.house.cash(near)
    harbour.liquidator.close(account)
    assert harbour.logged("TakenOver") == [
        {"account": account, "equity": equity, "loss": -equity, "covered": 0, "kept": 0}
    ]
    assert harbour.logged("Covered") == []
    assert harbour.equity(account) == 0
    assert abs(harbour.equity(FUND) - 10_000 * WAD - equity) < 10**9
    assert harbour.house.cash(near) == before
    harbour.check_conservation()


def test_the_part_above_the_fund_is_mutualised(harbour: Harbour) -> None:
    account, near, far = break_down(harbour, 2100)
    harbour.registry.set_fees((WAD // 100, 0))
    harbour.trade(near, far, harbour.perp, WAD // 10, 2100 * WAD)
    fees = harbour.house.ledger().fees
    harbour.deposit(FUND, 100 * USD)
    loss = -harbour.equity(account)
    assert loss > fees + 100 * WAD
    positive = harbour.house.ledger().positive
    harbour.liquidator.close(account)
    (covered,) = harbour.logged("Covered")
    assert (covered["fees"], covered["fund"]) == (fees, 0)
    assert covered["mutualised"] == loss - fees - 100 * WAD
    assert harbour.logged("TakenOver")[0]["covered"] == covered["amount"] == loss - 100 * WAD
    harbour.check_conservation()
    for holder in (near, far):
        harbour.house.settle(holder)
    harbour.check_conservation()
    assert harbour.house.ledger().positive < positive


def test_the_fund_bears_no_share_of_what_is_mutualised_for_it(harbour: Harbour) -> None:
    """It is full of the writer's cash by then, which is owed to the writer's counterparties."""
    writer, buyer = harbour.open("writer", 7000), harbour.open("buyer", 10_000)
    harbour.trade(buyer, writer, harbour.call(3000), 5 * WAD, 100 * WAD)
    harbour.deposit(FUND, 100 * USD)
    harbour.wait(60, 6000)
    harbour.flag(writer)
    harbour.wait(HOUR, 6000)
    loss = -harbour.equity(writer)
    harbour.liquidator.close(writer)
    assert harbour.logged("Covered")[0]["mutualised"] == loss - 100 * WAD
    assert harbour.house.cash(FUND) > 0
    assert abs(harbour.equity(FUND)) < BUDGET
    harbour.check_conservation()


def test_a_payout_takes_the_funds_cash_whatever_it_owes(harbour: Harbour) -> None:
    """The order of PROTOCOL 9. The fund is then worked out like any other account."""
    writer, buyer = harbour.open("writer", 7000), harbour.open("buyer", 20_000)
    short, bidder = harbour.open("short", 1200), harbour.open("bidder", 100_000)
    harbour.trade(buyer, writer, harbour.call(3000), 5 * WAD, 100 * WAD)
    harbour.trade(buyer, short, harbour.perp, WAD, 3000 * WAD)
    harbour.wait(60, 6000)
    harbour.flag(writer)
    harbour.flag(short)
    harbour.wait(HOUR, 6000)
    harbour.liquidator.close(writer)
    assert abs(harbour.equity(FUND)) < BUDGET
    cash = harbour.house.cash(FUND)
    _, price = harbour.bid(short, bidder)
    (covered,) = harbour.logged("Covered")
    assert covered["fund"] == covered["amount"] == -price > 1000 * WAD
    assert covered["fund"] < cash
    assert abs(harbour.equity(FUND) + covered["fund"]) < BUDGET
    assert harbour.liquidator.quote(FUND).can_flag
    harbour.flag(FUND)
    assert harbour.liquidator.phase(FUND) == 2
    harbour.check_conservation()


def test_interest_due_pays_for_the_loss_that_it_is_part_of(harbour: Harbour) -> None:
    harbour.open("saver", 10_000)
    borrower = harbour.open("borrower", weth=3)
    owner = harbour.owner(borrower)
    harbour.house.withdraw(borrower, 0, 6000 * USD, owner, sender=owner)
    harbour.wait(180 * DAY, 1950)
    interest = -harbour.house.book(borrower).cash - 6000 * WAD
    assert harbour.equity(borrower) < 0
    harbour.flag(borrower)
    harbour.wait(HOUR, 1950)
    loss = -harbour.equity(borrower)
    assert loss > interest > 100 * WAD
    harbour.liquidator.close(borrower)
    assert harbour.logged("Covered")[0]["mutualised"] <= loss - interest
    assert abs(harbour.equity(FUND)) < BUDGET
    harbour.check_conservation()


def test_positive_equity_stays_the_owners(harbour: Harbour) -> None:
    account = harbour.open("alice", dollars=3900)
    other = harbour.open("bob", dollars=100_000)
    harbour.trade(account, other, harbour.perp, 5 * WAD, 3000 * WAD)
    harbour.deposit(FUND, 1000 * USD)
    harbour.wait(60, 2500)
    harbour.flag(account)
    harbour.wait(7200, 2500)
    harbour.liquidator.turn_insolvent(account)
    harbour.wait(3600, 2500)
    equity = harbour.equity(account)
    assert equity > 0
    harbour.liquidator.close(account)
    assert harbour.logged("TakenOver")[0]["kept"] == equity
    assert harbour.house.cash(account) == equity
    assert harbour.house.positions(account) == []
    owner = harbour.owner(account)
    harbour.house.withdraw(account, 0, equity // 10**12, owner, sender=owner)
    harbour.check_conservation()


def test_collateral_is_taken_over_too(harbour: Harbour) -> None:
    account, other = harbour.open("alice", weth=2), harbour.open("bob", dollars=100_000)
    harbour.trade(account, other, harbour.perp, 4 * WAD, 3000 * WAD)
    harbour.deposit(FUND, 10_000 * USD)
    harbour.wait(60, 1500)
    harbour.flag(account)
    harbour.wait(3600, 1500)
    harbour.liquidator.close(account)
    assert harbour.house.holding(FUND, WETH) == 2 * WAD
    assert harbour.house.holding(account, WETH) == 0
    harbour.check_conservation()


def test_the_fund_itself_is_worked_out(harbour: Harbour) -> None:
    """Account 0 is liquidated like any other: its loss is mutualised."""
    account, *_ = break_down(harbour)
    harbour.deposit(FUND, 1000 * USD)
    harbour.liquidator.close(account)
    harbour.wait(60, 1500)
    assert harbour.equity(FUND) < 0
    harbour.flag(FUND)
    harbour.wait(3600, 1500)
    harbour.liquidator.close(FUND)
    assert abs(harbour.equity(FUND)) < 10**9
    harbour.check_conservation()


def test_the_fund_is_deleveraged_like_any_other_account(harbour: Harbour) -> None:
    """Not without a flag, not before its path is over, and not while it is healthy."""
    account, near, far = break_down(harbour)
    items = [
        (near, harbour.perp, 3 * WAD),
        (far, harbour.perp, 2 * WAD),
        (far, harbour.call(3500), WAD),
    ]
    harbour.deposit(FUND, 1000 * USD)
    harbour.liquidator.close(account)
    with pytest.raises(Reverted, match="backstop: no deleveraging"):
        harbour.backstop.deleverage(FUND, items)
    harbour.backstop.set_parameters({**BACKSTOP, "mode": DELEVERAGE})
    harbour.wait(60, 1500)
    assert harbour.equity(FUND) < 0
    with pytest.raises(Reverted, match="backstop: insolvent path is not over"):
        harbour.backstop.deleverage(FUND, items)
    harbour.flag(FUND)
    with pytest.raises(Reverted, match="backstop: insolvent path is not over"):
        harbour.backstop.deleverage(FUND, items)
    with pytest.raises(Reverted, match="backstop: fund in liquidation"):
        relieve(harbour, items[0])
    harbour.wait(HOUR, 3000)
    with pytest.raises(Reverted, match="backstop: account is healthy"):
        harbour.backstop.deleverage(FUND, items)
    harbour.wait(60, 1500)
    deficit = -harbour.equity(FUND)
    harbour.backstop.deleverage(FUND, items)
    assert harbour.house.positions(FUND) == []
    charges = [event["charge"] for event in harbour.logged("Deleveraged")]
    assert 0 <= sum(charges) - deficit <= 3
    harbour.check_conservation()


# Relieving the fund


@pytest.fixture
def laden(harbour: Harbour) -> tuple[int, int]:
    """A fund of 100,000 dollars that has taken over 5 long perpetuals and a fifth of a call.

    Those who are short against it hold 20,000 and 100,000 dollars.
    """
    account, near, far = break_down(harbour, 2100)
    harbour.deposit(FUND, 100_000 * USD)
    harbour.liquidator.close(account)
    assert len(harbour.house.positions(FUND)) == 2
    return near, far


def relieve(harbour: Harbour, *items: tuple[int, int, int]) -> None:
    harbour.backstop.relieve(list(items), sender=harbour.owner(items[0][0]))


def test_who_takes_positions_off_the_fund_pays_a_premium(
    harbour: Harbour, laden: tuple[int, int]
) -> None:
    near, far = laden
    fund, before = harbour.equity(FUND), harbour.equity(near)
    relieve(harbour, (near, harbour.perp, 9 * WAD))
    (logged,) = harbour.logged("Relieved")
    premium = 5 * 2100 * WAD // 20
    assert logged == {
        "taker": near,
        "instrument": harbour.perp,
        "size": 5 * WAD,
        "cash": premium,
        "premium": premium,
    }
    assert harbour.equity(FUND) == fund + premium
    assert harbour.equity(near) == before - premium
    relieve(harbour, (far, harbour.call(3500), WAD))
    (logged,) = harbour.logged("Relieved")
    assert logged["premium"] == 2100 * WAD // 5 // 20
    assert abs(logged["cash"] - logged["premium"]) < 10**12
    assert harbour.house.positions(FUND) == []
    harbour.check_conservation()


def test_the_fund_is_no_free_counterparty_at_a_price_that_lags(
    harbour: Harbour, laden: tuple[int, int]
) -> None:
    """The market is at 2200, the oracle still at 2100: sell at 2200, and close against the fund."""
    thief, market = harbour.open("thief", 50_000), harbour.open("market", 50_000)
    harbour.evm.time += 1800
    before = harbour.equity(thief)
    harbour.trade(market, thief, harbour.perp, 2 * WAD, 2200 * WAD)
    relieve(harbour, (thief, harbour.perp, 2 * WAD))
    assert harbour.house.positions(thief) == []
    assert harbour.equity(thief) < before
    harbour.evm.time += HOUR
    with pytest.raises(Reverted, match="backstop: market is stale"):
        relieve(harbour, (thief, harbour.perp, WAD))


def test_refusals_of_relief(harbour: Harbour, laden: tuple[int, int]) -> None:
    near, far = laden
    item = (near, harbour.perp, WAD)
    with pytest.raises(Reverted, match="backstop: not allowed"):
        harbour.backstop.relieve([item], sender=harbour.evm.address("stranger"))
    with pytest.raises(Reverted, match="backstop: not allowed"):
        relieve(harbour, item, (far, harbour.perp, WAD))
    with pytest.raises(Reverted, match="backstop: nothing to close"):
        relieve(harbour, (near, harbour.perp, 10**9 - 1))
    with pytest.raises(Reverted, match="backstop: nothing to close"):
        relieve(harbour, (near, harbour.put(3500), WAD))
    poor = harbour.open("poor", dollars=100)
    with pytest.raises(Reverted, match="backstop: taker below initial margin"):
        relieve(harbour, (poor, harbour.perp, WAD))
    short = harbour.open("short", dollars=5000)
    harbour.trade(far, short, harbour.perp, 5 * WAD, 2100 * WAD)
    harbour.wait(60, 3100)
    harbour.flag(short)
    with pytest.raises(Reverted, match="backstop: taker in liquidation"):
        relieve(harbour, (short, harbour.perp, WAD))


def test_nobody_takes_the_funds_hedge_and_leaves_the_risk(
    harbour: Harbour, laden: tuple[int, int]
) -> None:
    """Another insolvent account leaves the fund short of as many calls as it has perpetuals."""
    _, far = laden
    writer = harbour.open("writer", dollars=10_000)
    harbour.trade(far, writer, harbour.call(2500), 5 * WAD, 20 * WAD)
    harbour.wait(60, 5000)
    harbour.flag(writer)
    harbour.wait(HOUR, 5000)
    harbour.liquidator.close(writer)
    assert harbour.health(FUND) > 0
    with pytest.raises(Reverted, match="backstop: health falls"):
        relieve(harbour, (far, harbour.perp, 5 * WAD))


def test_anyone_makes_room_in_a_full_fund(harbour: Harbour) -> None:
    """Two accounts of 36 series each, most of them dust: the fund cannot hold both."""
    low, high = [5000 + 10 * i for i in range(32)], [6000 + 10 * i for i in range(6)]
    for strikes in (low, high):
        harbour.registry.list_series(0, harbour.expiry, [k * WAD for k in strikes])
    names = [harbour.call(k) for k in low + high] + [harbour.put(k) for k in low]
    harbour.deposit(FUND, 100_000 * USD)
    accounts = []
    for number, series in enumerate((names[:35], names[35:])):
        account = harbour.open(f"griefer{number}", 2000)
        maker = harbour.open(f"maker{number}", 100_000)
        for first in range(0, len(series), 8):
            legs = []
            for name in series[first : first + 8]:
                legs += [(account, name, 10**9, 0), (maker, name, -(10**9), 0)]
            harbour.direct.trade(legs, sender=harbour.matcher)
        harbour.trade(account, maker, harbour.perp, 2 * WAD, 3000 * WAD)
        accounts.append(account)
    harbour.wait(60, 1900)
    for account in accounts:
        harbour.flag(account)
    harbour.wait(HOUR, 1900)
    harbour.liquidator.close(accounts[0])
    with pytest.raises(Reverted, match="portfolio: too many positions"):
        harbour.liquidator.close(accounts[1])
    helper = harbour.open("helper", 100)
    dust = [(helper, word % 2**160, WAD) for word in harbour.house.positions(FUND)[1:9]]
    relieve(harbour, *dust)
    assert sum(each["premium"] for each in harbour.logged("Relieved")) < WAD // 10**5
    harbour.liquidator.close(accounts[1])
    assert len(harbour.house.positions(FUND)) > 36
    harbour.check_conservation()


def test_only_the_liquidator_takes_over_and_covers(harbour: Harbour) -> None:
    for function in ("take_over", "cover"):
        with pytest.raises(Reverted, match="backstop: not the liquidator"):
            getattr(harbour.backstop, function)(1, 0)


# Deleveraging


@pytest.fixture
def deleveraging(harbour: Harbour) -> Harbour:
    harbour.backstop.set_parameters({**BACKSTOP, "mode": DELEVERAGE})
    return harbour


def test_counterparties_bear_the_deficit_by_notional(deleveraging: Harbour) -> None:
    harbour = deleveraging
    account, near, far = break_down(harbour)
    deficit = -harbour.equity(account)
    before = {each: harbour.equity(each) for each in (account, near, far)}
    harbour.backstop.deleverage(
        account,
        [
            (near, harbour.perp, 9 * WAD),
            (far, harbour.perp, 9 * WAD),
            (far, harbour.call(3500), 9 * WAD),
        ],
    )
    events = harbour.logged("Deleveraged")
    assert [event["size"] for event in events] == [-3 * WAD, -2 * WAD, -WAD // 5]
    charges = [event["charge"] for event in events]
    assert 0 <= sum(charges) - deficit <= 3
    notionals = [3 * 2200, 2 * 2200, 2200 // 5]
    for charge, notional in zip(charges, notionals, strict=True):
        assert abs(charge * sum(notionals) - deficit * notional) <= sum(notionals)
    assert 0 <= harbour.equity(account) <= 3
    assert abs(before[near] - harbour.equity(near) - charges[0]) < 10**12
    assert abs(before[far] - harbour.equity(far) - charges[1] - charges[2]) < 10**12
    assert harbour.house.positions(account) == []
    harbour.liquidator.resolve(account)
    harbour.check_conservation()


def test_deleveraging_in_several_calls_charges_the_same(deleveraging: Harbour) -> None:
    harbour = deleveraging
    account, near, far = break_down(harbour)
    deficit = -harbour.equity(account)
    charges = 0
    for item in ((near, harbour.perp), (far, harbour.perp), (far, harbour.call(3500))):
        harbour.backstop.deleverage(account, [(*item, 9 * WAD)])
        charges += harbour.logged("Deleveraged")[0]["charge"]
    assert 0 <= charges - deficit <= 10
    assert 0 <= harbour.equity(account) <= 10


def test_refusals_of_deleveraging(deleveraging: Harbour) -> None:
    harbour = deleveraging
    account, near, far = break_down(harbour)

    def deleverage(*items: tuple[int, int, int]) -> None:
        harbour.backstop.deleverage(account, list(items))

    with pytest.raises(Reverted, match="backstop: scores increase"):
        deleverage((far, harbour.perp, WAD), (near, harbour.perp, WAD))
    with pytest.raises(Reverted, match="backstop: not opposite"):
        deleverage((near, harbour.call(3500), WAD))
    with pytest.raises(Reverted, match="backstop: not opposite"):
        deleverage((near, harbour.call(4000), WAD))
    with pytest.raises(Reverted, match="backstop: nothing to close"):
        deleverage((near, harbour.perp, 10**9 - 1))
    for each in (account, FUND):
        with pytest.raises(Reverted, match="backstop: not a counterparty"):
            deleverage((each, harbour.perp, WAD))


def test_who_may_be_deleveraged_and_when(harbour: Harbour) -> None:
    account, near, _ = break_down(harbour)
    item = [(near, harbour.perp, WAD)]
    with pytest.raises(Reverted, match="backstop: no deleveraging"):
        harbour.backstop.deleverage(account, item)
    harbour.backstop.set_parameters({**BACKSTOP, "mode": DELEVERAGE})
    with pytest.raises(Reverted, match="backstop: insolvent path is not over"):
        harbour.backstop.deleverage(near, item)
    harbour.evm.time += 10 * HOUR
    with pytest.raises(Reverted, match="backstop: market is stale"):
        harbour.backstop.deleverage(account, item)
    harbour.push(3000)
    with pytest.raises(Reverted, match="backstop: account is healthy"):
        harbour.backstop.deleverage(account, item)


def test_a_counterparty_stays_above_maintenance(deleveraging: Harbour) -> None:
    harbour = deleveraging
    account, near, far = break_down(harbour)
    # What is left without the perpetuals is three naked puts in the money.
    harbour.trade(far, near, harbour.put(2500), 3 * WAD, 300 * WAD)
    burn(harbour, near, far)
    with pytest.raises(Reverted, match="backstop: counterparty below maintenance"):
        harbour.backstop.deleverage(account, [(near, harbour.perp, 3 * WAD)])


def test_a_counterparty_in_liquidation_is_left_alone(deleveraging: Harbour) -> None:
    harbour = deleveraging
    account, near, far = break_down(harbour)
    burn(harbour, near, far)
    harbour.wait(60, 2320)
    harbour.flag(near)
    with pytest.raises(Reverted, match="backstop: counterparty in liquidation"):
        harbour.backstop.deleverage(account, [(near, harbour.perp, WAD)])


def test_with_deleveraging_the_fund_pays_first_and_nobody_is_cut(deleveraging: Harbour) -> None:
    harbour = deleveraging
    account, *_ = break_down(harbour)
    keeper = harbour.open("keeper", dollars=100_000)
    with pytest.raises(Reverted, match="cash: fund exhausted"):
        harbour.bid(account, keeper)
    with pytest.raises(Reverted, match="liquidator: cannot close"):
        harbour.liquidator.close(account)
    mark = harbour.evm.snapshot()
    harbour.deposit(FUND, 10_000 * USD)
    harbour.bid(account, keeper)
    harbour.evm.revert(mark)
    harbour.deposit(FUND, 10_000 * USD)
    harbour.liquidator.close(account)
    harbour.check_conservation()


def test_after_the_grace_the_fund_takes_over_all_the_same(deleveraging: Harbour) -> None:
    harbour = deleveraging
    account, *_ = break_down(harbour)
    assert not harbour.backstop.can_take_over(account, harbour.equity(account))
    harbour.wait(BACKSTOP["grace"], 2200)
    assert harbour.backstop.can_take_over(account, harbour.equity(account))
    harbour.liquidator.close(account)
    assert harbour.logged("Covered")[0]["mutualised"] > 0
    harbour.check_conservation()


# The withdrawal lock


def test_withdrawals_are_locked_while_losses_exceed_the_fund(harbour: Harbour) -> None:
    _, near, _ = break_down(harbour)
    owner = harbour.owner(near)
    assert harbour.backstop.locked()
    with pytest.raises(Reverted, match="registry: withdrawals are locked"):
        harbour.house.withdraw(near, 0, USD, owner, sender=owner)
    harbour.deposit(FUND, 10_000 * USD)
    assert not harbour.backstop.locked()
    harbour.house.withdraw(near, 0, USD, owner, sender=owner)


def test_the_lock_leaves_dust_and_ends(harbour: Harbour) -> None:
    account, *_ = break_down(harbour)
    loss = harbour.liquidator.insolvency()[0]
    harbour.backstop.set_parameters({**BACKSTOP, "lock_dust": loss})
    assert not harbour.backstop.locked()
    harbour.backstop.set_parameters({**BACKSTOP, "lock_dust": loss - 1})
    assert harbour.backstop.locked()
    harbour.evm.time = harbour.liquidator.insolvency()[1] + BACKSTOP["lock_length"] - 1
    assert harbour.backstop.locked()
    harbour.evm.time += 1
    assert not harbour.backstop.locked()
    harbour.push(2200)
    harbour.liquidator.close(account)
    assert harbour.liquidator.insolvency() == (0, 0)


def test_an_insolvency_of_dust_does_not_use_up_the_lock(harbour: Harbour) -> None:
    """One that stayed below the threshold for longer than the lock lasts, then a large one."""
    harbour.backstop.set_parameters({**BACKSTOP, "lock_dust": 100 * WAD})
    dust, other = harbour.open("dust", dollars=1), harbour.open("other", dollars=1000)
    harbour.trade(other, dust, harbour.perp, WAD // 2000, 3000 * WAD)
    harbour.wait(60, 5100)
    harbour.flag(dust)
    total, since = harbour.liquidator.insolvency()
    assert 0 < total < 100 * WAD
    assert since == 0
    harbour.wait(25 * HOUR, 3000)
    break_down(harbour)
    assert harbour.liquidator.insolvency()[1] == harbour.evm.time - HOUR
    assert harbour.backstop.locked()


def test_an_excess_that_nobody_recorded_locks_from_its_record_on(harbour: Harbour) -> None:
    """The threshold falls below a sum of shortfalls that stays what it is."""
    harbour.backstop.set_parameters({**BACKSTOP, "lock_dust": 10_000 * WAD})
    account, *_ = break_down(harbour)
    assert harbour.liquidator.insolvency()[1] == 0
    harbour.wait(3 * DAY, 2200)
    harbour.backstop.set_parameters(BACKSTOP)
    assert harbour.backstop.locked()
    harbour.liquidator.refresh(account)
    assert harbour.liquidator.insolvency()[1] == harbour.evm.time
    harbour.evm.time += BACKSTOP["lock_length"] - 1
    assert harbour.backstop.locked()
    harbour.evm.time += 1
    assert not harbour.backstop.locked()


def locks_from_its_threshold_on(harbour: Harbour) -> None:
    """Below what fees bear, above all cash, and where the worth of the fund decides."""
    threshold, cash = harbour.backstop.lock_threshold(), harbour.house.cash(FUND)
    for total in (0, threshold, threshold + 1, threshold + cash, threshold + 2 * cash):
        assert harbour.backstop.locks(total) == (total > threshold)


def test_cash_against_what_the_fund_owes_does_not_count(harbour: Harbour) -> None:
    """The cash of a fund short of calls is the calls' holders'."""
    writer, buyer = harbour.open("writer", dollars=7000), harbour.open("buyer", dollars=10_000)
    harbour.trade(buyer, writer, harbour.call(3000), 5 * WAD, 100 * WAD)
    harbour.deposit(FUND, 100 * USD)
    assert harbour.backstop.capacity() == 100 * WAD
    harbour.wait(60, 4450)
    harbour.flag(writer)
    harbour.wait(7200, 4450)
    if harbour.liquidator.phase(writer) == 1:
        harbour.liquidator.turn_insolvent(writer)
    harbour.wait(HOUR, 4450)
    harbour.liquidator.close(writer)
    assert harbour.house.cash(FUND) > 7000 * WAD
    assert harbour.backstop.capacity() == max(harbour.equity(FUND), 0) < 1000 * WAD
    locks_from_its_threshold_on(harbour)
    short, long = harbour.open("short", 2500), harbour.open("long", 50_000)
    harbour.trade(long, short, harbour.perp, 2 * WAD, 4450 * WAD)
    harbour.wait(60, 6500)
    assert harbour.equity(FUND) < 0
    assert harbour.backstop.capacity() == 0
    locks_from_its_threshold_on(harbour)
    harbour.flag(short)
    assert harbour.liquidator.insolvency()[0] > 0
    owner = harbour.owner(long)
    with pytest.raises(Reverted, match="registry: withdrawals are locked"):
        harbour.house.withdraw(long, 0, USD, owner, sender=owner)


# Parameters


def test_only_the_owner_sets(harbour: Harbour) -> None:
    with pytest.raises(Reverted, match="backstop: not owner"):
        harbour.backstop.set_parameters(BACKSTOP, sender=harbour.matcher)
    harbour.backstop.set_parameters({**BACKSTOP, "grace": 7})
    assert harbour.backstop.parameters().grace == 7
    assert harbour.logged("ParametersSet")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mode": 0}, "one mode"),
        ({"mode": 3}, "one mode"),
        ({"grace": 7 * DAY + 1}, "grace out of range"),
        ({"lock_dust": 10**27 + 1}, "dust out of range"),
        ({"lock_length": 7 * DAY + 1}, "lock out of range"),
    ],
)
def test_parameters_have_bounds(harbour: Harbour, change: dict[str, int], reason: str) -> None:
    with pytest.raises(Reverted, match=f"backstop: {reason}"):
        harbour.backstop.set_parameters({**BACKSTOP, **change})


def test_capacity_is_fees_and_fund(harbour: Harbour) -> None:
    harbour.deposit(FUND, 5 * USD)
    assert harbour.backstop.capacity() == 5 * WAD
