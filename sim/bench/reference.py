"""How fast the reference prices, beside the libraries that are fastest at it, and how exactly.

The peer is numpy with scipy's ndtr, in pieces that fit the cache and on two threads: no library is
faster. All contestants fill arrays that exist already and take turns; medians are compared.
"""

from __future__ import annotations

import os
import statistics
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Callable

import numpy as np
from scipy.special import ndtr

from sim.bench import Figure, Report
from sim.reference import fast
from sim.reference.black import Greeks, _black_scholes
from sim.reference.book import CALL, PUT, Book, Expiries, Market, Underlyings
from sim.reference.portfolio import Portfolio
from sim.reference.validation import Floats

_PEER_CHUNK = 8_192
_PEER_SCENARIOS = 8  # at a time: with 1,000 options this fills the cache
_BYTES_MOVED = 7 * 8 + 8 * 16  # per option: read the inputs; fetch and write the outputs
_FLOPS = 330  # per option, counted in the kernel
_ROOT_TWO_PI = np.sqrt(2 * np.pi)


def run(quick: bool = False) -> Report:
    """Measure pricing with greeks, Monte-Carlo VaR by full revaluation, and the roofline."""
    figures = [
        *_greeks(20_000 if quick else 1_000_000, 2 if quick else 15),
        *_monte_carlo(*((200, 50) if quick else (10_000, 1_000)), rounds=2 if quick else 9),
        *_margin(50 if quick else 1_000, 2 if quick else 9),
    ]
    about = "price and seven greeks, and Monte-Carlo VaR by full revaluation, beside libraries"
    return Report("reference", about, tuple(figures))


def _turns(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time contestants in turn, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, contestant in contestants.items():
            started = time.perf_counter()
            contestant()
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def _ratio(times: dict[str, list[float]], base: str, ours: str) -> float:
    """Compare round by round, so that a slow spell hits both sides."""
    return statistics.median(a / b for a, b in zip(times[base], times[ours], strict=True))


# Price and seven greeks.


def _options(count: int) -> tuple[Floats, ...]:
    rng = np.random.default_rng(1)
    spot = rng.uniform(80, 120, count)
    strike = rng.uniform(60, 160, count)
    years = rng.uniform(0.02, 2, count)
    vol = rng.uniform(0.1, 1.5, count)
    call = rng.integers(0, 2, count).astype(np.float64)
    rate = rng.uniform(0, 0.1, count)
    return spot, strike, years, vol, call, rate, rate - rng.uniform(0, 0.05, count)


def _greeks(count: int, rounds: int) -> list[Figure]:
    inputs = _options(count)
    ours = tuple(np.empty(count) for _ in range(8))
    theirs = tuple(np.empty(count) for _ in range(8))
    contestants: dict[str, Callable[[], object]] = {
        "plimsoll": lambda: fast.black_scholes(*inputs, out=ours),
        "numpy": lambda: _in_pieces(_numpy_greeks, inputs, theirs),
    }
    times = _turns(contestants, rounds)
    rate = count / statistics.median(times["plimsoll"]) / 1e6
    ratio = _ratio(times, "numpy", "plimsoll")
    memory, compute = _memory_rate() / _BYTES_MOVED, _flop_rate() / _FLOPS
    roof = min(memory, compute)
    figures = [
        Figure("price + 7 greeks, 1e6 options", ratio, "x numpy + scipy", "≥ 3.5", ratio >= 3.5),
        Figure("  options a second", rate, "million"),
        Figure("  options a second, numpy + scipy", rate / ratio, "million"),
        Figure("  roof of memory", memory / 1e6, "million"),
        Figure("  roof of arithmetic", compute / 1e6, "million"),
        Figure("  share of the lower roof", 100 * rate * 1e6 / roof, "%"),
    ]
    figures += [
        Figure(f"  options a second, {name}", each / 1e6, "million")
        for name, each in _scalar_peers(inputs, min(count, 2_000)).items()
    ]
    exact = _black_scholes(*inputs)
    scale = np.maximum(inputs[0], inputs[1])
    worst = float((np.abs(ours[0] - exact.price) / scale).max())
    figures.append(Figure("  largest error of a price", worst, "of max(F, K)"))
    for name, got, want in zip(Greeks._fields[1:], ours[1:], exact[1:], strict=True):
        error = float(np.abs(got - want).max() / np.abs(want).max())
        figures.append(Figure(f"  largest error of {name}", error, "of its largest value"))
    return figures


def _in_pieces(
    function: Callable[..., None], inputs: tuple[Floats, ...], outputs: tuple[Floats, ...]
) -> None:
    def piece(start: int) -> None:
        part = slice(start, start + _PEER_CHUNK)
        function(*(x[part] for x in inputs), *(x[part] for x in outputs))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(piece, range(0, inputs[0].size, _PEER_CHUNK)))


