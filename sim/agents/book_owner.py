"""The user's own book on chain: one agent owns its accounts and the other side of its trades."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor
from typing import Mapping, Sequence

import numpy as np

from sim.agents.base import Agent, Params
from sim.agents.intents import Deposit, Instrument, Intent, Outcome, Trade, Withdraw
from sim.agents.view import HEALTHY, Board, View

BACKING = 4.0
"""Capital of the other side, over the gross notional of the book."""
REFUSALS_MAX = 3


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


class BookOwner(Agent[Params]):
    """Brings a book on chain in the first steps, at fair prices, and then leaves it alone.

    Its first account is the other side of every trade. What the margin gate refuses three times
    stays undone.

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
        self._refused = 0
        self._settled: set[int] = set()

    def endowment(self, board: Board) -> dict[str, float]:
        tokens = {self._quote: self._backing(board)}
        for target in self.targets:
            tokens[self._quote] += self._deposit(target, board)
            for asset, amount in sorted(target.collateral.items()):
                tokens[asset] = tokens.get(asset, 0.0) + amount
        return tokens

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        if view.step == 0:
            return self._deposits(view)
        other, *own = view.accounts
        intents: list[Intent] = []
        for target, account in zip(self.targets, own, strict=True):
            if account.phase != HEALTHY or account.id in self._settled:
                continue
            trades = []
            for instrument, size in sorted(target.positions.items()):
                left = size - account.positions.get(instrument, 0.0)
                if abs(left) < 1e-9 or not view.board.lists(instrument):
                    continue
                buyer, seller = (account.id, other.id) if left > 0.0 else (other.id, account.id)
                price = view.board.price(instrument)
                trades.append(Trade(buyer, seller, instrument, abs(left), price))
            if trades and self._refused < REFUSALS_MAX:
                intents += trades
                continue
            self._settled.add(account.id)
            # Premiums received beyond the cash of the book go back into the wallet.
            excess = floor(account.cash - target.cash)
            if excess > 0 and view.step > 1:
                intents.append(Withdraw(account.id, self._quote, float(excess)))
        return intents

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        self._refused += any(isinstance(o.intent, Trade) and not o.accepted for o in outcomes)

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
