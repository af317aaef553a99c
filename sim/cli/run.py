"""`plimsoll run`: a scenario on a chain, verified block by block."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sim.cli._progress import progress_bar
from sim.report.terminal import terminal


@click.command()
@click.argument("scenario")
@click.option("--seed", type=int, help="Replace the scenario's seed.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Replace one value.")
@click.option("--backend", type=click.Choice(["anvil", "revm"]), default="anvil", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Finish a run that was interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    scenario: str,
    seed: int | None,
    overrides: tuple[str, ...],
    backend: str,
    out: Path | None,
    resume: bool,
    as_json: bool,
) -> int:
    """Run SCENARIO, a shipped name or a file.

    The exit status is 0 if every expectation and check held, 1 if one was broken.

    A run that is interrupted leaves OUT.partial. The same command with --resume plays it again,
    verifies every block against the journal that is there and finishes it; without --resume it
    starts afresh.

    \b
    Examples:
      plimsoll run black-thursday
      plimsoll run my.yaml --seed 7 --set protocol.rulebook=derive-pmrm
      plimsoll run calm --backend revm --json
    """
    from sim.engine import run
    from sim.report.console import facts, show

    with progress_bar() as tell:
        try:
            finished = run(
                scenario,
                seed=seed,
                overrides=overrides,
                backend=backend,
                out=out,
                resume=resume,
                progress=tell,
            )
        except BaseException as error:
            for note in getattr(error, "__notes__", ()):
                click.echo(f"plimsoll: {note}", err=True)
            raise
    if as_json:
        click.echo(orjson.dumps(facts(finished)))
    elif ctx.parent and ctx.parent.params.get("quiet"):
        click.echo(finished.manifest["outcome"]["verdict"])
    else:
        show(finished, terminal())
    return 0 if finished.held else 1
