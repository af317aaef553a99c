"""The market of a scenario: factors, what ties them together, and what happens to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterable

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sim.errors import InputError, unknown
from sim.market.dependence import Dependence, innovations
from sim.market.exact import Array, exp, log
from sim.market.history import HOUR
from sim.market.impact import Impact
from sim.market.paths import TIME_MAX, Horizon, Paths
from sim.market.processes import Factor, FromFile, Track
from sim.market.shocks import (
    CorrelationShock,
    Depeg,
    Gap,
    PremiumShock,
    RateShock,
    Shock,
    VolShock,
    sum_over,
)
from sim.model import Model, SettingError
from sim.reference.book import NO_UNDERLYING
from sim.streams import Streams
from sim.units import YEAR, Duration, Ratio, utc

FACTORS_MAX = 8
ASSETS_MAX = 8
EXPIRIES_MAX = 12
SURFACES_MAX = 64
STABLE = "stable"
ALL = "all"
NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,31}")
RESERVED = (STABLE, ALL, "default", "faults")
"""What is no name of a factor or token: the oracle's settings and shocks use them."""


class CollateralAsset(Model):
    """A token that accounts may deposit beside the quote stablecoin."""

    tracks: str | None = None
    """Factor that its price moves with."""
    ratio: float = Field(default=1.0, gt=0, le=1e9)
    """Its price over that factor's spot; in USD if it tracks none."""
    decimals: int = Field(default=18, ge=0, le=24)
    """Decimals of the token."""


