"""Conformance: every figure of the chain against the reference, decisions included.

Values must agree within the error budget of PROTOCOL 11. A decision (equity against maintenance,
equity against initial margin) must be equal when the reference is further from the line than the
budget; inside that band the chain must be the stricter one. Anything else is a decision flip.
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
    flip = _flips(equity - maintenance, reference.equity - reference.maintenance, reference.budget)
    flip |= _flips(equity - initial, reference.equity - reference.initial, reference.budget)
    return Agreement(
        reference=reference,
        compared=compared,
        error=np.where(compared, error, 0.0),
        budget=reference.budget,
        greek_error=np.where(compared, _greek_error(snapshot, reference), 0.0),
        flip=flip & compared,
    )


def _flips(chain: Floats, reference: Floats, budget: Floats) -> NDArray[np.bool_]:
    """Return where decisions differ and the chain may not be the stricter one."""
    differ = (chain < 0) != (reference < 0)
    lenient = differ & (chain >= 0)
    return np.asarray(lenient | (differ & (abs(reference) > budget)))


def _greek_error(snapshot: Snapshot, reference: Assessment) -> Floats:
    spot = np.asarray(snapshot.market.underlyings.spot)
    money = np.stack((spot, spot * spot, np.ones_like(spot), np.ones_like(spot)), axis=1)
    ours = np.stack((reference.delta, reference.gamma, reference.vega, reference.theta), axis=2)
    difference = abs(snapshot.greeks - ours) * money
    scale = np.maximum(reference.gross_notional, 1.0)
    return np.asarray(difference.reshape(len(scale), -1).max(axis=1) / scale)


def _floats(wads: Sequence[int]) -> Floats:
    return np.array([value / 10**18 for value in wads])
