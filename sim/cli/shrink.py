"""`plimsoll shrink`: a failing run reduced to a test of few transactions."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sim.cli._progress import progress_bar
from sim.errors import InputError


@click.command()
@click.argument("run")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The test file."
)
@click.option(
    "--failure",
    metavar="WHAT",
    help="A check, or a comparison such as 'bad_debt > 0'; by default the first that is broken.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, out: Path, failure: str | None, as_json: bool) -> None:
    """Reduce RUN, a folder or a name in runs/, to few transactions that still fail.

    Transactions are left out for as long as the failure stays, by replaying them in this process.
    What is left is written as a pytest file that compiles the contracts from their sources: it
    fails now, and passes once the fault is mended.

    \b
    Examples:
      plimsoll shrink black-thursday-1a2b3c4d --out tests/test_found.py
      plimsoll shrink runs/luna-2022-5e6f7a8b --failure 'bad_debt > 0' --out test_luna.py
    """
    from sim.engine.shrink import exported, shrink
    from sim.results import Run

    if out.exists():
        raise InputError(f"{out} exists already; choose another place with --out")
    with progress_bar() as tell:
        found = shrink(Run.open(run), failure, tell)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(exported(found))
    if as_json:
        facts = {name: getattr(found, name) for name in _FACTS}
        click.echo(orjson.dumps({**facts, "file": str(out)}))
        return
    click.echo(
        f"{found.failure}: {found.after} of {found.before} transactions still fail "
        f"({found.found}), found in {found.trials} trials"
    )
    for step in found.case.steps:
        for sent in step.sent:
            click.echo(f"  step {step.step}: {sent.sender} → {sent.contract}.{sent.function}")
    click.echo(f"test: {out}")


_FACTS = ("run", "failure", "before", "after", "trials", "found")
