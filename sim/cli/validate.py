"""`plimsoll validate`: read a scenario without running it."""

from __future__ import annotations

import click
import orjson

from sim.errors import InputError


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="Override a setting.")
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of scenario files, for editors."
)
@click.option(
    "--canonical", is_flag=True, help="Print the canonical form, every default written out."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    scenarios: tuple[str, ...], sets: tuple[str, ...], schema: bool, canonical: bool, as_json: bool
) -> None:
    """Check SCENARIOs, shipped names or YAML files, and simulate their markets.

    Nothing is deployed. The first thing that is wrong is named with file, line and column, and the
    exit status is 2.

    \b
    Examples:
      plimsoll validate my-scenario.yaml
      plimsoll validate black-thursday --set market.factors.ETH.vol=90% --canonical
      plimsoll validate --schema > scenario.schema.json
    """
    from sim.results.expectations import check
    from sim.scenario.loader import load
    from sim.scenario.schema import json_schema

    if schema:
        click.echo(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2))
        return
    if not scenarios:
        raise InputError("name a scenario or a file (plimsoll list scenarios), or ask for --schema")
    found = []
    for name in scenarios:
        scenario = load(name, sets)
        check(scenario)
        paths = scenario.paths()
        if canonical:
            click.echo(orjson.dumps(scenario.canonical, option=orjson.OPT_INDENT_2))
            continue
        found.append(
            {
                "scenario": scenario.name,
                "digest": scenario.digest,
                "paths": paths.digest,
                "steps": scenario.horizon.steps,
                "agents": len(scenario.cast()),
                "instruments": len(scenario.instruments(paths)),
            }
        )
    if as_json and not canonical:
        click.echo(orjson.dumps(found[0] if len(found) == 1 else {"scenarios": found}))
    else:
        for facts in found:
            click.echo(
                f"{facts['scenario']}: good; {facts['steps']} steps, {facts['agents']} agents, "
                f"{facts['instruments']} instruments"
            )
