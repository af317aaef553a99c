"""`plimsoll run`: a scenario on a chain, verified block by block."""

from __future__ import annotations

from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@click.command()
@click.argument("scenario")
@click.option("--seed", type=int, help="Replace the scenario's seed.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Replace one value.")
@click.option("--backend", type=click.Choice(["anvil", "revm"]), default="anvil", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    scenario: str,
    seed: int | None,
    overrides: tuple[str, ...],
    backend: str,
    out: Path | None,
    as_json: bool,
) -> int:
    """Run SCENARIO, a shipped name or a file.

    The exit status is 0 if every expectation and check held, 1 if one was broken.

    \b
    Examples:
      plimsoll run black-thursday
      plimsoll run my.yaml --seed 7 --set protocol.rulebook=derive-pmrm
      plimsoll run calm --backend revm --json
    """
    from sim.engine import run
    from sim.report.console import facts, show

    quiet = bool(ctx.parent and ctx.parent.params.get("quiet"))
    errors = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=errors,
        transient=True,
        disable=quiet or not errors.is_terminal,
    ) as bar:
        task = bar.add_task("compiling", total=None, note="")

        def progress(stage: str, done: int, total: int | None, note: str) -> None:
            bar.update(task, description=stage, completed=done, total=total, note=note)

        finished = run(
            scenario,
            seed=seed,
            overrides=overrides,
            backend=backend,
            out=out,
            progress=progress,
        )
    if as_json:
        click.echo(orjson.dumps(facts(finished)))
    elif quiet:
        click.echo(finished.manifest["outcome"]["verdict"])
    else:
        show(finished, Console(soft_wrap=True))
    return 0 if finished.held else 1
