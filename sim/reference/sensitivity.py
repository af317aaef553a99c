"""Margin from greeks and a covariance matrix (PROTOCOL 6)."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from sim.errors import InputError
from sim.reference.book import YEAR
from sim.reference.margin import (
    Assessment,
    all_charges,
    dollar_delta,
    margined,
    option_theta,
)
from sim.reference.portfolio import Portfolio
from sim.reference.rulebook import SensitivityRulebook
from sim.reference.validation import Floats

_MONTH = 30 * 86_400.0


def expected_shortfall_multiplier(level: float, dof: float) -> float:
    """Expected shortfall of a Student t of unit variance: the z of PROTOCOL 6.

    Source: McNeil, Frey and Embrechts, "Quantitative Risk Management", example 2.15, times
    √((dof - 2)/dof).
    """
    if not (0 < level < 1 and dof > 2):
        raise InputError(f"level {level} and dof {dof}: allowed are 0 < level < 1 and dof > 2")
    quantile = student.ppf(level, dof)
    shortfall = student.pdf(quantile, dof) / (1 - level) * (dof + quantile**2) / (dof - 1)
    return float(shortfall * np.sqrt((dof - 2) / dof))


def sensitivity_margin(p: Portfolio, rules: SensitivityRulebook) -> Assessment:
    """PROTOCOL 6.

    With D the dollar deltas and W_u = Σ |vega of a bucket| the vegas of an underlying,
    gᵀΣg = DᵀΣ_SS D + WᵀΣ_VV W + 2·|DᵀΣ_SV W|: buckets never net, and vols move in whichever
    direction is worse. Theta is that of discounted values, their rates held.
    """
    ids = p.market.underlyings.id
    held = (p.perp_units != 0) | (p.moving_collateral != 0)
    held[p.row, p.underlying] = True
    missing = ids[held.any(axis=0) & ~np.isin(ids, rules.ids)]
    if missing.size:
        raise InputError(f"rulebook: no covariance for underlying {missing[0]}")
    listed = np.flatnonzero(np.isin(ids, rules.ids))
    rows = np.searchsorted(rules.ids, ids[listed])
    covariance = np.array(rules.covariance)
    n = len(rules.ids)
    spot_spot = covariance[np.ix_(rows, rows)]
    vol_vol = covariance[np.ix_(rows + n, rows + n)]
    spot_vol = covariance[np.ix_(rows, rows + n)]

    rate = np.maximum(p.market.expiries.rate, 0.0)
    discount = np.exp(-rate * p.years) if rules.use_rate else np.ones_like(p.years)
    g = p.greeks
    of_series = discount[p.series_expiry]
    moving = np.asarray(p.market.expiries.forward_variable)[p.series_expiry]
    every_delta = dollar_delta(p, discount)
    delta = every_delta[:, listed]
    gamma = p.expiry_to_underlying(p.by_expiry(g.gamma * of_series * moving**2))[:, listed]
    vega = bucket_vegas(p, rules, g.vega * of_series)[:, listed]
    theta = p.by_expiry(option_theta(p, discount)).sum(axis=1)

    z, h = rules.multiplier, rules.horizon / YEAR
    quadratic = (
        np.sum((delta @ spot_spot) * delta, axis=1)
        + np.sum((vega @ vol_vol) * vega, axis=1)
        + 2 * np.abs(np.sum((delta @ spot_vol) * vega, axis=1))
    )
    move = z * np.sqrt(spot_spot.diagonal() * h)
    risk = (
        z * np.sqrt(h * np.maximum(quadratic, 0.0))
        + np.maximum(-gamma, 0.0) @ (0.5 * move**2)
        + np.maximum(-theta, 0.0) * h
    )
    least = p.naked_shorts @ np.asarray(p.market.underlyings.spot) * rules.naked_short_minimum
    risk = np.maximum(risk, least)

    charges = all_charges(p, rules.charges, every_delta)
    values = p.by_expiry(g.price * of_series)
    return margined(p, risk, charges, rules.factors, values, discount)


def bucket_vegas(p: Portfolio, rules: SensitivityRulebook, vega: Floats) -> Floats:
    """(m, u) Σ over buckets of |Σ σ·∂V/∂σ·(30 days/τ)^power| over the expiries in each."""
    seconds = np.maximum(p.market.expiries.time - p.market.time, rules.time_floor)
    scale = (_MONTH / seconds) ** rules.power
    per_expiry = p.by_expiry(vega * p.series_vol) * scale
    bucket = np.searchsorted(rules.buckets, p.market.expiries.time - p.market.time)
    total = np.zeros((p.accounts, p.underlyings))
    for number in range(len(rules.buckets) + 1):
        inside = np.where(bucket == number, per_expiry, 0.0)
        total += np.abs(p.expiry_to_underlying(inside))
    return total
