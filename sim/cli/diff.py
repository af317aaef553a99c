"""`plimsoll diff`: where two runs part."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Console
from rich.markup import escape

from sim.cli._progress import progress_bar
from sim.report.terminal import terminal

if TYPE_CHECKING:
    from sim.engine.divergence import Divergence

_SLOTS_SHOWN = 4


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(a: str, b: str, as_json: bool) -> int:
    """Show where the runs A and B, folders or names in runs/, part.

    First the settings that differ: scenario, rulebook, contracts, tools. Then, of the set-up and of
    the steps, the first transaction, status, event, account figure and storage slots that differ.
    Storage is compared by replaying both runs in this process. The exit status is 1 if the chain
    saw any difference.

    \b
    Examples:
      plimsoll diff black-thursday-1a2b3c4d black-thursday-5e6f7a8b
      plimsoll diff runs/a runs/b --json
    """
    from sim.engine.divergence import diverge
    from sim.results import Run

    with progress_bar() as tell:
        found = diverge(Run.open(a), Run.open(b), tell)
    if as_json:
        click.echo(orjson.dumps({"equal": found.equal, **asdict(found)}, default=str))
    else:
        _show(found, terminal())
    return 0 if found.equal else 1


def _show(found: Divergence, console: Console) -> None:
    from sim.engine.world import SET_UP

    if found.settings:
        console.print(f"[bold]settings[/] that differ between {found.a} and {found.b}")
    for setting in found.settings:
        console.print(f"  {escape(setting.path)}: {_plain(setting.a)} → {_plain(setting.b)}")
    if found.equal:
        console.print(f"EQUAL: the journals of {found.a} and {found.b} are the same to the byte")
        return
    title = ""
    slots: Counter[int] = Counter()
    for finding in found.first:
        if finding.kind == "storage":
            slots[finding.step] += 1
            if slots[finding.step] > _SLOTS_SHOWN:
                continue
        phase = "set-up" if finding.step == SET_UP else "steps"
        if phase != title:
            console.print(f"\n[bold]{phase}[/]: the first of each kind that differs")
            title = phase
        place = "" if finding.step == SET_UP else f", step {finding.step}"
        where = f", {finding.where}" if finding.where else ""
        console.print(f"  [bold]{finding.kind}[/]{escape(place + where)}")
        if finding.a or finding.b:
            console.print(f"    {found.a}: {escape(finding.a)}")
            console.print(f"    {found.b}: {escape(finding.b)}")
    for step, count in slots.items():
        if count > _SLOTS_SHOWN:
            place = "the set-up" if step == SET_UP else f"step {step}"
            console.print(f"  and {count - _SLOTS_SHOWN} more slots of {place} (--json lists them)")
    if title != "steps":
        console.print("\n[bold]steps[/]: nothing that the chain saw differs")


def _plain(value: object) -> str:
    return "absent" if value is None else escape(str(value))
