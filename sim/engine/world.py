"""A protocol on a chain, with its agents: set up, read, and acted upon.

The chain is the only truth. What Python keeps here are addresses, account numbers and names; every
balance and every figure that an agent sees is read from the chain.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any, Mapping, Sequence

import numpy as np
from eth_utils.crypto import keccak

from sim.agents.base import Agent, Params
from sim.agents.intents import (
    Bid,
    Close,
    Deleverage,
    Deposit,
    Escalate,
    Flag,
    Instrument,
    Intent,
    OpenAccount,
    Resolve,
    Restart,
    Trade,
    Transfer,
    Withdraw,
)
from sim.agents.ordering import liquidates
from sim.agents.view import AccountView, Board, Distress
from sim.chain import Backend, Block, Call, Transaction, created_address
from sim.errors import EnvironmentFault
from sim.oracle.feeds import FeedUpdate
from sim.protocol import deploy, feeds, words
from sim.protocol.abi import Event, revert_reason
from sim.protocol.client import Protocol, Snapshot
from sim.protocol.settings import ProtocolSettings
from sim.reference.book import PERP, Book
from sim.units import to_quanta, to_token, to_wad

SET_UP = -1
"""The step under which what happens before the first block of a scenario is recorded."""

GAS_MAX = 16_000_000
"""Highest gas limit of a transaction: what the dearest bid needs, on 64 positions by an account
that holds as many."""

_MAX = 2**256 - 1
_ANY_STATE = 0
_TRADE = 1
_REPORTS_IN_CALL = 32
_SURFACE_UNIT = 10**6  # of a and b, as the oracle packs them

# Gas limits, at least twice what was measured: a part, and more for each item (of the oracle's, a
# report) or position of the accounts concerned; at most `GAS_MAX`, and what leaves a small block
# room for the oracle.
_GAS = {
    "oracle": (100_000, 150_000),
    "trade": (2_000_000, 50_000),
    "flag": (1_000_000, 60_000),
    "bid": (2_000_000, 120_000),
    "close": (2_000_000, 120_000),
    "deleverage": (1_000_000, 80_000),
    "deposit": (1_000_000, 0),
}
_GAS_OTHERWISE = (3_000_000, 0)
_SIMULATED = ("trade", "withdraw", "transfer")


@dataclass(frozen=True)
class Action:
    """A transaction, and what it is for.

    Parameters
    ----------
    name : str
        Kind of action, as in the table of transactions.
    agent : str
        Who sends it.
    account : int
        Whom it concerns; -1 if nobody.
    """

    transaction: Transaction
    name: str
    agent: str
    account: int = -1
    intent: Intent | None = None

    @property
    def tip(self) -> float:
        """Gwei per gas."""
        return 0.0 if self.intent is None else self.intent.tip

    @property
    def liquidates(self) -> bool:
        """Whether it belongs to a liquidation."""
        return self.intent is not None and liquidates(self.intent)


class World:
    """One deployment with its agents.

    Parameters
    ----------
    backend : Backend
        A fresh chain.
    steps : list of deploy.Step
        The deployment.
    listing : deploy.Listing
        What it lists.
    names : mapping
        Names of underlyings by id.
    agents : sequence of Agent
    settings : ProtocolSettings
        What it was deployed with.
    """

    def __init__(
        self,
        backend: Backend,
        steps: Sequence[deploy.Step],
        listing: deploy.Listing,
        names: Mapping[int, str],
        agents: Sequence[Agent[Params]],
        settings: ProtocolSettings,
    ) -> None:
        self.backend = backend
        self.agents = {agent.name: agent for agent in agents}
        self.listing = listing
        self._buffer = settings.liquidation.buffer
        self._min_fraction = settings.liquidation.min_fraction
        self._deleverages = settings.backstop.then == "deleverage"
        self.accounts: dict[str, list[int]] = {agent.name: [] for agent in agents}
        self.owners: dict[int, str] = {0: "insurance fund"}
        self._prepared, contracts = deploy.prepare(
            steps, lambda number: created_address(address_of("deployer"), number)
        )
        assets = {i: item.token.symbol for i, item in enumerate(listing.collateral, start=1)}
        self.protocol = Protocol(contracts, names, assets)
        self._asset_ids = {name: number for number, name in assets.items()}
        self._decimals = {
            listing.quote.symbol: listing.quote.decimals,
            **{item.token.symbol: item.token.decimals for item in listing.collateral},
        }
        self._charges: dict[int, float] = {}
        self._offered: dict[int, float] = {}
        self._by_address = {address_of(name): name for name in self.agents}
        self._positions: dict[int, tuple[bytes, dict[Instrument, float]]] = {}
        self._wallets: dict[str, dict[str, float]] = {}
        self._moved = set(self.agents)  # whose wallets are not what was read last

    # Set-up

    def deployment(self) -> list[Action]:
        """Return the transactions that deploy and configure the contracts."""
        sender = address_of("deployer")
        return [
            Action(Transaction(sender, item.to, item.data), "deploy", "deployer")
            for item in self._prepared
        ]

    def endowments(self, board: Board, fund: float) -> list[Action]:
        """Return the transactions that hand out tokens, open accounts and grant the venue."""
        actions = []
        quote = self.listing.quote.symbol
        for name, agent in self.agents.items():
            for token, amount in agent.endowment(board).items():
                actions.append(self._mint(token, name, amount))
                actions.append(self._approve(token, name))
            actions += [self._open(name) for _ in range(agent.accounts)]
        if fund > 0:
            actions.append(self._mint(quote, "treasury", fund))
            actions.append(self._approve(quote, "treasury"))
            units = to_token(fund, self._decimals[quote])
            actions.append(
                self._act("treasury", "deposit", 0, "clearing_house", "deposit", 0, 0, units)
            )
        return actions

    def grants(self) -> list[Action]:
        """Return the grants of the direct venue for every account opened so far."""
        return [
            self._grant(name, account) for name, own in self.accounts.items() for account in own
        ]

    def _open(self, name: str, intent: Intent | None = None) -> Action:
        call = ("clearing_house", "open_account", deploy.SCHEME)
        return self._act(name, "open", -1, *call, intent=intent)

    def _grant(self, name: str, account: int) -> Action:
        venue = self.protocol.address("direct_venue")
        return self._act(name, "grant", account, "clearing_house", "grant", account, venue, _TRADE)

    def _mint(self, token: str, name: str, amount: float) -> Action:
        units = to_token(amount, self._decimals[token])
        return self._act(
            "deployer", "mint", -1, self._contract(token), "mint", address_of(name), units
        )

    def _approve(self, token: str, name: str) -> Action:
        house = self.protocol.address("clearing_house")
        return self._act(name, "approve", -1, self._contract(token), "approve", house, _MAX)

    def _contract(self, token: str) -> str:
        return "quote" if token == self.listing.quote.symbol else token

    # What happened

    def learn(self, actions: Sequence[Action], events: Sequence[Sequence[Event]]) -> list[Action]:
        """Note the accounts that a block opened and whose tokens it moved; return the grants that
        the new accounts need."""
        opened = []
        tokens = {self._contract(token) for token in self._decimals}
        for own in events:
            for event in own:
                if event.name == "Transfer" and event.address in tokens:
                    ends = (event.args["sender"], event.args["receiver"])
                    self._moved.update(self._by_address[e] for e in ends if e in self._by_address)
                elif event.name == "AccountOpened":
                    name = self._by_address.get(event.args["owner"])
                    if name is not None:
                        account = event.args["account"]
                        self.owners[account] = self.agents[name].label(len(self.accounts[name]))
                        self.accounts[name].append(account)
                        opened.append(self._grant(name, account))
        return opened

    def events(self, block: Block) -> list[list[Event]]:
        """Return the events of a block, decoded, by transaction."""
        return [
            [
                event
                for log in receipt.logs
                if (event := self.protocol.event(log.address, log.topics, log.data)) is not None
            ]
            for receipt in block.receipts
        ]

    # Reading

    def read(self, calls: Sequence[tuple[str, bytes]]) -> list[tuple[bool, bytes]]:
        outcomes = self.backend.call_many([Call(to, data) for to, data in calls])
        return [(outcome.succeeded, outcome.data) for outcome in outcomes]

    def snapshot(self) -> Snapshot:
        """Read every account, the fund included."""
        return self.protocol.snapshot(self.read, sorted(self.owners))

    def wallets(self) -> Mapping[str, dict[str, float]]:
        """Read the tokens that each agent holds outside the protocol, where they have moved."""
        stale = [name for name in self.agents if name in self._moved]
        pairs = [(name, token) for name in stale for token in self._decimals]
        calls = [
            self.protocol.encode(self._contract(token), "balanceOf", address_of(name))
            for name, token in pairs
        ]
        self._wallets.update((name, {}) for name in stale)
        for (name, token), (_, output) in zip(pairs, self.read(calls), strict=True):
            amount = int.from_bytes(output, "big") / 10 ** self._decimals[token]
            self._wallets[name][token] = amount
        self._moved.clear()
        return self._wallets

    def distressed(self, snapshot: Snapshot, views: Mapping[int, AccountView]) -> list[Distress]:
        """Read the liquidations under way, and the accounts that could be flagged."""
        chosen = [
            int(account)
            for account, phase, low in zip(
                snapshot.accounts, snapshot.phase, snapshot.underwater, strict=True
            )
            if phase > 0 or low
        ]
        calls = [
            self.protocol.encode("liquidator", function, account)
            for account in chosen
            for function in ("quote", "liquidation")
        ]
        answers = iter(self.read(calls))
        payable = inf
        if chosen and self._deleverages:
            # Nobody's cash but fees' and the fund's pays bidders, before those who win pay.
            capacity = self.protocol.ask(self.read, "clearing_house", "capacity")
            payable = sum(capacity) / 10**18
        found = []
        for account in chosen:
            quote = self._decoded("quote", next(answers))
            state = self._decoded("liquidation", next(answers))
            whole = quote.max_fraction or 10**18
            insolvent = quote.phase == 2
            self._charges[account] = quote.charges / whole
            self._offered[account] = whole / 10**18
            over = bool(quote.phase and snapshot.time >= state.started + state.duration)
            found.append(
                Distress(
                    account=views[account],
                    started=state.started if quote.phase else 0,
                    over=over,
                    takeable=not (over and insolvent) or self._takeable(account, snapshot),
                    payable=payable,
                    min_fraction=self._min_fraction,
                    max_fraction=quote.max_fraction / 10**18 if quote.phase else 1.0,
                    price_fraction=quote.price_fraction / 10**18 if quote.phase == 1 else 1.0,
                    reserved=quote.reserved / 10**18,
                    payout=max(0, -quote.price) / whole if insolvent else 0.0,
                    heals=(1.0 + self._buffer) * views[account].maintenance,
                )
            )
        return found

    def _takeable(self, account: int, snapshot: Snapshot) -> bool:
        if not self._deleverages:
            return True
        row = int(np.flatnonzero(snapshot.accounts == account)[0])
        call = ("backstop", "can_take_over", account, snapshot.equity[row])
        return bool(self.protocol.ask(self.read, *call))

    def _decoded(self, function: str, answer: tuple[bool, bytes]) -> Any:
        succeeded, output = answer
        if not succeeded:
            raise EnvironmentFault(f"liquidator.{function} reverted: {revert_reason(output)}")
        return self.protocol.decode("liquidator", function, output)

    def account_views(self, snapshot: Snapshot) -> dict[int, AccountView]:
        """Return every account as agents see it."""
        book = snapshot.book
        positions = self._positions_of(snapshot)
        names = [self.protocol.assets[int(asset)] for asset in book.assets]
        return {
            account: AccountView(
                id=account,
                equity=snapshot.equity[row] / 10**18,
                initial=snapshot.initial[row] / 10**18,
                maintenance=snapshot.maintenance[row] / 10**18,
                cash=float(book.cash[row]),
                holdings=dict(zip(names, book.holdings[row].tolist(), strict=True)),
                positions=positions[account],
                phase=int(snapshot.phase[row]),
            )
            for row, account in enumerate(snapshot.accounts.tolist())
        }

    def _positions_of(self, snapshot: Snapshot) -> dict[int, dict[Instrument, float]]:
        """Return the positions of every account, made anew only where they have changed."""
        found = {}
        row = 0
        for account, packed in snapshot.words.items():
            known, positions = self._positions.get(account, (b"", {}))
            end = row + len(packed) // 32
            if packed != known:
                positions = dict(_position(snapshot.book, place) for place in range(row, end))
                self._positions[account] = (packed, positions)
            found[account] = positions
            row = end
        return found

    # Acting

    def report(self, updates: Sequence[FeedUpdate]) -> list[Action]:
        """Return the oracle's transactions: every source sends what it has, in order of arrival."""
        actions = []
        for source in sorted({update.source for update in updates}):
            own = [update for update in updates if update.source == source]
            values = [_update(update) for update in own if update.slice is None]
            slices = [_surface(update) for update in own if update.slice is not None]
            for function, items in (
                ("push", values),
                ("push_surfaces", slices),
            ):
                for start in range(0, len(items), _REPORTS_IN_CALL):
                    part = items[start : start + _REPORTS_IN_CALL]
                    sender, size = source_name(source), len(part)
                    call = ("oracle", function, part)
                    actions.append(self._act(sender, "oracle", -1, *call, size=size))
        return actions

    def act(self, name: str, intent: Intent) -> Action:
        """Return the transaction of an agent's intent."""
        match intent:
            case Trade():
                call = ("direct_venue", "trade", self._legs(intent))
                size = self._held(intent.buyer) + self._held(intent.seller)
                return self._act(
                    "exchange", "trade", intent.buyer, *call, intent=intent, agent=name, size=size
                )
            case Deposit(account=account, asset=asset, amount=amount):
                units = to_token(amount, self._decimals[asset])
                args = (account, self._asset_ids.get(asset, 0), units)
                return self._house(name, "deposit", account, args, intent)
            case Withdraw(account=account, asset=asset, amount=amount):
                units = to_token(amount, self._decimals[asset])
                to = (account, self._asset_ids.get(asset, 0), units, address_of(name))
                return self._house(name, "withdraw", account, to, intent)
            case Transfer(source=source, target=target, asset=asset, amount=amount):
                move = (source, target, self._asset_ids.get(asset, 0), to_wad(amount))
                return self._house(name, "transfer", source, move, intent)
            case OpenAccount():
                return self._open(name, intent)
            case Flag(account=account):
                proof: tuple[Any, ...] = (account, [], self.accounts[name][0])
                return self._liquidate(name, "flag", account, intent, *proof)
            case Bid(account=account, bidder=bidder, fraction=fraction, limit=limit):
                # An agent's limit is for the price; rewards and fees come on top of it.
                most = limit + fraction * self._charges.get(account, 0.0)
                bid = (account, bidder, to_wad(fraction), to_wad(most), _ANY_STATE)
                return self._liquidate(name, "bid", account, intent, *bid)
            case Restart(account=account):
                return self._liquidate(name, "restart", account, intent, account)
            case Resolve(account=account):
                return self._liquidate(name, "resolve", account, intent, account)
            case Escalate(account=account):
                return self._liquidate(name, "turn_insolvent", account, intent, account)
            case Close(account=account):
                return self._liquidate(name, "close", account, intent, account)
            case Deleverage(account=account, against=against):
                items = [
                    {
                        "account": item.account,
                        "instrument": _number(item.instrument),
                        "size": to_quanta(item.size),
                    }
                    for item in against
                ]
                # Each is margined before and after, and the account's own positions are valued.
                size = sum(self._held(account) + 2 * self._held(i.account) for i in against)
                close = ("backstop", "deleverage", account, items)
                return self._act(name, "deleverage", account, *close, intent=intent, size=size)
            case _:
                raise TypeError(f"agents cannot ask for {type(intent).__name__}")

    def refusals(self, actions: Sequence[Action]) -> list[str | None]:
        """Return why an action would revert, as far as its sender can know; None otherwise.

        Senders see what is pending, in the order of the block: where somebody else is about to flag
        an account, or bids on all of it that is for sale, they do not do it again. And a wallet
        simulates what it sends on the chain as it stands; what hangs on something else in the same
        block cannot be simulated: liquidations on the oracle's reports, and whatever an agent sends
        beside.
        """
        found = self._pending(actions)
        others = Counter(action.agent for action in actions if action.name not in _SIMULATED)
        asked = [
            place
            for place, action in enumerate(actions)
            if action.name in _SIMULATED and not others[action.agent]
        ]
        sent = [actions[place].transaction for place in asked]
        outcomes = self.backend.call_many(
            [Call(tx.to, tx.data, tx.sender) for tx in sent if tx.to is not None]
        )
        for place, outcome in zip(asked, outcomes, strict=True):
            if not outcome.succeeded:
                found[place] = revert_reason(outcome.data) or "reverted"
        return found

    def _pending(self, actions: Sequence[Action]) -> list[str | None]:
        """Return which liquidations others have already on their way."""
        claimed: dict[tuple[str, int], float] = {}
        found: list[str | None] = []
        for action in actions:
            share = 1.0
            if isinstance(action.intent, Bid):
                share = action.intent.fraction / self._offered.get(action.account, 1.0)
            key = action.name, action.account
            late = action.liquidates and claimed.get(key, 0.0) > 1.0 - 1e-9
            found.append("another sender's is pending" if late else None)
            claimed[key] = claimed.get(key, 0.0) + share
        return found

    def _house(
        self, name: str, function: str, account: int, args: tuple[Any, ...], intent: Intent
    ) -> Action:
        return self._act(name, function, account, "clearing_house", function, *args, intent=intent)

    def _liquidate(
        self, name: str, function: str, account: int, intent: Intent, *args: Any
    ) -> Action:
        size = self._held(account) + self._held(self.accounts[name][0])
        call = ("liquidator", function, *args)
        return self._act(name, function, account, *call, intent=intent, size=size)

    def _held(self, account: int) -> int:
        """Return the positions of an account."""
        return len(self._positions.get(account, (b"", {}))[1])

    def _legs(self, trade: Trade) -> list[dict[str, int]]:
        number = _number(trade.instrument)
        size = to_quanta(trade.size)
        cash = size * to_quanta(trade.price) // 10**18
        return [
            {"account": trade.buyer, "instrument": number, "size": size, "cash": -cash},
            {"account": trade.seller, "instrument": number, "size": -size, "cash": cash},
        ]

    def _act(
        self,
        sender: str,
        action: str,
        account: int,
        contract: str,
        function: str,
        *args: Any,
        intent: Intent | None = None,
        agent: str | None = None,
        size: int = 0,
    ) -> Action:
        to, data = self.protocol.encode(contract, function, *args)
        part, each = _GAS.get(action, _GAS_OTHERWISE)
        gas = min(part + each * size, GAS_MAX, self.backend.gas_limit * 85 // 100)
        transaction = Transaction(address_of(sender), to, data, 0, gas)
        return Action(transaction, action, agent or sender, account, intent)


def _number(item: Instrument) -> int:
    return words.instrument(item.underlying, item.kind, item.expiry, item.strike)


def _position(book: Book, row: int) -> tuple[Instrument, float]:
    kind = int(book.kind[row])
    strike = 0.0 if kind == PERP else float(book.strike[row])
    instrument = Instrument(int(book.underlying[row]), kind, int(book.expiry[row]), strike)
    return instrument, float(book.size[row])


@cache
def address_of(name: str) -> str:
    """Return the address of an agent: nobody signs, so any address will do, and it is always the
    same."""
    return "0x" + keccak(text=f"plimsoll/{name}")[12:].hex()


def source_name(source: int) -> str:
    """Return the name of an oracle's source by number."""
    return f"oracle#{source}"


def _update(update: FeedUpdate) -> dict[str, int]:
    kind = feeds.Kind[update.kind.upper()]
    item = update.index + 1 if kind is feeds.Kind.ASSET else update.index
    return {
        "feed": feeds.feed(kind, item, update.expiry),
        "value": to_quanta(update.value),
        "confidence": to_wad(update.confidence),
        "time": update.time,
    }


def _surface(update: FeedUpdate) -> dict[str, int]:
    assert update.slice is not None
    raw = update.slice
    return {
        "underlying": update.index,
        "expiry": update.expiry,
        "a": to_wad(raw.a) // _SURFACE_UNIT * _SURFACE_UNIT,
        "b": to_wad(raw.b) // _SURFACE_UNIT * _SURFACE_UNIT,
        "rho": to_quanta(raw.rho),
        "m": to_quanta(raw.m),
        "sigma": to_quanta(raw.sigma),
        "tau": raw.tau,
        "confidence": to_wad(update.confidence),
        "time": update.time,
    }
