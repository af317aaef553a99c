"""Accounts, money and trades at the clearing house: each success, each refusal by its reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.feeds import DAY, ETH, FORWARD, HOUR, RATE, SPOT, STABLE, WAD, Desk
from tests.contracts.harbour import (
    SCHEME,
    SETTINGS,
    TRADE,
    TRANSFER,
    USD,
    WETH,
    WITHDRAW,
    Harbour,
)
from tests.evm import Reverted

ALL = TRADE | WITHDRAW | TRANSFER | SETTINGS
OPENING_PAUSED, WITHDRAWAL_PAUSED = 1, 2
FUND = 0


# Accounts


def test_accounts_count_up_from_the_fund(harbour: Harbour) -> None:
    assert harbour.house.account_count() == 1
    owner = harbour.evm.address("alice")
    assert harbour.house.open_account(SCHEME, sender=owner) == 1
    assert harbour.logged("AccountOpened") == [{"account": 1, "owner": owner, "scheme": SCHEME}]
    assert harbour.house.open_account(SCHEME, sender=owner) == 2
    assert harbour.house.account_count() == 3
    assert harbour.house.owner_of(2) == owner
    assert harbour.house.scheme_id(2) == SCHEME


def test_an_account_needs_a_registered_scheme(harbour: Harbour) -> None:
    with pytest.raises(Reverted, match="registry: no such scheme"):
        harbour.house.open_account(77)


def test_the_fund_is_nobodys(harbour: Harbour) -> None:
    for role in (TRADE, WITHDRAW, TRANSFER, SETTINGS):
        assert not harbour.house.may(FUND, harbour.registry.owner(), role)


def test_roles_are_granted_exactly(harbour: Harbour) -> None:
    account = harbour.open("alice")
    owner, bob = harbour.owner(account), harbour.evm.address("bob")
    harbour.house.grant(account, bob, TRADE | WITHDRAW, sender=owner)
    assert harbour.logged("Granted") == [
        {"account": account, "operator": bob, "sender": owner, "roles": TRADE | WITHDRAW}
    ]
    assert harbour.house.roles(account, bob) == TRADE | WITHDRAW
    assert harbour.house.may(account, bob, TRADE)
    assert not harbour.house.may(account, bob, TRADE | TRANSFER)
    harbour.house.grant(account, bob, 0, sender=owner)
    assert not harbour.house.may(account, bob, TRADE)


def test_settings_grants_what_it_holds_but_itself(harbour: Harbour) -> None:
    account = harbour.open("alice")
    owner = harbour.owner(account)
    bob, carol = harbour.evm.address("bob"), harbour.evm.address("carol")
    with pytest.raises(Reverted, match="accounts: not allowed"):
        harbour.house.grant(account, bob, TRADE, sender=bob)
    harbour.house.grant(account, bob, SETTINGS | TRADE, sender=owner)
    harbour.house.grant(account, carol, TRADE, sender=bob)
    assert harbour.house.may(account, carol, TRADE)
    with pytest.raises(Reverted, match="accounts: not allowed"):
        harbour.house.grant(account, carol, TRADE | WITHDRAW, sender=bob)
    with pytest.raises(Reverted, match="accounts: only the owner grants settings"):
        harbour.house.grant(account, carol, SETTINGS, sender=bob)
    harbour.house.grant(account, carol, SETTINGS, sender=owner)
    with pytest.raises(Reverted, match="accounts: only the owner grants settings"):
        harbour.house.grant(account, carol, 0, sender=bob)


# Deposits


def test_a_deposit_is_cash_in_wad(harbour: Harbour) -> None:
    account = harbour.open("alice")
    harbour.deposit(account, 1_234_567)
    assert harbour.house.cash(account) == 1_234_567 * 10**12
    assert harbour.logged("Deposited") == [
        {
            "account": account,
            "asset": 0,
            "sender": harbour.owner(account),
            "amount": 1_234_567 * 10**12,
        }
    ]
    harbour.check_conservation()


@pytest.mark.parametrize("decimals", [6, 8, 18])
def test_collateral_of_any_decimals(harbour: Harbour, decimals: int) -> None:
    token = harbour.evm.deploy("testing/MockToken.vy", "T", decimals)
    asset = harbour.accept(token)
    account = harbour.open("alice")
    owner = harbour.owner(account)
    token.mint(owner, 5 * 10**decimals)
    token.approve(harbour.house.address, 5 * 10**decimals, sender=owner)
    harbour.house.deposit(account, asset, 3 * 10**decimals + 1, sender=owner)
    assert harbour.house.holding(account, asset) == 3 * WAD + 10 ** (18 - decimals)
    amount = 3 * WAD + 10 ** (18 - decimals)
    assert harbour.house.stock(asset) == (asset, amount, amount)
    assert token.balanceOf(harbour.house.address) == 3 * 10**decimals + 1


def test_an_operator_deposits_and_a_stranger_does_not(harbour: Harbour) -> None:
    account = harbour.open("alice")
    bob = harbour.evm.address("bob")
    harbour.quote.mint(bob, 10 * USD)
    harbour.quote.approve(harbour.house.address, 10 * USD, sender=bob)
    with pytest.raises(Reverted, match="clearing: not an operator"):
        harbour.house.deposit(account, 0, USD, sender=bob)
    harbour.house.grant(account, bob, TRADE, sender=harbour.owner(account))
    harbour.house.deposit(account, 0, USD, sender=bob)
    assert harbour.house.cash(account) == WAD


def test_anyone_may_give_quote_to_the_fund(harbour: Harbour) -> None:
    bob = harbour.evm.address("bob")
    harbour.quote.mint(bob, 10 * USD)
    harbour.quote.approve(harbour.house.address, 10 * USD, sender=bob)
    harbour.house.deposit(FUND, 0, 10 * USD, sender=bob)
    assert harbour.house.capacity() == (0, 10 * WAD)
    with pytest.raises(Reverted, match="clearing: the fund takes quote"):
        harbour.house.deposit(FUND, WETH, 1, sender=bob)


def test_a_gift_to_the_fund_changes_no_bid_for_it(harbour: Harbour) -> None:
    """Whoever bids names the state that it expects, which no stranger must change."""
    account = harbour.open("alice", dollars=1)
    for target, change in ((account, 1), (FUND, 0)):
        before = harbour.house.version(target)
        harbour.deposit(target, 1)
        assert harbour.house.version(target) == before + change
        with pytest.raises(Reverted, match="clearing: nothing to deposit"):
            harbour.deposit(target, 0)


def test_a_deposit_above_the_cap_is_refused(harbour: Harbour) -> None:
    account = harbour.open("alice", weth=3)
    harbour.registry.set_cap(WETH, 4 * WAD)
    harbour.deposit(account, WAD, WETH)
    with pytest.raises(Reverted, match="clearing: cap reached"):
        harbour.deposit(account, 1, WETH)
    harbour.registry.set_cap(0, 5 * WAD)
    harbour.deposit(account, 5 * USD)
    with pytest.raises(Reverted, match="clearing: cap reached"):
        harbour.deposit(account, 1)


def test_an_unknown_asset_is_refused(harbour: Harbour) -> None:
    account = harbour.open("alice")
    with pytest.raises(Reverted, match="registry: no such asset"):
        harbour.house.deposit(account, 5, 1, sender=harbour.owner(account))


def test_a_token_that_answers_false_is_refused(harbour: Harbour) -> None:
    account = harbour.open("alice", dollars=100)
    owner = harbour.owner(account)
    harbour.quote.misbehave(0, True)
    with pytest.raises(Reverted, match="clearing: token refused"):
        harbour.house.deposit(account, 0, USD, sender=owner)
    with pytest.raises(Reverted, match="clearing: token refused"):
        harbour.house.withdraw(account, 0, USD, owner, sender=owner)


def test_a_token_that_answers_nothing_is_taken(harbour: Harbour) -> None:
    token = harbour.evm.deploy("testing/SilentToken.vy", 8)
    asset = harbour.accept(token)
    account = harbour.open("alice")
    owner = harbour.owner(account)
    token.mint(owner, 100)
    token.approve(harbour.house.address, 100, sender=owner)
    harbour.house.deposit(account, asset, 100, sender=owner)
    assert harbour.house.holding(account, asset) == 100 * 10**10


@pytest.mark.parametrize("function", ["deposit", "withdraw"])
def test_a_token_that_calls_back_finds_the_door_locked(harbour: Harbour, function: str) -> None:
    account = harbour.open("alice", dollars=1000)
    owner = harbour.owner(account)
    inner = harbour.house.abi.function("settle", 1).encode(account)
    harbour.quote.call_back(harbour.house.address, inner)
    if function == "deposit":
        harbour.deposit(account, USD)
    else:
        harbour.house.withdraw(account, 0, USD, owner, sender=owner)
    (called,) = harbour.logged("CalledBack")
    assert not called["success"]
    harbour.check_conservation()


# Withdrawals


def test_a_withdrawal_pays_out(harbour: Harbour) -> None:
    account = harbour.open("alice", dollars=100)
    owner, bob = harbour.owner(account), harbour.evm.address("bob")
    harbour.house.withdraw(account, 0, 40 * USD, bob, sender=owner)
    assert harbour.logged("Withdrawn") == [
        {"account": account, "asset": 0, "sender": owner, "to": bob, "amount": 40 * WAD}
    ]
    assert harbour.quote.balanceOf(bob) == 40 * USD
    assert harbour.house.cash(account) == 60 * WAD
    harbour.check_conservation()


def test_collateral_is_withdrawn(harbour: Harbour) -> None:
    account = harbour.open("alice", weth=3)
    owner = harbour.owner(account)
    harbour.house.withdraw(account, WETH, WAD, owner, sender=owner)
    assert harbour.house.holding(account, WETH) == 2 * WAD
    harbour.house.withdraw(account, WETH, 2 * WAD, owner, sender=owner)
    assert harbour.house.book(account).holdings == []
    harbour.check_conservation()
    with pytest.raises(Reverted, match="portfolio: not enough collateral"):
        harbour.house.withdraw(account, WETH, 1, owner, sender=owner)


def test_cash_is_borrowed_against_collateral_up_to_the_margin(harbour: Harbour) -> None:
    harbour.open("lender", dollars=100_000)
    account = harbour.open("alice", weth=10)
    owner = harbour.owner(account)
    harbour.house.withdraw(account, 0, 10_000 * USD, owner, sender=owner)
    assert harbour.house.cash(account) == -10_000 * WAD
    equity, initial, *_ = harbour.gate.margins(account)
    spare = (equity - initial) // 10**12
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.house.withdraw(account, 0, spare + 10 * USD, owner, sender=owner)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.house.withdraw(account, WETH, 9 * WAD, owner, sender=owner)
    harbour.check_conservation()


def test_only_tokens_that_are_there_leave(harbour: Harbour) -> None:
    account = harbour.open("alice", weth=10)
    owner = harbour.owner(account)
    with pytest.raises(Reverted, match="cash: not enough tokens"):
        harbour.house.withdraw(account, 0, USD, owner, sender=owner)


def test_withdrawing_needs_the_role(harbour: Harbour) -> None:
    account = harbour.open("alice", dollars=100)
    bob = harbour.evm.address("bob")
    with pytest.raises(Reverted, match="clearing: not allowed"):
        harbour.house.withdraw(account, 0, USD, bob, sender=bob)
    harbour.house.grant(account, bob, ALL & ~WITHDRAW, sender=harbour.owner(account))
    with pytest.raises(Reverted, match="clearing: not allowed"):
        harbour.house.withdraw(account, 0, USD, bob, sender=bob)
    harbour.house.grant(account, bob, WITHDRAW, sender=harbour.owner(account))
    harbour.house.withdraw(account, 0, USD, bob, sender=bob)


def test_withdrawing_can_be_paused_and_depositing_cannot(harbour: Harbour) -> None:
    account = harbour.open("alice", dollars=100)
    owner = harbour.owner(account)
    harbour.registry.set_pause(OPENING_PAUSED | WITHDRAWAL_PAUSED)
    with pytest.raises(Reverted, match="registry: withdrawals are paused"):
        harbour.house.withdraw(account, 0, USD, owner, sender=owner)
    harbour.deposit(account, USD)
    harbour.house.settle(account)


def test_withdrawing_needs_a_fresh_market(harbour: Harbour) -> None:
    account = harbour.open("alice", dollars=100, weth=10)
    owner = harbour.owner(account)
    harbour.evm.time += 2 * HOUR
    with pytest.raises(Reverted, match="gate: market is stale"):
        harbour.house.withdraw(account, WETH, 1, owner, sender=owner)
    plain = harbour.open("bob", dollars=100)
    harbour.house.withdraw(plain, 0, 100 * USD, owner, sender=harbour.owner(plain))


# Transfers


def test_a_transfer_moves_cash_and_collateral(harbour: Harbour) -> None:
    source, target = harbour.open("alice", dollars=100, weth=2), harbour.open("alice")
    owner = harbour.owner(source)
    harbour.house.transfer(source, target, 0, 30 * WAD + 1, sender=owner)
    assert harbour.logged("Transferred") == [
        {
            "source": source,
            "target": target,
            "asset": 0,
            "sender": owner,
            "amount": 30 * WAD + 1,
        }
    ]
    harbour.house.transfer(source, target, WETH, 2 * WAD, sender=owner)
    assert harbour.house.cash(target) == 30 * WAD + 1
    assert harbour.house.holding(target, WETH) == 2 * WAD
    assert harbour.house.holding(source, WETH) == 0
    harbour.check_conservation()


def test_a_transfer_needs_the_role_on_both_accounts(harbour: Harbour) -> None:
    source, target = harbour.open("alice", dollars=100), harbour.open("bob", dollars=100)
    alice, bob = harbour.owner(source), harbour.owner(target)
    with pytest.raises(Reverted, match="clearing: not allowed"):
        harbour.house.transfer(source, target, 0, WAD, sender=alice)
    with pytest.raises(Reverted, match="clearing: not allowed"):
        harbour.house.transfer(source, target, 0, WAD, sender=bob)
    harbour.house.grant(target, alice, TRANSFER, sender=bob)
    harbour.house.transfer(source, target, 0, WAD, sender=alice)


def test_transfers_that_are_refused(harbour: Harbour) -> None:
    source, target = harbour.open("alice", dollars=100), harbour.open("alice")
    owner = harbour.owner(source)
    with pytest.raises(Reverted, match="clearing: same account"):
        harbour.house.transfer(source, source, 0, WAD, sender=owner)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.house.transfer(source, target, 0, 101 * WAD, sender=owner)
    with pytest.raises(Reverted, match="portfolio: not enough collateral"):
        harbour.house.transfer(source, target, WETH, WAD, sender=owner)
    harbour.registry.set_pause(WITHDRAWAL_PAUSED)
    with pytest.raises(Reverted, match="registry: transfers are paused"):
        harbour.house.transfer(source, target, 0, WAD, sender=owner)


def test_collateral_moves_in_token_units(harbour: Harbour) -> None:
    token = harbour.evm.deploy("testing/MockToken.vy", "WBTC", 8)
    asset = harbour.accept(token)
    source, target = harbour.open("alice"), harbour.open("alice")
    with pytest.raises(Reverted, match="clearing: not in token units"):
        harbour.house.transfer(source, target, asset, 10**9, sender=harbour.owner(source))


def test_an_unhealthy_account_may_receive(harbour: Harbour) -> None:
    """The second branch: what comes in lifts health and equity."""
    rich, target = harbour.open("alice", dollars=100_000), harbour.open("alice", dollars=3700)
    other = harbour.open("bob", dollars=100_000)
    harbour.trade(target, other, harbour.perp, 5 * WAD, 3000 * WAD)
    harbour.wait(60, 2650)
    equity, initial, *_ = harbour.gate.margins(target)
    assert equity < initial
    harbour.house.transfer(rich, target, 0, WAD, sender=harbour.owner(rich))
    assert harbour.house.cash(target) > 0


# Schemes


@pytest.fixture
def second_scheme(harbour: Harbour) -> int:
    from sim.rulebooks import load

    harbour.engine.publish(2, load("house").as_wad(), harbour.evm.time, 0)
    harbour.registry.set_scheme(2, harbour.engine.address, 2)
    return 2


def test_a_scheme_is_switched(harbour: Harbour, second_scheme: int) -> None:
    account = harbour.open("alice", dollars=100)
    owner, bob = harbour.owner(account), harbour.evm.address("bob")
    with pytest.raises(Reverted, match="clearing: not allowed"):
        harbour.house.switch_scheme(account, second_scheme, sender=bob)
    with pytest.raises(Reverted, match="registry: no such scheme"):
        harbour.house.switch_scheme(account, 9, sender=owner)
    harbour.house.switch_scheme(account, second_scheme, sender=owner)
    assert harbour.house.scheme_id(account) == second_scheme
    assert harbour.logged("SchemeSwitched") == [
        {"account": account, "sender": owner, "scheme": second_scheme}
    ]
    harbour.registry.set_pause(OPENING_PAUSED)
    with pytest.raises(Reverted, match="registry: opening is paused"):
        harbour.house.switch_scheme(account, SCHEME, sender=owner)


def test_a_switch_needs_initial_margin(harbour: Harbour, second_scheme: int) -> None:
    account, other = harbour.open("alice", dollars=3700), harbour.open("bob", dollars=100_000)
    harbour.trade(account, other, harbour.perp, 5 * WAD, 3000 * WAD)
    harbour.wait(60, 2650)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.house.switch_scheme(account, second_scheme, sender=harbour.owner(account))
    harbour.evm.time += 2 * HOUR
    with pytest.raises(Reverted, match="gate: market is stale"):
        harbour.house.switch_scheme(account, second_scheme, sender=harbour.owner(account))


def test_a_switch_needs_the_margin_of_the_new_scheme(harbour: Harbour) -> None:
    account, other = harbour.open("alice", dollars=3700), harbour.open("bob", dollars=100_000)
    harbour.trade(account, other, harbour.perp, WAD, 3000 * WAD)
    engine = harbour.evm.deploy("testing/MockEngine.vy")
    harbour.registry.set_scheme(7, engine.address, 0)
    engine.tell(10**9, 100 * WAD, 101 * WAD)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.house.switch_scheme(account, 7, sender=harbour.owner(account))
    engine.tell(10**9, 100 * WAD, 100 * WAD)
    harbour.house.switch_scheme(account, 7, sender=harbour.owner(account))


# Trades


@pytest.fixture
def traders(harbour: Harbour) -> tuple[int, int]:
    return harbour.open("alice", dollars=100_000), harbour.open("bob", dollars=100_000)


def test_an_option_trade(harbour: Harbour, traders: tuple[int, int]) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.call(3000), 2 * WAD, 100 * WAD)
    assert harbour.house.cash(buyer) == 99_800 * WAD
    assert harbour.house.cash(seller) == 100_200 * WAD
    assert harbour.house.open_interest(harbour.call(3000)) == 2 * WAD
    assert [event["size"] for event in harbour.logged("Novated")] == [2 * WAD, -2 * WAD]
    (word,) = harbour.house.positions(buyer)
    assert word & (2**160 - 1) == harbour.call(3000)
    assert word >> 160 == 2 * 10**9
    harbour.check_conservation()


def test_a_perp_trade_is_settled_at_the_mark(harbour: Harbour, traders: tuple[int, int]) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.perp, 2 * WAD, 2900 * WAD)
    assert harbour.house.cash(buyer) == 100_200 * WAD
    assert harbour.house.cash(seller) == 99_800 * WAD
    assert harbour.house.ledger().perp_settlement == 0
    (word,) = harbour.house.positions(buyer)
    assert word >> 8 & (2**88 - 1) == 3000 * 10**9
    harbour.check_conservation()


def test_fees_are_a_share_of_size_times_mark(harbour: Harbour, traders: tuple[int, int]) -> None:
    buyer, seller = traders
    harbour.registry.set_fees((WAD // 1000, WAD // 2000))
    harbour.trade(buyer, seller, harbour.perp, -WAD, 3000 * WAD)
    assert harbour.house.cash(buyer) == 99_997 * WAD
    assert harbour.logged("FeeTaken") == [
        {"account": buyer, "amount": 3 * WAD},
        {"account": seller, "amount": 3 * WAD},
    ]
    harbour.trade(buyer, seller, harbour.put(2500), 2 * WAD, 100 * WAD)
    assert harbour.house.cash(seller) == 100_000 * WAD - 3 * WAD + 200 * WAD - 3 * WAD
    assert harbour.house.ledger().fees == 12 * WAD
    harbour.house.sweep_fees()
    assert harbour.logged("FeesSwept") == [{"amount": 12 * WAD}]
    assert harbour.house.cash(FUND) == 12 * WAD
    harbour.check_conservation()


def test_the_smallest_trade_pays_a_wei(harbour: Harbour, traders: tuple[int, int]) -> None:
    harbour.registry.set_fees((1, 1))
    harbour.trade(*traders, harbour.perp, 10**9, 3000 * WAD)
    assert harbour.house.ledger().fees == 2


def test_many_legs_at_once(harbour: Harbour, traders: tuple[int, int]) -> None:
    third = harbour.open("carol", dollars=100_000)
    first, second = traders
    legs = [
        (first, harbour.call(3500), WAD, -50 * WAD),
        (second, harbour.call(3500), -2 * WAD, 100 * WAD),
        (third, harbour.call(3500), WAD, -50 * WAD),
        (first, harbour.perp, -WAD, 3000 * WAD),
        (second, harbour.perp, WAD, -3000 * WAD),
        (first, harbour.put(2500), WAD, -40 * WAD),
        (third, harbour.put(2500), -WAD, 40 * WAD),
    ]
    harbour.direct.trade(legs, sender=harbour.matcher)
    names = [word & (2**160 - 1) for word in harbour.house.positions(first)]
    assert len(names) == 3
    assert names == sorted(names)
    harbour.check_conservation()


def test_only_a_registered_venue_that_was_granted_trades(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    buyer, seller = traders
    legs = [(buyer, harbour.perp, WAD, 0), (seller, harbour.perp, -WAD, 0)]
    with pytest.raises(Reverted, match="registry: not a venue"):
        harbour.house.novate(legs, sender=harbour.owner(buyer))
    harbour.house.grant(seller, harbour.direct.address, 0, sender=harbour.owner(seller))
    with pytest.raises(Reverted, match="clearing: not allowed"):
        harbour.direct.trade(legs, sender=harbour.matcher)
    harbour.registry.set_venue(harbour.direct.address, False)
    with pytest.raises(Reverted, match="registry: not a venue"):
        harbour.direct.trade(legs, sender=harbour.matcher)


def test_legs_must_match(harbour: Harbour, traders: tuple[int, int]) -> None:
    a, b = traders
    perp = harbour.perp

    def trade(*legs: tuple[int, int, int, int]) -> None:
        harbour.direct.trade(list(legs), sender=harbour.matcher)

    with pytest.raises(Reverted, match="registry: sizes do not sum to 0"):
        trade((a, perp, WAD, 0), (b, perp, -WAD + 10**9, 0))
    with pytest.raises(Reverted, match="registry: sizes do not sum to 0"):
        trade((a, perp, WAD, 0), (b, harbour.call(3000), -WAD, 0))
    with pytest.raises(Reverted, match="registry: cash does not sum to 0"):
        trade((a, perp, WAD, -3000 * WAD), (b, perp, -WAD, 3000 * WAD - 1))
    with pytest.raises(Reverted, match="registry: account on both sides"):
        trade((a, perp, WAD, 0), (a, perp, -WAD, 0))
    with pytest.raises(Reverted, match="registry: size is no multiple of 1e-9"):
        trade((a, perp, WAD + 1, 0), (b, perp, -WAD - 1, 0))
    with pytest.raises(Reverted, match="registry: size is no multiple of 1e-9"):
        trade((a, perp, 0, 0), (b, perp, 0, 0))
    for alias in (1 << 160, 1 << 136, 12345 << 8, harbour.expiry << 96):
        with pytest.raises(Reverted, match="registry: not an instrument"):
            trade((a, perp | alias, WAD, 0), (b, perp | alias, -WAD, 0))


def test_a_position_has_a_largest_size(harbour: Harbour, traders: tuple[int, int]) -> None:
    """Nothing is cut off to fit a word."""
    a, b = traders
    for size in (2**80 * 10**9, 2**96 * 10**9, (2**96 + 1) * 10**9):
        for buyer, seller in ((a, b), (b, a)):
            with pytest.raises(Reverted, match="registry: size too large"):
                harbour.trade(buyer, seller, harbour.call(4000), size, 0)
    engine = harbour.evm.deploy("testing/MockEngine.vy")
    harbour.registry.set_scheme(7, engine.address, 1)
    for account in traders:
        harbour.house.switch_scheme(account, 7, sender=harbour.owner(account))
    harbour.trade(a, b, harbour.call(4000), (2**80 - 1) * 10**9, 0)
    with pytest.raises(Reverted, match="portfolio: position too large"):
        harbour.trade(a, b, harbour.call(4000), 10**9, 0)


def test_a_trade_below_initial_margin_is_refused(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    poor = harbour.open("carol", dollars=100)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.trade(poor, traders[0], harbour.perp, 10 * WAD, 3000 * WAD)


def test_an_unlisted_or_delisted_instrument_only_closes(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.perp, 2 * WAD, 3000 * WAD)
    with pytest.raises(Reverted, match="gate: opening is paused or the instrument not listed"):
        harbour.trade(buyer, seller, harbour.call(3001), WAD, 100 * WAD)
    harbour.registry.delist(ETH)
    with pytest.raises(Reverted, match="gate: opening is paused or the instrument not listed"):
        harbour.trade(buyer, seller, harbour.perp, WAD, 3000 * WAD)
    harbour.trade(seller, buyer, harbour.perp, WAD, 3000 * WAD)
    harbour.trade(seller, buyer, harbour.perp, WAD, 3000 * WAD)
    assert harbour.house.positions(buyer) == []


def test_the_position_limit(harbour: Harbour, traders: tuple[int, int]) -> None:
    strikes = [(1000 + 10 * i) * WAD for i in range(64)]
    for start in (0, 32):
        harbour.registry.list_series(ETH, harbour.expiry, strikes[start : start + 32])
    a, b = harbour.open("alice", dollars=10**7), harbour.open("bob", dollars=10**7)
    for start in range(0, 64, 8):
        legs = []
        for strike in strikes[start : start + 8]:
            call = harbour.call(strike // WAD)
            legs += [(a, call, 10**9, 0), (b, call, -(10**9), 0)]
        harbour.direct.trade(legs, sender=harbour.matcher)
    assert len(harbour.house.positions(a)) == 64
    for more in (harbour.perp, harbour.put(4000)):
        with pytest.raises(Reverted, match="portfolio: too many positions"):
            harbour.trade(a, b, more, 10**9, 3000 * WAD)
    harbour.trade(b, a, harbour.call(1000), 10**9, 0)
    harbour.trade(a, b, harbour.perp, 10**9, 3000 * WAD)


# The second branch of the gate


@pytest.fixture
def strained(harbour: Harbour) -> tuple[int, int]:
    """An account below initial margin, and its counterparty."""
    account, other = harbour.open("alice", dollars=3700), harbour.open("bob", dollars=10**6)
    harbour.trade(account, other, harbour.perp, 5 * WAD, 3000 * WAD)
    harbour.wait(60, 2650)
    equity, initial, *_ = harbour.gate.margins(account)
    assert equity < initial
    return account, other


def test_closing_passes_below_initial_margin(harbour: Harbour, strained: tuple[int, int]) -> None:
    account, other = strained
    before = harbour.health(account)
    harbour.trade(other, account, harbour.perp, 2 * WAD, 2650 * WAD)
    assert harbour.health(account) > before
    harbour.check_conservation()


def test_closing_passes_while_opening_is_paused_and_data_is_stale(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.perp, 2 * WAD, 3000 * WAD)
    harbour.registry.set_pause(OPENING_PAUSED | WITHDRAWAL_PAUSED)
    harbour.evm.time += 2 * DAY
    mark = harbour.oracle.perp(ETH)[0]
    harbour.trade(seller, buyer, harbour.perp, WAD, mark)
    harbour.registry.set_pause(0)
    with pytest.raises(Reverted, match="gate: market is stale"):
        harbour.trade(buyer, seller, harbour.perp, WAD, mark)
    harbour.check_conservation()


def test_closing_may_not_grow_nor_flip(harbour: Harbour, strained: tuple[int, int]) -> None:
    account, other = strained
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.trade(account, other, harbour.perp, 10**9, 2650 * WAD)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.trade(other, account, harbour.perp, 10 * WAD, 2650 * WAD)
    with pytest.raises(Reverted, match="gate: below initial margin"):
        harbour.direct.trade(
            [
                (account, harbour.perp, -WAD, 2650 * WAD),
                (other, harbour.perp, WAD, -2650 * WAD),
                (account, harbour.put(2000), WAD, 0),
                (other, harbour.put(2000), -WAD, 0),
            ],
            sender=harbour.matcher,
        )


def test_closing_may_not_give_equity_away(harbour: Harbour, strained: tuple[int, int]) -> None:
    account, other = strained
    with pytest.raises(Reverted, match="gate: equity falls"):
        harbour.trade(other, account, harbour.perp, WAD, 2650 * WAD - 1)


def test_closing_may_not_lower_health(harbour: Harbour) -> None:
    """Closing a hedge at its mark leaves equity alone and health worse."""
    account, other = harbour.open("alice", dollars=2000), harbour.open("bob", dollars=10**6)
    harbour.direct.trade(
        [
            (account, harbour.perp, 4 * WAD, -12_000 * WAD),
            (other, harbour.perp, -4 * WAD, 12_000 * WAD),
            (account, harbour.put(3000), 3 * WAD, -240 * WAD),
            (other, harbour.put(3000), -3 * WAD, 240 * WAD),
        ],
        sender=harbour.matcher,
    )
    harbour.registry.set_pause(OPENING_PAUSED)
    value = harbour.gate.value(account, harbour.put(3000), 3 * WAD)[0]
    with pytest.raises(Reverted, match="gate: health falls"):
        harbour.direct.trade(
            [
                (account, harbour.put(3000), -3 * WAD, value + 1000),
                (other, harbour.put(3000), 3 * WAD, -value - 1000),
            ],
            sender=harbour.matcher,
        )


def test_the_fee_of_closing_is_at_most_what_is_there(
    harbour: Harbour, strained: tuple[int, int]
) -> None:
    account, other = strained
    harbour.wait(60, 2270)
    harbour.registry.set_fees((WAD // 100, 0))
    equity = harbour.equity(account)
    assert 0 < equity < 2270 * WAD * 3 // 100
    harbour.trade(other, account, harbour.perp, 3 * WAD, 2270 * WAD)
    fees = {event["account"]: event["amount"] for event in harbour.logged("FeeTaken")}
    assert fees[account] == equity
    assert harbour.equity(account) == 0
    harbour.check_conservation()


def test_closing_below_zero_pays_no_fee(harbour: Harbour, strained: tuple[int, int]) -> None:
    account, other = strained
    harbour.wait(60, 2200)
    assert harbour.equity(account) < 0
    harbour.registry.set_fees((WAD // 1000, 0))
    harbour.trade(other, account, harbour.perp, WAD, 2200 * WAD)
    assert [event["account"] for event in harbour.logged("FeeTaken")] == [other]


def test_without_a_mark_closing_an_option_is_free(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    """Fees are of the mark, which a market of options alone does not have."""
    a, b = traders
    harbour.registry.set_fees((0, WAD // 1000))
    harbour.trade(a, b, harbour.call(3000), WAD, 100 * WAD)
    assert [event["amount"] for event in harbour.logged("FeeTaken")] == [3 * WAD, 3 * WAD]
    desk = Desk(harbour.evm)
    desk.configure(STABLE)
    desk.list_underlying(ETH)
    desk.push(STABLE, WAD)
    desk.push(SPOT, 3000 * WAD)
    desk.push(FORWARD, 3000 * WAD, ETH, harbour.expiry)
    desk.push(RATE, 0, ETH, harbour.expiry)
    desk.shape(ETH, harbour.expiry)
    harbour.use_oracle(desk.oracle)
    harbour.trade(b, a, harbour.call(3000), WAD, 100 * WAD)
    assert harbour.house.positions(a) == []
    assert harbour.logged("FeeTaken") == []


# Settlement


def test_perp_profit_and_funding_sum_to_zero(harbour: Harbour, traders: tuple[int, int]) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.perp, 3 * WAD + 10**9, 3000 * WAD)
    for spot, mark in ((3100, 3120), (2950, 2900), (3033, 3050)):
        harbour.evm.time += HOUR
        harbour.push(spot, mark)
    assert harbour.house.book(buyer).unsettled + harbour.house.book(seller).unsettled == 0
    assert harbour.house.book(buyer).unsettled != 0
    harbour.house.settle(buyer)
    (event,) = harbour.logged("PerpSettled")
    assert event["pnl"] != 0
    assert event["funding"] != 0
    assert harbour.house.ledger().perp_settlement == -(event["pnl"] + event["funding"])
    assert harbour.house.funding_snapshot(buyer, ETH) == harbour.oracle.perp(ETH)[1]
    harbour.check_conservation()
    harbour.house.settle(seller)
    assert harbour.house.ledger().perp_settlement == 0
    assert harbour.house.book(seller).unsettled == 0


def test_the_side_that_the_mark_favours_pays_funding(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    """Above the index longs pay shorts, below it shorts pay longs: size times the index's rise."""
    buyer, seller = traders
    for mark in (3030, 2970):
        harbour.push(3000, 3000)
        harbour.house.settle(buyer)
        harbour.trade(buyer, seller, harbour.perp, 2 * WAD, 3000 * WAD)
        start = harbour.oracle.perp(ETH)[1]
        harbour.push(3000, mark)
        harbour.evm.time += HOUR
        harbour.push(3000, mark)
        rise = harbour.oracle.perp(ETH)[1] - start
        assert (rise > 0) == (mark > 3000)
        harbour.house.settle(buyer)
        (event,) = harbour.logged("PerpSettled")
        assert event["funding"] == -2 * rise
        harbour.trade(seller, buyer, harbour.perp, 2 * WAD, 3000 * WAD)


