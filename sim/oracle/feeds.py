"""The oracle at work: a market in, the updates that reach the chain in this block out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from sim.market.exact import normals
from sim.market.surface import Slices
from sim.oracle.model import (
    Fault,
    FeedPolicy,
    Late,
    OneVenue,
    OracleModel,
    Outage,
    OutOfOrder,
    Spike,
    Stale,
    Stuck,
    WrongDecimals,
)
from sim.reference.book import Market
from sim.streams import Streams
from sim.units import YEAR

Kind = Literal["spot", "mark", "forward", "rate", "stable", "asset", "surface"]


@dataclass(frozen=True)
class Slice:
    """Raw SVI total variance of one expiry at `tau` seconds."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float
    tau: int


@dataclass(frozen=True)
class FeedUpdate:
    """One value that arrives on chain.

    Parameters
    ----------
    kind
        What it is.
    index
        Underlying id; asset id of an `asset`; 0 of `stable`.
    expiry
        Unix seconds of a `forward`, `rate` or `surface`, else 0.
    value
        USD; of a `rate` per year; of a `surface` its at-the-money vol, for people.
    confidence
        From 0 to 1.
    time
        Unix seconds of the measurement that it claims.
    source
        Which of the feed's sources says so.
    slice
        Of a `surface`.
    """

    kind: Kind
    index: int
    expiry: int
    value: float
    confidence: float
    time: int
    source: int
    slice: Slice | None = None


@dataclass
class _Channel:
    """One source of one feed: what it pushed last and what is still under way."""

    feed: str
    policy: FeedPolicy
    source: int
    faults: tuple[Fault, ...]
    pushed: float = float("nan")
    pushed_at: int = 0
    report: tuple[FeedUpdate, ...] = ()
    under_way: tuple[tuple[int, tuple[FeedUpdate, ...]], ...] = ()


class Oracle:
    """The publishers of every feed, stepped once a block.

    Parameters
    ----------
    model
        Policies and faults.
    market
        The market at the start: it names factors, assets and expiries.
    streams
        Noise comes from `oracle/<feed>/<source>` at the step.
    interval
        Seconds between two blocks.
    """

    def __init__(self, model: OracleModel, market: Market, streams: Streams, interval: int) -> None:
        self._start = market.time
        self._interval = interval
        self._streams = streams
        self._channels: list[_Channel] = []
        for feed in _readings(market):
            policy = model.policy(feed.removesuffix(".asset"))
            # The chain takes surfaces from one source: a median of parameters may have arbitrage.
            for source in range(1 if feed.endswith(".vol") else policy.sources):
                faults = tuple(f for f in model.faults if _strikes(f, feed, source))
                self._channels.append(_Channel(feed, policy, source, faults))

    def updates(self, step: int, market: Market) -> list[FeedUpdate]:
        """Return what reaches the chain in this block, in order of arrival.

        Must be called for every step in turn. At the first call every feed is pushed without
        latency or fault.
        """
        readings = _readings(market)
        arrived: list[FeedUpdate] = []
        for channel in self._channels:
            if channel.feed in readings:
                arrived += self._advance(channel, readings[channel.feed], step, market.time)
        return arrived

    def _advance(
        self, channel: _Channel, reading: _Reading, step: int, time: int
    ) -> list[FeedUpdate]:
        policy = channel.policy
        first = not channel.report
        elapsed = time - self._start
        faults = [] if first else [f for f in channel.faults if f.active(elapsed)]
        if any(isinstance(fault, Outage) for fault in faults):
            channel.under_way = ()
            return []
        measured, level = self._measure(channel, reading, step, time, faults)
        move = abs(level / channel.pushed - 1.0) if not first else 0.0
        due = first or time - channel.pushed_at >= policy.heartbeat or move >= policy.deviation
        if due:
            confidence = min(1.0, max(0.0, policy.confidence - policy.widening * move))
            report = tuple(replace(update, confidence=confidence) for update in measured)
            delays = [] if first else [policy.latency]
            delays += [fault.by for fault in faults if isinstance(fault, Late)]
            delay = sum(part.length(self._interval) for part in delays)
            held = [fault for fault in faults if isinstance(fault, OutOfOrder)]
            arrival = time + delay
            if held:
                arrival = self._start + max(fault.start + fault.length for fault in held)
            # Reports arrive in the order of measurement, unless they were held: then in reverse.
            item = (arrival, report)
            channel.under_way = (item, *channel.under_way) if held else (*channel.under_way, item)
            channel.pushed, channel.pushed_at, channel.report = level, time, report
        arrived = [report for arrival, report in channel.under_way if arrival <= time]
        channel.under_way = tuple(item for item in channel.under_way if item[0] > time)
        live = (update for report in arrived for update in report)
        return [update for update in live if update.expiry == 0 or update.expiry > time]

    def _measure(
        self, channel: _Channel, reading: _Reading, step: int, time: int, faults: list[Fault]
    ) -> tuple[tuple[FeedUpdate, ...], float]:
        """Return what the source reports now, confidence aside, and the level of its trigger."""
        if any(isinstance(fault, Stale) for fault in faults):
            return channel.report, channel.pushed
        if any(isinstance(fault, Stuck) for fault in faults):
            return tuple(replace(update, time=time) for update in channel.report), channel.pushed
        factor = 1.0
        if channel.policy.noise > 0.0:
            rng = self._streams.at(f"oracle/{channel.feed}/{channel.source}", step)
            factor = max(1.0 + channel.policy.noise * float(normals(rng, 1)[0]), 0.01)
        for fault in faults:
            if isinstance(fault, (Spike, OneVenue)):
                factor *= 1.0 + fault.size
            elif isinstance(fault, WrongDecimals):
                factor = (
                    factor * 10**fault.decimals
                    if fault.decimals >= 0
                    else factor / 10**-fault.decimals
                )
        updates = tuple(
            replace(_scaled(update, factor), time=time, source=channel.source)
            for update in reading.updates
        )
        return updates, reading.level * factor


