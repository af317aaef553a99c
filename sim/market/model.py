"""The market of a scenario: factors, what ties them together, and what happens to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from sim.market.exact import Array, log, uniforms
from sim.market.paths import Horizon, Paths
from sim.market.processes import Constant, FromFile, Gbm, Recorded
from sim.model import Model
from sim.reference.book import NO_UNDERLYING
from sim.streams import Streams
from sim.units import YEAR, Duration, Ratio

HOUR = 3_600
FACTORS_MAX = 8
ASSETS_MAX = 8
EXPIRIES_MAX = 12

Factor = Annotated[Constant | Gbm | Recorded, Field(discriminator="kind")]


class CollateralAsset(Model):
    """A token that accounts may deposit beside the quote stablecoin."""

    tracks: str | None = None
    """Factor that its price moves with."""
    ratio: float = Field(default=1.0, gt=0)
    """Its price over that factor's spot; in USD if it tracks none."""
    decimals: int = Field(default=18, ge=0, le=24)
    """Decimals of the token."""


class MarketModel(Model):
    """Everything that prices depend on."""

    factors: dict[str, Factor] = Field(min_length=1, max_length=FACTORS_MAX)
    """Underlyings by name: each has a spot, a perp and, with `expiries`, options."""
    expiries: tuple[Duration, ...] = Field(default=(), max_length=EXPIRIES_MAX)
    """Option expiries as time from the start; rounded up to whole hours."""
    rate: Ratio = Field(default=0.0, ge=-0.5, le=1)
    """Interest rate, continuously compounded."""
    stable: float = Field(default=1.0, gt=0, le=10)
    """USD price of the quote stablecoin."""
    collateral: dict[str, CollateralAsset] = Field({}, max_length=ASSETS_MAX)
    """Collateral tokens by name."""

    @model_validator(mode="after")
    def _consistent(self) -> MarketModel:
        for name, asset in self.collateral.items():
            if asset.tracks is not None and asset.tracks not in self.factors:
                raise ValueError(
                    f"collateral.{name}.tracks: {asset.tracks!r} is not a factor "
                    f"(factors: {', '.join(self.factors)})"
                )
        if any(expiry <= 0 for expiry in self.expiries):
            raise ValueError("expiries: times from the start, above 0")
        return self

    def files(self) -> list[tuple[str, Path]]:
        """Return the files that factors follow, by the name that the scenario gives them."""
        followers = (f for f in self.factors.values() if isinstance(f, FromFile))
        return [(factor.file, factor.path) for factor in followers]

    def paths(self, horizon: Horizon, streams: Streams) -> Paths:
        """Simulate the market over a horizon.

        Raises
        ------
        InputError
            The horizon leaves what a recording covers.
        """
        names = tuple(self.factors)
        tracks = [
            factor.simulate(
                name, horizon, uniforms(streams.at(f"market/{name}"), horizon.steps - 1), streams
            )
            for name, factor in self.factors.items()
        ]
        spot = np.stack([track.spot for track in tracks], axis=1)
        expiries = np.unique([-(-(horizon.start + e) // HOUR) * HOUR for e in self.expiries])
        expiries = expiries.astype(np.int64)
        years = (expiries[None, :] - horizon.times[:, None]) / YEAR
        levels: list[Array] = []
        thetas: list[Array] = []
        for u, (name, factor) in enumerate(self.factors.items()):
            start = factor.implied.level or factor.start_vol
            shifts = np.zeros(horizon.steps)
            level = factor.implied.levels(
                name, start, spot[:, u], tracks[u].vol, shifts, horizon.step, streams
            )
            moneyness = log(spot[:, u] / spot[0, u])
            levels.append(level)
            thetas.append(factor.implied.total_variance(start, level, moneyness, years))
        assets = tuple(self.collateral)
        return Paths(
            times=horizon.times,
            factors=names,
            spot=spot,
            premium=np.tile(
                [factor.premium for factor in self.factors.values()], (horizon.steps, 1)
            ),
            level=np.stack(levels, axis=1),
            listed=np.stack([track.listed for track in tracks], axis=1),
            rate=np.full(horizon.steps, self.rate),
            stable=np.full(horizon.steps, self.stable),
            assets=assets,
            tracks=tuple(
                NO_UNDERLYING if asset.tracks is None else names.index(asset.tracks)
                for asset in self.collateral.values()
            ),
            ratio=np.tile([a.ratio for a in self.collateral.values()], (horizon.steps, 1)),
            expiries=expiries,
            theta=np.stack(thetas, axis=1),
            implied=tuple(factor.implied for factor in self.factors.values()),
        )