def _numpy_greeks(
    s: Floats,
    k: Floats,
    t: Floats,
    v: Floats,
    call: Floats,
    r: Floats,
    b: Floats,
    price: Floats,
    delta: Floats,
    gamma: Floats,
    vega: Floats,
    theta: Floats,
    rho: Floats,
    vanna: Floats,
    volga: Floats,
) -> None:
    """What a careful user of numpy would write: shared terms, no branches."""
    side = 2 * call - 1
    root = np.sqrt(t)
    deviation = v * root
    growth, discount = np.exp((b - r) * t), np.exp(-r * t)
    d1 = (np.log(s / k) + b * t) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    n1, n2 = ndtr(side * d1), ndtr(side * d2)
    density = growth * np.exp(-0.5 * d1 * d1) / _ROOT_TWO_PI
    strike_leg = side * k * discount * n2
    delta[:] = side * growth * n1
    price[:] = s * delta - strike_leg
    gamma[:] = density / (s * deviation)
    vega[:] = s * density * root
    theta[:] = -0.5 * s * density * v / root - (b - r) * s * delta - r * strike_leg
    rho[:] = t * strike_leg
    vanna[:] = -density * d2 / v
    volga[:] = vega * d1 * d2 / v


def _scalar_peers(inputs: tuple[Floats, ...], count: int) -> dict[str, float]:
    """Options a second of the libraries that price one at a time, where they are installed."""
    rows = list(zip(*(x[:count].tolist() for x in inputs), strict=True))
    found: dict[str, float] = {}

    def timed(name: str, price: Callable[..., object]) -> None:
        started = time.perf_counter()
        for row in rows:
            price(*row)
        found[name] = count / (time.perf_counter() - started)

    try:
        ql: Any = import_module("QuantLib")
    except ImportError:
        pass
    else:

        def quantlib(s: float, k: float, t: float, v: float, c: float, r: float, b: float) -> None:
            kind = ql.Option.Call if c else ql.Option.Put
            payoff = ql.PlainVanillaPayoff(kind, k)
            forward, discount = s * np.exp(b * t), np.exp(-r * t)
            g = ql.BlackCalculator(payoff, forward, v * np.sqrt(t), discount)
            _ = (g.value(), g.delta(s), g.gamma(s), g.vega(t), g.theta(s, t), g.rho(t))

        timed("QuantLib, price and 5 greeks", quantlib)
    try:
        formula: Any = import_module("vollib.black_scholes_merton").black_scholes_merton
        analytical: Any = import_module("vollib.black_scholes_merton.greeks.analytical")
    except ImportError:
        pass
    else:

        def vollib(s: float, k: float, t: float, v: float, c: float, r: float, b: float) -> None:
            flag = "c" if c else "p"
            _ = formula(flag, s, k, t, r, v, r - b)
            for name in ("delta", "gamma", "vega", "theta", "rho"):
                getattr(analytical, name)(flag, s, k, t, r, v, r - b)

        timed("vollib, price and 5 greeks", vollib)
    return found


# Monte-Carlo VaR.


def _book(count: int) -> Portfolio:
    """Options on five underlyings and four expiries each."""
    rng = np.random.default_rng(2)
    now = 1_760_000_000
    days = np.array([7, 30, 90, 180])
    spot = np.array([100.0, 3_200.0, 91_000.0, 150.0, 1.0])
    underlying = np.repeat(np.arange(5), days.size)
    market = Market.of(
        now,
        Underlyings(np.arange(5), spot),
        Expiries(underlying, now + np.tile(days, 5) * 86_400, spot[underlying]),
    )
    u = rng.integers(0, 5, count)
    book = Book.of(
        underlying=u,
        kind=rng.choice([CALL, PUT], count),
        expiry=now + rng.choice(days, count) * 86_400,
        strike=spot[u] * rng.uniform(0.6, 1.6, count),
        size=rng.normal(size=count) * 1_000 / spot[u],
        vol=rng.uniform(0.3, 1.2, count),
    )
    return Portfolio(book, market)


