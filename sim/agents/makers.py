"""Agents that take the other side: market makers and liquidity providers."""

from __future__ import annotations

from typing import ClassVar, Sequence

import numpy as np
from pydantic import Field

from sim.agents.base import Agent, Params, Quote
from sim.agents.intents import Instrument, Intent, Order
from sim.agents.traders import deposits, lots, order
from sim.agents.view import HEALTHY, View
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
    """It trades perpetuals once its dollar delta over equity passes this; it is not hedged at all
    times."""


class MarketMaker(Agent[MakerParams]):
    """Quotes both sides of everything and trades perpetuals against its delta."""

    Params: ClassVar[type[Params]] = MakerParams

    def __init__(self, name: str, params: MakerParams) -> None:
        super().__init__(name, params)
        self._step = -1
        self._quoted = 0.0

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        if view.step == 0:
            return deposits(view, self.params.tip)
        if view.account.phase != HEALTHY or view.account.equity <= 0.0:
            return ()
        return self._hedges(view)

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
        spot = view.board.spot(order.instrument.underlying)
        room = p.clip * account.equity - self._quoted
        size = lots(min(abs(order.size), abs(held) if account.use >= p.margin_use else room / spot))
        if size <= 0.0:
            return None
        self._quoted += size * spot
        fair = view.board.price(order.instrument)
        half = fair * (p.spread if order.instrument.is_option else p.perp_spread)
        delta = delta_of(view, order.instrument.underlying) * spot / account.equity
        lean = half * min(max(p.skew * 100.0 * delta, -1.0), 1.0)
        price = fair - lean + (half if order.size > 0.0 else -half)
        return Quote(account=account.id, price=max(price, 0.0), size=size)

    def _hedges(self, view: View) -> list[Intent]:
        account, p = view.account, self.params
        orders: list[Intent] = []
        for underlying in range(len(view.board.market.underlyings.name)):
            spot = view.board.spot(underlying)
            delta = delta_of(view, underlying)
            perp = Instrument(underlying)
            if abs(delta) * spot > p.hedge_at * account.equity and view.board.lists(perp):
                size = lots(abs(delta))
                if size > 0.0:
                    orders.append(
                        order(view, account.id, perp, -size if delta > 0.0 else size, 0.01, p.tip)
                    )
        return orders


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
        return deposits(view, self.params.tip) if view.step == 0 else ()


def delta_of(view: View, underlying: int) -> float:
    """Units of the underlying that the first account is long: options, perps and collateral."""
    board, account = view.board, view.account
    total = 0.0
    for instrument, size in sorted(account.positions.items()):
        if instrument.underlying == underlying and board.lists(instrument):
            total += size * board.delta(instrument)
    for asset, amount in sorted(account.holdings.items()):
        if board.asset_underlying(asset) == underlying:
            total += amount * board.asset_price(asset) / board.spot(underlying)
    return total
