"""`plimsoll runs`: what was run."""

from __future__ import annotations

from pathlib import Path

import click
import orjson
from rich.table import Table

from sim.report.terminal import terminal


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER (runs/ unless told otherwise).

    \b
    Example:
      plimsoll runs
    """
    from sim.report.console import facts
    from sim.results import existing_runs

    runs = existing_runs(folder)
    unfinished = sorted(path.name for path in folder.glob("*.partial")) if folder.is_dir() else []
    if as_json:
        click.echo(orjson.dumps({"runs": [facts(run) for run in runs], "unfinished": unfinished}))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "held", "liquidated", "bad debt", "flips", "fingerprint"):
        table.add_column(heading)
    for run in runs:
        summary = run.manifest["outcome"]["summary"]
        table.add_row(
            run.name,
            "yes" if run.held else "no",
            str(summary["liquidations"]),
            f"{summary['bad_debt']:,.0f}",
            str(summary["decision_flips"]),
            run.fingerprint[:16],
        )
    console = terminal()
    if runs:
        console.print(table)
    else:
        console.print(f"no finished runs in {folder}")
    for name in unfinished:
        console.print(f"{name} did not finish", style="yellow")
