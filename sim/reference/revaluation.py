"""Monte-Carlo risk with full revaluation: any pricing function, in bounded memory."""

from __future__ import annotations

from typing import Callable

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.risk_measures import TailRisk, tail_risk
from sim.reference.samples import table
from sim.reference.validation import Floats, finite

Reprice = Callable[[Floats], ArrayLike]
"""Takes (c, k) scenarios of k factors, returns values (c,) of a book or (c, m) of its positions."""

_VALUES_AT_ONCE = 32_768  # a few hundred kilobytes per temporary array: stays in the cache


def revalue(
    reprice: Reprice, scenarios: ArrayLike, base: ArrayLike, by_position: bool = False
) -> Floats:
    """Losses of a book in every scenario, priced in full.

    Parameters
    ----------
    reprice : callable
        From (c, k) scenarios to values of the book, (c,), or of its m positions, (c, m). It is
        called with as many rows at a time as keep its temporary arrays small.
    scenarios : (n, k)
        Factor values, in whatever form `reprice` takes.
    base : float or (m,)
        Value today, of the book or of each position.
    by_position : bool
        Keep the positions apart; the result is then n·m numbers.

    Returns
    -------
    (n,), or (n, m) with `by_position`
        Value today less value in the scenario.

    Raises
    ------
    InputError
        When `reprice` returns the wrong shape, or a value that is not finite.
    """
    rows = table("scenarios", scenarios)
    today = finite("base", base)
    if today.ndim > 1:
        raise InputError(f"base: shape {today.shape}, expected a number or one per position")
    n = rows.shape[0]
    out = np.empty((n, today.size) if by_position else n)
    step = max(1, _VALUES_AT_ONCE // max(today.size, 1))
    for first in range(0, n, step):
        part = rows[first : first + step]
        values = np.asarray(reprice(part), dtype=np.float64)
        if values.shape != (part.shape[0], *today.shape):
            raise InputError(
                f"reprice returned shape {values.shape}, expected {(part.shape[0], *today.shape)}"
            )
        if not np.isfinite(values).all():
            where = first + int(np.argwhere(~np.isfinite(values))[0][0])
            raise InputError(f"reprice returned a value that is not finite in scenario {where}")
        losses = today - values
        if by_position:
            out[first : first + step] = losses.reshape(part.shape[0], -1)
        else:
            out[first : first + step] = losses.sum(axis=1) if today.ndim else losses
    return out


def monte_carlo(
    reprice: Reprice,
    simulate: Callable[[int, np.random.Generator], Floats],
    base: ArrayLike,
    count: int,
    rng: np.random.Generator,
    level: float,
) -> TailRisk:
    """VaR and ES, with standard errors, of a book repriced in `count` simulated scenarios.

    Parameters
    ----------
    reprice, base
        As in `revalue`.
    simulate : callable
        From (count, rng) to (count, k) scenarios, such as `FactorModel.sample`.
    count : int
    rng : numpy.random.Generator
    level : float

    Raises
    ------
    InputError
    """
    losses = revalue(reprice, simulate(count, rng), base)
    measured = tail_risk(losses, level)
    return TailRisk(
        measured.level,
        measured.value_at_risk,
        measured.expected_shortfall,
        "Monte Carlo, full revaluation",
        measured.var_standard_error,
        measured.es_standard_error,
        f"{count} scenarios",
    )