def test_settling_changes_no_equity_and_no_version(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.perp, WAD, 3000 * WAD)
    harbour.wait(60, 3100)
    equity, version = harbour.equity(buyer), harbour.house.version(buyer)
    harbour.house.settle(buyer)
    assert harbour.equity(buyer) == equity
    assert harbour.house.version(buyer) == version


@pytest.mark.parametrize("spot", [2000, 2900, 3000, 3500])
def test_expired_options_are_worth_their_payoff(
    harbour: Harbour, traders: tuple[int, int], spot: int
) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.call(3000), 2 * WAD, 0)
    harbour.trade(seller, buyer, harbour.put(2500), WAD, 0)
    harbour.evm.time = harbour.expiry - 1790
    for _ in range(6):
        harbour.wait(290, spot)
    harbour.evm.time = harbour.expiry
    price = harbour.oracle.settlement_price(ETH, harbour.expiry)
    payoff = 2 * max(price - 3000 * WAD, 0) - max(2500 * WAD - price, 0)
    book = harbour.house.book(buyer)
    assert (book.positions, book.unsettled) == ([], payoff)
    assert len(harbour.house.positions(buyer)) == 2
    harbour.house.settle(buyer)
    assert harbour.house.cash(buyer) == 100_000 * WAD + payoff
    assert harbour.house.positions(buyer) == []
    assert harbour.house.ledger().option_settlement == -payoff
    assert harbour.house.open_interest(harbour.call(3000)) == 0
    harbour.check_conservation()
    harbour.house.settle(seller)
    assert harbour.house.ledger().option_settlement == 0
    assert harbour.house.open_interest(harbour.put(2500)) == 0
    with pytest.raises(Reverted, match="gate: opening is paused or the instrument not listed"):
        harbour.trade(buyer, seller, harbour.call(3000), WAD, 100 * WAD)


