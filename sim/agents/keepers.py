"""Agents that liquidate: flag accounts, bid on them, and trade the positions away again."""

from __future__ import annotations

import math
from typing import ClassVar, Sequence

import numpy as np
from pydantic import Field

from sim.agents.base import Agent, Params
from sim.agents.intents import (
    Bid,
    Close,
    Counterparty,
    Deleverage,
    Escalate,
    Flag,
    Intent,
    Outcome,
    Resolve,
    Restart,
)
from sim.agents.traders import closing, deposits, enters, expected_equity
from sim.agents.view import HEALTHY, INSOLVENT, SOLVENT, AccountView, Distress, View
from sim.model import Delay, Latency
from sim.units import Ratio

_FUND = 0
# Of what can be paid: until the bid the payout rises, and the oracle reports.
_PAYABLE = 0.75
_AT_ONCE = 4  # counterparties of one deleveraging: each needs its margin computed twice


class KeeperParams(Params):
    """Settings of a keeper."""

    latency: Latency = Delay()
    """From the step in which it could have acted to the one in which it does."""
    flags: bool = True
    """Whether it starts liquidations, or only bids in those of others."""
    bids: bool = True
    """Whether it bids, or only starts and ends liquidations."""
    deleverages: bool = True
    """Whether it closes insolvent accounts against others', where the protocol has that."""
    discount: Ratio = Field(default=0.02, ge=0)
    """It bids once the price of a solvent account is this far below its value."""
    payout: Ratio = Field(default=0.02, ge=0)
    """It bids once the system pays this share of an insolvent account's maintenance margin."""
    use: Ratio = Field(default=0.8, gt=0, le=1)
    """Most of its free equity that it puts into bids of one step."""
    unwind: bool = True
    """Whether it trades what it took away again."""
    bribe: Ratio = Field(default=0.0, ge=0)
    """How much its tip rises after each bid that found no place in a block."""
    patience: int = Field(default=8, ge=0)
    """Most steps that it leaves an account alone after others were faster: 1 after the first time,
    and twice as many after each further one."""


