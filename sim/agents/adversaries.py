"""Agents that work against the protocol, and those that lose their nerve."""

from __future__ import annotations

from typing import ClassVar, Literal, Sequence

import numpy as np
from pydantic import Field

from sim.agents.base import Agent, Params, Quote
from sim.agents.intents import (
    Bid,
    Deposit,
    Flag,
    Instrument,
    Intent,
    OpenAccount,
    Order,
    Outcome,
    Withdraw,
)
from sim.agents.traders import TraderParams, closing, deposits, enters, lots, order
from sim.agents.view import HEALTHY, SOLVENT, View
from sim.reference.book import CALL
from sim.units import Duration, Money, Ratio


class DepositorParams(Params):
    """Settings of a depositor."""

    fund_below: Ratio = Field(default=0.5, ge=0)
    """It runs once the insurance fund is below this share of its largest."""
    drawdown: Ratio = Field(default=0.15, gt=0, le=1)
    """It runs once the first underlying is this far below its highest price so far."""
    wave: Duration = Field(default=3_600, ge=0)
    """It needs up to this long to react, each by a draw of its own."""


class Depositor(Agent[DepositorParams]):
    """Lends its deposit to the protocol and withdraws everything once it panics: a bank run."""

    Params: ClassVar[type[Params]] = DepositorParams

    def __init__(self, name: str, params: DepositorParams) -> None:
        super().__init__(name, params)
        self._fund = 0.0
        self._high = 0.0
        self._runs_at: int | None = None

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        p = self.params
        if self._runs_at is None and enters(view):
            return deposits(view, p.tip)
        spot = float(view.board.market.underlyings.spot[0])
        self._fund, self._high = max(self._fund, view.fund), max(self._high, spot)
        alarmed = view.fund < p.fund_below * self._fund or spot < (1.0 - p.drawdown) * self._high
        if self._runs_at is None:
            if not alarmed:
                return ()
            self._runs_at = view.time + int(rng.integers(0, p.wave + 1))
        if view.time < self._runs_at:
            return ()
        account = view.account
        out: list[Intent] = [
            Withdraw(account.id, asset, amount, tip=p.tip)
            for asset, amount in sorted(account.holdings.items())
            if amount > 0.0
        ]
        if account.cash > 0.0:
            out.append(Withdraw(account.id, view.quote, account.cash, tip=p.tip))
        return out


class SandwicherParams(TraderParams):
    """Settings of an oracle sandwicher."""

    edge: Ratio = Field(default=0.01, gt=0)
    """It trades once the true price is this far from what the chain believes."""


class OracleSandwicher(Agent[SandwicherParams]):
    """Trades with makers that quote the oracle's price before it catches up, and back after."""

    Params: ClassVar[type[Params]] = SandwicherParams

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        p = self.params
        if enters(view):
            return deposits(view, p.tip)
        account = view.account
        if account.phase != HEALTHY or account.equity <= 0.0:
            return ()
        underlying = view.board.underlying(p.underlying)
        row = view.oracle.underlyings.id.tolist().index(underlying)
        believed = float(np.asarray(view.oracle.underlyings.mark)[row])
        gap = view.board.price(Instrument(underlying)) / believed - 1.0
        if abs(gap) < 0.25 * p.edge:
            return closing(view, p.slippage, p.tip)
        side = 1.0 if gap > 0.0 else -1.0
        goal = side * p.leverage * account.equity / believed
        missing = goal - account.positions.get(Instrument(underlying), 0.0)
        size = lots(abs(missing))
        if abs(gap) < p.edge or missing * side <= 0.0 or size <= 0.0:
            return ()
        limit = believed * (1.0 + 0.5 * gap)
        return [Order(account.id, Instrument(underlying), side * size, limit, tip=p.tip)]


class SelfLiquidatorParams(TraderParams):
    """Settings of a self-liquidator."""

    leverage: float = Field(default=8.0, gt=0)
    """Notional of the position that it lets go under, over its capital."""


