"""How the spot of one factor moves: one settings model a process.

A process turns one uniform innovation a step (its dependence on other factors already in it) into
prices. Returns are of the log of spot over a step of Δ years; without a `drift` the expected spot
is the first one (a martingale). Draws beyond the innovation come from streams of the factor's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from sim.errors import InputError
from sim.market.exact import Array, exp, log, normal_quantile, normals, student_quantile, uniforms
from sim.market.history import HOUR, QUARTER, locate, read_recording, read_series
from sim.market.paths import Horizon
from sim.market.surface import Implied
from sim.model import Model
from sim.streams import Streams
from sim.units import Duration, Rate, Ratio, utc


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
    options: bool = True
    """Whether options on it are listed at the market's expiries."""

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

    Between two of the four prices of an hour ln S is a Brownian bridge whose variance is that of
    the bar's range (Parkinson 1980, (ln high/low)²/(4 ln 2) an hour), kept inside the bar.
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
                f"horizon from {utc(int(wanted[0]))} to {utc(int(wanted[-1]))} leaves the "
                f"recording {self.file}, {utc(int(times[0]))} to {utc(end)}"
            )
        if (wanted[0] - times[0]) % horizon.step:
            raise InputError(
                f"horizon.start {utc(int(wanted[0]))} is not a whole number of steps after the "
                f"start of the recording {self.file}, {utc(int(times[0]))}"
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
        return np.asarray(bridged.ravel())


class Jumps(Model):
    """Compound Poisson jumps of the log of spot, normal in size."""

    rate: Rate = Field(ge=0)
    """Expected number, per year."""
    mean: Ratio = Field(gt=-5, lt=5)
    """Mean of a jump of the log of spot."""
    std: Ratio = Field(ge=0, lt=5)
    """Its standard deviation."""


class Merton(_Synthetic):
    """Jump diffusion (Merton 1976): a GBM and compound Poisson jumps, compensated."""

    kind: Literal["merton"] = "merton"
    jumps: Jumps

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        dt, jumps = horizon.years, self.jumps
        expected = jumps.rate * dt
        counts = _poisson(uniforms(streams.at(f"market/{name}/jumps"), innovations.size), expected)
        sizes = normals(streams.at(f"market/{name}/sizes"), innovations.size)
        jumped = counts * jumps.mean + np.sqrt(counts) * jumps.std * sizes
        growth = float(exp(jumps.mean + 0.5 * jumps.std * jumps.std)) - 1.0
        drift = self.drift - 0.5 * self.vol * self.vol - jumps.rate * growth
        z = normal_quantile(innovations)
        return self._track(drift * dt + self.vol * np.sqrt(dt) * z + jumped)


class Heston(_Synthetic):
    """Stochastic variance (Heston 1993), dv = κ(v̄ − v)dt + ξ√v dW; full truncation Euler.

    Lord, Koekkoek and van Dijk, "A comparison of biased simulation schemes", 2010. Its implied vol
    follows its own variance; `implied` adds no leverage of its own unless told to.
    """

    kind: Literal["heston"] = "heston"
    long_vol: Ratio | None = Field(default=None, gt=0, le=10)
    """√v̄; `vol`, that of the start, unless given."""
    reversion: Rate = Field(default=5.0, gt=0)
    """κ, per year."""
    vol_of_vol: float = Field(default=1.0, ge=0)
    """ξ: of the variance, per √year."""
    corr: float = Field(default=-0.6, ge=-1, le=1)
    """Correlation of spot and variance."""
    implied: Implied = Implied(dynamics="sticky_delta")

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        dt = horizon.years
        root = float(np.sqrt(dt))
        z = normal_quantile(innovations)
        other = normals(streams.at(f"market/{name}/variance"), innovations.size)
        w = self.corr * z + float(np.sqrt(1.0 - self.corr * self.corr)) * other
        long = self.long_vol or self.vol
        variance = np.empty(innovations.size + 1)
        variance[0] = v = self.vol * self.vol
        for t in range(innovations.size):
            positive = max(v, 0.0)
            pull = self.reversion * (long * long - positive) * dt
            v += pull + self.vol_of_vol * sqrt(positive) * root * float(w[t])
            variance[t + 1] = v
        positive_path = np.maximum(variance, 0.0)
        sigma = np.sqrt(positive_path[:-1])
        returns = (self.drift - 0.5 * positive_path[:-1]) * dt + sigma * root * z
        return self._track(returns, np.sqrt(np.maximum(positive_path, 1e-4)))


class GarchT(_Synthetic):
    """GARCH(1,1) with Student-t innovations of unit variance (Bollerslev 1987), a step a period.

    σ²_{t+1} = (1 − α − β)σ̄² + α ε²_t + β σ²_t. The log return is shifted by −σ²/2 a step, which
    makes the spot a martingale only up to the fatness of its tails.
    """

    kind: Literal["garch_t"] = "garch_t"
    alpha: float = Field(default=0.05, ge=0, lt=1)
    """Weight of the last squared return, per step."""
    beta: float = Field(default=0.94, ge=0, lt=1)
    """Weight of the last variance, per step."""
    dof: float = Field(default=4.0, gt=2, le=200)
    """Degrees of freedom."""
    implied: Implied = Implied(dynamics="sticky_delta")

    @model_validator(mode="after")
    def _stationary(self) -> GarchT:
        if self.alpha + self.beta >= 1.0:
            raise ValueError(f"alpha + beta is {self.alpha + self.beta:g}; it must be below 1")
        return self

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        dt = horizon.years
        unit = float(np.sqrt((self.dof - 2.0) / self.dof))
        shock = unit * student_quantile(innovations, self.dof)
        long = self.vol * self.vol * dt
        variance = np.empty(innovations.size + 1)
        variance[0] = v = long
        for t in range(innovations.size):
            e = float(shock[t])
            v = (1.0 - self.alpha - self.beta) * long + (self.alpha * e * e + self.beta) * v
            variance[t + 1] = v
        now = variance[:-1]
        returns = self.drift * dt - 0.5 * now + np.sqrt(now) * shock
        return self._track(returns, np.sqrt(variance / dt))


class OrnsteinUhlenbeck(_Synthetic):
    """The log of spot reverts to that of `mean` (exact in law at any step)."""

    kind: Literal["ou"] = "ou"
    mean: float | None = Field(default=None, gt=0, lt=1e12)
    """USD; `spot` unless given."""
    reversion: Rate = Field(gt=0)
    """Speed, per year."""

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        keep = float(exp(-self.reversion * horizon.years))
        spread = self.vol * float(np.sqrt((1.0 - keep * keep) / (2.0 * self.reversion)))
        z = normal_quantile(innovations)
        goal = float(log((self.mean or self.spot) / self.spot))
        x = np.empty(innovations.size + 1)
        x[0] = 0.0
        for t in range(innovations.size):
            x[t + 1] = goal + keep * (x[t] - goal) + self.drift * horizon.years + spread * z[t]
        return self._track(np.diff(x))


class Regime(Model):
    """One state of a regime-switching factor."""

    vol: Ratio = Field(gt=0, le=10)
    """Annualised."""
    drift: float = Field(default=0.0, ge=-1000, le=1000)
    """Per year."""
    stay: Duration = Field(gt=0)
    """Mean time until it leaves for one of the others, all alike."""


class RegimeSwitching(Process):
    """A GBM whose vol and drift follow a continuous-time Markov chain, seen at the steps."""

    kind: Literal["regimes"] = "regimes"
    spot: float = Field(gt=0, lt=1e12)
    """USD at the start."""
    regimes: tuple[Regime, ...] = Field(min_length=2, max_length=8)
    """States; it starts in the first."""
    implied: Implied = Implied(dynamics="sticky_delta")

    @property
    def start_vol(self) -> float:
        return self.regimes[0].vol

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        dt = horizon.years
        leave = [1.0 - float(exp(-horizon.step / regime.stay)) for regime in self.regimes]
        draws = uniforms(streams.at(f"market/{name}/regime"), innovations.size)
        state, states = 0, [0]
        for u in draws.tolist():
            if u < leave[state]:
                # What is left of the draw, uniform again, says where to.
                others = [i for i in range(len(self.regimes)) if i != state]
                state = others[min(int(u / leave[state] * len(others)), len(others) - 1)]
            states.append(state)
        vol = np.array([self.regimes[i].vol for i in states])
        drift = np.array([self.regimes[i].drift for i in states])
        now = vol[:-1]
        returns = (drift[:-1] - 0.5 * now * now) * dt + now * np.sqrt(dt) * normal_quantile(
            innovations
        )
        spot = self.spot * exp(np.concatenate(([0.0], np.cumsum(returns))))
        return Track(spot, vol, np.ones(spot.size, dtype=bool))


class BlockBootstrap(FromFile):
    """Blocks of a recording's quarter-hour returns, drawn with replacement, end joined to start.

    Factors of one recording and block length draw the same blocks, so that what moved together
    still does.
    """

    kind: Literal["block_bootstrap"] = "block_bootstrap"
    asset: str | None = None
    """Asset in the file; the factor's name unless given."""
    spot: float = Field(gt=0, lt=1e12)
    """USD at the start."""
    block: Duration = Field(default=6 * HOUR, ge=QUARTER)
    """Length of a block."""
    centred: bool = True
    """Whether the recording's own drift is taken out."""
    vol: Ratio = Field(default=0.7, gt=0, le=10)
    """Implied at the start, annualised."""

    @property
    def start_vol(self) -> float:
        return self.vol

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        if horizon.step % QUARTER:
            raise InputError(
                f"horizon.step {horizon.step} s: a block_bootstrap has steps of 15m or a multiple"
            )
        recording = read_recording(self.path)
        _, prices, alive = recording.quarters(self.asset or name)
        usable = 4 * min(bars.hours.size for bars in recording.bars.values())
        returns = np.diff(log(prices[alive]))[: usable - 1]
        if self.centred:
            returns = returns - float(np.cumsum(returns)[-1]) / returns.size
        per_step = horizon.step // QUARTER
        needed = (horizon.steps - 1) * per_step
        length = self.block // QUARTER
        rng = streams.at(f"market/bootstrap/{self.file}/{length}")
        starts = rng.integers(0, returns.size, size=-(-needed // length), dtype=np.int64)
        rows = (starts[:, None] + np.arange(length)).ravel()[:needed] % returns.size
        total = np.concatenate(([0.0], np.cumsum(returns[rows])))[::per_step]
        steps = horizon.steps
        return Track(self.spot * exp(total), np.ones(steps), np.ones(steps, dtype=bool))


class Csv(FromFile):
    """Prices of the user's own file: columns `time` and `column`; the last known price holds."""

    kind: Literal["csv"] = "csv"
    column: str | None = None
    """Column of the prices; the factor's name unless given."""
    vol: Ratio = Field(default=0.7, gt=0, le=10)
    """Implied at the start, annualised."""

    @property
    def start_vol(self) -> float:
        return self.vol

    def simulate(self, name: str, horizon: Horizon, innovations: Array, streams: Streams) -> Track:
        times, prices = read_series(self.path, self.column or name)
        wanted = horizon.times
        if wanted[0] < times[0] or wanted[-1] > times[-1]:
            raise InputError(
                f"horizon from {utc(int(wanted[0]))} to {utc(int(wanted[-1]))} leaves the "
                f"prices of {self.file}, {utc(int(times[0]))} to {utc(int(times[-1]))}"
            )
        rows = np.searchsorted(times, wanted, side="right") - 1
        steps = horizon.steps
        return Track(prices[rows], np.ones(steps), np.ones(steps, dtype=bool))


def _poisson(u: Array, mean: float) -> Array:
    """Poisson counts by inversion of uniforms."""
    probability = float(exp(-mean))
    cumulative, n = probability, 0
    counts = np.zeros(u.size)
    while n < 1_000 and bool(np.any(u > cumulative)):
        counts += u > cumulative
        n += 1
        probability *= mean / n
        cumulative += probability
    return counts


Factor = Annotated[
    Constant
    | Gbm
    | Merton
    | Heston
    | GarchT
    | OrnsteinUhlenbeck
    | RegimeSwitching
    | BlockBootstrap
    | Recorded
    | Csv,
    Field(discriminator="kind"),
]
