"""Random actors, markets, faults and time against the whole protocol; invariants after every step.

`make fuzz` runs it long. At the end of every run honest actors must bring each liquidation that
is open to its end.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any, Callable

import pytest
from hypothesis import currently_in_test_context, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.contracts.feeds import DAY, ETH, HOUR, LIQUIDATION, OPENING, SPOT, WAD
from tests.contracts.harbour import BACKSTOP, INSTRUMENT, USD, WETH, Harbour
from tests.contracts.harbour import LIQUIDATION as PARAMETERS
from tests.evm import Reverted

FUND = 0
HEALTHY, SOLVENT, INSOLVENT = 0, 1, 2
UNLIMITED = 2**127
# What the kernel may be off by between two evaluations of a book of this size (PROTOCOL 11).
BUDGET = 10**13

accounts = st.integers(0, 4)
fractions = st.integers(1, 100).map(lambda percent: percent * WAD // 100)
sizes = st.one_of(
    st.integers(1, 10**10).map(lambda units: units * 10**9),
    st.sampled_from([10**9, WAD, 10 * WAD]),
)


def note(what: str) -> None:
    """Count what a run reaches, for Hypothesis's statistics."""
    if currently_in_test_context():
        event(what)


@cache
def _harbour() -> Harbour:
    harbour = Harbour()
    harbour.registry.set_interest((WAD // 50, WAD // 10, 9 * WAD // 10, WAD))
    return harbour


class Protocol(RuleBasedStateMachine):
    """Five traders of all kinds, a keeper, a fund."""

    def __init__(self) -> None:
        super().__init__()
        self.harbour = harbour = _harbour()
        self.evm, self.house = harbour.evm, harbour.house
        self.liquidator = harbour.liquidator
        self._prices, self._expiry = dict(harbour.prices), harbour.expiry
        self._mark = self.evm.snapshot()

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.harbour.quote.call_back("0x" + "0" * 40, b"")
            self.evm.revert(self._mark)
            self.harbour.prices, self.harbour.expiry = self._prices, self._expiry

    @initialize(
        rich=st.lists(st.integers(500, 20_000), min_size=5, max_size=5),
        weth=st.lists(st.integers(0, 3), min_size=5, max_size=5),
        leverages=st.lists(st.integers(-400, 400), min_size=5, max_size=5),
        fund=st.sampled_from([0, 100, 10_000]),
        mode=st.sampled_from([1, 2]),
        fees=st.sampled_from([(0, 0), (WAD // 2000, WAD // 3000)]),
        rule_of_sale=st.sampled_from(
            [
                None,
                ("DutchAuction", (95 * WAD // 100, 7 * WAD // 10, 900, 6300, 3600, WAD // 200)),
                ("PartialStep", (WAD // 2, WAD // 2, WAD // 20, 3600, 3600, WAD // 100)),
                ("FixedPenalty", (WAD // 20, 1800, 1800, WAD // 100)),
            ]
        ),
    )
    def begin(
        self,
        rich: list[int],
        weth: list[int],
        leverages: list[int],
        fund: int,
        mode: int,
        fees: tuple[int, int],
        rule_of_sale: tuple[str, tuple[int, ...]] | None,
    ) -> None:
        harbour = self.harbour
        harbour.backstop.set_parameters({**BACKSTOP, "mode": mode, "lock_dust": 100 * WAD})
        harbour.liquidator.set_parameters({**PARAMETERS, "fee": fees[0]})
        harbour.registry.set_fees(fees)
        if rule_of_sale is not None:
            name, args = rule_of_sale
            harbour.liquidator.set_rule(self.evm.deploy(f"rules/{name}.vy", *args).address)
        if fund:
            harbour.deposit(FUND, fund * USD)
        self.accounts = [
            harbour.open(f"trader{number}", dollars, ether)
            for number, (dollars, ether) in enumerate(zip(rich, weth, strict=True))
        ]
        self.keeper = harbour.open("keeper", 200_000)
        self.everyone = [FUND, *self.accounts, self.keeper]
        self.instruments = [harbour.perp]
        self._list()
        for account, leverage in zip(self.accounts, leverages, strict=True):
            size = self.see(account)[0] * leverage // 300_000 // 10**9 * 10**9
            buyer, seller = (account, self.keeper) if size > 0 else (self.keeper, account)
            if size:
                self.attempt(
                    lambda: harbour.trade(buyer, seller, harbour.perp, abs(size), 3000 * WAD),  # noqa: B023
                    "leverage",
                )

    def _list(self) -> None:
        strikes = {2500, 3000, 3500}
        self.instruments += [self.harbour.call(k) for k in sorted(strikes)]
        self.instruments += [self.harbour.put(k) for k in sorted(strikes)]

    def attempt(self, action: Callable[[], Any], name: str) -> bool:
        """Run a transaction that may be refused, by a reason."""
        try:
            action()
        except Reverted as error:
            reason = str(error)
            assert ": " in reason, f"{name} reverted without a reason: {reason!r}"
            note(f"{name} refused: {reason}")
            return False
        note(f"{name} done")
        return True

    def see(self, account: int) -> tuple[int, int, int, int]:
        """Equity, initial, maintenance, freshness."""
        seen: tuple[int, int, int, int] = tuple(self.harbour.gate.margins(account))
        return seen

    # Money

    def deposit(self, who: int, dollars: int) -> None:
        self.harbour.deposit(self.accounts[who], dollars * USD)

    def deposit_collateral(self, who: int, ether: int) -> None:
        """Taken always, but while its price is not fresh enough to open by."""
        account = self.accounts[who]
        if self.harbour.oracle.market([], [WETH]).usable & OPENING:
            self.harbour.deposit(account, ether, WETH)
            return
        with pytest.raises(Reverted, match="registry: asset has no fresh price"):
            self.harbour.deposit(account, ether, WETH)

    def give_to_the_fund(self, dollars: int) -> None:
        self.harbour.deposit(FUND, dollars * USD)

    def withdraw(self, who: int, amount: int, collateral: bool) -> None:
        account = self.accounts[who]
        owner = self.harbour.owner(account)
        asset, units = (WETH, amount * 10**8) if collateral else (0, amount)
        if self.attempt(
            lambda: self.house.withdraw(account, asset, units, owner, sender=owner), "withdraw"
        ):
            equity, initial, _, usable = self.see(account)
            assert equity >= initial
            assert usable & OPENING
            assert self.house.phase(account) == HEALTHY
            assert not self.harbour.backstop.locked()

    def transfer(self, who: int, whom: int, amount: int, collateral: bool) -> None:
        source, target = self.accounts[who], self.accounts[(who + whom + 1) % 5]
        owner = self.harbour.owner(source)
        if source != target:
            self.house.grant(target, owner, 4, sender=self.harbour.owner(target))
        before = self.see(target)
        if self.attempt(
            lambda: self.house.transfer(source, target, int(collateral), amount, sender=owner),
            "transfer",
        ):
            equity, initial, *_ = self.see(source)
            assert equity >= initial
            after = self.see(target)
            assert after[0] >= after[1] or after[0] - after[2] >= before[0] - before[2]

    def settle(self, who: int) -> None:
        account = self.everyone[who]
        version = self.house.version(account)
        before = self.see(account)[0]
        self.house.settle(account)
        assert self.see(account)[0] == before
        assert self.house.version(account) == version

    def sweep(self) -> None:
        self.house.sweep_fees()

    @rule(
        kind=st.integers(0, 7),
        who=accounts,
        whom=st.integers(0, 3),
        dollars=st.integers(1, 8000),
        cents=st.integers(0, 10**6),
    )
    def money(self, kind: int, who: int, whom: int, dollars: int, cents: int) -> None:
        amount = dollars * USD + cents
        if kind == 0:
            self.deposit(who, dollars)
        elif kind == 1:
            self.deposit_collateral(who, amount * 10**8)
        elif kind == 2:
            self.give_to_the_fund(dollars)
        elif kind in (3, 4):
            self.withdraw(who, amount, kind == 4)
        elif kind in (5, 6):
            self.transfer(who, whom, amount * 10**12 + whom, kind == 6)
        else:
            self.settle(who)
            self.sweep()

    # Trades

    @rule(
        who=accounts,
        whom=st.integers(0, 5),
        which=st.integers(0, 6),
        size=sizes,
        buys=st.booleans(),
        price=st.integers(80, 120),
        closes=st.booleans(),
    )
    def trade(
        self, who: int, whom: int, which: int, size: int, buys: bool, price: int, closes: bool
    ) -> None:
        account, other = self.accounts[who], [*self.accounts, self.keeper][whom]
        if account == other:
            other = self.keeper
        instrument = self.instruments[which % len(self.instruments)]
        change = size if buys else -size
        if closes:
            held = self._size(account, instrument)
            change, price = (-held, 100) if held else (change, price)
        cash = -change * self._fair(instrument) * price // 100 // WAD
        legs = [(account, instrument, change, cash), (other, instrument, -change, -cash)]
        before = {each: self.see(each) for each in (account, other)}
        if self.attempt(
            lambda: self.harbour.direct.trade(legs, sender=self.harbour.matcher), "trade"
        ):
            fees: dict[int, int] = defaultdict(int)
            for logged in self.evm.events:
                if logged.name == "FeeTaken":
                    fees[logged.args["account"]] += logged.args["amount"]
            for each in (account, other):
                self._check_gate(each, before[each], fees[each])

    def _check_gate(self, account: int, before: tuple[int, ...], fee: int) -> None:
        equity, initial, maintenance, usable = self.see(account)
        if usable & OPENING and equity >= initial:
            return
        assert self.house.phase(account) == HEALTHY
        assert equity - maintenance >= before[0] - before[2]
        assert equity >= before[0] - fee
        note("closed by the second branch")

    def _fair(self, instrument: int) -> int:
        spot = self.harbour.prices["spot"]
        strike = (instrument >> 8 & 2**88 - 1) * 10**9
        kind = instrument & 255
        if kind == 1:
            mark: int = self.harbour.oracle.perp(ETH)[0]
            return mark
        return max(spot - strike, 0) if kind == 2 else max(strike - spot, 0)

    # Market and time

    @rule(move=st.integers(-35, 35), premium=st.integers(-6, 6), after=st.integers(0, 3600))
    def price(self, move: int, premium: int, after: int) -> None:
        self.evm.time += after
        spot = self.harbour.prices["spot"] // WAD
        spot = min(max(spot * (100 + move) // 100, 200), 20_000)
        self.harbour.push(spot, spot * (100 + premium) // 100)

    def nobody_reports(self, seconds: int) -> None:
        self.evm.time += seconds

    def time_passes(self, seconds: int) -> None:
        self.harbour.wait(seconds)

    def a_source_lies(self, value: int) -> None:
        """Zero and negative prices are not taken, and so change nothing."""
        before = self.harbour.oracle.report(SPOT << 64)
        self.harbour.desk.push(SPOT, value)
        assert self.harbour.oracle.report(SPOT << 64) == before

    def expire(self) -> None:
        """Go to the expiry, and list another a week later."""
        self.evm.time = max(self.evm.time, self.harbour.expiry)
        self.harbour.expiry = self.evm.time // DAY * DAY + 7 * DAY
        strikes = [k * WAD for k in (2500, 3000, 3500)]
        self.harbour.registry.list_series(ETH, self.harbour.expiry, strikes)
        self.harbour.push()
        del self.instruments[1:]
        self._list()

    def pause(self, pause: int) -> None:
        self.harbour.registry.set_pause(pause)

    def the_token_calls_back(self, which: int, who: int) -> None:
        """From now on every transfer of quote tries one of these; none may get through."""
        account = self.accounts[who]
        contract, function, args = [
            (self.house, "settle", (account,)),
            (self.house, "sweep_fees", ()),
            (self.liquidator, "bid", (account, self.keeper, WAD, UNLIMITED, 0)),
            (self.liquidator, "resolve", (account,)),
        ][which]
        data = contract.abi.function(function, len(args)).encode(*args)
        self.harbour.quote.call_back(contract.address, data)
        self.harbour.deposit(account, 1)
        called = [logged for logged in self.evm.events if logged.name == "CalledBack"]
        assert [logged.args["success"] for logged in called] == [False]

    @rule(
        kind=st.integers(0, 5),
        who=accounts,
        which=st.integers(0, 3),
        seconds=st.sampled_from([1, 60, 900, HOUR, 7200, 8 * HOUR, DAY]),
    )
    def circumstance(self, kind: int, who: int, which: int, seconds: int) -> None:
        if kind == 0:
            self.nobody_reports(seconds)
        elif kind == 1:
            self.time_passes(seconds)
        elif kind == 2:
            self.a_source_lies([0, -WAD][which % 2])
        elif kind == 3:
            self.expire()
        elif kind == 4:
            self.pause(which if seconds > HOUR else 0)
        else:
            self.the_token_calls_back(which, who)

    # Liquidation

    def flag(self, who: int, seek: bool) -> None:
        order = self.everyone[who:] + self.everyone[:who]
        if seek:
            order.sort(key=lambda account: not self.liquidator.quote(account).can_flag)
        account = order[0]
        before, quote = self.see(account), self.liquidator.quote(account)
        done = self.attempt(lambda: self.harbour.flag(account, self.keeper), "flag")
        assert done == quote.can_flag
        if done:
            assert before[0] < before[2]
            assert self.see(account) == before
            note(f"flagged into phase {self.liquidator.phase(account)}")

    def bid(self, who: int, by: int, fraction: int) -> None:
        account, bidder = self._in_liquidation(who), [*self.accounts, self.keeper][by]
        if account != bidder:
            self._bid(account, bidder, fraction)

    def _bid(self, account: int, bidder: int, fraction: int) -> bool:
        before, state = self.see(account), self.liquidator.liquidation(account)
        if not self.attempt(lambda: self.harbour.bid(account, bidder, fraction), "bid"):
            return False
        after = self.see(account)
        assert after[0] - after[2] >= before[0] - before[2] - BUDGET
        (logged,) = [each.args for each in self.evm.events if each.name == "Bid"]
        if state.phase == SOLVENT:
            assert before[0] > state.reserved
            assert after[0] >= 0
            spread = (before[0] - state.reserved) * logged["fraction"] // WAD
            assert logged["reward"] + logged["fee"] <= spread
            assert logged["price"] <= logged["value"]
        else:
            assert before[0] < before[2]
            assert -logged["price"] * WAD <= (before[2] - before[0]) * logged["fraction"]
        equity, initial, *_ = self.see(bidder)
        assert equity >= initial - BUDGET
        note(f"bid in phase {state.phase}, then {self.liquidator.phase(account)}")
        return True

    def advance(self, who: int, step: str) -> None:
        """A transition succeeds exactly when the view says that it would."""
        self._advance(self._in_liquidation(who), step)

    def _advance(self, account: int, step: str) -> bool:
        quote = self.liquidator.quote(account)
        function = "turn_insolvent" if step == "turn" else step
        fund, phase = self.see(FUND)[0], self.liquidator.phase(account)
        done = self.attempt(lambda: getattr(self.liquidator, function)(account), step)
        assert done == getattr(quote, f"can_{step}")
        if done:
            note(f"{step} from phase {phase}")
        if done and step == "close":
            # What it takes over costs the fund what it had, and no more.
            assert self.see(FUND)[0] >= min(fund, 0) - BUDGET
        return done

    def deleverage(self, who: int, against: int) -> None:
        account = self._in_liquidation(who)
        items = []
        others = [*self.accounts, self.keeper]
        for other in others[against:] + others[:against]:
            for word in self.house.positions(account):
                name = self._name(word)
                mine = self._size(account, name)
                if mine * self._size(other, name) < 0:
                    items.append((other, name, abs(mine)))
        if items:
            before = self.see(account)
            if self.attempt(
                lambda: self.harbour.backstop.deleverage(account, items[:1]), "deleverage"
            ):
                # The fund too, only when it cannot pay and nobody took it.
                assert self.liquidator.phase(account) == INSOLVENT
                assert before[0] < before[2]
                assert self.see(account)[0] >= before[0] - BUDGET
                equity, _, maintenance, _ = self.see(items[0][0])
                assert equity >= maintenance

    def relieve(self, by: int, which: int) -> None:
        """Somebody takes a position off the fund, and the fund gains by it."""
        taker = [*self.accounts, self.keeper][by]
        names = [self._name(word) for word in self.house.positions(FUND)]
        if names:
            equity, _, maintenance, _ = self.see(FUND)
            item = (taker, names[which % len(names)], 10 * WAD)
            if self.attempt(
                lambda: self.harbour.backstop.relieve([item], sender=self.harbour.owner(taker)),
                "relieve",
            ):
                after = self.see(FUND)
                assert after[0] - after[2] >= equity - maintenance
                assert after[0] > equity - BUDGET
                equity, initial, _, usable = self.see(taker)
                assert equity >= initial
                assert usable & OPENING

    @rule(who=accounts, step=st.sampled_from([3, 6, 25]), after=st.integers(0, 1))
    def go_under(self, who: int, step: int, after: int) -> None:
        """The market moves against an account until somebody can flag it."""
        account = self.accounts[who]
        self._move_against(account, step, after, "can_flag")
        self.flag(1 + who, False)

    @rule(who=st.integers(0, 6), then=st.sampled_from(["restart", "turn"]), fraction=fractions)
    def go_on_falling(self, who: int, then: str, fraction: int) -> None:
        """It moves on after a bid, until the solvent phase cannot go on as it is."""
        account = self._in_liquidation(who)
        if self.liquidator.phase(account) == SOLVENT and account != self.keeper:
            self._bid(account, self.keeper, fraction // 4)
            self._move_against(account, 1, 0, f"can_{then}")
            self._advance(account, then)

    @rule(who=accounts, by=st.integers(1, 4), size=sizes, fraction=fractions)
    def bid_at_a_loss(self, who: int, by: int, size: int, fraction: int) -> None:
        """What takes an account under takes from its bidder too, who has settled none of it."""
        account, bidder = self.accounts[who], self.accounts[(who + by) % 5]
        perp = self.harbour.perp
        is_long = self._size(account, perp) >= 0
        sides = (bidder, self.keeper) if is_long else (self.keeper, bidder)
        price = self._fair(perp)
        self.attempt(lambda: self.harbour.trade(*sides, perp, size, price), "a bidder's trade")
        if self.liquidator.phase(account) == HEALTHY:
            self._move_against(account, 6, 0, "can_flag")
            self.flag(1 + who, False)
        else:
            self.price(-2 if is_long else 2, 0, 0)
        unsettled = self.house.book(bidder).unsettled
        if self.liquidator.phase(account) != HEALTHY and unsettled < 0:
            stored = self.house.cash(bidder)
            if self._bid(account, bidder, fraction):
                note("bid at an unsettled loss")
            else:
                assert self.house.cash(bidder) == stored
                assert self.house.book(bidder).unsettled == unsettled
                note("bid at an unsettled loss refused")

    def _move_against(self, account: int, step: int, after: int, until: str) -> None:
        way = -1 if self._size(account, self.harbour.perp) >= 0 else 1
        for _ in range(12):
            if getattr(self.liquidator.quote(account), until):
                break
            self.price(way * step, 0, 10 * after)

    @rule(
        kind=st.sampled_from(["flag", "bid", "bid", "step", "step", "deleverage", "relieve"]),
        who=st.integers(0, 6),
        by=st.integers(0, 5),
        fraction=fractions,
        step=st.sampled_from(["restart", "turn", "resolve", "close"]),
        wait=st.booleans(),
    )
    def liquidation(
        self, kind: str, who: int, by: int, fraction: int, step: str, wait: bool
    ) -> None:
        if wait:
            self.time_passes(3600)
        if kind == "flag":
            self.flag(who, True)
        elif kind == "bid":
            self.bid(who, by, fraction)
        elif kind == "step":
            self.advance(who, step)
        elif kind == "relieve":
            self.relieve(by, who)
        else:
            account = self._in_liquidation(who)
            if self.liquidator.quote(account).can_turn:
                self._advance(account, "turn")
            self.time_passes(3600)
            self.deleverage(who, by)

    # Invariants

    @invariant()
    def money_is_conserved(self) -> None:
        if not hasattr(self, "everyone"):
            return
        self.harbour.check_conservation()
        ledger = self.house.ledger()
        stored = {account: self.house.cash(account) for account in self.everyone}
        assert sum(stored.values()) == ledger.cash
        assert ledger.debt == -sum(min(each, 0) for each in stored.values())
        holdings = sum(self.house.holding(account, WETH) for account in self.everyone)
        assert holdings == self.house.stock(WETH).held

    @invariant()
    def positions_sum_to_zero(self) -> None:
        if not hasattr(self, "everyone"):
            return
        net: dict[int, int] = defaultdict(int)
        long: dict[int, int] = defaultdict(int)
        unsettled = 0
        for account in self.everyone:
            words = self.house.positions(account)
            names = [word & INSTRUMENT for word in words]
            assert names == sorted(names)
            for word in words:
                size = self._signed(word)
                assert size != 0
                net[self._name(word)] += size
                long[self._name(word)] += max(size, 0)
            unsettled += self.house.book(account).unsettled
        # Sides of an expired series settle one by one.
        alive = [name for name in net if not 0 < (name >> 96 & 2**32 - 1) <= self.evm.time]
        assert not any(net[name] for name in alive)
        for name in {*long, *self.instruments}:
            assert self.house.open_interest(name) == long[name]
        ledger = self.house.ledger()
        # Funding and profit sum to zero over accounts, whoever has settled already.
        assert unsettled == ledger.perp_settlement + ledger.option_settlement

    @invariant()
    def phases_agree_and_the_lens_answers(self) -> None:
        if not hasattr(self, "everyone"):
            return
        for risk in self.harbour.lens.risks(self.everyone):
            assert risk.phase == self.liquidator.phase(risk.account)
        self.harbour.lens.market()
        shortfalls = [self.liquidator.liquidation(each).shortfall for each in self.everyone]
        total, since = self.liquidator.insolvency()
        assert total == sum(shortfalls)
        backstop, fund = self.harbour.backstop, self.see(FUND)[0]
        assert backstop.capacity() <= self.house.ledger().fees + max(fund, 0)
        if total > backstop.lock_threshold() and self.evm.time < since + DAY:
            assert backstop.locked()

    def _in_liquidation(self, who: int) -> int:
        """One of the accounts in liquidation, or any if there are none."""
        running = [each for each in self.everyone if self.liquidator.phase(each) != HEALTHY]
        candidates = running or self.everyone
        return candidates[who % len(candidates)]

    def _size(self, account: int, name: int) -> int:
        for word in self.house.positions(account):
            if self._name(word) == name:
                return self._signed(word)
        return 0

    @staticmethod
    def _signed(word: int) -> int:
        return ((word >> 160) - (2**96 if word >> 255 else 0)) * 10**9

    @staticmethod
    def _name(word: int) -> int:
        series = word & INSTRUMENT
        return series & ~((2**88 - 1) << 8) if series & 255 == 1 else series

    # Liveness

    def finish(self) -> None:
        """Honest actors bring every liquidation to its end, in at most a dozen steps each."""
        if not hasattr(self, "everyone"):
            return
        self.harbour.quote.call_back("0x" + "0" * 40, b"")
        self.harbour.push()
        whale = self.harbour.open("whale", 10**7)
        self.everyone.append(whale)
        for account in self.everyone:
            for _ in range(12):
                if self.liquidator.phase(account) == HEALTHY:
                    break
                self._one_step(account, whale)
            assert self.liquidator.phase(account) == HEALTHY, "a liquidation does not end"
            assert self.house.phase(account) == HEALTHY
        self._empty_the_fund(whale)
        self.money_is_conserved()
        self.positions_sum_to_zero()

    def _empty_the_fund(self, whale: int) -> None:
        """Who is rich takes all positions of the fund at once, unless they hedge its collateral."""
        self.harbour.push()
        self.house.settle(FUND)
        names = {self._name(word): abs(self._signed(word)) for word in self.house.positions(FUND)}
        if names:
            before = self.see(FUND)
            items = [(whale, name, size) for name, size in names.items()]
            owner = self.harbour.owner(whale)
            if not self.attempt(
                lambda: self.harbour.backstop.relieve(items, sender=owner), "relieve of all"
            ):
                assert self.house.holding(FUND, WETH) > 0
                return
            assert self.house.positions(FUND) == []
            assert self.see(FUND)[0] > before[0] - BUDGET

    def _one_step(self, account: int, whale: int) -> None:
        quote = self.liquidator.quote(account)
        assert quote.usable & LIQUIDATION
        for step in ("resolve", "restart", "turn", "close"):
            if getattr(quote, f"can_{step}"):
                assert self._advance(account, step)
                return
        if quote.max_fraction > 0 and self._bid(account, whale, WAD):
            return
        self.harbour.wait(7200)


Protocol.TestCase.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
TestProtocol = Protocol.TestCase


def test_the_machine_bids_at_an_unsettled_loss() -> None:
    """One that can bear its loss and the bid, and one that cannot."""
    machine = Protocol()
    try:
        machine.begin([4000, 20_000, 2600, 500, 500], [0] * 5, [0] * 5, 100, 1, (0, 0), None)
        machine.trade(0, 5, 0, 5 * WAD, True, 100, False)
        machine.trade(2, 5, 0, 3 * WAD, True, 100, False)
        machine.bid_at_a_loss(0, 1, 2 * WAD, WAD // 10)
        able, poor = machine.accounts[1:3]
        assert [each.args["bidder"] for each in machine.evm.events if each.name == "Bid"] == [able]
        settled = [each.args for each in machine.evm.events if each.name == "PerpSettled"]
        assert any(each["account"] == able and each["pnl"] < 0 for each in settled)
        assert machine.house.book(poor).unsettled < 0
        with pytest.raises(Reverted, match="liquidator: bidder below initial margin"):
            machine.harbour.bid(machine.accounts[0], poor, WAD // 10)
        machine.money_is_conserved()
        machine.positions_sum_to_zero()
    finally:
        machine.teardown()


def test_the_machine_reaches_what_matters() -> None:
    """A story by the machine's own rules: into debt, flagged, sold, insolvent, taken over."""
    machine = Protocol()
    try:
        machine.begin([4000, 20_000, 20_000, 500, 500], [0] * 5, [0] * 5, 100, 1, (0, 0), None)
        machine.trade(0, 1, 0, 5 * WAD, True, 100, False)
        machine.price(-12, 0, 60)
        machine.flag(1, False)
        assert machine.liquidator.phase(machine.accounts[0]) == SOLVENT
        machine.bid(1, 5, WAD // 10)
        machine.price(-20, 0, 60)
        machine.advance(1, "turn")
        assert machine.liquidator.phase(machine.accounts[0]) == INSOLVENT
        machine.time_passes(7200)
        machine.advance(1, "close")
        assert machine.liquidator.phase(machine.accounts[0]) == HEALTHY
        assert machine.house.ledger().pool < 0
        machine.money_is_conserved()
        machine.relieve(5, 0)
        assert machine.house.positions(FUND) == []
    finally:
        machine.teardown()
