"""One test for every way in which another protocol is known to have failed.

The names say whose failure it was: Lyra's and Derive's findings are those of their audits and
repository, the others are losses of public record.
"""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tests.contracts.feeds import (
    ASSET,
    CLOSING,
    DAY,
    ETH,
    FORWARD,
    HOUR,
    LIQUIDATION,
    MARK,
    SPOT,
    STABLE,
    WAD,
    Desk,
    feed,
)
from tests.contracts.harbour import (
    BACKSTOP,
    SCHEME,
    SETTINGS,
    TRADE,
    TRANSFER,
    USD,
    WETH,
    WITHDRAW,
    Harbour,
)
from tests.contracts.harbour import (
    LIQUIDATION as PARAMETERS,
)
from tests.contracts.test_adapters import Chain, Reading
from tests.evm import Evm, Reverted

ALL_ROLES = TRADE | WITHDRAW | TRANSFER | SETTINGS
SOLVENT, INSOLVENT = 1, 2
PAUSE_ALL = 3


def short_squeeze(harbour: Harbour, spot: int) -> tuple[int, int]:
    """A short of two perpetuals with 5000 dollars, after the spot has risen; and its buyer.

    At 5000 the short is solvent below maintenance margin; at 5600 it owes 200.
    """
    short, long = harbour.open("short", 5000), harbour.open("long", 50_000)
    harbour.trade(long, short, harbour.perp, 2 * WAD, 3000 * WAD)
    harbour.wait(60, spot)
    return short, long


def fund(harbour: Harbour, dollars: int) -> None:
    harbour.deposit(0, dollars * USD)


def is_at_buffer(harbour: Harbour, account: int) -> bool:
    """Whether equity is (1 + b) times maintenance, but for what sizes are rounded to."""
    equity, _, maintenance, _ = harbour.gate.margins(account)
    target = maintenance * (WAD + PARAMETERS["buffer"]) // WAD
    return bool(equity >= target - 10**9 * 6000)


# Lyra's audit of 2023


@pytest.mark.parametrize("attack", ["withdraw", "flag", "bid", "novate", "deposit"])
def test_lyra01_reentrant_liquidation_through_a_callback(harbour: Harbour, attack: str) -> None:
    """A callee that calls back in the middle of a transfer finds everything locked."""
    short, _ = short_squeeze(harbour, 5000)
    thief = harbour.open("thief", 10_000)
    owner = harbour.owner(thief)
    token = harbour.quote
    for operator in (token.address, harbour.matcher):
        harbour.house.grant(thief, operator, ALL_ROLES & ~SETTINGS, sender=owner)
    harbour.direct.set_matcher(token.address, True)
    calls: dict[str, tuple[Any, str, tuple[Any, ...]]] = {
        "withdraw": (harbour.house, "withdraw", (thief, 0, 1000 * USD, owner)),
        "flag": (harbour.liquidator, "flag", (short, [], thief)),
        "bid": (harbour.liquidator, "bid", (short, thief, WAD, 2**100, 0)),
        "novate": (
            harbour.direct,
            "trade",
            ([(thief, harbour.perp, WAD, 0), (short, harbour.perp, -WAD, 0)],),
        ),
        "deposit": (harbour.house, "deposit", (thief, 0, 0)),
    }
    if attack == "bid":
        harbour.flag(short)
    target, name, args = calls[attack]
    data = target.abi.function(name, len(args)).encode(*args)
    token.call_back(target.address, data)
    before = harbour.house.cash(thief), harbour.liquidator.phase(short)
    harbour.house.withdraw(thief, 0, 1000 * USD, owner, sender=owner)
    (called,) = [event for event in harbour.evm.events if event.name == "CalledBack"]
    assert called.args["success"] is False
    after = harbour.house.cash(thief), harbour.liquidator.phase(short)
    assert after == (before[0] - 1000 * WAD, before[1])
    harbour.check_conservation()


