"""A book in a market: what every margin method and aggregation starts from."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.black import Greeks, black76, forward_values, log_ratio
from sim.reference.book import CALL, YEAR, Book, Market, distinct, locate
from sim.reference.svi import total_variance
from sim.reference.validation import Bools, Floats, Ints, broadcast, positive, require


def sums(index: Ints, values: ArrayLike, length: int) -> Floats:
    """Sum `values` by `index` into an array of `length`."""
    return np.bincount(index, weights=values, minlength=length).astype(np.float64, copy=False)


class Portfolio:
    """Positions found in the market, with each distinct option series once.

    Parameters
    ----------
    book, market
        m accounts, u underlyings, e expiries.

    Attributes
    ----------
    book : Book
        Netted: one row for each account and series.
    option, perp : int arrays
        Rows of the book that are options, perps.
    series : (options,) int
        Distinct series of each option; q of them.
    series_expiry, series_strike, series_is_call, series_vol, series_years : (q,)
        `series_vol` is the series' own, or the surface's at k = ln(K/F) of the full forward.
    collateral : (m, k) float
        Market value of each holding in quote currency.
    collateral_underlying : (k,) int
        Index of the underlying each asset moves with, or -1.

    Raises
    ------
    InputError
        For a position or asset that the market does not know, or a series without any vol.
    """

    def __init__(self, book: Book, market: Market) -> None:
        book = book.netted()
        self.book, self.market = book, market
        place = locate(book, market)
        self.row, self.underlying = place.row, place.underlying
        self.option = np.flatnonzero(book.is_option)
        self.perp = np.flatnonzero(~book.is_option)
        self.accounts = book.accounts.size
        self.underlyings = market.underlyings.id.size
        self.expiries = market.expiries.time.size

        expiry = place.expiry[self.option]
        is_call = (book.kind[self.option] == CALL).astype(np.float64)
        strike, vol = book.strike[self.option], book.vol[self.option]
        vol = np.where(np.isnan(vol), -1.0, vol)
        first, self.series = distinct(expiry, strike, is_call, vol)
        self.series_expiry: Ints = expiry[first]
        self.series_strike: Floats = strike[first]
        self.series_is_call: Floats = is_call[first]
        self.option_expiry: Ints = expiry
        self.years: Floats = np.maximum(market.expiries.time - market.time, 0) / YEAR
        self.series_years: Floats = self.years[self.series_expiry]
        own = vol[first]
        self.series_vol: Floats = np.where(own >= 0, own, self._surface_vol())
        require(
            ~np.isnan(self.series_vol),
            "vol of strike",
            self.series_strike,
            "series with a vol of their own or an expiry with a surface",
        )

        asset = place.asset
        self.collateral: Floats = book.holdings * market.assets.price[asset] / market.stable
        moves_with = np.asarray(market.assets.underlying)[asset]
        known = np.isin(moves_with, market.underlyings.id)
        self.collateral_underlying: Ints = np.where(
            known, np.searchsorted(market.underlyings.id, moves_with), -1
        )
        self.collateral_confidence: Floats = np.asarray(market.assets.confidence)[asset]

    def _surface_vol(self) -> Floats:
        e = self.market.expiries
        at = self.series_expiry
        k = -log_ratio(e.forward[at], self.series_strike)
        svi = [np.asarray(getattr(e, name))[at] for name in ("a", "b", "rho", "m", "sigma")]
        # k is -∞ for strike 0, whose value does not depend on vol
        variance = total_variance(np.maximum(k, -100.0), *svi)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0) / (np.asarray(e.tau)[at] / YEAR)))

    @property
    def forward(self) -> Floats:
        """(e,) full forwards."""
        return self.market.expiries.forward

    @cached_property
    def size(self) -> Floats:
        """(options,) signed sizes of the options."""
        return self.book.size[self.option]

    @cached_property
    def perp_units(self) -> Floats:
        """(m, u) net perp size."""
        return self.by_underlying(self.perp, self.book.size[self.perp])

    @cached_property
    def perp_value(self) -> Floats:
        """(m, u) net perp size times mark."""
        return np.asarray(self.perp_units * self.market.underlyings.mark)

    @cached_property
    def moving_collateral(self) -> Floats:
        """(m, u) quote value of collateral that moves with each underlying."""
        value = np.zeros((self.accounts, self.underlyings))
        for column, underlying in enumerate(self.collateral_underlying):
            if underlying >= 0:
                value[:, underlying] += self.collateral[:, column]
        return value

    @cached_property
    def greeks(self) -> Greeks:
        """(q,) undiscounted price and greeks of each series against its forward."""
        return black76(
            self.forward[self.series_expiry],
            self.series_strike,
            self.series_years,
            self.series_vol,
            self.series_is_call,
        )

    def by_underlying(self, rows: Ints, values: Floats) -> Floats:
        """Sum one value a row of the book into (m, u)."""
        group = self.row[rows] * self.underlyings + self.underlying[rows]
        total = sums(group, values, self.accounts * self.underlyings)
        return total.reshape(self.accounts, self.underlyings)

    def by_expiry(self, values: Floats) -> Floats:
        """Sum options times `values` (q,) or (q, c) per account and expiry: (m, e) or (m, e, c)."""
        columns = values if values.ndim == 2 else values[:, None]
        group = self.row[self.option] * max(self.expiries, 1) + self.option_expiry
        result = np.zeros((self.accounts * self.expiries, columns.shape[1]))
        if group.size:
            order = np.argsort(group, kind="stable")
            held = self.size[order, None] * columns[self.series[order]]
            first = np.flatnonzero(np.diff(group[order], prepend=-1))
            result[group[order[first]]] = np.add.reduceat(held, first, axis=0)
        return result.reshape((self.accounts, self.expiries, *values.shape[1:]))

    def expiry_to_underlying(self, values: Floats) -> Floats:
        """Sum (m, e) or (m, e, c) over the expiries of each underlying: (m, u) or (m, u, c)."""
        result = np.zeros((self.accounts, self.underlyings, *values.shape[2:]))
        index = np.searchsorted(self.market.underlyings.id, self.market.expiries.underlying)
        for expiry, underlying in enumerate(index):
            result[:, underlying] += values[:, expiry]
        return result

    @cached_property
    def gross_notional(self) -> Floats:
        """(m,) G of PROTOCOL 11: Σ|q|·max(F, K) + |perp size|·mark + collateral."""
        at = self.series_expiry[self.series]
        worth = np.maximum(self.forward[at], self.series_strike[self.series])
        total = sums(self.row[self.option], np.abs(self.size) * worth, self.accounts)
        marks = np.asarray(self.market.underlyings.mark)[self.underlying[self.perp]]
        perps = np.abs(self.book.size[self.perp]) * marks
        total += sums(self.row[self.perp], perps, self.accounts)
        return np.asarray(total + self.collateral.sum(axis=1))

    @cached_property
    def naked_shorts(self) -> Floats:
        """(m, u) contracts short of longs at the same expiry and strike, calls and puts netted."""
        result = np.zeros((self.accounts, self.underlyings))
        if self.option.size == 0:
            return result
        strike = self.series_strike[self.series]
        order = np.lexsort((strike, self.option_expiry, self.row[self.option]))
        row, expiry, strike = (
            key[order] for key in (self.row[self.option], self.option_expiry, strike)
        )
        starts = np.ones(order.size, dtype=bool)
        starts[1:] = (
            (row[1:] != row[:-1]) | (expiry[1:] != expiry[:-1]) | (strike[1:] != strike[:-1])
        )
        first = np.flatnonzero(starts)
        net = np.add.reduceat(self.size[order], first)
        underlying = self.underlying[self.option][order][first]
        np.add.at(result, (row[first], underlying), np.maximum(-net, 0.0))
        return result

    @cached_property
    def long_only(self) -> Bools:
        """(m,) whether an account has no short option, no perp and no debt."""
        book = self.book
        burdened = (book.size < 0) | (~book.is_option & (book.size != 0))
        count = sums(self.row, burdened, self.accounts)
        return np.asarray((count == 0) & (book.cash + book.unsettled >= 0))

    def options_in(self, spot: ArrayLike, vol: ArrayLike = 1.0) -> Floats:
        """Undiscounted value of all options together in n scenarios, by full revaluation.

        Parameters
        ----------
        spot, vol : (n, u)
            What multiplies the spot (the variable part of every forward) and the vols of each
            underlying, above 0; `vol` broadcasts.

        Returns
        -------
        (n,)

        Raises
        ------
        InputError
            For a multiplier that is not allowed, or the wrong number of underlyings.
        """
        x, v = broadcast(spot=positive("spot", spot), vol=positive("vol", vol))
        if x.ndim != 2 or x.shape[1] != self.underlyings:
            raise InputError(f"spot: shape {x.shape}, expected (scenarios, {self.underlyings})")
        sizes = sums(self.series, self.size, self.series_strike.size)
        puts = sizes * (1 - self.series_is_call)
        e = self.market.expiries
        at = self.series_expiry
        fixed, moving = np.asarray(e.forward_fixed)[at], np.asarray(e.forward_variable)[at]
        underlying = np.searchsorted(self.market.underlyings.id, np.asarray(e.underlying)[at])
        deviation = self.series_vol * np.sqrt(self.series_years)

        # The kernel takes what moves as a whole and has time value in every scenario.
        low, high = (
            (v.min(axis=0), v.max(axis=0)) if v.shape[0] else (np.ones(self.underlyings),) * 2
        )
        plain = (fixed == 0) & (self.series_strike > 0)
        plain &= (deviation * low[underlying] > 1e-9) & (deviation * high[underlying] < 10)
        total = np.zeros(x.shape[0])
        if plain.any():
            from sim.reference import fast  # compiled code takes half a second to load

            total += fast.scenario_values(
                x.T,
                v.T,
                underlying[plain],
                moving[plain],
                self.series_strike[plain],
                deviation[plain],
                puts[plain],
                sizes[plain],
            )
        for j in np.flatnonzero(~plain):
            u = underlying[j]
            total += sizes[j] * forward_values(
                fixed[j] + moving[j] * x[:, u],
                self.series_strike[j],
                self.series_years[j],
                self.series_vol[j] * v[:, u],
                self.series_is_call[j],
            )
        return total
