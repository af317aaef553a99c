"""A stage to try an agent on without a chain: views made by hand."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from sim.agents.intents import Instrument
from sim.agents.view import AccountView, Board, Distress, View
from sim.market.model import MarketModel
from sim.market.paths import Horizon
from sim.reference.book import CALL, PUT, Market
from sim.streams import Streams

START = 1_583_884_800
INTERVAL = 900
SPOTS: Mapping[str, float] = {"BTC": 8_000.0, "ETH": 200.0}


def market(spots: Mapping[str, float] = SPOTS, *, vol: float = 0.7, time: int = START) -> Market:
    """Return a market with options at 2, 16 and 44 days, and every coin as a collateral token."""
    model = MarketModel.model_validate(
        {
            "factors": {n: {"kind": "constant", "spot": s, "vol": vol} for n, s in spots.items()},
            "expiries": ["2d", "16d", "44d"],
            "collateral": {name: {"tracks": name} for name in spots},
        }
    )
    horizon = Horizon(steps=1, step=INTERVAL, start=time)
    return model.paths(horizon, Streams(0)).at(0)


def board(spots: Mapping[str, float] = SPOTS, **settings: Any) -> Board:
    """Return a board: perps, and options at 70 to 130 % of the spots in `SPOTS` (or given)."""
    made = market(spots, **settings)
    listed = [Instrument(int(u)) for u in made.underlyings.id]
    pairs = zip(made.expiries.underlying.tolist(), made.expiries.time.tolist(), strict=True)
    anchors = [SPOTS.get(name, spot) for name, spot in spots.items()]
    for underlying, expiry in pairs:
        for share in (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
            strike = float(np.rint(anchors[underlying] * share))
            listed += [Instrument(underlying, kind, expiry, strike) for kind in (CALL, PUT)]
    return Board(made, tuple(listed))


def account(
    id: int = 1,
    *,
    equity: float = 100_000.0,
    initial: float = 0.0,
    maintenance: float | None = None,
    cash: float | None = None,
    holdings: Mapping[str, float] | None = None,
    positions: Mapping[Instrument, float] | None = None,
    phase: int = 0,
) -> AccountView:
    """Return an account; maintenance is 80 % of initial margin and cash the equity unless given."""
    return AccountView(
        id=id,
        equity=equity,
        initial=initial,
        maintenance=0.8 * initial if maintenance is None else maintenance,
        cash=equity if cash is None else cash,
        holdings=holdings or {},
        positions=positions or {},
        phase=phase,
    )


def view(
    step: int = 1,
    *,
    board: Board,
    oracle: Market | None = None,
    accounts: Sequence[AccountView] = (),
    wallet: Mapping[str, float] | None = None,
    distressed: Sequence[Distress] = (),
    everyone: Sequence[AccountView] = (),
    steps: int = 100,
    fund: float = 0.0,
) -> View:
    """Return what an agent sees at a step; the oracle believes the truth unless told otherwise."""
    return View(
        step=step,
        steps=steps,
        time=START + step * INTERVAL,
        interval=INTERVAL,
        board=board,
        oracle=oracle or board.market,
        accounts=tuple(accounts) or (account(),),
        wallet=wallet or {},
        distressed=tuple(distressed),
        everyone={item.id: item for item in everyone},
        fund=fund,
    )