def test_lyra02_dusted_bidder(harbour: Harbour) -> None:
    """Nobody can put anything into a bidder's account, and positions in it hinder no bid."""
    short, _ = short_squeeze(harbour, 5000)
    bidder, griefer = harbour.open("bidder", 20_000), harbour.open("griefer", 20_000)
    stranger = harbour.owner(griefer)
    harbour.weth.mint(stranger, WAD)
    harbour.weth.approve(harbour.house.address, WAD, sender=stranger)
    with pytest.raises(Reverted, match="not an operator"):
        harbour.house.deposit(bidder, WETH, WAD, sender=stranger)
    with pytest.raises(Reverted):
        harbour.house.transfer(griefer, bidder, 0, WAD, sender=stranger)
    harbour.house.grant(bidder, harbour.direct.address, 0, sender=harbour.owner(bidder))
    with pytest.raises(Reverted, match="not allowed"):
        harbour.trade(bidder, griefer, harbour.call(4000), 10**9, 0)
    harbour.house.grant(bidder, harbour.direct.address, TRADE, sender=harbour.owner(bidder))
    harbour.trade(bidder, griefer, harbour.call(4000), WAD, 900 * WAD)
    harbour.flag(short)
    harbour.bid(short, bidder)
    assert is_at_buffer(harbour, short)


def test_lyra03_bidder_without_cash(harbour: Harbour) -> None:
    """A bidder must pass its own gate with what it receives."""
    short, _ = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 1)
    harbour.flag(short)
    with pytest.raises(Reverted, match="bidder below initial margin"):
        harbour.bid(short, bidder)
    with pytest.raises(Reverted, match="own account"):
        harbour.bid(short, short)
    assert harbour.house.cash(bidder) == WAD


def test_lyra04_switching_away_from_the_manager(harbour: Harbour) -> None:
    """An account moves only to a registered scheme, only if both find it above initial margin."""
    short, _ = short_squeeze(harbour, 3000)
    owner = harbour.owner(short)
    with pytest.raises(Reverted, match="no such scheme"):
        harbour.house.switch_scheme(short, 99, sender=owner)
    harbour.registry.set_scheme(2, harbour.engine.address, 1)
    harbour.house.switch_scheme(short, 2, sender=owner)
    harbour.wait(60, 4500)
    with pytest.raises(Reverted, match="below initial margin"):
        harbour.house.switch_scheme(short, SCHEME, sender=owner)
    harbour.wait(60, 5000)
    harbour.flag(short)
    with pytest.raises(Reverted, match="in liquidation"):
        harbour.house.switch_scheme(short, SCHEME, sender=owner)


