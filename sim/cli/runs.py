"""`plimsoll runs`: what was run."""

from __future__ import annotations

from pathlib import Path

import click
import orjson
from rich.table import Table

from sim.errors import InputError
from sim.report.terminal import terminal

RUNS = Path("runs")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=RUNS)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER (runs/ unless told otherwise), and name those that are damaged.

    \b
    Example:
      plimsoll runs
    """
    from sim.report.console import facts
    from sim.results import existing_runs

    if not folder.is_dir() and folder != RUNS:
        raise InputError(f"{folder} is no folder")
    runs, damaged = [], []
    for run in existing_runs(folder):
        try:
            listed = facts(run)
        except InputError as error:
            damaged.append(str(error))
        else:
            runs.append((run, listed))
    unfinished = sorted(path.name for path in folder.glob("*.partial")) if folder.is_dir() else []
    if as_json:
        found = {"runs": [listed for _, listed in runs], "unfinished": unfinished}
        click.echo(orjson.dumps({**found, "damaged": damaged}))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "held", "liquidated", "bad debt", "flips", "fingerprint"):
        table.add_column(heading)
    for run, listed in runs:
        table.add_row(
            run.name,
            "yes" if run.held else "no",
            str(listed["liquidations"]),
            f"{listed['bad_debt']:,.0f}",
            str(listed["decision_flips"]),
            run.fingerprint[:16],
        )
    console = terminal()
    if runs:
        console.print(table)
    else:
        console.print(f"no finished runs in {folder}")
    for name in unfinished:
        console.print(f"{name} did not finish", style="yellow")
    for message in damaged:
        console.print(message, style="red", soft_wrap=True)
