"""Feedback: what liquidations sell moves the price, so that one can bring the next.

The log of spot moves by the square-root law (Tóth et al., "Anomalous price impact and the critical
nature of liquidity in financial markets", 2011),

    Δ = ± Y · σ_day · √(Q / V),

with Q the dollar volume sold (−) or bought (+) in a step, V the daily volume of the market and
σ_day the daily vol at that step; or by the linear law Δ = ± Y · σ_day · Q / V. A share of the move
stays, the rest fades with a half-life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Mapping

import numpy as np
from pydantic import Field

from sim.market.exact import Array, exp, log
from sim.model import Model
from sim.units import YEAR, Duration, Money, Ratio

if TYPE_CHECKING:
    from sim.market.paths import Paths

DAY = 86_400


class Impact(Model):
    """How liquidated volume moves prices."""

    kind: Literal["square_root", "linear"] = "square_root"
    """Law of impact."""
    coefficient: float = Field(default=1.0, ge=0)
    """Y."""
    daily_volume: Money = Field(default=1e9, gt=0)
    """V: dollars a day of every factor without one of its own."""
    volumes: dict[str, Money] = Field(default={})
    """V by factor."""
    permanent: Ratio = Field(default=0.3, ge=0, le=1)
    """Share of a move that stays."""
    halflife: Duration = Field(default=1_800, gt=0)
    """Time in which the rest halves."""
    cap: Ratio = Field(default=0.5, gt=0, lt=3)
    """Largest total move of the log of spot, either way."""


class Feedback:
    """How far feedback has moved each factor; one a run, stepped with it.

    Parameters
    ----------
    paths
        Of the run; without an impact model nothing ever moves.
    """

    def __init__(self, paths: Paths) -> None:
        self._impact = paths.impact
        self._paths = paths
        self._stays = np.zeros(len(paths.factors))
        self._fades = np.zeros(len(paths.factors))

    @property
    def moves(self) -> Array:
        """Move of the log of each spot away from its path, for `Paths.at`; shape (factors,)."""
        if self._impact is None:
            return np.zeros_like(self._stays)
        cap = self._impact.cap
        return np.minimum(np.maximum(self._stays + self._fades, -cap), cap)

    def advance(self, step: int, flows: Mapping[int, float]) -> None:
        """Let old moves fade over a step, then add those of what was traded in it.

        Parameters
        ----------
        step
            In which it was traded: the moves are those of the step after.
        flows
            Signed dollars by underlying: negative was sold.
        """
        impact = self._impact
        if impact is None:
            return
        interval = int(self._paths.times[1] - self._paths.times[0]) if step else 0
        keep = float(exp(-float(log(2.0)) * interval / impact.halflife))
        self._fades = self._fades * keep
        for u, flow in sorted(flows.items()):
            if flow == 0.0:
                continue
            volume = impact.volumes.get(self._paths.factors[u], impact.daily_volume)
            daily = float(self._paths.level[step, u]) * float(np.sqrt(DAY / YEAR))
            share = abs(flow) / volume
            size = float(np.sqrt(share)) if impact.kind == "square_root" else share
            move = impact.coefficient * daily * size * (1.0 if flow > 0.0 else -1.0)
            self._stays[u] += impact.permanent * move
            self._fades[u] += (1.0 - impact.permanent) * move