class Keeper(Agent[KeeperParams]):
    """Liquidates with capital of its own."""

    Params: ClassVar[type[Params]] = KeeperParams

    def __init__(self, name: str, params: KeeperParams) -> None:
        super().__init__(name, params)
        self._seen: dict[tuple[int, int], int] = {}
        self._tip = params.tip
        self._step = 0
        # By account: how often others were faster, and when it may act again.
        self._beaten: dict[int, tuple[int, int]] = {}
        self._cost = 0.0
        self._payable = math.inf

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        self._step = view.step
        if enters(view):
            return deposits(view, self._tip)
        intents: list[Intent] = []
        # What it sees no more it forgets, so that a later distress counts from its own start.
        now = {(d.account.id, d.account.phase) for d in view.distressed}
        self._seen = {key: since for key, since in self._seen.items() if key in now}
        self._payable = min((d.payable for d in view.distressed), default=math.inf)
        room = self.params.use * max(view.account.free, 0.0)
        own = {account.id for account in view.accounts}
        for distress in view.distressed:
            key = (distress.account.id, distress.account.phase)
            since = self._seen.setdefault(key, view.step)
            _, resumes = self._beaten.get(distress.account.id, (0, 0))
            if distress.account.id in own or view.step < resumes:
                continue
            if self.params.latency.over(since, view.step, view.interval):
                intent, cost = self._act(view, distress, room)
                if intent is not None:
                    intents.append(intent)
                    room -= cost
        if self.params.unwind and view.account.phase == HEALTHY:
            intents += closing(view, 0.05, self._tip)
        return intents

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        if any(not o.accepted and "gas" in o.reason for o in outcomes):
            self._tip *= 1.0 + self.params.bribe
        for outcome in outcomes:
            intent = outcome.intent
            if isinstance(intent, Bid) and outcome.accepted:
                self._cost = outcome.fee
            if isinstance(intent, (Flag, Bid, Resolve, Restart, Escalate, Deleverage, Close)):
                # It reverted although it looked good: somebody was faster, or the market was.
                lost = 0 if outcome.accepted else self._beaten.get(intent.account, (0, 0))[0] + 1
                wait = min(2 ** (lost - 1), self.params.patience) if lost else 0
                if outcome.accepted or outcome.gas:
                    self._beaten[intent.account] = (lost, self._step + 1 + wait)

    def _act(self, view: View, distress: Distress, room: float) -> tuple[Intent | None, float]:
        """Return what to do about one account, and the free equity that it takes.

        The oracle reports before it acts, so it goes by the equity that is to be expected then; of
        what changes the phase it wants the chain to agree already.
        """
        target = distress.account
        tip, id = self._tip, target.id
        expected = expected_equity(view, target)
        low, high = min(target.equity, expected), max(target.equity, expected)
        if target.phase == HEALTHY:
            flags = self.params.flags and expected < target.maintenance
            return (Flag(id, tip=tip) if flags else None), 0.0
        if distress.over or target.phase == INSOLVENT:
            if low >= target.maintenance:
                return Resolve(id, tip=tip), 0.0
            if high >= target.maintenance:
                return None, 0.0
        if target.phase == SOLVENT:
            if distress.over or high <= 0.0:
                return Escalate(id, tip=tip), 0.0
            if high <= distress.reserved:
                return Restart(id, tip=tip), 0.0
            if low <= max(distress.reserved, 0.0) or high >= distress.heals:
                return None, 0.0
        elif distress.over:
            if distress.takeable:
                return Close(id, tip=tip), 0.0
            return (self._deleverage(view, target) if self.params.deleverages else None), 0.0
        return self._bid(view.account.id, distress, expected, room)

    def _deleverage(self, view: View, target: AccountView) -> Deleverage | None:
        """Return whom to close the account against: the one at most risk (maintenance margin over
        equity) first, one position of each, as far as it can bear its part of the loss.

        The order must still hold when the chain looks. If it did not the last time, one at a time.
        """
        left = dict(target.positions)
        notional = {i: abs(size) * view.board.spot(i.underlying) for i, size in left.items()}
        most = 1 if self._beaten.get(target.id, (0, 0))[0] else _AT_ONCE
        able = [
            account
            for account in view.everyone.values()
            if account.phase == HEALTHY
            and account.equity > 0.0
            and account.id not in (_FUND, target.id)
        ]
        found: list[Counterparty] = []
        for account in sorted(able, key=lambda a: (-a.maintenance / a.equity, a.id)):
            opposite = (i for i, size in account.positions.items() if size * left.get(i, 0.0) < 0.0)
            instrument = next(opposite, None)
            if instrument is None:
                continue
            size = min(abs(account.positions[instrument]), abs(left[instrument]))
            part = size / abs(target.positions[instrument]) * notional[instrument]
            loss = max(-target.equity, 0.0) * part / sum(notional.values())
            if account.equity - loss > account.maintenance:
                found.append(Counterparty(account.id, instrument, size))
                # In the chain's units, lest what rounding leaves is asked of the next.
                left[instrument] = round(
                    left[instrument] - math.copysign(size, left[instrument]), 9
                )
            if len(found) == most:
                break
        return Deleverage(target.id, tuple(found), tip=self._tip) if found else None

    def _bid(
        self, bidder: int, distress: Distress, equity: float, room: float
    ) -> tuple[Intent | None, float]:
        """Return the largest bid that pays, its gas included, and that `room` covers, and what it
        takes of that."""
        p, target = self.params, distress.account
        if target.phase == SOLVENT:
            value = equity - distress.reserved
            price = distress.price_fraction * value
            limit = price * (1.0 + 0.5 * p.discount)
            gain = value - price
            pays = 1.0 - distress.price_fraction >= p.discount
        else:
            value = equity
            price = -distress.payout
            # Its own cash may bear a share of the payout: it wants what makes the bid pay.
            limit = 0.98 * (min(value, 0.0) - p.payout * target.maintenance)
            gain = distress.payout + min(value, 0.0)
            pays = gain >= p.payout * target.maintenance
        # Taking all of it costs the price and its margin, and brings its value.
        needed = max(target.initial + price - value, 0.0)
        fraction = min(distress.max_fraction, room / needed if needed > 0.0 else 1.0)
        if target.phase == INSOLVENT and distress.payout > 0.0:
            fraction = min(fraction, _PAYABLE * self._payable / distress.payout)
        enough = fraction > 0.0 and fraction >= min(distress.min_fraction, distress.max_fraction)
        if not (p.bids and pays and enough and fraction * gain > self._cost):
            return None, 0.0
        self._payable -= fraction * distress.payout / _PAYABLE
        bid = Bid(target.id, bidder, fraction, fraction * limit, tip=self._tip)
        return bid, fraction * needed


class BidderParams(KeeperParams):
    """Settings of a bidder."""

    flags: bool = False


class Bidder(Keeper):
    """Bids in liquidations that others start."""

    Params: ClassVar[type[Params]] = BidderParams
