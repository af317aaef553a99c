"""Conformance: every figure of the chain against the reference, decisions included.

Values must agree within the error budget of PROTOCOL 11. A decision (equity against maintenance,
equity against initial margin) must be equal when the reference is further from the line than the
budget; inside that band the chain must be the stricter one. Anything else is a decision flip.

The reference counts in float64: an account's cash alone may be known to no better than 1e-10. What
its own rounding may amount to, its resolution, is added to the budget and is no band for a
decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.protocol.client import Snapshot
from sim.reference.margin import Assessment, assess
from sim.reference.rulebook import Rulebook

Floats = NDArray[np.float64]
_ROUNDINGS = 8


@dataclass(frozen=True, eq=False)
class Agreement:
    """Chain against reference for the accounts of one snapshot.

    Attributes
    ----------
    reference : Assessment
    compared : (m,) bool
        Whether the chain gave figures for the account: it has an engine and every price is there.
    error, budget : (m,)
        Largest difference of equity, initial and maintenance margin, and what is allowed.
    greek_error : (m,)
        Largest difference of a greek in money, over the account's gross notional.
    flip : (m,) bool
        A decision differs.
    """

    reference: Assessment
    compared: NDArray[np.bool_]
    error: Floats
    budget: Floats
    greek_error: Floats
    flip: NDArray[np.bool_]

    @property
    def within(self) -> bool:
        """Whether every figure is inside its budget."""
        return bool((self.error <= self.budget).all())


def compare(snapshot: Snapshot, rulebook: Rulebook) -> Agreement:
    """Compare a snapshot with what the reference makes of the same book and market."""
    reference = assess(snapshot.book, snapshot.market, rulebook)
    compared = snapshot.usable > 0
    chain = [
        _floats(values) for values in (snapshot.equity, snapshot.initial, snapshot.maintenance)
    ]
    ours = (reference.equity, reference.initial, reference.maintenance)
    error = np.max([abs(a - b) for a, b in zip(chain, ours, strict=True)], axis=0)
    equity, initial, maintenance = chain
    resolution = _resolution(snapshot, reference)
    budget = reference.budget + resolution
    above = reference.equity - reference.maintenance
    flip = _flips(equity - maintenance, above, budget, resolution)
    flip |= _flips(equity - initial, reference.equity - reference.initial, budget, resolution)
    return Agreement(
        reference=reference,
        compared=compared,
        error=np.where(compared, error, 0.0),
        budget=budget,
        greek_error=np.where(compared, _greek_error(snapshot, reference), 0.0),
        flip=flip & compared,
    )


def _flips(
    chain: Floats, reference: Floats, budget: Floats, resolution: Floats
) -> NDArray[np.bool_]:
    """Return where decisions differ, but for the band in which the chain is the stricter one."""
    lenient = (chain >= 0) & (reference < -resolution)
    strict = (chain < 0) & (reference > budget)
    return np.asarray(lenient | strict)


def _resolution(snapshot: Snapshot, reference: Assessment) -> Floats:
    """Return what rounding to float64 may amount to in sums of an account's money."""
    book = snapshot.book
    money = abs(book.cash) + abs(book.unsettled) + reference.gross_notional
    return np.asarray(_ROUNDINGS * np.finfo(np.float64).eps * money)


def _greek_error(snapshot: Snapshot, reference: Assessment) -> Floats:
    spot = np.asarray(snapshot.market.underlyings.spot)
    money = np.stack((spot, spot * spot, np.ones_like(spot), np.ones_like(spot)), axis=1)
    ours = np.stack((reference.delta, reference.gamma, reference.vega, reference.theta), axis=2)
    difference = abs(snapshot.greeks - ours) * money
    scale = np.maximum(reference.gross_notional, 1.0)
    return np.asarray(difference.reshape(len(scale), -1).max(axis=1) / scale)


def _floats(wads: Sequence[int]) -> Floats:
    return np.array([value / 10**18 for value in wads])
