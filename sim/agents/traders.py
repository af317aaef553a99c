"""Agents that hold positions: writers, buyers, directional traders, hedgers."""

from __future__ import annotations

from abc import abstractmethod
from math import floor
from typing import ClassVar, Literal, Sequence, TypeVar

import numpy as np
from pydantic import Field

from sim.agents.base import Agent, Params
from sim.agents.intents import Deposit, Instrument, Intent, Order, Outcome
from sim.agents.view import HEALTHY, AccountView, Board, View
from sim.reference.book import CALL, NO_UNDERLYING, PUT
from sim.units import Duration, Ratio

LOT = 1e-4
FAULTY = 0.1
DUST = 1.0
"""Dollars that are not worth a deposit: what rounding leaves in a wallet."""
PATIENCE = 12
"""Steps that a hedger without margin waits."""
REFUSALS_MAX = 3
"""A trader whose orders the margin gate refused so often builds no further."""


class TraderParams(Params):
    """Settings of every agent that builds a position and holds it."""

    underlying: str | None = None
    """Factor that it trades; the first one unless given."""
    leverage: float = Field(default=3.0, gt=0)
    """Notional that it aims at, over its capital."""
    margin_use: Ratio = Field(default=0.85, gt=0, le=1)
    """It adds no more once initial margin over equity is here."""
    slices: int = Field(default=4, ge=1)
    """Orders in which it builds the position."""
    slippage: Ratio = Field(default=0.05, ge=0)
    """How far from the fair price it still trades."""
    stop: float | None = Field(default=None, gt=0)
    """It closes everything once equity over maintenance is below this; never unless given."""


T = TypeVar("T", bound=TraderParams)


class Trader(Agent[T]):
    """Deposits its capital, builds a planned position in slices, and closes it at its stop."""

    Params: ClassVar[type[Params]] = TraderParams

    def __init__(self, name: str, params: T) -> None:
        super().__init__(name, params)
        self._plan: dict[Instrument, float] | None = None
        self._scale = 1.0
        self._refused = 0
        self._stopped = False

    @abstractmethod
    def plan(self, view: View, rng: np.random.Generator) -> dict[Instrument, float]:
        """Return the signed size aimed at, by instrument."""

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        p = self.params
        if enters(view):
            return deposits(view, p.tip)
        account = view.account
        if account.phase != HEALTHY:
            return ()
        if p.stop is not None and account.maintenance > 0.0:
            self._stopped |= account.equity < p.stop * account.maintenance
        if self._stopped:
            return closing(view, p.slippage, p.tip)
        if self._plan is None:
            if account.equity <= 0.0:
                return ()
            self._plan = self.plan(view, rng)
        if account.use >= p.margin_use or self._refused >= REFUSALS_MAX:
            return ()
        orders = []
        for instrument, target in self._plan.items():
            if not view.board.lists(instrument):
                continue
            left = target - account.positions.get(instrument, 0.0)
            size = lots(min(abs(left), self._scale * abs(target) / p.slices))
            if size > 0.0 and left * target > 0.0:
                orders.append(
                    order(view, account.id, instrument, _signed(size, left), p.slippage, p.tip)
                )
        return orders

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        if any(not o.accepted and "margin" in o.reason for o in outcomes):
            self._scale *= 0.5
            self._refused += 1

    def _underlying(self, board: Board) -> int:
        return board.underlying(self.params.underlying)

    def _notional(self, view: View) -> float:
        """Size in units of the underlying that makes the planned leverage."""
        spot = view.board.spot(self._underlying(view.board))
        return self.params.leverage * view.account.equity / spot


class PerpParams(TraderParams):
    """Settings of a directional trader."""

    side: Literal["long", "short"] = "long"
    """Which way it bets."""


class PerpTrader(Trader[PerpParams]):
    """Bets on a direction with a perpetual."""

    Params: ClassVar[type[Params]] = PerpParams

    def plan(self, view: View, rng: np.random.Generator) -> dict[Instrument, float]:
        sign = 1.0 if self.params.side == "long" else -1.0
        return {Instrument(self._underlying(view.board)): sign * self._notional(view)}


