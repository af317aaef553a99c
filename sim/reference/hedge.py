"""Which trades bring delta, gamma and vega inside limits at least cost: an integer program."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import Bounds, LinearConstraint, milp

from sim.errors import InputError
from sim.reference.aggregation import exposures_of
from sim.reference.book import CALL, PERP, PUT, Book, Market
from sim.reference.portfolio import Portfolio
from sim.reference.validation import Floats, Ints, broadcast, finite, non_negative, positive

_TOLERANCE = 1e-7  # of the largest limit or exposure, for what the solver leaves over


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
    possible first. A mixed-integer linear program (HiGHS).

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
    costs, lots = (
        np.broadcast_to(x, count) for x in broadcast(c=non_negative("cost", cost), l=_lots(lot))
    )
    if count == 0:
        return _solution(np.zeros(0), e, slopes, limits, costs)

    # Columns: bought and sold units (in lots where there are lots), then the excess of each factor.
    # Rows are scaled so that exposures are of order 1.
    unit = np.where(lots > 0, lots, 1.0)
    scale = np.maximum(np.abs(e), np.where(np.isfinite(limits), limits, 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    step = slopes * unit / scale[:, None]
    eye = np.eye(factors)
    upper = np.concatenate((np.tile(sizes / unit, 2), np.full(factors, np.inf)))
    integral = np.concatenate((np.tile(lots > 0, 2), np.zeros(factors, bool))).astype(np.int64)
    lower_side = LinearConstraint(
        np.hstack((step, -step, eye)), (-limits - e) / scale, np.full(factors, np.inf)
    )
    upper_side = LinearConstraint(
        np.hstack((step, -step, -eye)), np.full(factors, -np.inf), (limits - e) / scale
    )
    if lots.any():
        upper = np.where(integral > 0, np.floor(upper + 1e-9), upper)

    def solve(objective: Floats, ceiling: Floats) -> Floats:
        found = milp(
            objective,
            constraints=[lower_side, upper_side],
            bounds=Bounds(np.zeros(upper.size), ceiling),
            integrality=integral,
            options={"mip_rel_gap": 1e-4},
        )
        if found.x is None:
            raise InputError(f"hedge: the solver found no solution ({found.message})")
        return np.asarray(found.x, dtype=np.float64)

    only_excess = np.concatenate((np.zeros(2 * count), np.ones(factors)))
    excess = solve(only_excess, upper)[2 * count :]
    excess = np.where(excess > _TOLERANCE, excess * (1 + _TOLERANCE), 0.0)
    priced = np.concatenate((np.tile(costs * unit, 2), np.zeros(factors)))
    columns = solve(priced, np.concatenate((upper[: 2 * count], excess)))
    trades = (columns[:count] - columns[count : 2 * count]) * unit
    trades = np.where(lots > 0, np.round(np.rint(trades / unit) * unit, 12), trades)
    return _solution(trades, e, slopes, limits, costs)


def _or_infinite(name: str, value: ArrayLike) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    non_negative(name, np.where(np.isposinf(array), 0.0, array))
    return array


def _lots(lot: ArrayLike) -> Floats:
    return non_negative("lot", lot)


def _solution(
    trades: Floats, exposure: Floats, slopes: Floats, limits: Floats, costs: Floats
) -> Solution:
    residual = exposure + slopes @ trades
    over = np.maximum(np.abs(residual) - limits, 0.0)
    finite_limits = np.where(np.isfinite(limits), limits, 0.0)
    excess = np.where(over > _TOLERANCE * np.maximum(np.abs(exposure), finite_limits), over, 0.0)
    return Solution(trades, float(costs @ np.abs(trades)), residual, excess)


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
    lot: float = 0.01,
) -> Instruments:
    """Perp of each underlying, and per expiry a put below and a call from the forward up.

    A perp costs `perp_cost` of mark, an option `option_cost` of the forward and `spread` of its
    value, per unit. Strikes are rounded to three significant digits.
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
    return Instruments(
        underlying=np.concatenate((u.id, underlying)),
        kind=np.concatenate((np.full(u.id.size, PERP), kind)),
        expiry=np.concatenate((np.zeros(u.id.size, np.int64), e.time[at])),
        strike=np.concatenate((np.zeros(u.id.size), strike)),
        cost=np.concatenate((perp_cost * u.mark, option_cost * e.forward[at] + spread * value)),
        lot=np.full(u.id.size + at.size, lot),
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
