"""Margin of many accounts at once, as PROTOCOL 5 to 7 say, with every intermediate figure.

`assess` takes one rulebook, `assess_each` several. The scenario margin is here; `sensitivity`,
`loan_to_value` and `venues` hold the other methods. On chain the same formulas are in
ScenarioEngine, SensitivityEngine and LtvEngine.

Where PROTOCOL 5 is silent: a negative rate counts as 0 in every discount; percentages of perps and
of collateral that moves are of spot and of dollars, haircuts of value in quote currency; an asset
without a haircut is worth nothing (its whole value is charged outside); the dollar delta of the
concentration charge is undiscounted, per relative move of spot; an underlying that the correlation
matrices do not list adds its loss in full; where nothing is lost the basis binds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, NamedTuple

import numpy as np

from sim.errors import InputError
from sim.reference.black import forward_values
from sim.reference.book import Book, Market
from sim.reference.portfolio import Portfolio, sums
from sim.reference.rulebook import (
    Charge,
    Charges,
    Correlation,
    Discount,
    Factors,
    LtvRulebook,
    Rulebook,
    ScenarioRulebook,
    SensitivityRulebook,
    Vol,
    VolMove,
)
from sim.reference.validation import Bools, Floats, Ints

CHARGES = ("naked_short", "perp", "collateral", "concentration", "haircut", "confidence")
PLACES = ("inside", "outside", "initial")
_MONTH = 30 * 86_400.0
_BUDGET = 1e-9  # of gross notional, PROTOCOL 11
_WEI = 1e-18


@dataclass(frozen=True, eq=False)
class Assessment:
    """Margin of m accounts over u underlyings, e expiries and s scenarios.

    The fields are those of `IRiskEngine.Assessment`. Requirements are positive, in quote currency.

    Attributes
    ----------
    accounts : (m,) int
    equity, initial, maintenance : (m,)
    risk : (m,)
        R of PROTOCOL 5.6, or the core requirement of another method.
    charge_inside, charge_outside, charge_initial : (m,)
        C_in, C_out, C_im.
    charges : (m, charges, 3)
        By `CHARGES` and `PLACES`; `charge_*` are its sums.
    initial_factor : float
        im + depeg.
    option_value, collateral_value : (m,)
    delta, gamma, vega, theta : (m, u)
        Units of the underlying, per unit of its price, money per 1.00 of vol, money per year.
    expiry_value : (m, e)
    scenario_pnl : (m, u, s)
        Weighted profit and loss.
    loss_up, loss_down, basis : (m, u)
        L⁺, L⁻ and B.
    binding_up, binding_down : (m, u) int
        Scenario of L⁺ and L⁻, the lowest index of a tie; s where the basis binds.
    gross_notional, budget : (m,)
        G of PROTOCOL 11 and the error within which two correct computations may differ.
    """

    accounts: Ints
    equity: Floats
    initial: Floats
    maintenance: Floats
    risk: Floats
    charge_inside: Floats
    charge_outside: Floats
    charge_initial: Floats
    charges: Floats
    initial_factor: float
    option_value: Floats
    collateral_value: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    expiry_value: Floats
    scenario_pnl: Floats
    loss_up: Floats
    loss_down: Floats
    basis: Floats
    binding_up: Ints
    binding_down: Ints
    gross_notional: Floats
    budget: Floats

    @property
    def health(self) -> Floats:
        """(m,) equity less maintenance: below 0 an account may be liquidated."""
        return self.equity - self.maintenance

    @property
    def flagged(self) -> Bools:
        """(m,) whether equity is below maintenance."""
        return np.less(self.equity, self.maintenance)


def assess(book: Book, market: Market, rulebook: Rulebook) -> Assessment:
    """Assess every account of a book under one rulebook.

    Parameters
    ----------
    book : Book
        m accounts.
    market : Market
        With every underlying, expiry and asset of the book.
    rulebook : ScenarioRulebook, SensitivityRulebook or LtvRulebook

    Returns
    -------
    Assessment

    Raises
    ------
    InputError
        For a position that the market does not know, or a rulebook that does not cover the book.
    """
    return _assess(Portfolio(book, market), rulebook)


def assess_each(
    book: Book, market: Market, rulebooks: Mapping[str, Rulebook]
) -> dict[str, Assessment]:
    """Assess one book under several rulebooks, by name."""
    portfolio = Portfolio(book, market)
    return {name: _assess(portfolio, rulebook) for name, rulebook in rulebooks.items()}


def _assess(portfolio: Portfolio, rulebook: Rulebook) -> Assessment:
    match rulebook:
        case ScenarioRulebook():
            return scenario_margin(portfolio, rulebook)
        case LtvRulebook():
            from sim.reference.loan_to_value import loan_to_value_margin

            return loan_to_value_margin(portfolio, rulebook)
        case SensitivityRulebook():
            from sim.reference.sensitivity import sensitivity_margin

            return sensitivity_margin(portfolio, rulebook)
    raise InputError(f"rulebook: {type(rulebook).__name__} is not a rulebook")


def scenario_margin(portfolio: Portfolio, rules: ScenarioRulebook) -> Assessment:
    """PROTOCOL 5, item by item."""
    p = portfolio
    rate = np.maximum(p.market.expiries.rate, 0.0)
    discount = np.exp(-rate * p.years) if rules.discount.use_rate else np.ones_like(p.years)
    today, losses = scenario_losses(p, rules, discount)
    risk = correlated(losses.loss_up, losses.loss_down, rules.correlation, p.market.underlyings.id)
    assessment = margined(
        p,
        risk,
        all_charges(p, rules.charges, dollar_delta(p, discount)),
        rules.factors,
        today,
        discount,
        losses=losses,
    )
    if rules.extension is None:
        return assessment
    from sim.reference.venues import extended

    return extended(p, rules, assessment, discount)


class ScenarioLosses(NamedTuple):
    """What the scenarios do to each account and underlying; shapes as in `Assessment`."""

    scenario_pnl: Floats
    loss_up: Floats
    loss_down: Floats
    basis: Floats
    binding_up: Ints
    binding_down: Ints


def scenario_losses(
    p: Portfolio, rules: ScenarioRulebook, discount: Floats
) -> tuple[Floats, ScenarioLosses]:
    """Items 1 to 5 of PROTOCOL 5: (m, e) option values now, and the losses."""
    scenarios = rules.scenarios
    count = len(scenarios)
    spot = np.array([s.spot for s in scenarios])
    weight = np.array([s.weight for s in scenarios])

    # Values per account and expiry: today, in each scenario, and with the forward up and down.
    columns = [1.0, *spot, rules.basis.up, rules.basis.down]
    moves = [
        VolMove.UNCHANGED,
        *(s.vol for s in scenarios),
        VolMove.UNCHANGED,
        VolMove.UNCHANGED,
    ]
    values = revalue(p, np.array(columns), moves, rules.vol) * discount[:, None]
    today = values[:, :, 0]
    shocked, moved = values[:, :, 1 : count + 1], values[:, :, count + 1 :]

    # 1-3: profit and loss of each scenario.
    long_rate, short_rate = discount_factors(p, rules.discount, discount)
    marked = shocked * np.where(shocked > 0, long_rate[:, None], short_rate[:, None])
    pnl = p.expiry_to_underlying(marked - today[:, :, None])
    linear = p.moving_collateral + p.perp_value
    pnl = weight * (pnl + linear[:, :, None] * (spot - 1))

    # 4: each forward on its own, the wrong way.
    worst = np.minimum((moved - today[:, :, None]).min(axis=2), 0.0)
    scale = rules.basis.add_factor + rules.basis.time_factor * p.years
    basis = 0.0 - p.expiry_to_underlying(worst * scale)

    # 5: the worst loss on either side.
    loss_up, binding_up = worst_loss(pnl, basis, spot >= 1)
    loss_down, binding_down = worst_loss(pnl, basis, spot <= 1)
    return today, ScenarioLosses(pnl, loss_up, loss_down, basis, binding_up, binding_down)


def revalue(p: Portfolio, spot: Floats, moves: list[VolMove], vol: Vol) -> Floats:
    """Undiscounted option values (m, e, c) for c spot multipliers and vol moves.

    Vols are sticky by strike: looked up at the full forward, then shocked (PROTOCOL 5.2).
    """
    e = p.market.expiries
    at = p.series_expiry
    moving = np.asarray(e.forward_variable)[at, None] * spot
    forward: Floats = np.asarray(e.forward_fixed)[at, None] + moving
    which = [int(move) for move in moves]
    vols = p.series_vol[:, None] * vol_multipliers(p, vol)[at][:, which]
    floors = np.array([0.0, vol.floor_up, vol.floor_down])[which]
    prices = forward_values(
        forward,
        p.series_strike[:, None],
        p.series_years[:, None],
        np.maximum(vols, floors),
        p.series_is_call[:, None],
    )
    return p.by_expiry(prices)


def vol_multipliers(p: Portfolio, vol: Vol) -> Floats:
    """(e, 3) what multiplies the vols of each expiry, by `VolMove`."""
    seconds = np.maximum(p.market.expiries.time - p.market.time, 0).astype(np.float64)
    power = np.where(seconds <= _MONTH, vol.short_power, vol.long_power)
    scale = (_MONTH / np.maximum(seconds, vol.time_floor)) ** power
    return np.stack(
        (np.ones_like(scale), 1 + vol.range_up * scale, np.maximum(1 - vol.range_down * scale, 0)),
        axis=1,
    )


def discount_factors(p: Portfolio, rules: Discount, discount: Floats) -> tuple[Floats, Floats]:
    """(e,) factors of a positive and of a negative expiry value (PROTOCOL 5.3)."""
    rate = np.maximum(p.market.expiries.rate, 0.0)
    long_decay = p.years * (rate * rules.long_rate_scale + rules.long_rate_add)
    short_growth = p.years * (rate * rules.short_rate_scale + rules.short_rate_add)
    long_factor = np.minimum(rules.long_base * np.exp(-long_decay), 1.0)
    short_factor = np.minimum(rules.short_base * np.exp(short_growth), 1 / discount)
    return long_factor, np.maximum(short_factor, 1.0)


def worst_loss(pnl: Floats, basis: Floats, counted: Bools) -> tuple[Floats, Ints]:
    """(m, u) worst loss, at least 0, of the counted scenarios and the basis, and which it is."""
    losses = np.where(counted & (pnl < 0), -pnl, -1.0)
    losses = np.concatenate((losses, basis[:, :, None]), axis=2)
    binding = losses.argmax(axis=2)
    return np.take_along_axis(losses, binding[:, :, None], axis=2)[:, :, 0], binding


def correlated(up: Floats, down: Floats, rules: Correlation, ids: Ints) -> Floats:
    """(m,) R of PROTOCOL 5.6; an underlying that the rulebook does not list adds its loss in full.

    The maximum of √(yᵀρy) over y_u ∈ {L_u⁺, -L_u⁻} is taken over all vertices.
    """
    worst = np.maximum(up, down)
    listed = np.isin(ids, rules.ids)
    held = np.flatnonzero(listed & (worst > 0).any(axis=0))
    unlisted = worst[:, ~listed].sum(axis=1)
    if held.size == 0:
        return np.asarray(unlisted)
    rows = np.searchsorted(rules.ids, ids[held])
    corner = (np.arange(2**held.size)[:, None] >> np.arange(held.size)) & 1 == 1
    y = np.where(corner, up[:, None, held], -down[:, None, held])
    square = np.zeros(up.shape[0])
    for matrix in (rules.low, rules.high):
        rho = np.array(matrix)[np.ix_(rows, rows)]
        square = np.maximum(square, np.sum((y @ rho) * y, axis=2).max(axis=1))
    # With one underlying the root of a square must not round above or below the loss itself.
    joint = np.maximum(np.sqrt(square), worst[:, held].max(axis=1))
    gross = worst[:, held].sum(axis=1)
    return np.asarray(np.maximum(rules.floor * gross, joint) + unlisted)


def initial_factor(f: Factors, stable: float) -> float:
    """im + depeg of PROTOCOL 5.8."""
    return f.initial + f.depeg_factor * max(0.0, f.depeg_threshold - stable)


def all_charges(p: Portfolio, c: Charges, delta: Floats) -> Floats:
    """(m, charges, 3) the charges of PROTOCOL 5.7 by place, given dollar deltas (m, u)."""
    spot = np.asarray(p.market.underlyings.spot)
    over = np.maximum(np.abs(delta) - c.concentration_threshold, 0.0)
    bases = {
        "naked_short": p.naked_shorts * spot,
        "perp": np.abs(p.perp_units) * spot,
        "collateral": p.moving_collateral * p.market.stable,
        "concentration": over,
    }
    charges = np.zeros((p.accounts, len(CHARGES), len(PLACES)))
    for name, base in bases.items():
        charges[:, CHARGES.index(name)] = np.outer(base.sum(axis=1), _rates(getattr(c, name)))
    for column, asset in enumerate(p.book.assets):
        haircut = c.haircuts[asset] if 0 <= asset < len(c.haircuts) else _WORTHLESS
        charges[:, CHARGES.index("haircut")] += np.outer(p.collateral[:, column], _rates(haircut))
    doubt = doubtful(p, c.confidence_threshold)
    charges[:, CHARGES.index("confidence"), PLACES.index("initial")] = c.confidence_factor * doubt
    return charges


_WORTHLESS = Charge(outside=1.0)


def _rates(charge: Charge) -> Floats:
    return np.array([charge.inside, charge.outside, charge.initial])


def doubtful(p: Portfolio, threshold: float) -> Floats:
    """(m,) Σ (1 - c)·S·size over what depends on figures with a confidence c below the threshold.

    The options of an expiry have the lesser confidence of spot and expiry. The perp of an
    underlying and the collateral that moves with it share one: the least of spot, of the mark if
    there is a perp, and of the collateral held. Other collateral has its own.
    """

    def doubt(confidence: Floats) -> Floats:
        return np.where(confidence < threshold, 1 - confidence, 0.0)

    u = p.market.underlyings
    spot, spot_confidence = np.asarray(u.spot), np.asarray(u.spot_confidence)
    confidence = np.where(
        p.perp_units != 0, np.minimum(spot_confidence, u.mark_confidence), spot_confidence
    )
    dollars = p.collateral * p.market.stable
    total = np.zeros(p.accounts)
    for column, underlying in enumerate(p.collateral_underlying):
        own = p.collateral_confidence[column]
        if underlying < 0:
            total += dollars[:, column] * doubt(own)
        else:
            held = np.where(p.book.holdings[:, column] > 0, own, 1.0)
            confidence[:, underlying] = np.minimum(confidence[:, underlying], held)
    linear = np.abs(p.perp_units) * spot + p.moving_collateral * p.market.stable
    total += (doubt(confidence) * linear).sum(axis=1)
    if p.option.size:
        at = p.underlying[p.option]
        of_expiry = np.asarray(p.market.expiries.confidence)[p.option_expiry]
        weights = np.abs(p.size) * spot[at] * doubt(np.minimum(spot_confidence[at], of_expiry))
        total += sums(p.row[p.option], weights, p.accounts)
    return total


def dollar_delta(p: Portfolio, discount: Floats) -> Floats:
    """(m, u) profit per relative move of an underlying: discounted options, perps and moving
    collateral.
    """
    moving = discount * np.asarray(p.market.expiries.forward_variable)
    slope = p.greeks.delta * moving[p.series_expiry]
    options = p.expiry_to_underlying(p.by_expiry(slope))
    return options + p.perp_value + p.moving_collateral


def option_theta(p: Portfolio, discount: Floats) -> Floats:
    """(s,) -∂(D·V)/∂T of every series, the rate of its discount D held: D·(theta + rate·V)."""
    rate = -np.log(discount) / np.where(p.years > 0, p.years, 1.0)
    at = p.series_expiry
    return np.asarray(discount[at] * (p.greeks.theta + rate[at] * p.greeks.price))


def greeks_by_underlying(p: Portfolio, discount: Floats) -> dict[str, Floats]:
    """(m, u) delta, gamma, vega and theta of discounted options, perps and moving collateral."""
    g = p.greeks
    of_series = discount[p.series_expiry]
    each = {
        "delta": g.delta * of_series,
        "gamma": g.gamma * of_series,
        "vega": g.vega * of_series,
        "theta": option_theta(p, discount),
    }
    totals = {name: p.expiry_to_underlying(p.by_expiry(values)) for name, values in each.items()}
    dollars = p.moving_collateral * p.market.stable
    totals["delta"] = totals["delta"] + p.perp_units + dollars / p.market.underlyings.spot
    return totals


def equity_of(p: Portfolio, expiry_value: Floats) -> Floats:
    """(m,) cash, unsettled, collateral at market and option values."""
    return np.asarray(
        p.book.cash + p.book.unsettled + p.collateral.sum(axis=1) + expiry_value.sum(axis=1)
    )


def capped(
    p: Portfolio, equity: Floats, maintenance: Floats, initial: Floats
) -> tuple[Floats, Floats]:
    """Bound both requirements of accounts without shorts, perps or debt by what they are worth."""
    cap = np.where(p.long_only, np.maximum(equity, 0.0), np.inf)
    return np.minimum(maintenance, cap), np.minimum(initial, cap)


def error_budget(p: Portfolio, columns: int) -> Floats:
    """(m,) 1e-9 of gross notional and a wei for each of the operations on a position."""
    held = np.bincount(p.row, minlength=p.accounts)
    return np.asarray(_BUDGET * p.gross_notional + _WEI * (1 + held * columns))


def margined(
    p: Portfolio,
    risk: Floats,
    charges: Floats,
    factors: Factors,
    values: Floats,
    discount: Floats,
    *,
    losses: ScenarioLosses | None = None,
) -> Assessment:
    """Items 7 to 10 of PROTOCOL 5: requirements from (m,) a core and its charges, and equity.

    `values` (m, e) are those of options now, the other arguments those of `assessed`.
    """
    inside, outside, initial_only = charges.sum(axis=1).T
    factor = initial_factor(factors, p.market.stable)
    maintenance = factors.maintenance * (risk + inside) + outside
    initial = factor * (risk + inside) + outside + initial_only
    equity = equity_of(p, values)
    if factors.long_only_cap:
        maintenance, initial = capped(p, equity, maintenance, initial)
    return assessed(
        p,
        equity=equity,
        initial=initial,
        maintenance=maintenance,
        risk=risk,
        initial_factor=factor,
        discount=discount,
        expiry_value=values,
        charges=charges,
        losses=losses,
    )


def assessed(
    p: Portfolio,
    *,
    equity: Floats,
    initial: Floats,
    maintenance: Floats,
    risk: Floats,
    initial_factor: float,
    discount: Floats,
    expiry_value: Floats,
    charges: Floats | None = None,
    losses: ScenarioLosses | None = None,
) -> Assessment:
    """Assessment with all that every method has; charges and losses a method lacks are 0."""
    if charges is None:
        charges = np.zeros((p.accounts, len(CHARGES), len(PLACES)))
    # A position is valued now, in each scenario, and with its forward up and down.
    columns = 1 if losses is None else losses.scenario_pnl.shape[2] + 3
    if losses is None:
        none = np.zeros((p.accounts, p.underlyings))
        nowhere = none.astype(np.int64)
        losses = ScenarioLosses(np.zeros((*none.shape, 0)), none, none, none, nowhere, nowhere)
    inside, outside, initial_only = charges.sum(axis=1).T
    return Assessment(
        accounts=p.book.accounts,
        equity=equity,
        initial=initial,
        maintenance=maintenance,
        risk=risk,
        charge_inside=inside,
        charge_outside=outside,
        charge_initial=initial_only,
        charges=charges,
        initial_factor=initial_factor,
        option_value=expiry_value.sum(axis=1),
        collateral_value=p.collateral.sum(axis=1),
        **greeks_by_underlying(p, discount),
        expiry_value=expiry_value,
        scenario_pnl=losses.scenario_pnl,
        loss_up=losses.loss_up,
        loss_down=losses.loss_down,
        basis=losses.basis,
        binding_up=losses.binding_up,
        binding_down=losses.binding_down,
        gross_notional=p.gross_notional,
        budget=error_budget(p, columns),
    )