class OptionParams(TraderParams):
    """Settings of an option trader."""

    structure: Literal["call", "put", "straddle", "strangle", "call_spread", "put_spread"] = "put"
    """What it trades; a spread pairs the strike with one twice as far out, on the other side."""
    moneyness: Ratio = Field(default=0.1, ge=0, lt=1)
    """Distance of the strike from the spot, out of the money."""
    tenor: Duration = Field(default=14 * 86_400, gt=0)
    """The expiry nearest to this time from now."""


class OptionTrader(Trader[OptionParams]):
    """Trades an option structure; `SIGN` says on which side."""

    Params: ClassVar[type[Params]] = OptionParams
    SIGN: ClassVar[float] = 1.0

    def plan(self, view: View, rng: np.random.Generator) -> dict[Instrument, float]:
        p, board = self.params, view.board
        underlying = self._underlying(board)
        expiries = board.expiries(underlying)
        if not expiries:
            return {}
        expiry = min(expiries, key=lambda e: (abs(e - view.time - p.tenor), e))
        size = self.SIGN * self._notional(view)
        spot = board.spot(underlying)
        position: dict[Instrument, float] = {}
        for kind, distance, share in _legs(p):
            away = 1.0 + distance if kind == CALL else 1.0 - distance
            instrument = board.nearest(underlying, kind, expiry, spot * away)
            if instrument is not None:
                position[instrument] = position.get(instrument, 0.0) + share * size
        return position


class OptionWriter(OptionTrader):
    """Sells options for the premium."""

    SIGN: ClassVar[float] = -1.0


class ShortGammaParams(OptionParams):
    """Settings of a short-gamma trader."""

    structure: Literal["call", "put", "straddle", "strangle", "call_spread", "put_spread"] = (
        "straddle"
    )
    band: Ratio = Field(default=0.1, gt=0)
    """It hedges once its dollar delta over equity passes this."""


class ShortGamma(OptionWriter):
    """Sells options and chases its delta with perpetuals: it buys high and sells low."""

    Params: ClassVar[type[Params]] = ShortGammaParams

    def __init__(self, name: str, params: ShortGammaParams) -> None:
        super().__init__(name, params)
        self._band = params.band
        self._waits = 0

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        intents = super().decide(view, rng)
        if intents or view.account.phase != HEALTHY or view.account.equity <= 0.0:
            return intents
        self._waits -= 1
        return hedges(view, self._band, self.params.tip) if self._waits < 0 else ()

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        super().observe(outcomes)
        # Without the margin for its hedge it waits before it asks again.
        if any(not o.accepted and "margin" in o.reason for o in outcomes):
            self._waits = PATIENCE


class OptionBuyer(OptionTrader):
    """Buys options."""


class HedgerParams(OptionParams):
    """Settings of a hedger."""

    ratio: Ratio = Field(default=1.0, ge=0, le=2)
    """Share of its collateral that it hedges."""
    hedge: Literal["perp", "put", "collar"] = "perp"
    """Short perpetual, bought puts, or puts paid for with calls."""


class Hedger(Trader[HedgerParams]):
    """Holds a coin as collateral and hedges it."""

    Params: ClassVar[type[Params]] = HedgerParams

    def plan(self, view: View, rng: np.random.Generator) -> dict[Instrument, float]:
        p, board = self.params, view.board
        underlying = board.asset_underlying(p.collateral)
        if underlying == NO_UNDERLYING:
            underlying = self._underlying(board)
        spot = board.spot(underlying)
        held = view.account.holdings.get(p.collateral, 0.0) * board.asset_price(p.collateral) / spot
        size = p.ratio * held
        expiries = board.expiries(underlying)
        if p.hedge == "perp" or not expiries:
            return {Instrument(underlying): -size}
        expiry = min(expiries, key=lambda e: (abs(e - view.time - p.tenor), e))
        put = board.nearest(underlying, PUT, expiry, spot * (1.0 - p.moneyness))
        call = board.nearest(underlying, CALL, expiry, spot * (1.0 + p.moneyness))
        position = {} if put is None else {put: size}
        if p.hedge == "collar" and call is not None:
            position[call] = -size
        return position