@dataclass(frozen=True)
class _Reading:
    """The true state of a feed: its updates, and the level whose move is measured."""

    updates: tuple[FeedUpdate, ...]
    level: float


def _readings(market: Market) -> dict[str, _Reading]:
    """Return the feeds of a market by name, in a fixed order."""
    readings: dict[str, _Reading] = {}
    under, assets = market.underlyings, market.assets
    for name, index, spot, mark in zip(
        under.name, under.id.tolist(), under.spot.tolist(), _list(under.mark), strict=True
    ):
        prices = [_update("spot", index, spot), _update("mark", index, mark)]
        curve, smile = _expiries(market, index)
        readings[f"{name}.price"] = _Reading((*prices, *curve), spot)
        if smile:
            readings[f"{name}.vol"] = _Reading(tuple(smile), smile[0].value)
    for name, index, price in zip(
        assets.name, assets.id.tolist(), assets.price.tolist(), strict=True
    ):
        readings[f"{name}.asset"] = _Reading((_update("asset", index, price),), price)
    readings["stable"] = _Reading((_update("stable", 0, market.stable),), market.stable)
    return readings


def _expiries(market: Market, index: int) -> tuple[list[FeedUpdate], list[FeedUpdate]]:
    """Return forwards and rates, and surfaces, of an underlying."""
    table = market.expiries
    rows = np.flatnonzero(table.underlying == index)
    slices = Slices.of(table, rows)
    tau = np.asarray(table.tau)[rows]
    vols = np.sqrt(slices.variance(np.zeros(rows.size)) * YEAR / tau)
    curve: list[FeedUpdate] = []
    smile: list[FeedUpdate] = []
    for i, e in enumerate(rows.tolist()):
        expiry = int(table.time[e])
        curve.append(_update("forward", index, float(table.forward[e]), expiry))
        curve.append(_update("rate", index, _list(table.rate)[e], expiry))
        a, b, rho, m, sigma = (
            float(column[i]) for column in (slices.a, slices.b, slices.rho, slices.m, slices.sigma)
        )
        piece = Slice(a, b, rho, m, sigma, int(tau[i]))
        smile.append(_update("surface", index, float(vols[i]), expiry, piece))
    return curve, smile


def _update(
    kind: Kind, index: int, value: float, expiry: int = 0, piece: Slice | None = None
) -> FeedUpdate:
    return FeedUpdate(kind, index, expiry, value, 1.0, 0, 0, piece)


def _list(column: npt.NDArray[np.float64] | float) -> list[float]:
    values: list[float] = np.asarray(column).tolist()
    return values


def _strikes(fault: Fault, feed: str, source: int) -> bool:
    if fault.source is not None and fault.source != source:
        return False
    return fault.feed in ("all", feed, feed.partition(".")[0])


def _scaled(update: FeedUpdate, factor: float) -> FeedUpdate:
    """Return an update off by a factor; a vol by its level, which leaves its skew as it was."""
    if factor == 1.0 or update.kind == "rate":
        return update
    if update.slice is None:
        return replace(update, value=update.value * factor)
    square = factor * factor
    s = update.slice
    return replace(
        update,
        value=update.value * factor,
        slice=Slice(s.a * square, s.b * square, s.rho, s.m, s.sigma, s.tau),
    )
