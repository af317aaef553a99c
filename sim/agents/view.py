"""What an agent sees: a read-only picture of one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import Mapping

import numpy as np

from sim.agents.intents import Instrument
from sim.errors import unknown
from sim.market.exact import Array, log, normal_cdf
from sim.market.surface import Slices
from sim.reference.book import CALL, NO_UNDERLYING, PERP, Market

HEALTHY, SOLVENT, INSOLVENT = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Board:
    """Fair prices of everything listed, shared by all agents of a step.

    Prices reach the chain, so they are computed from `sim.market.exact`.

    Parameters
    ----------
    market
        The true market.
    instruments
        What is listed, unexpired.
    """

    market: Market
    instruments: tuple[Instrument, ...]

    @cached_property
    def _row(self) -> dict[Instrument, int]:
        return {instrument: i for i, instrument in enumerate(self.instruments)}

    @cached_property
    def _values(self) -> tuple[Array, Array]:
        """Fair price (undiscounted Black-76) and delta of each instrument."""
        table, under = self.market.expiries, self.market.underlyings
        series = zip(table.underlying.tolist(), table.time.tolist(), strict=True)
        row = {pair: e for e, pair in enumerate(series)}
        place = {int(u): i for i, u in enumerate(under.id)}
        price = np.asarray(under.mark)[[place[i.underlying] for i in self.instruments]]
        delta = np.ones(len(self.instruments))
        options = [n for n, i in enumerate(self.instruments) if i.kind != PERP]
        if options:
            e = np.array(
                [row[self.instruments[n].underlying, self.instruments[n].expiry] for n in options]
            )
            strike = np.array([self.instruments[n].strike for n in options])
            call = np.array([self.instruments[n].kind == CALL for n in options])
            forward = table.forward[e]
            k = log(strike / forward)
            share = (table.time[e] - self.market.time) / np.asarray(table.tau)[e]
            w = Slices.of(table, e).variance(k) * share
            root = np.sqrt(w)
            d1 = -k / root + 0.5 * root
            n1, n2 = normal_cdf(d1), normal_cdf(d1 - root)
            value = forward * n1 - strike * n2
            price[options] = np.maximum(np.where(call, value, value - forward + strike), 0.0)
            delta[options] = np.where(call, n1, n1 - 1.0)
        return price, delta

    def lists(self, instrument: Instrument) -> bool:
        """Whether the instrument is on the board."""
        return instrument in self._row

    def price(self, instrument: Instrument) -> float:
        """Fair price in USD: the mark of a perp, Black-76 of an option."""
        return float(self._values[0][self._row[instrument]])

    def delta(self, instrument: Instrument) -> float:
        """Units of the underlying."""
        return float(self._values[1][self._row[instrument]])

    def spot(self, underlying: int) -> float:
        """True spot in USD."""
        return float(
            self.market.underlyings.spot[list(self.market.underlyings.id).index(underlying)]
        )

    def underlying(self, name: str | None) -> int:
        """Id of an underlying by name; of the first one for None."""
        names = tuple(self.market.underlyings.name)
        if name is None:
            return int(self.market.underlyings.id[0])
        if name not in names:
            raise unknown("underlying", name, names)
        return int(self.market.underlyings.id[names.index(name)])

    def options(self, underlying: int) -> tuple[Instrument, ...]:
        """The option series of an underlying."""
        return tuple(i for i in self.instruments if i.is_option and i.underlying == underlying)

    def expiries(self, underlying: int) -> tuple[int, ...]:
        """Expiries with options of an underlying, ascending."""
        return tuple(sorted({i.expiry for i in self.options(underlying)}))

    def nearest(self, underlying: int, kind: int, expiry: int, strike: float) -> Instrument | None:
        """The series whose strike is nearest to `strike`; None without any."""
        fitting = [i for i in self.options(underlying) if i.kind == kind and i.expiry == expiry]
        return min(fitting, key=lambda i: (abs(i.strike - strike), i.strike), default=None)

    def asset_price(self, asset: str) -> float:
        """USD price of a token; the stablecoin's for a name that is no collateral asset."""
        names = tuple(self.market.assets.name)
        if asset in names:
            return float(self.market.assets.price[names.index(asset)])
        return self.market.stable

    def asset_underlying(self, asset: str) -> int:
        """Underlying that a token moves with, or `NO_UNDERLYING`."""
        names = tuple(self.market.assets.name)
        if asset in names:
            return int(np.asarray(self.market.assets.underlying)[names.index(asset)])
        return NO_UNDERLYING