def _monte_carlo(scenarios: int, options: int, rounds: int) -> list[Figure]:
    p = _book(options)
    rng = np.random.default_rng(3)
    spot = np.exp(0.05 * rng.standard_t(4, (scenarios, 5)) / np.sqrt(2))
    vol = np.exp(0.1 * rng.standard_t(4, (scenarios, 5)) / np.sqrt(2))
    today = float(p.by_expiry(p.greeks.price).sum())
    results: dict[str, Floats] = {}

    def ours() -> None:
        results["plimsoll"] = today - p.options_in(spot, vol)

    def peer() -> None:
        results["numpy"] = today - _numpy_values(p, spot, vol)

    times = _turns({"plimsoll": ours, "numpy": peer}, rounds)
    share = 1 / _ratio(times, "numpy", "plimsoll")
    rate = scenarios * options / statistics.median(times["plimsoll"]) / 1e6
    tracemalloc.start()
    ours()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    value_at_risk = {
        n: float(np.quantile(x, 0.99, method="inverted_cdf")) for n, x in results.items()
    }
    gap = abs(value_at_risk["plimsoll"] / value_at_risk["numpy"] - 1)
    return [
        Figure(
            "Monte-Carlo VaR, 10,000 x 1,000, full revaluation",
            share,
            "of the time of numpy + scipy",
            "≤ 0.25",
            share <= 0.25,
        ),
        Figure("  prices a second", rate, "million"),
        Figure("  memory", peak, "MB", "< 500", peak < 500),
        Figure("  difference of the VaR", gap, "relative"),
    ]


def _numpy_values(p: Portfolio, spot: Floats, vol: Floats) -> Floats:
    """What a careful user of numpy would write: pieces that fit the cache, on two threads."""
    at = p.series_expiry
    u = np.asarray(p.market.expiries.underlying)[at]
    forward, strike = p.forward[at], p.series_strike
    deviation, side = p.series_vol * np.sqrt(p.series_years), 2 * p.series_is_call - 1
    log_ratio = np.log(forward / strike)
    size = np.bincount(p.series, weights=p.size)
    log_spot = np.log(spot)
    total = np.empty(spot.shape[0])

    def piece(start: int) -> None:
        part = slice(start, start + _PEER_SCENARIOS)
        s = deviation * vol[part][:, u]
        d1 = (log_ratio + log_spot[part][:, u]) / s + 0.5 * s
        moved = forward * spot[part][:, u]
        value = side * (moved * ndtr(side * d1) - strike * ndtr(side * (d1 - s)))
        total[part] = value @ size

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(piece, range(0, spot.shape[0], _PEER_SCENARIOS)))
    return total


# What a step of a simulation pays.


def _margin(accounts: int, rounds: int) -> list[Figure]:
    """Time the margin of many accounts of four positions under the house rules."""
    from sim import rulebooks
    from sim.reference.margin import assess

    rng = np.random.default_rng(4)
    p = _book(4 * accounts)
    book = Book.of(
        np.arange(accounts),
        cash=1e4,
        account=np.repeat(np.arange(accounts), 4),
        underlying=p.book.underlying,
        kind=p.book.kind,
        expiry=p.book.expiry,
        strike=p.book.strike,
        size=rng.normal(size=4 * accounts),
        vol=p.book.vol,
    )
    rules = rulebooks.load("house")
    times = _turns({"house": lambda: assess(book, p.market, rules)}, rounds)
    return [
        Figure(
            f"margin of {accounts:,} accounts x 4 options, house rules",
            statistics.median(times["house"]) * 1e3,
            "ms",
        )
    ]


# The roofline.


def _memory_rate() -> float:
    """Bytes a second of a triad on all cores, what is fetched before a write included."""
    size = 8_000_000
    a, b, c = (np.ones(size) for _ in range(3))
    cores = len(os.sched_getaffinity(0))
    edges = np.linspace(0, size, 8 * cores + 1).astype(int)

    def piece(i: int) -> None:
        part = slice(edges[i], edges[i + 1])
        for start in range(part.start, part.stop, _PEER_CHUNK):
            here = slice(start, min(start + _PEER_CHUNK, part.stop))
            np.add(b[here], c[here], out=a[here])

    best = 0.0
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(5):
            started = time.perf_counter()
            list(pool.map(piece, range(edges.size - 1)))
            best = max(best, 4 * 8 * size / (time.perf_counter() - started))
    return best


def _flop_rate() -> float:
    """Floating-point operations a second of dependent multiply-adds in vectors, on all cores."""
    from numba import njit

    @njit(nogil=True, fastmath={"contract"})
    def spin(x: Floats, repeats: int) -> None:
        for _ in range(repeats):
            for i in range(x.size):
                y = x[i]
                for _ in range(32):
                    y = y * 0.999 + 0.001
                x[i] = y

    cores = len(os.sched_getaffinity(0))
    arrays = [np.ones(512) for _ in range(cores)]
    repeats = 4_000
    spin(arrays[0], 1)
    best = 0.0
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(5):
            started = time.perf_counter()
            list(pool.map(lambda x: spin(x, repeats), arrays))
            operations = cores * 512 * 64 * repeats
            best = max(best, operations / (time.perf_counter() - started))
    return best
