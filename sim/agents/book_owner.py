"""The user's own book on chain: one agent owns its accounts and the other side of its trades."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor
from typing import Mapping, Sequence

import numpy as np

from sim.agents.base import Agent, Params
from sim.agents.intents import Deposit, Instrument, Intent, Outcome, Trade, Withdraw
from sim.agents.view import HEALTHY, AccountView, Board, View

BACKING = 4.0
"""Capital of the other side, over the gross notional of the book."""
REFUSALS_MAX = 3
"""Steps in a row in which nothing more of an account is accepted, after which it is given up."""


@dataclass(frozen=True)
class Target:
    """What one account of a book is to hold.

    Parameters
    ----------
    number
        Of the account in the book; the chain gives it an id of its own.
    cash
        Quote currency, once all positions are there.
    collateral
        Units of each token by name.
    positions
        Signed size by instrument.
    """

    number: int
    cash: float
    collateral: Mapping[str, float] = field(default_factory=dict)
    positions: Mapping[Instrument, float] = field(default_factory=dict)

    def premium(self, board: Board) -> float:
        """Return what its options cost at fair prices; negative: what they bring."""
        return sum(
            size * board.price(instrument)
            for instrument, size in sorted(self.positions.items())
            if instrument.is_option
        )


@dataclass(frozen=True)
class Undone:
    """An account of the book that is not on chain as the book says.

    Attributes
    ----------
    account
        Its id on chain; 0 before the first step.
    label
        What tables call its owner, such as `book#7`.
    reason
        What stands in the way: of a refusal, in the contract's words.
    """

    account: int
    label: str
    reason: str


@dataclass
class _Progress:
    """How far an account of the book is."""

    target: Target
    account: int = 0
    settled: bool = False
    refusals: int = 0
    reason: str = "the run ended before it was there"


class BookOwner(Agent[Params]):
    """Brings a book on chain in the first steps, at fair prices, and then leaves it alone.

    Its first account is the other side of every trade. What the margin gate refuses three times in
    a row stays undone, and `undone` says so.

    Parameters
    ----------
    name
        Of the agent.
    targets
        Accounts of the book, in the order in which they are opened.
    quote
        Name of the quote stablecoin.
    """

    def __init__(self, name: str, targets: Sequence[Target], quote: str) -> None:
        super().__init__(name, Params())
        self.targets = tuple(targets)
        # The other side, and one for each account of the book.
        self.accounts = 1 + len(self.targets)
        self._quote = quote
        self._progress = [_Progress(target) for target in self.targets]

    def label(self, place: int) -> str:
        return f"{self.name}#{self.targets[place - 1].number}" if place else self.name

    def undone(self) -> list[Undone]:
        """Return the accounts that are not on chain as the book says, in its order."""
        return [
            Undone(own.account, self.label(place), own.reason)
            for place, own in enumerate(self._progress, start=1)
            if not own.settled
        ]

    def endowment(self, board: Board) -> dict[str, float]:
        tokens = {self._quote: self._backing(board)}
        for target in self.targets:
            tokens[self._quote] += self._deposit(target, board)
            for asset, amount in sorted(target.collateral.items()):
                tokens[asset] = tokens.get(asset, 0.0) + amount
        return tokens

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        other, *accounts = view.accounts
        for own, account in zip(self._progress, accounts, strict=True):
            own.account = account.id
        if view.step == 0:
            return self._deposits(view)
        intents: list[Intent] = []
        for own, account in zip(self._progress, accounts, strict=True):
            if own.settled or own.refusals >= REFUSALS_MAX:
                continue
            if account.phase != HEALTHY:
                own.reason = "it was liquidated before it was there"
                own.refusals = REFUSALS_MAX
                continue
            wanted = self._trades(own, account, other.id, view.board) or self._excess(own, account)
            intents += wanted
            own.settled = not wanted and own.refusals < REFUSALS_MAX
        return intents

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        for own in self._progress:
            mine = [o for o in outcomes if own.account in _concerned(o.intent)]
            refused = [o for o in mine if not o.accepted]
            if refused:
                own.reason = refused[-1].reason
                own.refusals = 0 if len(refused) < len(mine) else own.refusals + 1
                if any(isinstance(o.intent, Deposit) for o in refused):
                    own.refusals = REFUSALS_MAX  # deposits are made once
            elif mine:
                own.refusals = 0
                # The last thing that an account does; its cash moves on with interest and funding.
                own.settled = any(isinstance(o.intent, Withdraw) for o in mine)

    def _trades(
        self, own: _Progress, account: AccountView, other: int, board: Board
    ) -> list[Intent]:
        """Return what brings an account to its positions."""
        trades: list[Intent] = []
        for instrument, size in sorted(own.target.positions.items()):
            left = size - account.positions.get(instrument, 0.0)
            if abs(left) < 1e-9:
                continue
            if not board.lists(instrument):
                own.reason, own.refusals = "a position of it trades no more", REFUSALS_MAX
                return []
            buyer, seller = (account.id, other) if left > 0.0 else (other, account.id)
            trades.append(Trade(buyer, seller, instrument, abs(left), board.price(instrument)))
        return trades

    def _excess(self, own: _Progress, account: AccountView) -> list[Intent]:
        """Return what takes out the cash that the book does not have: premiums received, and all
        that it owes."""
        excess = floor(account.cash - own.target.cash)
        if excess <= 0 or own.refusals >= REFUSALS_MAX:
            return []
        return [Withdraw(account.id, self._quote, float(excess))]

    def _deposits(self, view: View) -> list[Intent]:
        other, *own = view.accounts
        intents: list[Intent] = [Deposit(other.id, self._quote, self._backing(view.board))]
        for target, account in zip(self.targets, own, strict=True):
            cash = self._deposit(target, view.board)
            if cash > 0.0:
                intents.append(Deposit(account.id, self._quote, cash))
            intents += [
                Deposit(account.id, asset, amount)
                for asset, amount in sorted(target.collateral.items())
                if amount > 0.0
            ]
        return intents

    def _deposit(self, target: Target, board: Board) -> float:
        """Return the quote that an account begins with: its cash, and the premium it will pay."""
        return max(target.cash + target.premium(board), 0.0)

    def _backing(self, board: Board) -> float:
        """Return the capital of the other side."""
        return 1e4 + BACKING * sum(
            abs(size) * board.spot(instrument.underlying)
            for target in self.targets
            for instrument, size in sorted(target.positions.items())
        )


def _concerned(intent: Intent) -> tuple[int, ...]:
    """Return the accounts that an intent of the owner moves something of."""
    match intent:
        case Trade(buyer=buyer, seller=seller):
            return (buyer, seller)
        case Deposit(account=account) | Withdraw(account=account):
            return (account,)
    return ()
