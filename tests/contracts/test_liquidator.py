"""The liquidation state machine: every transition, every refusal, and what a bid may do."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.contracts.feeds import ETH, FORWARD, HOUR, MARK, RATE, SPOT, STABLE, WAD
from tests.contracts.harbour import INSTRUMENT, LIQUIDATION, TRADE, USD, WETH, Harbour
from tests.evm import Contract, Reverted
from tests.evm import _reason as revert_text

SOLVENT, INSOLVENT = 1, 2
FUND = 0
UNLIMITED = 2**128
# What 1e-9 of each of these accounts' positions may come to.
DUST = 10**14


@pytest.fixture
def book(harbour: Harbour) -> tuple[int, int]:
    """An account long 5 ETH perpetuals on 3,700 dollars, and a rich bidder."""
    account, other = harbour.open("alice", dollars=3700), harbour.open("bob", dollars=10**6)
    harbour.trade(account, other, harbour.perp, 5 * WAD, 3000 * WAD)
    harbour.trade(account, other, harbour.call(4000), WAD // 10, 0)
    return account, harbour.open("keeper", dollars=10**6)


@pytest.fixture
def flagged(harbour: Harbour, book: tuple[int, int]) -> tuple[int, int]:
    """The same in the solvent phase: equity about 1,900, maintenance about 2,500."""
    harbour.wait(60, 2640)
    harbour.flag(book[0])
    return book


@pytest.fixture
def broke(harbour: Harbour, book: tuple[int, int]) -> tuple[int, int]:
    """The same in the insolvent phase: equity about -300."""
    harbour.wait(60, 2200)
    harbour.flag(book[0])
    return book


# Flag


def test_an_account_below_maintenance_is_flagged(harbour: Harbour, book: tuple[int, int]) -> None:
    account, keeper = book
    harbour.wait(60, 2640)
    assert harbour.liquidator.quote(account).can_flag
    equity, _, maintenance, _ = harbour.gate.margins(account)
    harbour.flag(account, keeper)
    assert harbour.logged("Flagged") == [
        {
            "account": account,
            "flagger": keeper,
            "phase": SOLVENT,
            "equity": equity,
            "maintenance": maintenance,
            "buffer": LIQUIDATION["buffer"],
            "duration": LIQUIDATION["solvent_duration"],
            "start_price": LIQUIDATION["start_price"],
            "reward": 0,
        }
    ]
    assert harbour.liquidator.phase(account) == harbour.house.phase(account) == SOLVENT
    state = harbour.liquidator.liquidation(account)
    assert (state.started, state.reserved, state.sold) == (harbour.evm.time, 0, 0)


def test_a_proof_of_one_scenario_flags(harbour: Harbour, book: tuple[int, int]) -> None:
    account, _ = book
    harbour.wait(60, 2640)
    worst = harbour.lens.assess(account).binding_down[0]
    harbour.flag(account, FUND, [worst])
    assert harbour.liquidator.phase(account) == SOLVENT


def test_a_scenario_that_shows_nothing_does_not_flag(
    harbour: Harbour, book: tuple[int, int]
) -> None:
    account, _ = book
    harbour.wait(60, 2640)
    best = harbour.lens.assess(account).binding_up[0]
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        harbour.flag(account, FUND, [best])


def test_flags_that_are_refused(harbour: Harbour, book: tuple[int, int]) -> None:
    account, _ = book
    with pytest.raises(Reverted, match="liquidator: account is healthy"):
        harbour.flag(account)
    harbour.wait(60, 2640)
    with pytest.raises(Reverted, match="liquidator: no such flagger"):
        harbour.flag(account, 99)
    harbour.flag(account)
    with pytest.raises(Reverted, match="liquidator: already flagged"):
        harbour.flag(account)


def test_flagging_has_its_own_staleness(harbour: Harbour, book: tuple[int, int]) -> None:
    account, _ = book
    harbour.push(2640)
    harbour.evm.time += 2 * HOUR
    harbour.flag(account)
    mark = harbour.evm.snapshot()
    harbour.evm.time += 10 * HOUR
    with pytest.raises(Reverted, match="liquidator: market is stale"):
        harbour.liquidator.resolve(account)
    harbour.evm.revert(mark)


def test_a_stale_market_does_not_flag(harbour: Harbour, book: tuple[int, int]) -> None:
    harbour.push(2640)
    harbour.evm.time += 10 * HOUR
    with pytest.raises(Reverted, match="liquidator: market is stale"):
        harbour.flag(book[0])
    seen = harbour.liquidator.quote(book[0])
    assert not seen.can_flag
    assert seen.usable & 4 == 0


def test_without_equity_the_insolvent_phase_begins_at_once(
    harbour: Harbour, broke: tuple[int, int]
) -> None:
    account, _ = broke
    equity = harbour.equity(account)
    assert harbour.liquidator.phase(account) == INSOLVENT
    assert harbour.liquidator.liquidation(account).shortfall == -equity
    assert harbour.liquidator.insolvency() == (-equity, harbour.evm.time)


# What a running liquidation forbids and allows


def test_a_flagged_account_is_closed_to_its_owner(
    harbour: Harbour, flagged: tuple[int, int]
) -> None:
    account, other = flagged[0], harbour.open("alice", dollars=10)
    owner = harbour.owner(account)
    for function, args in (
        ("withdraw", (account, 0, 1, owner)),
        ("transfer", (account, other, 0, 1)),
        ("transfer", (other, account, 0, 1)),
        ("switch_scheme", (account, 1)),
    ):
        with pytest.raises(Reverted, match="clearing: in liquidation"):
            getattr(harbour.house, function)(*args, sender=owner)


def test_a_flagged_account_trades_only_at_full_initial_margin(
    harbour: Harbour, flagged: tuple[int, int]
) -> None:
    account, keeper = flagged
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.trade(keeper, account, harbour.perp, WAD, 2640 * WAD)
    harbour.trade(keeper, account, harbour.perp, 4 * WAD, 2640 * WAD)
    harbour.liquidator.resolve(account)
    assert harbour.liquidator.phase(account) == 0


def test_an_owner_cures_by_depositing(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, _ = flagged
    with pytest.raises(Reverted, match="liquidator: cannot resolve"):
        harbour.liquidator.resolve(account)
    harbour.deposit(account, 5000 * USD)
    assert harbour.liquidator.quote(account).can_resolve
    harbour.liquidator.resolve(account)
    (event,) = harbour.logged("Resolved")
    assert event["account"] == account
    assert harbour.house.phase(account) == 0
    assert harbour.liquidator.liquidation(account).started == 0


def test_a_new_liquidator_ends_what_another_began(
    harbour: Harbour, flagged: tuple[int, int]
) -> None:
    """The clearing house still has the account's phase: once it is healthy anyone clears that."""
    account, _ = flagged
    owner = harbour.owner(account)
    liquidator = harbour.evm.deploy("Liquidator.vy", harbour.registry.address)
    harbour.registry.set_contracts(
        (
            harbour.house.address,
            harbour.gate.address,
            harbour.oracle.address,
            liquidator.address,
            harbour.backstop.address,
        )
    )
    assert liquidator.phase(account) == 0
    with pytest.raises(Reverted, match="liquidator: cannot resolve"):
        liquidator.resolve(account)
    assert (liquidator.quote(account).can_flag, liquidator.quote(account).can_resolve) == (
        True,
        False,
    )
    harbour.deposit(account, 2000 * USD)
    with pytest.raises(Reverted, match="clearing: in liquidation"):
        harbour.house.withdraw(account, 0, 1, owner, sender=owner)
    assert liquidator.quote(account).can_resolve
    liquidator.resolve(account)
    assert harbour.house.phase(account) == 0
    harbour.house.withdraw(account, 0, 1, owner, sender=owner)
    assert not liquidator.quote(account).can_resolve
    with pytest.raises(Reverted, match="liquidator: cannot resolve"):
        liquidator.resolve(account)


