"""Is the margin enough? Against simulated expected shortfall, book by book.

The share of books that are covered is a summary; the product is the list of those that are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtri

from sim.errors import InputError
from sim.reference.book import CALL, PERP, PUT, YEAR, Book, Market
from sim.reference.risk_measures import tail_risk
from sim.reference.samples import confidence, one_number, series, table
from sim.reference.validation import Bools, Floats, finite, require

B = TypeVar("B")


@dataclass(frozen=True)
class Counterexample:
    """A book whose margin is below its expected shortfall.

    Attributes
    ----------
    index : int
        Of the book in the population.
    name : str
    margin, expected_shortfall, standard_error : float
    ratio : float
        Margin over expected shortfall: 0.5 covers half of it.
    significant : bool
        The gap exceeds what simulation noise explains.
    """

    index: int
    name: str
    margin: float
    expected_shortfall: float
    standard_error: float
    ratio: float
    significant: bool


@dataclass(frozen=True, eq=False)
class Adequacy:
    """Margin and expected shortfall of m books.

    Attributes
    ----------
    level : float
    margin, expected_shortfall, standard_error : (m,)
    names : tuple of str
    significance : float
        Of the gap of a counterexample, one-sided.
    """

    level: float
    margin: Floats
    expected_shortfall: Floats
    standard_error: Floats
    names: tuple[str, ...]
    significance: float

    @property
    def covered(self) -> Bools:
        """(m,) whether margin is at least expected shortfall."""
        return np.asarray(self.margin >= self.expected_shortfall)

    @property
    def coverage(self) -> float:
        """Share of books covered."""
        return float(self.covered.mean())

    def coverage_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Exact two-sided bounds of the share in the population (Clopper and Pearson 1934)."""
        hits, n, half = int(self.covered.sum()), self.covered.size, (1 - confidence(level)) / 2
        low = float(betaincinv(hits, n - hits + 1, half)) if hits else 0.0
        high = float(betaincinv(hits + 1, n - hits, 1 - half)) if hits < n else 1.0
        return low, high

    def counterexamples(self) -> list[Counterexample]:
        """Books that are not covered: the significant ones first, then by the least ratio.

        Books without expected shortfall are covered by any margin that is not negative.
        """
        noise = float(ndtri(1 - self.significance)) * self.standard_error
        found = [
            Counterexample(
                int(i),
                self.names[i],
                float(self.margin[i]),
                float(self.expected_shortfall[i]),
                float(self.standard_error[i]),
                float(self.margin[i] / self.expected_shortfall[i])
                if self.expected_shortfall[i] > 0
                else float("-inf"),
                bool(self.expected_shortfall[i] - noise[i] > self.margin[i]),
            )
            for i in np.flatnonzero(~self.covered)
        ]
        return sorted(found, key=lambda c: (not c.significant, c.ratio, c.index))


def adequacy(
    margin: ArrayLike | Callable[[B], float],
    losses: ArrayLike | Callable[[B], ArrayLike],
    books: Sequence[B] = (),
    level: float = 0.99,
    names: Sequence[str] = (),
    significance: float = 0.01,
) -> Adequacy:
    """Hold margin against the expected shortfall of simulated losses.

    Parameters
    ----------
    margin : (m,), or callable from a book to a number
        Requirement of each book, positive.
    losses : (m, n), or callable from a book to (n,)
        Losses of each book over the liquidation horizon; with common scenarios the books can be
        compared.
    books : sequence of m books
        What the callables take; of any type.
    level : float
    names : sequence of m str, optional
        What to call the books in the list of counterexamples.
    significance : float

    Raises
    ------
    InputError
        Naming the book whose margin or losses are not finite.
    """
    level = confidence(level)
    if callable(margin):
        requirement = np.array([float(margin(book)) for book in books])
    else:
        requirement = np.atleast_1d(finite("margin", margin))
    requirement = series("margin", requirement)
    m = requirement.size
    if callable(losses):
        if len(books) != m:
            raise InputError(f"books: {len(books)} given, {m} margins")
        rows = (series(f"losses of book {i}", losses(book)) for i, book in enumerate(books))
    else:
        given = table("losses", losses)
        if given.shape[0] != m:
            raise InputError(f"losses: shape {given.shape}, expected ({m}, n)")
        rows = (given[i] for i in range(m))
    labels = tuple(names) or tuple(f"book {i}" for i in range(m))
    if len(labels) != m:
        raise InputError(f"names: {len(labels)} given, expected {m}")
    measured = [tail_risk(row, level) for row in rows]
    return Adequacy(
        level,
        requirement,
        np.array([tail.expected_shortfall for tail in measured]),
        np.array([tail.es_standard_error for tail in measured]),
        labels,
        one_number("significance", significance, 0.0, 0.5),
    )


SHAPES = (
    "short strangle",
    "short put",
    "vertical spread",
    "calendar spread",
    "butterfly",
    "risk reversal",
    "hedged straddle",
    "wing ladder",
    "relative value",
    "random",
)