def test_a_series_settles_once_whatever_the_oracle_says_later(
    harbour: Harbour, traders: tuple[int, int]
) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.call(3000), WAD, 0)
    harbour.evm.time = harbour.expiry - 60
    harbour.push(3400)
    harbour.evm.time = harbour.expiry
    harbour.house.settle(buyer)
    harbour.use_oracle(Desk(harbour.evm).oracle)
    harbour.house.settle(seller)
    assert harbour.house.ledger().option_settlement == 0


def test_a_series_without_a_price_waits(harbour: Harbour, traders: tuple[int, int]) -> None:
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.put(3000), WAD, 0)
    harbour.evm.time = harbour.expiry
    harbour.use_oracle(Desk(harbour.evm).oracle)
    with pytest.raises(Reverted, match="portfolio: no settlement price"):
        harbour.house.settle(buyer)


def test_without_a_mark_nothing_accrues(harbour: Harbour, traders: tuple[int, int]) -> None:
    """A replaced oracle that knows nothing yet must not settle perpetuals at 0."""
    buyer, seller = traders
    harbour.trade(buyer, seller, harbour.perp, WAD, 3000 * WAD)
    harbour.use_oracle(Desk(harbour.evm).oracle)
    harbour.house.settle(buyer)
    assert harbour.house.cash(buyer) == 100_000 * WAD
    with pytest.raises(Reverted, match="portfolio: perpetual has no mark"):
        harbour.trade(seller, buyer, harbour.perp, WAD, 3000 * WAD)