@dataclass(frozen=True, eq=False)
class AccountView:
    """One account as the chain has it.

    Parameters
    ----------
    id
        On chain.
    equity, initial, maintenance
        Quote currency, at the oracle's prices.
    cash
        Quote currency; negative is debt.
    holdings
        Units of each collateral token by name.
    positions
        Signed size by instrument.
    phase
        0 healthy, 1 solvent liquidation, 2 insolvent liquidation.
    """

    id: int
    equity: float
    initial: float
    maintenance: float
    cash: float
    holdings: Mapping[str, float]
    positions: Mapping[Instrument, float]
    phase: int = HEALTHY

    @property
    def free(self) -> float:
        """Equity above initial margin."""
        return self.equity - self.initial

    @property
    def use(self) -> float:
        """Initial margin over equity: 1 is fully used, above 1 over-used, inf without equity."""
        if self.equity <= 0.0:
            return float("inf") if self.initial > 0.0 or self.equity < 0.0 else 0.0
        return self.initial / self.equity


@dataclass(frozen=True, eq=False)
class Distress:
    """An account under its maintenance margin, or in liquidation.

    Parameters
    ----------
    account
        As the chain has it.
    started
        Unix seconds at which the phase began; 0 if nobody has flagged it.
    over
        Whether the price path of the phase is at its end.
    takeable
        Whether the backstop would take it once the insolvent phase is over: not while
        deleveraging comes first.
    min_fraction
        Smallest fraction that a bid may take, unless it takes the largest.
    max_fraction
        Largest fraction that one bid may take now.
    price_fraction
        Price as a fraction p of the value moved (solvent phase).
    reserved
        C: cash from bids, not for sale.
    payout
        What the system pays for all of it now (insolvent phase).
    payable
        Most that it can pay for bids now.
    heals
        Equity from which on a solvent account is not for sale: (1 + b) M.
    """

    account: AccountView
    started: int = 0
    over: bool = False
    takeable: bool = True
    min_fraction: float = 0.0
    max_fraction: float = 1.0
    price_fraction: float = 1.0
    reserved: float = 0.0
    payout: float = 0.0
    payable: float = inf
    heals: float = inf


@dataclass(frozen=True, eq=False)
class View:
    """One step in the eyes of one agent.

    Parameters
    ----------
    step, steps
        Index of the step and how many there are.
    time
        Unix seconds of the block to come.
    interval
        Seconds between blocks.
    board
        The true market and what is listed.
    oracle
        The market as the chain believed it before this block.
    accounts
        The agent's own, in order of opening.
    wallet
        Tokens by name outside the protocol.
    distressed
        Accounts that may be flagged or bid on, ascending by id.
    everyone
        Every account by id, the insurance fund's (0) included: the chain is public.
    quote
        Name of the quote stablecoin.
    fund
        Cash of the insurance fund.
    crowding
        Gas used by the block before over the gas limit.
    """

    step: int
    steps: int
    time: int
    interval: int
    board: Board
    oracle: Market
    accounts: tuple[AccountView, ...]
    wallet: Mapping[str, float]
    distressed: tuple[Distress, ...] = ()
    everyone: Mapping[int, AccountView] = field(default_factory=dict)
    quote: str = "USDC"
    fund: float = 0.0
    crowding: float = 0.0

    @property
    def account(self) -> AccountView:
        """The agent's first account."""
        return self.accounts[0]
