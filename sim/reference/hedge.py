"""Which trades bring delta, gamma and vega inside limits at least cost: an integer program."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import Bounds, LinearConstraint, milp

from sim.errors import InputError
from sim.reference.aggregation import exposures_of
from sim.reference.book import CALL, PERP, PUT, Book, Market
from sim.reference.portfolio import Portfolio
from sim.reference.validation import Floats, Ints, broadcast, finite, non_negative, positive

_MARGIN = 1e-6  # of a limit: how far inside it the solver aims, for its own tolerance
_ROOM_FOR_ROUNDING = 0.1
_GAP = 1e-3  # of the cost: how far from the least a solution may be
_NODES = 5_000  # of the search, after which the best solution found so far is taken


class Solution(NamedTuple):
    """Trades in units (n,), their cost, and the exposures they leave (f,).

    `excess` is how far each exposure remains outside its limit: 0 unless no trades could do it.
    """

    trades: Floats
    cost: float
    residual: Floats
    excess: Floats

    @property
    def within_limits(self) -> bool:
        """Whether every exposure is inside its limit."""
        return not self.excess.any()


def least_cost(
    exposure: ArrayLike,
    sensitivity: ArrayLike,
    limit: ArrayLike,
    cost: ArrayLike,
    lot: ArrayLike = 0.0,
    most: ArrayLike = np.inf,
) -> Solution:
    """Choose trades x with |exposure + sensitivity·x| ≤ limit and least Σ cost·|x|.

    If none exist, the total excess over the limits, each in its own scale, is made as small as
    possible first. A mixed-integer linear program (HiGHS), solved to 0.1 % of the cost or as far as
    5,000 nodes go; a linear program inside nine tenths of the limits, rounded to lots, stands by.

    Parameters
    ----------
    exposure, limit : (f,)
        Limits at least 0; inf leaves an exposure free.
    sensitivity : (f, n)
        Exposure per unit of each instrument.
    cost : (n,)
        Per unit traded either way, at least 0.
    lot : (n,)
        Smallest size, of which trades are multiples; 0 for any size.
    most : (n,)
        Largest size either way; may be infinite.

    Raises
    ------
    InputError
        Naming the argument and the element, or the shapes that do not fit.
    """
    program = _Program.of(exposure, sensitivity, limit, cost, lot, most)
    if program.costs.size == 0:
        return program.solution(np.zeros(0))
    # Whole lots exactly; and, in case that takes too long, rounded from a linear program.
    tries = [
        program.cheapest(0.0, 1 - _MARGIN),
        program.cheapest(0.0, 1 - _ROOM_FOR_ROUNDING, in_lots=False),
    ]
    fits = [found for found in tries if found is not None and found.within_limits]
    if fits:
        return min(fits, key=lambda found: found.cost)
    closest = program.closest(1 - _MARGIN)
    if closest is None:
        raise InputError("hedge: the solver found no solution")
    left = closest.excess / program.scale * (1 + _MARGIN) + _MARGIN
    return program.cheapest(left, 1 - _MARGIN) or closest


class _Program(NamedTuple):
    """The problem in the solver's terms: f rows in units of `scale`, n instruments in `unit`.

    Its columns are units bought, then sold, then the excess of each row.
    """

    exposure: Floats
    slopes: Floats
    limits: Floats
    costs: Floats
    lots: Floats
    most_units: Floats
    scale: Floats
    unit: Floats

    @classmethod
    def of(
        cls,
        exposure: ArrayLike,
        sensitivity: ArrayLike,
        limit: ArrayLike,
        cost: ArrayLike,
        lot: ArrayLike,
        most: ArrayLike,
    ) -> Self:
        """Check the arguments of `least_cost` and scale them."""
        e = np.atleast_1d(finite("exposure", exposure))
        slopes = finite("sensitivity", sensitivity)
        if e.ndim != 1 or slopes.ndim != 2 or slopes.shape[0] != e.size:
            raise InputError(
                f"sensitivity: shape {slopes.shape}, expected ({e.size}, instruments) for "
                f"exposures of shape {e.shape}"
            )
        factors, count = slopes.shape
        limits = np.broadcast_to(_or_infinite("limit", limit), factors)
        sizes = np.broadcast_to(_or_infinite("most", most), count)
        given = broadcast(c=non_negative("cost", cost), l=non_negative("lot", lot))
        costs, lots = (np.broadcast_to(x, count) for x in given)

        scale = np.where(np.isfinite(limits) & (limits > 0), limits, np.abs(e))
        scale = np.where(scale > 0, scale, 1.0)
        largest = np.abs(slopes / scale[:, None]).max(axis=0, initial=0.0)
        unit = np.where(lots > 0, lots, 1 / np.where(largest > 0, largest, 1.0))
        most_units = sizes / unit
        most_units = np.where(lots > 0, np.floor(most_units + 1e-9), most_units)
        return cls(e, slopes, limits, costs, lots, most_units, scale, unit)

    def cheapest(self, excess: ArrayLike, share: float, *, in_lots: bool = True) -> Solution | None:
        """Spend least inside this share of the limits, given excess (f,) in units of `scale`."""
        price = np.concatenate((np.tile(self.costs * self.unit, 2), np.zeros(self.limits.size)))
        return self._solve(price, excess, share, in_lots)

    def closest(self, share: float) -> Solution | None:
        """Exceed this share of the limits by as little as can be, at any cost."""
        nothing = np.zeros(2 * self.costs.size)
        return self._solve(
            np.concatenate((nothing, np.ones(self.limits.size))), np.inf, share, True
        )

    def _solve(
        self, objective: Floats, excess: ArrayLike, share: float, in_lots: bool
    ) -> Solution | None:
        factors, count = self.slopes.shape
        step = self.slopes * self.unit / self.scale[:, None]
        target = self.exposure / self.scale
        inside = np.where(np.isfinite(self.limits), self.limits / self.scale * share, np.inf)
        no_end, eye = np.full(factors, np.inf), np.eye(factors)
        upper = np.concatenate((np.tile(self.most_units, 2), np.broadcast_to(excess, factors)))
        whole = np.concatenate((np.tile(self.lots > 0, 2), np.zeros(factors, bool)))
        found = milp(
            objective,
            constraints=[
                LinearConstraint(np.hstack((step, -step, eye)), -inside - target, no_end),
                LinearConstraint(np.hstack((step, -step, -eye)), -no_end, inside - target),
            ],
            bounds=Bounds(np.zeros(upper.size), upper),
            integrality=(whole & in_lots).astype(np.int64),
            options={"mip_rel_gap": _GAP, "node_limit": _NODES},
        )
        if found.x is None:
            return None
        columns = np.asarray(found.x, dtype=np.float64)
        units = columns[:count] - columns[count : 2 * count]
        in_whole = np.round(np.rint(units) * self.unit, 12)
        return self.solution(np.where(self.lots > 0, in_whole, units * self.unit))

    def solution(self, trades: Floats) -> Solution:
        """Return what trades (n,) cost and leave."""
        residual = self.exposure + self.slopes @ trades
        over = np.maximum(np.abs(residual) - self.limits, 0.0)
        rounding = 1e-12 * (np.abs(self.exposure) + np.abs(self.slopes) @ np.abs(trades))
        excess = np.where(over > rounding, over, 0.0)
        return Solution(trades, float(self.costs @ np.abs(trades)), residual, excess)


def _or_infinite(name: str, value: ArrayLike) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    non_negative(name, np.where(np.isposinf(array), 0.0, array))
    return array


class Instruments(NamedTuple):
    """What may be traded for a hedge, one row each (n,); `cost` is per unit, in quote currency."""

    underlying: Ints
    kind: Ints
    expiry: Ints
    strike: Floats
    cost: Floats
    lot: Floats


class Hedge(NamedTuple):
    """Trades that bring a book inside limits; rows of `instruments` with `solution.trades`.

    Exposures are, for each underlying in turn, dollar delta, dollar gamma and vega.
    """

    instruments: Instruments
    exposure: Floats
    solution: Solution


def candidates(
    market: Market,
    moneyness: ArrayLike = (0.8, 0.9, 1.0, 1.1, 1.2),
    perp_cost: float = 5e-4,
    option_cost: float = 5e-4,
    spread: float = 0.02,
    lot: float | None = None,
) -> Instruments:
    """Perp of each underlying, and per expiry a put below and a call from the forward up.

    A perp costs `perp_cost` of mark, an option `option_cost` of the forward and `spread` of its
    value, per unit. Strikes are rounded to three significant digits. `lot` is by default the power
    of ten that is worth from 10 to 100.
    """
    u, e = market.underlyings, market.expiries
    ratio = np.atleast_1d(positive("moneyness", moneyness))
    at = np.repeat(np.arange(e.time.size), ratio.size)
    raw = e.forward[at] * np.tile(ratio, e.time.size)
    digits = 10.0 ** (np.floor(np.log10(raw)) - 2) if raw.size else raw
    strike = np.rint(raw / digits) * digits
    kind = np.where(strike < e.forward[at], PUT, CALL)
    underlying = np.asarray(e.underlying)[at]
    options = Book.of(
        underlying=underlying, kind=kind, expiry=e.time[at], strike=strike, size=np.ones(at.size)
    )
    p = Portfolio(options, market)
    value = p.greeks.price[p.series]
    spots = np.asarray(u.spot)
    lots = 10.0 ** np.floor(2 - np.log10(spots)) if lot is None else np.full(spots.size, lot)
    return Instruments(
        underlying=np.concatenate((u.id, underlying)),
        kind=np.concatenate((np.full(u.id.size, PERP), kind)),
        expiry=np.concatenate((np.zeros(u.id.size, np.int64), e.time[at])),
        strike=np.concatenate((np.zeros(u.id.size), strike)),
        cost=np.concatenate((perp_cost * u.mark, option_cost * e.forward[at] + spread * value)),
        lot=np.concatenate((lots, lots[np.searchsorted(u.id, underlying)])),
    )


def suggest_hedge(
    book: Book,
    market: Market,
    delta_limit: ArrayLike,
    gamma_limit: ArrayLike = np.inf,
    vega_limit: ArrayLike = np.inf,
    instruments: Instruments | None = None,
    most: ArrayLike = np.inf,
) -> Hedge:
    """Find the cheapest trades that bring the whole book inside limits on dollar greeks.

    Parameters
    ----------
    book, market
        All accounts together (`Book.only` for some).
    delta_limit, gamma_limit, vega_limit : (u,) or scalar
        On |dollar delta|, |dollar gamma| and |vega| of each underlying, as in `Sensitivities`; inf
        for none.
    instruments : Instruments, optional
        Default: `candidates(market)`.
    most : (n,) or scalar
        Largest trade either way, in units.
    """
    offered = candidates(market) if instruments is None else instruments
    total = exposures_of(Portfolio(book, market)).by_underlying
    exposure = np.stack((total.dollar_delta, total.dollar_gamma, total.vega), axis=1)

    count = offered.kind.size
    each = Book.of(
        np.arange(count),
        account=np.arange(count),
        underlying=offered.underlying,
        kind=offered.kind,
        expiry=offered.expiry,
        strike=offered.strike,
        size=np.ones(count),
    )
    unit = exposures_of(Portfolio(each, market)).by_account_underlying
    slopes = np.stack((unit.dollar_delta, unit.dollar_gamma, unit.vega), axis=2)
    underlyings = market.underlyings.id.size
    limits = np.stack(
        [
            np.broadcast_to(_or_infinite(name, limit), underlyings)
            for name, limit in (
                ("delta_limit", delta_limit),
                ("gamma_limit", gamma_limit),
                ("vega_limit", vega_limit),
            )
        ],
        axis=1,
    )
    solution = least_cost(
        exposure.reshape(-1),
        slopes.reshape(count, -1).T,
        limits.reshape(-1),
        offered.cost,
        offered.lot,
        most,
    )
    return Hedge(offered, exposure.reshape(-1), solution)