class MarketModel(Model):
    """Everything that prices depend on."""

    factors: dict[str, Factor] = Field(min_length=1, max_length=FACTORS_MAX)
    """Underlyings by name: each has a spot, a perp and, with `expiries`, options."""
    dependence: Dependence | None = None
    """Copula of the factors' innovations; independent unless given."""
    expiries: tuple[Duration, ...] = Field(default=(), max_length=EXPIRIES_MAX)
    """Option expiries as time from the start; rounded up to whole hours."""
    rate: Ratio = Field(default=0.0, ge=-0.5, le=1)
    """Interest rate, continuously compounded."""
    stable: float = Field(default=1.0, gt=0, le=10)
    """USD price of the quote stablecoin."""
    collateral: dict[str, CollateralAsset] = Field(default={}, max_length=ASSETS_MAX)
    """Collateral tokens by name."""
    shocks: tuple[Shock, ...] = ()
    """What happens on a timetable."""
    impact: Impact | None = None
    """How liquidated volume moves prices; not at all unless given."""

    @model_validator(mode="after")
    def _consistent(self) -> MarketModel:
        for key in ("factors", "collateral"):
            for name in getattr(self, key):
                if not NAME.fullmatch(name):
                    allowed = "a name is a letter and at most 31 more letters, digits and _"
                    raise SettingError((key, name), allowed)
                if name in RESERVED:
                    raise SettingError((key, name), f"{name!r} means something else")
        for name, asset in self.collateral.items():
            if asset.tracks is not None and asset.tracks not in self.factors:
                refused = unknown("factor", asset.tracks, self.factors)
                raise SettingError(("collateral", name, "tracks"), refused)
        if self.dependence is not None:
            try:
                self.dependence.check(tuple(self.factors))
            except ValueError as error:
                raise SettingError(("dependence", "corr"), error) from None
        for i, expiry in enumerate(self.expiries):
            if expiry <= 0:
                raise SettingError(("expiries", i), f"{expiry} s is not a time after the start")
        for i, shock in enumerate(self.shocks):
            if isinstance(shock, (Gap, VolShock, PremiumShock)):
                if shock.factor not in (*self.factors, ALL):
                    refused = unknown("factor", shock.factor, (*self.factors, ALL))
                    raise SettingError(("shocks", i, "factor"), refused)
            elif isinstance(shock, Depeg) and shock.asset not in (*self.collateral, STABLE):
                refused = unknown("asset", shock.asset, (*self.collateral, STABLE))
                raise SettingError(("shocks", i, "asset"), refused)
        for name in self.impact.volumes if self.impact else ():
            if name not in self.factors:
                refused = unknown("factor", name, self.factors)
                raise SettingError(("impact", "volumes", name), refused)
        return self

    def files(self) -> list[tuple[str, Path]]:
        """Return the files that factors follow, by the name that the scenario gives them."""
        followers = (f for f in self.factors.values() if isinstance(f, FromFile))
        return [(factor.file, factor.path) for factor in followers]

    def paths(self, horizon: Horizon, streams: Streams, also: Iterable[int] = ()) -> Paths:
        """Simulate the market over a horizon.

        Parameters
        ----------
        also
            Expiries that are listed too, unix seconds at whole hours.

        Raises
        ------
        InputError
            The horizon leaves what a recording or a price file covers.
        """
        names = tuple(self.factors)
        steps = horizon.steps
        tracks = self._tracks(horizon, streams)
        expiries = self._expiries(horizon, also)
        years = (expiries[None, :] - horizon.times[:, None]) / YEAR
        spots: list[Array] = []
        levels: list[Array] = []
        thetas: list[Array] = []
        premiums: list[Array] = []
        for name, factor, track in zip(names, self.factors.values(), tracks, strict=True):
            gaps = [s.logs(horizon) for s in self.shocks if isinstance(s, Gap) and _hits(s, name)]
            spot = track.spot * exp(sum_over(gaps, steps)) if gaps else track.spot
            lifts = [
                s.entering(horizon)
                for s in self.shocks
                if isinstance(s, VolShock) and _hits(s, name)
            ]
            start = factor.implied.level or factor.start_vol
            level = factor.implied.levels(
                name, start, spot, track.vol, sum_over(lifts, steps), horizon.step, streams
            )
            spots.append(spot)
            levels.append(level)
            theta = factor.implied.total_variance(start, level, log(spot / spot[0]), years)
            thetas.append(theta if factor.options else np.full_like(theta, np.nan))
            squeezes = [
                s.size * s.profile(horizon)
                for s in self.shocks
                if isinstance(s, PremiumShock) and _hits(s, name)
            ]
            premiums.append(factor.premium + sum_over(squeezes, steps))
        ratios = [asset.ratio * self._peg(name, horizon) for name, asset in self.collateral.items()]
        rates = [s.size * s.profile(horizon) for s in self.shocks if isinstance(s, RateShock)]
        return Paths(
            times=horizon.times,
            factors=names,
            spot=np.stack(spots, axis=1),
            premium=np.stack(premiums, axis=1),
            level=np.stack(levels, axis=1),
            listed=np.stack([track.listed for track in tracks], axis=1),
            rate=self.rate + sum_over(rates, steps),
            stable=self.stable * self._peg(STABLE, horizon),
            assets=tuple(self.collateral),
            tracks=tuple(
                NO_UNDERLYING if asset.tracks is None else names.index(asset.tracks)
                for asset in self.collateral.values()
            ),
            ratio=np.stack(ratios, axis=1) if ratios else np.empty((steps, 0)),
            expiries=expiries,
            theta=np.stack(thetas, axis=1),
            implied=tuple(factor.implied for factor in self.factors.values()),
            impact=self.impact,
        )

    def _tracks(self, horizon: Horizon, streams: Streams) -> list[Track]:
        tighter = np.zeros(horizon.steps)
        for shock in self.shocks:
            if isinstance(shock, CorrelationShock):
                tighter = np.maximum(tighter, shock.size * shock.profile(horizon))
        drawn = innovations(
            tuple(self.factors), horizon.steps - 1, self.dependence, tighter[1:], streams
        )
        return [
            factor.simulate(name, horizon, drawn[:, u], streams)
            for u, (name, factor) in enumerate(self.factors.items())
        ]

    def _expiries(self, horizon: Horizon, also: Iterable[int]) -> npt.NDArray[np.int64]:
        hours = {-(-(horizon.start + expiry) // HOUR) * HOUR for expiry in self.expiries}
        times = sorted(hours | set(also))
        if times and times[-1] >= TIME_MAX:
            raise InputError(f"an expiry would be after {utc(TIME_MAX - 1)}: times have 32 bits")
        series = len(times) * sum(factor.options for factor in self.factors.values())
        if series > SURFACES_MAX:
            raise InputError(
                f"{series} expiries over all factors with options, at most {SURFACES_MAX}"
            )
        return np.array(times, dtype=np.int64)

    def _peg(self, asset: str, horizon: Horizon) -> Array:
        """Return what is left of an asset's ratio at each step, shape (steps,)."""
        left = np.ones(horizon.steps)
        for shock in self.shocks:
            if isinstance(shock, Depeg) and shock.asset == asset:
                left = left * (1.0 + shock.size * shock.profile(horizon))
        return left


def _hits(shock: Gap | VolShock | PremiumShock, factor: str) -> bool:
    return shock.factor in (factor, ALL)