# What only the liquidator and the backstop may do


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("set_phase", (1, 1)),
        ("move", (1, 2, [], [], 1)),
        ("take_fee", (1, 1)),
        ("cover", (1, 1, True)),
    ],
)
def test_nobody_else_moves_balances(
    harbour: Harbour, traders: tuple[int, int], function: str, args: tuple[Any, ...]
) -> None:
    for sender in (harbour.registry.owner(), harbour.owner(traders[0]), harbour.matcher):
        with pytest.raises(Reverted, match="registry: not liquidator or backstop"):
            getattr(harbour.house, function)(*args, sender=sender)


def test_sizes_fit_the_limit(harbour: Harbour) -> None:
    for name in ("house", "registry", "gate", "liquidator", "backstop"):
        assert harbour.evm.size(getattr(harbour, name).address) <= 24_576


def test_a_missing_price_refuses_everything_that_needs_it(harbour: Harbour) -> None:
    account = harbour.open("alice", dollars=1000, weth=1)
    owner = harbour.owner(account)
    harbour.use_oracle(Desk(harbour.evm).oracle)
    assert harbour.gate.margins(account) == (0, 0, 0, 0)
    with pytest.raises(Reverted, match="gate: market is stale"):
        harbour.house.withdraw(account, 0, USD, owner, sender=owner)
    harbour.desk.push(STABLE, WAD)