class SelfLiquidator(Agent[SelfLiquidatorParams]):
    """Lets one account go under and takes its positions into another at the liquidation price."""

    Params: ClassVar[type[Params]] = SelfLiquidatorParams
    accounts = 2

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        p = self.params
        victim, taker = view.accounts[0], view.accounts[1]
        if view.step == 0:
            return [
                Deposit(account.id, asset, 0.5 * amount, tip=p.tip)
                for asset, amount in sorted(view.wallet.items())
                for account in (victim, taker)
                if amount > 0.0
            ]
        intents: list[Intent] = []
        if victim.phase == HEALTHY and not victim.positions and victim.equity > 0.0:
            underlying = view.board.underlying(p.underlying)
            size = lots(p.leverage * victim.equity / view.board.spot(underlying))
            intents.append(order(view, victim.id, Instrument(underlying), size, p.slippage, p.tip))
        for distress in view.distressed:
            if distress.account.id != victim.id:
                continue
            if victim.phase == HEALTHY:
                intents.append(Flag(victim.id, tip=p.tip))
            elif victim.phase == SOLVENT and victim.equity > distress.reserved:
                price = distress.price_fraction * (victim.equity - distress.reserved)
                fraction = distress.max_fraction
                intents.append(
                    Bid(victim.id, taker.id, fraction, 1.02 * fraction * price, tip=p.tip)
                )
        return intents


class DusterParams(Params):
    """Settings of a duster."""

    capital: Money = Field(default=2_000.0, ge=0)
    most: int = Field(default=20, ge=1, le=1000)
    """How many accounts it opens."""
    size: float = Field(default=0.001, gt=0)
    """Size of the option that it leaves in each."""


class Duster(Agent[DusterParams]):
    """Opens accounts too small to be worth liquidating, each short a far option."""

    Params: ClassVar[type[Params]] = DusterParams

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        p = self.params
        intents: list[Intent] = []
        if len(view.accounts) < p.most:
            intents.append(OpenAccount(tip=p.tip))
        newest = view.accounts[-1]
        share = view.wallet.get(p.collateral, 0.0) / (p.most + 1 - len(view.accounts))
        if share > 0.0 and newest.equity == 0.0 and not newest.positions:
            intents.append(Deposit(newest.id, p.collateral, share, tip=p.tip))
        underlying = view.board.underlying(None)
        expiries = view.board.expiries(underlying)
        for account in view.accounts:
            if account.equity > 0.0 and not account.positions and expiries:
                spot = view.board.spot(underlying)
                far = view.board.nearest(underlying, CALL, expiries[-1], 1.2 * spot)
                if far is not None:
                    intents.append(order(view, account.id, far, -p.size, 0.2, p.tip))
        return intents


class SpooferParams(Params):
    """Settings of a spoofer."""

    capital: Money = Field(default=100.0, ge=0)
    improve: Ratio = Field(default=0.001, ge=0)
    """How far inside the fair price it quotes."""
    share: Ratio = Field(default=0.5, gt=0, le=1)
    """Chance of quoting at all in a step."""


class Spoofer(Agent[SpooferParams]):
    """Quotes the best price for everything with no capital behind it: the trades it wins revert."""

    Params: ClassVar[type[Params]] = SpooferParams

    def __init__(self, name: str, params: SpooferParams) -> None:
        super().__init__(name, params)
        self._quotes = False

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        self._quotes = float(rng.random()) < self.params.share
        return deposits(view, self.params.tip) if enters(view) else ()

    def quote(self, view: View, order: Order) -> Quote | None:
        p = self.params
        if not (self._quotes and view.board.lists(order.instrument)):
            return None
        fair = view.board.price(order.instrument)
        price = fair * (1.0 - p.improve if order.size > 0.0 else 1.0 + p.improve)
        return Quote(account=view.account.id, price=price, size=abs(order.size))


class WhaleParams(TraderParams):
    """Settings of a whale."""

    side: Literal["long", "short"] = "long"
    """Which way it bets."""
    add_every: Duration = Field(default=3_600, gt=0)
    """It adds to its position this often while its margin allows."""


class Whale(Agent[WhaleParams]):
    """Builds one concentrated perpetual position and adds to it with every profit."""

    Params: ClassVar[type[Params]] = WhaleParams

    def __init__(self, name: str, params: WhaleParams) -> None:
        super().__init__(name, params)
        self._last: int | None = None
        self._scale = 1.0

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        p = self.params
        if enters(view):
            return deposits(view, p.tip)
        account = view.account
        due = self._last is None or view.time - self._last >= p.add_every
        if not due or account.phase != HEALTHY or account.use >= p.margin_use:
            return ()
        self._last = view.time
        underlying = view.board.underlying(p.underlying)
        side = 1.0 if p.side == "long" else -1.0
        goal = side * self._scale * p.leverage * account.equity / view.board.spot(underlying)
        missing = goal - account.positions.get(Instrument(underlying), 0.0)
        size = lots(abs(missing))
        if missing * side <= 0.0 or size <= 0.0:
            return ()
        return [order(view, account.id, Instrument(underlying), side * size, p.slippage, p.tip)]

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        # It wants the largest position that the gate lets through, and asks again at once.
        if any(not o.accepted and "margin" in o.reason for o in outcomes):
            self._scale *= 0.9
            self._last = None
