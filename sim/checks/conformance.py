"""Conformance: every figure of the chain against the reference, decisions included.

Values must agree within the error budget of PROTOCOL 11. A decision (equity against maintenance,
equity against initial margin) must be equal when the reference is further from the line than the
budget; inside that band the chain must be the stricter one. Anything else is a decision flip.

The reference counts in float64: an account's cash alone may be known to no better than 1e-10. What
its own rounding may amount to, its resolution, is added to the budget and is no band for a
decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping, Protocol, Sequence, cast

import numpy as np
from numpy.typing import NDArray

from sim.dotted import imported
from sim.errors import InputError
from sim.protocol.client import Snapshot
from sim.reference.book import Book, Market
from sim.reference.margin import Assessment, assess, error_budget
from sim.reference.portfolio import Portfolio
from sim.reference.rulebook import KINDS

Floats = NDArray[np.float64]
_ROUNDINGS = 8


class Margins(Protocol):
    """What a reference says of the m accounts of a book: three arrays (m,) in quote currency."""

    @property
    def equity(self) -> Floats: ...
    @property
    def initial(self) -> Floats: ...
    @property
    def maintenance(self) -> Floats: ...


Reference = Callable[[Book, Market], Margins]
"""Recomputes margin from the book and the market that the chain held."""


@dataclass(frozen=True)
class Verifier:
    """What a reference is made of, as data: run folders and exported tests hold it.

    Attributes
    ----------
    rulebook
        Its fields.
    own : str or None
        `module:Class` of the user's; None for the engines that come with the package.
    arguments
        Integers that the user's engine was constructed with, by name.
    """

    rulebook: Mapping[str, Any]
    own: str | None = None
    arguments: Mapping[str, int] = field(default_factory=dict)

    def reference(self, folder: Path | None = None) -> Reference:
        """Return the reference; modules in `folder` and in the working folder can be imported.

        Raises
        ------
        InputError
            The user's class cannot be imported, refuses what it is given, or makes no reference.
        """
        rulebook = KINDS[self.rulebook["kind"]].model_validate(self.rulebook)
        if self.own is None:
            return partial(assess, rulebook=rulebook)
        try:
            made = cast(Any, imported(self.own, "reference", folder))(rulebook, self.arguments)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"reference {self.own!r}: {error}") from error
        if not callable(made):
            raise InputError(f"reference {self.own!r}: it has no __call__(book, market)")
        return cast(Reference, made)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Chain against reference for the accounts of one snapshot.

    Attributes
    ----------
    equity, initial, maintenance : (m,)
        By the reference; nan where it was not asked.
    assessment : Assessment or None
        Every intermediate figure of the accounts, where the reference gives them.
    verified : bool
        Whether there is a reference at all.
    compared : (m,) bool
        Whether there are figures of both for the account: the chain has an engine and every price.
    error, budget : (m,)
        Largest difference of equity, initial and maintenance margin, and what is allowed.
    greek_error : (m,)
        Largest difference of a greek in money, over the account's gross notional.
    flip : (m,) bool
        A decision differs.
    """

    equity: Floats
    initial: Floats
    maintenance: Floats
    assessment: Assessment | None
    verified: bool
    compared: NDArray[np.bool_]
    error: Floats
    budget: Floats
    greek_error: Floats
    flip: NDArray[np.bool_]


def compare(snapshot: Snapshot, reference: Reference | None) -> Agreement:
    """Compare a snapshot with what a reference makes of the same book and market.

    Without a reference, nothing is compared and every figure of it is nan.
    """
    m = len(snapshot.accounts)
    rows = np.flatnonzero(snapshot.assessed)
    if reference is None or not len(rows):
        return _uncompared(m, verified=reference is not None)
    book = _chosen(snapshot.book, rows)
    found = reference(book, snapshot.market)
    chain = [
        _floats([values[row] for row in rows])
        for values in (snapshot.equity, snapshot.initial, snapshot.maintenance)
    ]
    ours = [np.asarray(v, np.float64) for v in (found.equity, found.initial, found.maintenance)]
    error = np.max([abs(a - b) for a, b in zip(chain, ours, strict=True)], axis=0)
    if isinstance(found, Assessment):
        gross, budget = found.gross_notional, found.budget
        greeks = _greek_error(snapshot, rows, found)
    else:
        portfolio = Portfolio(book, snapshot.market)
        gross, budget = portfolio.gross_notional, error_budget(portfolio, 1)
        greeks = np.zeros(len(rows))
    resolution = _resolution(book, gross)
    budget = budget + resolution
    equity, initial, maintenance = ours
    flip = _flips(chain[0] - chain[2], equity - maintenance, budget, resolution)
    flip |= _flips(chain[0] - chain[1], equity - initial, budget, resolution)

    def spread(values: Floats, otherwise: float = 0.0) -> Floats:
        whole = np.full(m, otherwise)
        whole[rows] = values
        return whole

    return Agreement(
        equity=spread(equity, np.nan),
        initial=spread(initial, np.nan),
        maintenance=spread(maintenance, np.nan),
        assessment=found if isinstance(found, Assessment) else None,
        verified=True,
        compared=snapshot.assessed,
        error=spread(error),
        budget=spread(budget),
        greek_error=spread(greeks),
        flip=spread(flip.astype(float)).astype(bool),
    )


def _uncompared(m: int, verified: bool) -> Agreement:
    unknown, nothing, none = np.full(m, np.nan), np.zeros(m), np.zeros(m, dtype=bool)
    return Agreement(
        unknown, unknown, unknown, None, verified, none, nothing, nothing, nothing, none
    )


def _flips(
    chain: Floats, reference: Floats, budget: Floats, resolution: Floats
) -> NDArray[np.bool_]:
    """Return where decisions differ, but for the band in which the chain is the stricter one."""
    lenient = (chain >= 0) & (reference < -resolution)
    strict = (chain < 0) & (reference > budget)
    return np.asarray(lenient | strict)


def _resolution(book: Book, gross: Floats) -> Floats:
    """Return what rounding to float64 may amount to in sums of an account's money."""
    money = abs(book.cash) + abs(book.unsettled) + gross
    return np.asarray(_ROUNDINGS * np.finfo(np.float64).eps * money)


def _greek_error(snapshot: Snapshot, rows: NDArray[np.int64], ours: Assessment) -> Floats:
    spot = np.asarray(snapshot.market.underlyings.spot)
    money = np.stack((spot, spot * spot, np.ones_like(spot), np.ones_like(spot)), axis=1)
    own = np.stack((ours.delta, ours.gamma, ours.vega, ours.theta), axis=2)
    difference = abs(snapshot.greeks[rows] - own) * money
    scale = np.maximum(ours.gross_notional, 1.0)
    return np.asarray(difference.reshape(len(scale), -1).max(axis=1, initial=0.0) / scale)


def _chosen(book: Book, rows: NDArray[np.int64]) -> Book:
    """Return the accounts of some rows, with their positions."""
    if len(rows) == len(book.accounts):
        return book
    accounts = book.accounts[rows]
    held = np.isin(book.account, accounts)
    columns = ("account", "underlying", "kind", "expiry", "strike", "size", "vol")
    return replace(
        book,
        accounts=accounts,
        cash=book.cash[rows],
        unsettled=book.unsettled[rows],
        holdings=book.holdings[rows],
        **{name: getattr(book, name)[held] for name in columns},
    )


def _floats(wads: Sequence[int]) -> Floats:
    return np.array([value / 10**18 for value in wads])
