"""What a deployment is made of: engine, rulebook, liquidation, backstop, fees, listing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Mapping

from pydantic import Field, model_validator

from sim.model import Model
from sim.units import Duration, Money, Ratio

ENGINES: Mapping[str, str] = {
    "scenario": "ScenarioEngine",
    "sensitivity": "SensitivityEngine",
    "ltv": "LtvEngine",
}
RULES: Mapping[str, str] = {
    "dutch_auction": "DutchAuction",
    "partial_step": "PartialStep",
    "fixed_penalty": "FixedPenalty",
    "built_in": "",
}

Share = Annotated[Ratio, Field(ge=0, le=1)]
Span = Annotated[Duration, Field(gt=0)]


class Liquidation(Model):
    """How accounts below maintenance margin are wound down (PROTOCOL 8)."""

    rule: str = "dutch_auction"
    """Liquidation rule: a shipped name, or the path of a Vyper file that implements
    ILiquidationRule."""
    params: dict[str, Any] = Field(default={})
    """Constructor arguments of the rule by name; its defaults where not given."""
    buffer: Share = 0.1
    """b: a partial liquidation stops at equity of (1 + b) times maintenance margin."""
    min_fraction: Share = 0.01
    """Smallest fraction that a bid may take, unless it ends the liquidation."""
    solvent_duration: Span = 7_200
    """Of the built-in price path, in force if the rule does not answer."""
    insolvent_duration: Span = 3_600
    """The same for the insolvent phase."""
    start_price: Share = 0.98
    """Price fraction at the start of the built-in path."""


class Backstop(Model):
    """Who pays for insolvent accounts (PROTOCOL 9)."""

    fund: Money = Field(default=0.0, ge=0)
    """Quote currency in the insurance fund at the start."""
    then: Literal["mutualise", "deleverage"] = "mutualise"
    """What happens to the rest."""
    grace: Duration = Field(default=3_600, ge=0)
    """After an insolvent phase, time for deleveraging before the fund takes over all the same."""
    lock_dust: Money = Field(default=1_000.0, ge=0)
    """Insolvency beyond the fund that locks withdrawals."""
    lock_length: Span = 86_400
    """Longest lock."""


class Fees(Model):
    """What the protocol takes."""

    perp: Annotated[Ratio, Field(ge=0, le=0.01)] = 0.0005
    """Of size times mark, from each side of a trade in a perpetual."""
    option: Annotated[Ratio, Field(ge=0, le=0.01)] = 0.0003
    """Of size times the mark of the underlying, from each side of a trade in an option."""
    liquidation: Annotated[Ratio, Field(ge=0, le=0.1)] = 0.005
    """Of the value moved by a bid, on top of its price."""


class Interest(Model):
    """Yearly rate on debt: a kinked curve of utilisation."""

    base: Ratio = Field(default=0.02, ge=0)
    """At no utilisation."""
    slope: Ratio = Field(default=0.08, ge=0)
    """Added up to the kink."""
    kink: Share = 0.9
    """Utilisation from which on it is steep."""
    steep: Ratio = Field(default=0.85, ge=0)
    """Added from the kink to full utilisation."""


class Perpetual(Model):
    """Funding, and the bound of the mark around the index."""

    band: Annotated[Ratio, Field(ge=0, le=0.5)] = 0.05
    """Furthest that the mark may be from the index."""
    period: Span = 28_800
    """Time over which a premium is paid."""
    base: Ratio = 0.0
    """Funding an hour without a premium."""
    cap: Annotated[Ratio, Field(ge=0, le=0.1)] = 0.0075
    """Largest funding an hour."""


class Staleness(Model):
    """What the oracle contract accepts."""

    opening: Span = 5_400
    """Oldest report that opening accepts."""
    liquidation: Span = 21_600
    """Oldest report that liquidation accepts."""
    deviation: Share = 0.05
    """Furthest that a source may be from the median and still agree."""
    jump: Share = 0.2
    """Largest move that leaves confidence alone."""
    recovery: Duration = Field(default=3_600, ge=0, le=86_400)
    """Time in which confidence recovers from 0 to 1."""


class Listing(Model):
    """Which option series are listed: every expiry of the market at these strikes."""

    strikes: tuple[Ratio, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
    """Strikes over the spot at the start; rounded to two significant digits."""
    digits: int = Field(default=2, ge=1, le=6)
    """Significant digits of strikes."""

    @model_validator(mode="after")
    def _positive(self) -> Listing:
        for strike in self.strikes:
            if strike <= 0.0:
                raise ValueError(f"strikes: {strike:g} is not above 0")
        return self


class ProtocolSettings(Model):
    """How the contracts are set up."""

    engine: str = "scenario"
    """Margin engine of every account: scenario, sensitivity or ltv."""
    rulebook: str = "house"
    """Shipped rulebook, or the path of one."""
    liquidation: Liquidation = Liquidation()
    backstop: Backstop = Backstop()
    fees: Fees = Fees()
    interest: Interest = Interest()
    perpetual: Perpetual = Perpetual()
    staleness: Staleness = Staleness()
    listing: Listing = Listing()
    quote: str = "USDC"
    """Name of the quote stablecoin."""
