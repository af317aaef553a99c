"""Greeks of books in one numeraire, how concentrated they are, and what a trade would change."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sim.reference.book import Book, Market
from sim.reference.margin import Assessment, assess
from sim.reference.portfolio import Portfolio
from sim.reference.rulebook import Rulebook
from sim.reference.validation import Floats, finite


class Sensitivities(NamedTuple):
    """Value and greeks in quote currency, arrays of one shape.

    `dollar_delta` is profit per relative move of 1.00 of the underlying, `dollar_gamma` what a
    relative move of 1.00 adds to it (times 0.01: per 1 %), `vega` per 1.00 of vol, `theta` a year.
    """

    value: Floats
    dollar_delta: Floats
    dollar_gamma: Floats
    vega: Floats
    theta: Floats

    def summed(self, axis: int | tuple[int, ...]) -> Sensitivities:
        """Sum over an axis."""
        return Sensitivities(*(np.asarray(x.sum(axis=axis)) for x in self))


class Exposures(NamedTuple):
    """Sensitivities of m accounts, u underlyings, e expiries; undiscounted, against the forward.

    Perps and collateral that moves with an underlying count in everything but `by_expiry`.
    """

    by_account_underlying: Sensitivities
    by_account: Sensitivities
    by_underlying: Sensitivities
    by_expiry: Sensitivities
    total: Sensitivities


def exposures(book: Book, market: Market) -> Exposures:
    """Aggregate the greeks of a book per account, underlying, expiry and in total.

    In the settlement window of an expiry only the variable part of its forward moves. Cash and
    collateral that moves with nothing carry no sensitivity and are not part of `value`.
    """
    return exposures_of(Portfolio(book, market))


def exposures_of(p: Portfolio) -> Exposures:
    """Like `exposures`, of a book that has been found in the market."""
    g = p.greeks
    moving = np.asarray(p.market.expiries.forward_variable)[p.series_expiry]
    series = Sensitivities(g.price, g.delta * moving, g.gamma * moving**2, g.vega, g.theta)
    per_expiry = Sensitivities(*(p.by_expiry(x) for x in series))
    options = Sensitivities(*(p.expiry_to_underlying(x) for x in per_expiry))
    linear = p.perp_value + p.moving_collateral
    cells = options._replace(
        value=options.value + p.moving_collateral, dollar_delta=options.dollar_delta + linear
    )
    return Exposures(
        cells, cells.summed(1), cells.summed(0), per_expiry.summed(0), cells.summed((0, 1))
    )


class Concentration(NamedTuple):
    """How an amount is spread over parts.

    `shares` sum to 1 (0 each if there is nothing), `herfindahl` is the sum of their squares, and
    `effective` its inverse: the number of equal parts with the same index.
    """

    shares: Floats
    herfindahl: float
    effective: float
    largest: int


def concentration(amounts: ArrayLike) -> Concentration:
    """Measure the concentration of |amounts| (n,), for instance dollar deltas by account."""
    sizes = np.abs(finite("amounts", amounts)).reshape(-1)
    total = sizes.sum()
    shares = sizes / total if total > 0 else np.zeros_like(sizes)
    index = float(np.sum(shares**2))
    largest = int(shares.argmax()) if shares.size else -1
    return Concentration(shares, index, 1 / index if index > 0 else 0.0, largest)


class WhatIf(NamedTuple):
    """Margin and greeks before and after trades."""

    before: Assessment
    after: Assessment
    exposures_before: Exposures
    exposures_after: Exposures


def what_if(book: Book, market: Market, rulebook: Rulebook, **trades: Any) -> WhatIf:
    """Compare a book with itself after trades.

    Parameters
    ----------
    **trades
        As for `Book.traded`: account, underlying, kind, size, and where they matter expiry, strike,
        vol and price.
    """
    after = book.traded(**trades)
    return WhatIf(
        assess(book, market, rulebook),
        assess(after, market, rulebook),
        exposures(book, market),
        exposures(after, market),
    )
