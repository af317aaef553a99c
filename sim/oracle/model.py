"""The oracle of a scenario: when feeds are pushed, how late, how noisily, and what goes wrong.

A factor has two feeds, its `price` (spot, perp mark and the forward and rate of each expiry, pushed
together) and its `vol` (the SVI slice of each expiry); a collateral asset and the stablecoin have
one each. A feed is measured at every step and pushed when its heartbeat is due or it has moved by
its deviation threshold since the value last pushed; the update arrives `latency` later.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from sim.errors import unknown
from sim.model import Delay, Lag, Model, SettingError
from sim.units import Duration, Ratio

SOURCES_MAX = 7


class FeedPolicy(Model):
    """How one feed reaches the chain."""

    heartbeat: Duration = Field(default=3_600, gt=0)
    """Longest time between two updates."""
    deviation: Ratio = Field(default=0.005, ge=0)
    """Relative move (of a vol: of its level) that is pushed at once; 0 pushes at every step."""
    latency: Lag = Delay()
    """From measurement to arrival on chain, in time or steps."""
    noise: Ratio = Field(default=0.0, ge=0, lt=1)
    """Standard deviation of a relative error of each source at each measurement."""
    confidence: Ratio = Field(default=1.0, ge=0, le=1)
    """Confidence that updates carry; 1 is certain."""
    widening: float = Field(default=0.0, ge=0)
    """Confidence lost per unit of relative move since the update before."""
    sources: int = Field(default=1, ge=1, le=SOURCES_MAX)
    """Independent sources, of which the chain takes the median; a `vol` always has one."""


class _Fault(Model):
    """Something that goes wrong with a feed for a while."""

    model_config = ConfigDict(populate_by_name=True)

    feed: str
    """Factor, asset or `stable`; `ETH.price` and `ETH.vol` name one feed of a factor; `all`."""
    start: Duration = Field(alias="from", ge=0)
    """Time from the start of the scenario."""
    length: Duration = Field(alias="for", gt=0)
    """How long it lasts."""
    source: int | None = Field(default=None, ge=0, lt=SOURCES_MAX)
    """The one source that it strikes; all of them unless given."""

    def active(self, elapsed: int) -> bool:
        """Whether the fault is on, `elapsed` seconds after the start."""
        return self.start <= elapsed < self.start + self.length


class Stale(_Fault):
    """The last report, time and all, is sent again and again."""

    kind: Literal["stale"] = "stale"


class Stuck(_Fault):
    """The last value is sent with a fresh time."""

    kind: Literal["stuck"] = "stuck"


class Outage(_Fault):
    """Nothing arrives, what was under way is lost."""

    kind: Literal["outage"] = "outage"


class Late(_Fault):
    """Updates arrive later by `by`."""

    kind: Literal["late"] = "late"
    by: Lag
    """Added latency, in time or steps."""

    @model_validator(mode="after")
    def _adds(self) -> Late:
        if self.by == Delay():
            raise SettingError(("by",), "must be above 0")
        return self


class Spike(_Fault):
    """Values are off by `size`."""

    kind: Literal["spike"] = "spike"
    size: Ratio = Field(gt=-1)
    """Relative error: −40% reports 60 % of the truth."""


class WrongDecimals(_Fault):
    """Values are off by a power of ten."""

    kind: Literal["wrong_decimals"] = "wrong_decimals"
    decimals: int = Field(ge=-18, le=18)
    """−2 reports a hundredth of the truth."""


class OutOfOrder(_Fault):
    """Updates measured in the window arrive together at its end, the newest first."""

    kind: Literal["out_of_order"] = "out_of_order"


class OneVenue(_Fault):
    """One source alone is off by `size`: the price of one venue."""

    kind: Literal["one_venue"] = "one_venue"
    size: Ratio = Field(gt=-1)
    """Relative error of that source."""

    @model_validator(mode="after")
    def _names_a_source(self) -> OneVenue:
        if self.source is None:
            raise ValueError("one_venue: `source` says which of the feed's sources")
        return self


Fault = Annotated[
    Stale | Stuck | Outage | Late | Spike | WrongDecimals | OutOfOrder | OneVenue,
    Field(discriminator="kind"),
]


class OracleModel(Model):
    """Policies by feed, and faults. Keys beside `default` and `faults` name feeds."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FeedPolicy] = Field(init=False)

    default: FeedPolicy = FeedPolicy()
    """Policy of every feed that has none of its own."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, and when."""

    def policy(self, feed: str) -> FeedPolicy:
        """Return the policy of a feed: its own, its factor's, or the default."""
        named = self.__pydantic_extra__ or {}
        return named.get(feed) or named.get(feed.partition(".")[0]) or self.default

    def check(self, factors: tuple[str, ...], assets: tuple[str, ...]) -> None:
        """Refuse policies and faults of feeds that the market does not have.

        Raises
        ------
        SettingError
            Naming the feed and those there are.
        """
        known = {"stable", *factors, *assets}
        known |= {f"{name}.{part}" for name in factors for part in ("price", "vol")}
        for name in self.__pydantic_extra__ or {}:
            if name not in known:
                raise SettingError((name,), unknown("feed", name, known))
        for i, fault in enumerate(self.faults):
            if fault.feed not in known | {"all"}:
                path = ("faults", i, "feed")
                raise SettingError(path, unknown("feed", fault.feed, known | {"all"}))
