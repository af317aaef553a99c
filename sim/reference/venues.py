"""What other venues compute beyond PROTOCOL 5: `rulebook.Extension`, off chain only.

Sources: Derive's PMRM_2 (skew scenarios); Paradex's portfolio margin documentation (minimum delta);
Deribit's portfolio margin documentation and the parameters of its simulation endpoint (offset of
gains across currencies, roll of calendar spreads); CME's SPAN (short option minimum).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.reference.black import forward_values, log_ratio
from sim.reference.margin import Assessment, capped, correlated, discount_factors
from sim.reference.portfolio import Portfolio
from sim.reference.rulebook import Extension, Offset, ScenarioRulebook, Skew
from sim.reference.validation import Floats


def extended(p: Portfolio, rules: ScenarioRulebook, a: Assessment, discount: Floats) -> Assessment:
    """Redo R and the requirements of a scenario margin with the extension of its rulebook.

    A skew scenario that binds is numbered after the basis: scenarios + 1 + its place.
    """
    extension = rules.extension or Extension()
    up, down = a.loss_up, a.loss_down
    binding_up, binding_down = a.binding_up, a.binding_down
    for number, skew in enumerate(extension.skew, start=len(rules.scenarios) + 1):
        loss = skew_loss(p, rules, skew, a.expiry_value, discount)
        binding_up = np.where(loss > up, number, binding_up)
        binding_down = np.where(loss > down, number, binding_down)
        up, down = np.maximum(up, loss), np.maximum(down, loss)

    if extension.offset is None:
        risk = correlated(up, down, rules.correlation, p.market.underlyings.id)
    else:
        risk = offset_loss(a.scenario_pnl, np.maximum(up, down), extension.offset)
    spot = np.asarray(p.market.underlyings.spot)
    if extension.roll is not None:
        risk = risk + roll_charge(p, extension.roll.annual, extension.roll.floor)
    if extension.minimum_delta is not None:
        long, short = signed_dollar_deltas(p)
        hedged = extension.minimum_delta.hedged * np.minimum(long, short)
        unhedged = extension.minimum_delta.unhedged * np.abs(long - short)
        risk = np.maximum(risk, (hedged + unhedged).sum(axis=1))
    risk = np.maximum(risk, extension.short_option_minimum * (p.naked_shorts @ spot))

    core = risk + a.charge_inside
    maintenance = rules.factors.maintenance * core + a.charge_outside
    initial = a.initial_factor * core + a.charge_outside + a.charge_initial
    if rules.factors.long_only_cap:
        maintenance, initial = capped(p, a.equity, maintenance, initial)
    return replace(
        a,
        risk=risk,
        initial=initial,
        maintenance=maintenance,
        loss_up=up,
        loss_down=down,
        binding_up=binding_up,
        binding_down=binding_down,
    )


def skew_loss(
    p: Portfolio, rules: ScenarioRulebook, skew: Skew, today: Floats, discount: Floats
) -> Floats:
    """(m, u) Σ over expiries of the absolute profit and loss under a rotated smile, weighted."""
    root = np.sqrt(p.series_years)
    k = -log_ratio(p.forward[p.series_expiry], p.series_strike)
    if skew.kind == "abs":
        k = np.abs(k)
    cap = skew.cap_scale * root + skew.cap_base
    width = root * skew.width_scale * (skew.vol_base + root * skew.vol_scale)
    turn = np.clip(np.maximum(k, -1e3) * cap / np.maximum(skew.width_floor, width), -cap, cap)
    values = p.by_expiry(
        forward_values(
            p.forward[p.series_expiry],
            p.series_strike,
            p.series_years,
            p.series_vol * np.maximum(1 + turn, 0.0),
            p.series_is_call,
        )
        * discount[p.series_expiry]
    )
    long_factor, short_factor = discount_factors(p, rules.discount, discount)
    marked = values * np.where(values > 0, long_factor, short_factor)
    return skew.weight * p.expiry_to_underlying(np.abs(marked - today))


def offset_loss(pnl: Floats, worst: Floats, offset: Offset) -> Floats:
    """(m,) worst over scenarios of losses less a share of gains, the offset capped.

    Scenarios pair by index across underlyings. What an underlying loses beyond its scenarios (basis
    or skew) is added in full.
    """
    losses = np.maximum(-pnl, 0.0)
    gains = np.maximum(pnl, 0.0).sum(axis=1)
    joint = losses.sum(axis=1) - np.minimum(offset.share * gains, offset.cap)
    beyond = worst - losses.max(axis=2)
    return np.asarray(np.maximum(joint.max(axis=1), 0.0) + beyond.sum(axis=1))


def signed_dollar_deltas(p: Portfolio) -> tuple[Floats, Floats]:
    """(m, u) long and short dollar deltas, position by position."""
    slope = p.greeks.delta * p.forward[p.series_expiry]
    values = np.zeros(p.book.size.size)
    values[p.option] = p.size * slope[p.series]
    marks = np.asarray(p.market.underlyings.mark)[p.underlying[p.perp]]
    values[p.perp] = p.book.size[p.perp] * marks
    rows = np.arange(values.size)
    return (
        p.by_underlying(rows, np.maximum(values, 0.0)) + p.moving_collateral,
        p.by_underlying(rows, np.maximum(-values, 0.0)),
    )


def roll_charge(p: Portfolio, annual: float, floor: float) -> Floats:
    """(m,) Σ of each expiry's dollar delta times max(annual · years, floor), if hedged by another.

    Of the Σ|D_e| of an underlying only what nets against the opposite sign is a calendar spread:
    the share 1 - |ΣD_e| / Σ|D_e|. Perps and collateral have no basis but count as hedges.
    """
    slope = p.greeks.delta * p.forward[p.series_expiry]
    by_expiry = p.by_expiry(slope)
    shocks = np.maximum(annual * p.years, floor)
    linear = p.perp_value + p.moving_collateral
    gross = p.expiry_to_underlying(np.abs(by_expiry)) + np.abs(linear)
    net = np.abs(p.expiry_to_underlying(by_expiry) + linear)
    hedged = np.divide(gross - net, gross, out=np.zeros_like(gross), where=gross > 0)
    return np.asarray((hedged * p.expiry_to_underlying(np.abs(by_expiry) * shocks)).sum(axis=1))
