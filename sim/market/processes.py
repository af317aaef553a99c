"""How the spot of one factor moves: one settings model a process.

A process turns one uniform innovation a step (its dependence on other factors already in it) into
prices. Returns are of the log of spot over a step of Δ years; without a `drift` the expected spot is
the first one (a martingale). Draws beyond the innovation come from streams of the factor's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from sim.errors import InputError
from sim.market.exact import Array, exp, log, normal_quantile, normals
from sim.market.history import HOUR, QUARTER, locate, read_recording
from sim.market.paths import Horizon
from sim.market.surface import Implied
from sim.model import Model
from sim.streams import Streams
from sim.units import Ratio, utc


@dataclass(frozen=True, eq=False)
class Track:
    """The path of one factor: (steps,) spot, annualised vol of the process, whether it trades."""

    spot: Array
    vol: Array
    listed: npt.NDArray[np.bool_]


class Process(Model, ABC):
    """A factor: how its spot moves and how its options are priced."""

    implied: Implied = Implied()
    """Implied volatility."""
    premium: Ratio = Field(default=0.0, gt=-0.5, lt=1)
    """Mark of the perp over spot, less 1."""

    @property
    @abstractmethod
    def start_vol(self) -> float:
        """Short-dated implied vol at the start where `implied.level` is not given."""

    @abstractmethod
    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        """Return the path of the factor `name`.

        Parameters
        ----------
        name
            Of the factor: it names the random streams.
        horizon
            Steps, their length and their start.
        innovations : (steps − 1,) float
            Uniform between 0 and 1, one a step.
        """


class _Synthetic(Process):
    """A process that starts at a spot given in the scenario."""

    spot: float = Field(gt=0, lt=1e12)
    """USD at the start."""
    vol: Ratio = Field(gt=0, le=10)
    """Annualised."""
    drift: float = Field(default=0.0, ge=-100, le=100)
    """Per year, of the expected spot."""

    @property
    def start_vol(self) -> float:
        return self.vol

    def _track(self, returns: Array, vol: Array | None = None) -> Track:
        steps = returns.size + 1
        path = np.concatenate(([0.0], np.cumsum(returns)))
        spot = self.spot * exp(path)
        vols = np.full(steps, self.vol) if vol is None else vol
        return Track(spot, vols, np.ones(steps, dtype=bool))


class Constant(Process):
    """A spot that does not move (shocks still do move it)."""

    kind: Literal["constant"] = "constant"
    spot: float = Field(gt=0, lt=1e12)
    """USD."""
    vol: Ratio = Field(default=0.5, gt=0, le=10)
    """Implied, annualised."""

    @property
    def start_vol(self) -> float:
        return self.vol

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        steps = horizon.steps
        return Track(np.full(steps, self.spot), np.ones(steps), np.ones(steps, dtype=bool))


class Gbm(_Synthetic):
    """Geometric Brownian motion: ln S moves by (μ − σ²/2)Δ + σ√Δ z."""

    kind: Literal["gbm"] = "gbm"

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        dt = horizon.years
        z = normal_quantile(innovations)
        return self._track(
            (self.drift - 0.5 * self.vol * self.vol) * dt + self.vol * np.sqrt(dt) * z
        )


class FromFile(Process):
    """A process that follows figures in a file."""

    file: str
    """Name of a shipped recording, or a path beside the scenario."""
    _path: Path = PrivateAttr()

    @model_validator(mode="after")
    def _locate(self, info: ValidationInfo) -> Self:
        try:
            self._path = locate(self.file, (info.context or {}).get("folder"))
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def path(self) -> Path:
        """The file."""
        return self._path


class Recorded(FromFile):
    """A recorded crash, four steps an hour; a bridge inside the bar where steps are shorter.

    Between two of the four prices of an hour ln S is a Brownian bridge whose variance is that of the
    bar's range (Parkinson 1980, (ln high/low)²/(4 ln 2) an hour), kept inside the bar.
    """

    kind: Literal["recorded"] = "recorded"
    asset: str | None = None
    """Asset in the file; the factor's name unless given."""
    spot: float | None = Field(default=None, gt=0, lt=1e12)
    """Scale the path so that it starts here."""
    vol: Ratio = Field(default=0.7, gt=0, le=10)
    """Implied at the start, annualised."""

    @property
    def start_vol(self) -> float:
        return self.vol

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        asset = self.asset or name
        recording = read_recording(self.path)
        times, prices, alive = recording.quarters(asset)
        if QUARTER % horizon.step:
            raise InputError(
                f"horizon.step {horizon.step} s does not divide a quarter of an hour, the step of "
                f"the recording {self.file}"
            )
        wanted = horizon.times
        end = int(times[-1])
        if wanted[0] < times[0] or wanted[-1] > end + QUARTER - horizon.step:
            raise InputError(
                f"horizon from {utc(int(wanted[0]))} to {utc(int(wanted[-1]))} leaves the recording "
                f"{self.file}, {utc(int(times[0]))} to {utc(end)}"
            )
        if (wanted[0] - times[0]) % horizon.step:
            raise InputError(
                f"horizon.start {utc(int(wanted[0]))} is not a whole number of steps after the start "
                f"of the recording {self.file}, {utc(int(times[0]))}"
            )
        parts = QUARTER // horizon.step
        if parts > 1:
            prices = self._bridged(name, prices, parts, streams)
            alive = np.repeat(alive, parts)
        first = int(wanted[0] - times[0]) // horizon.step
        rows = slice(first, first + horizon.steps)
        spot, listed = prices[rows], alive[rows]
        if self.spot is not None:
            spot = spot * (self.spot / spot[0])
        return Track(spot, np.ones(horizon.steps), listed)

    def _bridged(self, name: str, prices: Array, parts: int, streams: Streams) -> Array:
        rng = streams.at(f"market/{name}/bridge")
        path = log(prices)
        hours = path.reshape(-1, 4)
        low = np.repeat(np.minimum.accumulate(hours, axis=1)[:, -1], 4)
        high = np.repeat(np.maximum.accumulate(hours, axis=1)[:, -1], 4)
        scale = (high - low) / np.sqrt(4.0 * float(log(2.0))) * np.sqrt(QUARTER / HOUR / parts)
        steps = normals(rng, (path.size, parts)) * scale[:, None]
        walk = np.cumsum(steps, axis=1)
        after = np.concatenate((path[1:], path[-1:]))
        fraction = np.arange(1, parts) / parts
        inner = (
            path[:, None] * (1.0 - fraction)
            + after[:, None] * fraction
            + (walk[:, :-1] - walk[:, -1:] * fraction)
        )
        inner = np.minimum(np.maximum(inner, low[:, None]), high[:, None])
        bridged = np.concatenate((prices[:, None], exp(inner)), axis=1)
        # An hour's last quarter runs to the next hour's open, which is the same close: it stays.
        return np.asarray(bridged.ravel())