def enters(view: View) -> bool:
    """Whether it is time to deposit: the first step, or a later one if no block had room for it,
    so that the first account is still empty and the wallet is not."""
    account = view.account
    if account.cash != 0.0 or account.positions or any(account.holdings.values()):
        return view.step == 0
    worth = sum(amount * view.board.asset_price(name) for name, amount in view.wallet.items())
    return view.step == 0 or worth > DUST


def deposits(view: View, tip: float) -> list[Intent]:
    """Put the whole wallet into the first account."""
    return [
        Deposit(view.account.id, asset, amount, tip=tip)
        for asset, amount in sorted(view.wallet.items())
        if amount > 0.0
    ]


def order(
    view: View, account: int, instrument: Instrument, size: float, slippage: float, tip: float
) -> Order:
    """An order whose limit is worse than fair by `slippage` of it and 0.1 % of the spot."""
    fair = view.board.price(instrument)
    room = slippage * fair + 0.001 * view.board.spot(instrument.underlying)
    limit = max(fair + room if size > 0.0 else fair - room, 0.0)
    return Order(account, instrument, size, limit, tip=tip)


def closing(view: View, slippage: float, tip: float) -> list[Intent]:
    """Orders that close every position of the first account."""
    return [
        order(view, view.account.id, instrument, -size, slippage, tip)
        for instrument, size in sorted(view.account.positions.items())
        if size != 0.0 and view.board.lists(instrument)
    ]


def delta_of(view: View, account: AccountView, underlying: int) -> float:
    """Units of the underlying that an account is long: options, perps and collateral."""
    board = view.board
    total = 0.0
    for instrument, size in sorted(account.positions.items()):
        if instrument.underlying == underlying and board.lists(instrument):
            total += size * board.delta(instrument)
    for asset, amount in sorted(account.holdings.items()):
        if board.asset_underlying(asset) == underlying:
            total += amount * board.asset_price(asset) / board.spot(underlying)
    return total


def expected_equity(view: View, account: AccountView) -> float:
    """Equity of an account once the oracle has caught up with the true spots, to first order.

    An oracle that is off by more than `FAULTY` is not late but wrong, and counts as it is.
    """
    oracle = view.oracle.underlyings
    moved = 0.0
    for underlying, believed in zip(oracle.id.tolist(), oracle.spot.tolist(), strict=True):
        gap = view.board.spot(underlying) - believed
        if gap != 0.0 and abs(gap) < FAULTY * believed:
            moved += delta_of(view, account, underlying) * gap
    return account.equity + moved


def hedges(view: View, band: float, tip: float) -> list[Intent]:
    """Orders in perpetuals against dollar deltas above `band` of the first account's equity."""
    account = view.account
    orders: list[Intent] = []
    for underlying in view.board.market.underlyings.id.tolist():
        delta, perp = delta_of(view, account, underlying), Instrument(underlying)
        size = lots(abs(delta))
        dollars = abs(delta) * view.board.spot(underlying)
        if dollars > band * account.equity and size > 0.0 and view.board.lists(perp):
            orders.append(order(view, account.id, perp, _signed(size, -delta), 0.01, tip))
    return orders


def lots(size: float) -> float:
    """Round a size down to whole lots."""
    return floor(size / LOT + 1e-9) * LOT


def _signed(size: float, like: float) -> float:
    return size if like > 0.0 else -size


def _legs(p: OptionParams) -> tuple[tuple[int, float, float], ...]:
    """Kind, distance of the strike and signed share of each leg."""
    near, far = p.moneyness, min(2.0 * p.moneyness + 0.05, 0.95)
    return {
        "call": ((CALL, near, 1.0),),
        "put": ((PUT, near, 1.0),),
        "straddle": ((CALL, 0.0, 0.5), (PUT, 0.0, 0.5)),
        "strangle": ((CALL, near, 0.5), (PUT, near, 0.5)),
        "call_spread": ((CALL, near, 1.0), (CALL, far, -1.0)),
        "put_spread": ((PUT, near, 1.0), (PUT, far, -1.0)),
    }[p.structure]