def random_books(
    market: Market, count: int, rng: np.random.Generator, notional: float = 1e6
) -> tuple[Book, list[str]]:
    """Draw books of the shapes that traders hold, and that find the gaps of a margin.

    Parameters
    ----------
    market : Market
        Every expiry after `market.time` is used; there must be one.
    count : int
        Accounts, numbered from 1, with no cash.
    rng : numpy.random.Generator
    notional : float
        Money of the typical leg: size times spot.

    Returns
    -------
    Book
    list of str
        Shape of each account, of `SHAPES`.

    Raises
    ------
    InputError
    """
    require(count >= 1, "count", count, "numbers of at least 1")
    draw = _Legs(market, rng, one_number("notional", notional, 0.0))
    rows: list[tuple[int, int, int, int, float, float]] = []
    shapes = []
    for account in range(1, count + 1):
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        shapes.append(shape)
        rows += [(account, *leg) for leg in draw.shape(shape)]
    account_, underlying, kind, expiry, strike, size = zip(*rows, strict=True)
    book = Book.of(
        range(1, count + 1),
        account=account_,
        underlying=underlying,
        kind=kind,
        expiry=expiry,
        strike=strike,
        size=size,
    )
    return book, shapes


Leg = tuple[int, int, int, float, float]
"""Underlying, kind, expiry, strike, size."""


class _Legs:
    """Draws legs of a market."""

    def __init__(self, market: Market, rng: np.random.Generator, notional: float) -> None:
        self._rng, self._notional = rng, notional
        e, u = market.expiries, market.underlyings
        live = np.flatnonzero(np.asarray(e.time) > market.time)
        if live.size == 0:
            raise InputError("market: no expiry is in the future")
        self._live = live
        self._time, self._forward = np.asarray(e.time), e.forward
        self._years = (self._time - market.time) / YEAR
        self._of = np.asarray(e.underlying)
        self._spot = dict(zip(u.id.tolist(), np.asarray(u.spot).tolist(), strict=True))

    def shape(self, name: str) -> list[Leg]:
        """Draw the legs of one book."""
        rng = self._rng
        at = int(rng.choice(self._live))
        size = self._notional / self._spot[int(self._of[at])] * float(rng.uniform(0.5, 2))
        side = float(rng.choice([-1, 1]))
        near, far = np.sort(rng.uniform(0.3, 3.0, 2))
        kind = int(rng.choice([CALL, PUT]))
        out = 1.0 if kind == CALL else -1.0
        if name == "short strangle":
            return [self._leg(at, CALL, near, -size), self._leg(at, PUT, -far, -size)]
        if name == "short put":
            return [self._leg(at, PUT, -near, -size)]
        if name == "vertical spread":
            return [
                self._leg(at, kind, out * near, -side * size),
                self._leg(at, kind, out * far, side * size),
            ]
        if name == "calendar spread":
            same = self._live[self._of[self._live] == self._of[at]]
            other = int(rng.choice(same))
            strike = self._strike(at, out * near)
            return [
                self._at(at, kind, strike, -side * size),
                self._at(other, kind, strike, side * size),
            ]
        if name == "butterfly":
            width = float(rng.uniform(0.2, 1.0))
            return [
                self._leg(at, kind, out * near + step * width, -side * size * weight)
                for step, weight in ((-1, 1), (0, -2), (1, 1))
            ]
        if name == "risk reversal":
            return [self._leg(at, CALL, near, side * size), self._leg(at, PUT, -near, -side * size)]
        if name == "hedged straddle":
            legs = [self._leg(at, CALL, 0.0, -size), self._leg(at, PUT, 0.0, -size)]
            return [*legs, self._perp(at, float(rng.uniform(-0.3, 0.3)) * size)]
        if name == "wing ladder":
            return [self._leg(at, kind, out * z, -size) for z in rng.uniform(2.0, 4.0, 3)]
        if name == "relative value":
            legs = []
            for sign, underlying in zip((1.0, -1.0), sorted(self._spot), strict=False):
                amount = side * sign * self._notional / self._spot[underlying]
                legs.append((underlying, PERP, 0, 0.0, amount))
            return legs
        chosen = rng.choice(self._live, int(rng.integers(2, 9)))
        return [
            self._leg(
                int(i),
                int(rng.choice([CALL, PUT])),
                float(rng.normal(0, 1.2)),
                float(rng.normal()) * self._notional / self._spot[int(self._of[i])],
            )
            for i in chosen
        ]

    def _strike(self, at: int, deviations: float) -> float:
        """A strike so many deviations, of a vol of 80 %, from the forward."""
        move = 0.8 * np.sqrt(self._years[at]) * deviations
        return round(float(self._forward[at] * np.exp(np.clip(move, -1.5, 1.5))), 2)

    def _leg(self, at: int, kind: int, deviations: float, size: float) -> Leg:
        return self._at(at, kind, self._strike(at, deviations), size)

    def _at(self, at: int, kind: int, strike: float, size: float) -> Leg:
        return int(self._of[at]), kind, int(self._time[at]), strike, round(size, 6)

    def _perp(self, at: int, size: float) -> Leg:
        return int(self._of[at]), PERP, 0, 0.0, round(size, 6)
