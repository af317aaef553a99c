"""Static loan-to-value: the baseline of PROTOCOL 7."""

from __future__ import annotations

import numpy as np

from sim.reference.margin import Assessment, assessed, equity_of
from sim.reference.portfolio import Portfolio, sums
from sim.reference.rulebook import LtvRulebook
from sim.reference.validation import Floats


def loan_to_value_margin(p: Portfolio, rules: LtvRulebook) -> Assessment:
    """PROTOCOL 7, written as a requirement against the equity of every other method.

    Equity less requirement is cash + collateral · LTV - |perp| · mark · ratio - (value + ratio · S)
    · |short option|: what may not be lent against is required, so are long options whole. The core
    requirement `risk` is that of initial margin.
    """
    prices = p.greeks.price[p.series]
    values = p.by_expiry(p.greeks.price)
    long_value = sums(p.row[p.option], np.maximum(p.size, 0) * prices, p.accounts)
    spot = np.asarray(p.market.underlyings.spot)[p.underlying[p.option]]
    short_notional = sums(p.row[p.option], np.maximum(-p.size, 0) * spot, p.accounts)
    perp_notional = np.abs(p.perp_value).sum(axis=1)

    def requirement(which: str) -> Floats:
        lent = [
            getattr(rules.collateral[asset], which) if 0 <= asset < len(rules.collateral) else 0.0
            for asset in p.book.assets
        ]
        unlent = p.collateral @ (1 - np.array(lent)) if lent else np.zeros(p.accounts)
        return np.asarray(
            unlent
            + long_value
            + getattr(rules.perp, which) * perp_notional
            + getattr(rules.short_option, which) * short_notional
        )

    initial = requirement("initial")
    return assessed(
        p,
        equity=equity_of(p, values),
        initial=initial,
        maintenance=requirement("maintenance"),
        risk=initial,
        initial_factor=1.0,
        discount=np.ones_like(p.years),
        expiry_value=values,
    )
