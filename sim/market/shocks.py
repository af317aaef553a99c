"""What happens to a market on a timetable, on top of its processes."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from sim.market.exact import Array, log
from sim.market.paths import Horizon
from sim.model import Model
from sim.units import Duration, Ratio


class _Shock(Model):
    """Something that begins `at` a time from the start."""

    at: Duration = Field(ge=0)
    """Time from the start of the scenario."""
    over: Duration = Field(default=0, ge=0)
    """Time in which it builds up, evenly; at once unless given."""
    hold: Duration | None = Field(default=None, ge=0)
    """Time that it stays at its full size; for good unless given."""
    recover: Duration = Field(default=0, ge=0)
    """Time in which it fades again, evenly, after `hold`."""

    def profile(self, horizon: Horizon) -> Array:
        """Return how much of the shock is there at each step, from 0 to 1, shape (steps,)."""
        elapsed = horizon.step * np.arange(horizon.steps, dtype=np.float64)
        since = elapsed - self.at
        rise = (
            (since >= 0.0) * np.minimum(since / self.over, 1.0) if self.over else 1.0 * (since >= 0)
        )
        if self.hold is None:
            return np.asarray(np.maximum(rise, 0.0))
        after = since - self.over - self.hold
        fall = (
            np.minimum(np.maximum(after, 0.0) / self.recover, 1.0) if self.recover else after >= 0.0
        )
        return np.asarray(np.maximum(rise - fall, 0.0))


class Gap(_Shock):
    """The spot moves by `size`; with `hold` it comes back: a flash crash and its rebound."""

    kind: Literal["gap"] = "gap"
    factor: str
    """Factor, or `all`."""
    size: Ratio = Field(gt=-1, le=100)
    """Relative move of the spot."""

    def logs(self, horizon: Horizon) -> Array:
        """Return the move of the log of spot at each step, shape (steps,)."""
        return float(log(1.0 + self.size)) * self.profile(horizon)


class VolShock(_Shock):
    """Implied vol moves by `size` without the spot, and decays as the factor's smile says."""

    kind: Literal["vol"] = "vol"
    factor: str
    """Factor, or `all`."""
    size: Ratio = Field(gt=-1, le=20)
    """Relative move: 100% doubles it."""

    def entering(self, horizon: Horizon) -> Array:
        """Return the part of the log of vol that enters at each step, shape (steps,)."""
        total = float(log(1.0 + self.size)) * self.profile(horizon)
        return np.diff(total, prepend=0.0)


class CorrelationShock(_Shock):
    """Correlations move towards 1: all factors at once."""

    kind: Literal["correlation"] = "correlation"
    size: Ratio = Field(gt=0, le=1)
    """How far from their own values to 1."""


class Depeg(_Shock):
    """A collateral asset, or the `stable`, loses `size` against what it should be worth."""

    kind: Literal["depeg"] = "depeg"
    asset: str
    """Collateral asset, or `stable`."""
    size: Ratio = Field(gt=-1, lt=1)
    """Relative move of its ratio: −35% trades at 65 %."""


class PremiumShock(_Shock):
    """The perp's mark leaves the spot: a funding squeeze."""

    kind: Literal["premium"] = "premium"
    factor: str
    """Factor, or `all`."""
    size: Ratio = Field(gt=-0.5, lt=1)
    """Added to mark over spot, less 1."""


class RateShock(_Shock):
    """The interest rate moves by `size`."""

    kind: Literal["rate"] = "rate"
    size: Ratio = Field(gt=-1, lt=1)
    """Added to the rate."""


Shock = Annotated[
    Gap | VolShock | CorrelationShock | Depeg | PremiumShock | RateShock,
    Field(discriminator="kind"),
]


def sum_over(parts: list[Array], steps: int) -> Array:
    """Return the sum of shocks at each step, in the order given, shape (steps,)."""
    total = np.zeros(steps)
    for part in parts:
        total = total + part
    return total
