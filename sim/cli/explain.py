"""`plimsoll explain`: why an account is liquidatable, or safe."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Sequence

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sim.cli._progress import progress_bar
from sim.report.terminal import terminal
from sim.units import from_wad, utc

if TYPE_CHECKING:
    from sim.engine.explain import Explanation, Figure


@click.command()
@click.argument("run")
@click.argument("account", type=click.IntRange(min=0))
@click.option("--step", type=int, help="After the block of this step; by default the last.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, account: int, step: int | None, as_json: bool) -> None:
    """Explain the margin of ACCOUNT of RUN, a folder or a name in runs/, after a step.

    The run is replayed up to there. Shown are every position's mark and greeks, every scenario's
    profit and loss, every charge and haircut, the chain's integer (in 1e-18) beside the reference's
    number, the error budget, and why the account is liquidatable or safe.

    \b
    Examples:
      plimsoll explain black-thursday-1a2b3c4d 17 --step 204
      plimsoll explain runs/black-thursday-1a2b3c4d 17 --json
    """
    from sim.engine.explain import explain
    from sim.results import Run

    with progress_bar() as tell:
        found = explain(Run.open(run), account, step, tell)
    if as_json:
        click.echo(orjson.dumps(found.as_dict()))
        return
    _show(found, terminal())


def _show(e: Explanation, console: Console) -> None:
    console.print(
        f"[bold]{escape(e.sentence)}[/]\n",
        style="red" if e.flip or "liquidatable because" in e.sentence else "",
    )
    console.print(
        f"{e.run}, step {e.step} ({utc(e.time)}), owner {e.agent}; rulebook: {escape(e.rulebook)}"
    )
    console.print(
        f"cash {e.cash:z,.6f} with interest, unsettled {e.unsettled:z,.6f}; the quote currency is "
        f"at {e.stable:g} USD"
    )
    console.print(f"error {e.error:.3g} of a budget of {e.budget:.3g}\n")
    if e.positions:
        table = _table("positions", _POSITION)
        for p in e.positions:
            numbers = (p.size, p.mark, p.vol, p.forward, p.value, p.delta)
            greeks = (p.gamma, p.vega, p.theta)
            table.add_row(
                p.instrument,
                *(f"{n:z,.4f}" if n else "–" for n in numbers),
                *(f"{n:z,.4g}" if n else "–" for n in greeks),
            )
        console.print(table)
    if e.holdings:
        table = _table("collateral", _HOLDING)
        for h in e.holdings:
            numbers = (h.amount, h.price, h.value, *h.haircuts)
            table.add_row(h.asset, *(f"{n:z,.4f}" for n in numbers))
        console.print(table)
    for title, figures in (
        ("margin", e.figures),
        ("charges", e.charges),
        ("value by expiry", e.expiries),
        ("greeks by underlying", e.greeks),
        ("losses by underlying", e.losses),
    ):
        if figures:
            console.print(_figures(title, figures))
    if e.scenarios:
        table = _table("scenarios", ["scenario", "shock", *_FIGURE, "binding"])
        for s in e.scenarios:
            row = [f"{s.underlying} {s.index}", s.shock, *_row(s.pnl), " ".join(s.binding)]
            table.add_row(*row, style="bold" if s.binding else "")
        console.print(table)


_POSITION = (
    *("position", "size", "mark", "vol", "forward", "value"),
    *("delta", "gamma", "vega", "theta"),
)
_HOLDING = ("asset", "amount", "price", "value", "haircut in", "out", "initial only")
_FIGURE = ("chain, 1e-18", "chain", "reference", "difference")


def _figures(title: str, figures: Sequence[Figure]) -> Table:
    table = _table(title, ["", *_FIGURE])
    for figure in figures:
        table.add_row(figure.name, *_row(figure))
    return table


def _row(figure: Figure) -> tuple[str, str, str, str]:
    return (
        str(figure.chain),
        f"{from_wad(figure.chain):z,.6f}",
        *(
            ("–", "–")
            if isnan(figure.reference)
            else (f"{figure.reference:z,.6f}", f"{figure.error:.1e}")
        ),
    )


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        left = number == 0 or heading in ("shock", "binding")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table
