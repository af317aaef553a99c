"""Agents by name: those that come with the package, entry points, and dotted paths."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from sim.agents.adversaries import (
    Depositor,
    Duster,
    OracleSandwicher,
    SelfLiquidator,
    Spoofer,
    Whale,
)
from sim.agents.base import Agent, Params
from sim.agents.keepers import Bidder, Keeper
from sim.agents.makers import LiquidityProvider, MarketMaker
from sim.agents.traders import Hedger, OptionBuyer, OptionWriter, PerpTrader, ShortGamma
from sim.dotted import imported
from sim.errors import InputError, unknown

ENTRY_POINTS = "plimsoll.agents"

AgentClass = type[Agent[Params]]

_SHIPPED: dict[str, type] = {
    "bidder": Bidder,
    "depositor": Depositor,
    "duster": Duster,
    "hedger": Hedger,
    "liquidator": Keeper,
    "liquidity_provider": LiquidityProvider,
    "market_maker": MarketMaker,
    "option_buyer": OptionBuyer,
    "option_writer": OptionWriter,
    "oracle_sandwicher": OracleSandwicher,
    "perp_trader": PerpTrader,
    "self_liquidator": SelfLiquidator,
    "short_gamma": ShortGamma,
    "spoofer": Spoofer,
    "whale": Whale,
}


def known() -> dict[str, str]:
    """Return the agents that can be used by name, with what each says of itself."""
    found = {name: _headline(cls.__doc__) for name, cls in _SHIPPED.items()}
    for point in entry_points(group=ENTRY_POINTS):
        found.setdefault(point.name, f"from {point.value}")
    return dict(sorted(found.items()))


def find(use: str, folder: Path | None = None) -> AgentClass:
    """Return the class of an agent.

    Parameters
    ----------
    use
        A name of `known()`, or a dotted path such as `my_package.bots:Sandwicher`.
    folder
        Of the scenario: modules beside it can be imported, as can those of the working folder.

    Raises
    ------
    InputError
        No such agent, or what the path names is not one.
    """
    if use in _SHIPPED:
        return _SHIPPED[use]
    if ":" in use:
        return _checked(use, imported(use, "agent", folder))
    for point in entry_points(group=ENTRY_POINTS, name=use):
        return _checked(use, point.load())
    raise unknown("agent", use, known())


def _checked(use: str, found: object) -> AgentClass:
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise InputError(f"agent {use!r}: not a subclass of sim.agents.base.Agent")
    if not issubclass(found.Params, Params):
        raise InputError(f"agent {use!r}: its Params is not a subclass of sim.agents.base.Params")
    return found


def _headline(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
