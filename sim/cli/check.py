"""`plimsoll check`: scenarios as tests."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import click
import orjson


@click.command()
@click.argument("scenarios", nargs=-1)
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="In each of them.")
@click.option("--backend", type=click.Choice(["anvil", "revm"]), default="anvil", show_default=True)
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit file, for CI.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    scenarios: tuple[str, ...],
    overrides: tuple[str, ...],
    backend: str,
    junit: Path | None,
    as_json: bool,
) -> int:
    """Run SCENARIOS, all that are shipped unless named, and say which of them hold.

    The exit status is 1 if an expectation or a check of any was broken.

    \b
    Examples:
      plimsoll check
      plimsoll check my-rules/*.yaml --junit report.xml
    """
    from sim.engine import run
    from sim.report.console import facts
    from sim.scenario.loader import shipped

    found = []
    for name in scenarios or shipped():
        finished = run(name, overrides=overrides, backend=backend)
        found.append(facts(finished))
        if not as_json:
            click.echo(f"{finished.manifest['scenario']['name']:<24} {found[-1]['verdict']}")
    if junit is not None:
        junit.write_bytes(_junit(found))
    held = all(item["held"] for item in found)
    if as_json:
        click.echo(orjson.dumps({"held": held, "runs": found}))
    return 0 if held else 1


def _junit(runs: list[dict[str, object]]) -> bytes:
    """Return the runs as one JUnit suite, an expectation a test case."""
    suite = ElementTree.Element("testsuite", name="plimsoll")
    count = failures = 0
    for item in runs:
        rows = item["expectations"]
        assert isinstance(rows, list)
        for row in rows:
            case = ElementTree.SubElement(
                suite, "testcase", classname=Path(str(item["run"])).name, name=str(row["name"])
            )
            count += 1
            if not row["held"]:
                failures += 1
                message = f"found {row['found']}, allowed {row['allowed']}"
                ElementTree.SubElement(case, "failure", message=message)
    suite.set("tests", str(count))
    suite.set("failures", str(failures))
    document: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document
