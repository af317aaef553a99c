"""Perpetual futures: funding and profit (PROTOCOL 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sim.reference.validation import Floats, broadcast, finite, non_negative, positive

HOUR = 3_600.0


class PerpGreeks(NamedTuple):
    """Value and sensitivities of perp positions, arrays of one shape.

    `value` is the profit since the position was last settled; `theta` is per year, from funding.
    """

    value: Floats
    delta: Floats
    theta: Floats


def funding_rate(
    mark: ArrayLike,
    index: ArrayLike,
    convergence_hours: ArrayLike = 8.0,
    base: ArrayLike = 0.0,
    cap: ArrayLike = np.inf,
) -> Floats:
    """Rate per hour that longs pay shorts: clamp((mark - index)/index / T + base, ±cap).

    Parameters
    ----------
    mark, index : array_like
        Above 0; all arguments broadcast.
    convergence_hours : array_like
        T, above 0.
    base, cap : array_like
        Per hour; cap at least 0, may be infinite.
    """
    m, i, hours, b, c = broadcast(
        mark=positive("mark", mark),
        index=positive("index", index),
        convergence_hours=positive("convergence_hours", convergence_hours),
        base=finite("base", base),
        cap=np.where(np.isinf(cap), np.inf, non_negative("cap", np.where(np.isinf(cap), 0, cap))),
    )
    return np.asarray(np.clip((m - i) / i / hours + b, -c, c))


def accrued_index(rate: ArrayLike, index: ArrayLike, seconds: ArrayLike) -> Floats:
    """Growth of the funding index, cash per unit long: rate per hour · index price · hours."""
    r, i, s = broadcast(
        rate=finite("rate", rate),
        index=positive("index", index),
        seconds=non_negative("seconds", seconds),
    )
    return np.asarray(r * i * s / HOUR)


def perp_pnl(
    size: ArrayLike,
    settled_mark: ArrayLike,
    mark: ArrayLike,
    settled_index: ArrayLike = 0.0,
    funding_index: ArrayLike = 0.0,
) -> Floats:
    """Unsettled profit: size · (mark - settled mark) - size · (funding index - settled index)."""
    q, m0, m1, f0, f1 = broadcast(
        size=finite("size", size),
        settled_mark=positive("settled_mark", settled_mark),
        mark=positive("mark", mark),
        settled_index=finite("settled_index", settled_index),
        funding_index=finite("funding_index", funding_index),
    )
    return np.asarray(q * (m1 - m0) - q * (f1 - f0))


def perp(
    size: ArrayLike, settled_mark: ArrayLike, mark: ArrayLike, index: ArrayLike, rate: ArrayLike
) -> PerpGreeks:
    """Value, delta and theta of perps that pay `rate` per hour of `index` from now on."""
    q, m0, m1, i, r = broadcast(
        size=finite("size", size),
        settled_mark=positive("settled_mark", settled_mark),
        mark=positive("mark", mark),
        index=positive("index", index),
        rate=finite("rate", rate),
    )
    return PerpGreeks(np.asarray(q * (m1 - m0)), np.asarray(q), np.asarray(-q * i * r * 8760.0))
