"""What books lose until they can be liquidated: simulated spots and vols, full revaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.black import forward_values
from sim.reference.book import YEAR, Book, Market
from sim.reference.dependence import StudentTCopula
from sim.reference.factors import FactorModel
from sim.reference.portfolio import Portfolio
from sim.reference.samples import correlation_matrix, one_number, table
from sim.reference.student import StudentT
from sim.reference.validation import Floats, non_negative, positive, require

_VALUES_AT_ONCE = 262_144  # prices in one piece: two megabytes


@dataclass(frozen=True, eq=False)
class Shocks:
    """n joint moves of u underlyings over a horizon.

    Parameters
    ----------
    spot, vol : (n, u)
        Multipliers of spot (and everything that moves with it) and of every implied vol of the
        underlying, above 0.
    seconds : float
        Length of the horizon, by which options age.

    Raises
    ------
    InputError
    """

    spot: Floats
    vol: Floats
    seconds: float

    def __post_init__(self) -> None:
        spot = positive("spot", table("spot", self.spot))
        vol = positive("vol", table("vol", self.vol, columns=spot.shape[1]))
        if spot.shape != vol.shape:
            raise InputError(f"vol: shape {vol.shape}, expected {spot.shape}")
        non_negative("seconds", self.seconds)
        object.__setattr__(self, "spot", spot)
        object.__setattr__(self, "vol", vol)


def simulate_shocks(
    volatility: ArrayLike,
    corr: ArrayLike,
    seconds: float,
    n: int,
    rng: np.random.Generator,
    dof: float = 4.0,
    vol_of_vol: float = 1.5,
    leverage: float = -0.5,
) -> Shocks:
    """Draw fat-tailed joint moves of spots and vols.

    Parameters
    ----------
    volatility : (u,)
        Of each spot, annualised.
    corr : (u, u)
        Correlation of the spots, and of the vols among each other.
    seconds : float
        Horizon.
    n : int
        Scenarios.
    rng : numpy.random.Generator
    dof : float
        Of the Student-t copula and of every margin, above 2.
    vol_of_vol : float
        Volatility of the log of implied vol, annualised.
    leverage : float
        Correlation of spot and vol, from -1 to 1.

    Raises
    ------
    InputError
    """
    vols = positive("volatility", np.atleast_1d(volatility))
    matrix = correlation_matrix("corr", corr if vols.size > 1 else np.ones((1, 1)))
    if matrix.shape != (vols.size, vols.size):
        raise InputError(f"corr: shape {matrix.shape}, expected {(vols.size, vols.size)}")
    require(-1 <= leverage <= 1, "leverage", leverage, "numbers from -1 to 1")
    root = np.sqrt(one_number("seconds", seconds, 0.0) / YEAR)
    joint = np.kron([[1.0, leverage], [leverage, 1.0]], matrix)
    deviations = [*(vols * root), *[vol_of_vol * root] * vols.size]
    margins = [StudentT.with_deviation(dof, 0.0, float(d)) for d in deviations]
    moves = FactorModel(StudentTCopula(joint, dof), margins).sample(n, rng)
    return Shocks(
        np.exp(moves[:, : vols.size]),
        np.exp(np.clip(moves[:, vols.size :], -3.0, 3.0)),
        seconds,
    )


def horizon_losses(book: Book, market: Market, shocks: Shocks) -> Floats:
    """Fall of equity of each account in each scenario, (m, n), by full revaluation.

    Options are worth their undiscounted Black-76 value at the moved forward, with their vol
    (sticky by strike) times the multiplier and the time that is left, at least 0; perps and
    collateral that moves with an underlying follow its spot. Cash does not move.

    Raises
    ------
    InputError
        When the shocks do not have one column for each underlying of the market.
    """
    p = Portfolio(book, market)
    if shocks.spot.shape[1] != p.underlyings:
        raise InputError(
            f"shocks: {shocks.spot.shape[1]} columns, the market has {p.underlyings} underlyings"
        )
    n = shocks.spot.shape[0]
    linear = p.perp_value + p.moving_collateral
    losses = np.asarray(linear @ (1 - shocks.spot.T))
    count = p.series_strike.size
    if count == 0:
        return losses
    sizes = np.zeros((p.accounts, count))
    np.add.at(sizes, (p.row[p.option], p.series), p.size)
    e = market.expiries
    underlying = np.searchsorted(market.underlyings.id, np.asarray(e.underlying)[p.series_expiry])
    fixed: Floats = np.asarray(e.forward_fixed, np.float64)[p.series_expiry, None]
    variable: Floats = np.asarray(e.forward_variable, np.float64)[p.series_expiry, None]
    strike, is_call = p.series_strike[:, None], p.series_is_call[:, None]
    left = np.maximum(p.series_years - shocks.seconds / YEAR, 0.0)[:, None]
    today = sizes @ p.greeks.price
    step = max(1, _VALUES_AT_ONCE // count)
    for first in range(0, n, step):
        part = slice(first, first + step)
        spot, vol = shocks.spot[part, underlying].T, shocks.vol[part, underlying].T
        forward: Floats = fixed + variable * spot
        vols: Floats = p.series_vol[:, None] * vol
        values = forward_values(forward, strike, left, vols, is_call)
        losses[:, part] += today[:, None] - sizes @ values
    return losses
