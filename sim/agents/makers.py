"""Agents that take the other side: market makers and liquidity providers."""

from __future__ import annotations

from typing import ClassVar, Literal, Sequence

import numpy as np
from pydantic import Field

from sim.agents.base import Agent, Params, Quote
from sim.agents.intents import Intent, Order
from sim.agents.traders import delta_of, deposits, enters, hedges, lots
from sim.agents.view import HEALTHY, Board, View
from sim.units import Ratio


class MakerParams(Params):
    """Settings of a market maker."""

    spread: Ratio = Field(default=0.02, ge=0)
    """Half spread, as a share of an option's fair price."""
    perp_spread: Ratio = Field(default=0.0005, ge=0)
    """Half spread of a perpetual."""
    margin_use: Ratio = Field(default=0.6, gt=0, le=1)
    """It quotes only orders that reduce its risk once initial margin over equity is here."""
    clip: Ratio = Field(default=0.25, gt=0)
    """Largest notional of one quote, over its equity."""
    skew: Ratio = Field(default=0.1, ge=0)
    """How far inventory shifts its prices, as a share of the half spread per 1 % of delta."""
    hedge_at: Ratio = Field(default=0.2, gt=0)
    """It trades perpetuals once its dollar delta over equity passes this."""
    prices_from: Literal["market", "oracle"] = "market"
    """Whose prices it quotes around; an automatic maker on chain knows only the oracle's."""


class MarketMaker(Agent[MakerParams]):
    """Quotes both sides of everything and trades perpetuals against its delta."""

    Params: ClassVar[type[Params]] = MakerParams

    def __init__(self, name: str, params: MakerParams) -> None:
        super().__init__(name, params)
        self._step = -1
        self._quoted = 0.0
        self._board: Board | None = None

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        if enters(view):
            return deposits(view, self.params.tip)
        if view.account.phase != HEALTHY or view.account.equity <= 0.0:
            return ()
        return hedges(view, self.params.hedge_at, self.params.tip)

    def quote(self, view: View, order: Order) -> Quote | None:
        account, p = view.account, self.params
        if (
            account.phase != HEALTHY
            or account.equity <= 0.0
            or not view.board.lists(order.instrument)
        ):
            return None
        held = account.positions.get(order.instrument, 0.0)
        reduces = held * order.size > 0.0
        if account.use >= p.margin_use and not reduces:
            return None
        if self._step != view.step:
            self._step, self._quoted = view.step, 0.0
            self._board = self._priced(view)
        board = self._board
        if board is None or not board.lists(order.instrument):
            return None
        spot = view.board.spot(order.instrument.underlying)
        room = p.clip * account.equity - self._quoted
        most = abs(held) if account.use >= p.margin_use else room / spot
        # What it takes whole it takes to the last quantum, so that nobody is left with dust.
        size = abs(order.size) if abs(order.size) <= most else lots(most)
        if size <= 0.0:
            return None
        self._quoted += size * spot
        fair = board.price(order.instrument)
        half = fair * (p.spread if order.instrument.is_option else p.perp_spread)
        delta = delta_of(view, account, order.instrument.underlying) * spot / account.equity
        lean = half * min(max(p.skew * 100.0 * delta, -1.0), 1.0)
        price = fair - lean + (half if order.size > 0.0 else -half)
        return Quote(account=account.id, price=max(price, 0.0), size=size)

    def _priced(self, view: View) -> Board:
        """Return the board that it quotes from."""
        if self.params.prices_from == "market":
            return view.board
        table = view.oracle.expiries
        known = set(zip(table.underlying.tolist(), table.time.tolist(), strict=True))
        return Board(
            view.oracle,
            tuple(
                i
                for i in view.board.instruments
                if not i.is_option or (i.underlying, i.expiry) in known
            ),
        )


class ProviderParams(MakerParams):
    """Settings of a liquidity provider."""

    spread: Ratio = Field(default=0.05, ge=0)
    perp_spread: Ratio = Field(default=0.002, ge=0)
    clip: Ratio = Field(default=1.0, gt=0)
    margin_use: Ratio = Field(default=0.8, gt=0, le=1)


class LiquidityProvider(MarketMaker):
    """Takes whatever comes at a wide spread and holds it unhedged, as a vault does."""

    Params: ClassVar[type[Params]] = ProviderParams

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        return deposits(view, self.params.tip) if enters(view) else ()