@pytest.mark.parametrize("spot", [5000, 5600])
def test_lyra05_a_bid_for_everything_ends_it(spot: int) -> None:
    """Whole accounts: solvent by a rule that sells all, insolvent by its nature."""
    harbour = Harbour(rule=("FixedPenalty", (WAD // 20, 900, 600, 0)))
    fund(harbour, 10_000)
    short, _ = short_squeeze(harbour, spot)
    bidder = harbour.open("bidder", 20_000)
    harbour.flag(short)
    taken, _ = harbour.bid(short, bidder)
    assert taken == WAD
    assert harbour.liquidator.phase(short) == 0
    assert harbour.house.positions(short) == []
    with pytest.raises(Reverted, match="not flagged"):
        harbour.bid(short, bidder)
    harbour.check_conservation()


def test_lyra05_dust_left_by_rounding(harbour: Harbour) -> None:
    """Sizes are rounded toward zero: what is left may be too small to bid for, and still ends."""
    short, _ = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 50_000)
    harbour.flag(short)
    harbour.bid(short, bidder)
    if harbour.liquidator.phase(short) == SOLVENT:
        harbour.liquidator.resolve(short)
    assert harbour.liquidator.phase(short) == 0


def test_lyra06_bidder_pays_more_than_intended(harbour: Harbour) -> None:
    """The owner adds collateral in front of a bid: price limit and expected state stop it."""
    short, _ = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 50_000)
    harbour.flag(short)
    offered = harbour.liquidator.quote(short)
    harbour.deposit(short, 600 * USD)
    with pytest.raises(Reverted, match="state has changed"):
        harbour.bid(short, bidder, state=offered.state)
    dearer = harbour.liquidator.quote(short)
    per_unit = offered.price * WAD // offered.max_fraction
    assert dearer.price * WAD // dearer.max_fraction > per_unit
    fraction = dearer.max_fraction
    with pytest.raises(Reverted, match="price above limit"):
        harbour.bid(short, bidder, limit=per_unit * fraction // WAD)
    most = dearer.price * 10_001 // 10_000 + dearer.charges  # a share for what rounding adds
    harbour.bid(short, bidder, limit=most, state=dearer.state)


# Derive's repository


def test_derive254_bank_run_before_a_loss(harbour: Harbour) -> None:
    """Nobody withdraws while insolvencies exceed the fund, and not for ever either."""
    short, long = short_squeeze(harbour, 5600)
    harbour.house.withdraw(long, 0, USD, harbour.owner(long), sender=harbour.owner(long))
    harbour.flag(short)
    with pytest.raises(Reverted, match="withdrawals are locked"):
        harbour.house.withdraw(long, 0, USD, harbour.owner(long), sender=harbour.owner(long))
    harbour.wait(BACKSTOP["lock_length"] + 1)
    harbour.house.withdraw(long, 0, USD, harbour.owner(long), sender=harbour.owner(long))


def test_derive254_a_fund_that_covers_the_loss_locks_nothing(harbour: Harbour) -> None:
    fund(harbour, 1000)
    short, long = short_squeeze(harbour, 5600)
    harbour.flag(short)
    harbour.house.withdraw(long, 0, USD, harbour.owner(long), sender=harbour.owner(long))


def test_derive266_a_single_signer() -> None:
    """One of three sources says what it likes, and moves nothing."""
    desk = Desk(Evm())
    sources = [desk.evm.address(name) for name in "abc"]
    desk.configure(SPOT, ETH, *sources, quorum=2)
    for source in sources:
        desk.push(SPOT, 3000 * WAD, sender=source)
    for price in (1, 10**6):
        desk.evm.time += 60
        desk.push(SPOT, price * WAD, sender=sources[0])
        assert desk.report(SPOT) == 3000 * WAD


def test_derive294_funding_that_does_not_sum_to_zero(harbour: Harbour) -> None:
    """Accounts enter, settle and leave at different times; what funding took it also gave."""
    accounts = [harbour.open(f"trader{i}", 50_000) for i in range(4)]
    start = sum(harbour.house.cash(a) for a in accounts)
    steps = [(0, 1, 3, 3050), (1, 2, 2, 2970), (2, 3, 1, 3111), (3, 0, 5, 3003), (0, 2, 1, 2999)]
    for buyer, seller, size, mark in steps:
        harbour.trade(
            accounts[buyer],
            accounts[seller],
            harbour.perp,
            size * WAD // 3 // 10**9 * 10**9,
            3000 * WAD,
        )
        harbour.evm.time += 1777
        harbour.push(mark=mark)
        harbour.house.settle(accounts[seller])
        harbour.check_conservation()
    for account in accounts:
        harbour.house.settle(account)
    assert harbour.house.ledger().perp_settlement == 0
    assert sum(harbour.house.cash(a) for a in accounts) == start - harbour.house.ledger().fees


def test_derive298_bids_on_stale_perp_pnl(harbour: Harbour) -> None:
    """Gains and losses count from the moment of the price, settled or not."""
    short, _ = short_squeeze(harbour, 5000)
    assert harbour.house.cash(short) == 5000 * WAD
    assert harbour.equity(short) == 1000 * WAD
    harbour.flag(short)
    bidder = harbour.open("bidder", 50_000)
    harbour.bid(short, bidder)
    # The bidder holds the perpetual from the present mark on: it earns no past gain or loss.
    assert harbour.house.book(bidder).unsettled == 0
    harbour.check_conservation()


def test_derive341_dead_auction_state() -> None:
    """The path is over, the account above maintenance but below the buffer: it ends."""
    harbour = Harbour(rule=("DutchAuction", (WAD, 8 * WAD // 10, 900, 900, 600, 0)))
    short, _ = short_squeeze(harbour, 5000)
    harbour.flag(short)
    harbour.wait(900, 4600)
    quote = harbour.liquidator.quote(short)
    assert quote.maintenance < quote.equity < quote.maintenance * 11 // 10
    with pytest.raises(Reverted, match="cannot resolve"):
        harbour.liquidator.resolve(short)
    harbour.wait(901, 4600)
    with pytest.raises(Reverted, match="cannot turn insolvent"):
        harbour.liquidator.turn_insolvent(short)
    harbour.liquidator.resolve(short)
    assert harbour.liquidator.phase(short) == 0


def test_derive316_unbounded_spread_between_mark_and_spot(harbour: Harbour) -> None:
    harbour.push(3000, mark=9000)
    assert harbour.oracle.perp(ETH)[0] == 3150 * WAD


def test_derive319_a_second_loss_is_a_loss_of_its_own(harbour: Harbour) -> None:
    """Two insolvencies in a row are each borne once, and to the wei."""
    first, second = harbour.open("first", 5000), harbour.open("second", 2500)
    long = harbour.open("long", 50_000)
    saver = harbour.open("saver", 100_000)
    harbour.trade(long, first, harbour.perp, 2 * WAD, 3000 * WAD)
    harbour.trade(long, second, harbour.perp, WAD, 3000 * WAD)
    harbour.wait(60, 5600)
    for short in (first, second):
        harbour.flag(short)
    harbour.wait(PARAMETERS["insolvent_duration"])
    before = sum(harbour.equity(a) for a in (0, first, second, long, saver))
    for short in (first, second):
        harbour.liquidator.close(short)
        harbour.check_conservation()
        assert harbour.equity(short) == 0
    after = sum(harbour.equity(a) for a in (0, first, second, long, saver))
    # What was lost was negative equity, which others now bear: the sum has not changed.
    assert abs(after - before) <= 10
    assert harbour.equity(saver) < 100_000 * WAD


def test_derive335_an_unregistered_manager(harbour: Harbour) -> None:
    """Schemes, venues and liquidators are the registry's: nobody brings his own."""
    impostor = harbour.evm.address("impostor")
    account = harbour.open("victim", 1000)
    with pytest.raises(Reverted, match="no such scheme"):
        harbour.house.open_account(99, sender=impostor)
    with pytest.raises(Reverted, match="not a venue"):
        harbour.house.novate([(account, harbour.perp, WAD, 0)], sender=impostor)
    for call in (
        lambda: harbour.house.set_phase(account, 1, sender=impostor),
        lambda: harbour.house.move(account, 0, [], [], WAD, sender=impostor),
        lambda: harbour.house.take_fee(account, WAD, sender=impostor),
        lambda: harbour.house.cover(account, WAD, True, sender=impostor),
        lambda: harbour.backstop.take_over(account, 0, sender=impostor),
        lambda: harbour.backstop.cover(account, WAD, sender=impostor),
    ):
        with pytest.raises(Reverted):
            call()
    assert harbour.house.cash(account) == 1000 * WAD


def test_derive358_withdrawing_the_collateral_of_a_debt(harbour: Harbour) -> None:
    """Borrow quote against WETH, then take the WETH: the margin is looked at both times."""
    lender, borrower = harbour.open("lender", 50_000), harbour.open("borrower", weth=2)
    owner = harbour.owner(borrower)
    harbour.house.withdraw(borrower, 0, 3000 * USD, owner, sender=owner)
    assert harbour.house.cash(borrower) == -3000 * WAD
    with pytest.raises(Reverted, match="below initial margin"):
        harbour.house.withdraw(borrower, WETH, WAD, owner, sender=owner)
    with pytest.raises(Reverted):
        harbour.house.transfer(borrower, lender, WETH, WAD, sender=owner)
    harbour.deposit(borrower, 3001 * USD)
    harbour.house.withdraw(borrower, WETH, 2 * WAD, owner, sender=owner)
    harbour.check_conservation()


def test_derive_insolvency_between_flag_and_bid(harbour: Harbour) -> None:
    """A bid that was meant for a solvent account finds nothing for sale, and the phase turns."""
    fund(harbour, 10_000)
    short, _ = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 50_000)
    harbour.flag(short)
    harbour.bid(short, bidder, WAD // 10)
    harbour.wait(60, 6000)
    assert harbour.equity(short) < 0
    with pytest.raises(Reverted, match="nothing to sell"):
        harbour.bid(short, bidder)
    harbour.liquidator.turn_insolvent(short)
    worth = harbour.equity(bidder)
    harbour.bid(short, bidder)
    assert harbour.equity(bidder) >= worth
    assert harbour.liquidator.phase(short) == 0
    assert harbour.equity(short) == 0
    harbour.check_conservation()


def test_derive_a_part_of_an_insolvent_account_is_paid_in_part(harbour: Harbour) -> None:
    """A tenth of the account brings a tenth of the payout, whatever the rest may bring later."""
    fund(harbour, 10_000)
    short, _ = short_squeeze(harbour, 5600)
    bidder = harbour.open("bidder", 50_000)
    harbour.flag(short)
    harbour.wait(PARAMETERS["insolvent_duration"] // 2)
    whole = harbour.liquidator.quote(short).price
    assert whole < -200 * WAD
    fraction, paid = harbour.bid(short, bidder, WAD // 10)
    assert fraction == WAD // 10
    assert abs(paid - whole // 10) <= 1
    harbour.check_conservation()


def test_derive_the_owner_can_cure(harbour: Harbour) -> None:
    short, _ = short_squeeze(harbour, 5000)
    harbour.flag(short)
    harbour.deposit(short, 2000 * USD)
    harbour.liquidator.resolve(short)
    assert harbour.liquidator.phase(short) == 0


def test_derive_one_stale_feed_does_not_block_liquidation(harbour: Harbour) -> None:
    """Past the limit of opening and within that of liquidation, everything goes on."""
    short, long = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 50_000)
    harbour.evm.time += 2 * HOUR
    harbour.flag(short)
    with pytest.raises(Reverted, match="stale"):
        harbour.trade(bidder, long, harbour.perp, WAD, 5000 * WAD)
    harbour.bid(short, bidder)
    assert is_at_buffer(harbour, short)


def test_a_feed_that_an_account_brings_in_by_itself(harbour: Harbour) -> None:
    """A wei of what has no fresh price would make the account one that nobody may liquidate."""
    short, _ = short_squeeze(harbour, 3000)
    owner, helper = harbour.owner(short), harbour.open("short", weth=1)
    unpriced = harbour.evm.deploy("testing/MockToken.vy", "NEW", 18)
    harbour.registry.add_asset(unpriced.address, 10**6 * WAD)
    with pytest.raises(Reverted, match="registry: asset has no fresh price"):
        harbour.house.deposit(short, 2, 1, sender=owner)
    harbour.evm.time += 7 * HOUR
    harbour.desk.push(STABLE, WAD)
    harbour.desk.push(SPOT, 5000 * WAD)
    harbour.desk.push(MARK, 5000 * WAD)
    with pytest.raises(Reverted, match="registry: asset has no fresh price"):
        harbour.deposit(short, 1, WETH)
    with pytest.raises(Reverted, match="registry: asset has no fresh price"):
        harbour.house.transfer(helper, short, WETH, WAD, sender=owner)
    harbour.deposit(short, USD)
    harbour.flag(short)


# The world at large


def test_rounding_at_one_wei(harbour: Harbour) -> None:
    """No round trip of dust, however often repeated, makes anything of nothing."""
    a, b = harbour.open("a", 10_000), harbour.open("b", 10_000)
    for i in range(1, 8):
        harbour.trade(a, b, harbour.perp, i * 10**9, 3000 * WAD)
        harbour.evm.time += 1
        harbour.push(mark=3000 + i % 3)
        harbour.trade(b, a, harbour.perp, i * 10**9, 3000 * WAD)
        harbour.trade(a, b, harbour.call(3000), 10**9, 1)
        harbour.trade(b, a, harbour.call(3000), 10**9, 1)
        harbour.check_conservation()
    for account in (a, b):
        owner = harbour.owner(account)
        harbour.house.withdraw(account, 0, 1, owner, sender=owner)
        harbour.deposit(account, 1)
        harbour.house.settle(account)
    assert harbour.equity(a) + harbour.equity(b) <= 20_000 * WAD


@pytest.mark.parametrize("fraction", [WAD // 3, WAD // 7, WAD // 11 + 1])
def test_rounding_at_one_wei_in_a_bid(harbour: Harbour, fraction: int) -> None:
    """At the least price a bid leaves health where it was: what sizes are rounded to is paid."""
    short, _ = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 50_000)
    harbour.flag(short)
    harbour.wait(PARAMETERS["solvent_duration"] - 1, 4600)
    health = harbour.health(short)
    assert health > 0
    harbour.bid(short, bidder, fraction)
    assert harbour.health(short) >= health


def test_maker_zero_bid_auction() -> None:
    """Without bids the price falls, never below what keeps health; then the fund takes over.

    Maker sold 8.3 million dollars of ether for nothing on 12 March 2020.
    """
    harbour = Harbour()
    fund(harbour, 10_000)
    short, _ = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 50_000)
    harbour.flag(short)
    harbour.wait(PARAMETERS["solvent_duration"] - 1, 5000)
    health, worth = harbour.health(short), harbour.equity(bidder)
    mark = harbour.evm.snapshot()
    harbour.bid(short, bidder)
    assert harbour.health(short) >= health
    harbour.check_conservation()
    harbour.evm.revert(mark)
    assert harbour.equity(bidder) == worth

    harbour.wait(2, 5000)
    harbour.liquidator.turn_insolvent(short)
    harbour.wait(PARAMETERS["insolvent_duration"], 5000)
    harbour.liquidator.close(short)
    # What was left stays the owner's, and the fund holds the positions.
    assert harbour.equity(short) == 1000 * WAD
    assert len(harbour.house.positions(0)) == 1
    harbour.check_conservation()


def test_maker_gas_starved_keepers() -> None:
    """A day without keepers, then one with little gas to spend: every step still ends."""
    harbour = Harbour(rule=("DutchAuction", (WAD, 8 * WAD // 10, 900, 900, 600, 0)))
    fund(harbour, 10_000)
    short, _ = short_squeeze(harbour, 5000)
    harbour.wait(DAY, 5000)
    gas = []
    harbour.flag(short)
    gas.append(harbour.evm.gas)
    harbour.wait(DAY, 5000)
    harbour.liquidator.turn_insolvent(short)
    gas.append(harbour.evm.gas)
    harbour.wait(DAY, 5000)
    harbour.liquidator.close(short)
    gas.append(harbour.evm.gas)
    assert harbour.liquidator.phase(short) == 0
    assert max(gas) < 8_000_000


def test_venus_frozen_minimum_price() -> None:
    """An aggregator that stopped at its least answer while LUNA fell on: it is not believed."""
    chain = Chain()
    least = 10_700_000  # 0.107 dollars
    chain.source.set_aggregator(feed(SPOT), Reading(chain.aggregator.address, least))
    chain.answer(20_000_000)
    chain.pull()
    stopped = chain.evm.time
    for _ in range(3):
        chain.evm.time += HOUR
        chain.answer(least)
        chain.pull()
    value, _, time = chain.desk.oracle.report(feed(SPOT))
    assert (value, time) == (WAD // 5, stopped)
    chain.desk.configure(STABLE)
    chain.desk.push(STABLE, WAD)
    chain.desk.configure(ASSET, WETH)
    chain.desk.push(ASSET, WAD, WETH)
    chain.desk.oracle.set_asset(WETH, ETH)
    assert chain.desk.oracle.market([], [WETH]).usable == CLOSING | LIQUIDATION
    chain.evm.time += 4 * HOUR
    assert chain.desk.oracle.market([], [WETH]).usable == CLOSING


def test_binance_single_venue_depeg(harbour: Harbour) -> None:
    """USDe at 0.65 on one venue in October 2025 and near 1 on the others liquidates nobody."""
    venues = [harbour.evm.address(name) for name in ("binance", "bybit", "curve")]
    harbour.desk.configure(ASSET, WETH, *venues, quorum=2)
    borrower = harbour.open("borrower", weth=2)
    harbour.open("lender", 50_000)
    for venue in venues:
        harbour.desk.push(ASSET, 3000 * WAD, WETH, sender=venue)
    owner = harbour.owner(borrower)
    harbour.house.withdraw(borrower, 0, 3500 * USD, owner, sender=owner)
    harbour.evm.time += 60
    for venue, share in zip(venues, (650, 1000, 995), strict=True):
        harbour.desk.push(ASSET, 3 * share * WAD, WETH, sender=venue)
    assert harbour.oracle.report(feed(ASSET, WETH))[0] == 2985 * WAD
    with pytest.raises(Reverted, match="account is healthy"):
        harbour.flag(borrower)


def test_mango_manipulated_mark(harbour: Harbour) -> None:
    """A mark driven to ten times the index lets nobody borrow against it."""
    thief, other = harbour.open("thief", 5000), harbour.open("other", 5000)
    harbour.open("saver", 100_000)
    harbour.trade(thief, other, harbour.perp, 2 * WAD, 3000 * WAD)
    harbour.push(mark=30_000)
    owner = harbour.owner(thief)
    with pytest.raises(Reverted, match="below initial margin"):
        harbour.house.withdraw(thief, 0, 10_000 * USD, owner, sender=owner)
    assert harbour.equity(thief) <= (5000 + 2 * 150) * WAD
    assert harbour.equity(other) >= (5000 - 2 * 150) * WAD
    with pytest.raises(Reverted, match="account is healthy"):
        harbour.flag(other)


def test_expired_options_that_nobody_has_settled(harbour: Harbour) -> None:
    """They are worth their intrinsic value, for margin and in every view, in any order."""
    buyer, writer = harbour.open("buyer", 5000), harbour.open("writer", 20_000)
    harbour.trade(buyer, writer, harbour.call(3000), 2 * WAD, 90 * WAD)
    for minutes in range(35):
        harbour.evm.time = harbour.expiry - 60 * (35 - minutes)
        harbour.desk.push(FORWARD, 3200 * WAD, ETH, harbour.expiry)
    harbour.evm.time = harbour.expiry + 9 * DAY
    harbour.push(spot=100)
    assert harbour.equity(buyer) == harbour.house.cash(buyer) + 400 * WAD
    assert harbour.equity(writer) == harbour.house.cash(writer) - 400 * WAD
    assert harbour.lens.risks([buyer, writer])[0].equity == harbour.equity(buyer)
    harbour.house.settle(writer)
    harbour.check_conservation()
    harbour.house.settle(buyer)
    assert harbour.house.ledger().option_settlement == 0
    harbour.check_conservation()


def test_tokens_that_fail_in_silence(harbour: Harbour) -> None:
    """A transfer that answers false is booked nowhere."""
    account = harbour.open("account", 1000)
    owner = harbour.owner(account)
    harbour.quote.mint(owner, 1000 * USD)
    harbour.quote.approve(harbour.house.address, 1000 * USD, sender=owner)
    harbour.quote.misbehave(0, True)
    with pytest.raises(Reverted, match="token refused"):
        harbour.house.deposit(account, 0, 1000 * USD, sender=owner)
    with pytest.raises(Reverted, match="token refused"):
        harbour.house.withdraw(account, 0, USD, owner, sender=owner)
    assert harbour.house.cash(account) == 1000 * WAD
    harbour.check_conservation()


def test_tokens_that_keep_a_fee(harbour: Harbour) -> None:
    """A transfer that arrives short is booked nowhere."""
    account = harbour.open("account", 1000)
    owner = harbour.owner(account)
    harbour.quote.mint(owner, 1000 * USD)
    harbour.quote.approve(harbour.house.address, 1000 * USD, sender=owner)
    harbour.quote.misbehave(100, False)
    with pytest.raises(Reverted, match="token kept a fee"):
        harbour.house.deposit(account, 0, 1000 * USD, sender=owner)
    assert harbour.house.cash(account) == 1000 * WAD
    harbour.check_conservation()


def test_tokens_that_return_nothing(harbour: Harbour) -> None:
    token = harbour.evm.deploy("testing/SilentToken.vy", 8)
    asset = harbour.accept(token)
    account = harbour.open("account")
    owner = harbour.owner(account)
    token.mint(owner, 10**8)
    token.approve(harbour.house.address, 10**8, sender=owner)
    harbour.house.deposit(account, asset, 10**8, sender=owner)
    assert harbour.house.holding(account, asset) == WAD
    harbour.house.withdraw(account, asset, 10**8, owner, sender=owner)
    assert token.balanceOf(owner) == 10**8


def test_debt_before_anyone_has_set_interest() -> None:
    """A deployment that forgot the curve charges none, and no view of an account in debt fails."""
    harbour = Harbour()
    fresh = harbour.evm.deploy("Registry.vy", harbour.quote.address)
    harbour.registry.set_interest(fresh.interest())
    borrower = harbour.open("borrower", weth=2)
    harbour.open("lender", 50_000)
    owner = harbour.owner(borrower)
    harbour.house.withdraw(borrower, 0, 1000 * USD, owner, sender=owner)
    harbour.wait(DAY)
    assert harbour.equity(borrower) == 5000 * WAD


def test_a_new_rate_is_not_charged_for_the_past(harbour: Harbour) -> None:
    """The interest of a day at the old curve, though nobody touched a debtor in it."""
    borrower = harbour.open("borrower", weth=2)
    harbour.open("lender", 50_000)
    harbour.house.withdraw(
        borrower, 0, 1000 * USD, harbour.owner(borrower), sender=harbour.owner(borrower)
    )
    harbour.wait(DAY)
    owed = harbour.equity(borrower)
    assert owed < 5000 * WAD
    harbour.registry.set_interest((10 * WAD, 0, WAD, 0))
    assert abs(harbour.equity(borrower) - owed) <= 1
    harbour.wait(DAY)
    assert harbour.equity(borrower) < owed - 10 * WAD


def test_donations_change_nothing(harbour: Harbour) -> None:
    account = harbour.open("account", 1000)
    before = harbour.house.ledger(), harbour.equity(account)
    harbour.quote.mint(harbour.house.address, 10**6 * USD)
    assert (harbour.house.ledger(), harbour.equity(account)) == before
    harbour.check_conservation()


def test_a_pause_that_traps_people(harbour: Harbour) -> None:
    """With everything paused deposits, closing, settlement and liquidation go on."""
    short, long = short_squeeze(harbour, 5000)
    bidder = harbour.open("bidder", 50_000)
    harbour.registry.set_pause(PAUSE_ALL)
    harbour.deposit(long, USD)
    harbour.trade(short, long, harbour.perp, WAD // 10, 5000 * WAD)
    harbour.house.settle(short)
    harbour.flag(short)
    harbour.bid(short, bidder)
    assert is_at_buffer(harbour, short)
    with pytest.raises(Reverted):
        harbour.trade(bidder, long, harbour.perp, WAD, 5000 * WAD)


def test_an_order_replayed_at_another_venue(harbour: Harbour) -> None:
    """Two venues clear into the same accounts; a signature is good for one of them, once."""
    maker, taker = Account.from_key(b"\x07" * 32), Account.from_key(b"\x08" * 32)
    accounts = []
    for person in (maker, taker):
        owner = person.address.lower()
        account = harbour.house.open_account(SCHEME, sender=owner)
        for venue in (harbour.direct, harbour.orders):
            harbour.house.grant(account, venue.address, TRADE, sender=owner)
        harbour.deposit(account, 10_000 * USD)
        accounts.append(account)
    fills = _signed(harbour, (maker, taker), accounts, WAD, 3000 * WAD)
    harbour.orders.match_orders(fills)
    assert [len(harbour.house.positions(a)) for a in accounts] == [1, 1]
    harbour.trade(accounts[1], accounts[0], harbour.perp, WAD, 3000 * WAD)
    assert [len(harbour.house.positions(a)) for a in accounts] == [0, 0]
    with pytest.raises(Reverted, match="more than the order"):
        harbour.orders.match_orders(fills)
    other = harbour.evm.deploy("OrderVenue.vy", harbour.house.address)
    harbour.registry.set_venue(other.address, True)
    with pytest.raises(Reverted, match="wrong signature"):
        other.match_orders(fills)
    harbour.check_conservation()


def _signed(harbour: Harbour, people: Any, accounts: list[int], size: int, price: int) -> list[Any]:
    """Fills of two orders that cross at a price, signed."""
    from tests.contracts.test_order_venue import TYPES, Order

    fills = []
    for person, account, side in zip(people, accounts, (1, -1), strict=True):
        order = Order(
            person.address, account, ((harbour.perp, side * WAD),), -side * price, quantity=size
        )
        message = {
            "types": TYPES,
            "primaryType": "Order",
            "domain": {
                "name": "Plimsoll",
                "version": "1",
                "chainId": 1,
                "verifyingContract": harbour.orders.address,
            },
            "message": {
                **order.__dict__,
                "legs": [{"instrument": i, "size": s} for i, s in order.legs],
            },
        }
        signed = person.sign_message(encode_typed_data(full_message=message))
        cash = -side * price * size // WAD
        fills.append((order.words, bytes(signed.signature), size, cash))
    return fills
