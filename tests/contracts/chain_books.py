"""Books and markets of the reference as the words and structs that the engines read."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np

from sim.reference import (
    CALL,
    PERP,
    PUT,
    Assessment,
    Assets,
    Book,
    Expiries,
    Market,
    Underlyings,
)

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
        vols = [0 if book.kind[i] == PERP else round(float(book.vol[i]) * WAD) for i in rows]
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


T0 = 1_583_884_800
HOUR = 3_600


def random_case(
    rng: random.Random,
    options: int = 8,
    underlyings: int = 1,
    expiries: int = 2,
    *,
    doubt: bool = True,
) -> tuple[Book, Market]:
    """One account and its market, at random: settlement windows, doubtful prices, wings and all."""
    ids = sorted(rng.sample(range(8), underlyings))
    spot = {u: round(10 ** rng.uniform(0, 5), 4) for u in ids}

    def confidence() -> float:
        return rng.choice([1.0, 1.0, 1.0, 0.9, 0.3]) if doubt else 1.0

    times = sorted(
        {
            (u, T0 + rng.choice([60, HOUR, 7 * HOUR, HOUR * rng.randrange(24, 24 * 400)]))
            for u in ids
            for _ in range(expiries)
        }
    )
    forward = [round(spot[u] * rng.uniform(0.97, 1.05), 6) for u, _ in times]
    # Within half an hour of expiry a part of the forward is fixed.
    fixed = [
        round(f * rng.uniform(0.1, 0.9), 6) if t - T0 < 1800 else 0.0
        for f, (_, t) in zip(forward, times, strict=True)
    ]
    own_vols = rng.random() < 0.3
    market = Market.of(
        T0,
        Underlyings(
            ids,
            list(spot.values()),
            spot_confidence=[confidence() for _ in ids],
            mark=[round(s * rng.uniform(0.99, 1.01), 6) for s in spot.values()],
            mark_confidence=[confidence() for _ in ids],
        ),
        Expiries(
            [u for u, _ in times],
            [t for _, t in times],
            [round(f - x, 6) for f, x in zip(forward, fixed, strict=True)],
            fixed,
            rate=[round(rng.uniform(-0.05, 0.2), 6) for _ in times],
            confidence=[confidence() for _ in times],
            a=round(rng.uniform(0, 0.02), 6),
            b=round(rng.uniform(0.01, 0.2), 6),
            rho=round(rng.uniform(-0.7, 0.7), 6),
            m=round(rng.uniform(-0.2, 0.2), 6),
            sigma=round(rng.uniform(0.05, 0.5), 6),
            tau=rng.randrange(HOUR, HOUR * 24 * 60),
        ),
        Assets(
            [0, 1, 2],
            [spot[ids[0]], round(spot[ids[-1]] * 1.1, 4), 1.0],
            [ids[0], ids[-1], -1],
            confidence=[confidence() for _ in range(3)],
        ),
        stable=round(rng.choice([1.0, 1.0, rng.uniform(0.9, 1.02)]), 4),
    )
    rows: dict[tuple[int, int, int, float], float] = {}
    for _ in range(options):
        u, t = rng.choice(times)
        strike = round(
            spot[u] * rng.choice([1.0, rng.uniform(0.7, 1.4), 10 ** rng.uniform(-1, 1)]), 2
        )
        size = round(rng.choice([-1, 1]) * 10 ** rng.uniform(-3, 3), 6)
        rows[u, t, rng.choice([CALL, PUT]), max(strike, 0.01)] = size
    for u in ids:
        if rng.random() < 0.5:
            rows[u, 0, PERP, 0.0] = round(rng.uniform(-50, 50), 6)
    scale = sum(abs(size) * spot[key[0]] for key, size in rows.items()) + 100
    book = Book.of(
        cash=round(rng.uniform(-0.2, 0.5) * scale, 6),
        unsettled=round(rng.uniform(-0.01, 0.01) * scale, 6),
        assets=[0, 1, 2],
        holdings=[[round(rng.choice([0.0, rng.uniform(0, 5)]), 6) for _ in range(3)]],
        underlying=[key[0] for key in rows],
        expiry=[key[1] for key in rows],
        kind=[key[2] for key in rows],
        strike=[key[3] for key in rows],
        size=list(rows.values()),
        vol=[
            round(rng.uniform(0.1, 2.0), 6) if own_vols and key[2] != PERP else np.nan
            for key in rows
        ],
    )
    return book, market


def resolution(book: Book, want: Assessment) -> float:
    """What rounding to float64 may amount to in the reference's sums of an account's money."""
    money = abs(book.cash[0]) + abs(book.unsettled[0]) + want.gross_notional[0]
    return float(8 * np.finfo(np.float64).eps * money)


def long_only(book: Book) -> Book:
    """The same book without shorts, perps and debt."""
    kept = book.positions(book.is_option)
    return replace(
        kept,
        size=np.abs(kept.size),
        cash=np.abs(kept.cash),
        unsettled=np.zeros_like(kept.unsettled),
    )
