"""`plimsoll list`: what can be named in a scenario."""

from __future__ import annotations

from typing import Callable

import click
import orjson


@click.command("list")
@click.argument("what", type=click.Choice(["scenarios", "engines", "rules", "agents", "rulebooks"]))
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: names and what they are."
)
def command(what: str, as_json: bool) -> None:
    """List shipped scenarios, margin engines, liquidation rules, agents or rulebooks.

    \b
    Examples:
      plimsoll list scenarios
      plimsoll list agents --json
    """
    sources: dict[str, Callable[[], dict[str, str]]] = {
        "scenarios": _scenarios,
        "engines": _engines,
        "rules": _rules,
        "agents": _agents,
        "rulebooks": _rulebooks,
    }
    found = sources[what]()
    if as_json:
        click.echo(orjson.dumps({what: found}))
        return
    width = max(map(len, found), default=0)
    for name, text in found.items():
        click.echo(f"{name:<{width}}  {text}")


def _scenarios() -> dict[str, str]:
    from sim.marked import read
    from sim.scenario.loader import locate, shipped

    return {name: " ".join(read(locate(name)).data["description"].split()) for name in shipped()}


def _engines() -> dict[str, str]:
    from sim.protocol.settings import ENGINES

    told = {
        "scenario": "full-revaluation portfolio margin by scenarios",
        "sensitivity": "aggregated greeks and a covariance matrix",
        "ltv": "static isolated loan-to-value, the baseline",
    }
    return {name: told.get(name, contract) for name, contract in ENGINES.items()}


def _rules() -> dict[str, str]:
    from sim.protocol.settings import RULES

    told = {
        "dutch_auction": "the price falls until somebody bids",
        "partial_step": "fixed steps at a fixed discount",
        "fixed_penalty": "everything at once at a fixed penalty",
        "built_in": "the liquidator's own, in force where a rule fails",
    }
    return {name: told.get(name, contract) for name, contract in RULES.items()}


def _agents() -> dict[str, str]:
    from sim.agents.registry import known

    return known()


def _rulebooks() -> dict[str, str]:
    from sim import rulebooks

    return {name: rulebooks.load(name).title for name in rulebooks.names()}
