"""What a deployment is made of: engine, rulebook, liquidation, backstop, fees, listing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Mapping

from pydantic import Field, model_validator

from sim.errors import InputError
from sim.model import Model, SettingError
from sim.units import QUOTE, Duration, Money, Ratio

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
    ILiquidationRule, or of the folder in which it is the only one."""
    params: dict[str, Any] = Field(default={})
    """Constructor arguments of the rule by name; its defaults where not given."""
    buffer: Share = 0.1
    """b: a partial liquidation stops at equity of (1 + b) times maintenance margin."""
    min_fraction: Annotated[Ratio, Field(ge=0.001, le=0.1)] = 0.01
    """Smallest fraction that a bid may take, unless it ends the liquidation."""
    solvent_duration: Annotated[Duration, Field(ge=600)] = 7_200
    """Of the built-in price path, in force if the rule does not answer."""
    insolvent_duration: Annotated[Duration, Field(ge=600)] = 3_600
    """The same for the insolvent phase."""
    start_price: Annotated[Ratio, Field(ge=0.5, le=1)] = 0.98
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
    option: Annotated[Ratio, Field(ge=0, le=0.001)] = 0.0003
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

    band: Annotated[Ratio, Field(ge=0, le=0.1)] = 0.05
    """Furthest that the mark may be from the index."""
    period: Span = 28_800
    """Time over which a premium is paid."""
    base: Ratio = 0.0
    """Funding an hour without a premium."""
    cap: Annotated[Ratio, Field(ge=0, le=0.01)] = 0.0075
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
    """Margin engine of every account: scenario, sensitivity or ltv, or the path of a Vyper file
    that implements IRiskEngine, or of the folder in which it is the only one."""
    engine_params: dict[str, Any] = Field(default={})
    """Constructor arguments of an engine of your own by name; an address is the name of a shipped
    engine that it builds on."""
    reference: str | None = None
    """What recomputes the margin of an engine of your own: `package.module:Class`. Without it the
    engine's decisions are not verified, and the run says so."""
    rulebook: str = "house"
    """Shipped rulebook, or the path of one."""
    liquidation: Liquidation = Liquidation()
    backstop: Backstop = Backstop()
    fees: Fees = Fees()
    interest: Interest = Interest()
    perpetual: Perpetual = Perpetual()
    staleness: Staleness = Staleness()
    listing: Listing = Listing()
    quote: str = QUOTE
    """Name of the quote stablecoin."""

    @model_validator(mode="after")
    def _own_engine(self) -> ProtocolSettings:
        if self.engine in ENGINES:
            for name in ("engine_params", "reference"):
                if getattr(self, name):
                    raise SettingError(
                        (name,), f"the engine {self.engine!r} is shipped: it takes none"
                    )
        return self


def source_of(name: str, folder: Path | None) -> Path | None:
    """Return the Vyper file that `name` means, or None if it is no path.

    Parameters
    ----------
    name
        A file, or a folder in which one Vyper file lies.
    folder
        Where relative paths start; otherwise in the working folder.

    Raises
    ------
    InputError
        It looks like a path and nothing is there, or the folder does not say which file.
    """
    for place in (folder, Path.cwd()):
        path = (place or Path.cwd()) / Path(name).expanduser()
        if path.is_dir():
            found = sorted(path.glob("*.vy"))
            if len(found) != 1:
                raise InputError(f"{path} holds {len(found)} Vyper files; name the one meant")
            return found[0].resolve()
        if path.suffix == ".vy" and path.is_file():
            return path.resolve()
    if name.endswith(".vy") or "/" in name:
        raise InputError(f"no Vyper file at {name!r}")
    return None
