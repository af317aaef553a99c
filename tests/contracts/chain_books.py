"""Books and markets of the reference as the words and structs that the engines read."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.reference import Book, Market
from sim.reference.book import PERP

WAD = 10**18
NANO = 10**9


def nano(value: float) -> int:
    return round(float(value) * NANO)


def wad(value: float) -> int:
    """WAD of a number that is a multiple of 1e-9."""
    return nano(value) * NANO


def signed(value: int, bits: int) -> int:
    """Two's complement of a field."""
    assert -(1 << (bits - 1)) <= value < 1 << (bits - 1)
    return value % (1 << bits)


def position(underlying: int, expiry: int, strike: int, kind: int, size: int) -> int:
    """Word of a position; strike and size in units of 1e-9."""
    return signed(size, 96) << 160 | underlying << 128 | expiry << 96 | strike << 8 | kind


def terms(
    underlying: int, expiry: int, variable: int, fixed: int, rate: int, confidence: int
) -> int:
    """First word of an expiry, fields in the units of IOracle."""
    return (
        variable
        | fixed << 72
        | signed(rate, 40) << 144
        | confidence << 184
        | expiry << 216
        | underlying << 248
    )


def surface(a: float, b: float, rho: float, m: float, sigma: float, tau: int) -> int:
    """Second word of an expiry."""
    return (
        tau
        | round(sigma * 1e9) << 32
        | signed(round(m * 1e9), 40) << 72
        | signed(round(rho * 1e9), 32) << 112
        | round(b * 1e12) << 144
        | signed(round(a * 1e12), 48) << 192
    )


def chain_book(book: Book, row: int = 0) -> tuple[Any, list[int]]:
    """`IRiskEngine.Book` of one account, and the row of the book behind each position."""
    account = book.accounts[row]
    held = [
        (
            position(
                int(book.underlying[i]),
                int(book.expiry[i]),
                nano(book.strike[i]),
                int(book.kind[i]),
                nano(book.size[i]),
            ),
            i,
        )
        for i in np.flatnonzero(book.account == account)
        if nano(book.size[i]) != 0
    ]
    held.sort(key=lambda item: item[0] % 2**160)
    holdings = [
        (int(asset), wad(book.holdings[row, k]))
        for k, asset in enumerate(book.assets)
        if book.holdings[row, k] > 0
    ]
    words = [word for word, _ in held]
    return (
        (wad(book.cash[row]), wad(book.unsettled[row]), holdings, words),
        [int(i) for _, i in held],
    )


def chain_market(market: Market, book: Book, rows: list[int]) -> Any:
    """`IOracle.Market`, with the vol of each position if the book brings vols."""
    u, e, a = market.underlyings, market.expiries, market.assets
    vols = []
    if rows and any(not np.isnan(book.vol[i]) for i in rows):
        vols = [0 if book.kind[i] == PERP else wad(book.vol[i]) for i in rows]
    underlyings = [
        (
            int(u.id[i]),
            wad(u.spot[i]),
            wad(u.spot_confidence[i]),
            wad(u.mark[i]),
            wad(u.mark_confidence[i]),
            0,
        )
        for i in range(u.id.size)
    ]
    expiries = [
        (
            terms(
                int(e.underlying[i]),
                int(e.time[i]),
                nano(e.forward_variable[i]),
                nano(e.forward_fixed[i]),
                round(float(e.rate[i]) * 10**10),
                nano(e.confidence[i]),
            ),
            0
            if np.isnan(e.a[i])
            else surface(e.a[i], e.b[i], e.rho[i], e.m[i], e.sigma[i], int(e.tau[i])),
        )
        for i in range(e.time.size)
    ]
    assets = [
        (
            int(a.id[i]),
            255 if a.underlying[i] < 0 else int(a.underlying[i]),
            wad(a.price[i]),
            wad(a.confidence[i]),
        )
        for i in range(a.id.size)
    ]
    return (int(market.time), 7, wad(market.stable), underlyings, expiries, assets, vols)
