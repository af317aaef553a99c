"""The step loop: clock, intents, one block, checks, records.

The loop knows nothing of scenarios and folders; it drives a world along paths and hands what
happened to a recorder and a journal.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import nan
from typing import Callable, Mapping, Sequence

import numpy as np

from sim.agents.base import Agent
from sim.agents.book_owner import BookOwner
from sim.agents.intents import Instrument, Intent, Order, Outcome
from sim.agents.matching import cross
from sim.agents.ordering import Pending, Policy, arranged, liquidations_first
from sim.agents.view import AccountView, Board, Distress, View
from sim.chain import Block, Receipt
from sim.checks.conformance import Reference, compare
from sim.checks.conservation import balance
from sim.engine.journal import Journal
from sim.engine.ledger import Account, Ledger
from sim.engine.recorder import Left, Recorder, Result, failure
from sim.engine.world import SET_UP, Action, World
from sim.errors import PlimsollError
from sim.market.impact import Feedback
from sim.market.paths import Paths
from sim.oracle.feeds import Oracle
from sim.protocol.abi import Event
from sim.protocol.client import Snapshot
from sim.reference.book import Market
from sim.scenario.model import GasPrice
from sim.streams import Streams
from sim.units import from_wad

Progress = Callable[[str, int, int | None, str], None]
"""Told the stage, how far it is, how long it is if known, and a note."""


@dataclass
class Loop:
    """A run in motion."""

    world: World
    paths: Paths
    instruments: Sequence[Instrument]
    oracle: Oracle
    streams: Streams
    reference: Reference | None
    order: Policy
    gas_price: GasPrice
    simulate: bool
    fund: float
    interval: int
    journal: Journal
    recorder: Recorder
    progress: Progress
    _worker: ThreadPoolExecutor = field(init=False)
    _under_way: Future[None] | None = field(init=False, default=None)
    _ledger: Ledger = field(init=False)
    _worth_before: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.gas_price.base_fee)

    def run(self) -> None:
        """Set the protocol up and play every step.

        What happened is verified and recorded by a thread of its own, in order, while the chain
        computes the next block.
        """
        with ThreadPoolExecutor(1) as self._worker:
            self._set_up()
            self._play()
            self._settle()

    def _play(self) -> None:
        steps = len(self.paths.times)
        snapshot: Snapshot | None = None
        grants: list[Action] = []
        feedback = Feedback(self.paths)
        crowding = 0.0
        arrivals = 0
        for step in range(steps):
            truth = self.paths.at(step, feedback.moves)
            views = self._views(step, truth, snapshot, crowding)
            wishes, refused = self._wishes(step, views)
            pending = self._arranged(step, wishes, arrivals)
            arrivals += len(pending)
            wanted = [self.world.act(p.sender, p.intent) for p in pending]
            sent, withheld = self._simulated(wanted)
            actions = [*self.world.report(self.oracle.updates(step, truth)), *grants, *sent]
            block, events, fees = self._mine(step, actions, truth.time, self._coin(truth))
            grants = self.world.learn(actions, events)
            self._tell(actions, block, fees, [*refused, *withheld])
            if snapshot is not None:
                feedback.advance(step, _liquidated(snapshot, events))
            crowding = sum(r.gas_used for r in block.receipts) / self.world.backend.gas_limit

            snapshot = self.world.snapshot()
            counts = Left(len(wanted) - len(sent), sum(not r.included for r in block.receipts))
            self._later(self._verify, step, block, counts, events, snapshot, truth)
            self.progress("running", step + 1, steps, _note(snapshot))
        assert snapshot is not None
        self._later(self.recorder.agents, self._results(snapshot))
        for agent in self.world.agents.values():
            if isinstance(agent, BookOwner):
                undone = agent.undone()
                self._later(self.recorder.book, steps - 1, undone, len(agent.targets))

    def _verify(
        self,
        step: int,
        block: Block,
        left: Left,
        events: Sequence[Sequence[Event]],
        snapshot: Snapshot,
        truth: Market,
    ) -> None:
        agreement = compare(snapshot, self.reference)
        money = balance(snapshot)
        self.recorder.state(step, block, left, events, snapshot, truth, agreement, money)

    def _later(self, task: Callable[..., None], *arguments: object) -> None:
        """Do a task in the worker's turn, once what was handed over before is done."""
        self._settle()
        self._under_way = self._worker.submit(task, *arguments)

    def _settle(self) -> None:
        if self._under_way is not None:
            self._under_way.result()

    def _set_up(self) -> None:
        """Deploy, hand out tokens, open accounts; all before the first step's time."""
        world = self.world
        board = Board(self.paths.at(0), tuple(self.instruments))
        self._worth_before = {
            name: sum(
                amount * board.asset_price(token) / board.market.stable
                for token, amount in sorted(agent.endowment(board).items())
            )
            for name, agent in world.agents.items()
        }
        limit, world.backend.gas_limit = world.backend.gas_limit, SET_UP_GAS
        deployment, endowments = world.deployment(), world.endowments(board, self.fund)
        accounts = sum(agent.accounts for agent in world.agents.values())
        sizes = (len(deployment), len(endowments), accounts)
        time = int(self.paths.times[0]) - sum(-(-size // SET_UP_BLOCK) for size in sizes)
        stages: list[Callable[[], list[Action]]] = [
            lambda: deployment,
            lambda: endowments,
            world.grants,
        ]
        for number, stage in enumerate(stages):
            self.progress("setting up", number, len(stages), "")
            actions = stage()
            for first in range(0, len(actions), SET_UP_BLOCK):
                part = actions[first : first + SET_UP_BLOCK]
                block, events, _ = self._mine(SET_UP, part, time, 0.0)
                for action, receipt in zip(part, block.receipts, strict=True):
                    if not receipt.succeeded:
                        raise SetUpFailed(action, receipt)
                world.learn(part, events)
                time += 1
        world.backend.gas_limit = limit

    def _views(
        self, step: int, truth: Market, snapshot: Snapshot | None, crowding: float
    ) -> dict[str, View]:
        """Return what every agent sees before the block; before the first one the chain knows
        nothing."""
        trades = self.paths.listed[step]
        listed = (i for i in self.instruments if trades[i.underlying] and _alive(i, truth.time))
        board = Board(truth, tuple(listed))
        accounts: dict[int, AccountView] = {}
        distressed: list[Distress] = []
        fund = 0.0
        if snapshot is not None:
            accounts = self.world.account_views(snapshot)
            distressed = self.world.distressed(snapshot, accounts)
            fund = accounts[0].cash
        wallets = self.world.wallets()
        return {
            name: View(
                step=step,
                steps=len(self.paths.times),
                time=truth.time,
                interval=self.interval,
                board=board,
                oracle=truth if snapshot is None else snapshot.market,
                accounts=tuple(accounts.get(a, _empty(a)) for a in self.world.accounts[name]),
                wallet=wallets[name],
                distressed=tuple(distressed),
                everyone=accounts,
                quote=self.world.listing.quote.symbol,
                fund=fund,
                crowding=crowding,
            )
            for name in self.world.agents
        }

    def _wishes(
        self, step: int, views: Mapping[str, View]
    ) -> tuple[list[tuple[str, Intent]], list[tuple[str, Outcome]]]:
        """Ask every agent, and let orders meet quotes."""
        wishes: list[tuple[str, Intent]] = []
        orders: list[tuple[str, Order]] = []
        for name, agent in self.world.agents.items():
            for intent in agent.decide(views[name], self.streams.at(f"agent/{name}", step)):
                if isinstance(intent, Order):
                    orders.append((name, intent))
                else:
                    wishes.append((name, intent))
        makers = [
            (agent, views[name])
            for name, agent in self.world.agents.items()
            if type(agent).quote is not Agent.quote
        ]
        trades, refused = cross(orders, makers)
        return [*wishes, *trades], refused

    def _arranged(
        self, step: int, wishes: Sequence[tuple[str, Intent]], arrivals: int
    ) -> list[Pending]:
        pending = [
            Pending(name, intent, arrivals + rank) for rank, (name, intent) in enumerate(wishes)
        ]
        rng: np.random.Generator = self.streams.at("blocks/order", step)
        ordered = arranged(pending, self.order, rng)
        # Only a builder who works against the protocol puts users ahead of liquidations.
        return ordered if self.order == "adversarial" else liquidations_first(ordered)

    def _simulated(
        self, wanted: Sequence[Action]
    ) -> tuple[list[Action], list[tuple[str, Outcome]]]:
        """Return what is sent, and as outcomes what its senders found would revert."""
        if not self.simulate:
            return list(wanted), []
        reasons = self.world.refusals(wanted)
        sent: list[Action] = []
        withheld: list[tuple[str, Outcome]] = []
        for action, reason in zip(wanted, reasons, strict=True):
            if reason is None or action.intent is None:
                sent.append(action)
            else:
                outcome = Outcome(action.intent, accepted=False, reason=reason)
                withheld.append((action.agent, outcome))
        return sent, withheld

    def _coin(self, truth: Market) -> float:
        """Return the price of the coin that pays for gas, in quote currency."""
        if self.gas_price.factor is None:
            return self.gas_price.coin
        names = list(truth.underlyings.name)
        return float(truth.underlyings.spot[names.index(self.gas_price.factor)]) / truth.stable

    def _mine(
        self, step: int, actions: Sequence[Action], time: int, coin: float
    ) -> tuple[Block, list[list[Event]], list[float]]:
        """Return the block, its events by transaction and what each transaction cost its sender."""
        transactions = [action.transaction for action in actions]
        block = self.world.backend.mine(transactions, time)
        events = self.world.events(block)
        self.journal.add(step, transactions, block)
        fees = [
            self._ledger.charge(step, action, receipt, coin)
            for action, receipt in zip(actions, block.receipts, strict=True)
        ]
        self._later(self.recorder.transactions, step, actions, block, events, fees)
        return block, events, fees

    def _tell(
        self,
        actions: Sequence[Action],
        block: Block,
        fees: Sequence[float],
        refused: Sequence[tuple[str, Outcome]],
    ) -> None:
        """Let every agent learn what became of its intents."""
        outcomes: dict[str, list[Outcome]] = {name: [] for name in self.world.agents}
        for name, outcome in refused:
            outcomes[name].append(outcome)
        for action, receipt, fee in zip(actions, block.receipts, fees, strict=True):
            if action.intent is not None:
                reason = "" if receipt.succeeded else failure(receipt)
                outcomes[action.agent].append(
                    Outcome(action.intent, receipt.succeeded, reason, receipt.gas_used, fee)
                )
        for name, own in outcomes.items():
            self.world.agents[name].observe(own)

    def _results(self, snapshot: Snapshot) -> list[Result]:
        """Return what every agent has come to: accounts at the oracle's prices, wallet at the
        market's, gas by the ledger."""
        board = Board(self.paths.at(len(self.paths.times) - 1), ())
        equity = dict(zip(snapshot.accounts.tolist(), snapshot.equity, strict=True))
        assessed = set(snapshot.accounts[snapshot.assessed].tolist())
        wallets = self.world.wallets()
        found = []
        for name in self.world.agents:
            own = self.world.accounts[name]
            worth = sum(equity[account] for account in own) / 10**18 + sum(
                amount * board.asset_price(token) / board.market.stable
                for token, amount in sorted(wallets[name].items())
            )
            known = assessed.issuperset(own)
            before = self._worth_before[name]
            charged = self._ledger.accounts.get(name, Account())
            found.append(Result(name, len(own), before, worth if known else nan, charged))
        return found


SET_UP_GAS = 10**10
"""Gas limit of the blocks in which the protocol is set up."""
SET_UP_BLOCK = 500
"""Most transactions of such a block: what Anvil needs for receipts grows with their square."""


class SetUpFailed(PlimsollError):
    """A transaction of the set-up reverted."""

    def __init__(self, action: Action, receipt: Receipt) -> None:
        super().__init__(f"{action.name} by {action.agent} failed: {failure(receipt)}")


def _liquidated(before: Snapshot, events: Sequence[Sequence[Event]]) -> dict[int, float]:
    """Return the dollars of each underlying that bids took over: negative, what will be sold."""
    row = {account: i for i, account in enumerate(before.accounts.tolist())}
    left: dict[int, float] = {}
    flows: dict[int, float] = {}
    for own in events:
        for event in own:
            if event.name != "Bid":
                continue
            account = event.args["account"]
            rest = left.get(account, 1.0)
            taken = rest * from_wad(event.args["fraction"])
            left[account] = rest - taken
            underlyings = before.market.underlyings
            for u, (underlying, spot) in enumerate(
                zip(underlyings.id.tolist(), underlyings.spot.tolist(), strict=True)
            ):
                dollars = taken * float(before.greeks[row[account], u, 0]) * spot
                flows[underlying] = flows.get(underlying, 0.0) - dollars
    return flows


def _alive(instrument: Instrument, time: int) -> bool:
    return instrument.expiry == 0 or instrument.expiry > time


def _empty(account: int) -> AccountView:
    return AccountView(account, 0.0, 0.0, 0.0, 0.0, {}, {})


def _note(snapshot: Snapshot) -> str:
    busy = int((snapshot.phase > 0).sum())
    return f"{busy} in liquidation" if busy else ""