def test_an_insolvent_account_is_cured_at_maintenance(
    harbour: Harbour, broke: tuple[int, int]
) -> None:
    account, _ = broke
    harbour.deposit(account, (-harbour.health(account)) // 10**12 + 1)
    harbour.liquidator.resolve(account)
    assert harbour.liquidator.phase(account) == 0
    assert harbour.liquidator.insolvency() == (0, 0)


# Bids in the solvent phase


def test_the_largest_bid_ends_the_liquidation(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    equity, _, maintenance, _ = harbour.gate.margins(account)
    p = Fraction(98, 100)
    target = maintenance + -(-maintenance // 10)
    exact = Fraction(target - equity, 1) / (target - (1 - p) * equity)
    fraction, paid = harbour.bid(account, keeper)
    assert exact <= Fraction(fraction, WAD) <= exact + Fraction(1, 10**15)
    assert harbour.liquidator.phase(account) == 0
    (event,) = harbour.logged("Bid")
    assert event["price"] == paid
    assert 0 <= paid * 100 - event["value"] * 98 <= event["value"] // 100
    assert event["equity_after"] - event["maintenance_after"] >= equity - maintenance
    harbour.check_conservation()


def test_a_bid_takes_the_same_fraction_of_every_balance(harbour: Harbour) -> None:
    account, other = harbour.open("alice", dollars=1000), harbour.open("bob", dollars=10**6)
    keeper = harbour.open("keeper", dollars=10**6)
    harbour.deposit(account, WAD, WETH)
    harbour.trade(account, other, harbour.perp, 4 * WAD, 3000 * WAD)
    harbour.trade(other, account, harbour.call(3500), WAD, 0)
    harbour.wait(60, 2560)
    harbour.flag(account)
    harbour.house.settle(account)
    before = harbour.house.book(account)
    fraction, _ = harbour.bid(account, keeper, WAD // 7)
    assert fraction == WAD // 7
    taken = harbour.house.book(keeper)
    for word, moved in zip(before.positions, taken.positions, strict=True):
        size = word >> 160 if word >> 255 == 0 else (word >> 160) - 2**96
        part = moved >> 160 if moved >> 255 == 0 else (moved >> 160) - 2**96
        assert abs(part) == abs(size) * fraction // WAD
    assert taken.holdings[0].amount == before.holdings[0].amount * fraction // WAD
    harbour.check_conservation()


def test_cash_from_bids_is_not_for_sale(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    harbour.bid(account, keeper, WAD // 10)
    (first,) = harbour.logged("Bid")
    assert harbour.liquidator.liquidation(account).reserved == first["price"]
    assert harbour.liquidator.liquidation(account).sold == WAD // 10
    before, held = harbour.equity(account), harbour.house.book(account)
    harbour.bid(account, keeper, WAD // 10)
    (second,) = harbour.logged("Bid")
    cash = held.cash + held.unsettled
    taken = Fraction((cash - first["price"]) * second["fraction"], WAD)
    assert harbour.house.cash(account) == cash - int(taken) + second["price"]
    sold = before - first["price"]
    assert 0 <= second["value"] * 10 - sold < 10 * DUST
    state = harbour.liquidator.liquidation(account)
    assert state.reserved == first["price"] + second["price"]
    assert state.sold == WAD // 10 + (WAD - WAD // 10) // 10


def test_a_bid_pays_at_least_what_keeps_health(harbour: Harbour, flagged: tuple[int, int]) -> None:
    """At the end of the path the price would be 0; E - M still must not fall."""
    account, keeper = flagged
    harbour.wait(7100, 2640)
    before = harbour.health(account)
    equity, _, maintenance, _ = harbour.gate.margins(account)
    price = harbour.liquidator.quote(account).price_fraction
    assert price == max(WAD - maintenance * WAD // equity, WAD * 98 // 100 * 100 // 7200)
    harbour.bid(account, keeper, WAD // 2)
    (event,) = harbour.logged("Bid")
    assert event["equity_after"] - event["maintenance_after"] >= before
    assert harbour.equity(account) >= 0


def test_price_falls_with_time(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, _ = flagged
    seen = []
    for _ in range(4):
        seen.append(harbour.liquidator.quote(account).price_fraction)
        harbour.wait(1200, 2640)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == LIQUIDATION["start_price"]


def test_a_price_path_that_has_begun_stays_as_it_is(
    harbour: Harbour, flagged: tuple[int, int]
) -> None:
    """Where the built-in rule answers, whatever the owner sets; the next has what is set then."""
    account, keeper = flagged
    harbour.wait(1800)
    before = harbour.liquidator.quote(account)
    changed = {"solvent_duration": 1800, "start_price": WAD // 2, "buffer": WAD // 5}
    harbour.liquidator.set_parameters({**LIQUIDATION, **changed})
    assert harbour.liquidator.quote(account) == before
    assert before.price_fraction == LIQUIDATION["start_price"] * 3 // 4
    course = harbour.liquidator.liquidation(account)
    assert (course.start_price, course.duration) == (LIQUIDATION["start_price"], 7200)

    harbour.bid(account, keeper, WAD // 5)
    harbour.wait(60, 2250)
    harbour.liquidator.restart(account)
    (begun,) = harbour.logged("Restarted")
    assert (begun["start_price"], begun["duration"]) == (WAD // 2, 1800)
    course = harbour.liquidator.liquidation(account)
    assert (course.start_price, course.duration, course.buffer) == (WAD // 2, 1800, WAD // 10)
    assert course.flagger == FUND
    assert harbour.liquidator.quote(account).price_fraction == WAD // 2


def test_a_new_rule_prices_what_runs_and_a_bidders_limit_guards_it(
    harbour: Harbour, flagged: tuple[int, int]
) -> None:
    """For the rest of the time that the phase had: a rule found wrong must not go on."""
    account, keeper = flagged
    harbour.wait(3600)
    seen, course = harbour.liquidator.quote(account), harbour.liquidator.liquidation(account)
    rule = harbour.evm.deploy("rules/PartialStep.vy", WAD, 0, WAD // 100, 900, 900, 0)
    harbour.liquidator.set_rule(rule.address)
    assert harbour.liquidator.quote(account).price_fraction == 99 * WAD // 100
    assert harbour.liquidator.liquidation(account) == course
    with pytest.raises(Reverted, match="liquidator: price above limit"):
        harbour.bid(account, keeper, seen.max_fraction, limit=seen.price, state=seen.state)


def test_guards_of_a_bidder(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    seen = harbour.liquidator.quote(account)
    with pytest.raises(Reverted, match="liquidator: price above limit"):
        harbour.bid(account, keeper, limit=seen.price * 99 // 100)
    with pytest.raises(Reverted, match="liquidator: state has changed"):
        harbour.bid(account, keeper, state=seen.state + 1)
    harbour.bid(account, keeper, WAD // 10, limit=seen.price, state=seen.state)
    with pytest.raises(Reverted, match="liquidator: state has changed"):
        harbour.bid(account, keeper, WAD // 10, state=seen.state)


def test_settling_leaves_the_expected_state(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    state = harbour.liquidator.state(account)
    harbour.house.settle(account)
    harbour.wait(60, 2630)
    assert harbour.liquidator.state(account) == state
    harbour.bid(account, keeper, WAD // 10, state=state)


def test_bids_that_are_refused(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    healthy = harbour.open("carol", dollars=100)
    with pytest.raises(Reverted, match="liquidator: not flagged"):
        harbour.bid(healthy, keeper)
    with pytest.raises(Reverted, match="liquidator: own account"):
        harbour.bid(account, account)
    with pytest.raises(Reverted, match="liquidator: not allowed"):
        harbour.liquidator.bid(account, keeper, WAD, UNLIMITED, 0, sender=harbour.owner(healthy))
    with pytest.raises(Reverted, match="liquidator: not allowed"):
        harbour.liquidator.bid(account, FUND, WAD, UNLIMITED, 0)
    with pytest.raises(Reverted, match="liquidator: bid too small"):
        harbour.bid(account, keeper, WAD // 100 - 1)
    with pytest.raises(Reverted, match="liquidator: bidder below initial margin"):
        harbour.bid(account, healthy)


def test_an_account_in_liquidation_does_not_bid(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, _ = flagged
    other, rich = harbour.open("dave", dollars=3700), harbour.open("erin", dollars=10**6)
    harbour.push(3000)
    harbour.trade(other, rich, harbour.perp, 5 * WAD, 3000 * WAD)
    harbour.push(2640)
    harbour.flag(other)
    with pytest.raises(Reverted, match="liquidator: bidder is in liquidation"):
        harbour.bid(account, other)


def test_an_operator_bids_for_its_account(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    operator = harbour.evm.address("operator")
    harbour.house.grant(keeper, operator, TRADE, sender=harbour.owner(keeper))
    harbour.liquidator.bid(account, keeper, WAD // 10, UNLIMITED, 0, sender=operator)


def test_nothing_is_sold_above_the_buffer(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    harbour.deposit(account, 5000 * USD)
    assert harbour.liquidator.quote(account).max_fraction == 0
    with pytest.raises(Reverted, match="liquidator: nothing to sell"):
        harbour.bid(account, keeper)


def test_the_log_names_the_mark_at_which_a_bidder_takes_a_perpetual(harbour: Harbour) -> None:
    """And the funding index, on both sides: what each account stores can be told from events."""
    account, bidder = harbour.open("alice", dollars=3700), harbour.open("bidder", dollars=100_000)
    maker = harbour.open("maker", dollars=100_000)
    harbour.trade(account, maker, harbour.perp, 5 * WAD, 3000 * WAD)
    began = harbour.logged("PerpSettled")
    assert [(each["account"], each["size"], each["mark"]) for each in began] == [
        (account, 0, 3000 * WAD),
        (maker, 0, 3000 * WAD),
    ]
    harbour.push(3000, 3020)
    harbour.wait(HOUR, 2640)
    harbour.flag(account)
    # Nothing is left to settle: the bidder's side alone says at which mark this moved.
    harbour.house.settle(account)
    harbour.bid(account, bidder, WAD // 10)
    (began_at,) = harbour.logged("PerpSettled")
    assert (began_at["account"], began_at["size"], began_at["pnl"]) == (bidder, 0, 0)
    mark, index = harbour.oracle.perp(ETH)
    assert (began_at["mark"], began_at["index"]) == (mark, index) == (2640 * WAD, index)
    assert index == harbour.house.funding_snapshot(bidder, ETH) != 0
    (moved,) = (each for each in harbour.logged("Moved") if each["positions"])
    assert [word & INSTRUMENT for word in moved["positions"]] == [harbour.perp]

    harbour.wait(60, 2700)
    harbour.house.settle(bidder)
    (settled,) = harbour.logged("PerpSettled")
    (word,) = harbour.house.positions(bidder)
    assert settled["mark"] == (word >> 8 & 2**88 - 1) * 10**9 == 2700 * WAD
    assert settled["index"] == harbour.house.funding_snapshot(bidder, ETH)


def test_unsettled_money_is_sold_as_cash(harbour: Harbour) -> None:
    """Expired options that nobody has settled: the bid settles what it leaves behind."""
    account, other = harbour.open("alice", weth=1), harbour.open("bob", dollars=10**6)
    keeper = harbour.open("keeper", dollars=10**6)
    harbour.trade(other, account, harbour.call(2000), 2 * WAD, 1000 * WAD)
    harbour.evm.time = harbour.expiry - 60
    harbour.push(3700)
    harbour.evm.time = harbour.expiry
    harbour.push(3700)
    unsettled = harbour.house.book(account).unsettled
    assert unsettled == -3400 * WAD
    equity = harbour.equity(account)
    harbour.house.settle(other)
    owed = harbour.house.cash(account) + unsettled
    assert owed < 0 < equity
    harbour.push(1700)
    harbour.flag(account)
    harbour.bid(account, keeper, WAD // 4)
    assert harbour.house.positions(account) == []
    assert harbour.house.book(account).unsettled == 0
    harbour.check_conservation()


# Rewards and fees


def test_the_flagger_and_the_fees_are_paid_by_the_bidder(
    harbour: Harbour, book: tuple[int, int]
) -> None:
    account, keeper = book
    flagger = harbour.open("flagger")
    rule = harbour.evm.deploy(
        "rules/DutchAuction.vy", 9 * WAD // 10, WAD // 2, 600, 6600, 3600, WAD // 50
    )
    harbour.liquidator.set_rule(rule.address)
    harbour.liquidator.set_parameters({**LIQUIDATION, "fee": WAD // 100})
    harbour.wait(60, 2640)
    harbour.flag(account, flagger)
    (event,) = harbour.logged("Flagged")
    reward = event["reward"]
    assert reward == event["equity"] * 2 // 100
    _, paid = harbour.bid(account, keeper, WAD // 4)
    (event,) = harbour.logged("Bid")
    assert event["reward"] == reward // 4
    assert event["fee"] == event["value"] // 100
    assert paid == event["price"] + event["reward"] + event["fee"]
    assert harbour.house.cash(flagger) == reward // 4
    assert harbour.house.ledger().fees == event["fee"]
    harbour.check_conservation()


def test_rewards_and_fees_stay_below_the_discount(harbour: Harbour, book: tuple[int, int]) -> None:
    account, keeper = book
    rule = harbour.evm.deploy(
        "rules/DutchAuction.vy", 999 * WAD // 1000, WAD // 2, 600, 6600, 3600, WAD // 10
    )
    harbour.liquidator.set_rule(rule.address)
    harbour.liquidator.set_parameters({**LIQUIDATION, "fee": WAD // 10})
    harbour.wait(60, 2640)
    equity = harbour.equity(account)
    harbour.flag(account, keeper)
    fraction, _ = harbour.bid(account, keeper, WAD // 4)
    (event,) = harbour.logged("Bid")
    assert 0 < event["reward"] + event["fee"] <= equity * fraction // 1000 // WAD


# Transitions of the solvent phase


def test_restart_once_new_losses_eat_the_reserve(
    harbour: Harbour, flagged: tuple[int, int]
) -> None:
    account, keeper = flagged
    with pytest.raises(Reverted, match="liquidator: cannot restart"):
        harbour.liquidator.restart(account)
    harbour.bid(account, keeper, WAD // 5)
    reserved = harbour.liquidator.liquidation(account).reserved
    harbour.wait(600, 2250)
    assert 0 < harbour.equity(account) <= reserved
    with pytest.raises(Reverted, match="liquidator: nothing to sell"):
        harbour.bid(account, keeper)
    assert harbour.liquidator.quote(account).can_restart
    harbour.liquidator.restart(account)
    state = harbour.liquidator.liquidation(account)
    assert (state.reserved, state.sold, state.started) == (0, 0, harbour.evm.time)
    assert harbour.logged("Restarted")[0]["released"] == reserved
    harbour.bid(account, keeper)
    harbour.check_conservation()


def test_turning_insolvent_without_equity(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    with pytest.raises(Reverted, match="liquidator: cannot turn insolvent"):
        harbour.liquidator.turn_insolvent(account)
    harbour.wait(60, 2200)
    with pytest.raises(Reverted, match="liquidator: nothing to sell"):
        harbour.bid(account, keeper)
    assert harbour.liquidator.quote(account).can_turn
    harbour.liquidator.turn_insolvent(account)
    assert harbour.liquidator.phase(account) == harbour.house.phase(account) == INSOLVENT
    (event,) = harbour.logged("TurnedInsolvent")
    assert event["duration"] == LIQUIDATION["insolvent_duration"]


def test_turning_insolvent_when_nobody_bid(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, _ = flagged
    harbour.wait(7200, 2640)
    harbour.liquidator.turn_insolvent(account)
    assert harbour.liquidator.insolvency() == (0, 0)


def test_after_the_path_health_is_enough(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, _ = flagged
    harbour.deposit(account, (-harbour.health(account)) // 10**12 + 1)
    with pytest.raises(Reverted, match="liquidator: cannot resolve"):
        harbour.liquidator.resolve(account)
    harbour.wait(7200)
    with pytest.raises(Reverted, match="liquidator: cannot turn insolvent"):
        harbour.liquidator.turn_insolvent(account)
    harbour.liquidator.resolve(account)


# The insolvent phase


def test_the_payout_rises_from_the_loss_to_loss_plus_margin(
    harbour: Harbour, broke: tuple[int, int]
) -> None:
    account, _ = broke
    equity, _, maintenance, _ = harbour.gate.margins(account)
    assert harbour.liquidator.quote(account).price == equity
    harbour.wait(1800, 2200)
    half = harbour.liquidator.quote(account).price
    assert half == equity - maintenance // 2
    harbour.wait(3600, 2200)
    assert harbour.liquidator.quote(account).price == equity - maintenance


def test_an_insolvent_account_is_taken_whole(harbour: Harbour, broke: tuple[int, int]) -> None:
    account, keeper = broke
    harbour.deposit(FUND, 10_000 * USD)
    harbour.wait(1800, 2200)
    equity, _, maintenance, _ = harbour.gate.margins(account)
    before = harbour.equity(keeper)
    fraction, paid = harbour.bid(account, keeper)
    assert fraction == WAD
    assert paid == equity - maintenance // 2
    assert harbour.equity(account) == 0
    assert harbour.house.positions(account) == []
    assert abs(harbour.equity(keeper) - before - equity + paid) <= 10**9
    assert harbour.liquidator.phase(account) == 0
    assert harbour.liquidator.insolvency() == (0, 0)
    assert [event["taken_over"] for event in harbour.logged("Closed")] == [False]
    assert harbour.logged("Covered")[0]["fund"] == -paid
    harbour.check_conservation()


def test_an_insolvent_account_is_taken_in_parts(harbour: Harbour, broke: tuple[int, int]) -> None:
    account, keeper = broke
    harbour.deposit(FUND, 10_000 * USD)
    for _ in range(3):
        equity, _, maintenance, _ = harbour.gate.margins(account)
        before = harbour.health(account)
        _, paid = harbour.bid(account, keeper, WAD // 3)
        assert -paid <= (maintenance - equity) // 3
        assert harbour.health(account) >= before
        assert 0 <= harbour.liquidator.insolvency()[0] + harbour.equity(account) <= DUST
    with pytest.raises(Reverted, match="liquidator: bid too small"):
        harbour.bid(account, keeper, WAD // 1000)
    harbour.bid(account, keeper)
    assert harbour.liquidator.phase(account) == 0
    harbour.check_conservation()


def test_no_bid_once_an_insolvent_account_is_healthy(
    harbour: Harbour, broke: tuple[int, int]
) -> None:
    account, keeper = broke
    harbour.deposit(account, 5000 * USD)
    with pytest.raises(Reverted, match="liquidator: nothing to sell"):
        harbour.bid(account, keeper)


def test_a_bidder_limits_what_it_receives(harbour: Harbour, broke: tuple[int, int]) -> None:
    account, keeper = broke
    harbour.deposit(FUND, 10_000 * USD)
    harbour.wait(1800, 2200)
    price = harbour.liquidator.quote(account).price
    with pytest.raises(Reverted, match="liquidator: price above limit"):
        harbour.bid(account, keeper, limit=price - 10**12)
    harbour.bid(account, keeper, limit=price)


def test_a_bidder_who_bears_part_of_its_payout_is_told_and_may_refuse(
    harbour: Harbour, broke: tuple[int, int]
) -> None:
    """Its own cash pays for what is mutualised like everyone else's."""
    account, keeper = broke
    harbour.wait(1800, 2200)
    equity, before = harbour.equity(account), harbour.equity(keeper)
    payout = -harbour.liquidator.quote(account).price
    with pytest.raises(Reverted, match="liquidator: price above limit"):
        harbour.bid(account, keeper, limit=-payout)
    taken, paid = harbour.bid(account, keeper)
    assert (taken, harbour.logged("Bid")[0]["price"]) == (WAD, -payout)
    (mutualised,) = harbour.logged("Mutualised")
    assert payout // 3 < paid + payout < mutualised["loss"]
    assert abs(harbour.equity(keeper) - before - equity + paid) < DUST


def test_the_shortfall_is_refreshed(harbour: Harbour, broke: tuple[int, int]) -> None:
    account, keeper = broke
    harbour.wait(60, 2100)
    harbour.liquidator.refresh(account)
    assert harbour.liquidator.insolvency()[0] == -harbour.equity(account)
    assert harbour.logged("ShortfallSet")[0]["total"] == -harbour.equity(account)
    with pytest.raises(Reverted, match="liquidator: not insolvent"):
        harbour.liquidator.refresh(keeper)


def test_the_backstop_closes_what_nobody_took(harbour: Harbour, broke: tuple[int, int]) -> None:
    account, _ = broke
    harbour.deposit(FUND, 10_000 * USD)
    with pytest.raises(Reverted, match="liquidator: cannot close"):
        harbour.liquidator.close(account)
    harbour.wait(3600, 2200)
    assert harbour.liquidator.quote(account).can_close
    equity = harbour.equity(account)
    harbour.liquidator.close(account)
    assert harbour.logged("Closed") == [{"account": account, "equity": equity, "taken_over": True}]
    assert harbour.liquidator.phase(account) == 0
    assert harbour.house.positions(account) == []
    assert len(harbour.house.positions(FUND)) == 2
    harbour.check_conservation()


def test_a_healthy_account_is_not_closed(harbour: Harbour, broke: tuple[int, int]) -> None:
    account, _ = broke
    harbour.wait(3600, 3000)
    with pytest.raises(Reverted, match="liquidator: cannot close"):
        harbour.liquidator.close(account)
    harbour.liquidator.resolve(account)


# Rules and parameters


def test_a_rule_that_fails_or_talks_nonsense_is_replaced(
    harbour: Harbour, book: tuple[int, int]
) -> None:
    account, keeper = book
    plain = harbour.evm.snapshot()
    harbour.wait(60, 2640)
    harbour.flag(account)
    expected = harbour.liquidator.quote(account)
    harbour.evm.revert(plain)
    for name in ("MockAggregator.vy", "MockRule.vy"):
        mark = harbour.evm.snapshot()
        rule = harbour.evm.deploy(f"testing/{name}", *((8,) if "Aggregator" in name else ()))
        harbour.liquidator.set_rule(rule.address)
        harbour.wait(60, 2640)
        harbour.flag(account)
        seen = harbour.liquidator.quote(account)
        assert seen.max_fraction == expected.max_fraction
        assert seen.price_fraction == expected.price_fraction
        harbour.bid(account, keeper)
        harbour.evm.revert(mark)


def test_a_rules_answer_is_clamped(harbour: Harbour, book: tuple[int, int]) -> None:
    account, keeper = book
    rule = harbour.evm.deploy("testing/MockRule.vy")
    rule.answer(2**255, 2**255, 2**255)
    harbour.liquidator.set_rule(rule.address)
    harbour.wait(60, 2640)
    harbour.flag(account)
    seen = harbour.liquidator.quote(account)
    assert (seen.max_fraction, seen.price_fraction, seen.charges) == (WAD, WAD, 0)
    fraction, _ = harbour.bid(account, keeper)
    (event,) = harbour.logged("Bid")
    assert (fraction, event["price"]) == (WAD, event["value"])


def test_a_rule_cannot_lower_health_nor_equity_below_zero(
    harbour: Harbour, book: tuple[int, int]
) -> None:
    account, keeper = book
    rule = harbour.evm.deploy("testing/MockRule.vy")
    rule.answer(WAD // 2, 0, 0)
    harbour.liquidator.set_rule(rule.address)
    harbour.wait(60, 2640)
    harbour.flag(account)
    before = harbour.health(account)
    for _ in range(3):
        harbour.bid(account, keeper)
        if harbour.liquidator.phase(account) == 0:
            break
        assert harbour.health(account) >= before
        assert harbour.equity(account) >= 0


def test_partial_step_takes_its_close_factor(harbour: Harbour, book: tuple[int, int]) -> None:
    account, keeper = book
    rule = harbour.evm.deploy(
        "rules/PartialStep.vy", WAD // 20, WAD // 10, WAD // 20, 7200, 3600, 0
    )
    harbour.liquidator.set_rule(rule.address)
    harbour.wait(60, 2640)
    harbour.flag(account)
    fraction, _ = harbour.bid(account, keeper)
    assert fraction == WAD // 20


def test_fixed_penalty_takes_everything(harbour: Harbour, book: tuple[int, int]) -> None:
    account, keeper = book
    rule = harbour.evm.deploy("rules/FixedPenalty.vy", WAD // 20, 1800, 900, 0)
    harbour.liquidator.set_rule(rule.address)
    harbour.wait(60, 2640)
    harbour.flag(account)
    assert harbour.liquidator.liquidation(account).duration == 1800
    fraction, _ = harbour.bid(account, keeper)
    assert fraction == WAD
    assert harbour.house.positions(account) == []
    assert harbour.liquidator.phase(account) == 0
    harbour.check_conservation()


def test_only_the_owner_sets(harbour: Harbour) -> None:
    stranger = harbour.evm.address("stranger")
    with pytest.raises(Reverted, match="liquidator: not owner"):
        harbour.liquidator.set_rule(harbour.house.address, sender=stranger)
    with pytest.raises(Reverted, match="liquidator: not owner"):
        harbour.liquidator.set_parameters(LIQUIDATION, sender=stranger)
    with pytest.raises(Reverted, match="liquidator: rule is no contract"):
        harbour.liquidator.set_rule(stranger)
    harbour.liquidator.set_rule(harbour.house.address)
    assert harbour.liquidator.rule() == harbour.house.address
    assert harbour.logged("RuleSet") == [{"rule": harbour.house.address}]
    harbour.liquidator.set_rule("0x" + "0" * 40)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"buffer": WAD + 1}, "buffer"),
        ({"min_fraction": WAD // 10 + 1}, "fraction"),
        ({"min_fraction": WAD // 1000 - 1}, "fraction"),
        ({"min_fraction": 0}, "fraction"),
        ({"fee": WAD // 10 + 1}, "fee"),
        ({"start_price": WAD + 1}, "price"),
        ({"start_price": WAD // 2 - 1}, "price"),
        ({"solvent_duration": 599}, "duration"),
        ({"insolvent_duration": 7 * 86_400 + 1}, "duration"),
    ],
)
def test_parameters_have_bounds(harbour: Harbour, change: dict[str, int], reason: str) -> None:
    with pytest.raises(Reverted, match=f"liquidator: {reason} out of range"):
        harbour.liquidator.set_parameters({**LIQUIDATION, **change})
    harbour.liquidator.set_parameters(
        {**LIQUIDATION, "fee": WAD // 10, "min_fraction": WAD // 1000}
    )
    assert harbour.liquidator.parameters().fee == WAD // 10
    assert harbour.logged("ParametersSet")


def test_the_rule_cannot_be_starved_of_gas(harbour: Harbour, book: tuple[int, int]) -> None:
    """With too little gas for the rule the call fails; it does not fall back to another price."""
    account, _ = book
    rule = harbour.evm.deploy("testing/MockRule.vy")
    rule.answer(WAD // 2, WAD // 2, 0)
    harbour.liquidator.set_rule(rule.address)
    harbour.wait(60, 2640)
    harbour.flag(account)
    assert harbour.liquidator.quote(account).max_fraction == WAD // 2
    data = harbour.liquidator.abi.function("quote", 1).encode(account)
    vm, answers, refused = harbour.evm._vm, set(), set()
    for gas in range(100_000, 2_000_000, 50_000):
        try:
            output = vm.message_call(
                harbour.matcher, harbour.liquidator.address, data, is_static=True, gas=gas
            )
        except RuntimeError as error:
            refused.add(revert_text(error))
            continue
        answers.add(harbour.liquidator.abi.function("quote", 1).decode(output).max_fraction)
    assert answers == {WAD // 2}
    assert "liquidator: not enough gas" in refused


def test_a_bidder_with_a_stale_market_waits(harbour: Harbour, flagged: tuple[int, int]) -> None:
    account, keeper = flagged
    harbour.deposit(keeper, WAD, WETH)
    seconds = 7 * HOUR
    harbour.evm.time += seconds
    desk = harbour.desk
    spot = harbour.prices["spot"]
    desk.push(STABLE, WAD)
    desk.push(SPOT, spot)
    desk.push(MARK, spot)
    desk.push(FORWARD, spot, ETH, harbour.expiry)
    desk.push(RATE, 0, ETH, harbour.expiry)
    desk.shape(ETH, harbour.expiry)
    with pytest.raises(Reverted, match="liquidator: bidder's market is stale"):
        harbour.bid(account, keeper)
    harbour.push()
    harbour.bid(account, keeper)


# Accounts so small that rounding sizes to units of 1e-9 counts


@pytest.fixture
def tiny(harbour: Harbour) -> tuple[Contract, int, int]:
    """A position of 1e-7 under an engine that answers what it is told, and a bidder."""
    engine = harbour.evm.deploy("testing/MockEngine.vy")
    harbour.registry.set_scheme(7, engine.address, 0)
    account, keeper = harbour.open("alice", dollars=1000), harbour.open("keeper", dollars=10**6)
    harbour.trade(account, keeper, harbour.perp, 10**11, 3000 * WAD)
    harbour.house.switch_scheme(account, 7, sender=harbour.owner(account))
    engine.tell(100, 10**13, 2 * 10**13)
    harbour.flag(account)
    return engine, account, keeper


def test_a_part_below_its_rounding_is_not_sold(
    harbour: Harbour, tiny: tuple[Contract, int, int]
) -> None:
    """A unit of the perpetual may come to 6e12 wei: more than a fifth of this margin."""
    _, account, keeper = tiny
    with pytest.raises(Reverted, match="liquidator: health falls"):
        harbour.bid(account, keeper, WAD // 5)
    harbour.bid(account, keeper, WAD // 2)
    (event,) = harbour.logged("Bid")
    assert event["price"] <= event["value"]
    assert event["equity_after"] - event["maintenance_after"] >= -(10**13)


def test_a_bid_never_leaves_less_than_nothing(
    harbour: Harbour, tiny: tuple[Contract, int, int]
) -> None:
    _, account, keeper = tiny
    rule = harbour.evm.deploy("testing/MockRule.vy")
    rule.answer(WAD, 0, 0)
    harbour.liquidator.set_rule(rule.address)
    with pytest.raises(Reverted, match="liquidator: account would be insolvent"):
        harbour.bid(account, keeper, WAD * 99 // 100)
    harbour.bid(account, keeper)


def test_a_small_part_of_a_small_insolvency_is_not_sold(
    harbour: Harbour, tiny: tuple[Contract, int, int]
) -> None:
    engine, account, keeper = tiny
    engine.tell(100, -(10**13), 2 * 10**13)
    harbour.liquidator.turn_insolvent(account)
    with pytest.raises(Reverted, match="liquidator: health falls"):
        harbour.bid(account, keeper, WAD // 5)
    harbour.deposit(FUND, 1)
    harbour.bid(account, keeper, WAD // 2)


# Who bids


def test_a_bidder_of_cash_alone_is_not_asked_about(
    harbour: Harbour, tiny: tuple[Contract, int, int]
) -> None:
    """Its part of the account's margins shows that it may; one that holds more is asked about."""
    engine, account, _ = tiny
    plain, holder = harbour.open("plain", dollars=1000), harbour.open("holder", dollars=1000)
    for bidder in (plain, holder):
        harbour.house.switch_scheme(bidder, 7, sender=harbour.owner(bidder))
    harbour.deposit(holder, 1, WETH)
    engine.tell(50, 0, 10**30)
    with pytest.raises(Reverted, match="liquidator: bidder below initial margin"):
        harbour.bid(account, holder, WAD // 2)
    harbour.bid(account, plain, WAD // 2)


def test_a_bidder_whose_options_expired_against_it_does_not_bid(harbour: Harbour) -> None:
    """A loss that is not settled yet is no position, and no stored cash shows it either."""
    harbour.open("lender", 500_000)
    bidder, buyer = harbour.open("writer", 31_000), harbour.open("buyer", 50_000)
    harbour.trade(buyer, bidder, harbour.call(3000), 40 * WAD, 90 * WAD)
    for minute in range(35):
        harbour.evm.time = harbour.expiry - 60 * (35 - minute)
        harbour.desk.push(FORWARD, 4000 * WAD, ETH, harbour.expiry)
    harbour.evm.time = harbour.expiry + 60
    harbour.push(3000)
    book = harbour.house.book(bidder)
    assert book.positions == []
    assert book.cash > 0 > harbour.equity(bidder)

    # Nothing but collateral and debt moves, so that nothing of the bidder is settled.
    borrower = harbour.open("borrower", weth=20)
    equity, initial, *_ = harbour.gate.margins(borrower)
    owner = harbour.owner(borrower)
    harbour.house.withdraw(borrower, 0, (equity - initial) // 10**12 - USD, owner, sender=owner)
    while harbour.health(borrower) >= 0:
        harbour.wait(60, harbour.prices["spot"] // WAD - 10)
    harbour.flag(borrower)
    with pytest.raises(Reverted, match="bidder below initial margin"):
        harbour.bid(borrower, bidder)


@pytest.mark.parametrize("fraction", [WAD // 7, WAD // 50])
def test_a_bidder_of_cash_needs_initial_margin_for_its_part(
    harbour: Harbour, flagged: tuple[int, int], fraction: int
) -> None:
    """To the dollar: with less than its part of the margin it is refused, with more it is not."""
    account, _ = flagged
    equity, initial, _, _ = harbour.gate.margins(account)
    price = equity * fraction // WAD * 98 // 100
    need = price + (initial - equity) * fraction // WAD
    poor = harbour.open("poor", dollars=need // WAD - 1)
    with pytest.raises(Reverted, match="liquidator: bidder below initial margin"):
        harbour.bid(account, poor, fraction)
    able = harbour.open("able", dollars=need // WAD + 2)
    harbour.bid(account, able, fraction)
    equity, initial, *_ = harbour.gate.margins(able)
    assert initial <= equity <= initial + 3 * WAD


def test_a_bidder_under_another_scheme_is_asked_about(
    harbour: Harbour, flagged: tuple[int, int]
) -> None:
    """The account's margins say nothing of what another engine asks for."""
    account, _ = flagged
    engine = harbour.evm.deploy("testing/MockEngine.vy")
    harbour.registry.set_scheme(7, engine.address, 0)
    keeper = harbour.open("other", dollars=10**6)
    harbour.house.switch_scheme(keeper, 7, sender=harbour.owner(keeper))
    engine.tell(harbour.house.positions(account)[0] >> 160, WAD, 2 * WAD)
    engine.tell((harbour.house.positions(account)[0] >> 160) // 4, WAD, 2 * WAD)
    with pytest.raises(Reverted, match="liquidator: bidder below initial margin"):
        harbour.bid(account, keeper, WAD // 4)
