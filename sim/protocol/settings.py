"""What a deployment is made of: engine, rulebook, liquidation, backstop, fees, oracle policies."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Mapping

from pydantic import Field

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
    """How accounts below maintenance margin are wound down (PROTOCOL 8).

    `rule` is a shipped name or the path of a Vyper file that implements ILiquidationRule; `params` are
    its constructor's arguments by name, in place of their defaults.
    """

    rule: str = "dutch_auction"
    params: dict[str, Any] = {}
    buffer: Share = 0.15
    minimum_bid: Share = 0.01
    fee: Share = 0.01
    solvent_duration: Span = 7_200
    insolvent_duration: Span = 3_600
    start_price: Share = 0.98


class Backstop(Model):
    """Who pays when an account cannot (PROTOCOL 9)."""

    mode: Literal["mutualise", "deleverage"] = "mutualise"
    grace: Duration = 3_600
    lock_dust: Annotated[Money, Field(ge=0)] = 1_000.0
    lock_length: Span = 86_400


class Fees(Model):
    """Trading fees, as a fraction of size times mark."""

    perp: Share = 0.0005
    option: Share = 0.0003


class Interest(Model):
    """Kinked curve of the yearly rate on debt against utilisation."""

    base: Ratio = 0.02
    slope: Ratio = 0.08
    kink: Share = 0.9
    steep: Ratio = 0.85


class Perpetual(Model):
    """Funding and the bound of the mark around the index."""

    band: Annotated[Ratio, Field(ge=0, le=0.5)] = 0.05
    period: Span = 28_800
    base: Ratio = 0.0
    cap: Annotated[Ratio, Field(ge=0, le=0.1)] = 0.0075


class Staleness(Model):
    """Oldest report that each purpose accepts, and how far sources may disagree."""

    opening: Span = 5_400
    liquidation: Span = 21_600
    deviation: Share = 0.05
    jump: Share = 0.2
    recovery: Duration = 3_600


class ProtocolSettings(Model):
    """Everything about the contracts that a scenario may choose."""

    engine: str = "scenario"
    rulebook: str = "house"
    liquidation: Liquidation = Liquidation()
    backstop: Backstop = Backstop()
    fees: Fees = Fees()
    interest: Interest = Interest()
    perpetual: Perpetual = Perpetual()
    staleness: Staleness = Staleness()
