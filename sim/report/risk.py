"""The risk of one book, on the terminal and drawn: what `plimsoll risk` computes, for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np
from rich.console import Console

from sim.reference.book import Book, Market
from sim.reference.horizon import Shocks, horizon_losses
from sim.reference.margin import Assessment
from sim.reference.risk_measures import tail_risk
from sim.reference.validation import Floats
from sim.report.terminal import counted, grid
from sim.units import duration, money, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACCOUNTS_SHOWN = 12


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the report of `plimsoll risk --json` as tables."""
    accounts = report["accounts"]
    spots = ", ".join(f"{name} {spot:,.6g}" for name, spot in accounts["underlyings"].items())
    console.print(
        f"{report['book']}: {counted(accounts['count'], 'account')}, "
        f"{counted(accounts['positions'], 'position')} at "
        f"{report['time']} ({spots})\n"
    )
    _show_greeks(console, report["greeks"])
    _show_margin(console, report["margin"])
    if 1 < accounts["count"] <= _ACCOUNTS_SHOWN:
        _show_health(console, report["margin"])
    _show_tail(console, report["risk"])
    _show_concentration(console, report["concentration"])
    _show_hedge(console, report["hedge"])


def _show_greeks(console: Console, greeks: Mapping[str, Any]) -> None:
    rows = {**greeks["by_underlying"], **greeks["by_expiry"], "total": greeks["total"]}
    _print_table(
        console,
        "Greeks",
        ("", "value", "dollar delta", "gamma per 1 %", "vega per point", "theta per day"),
        [
            (
                name,
                money(g["value"]),
                money(g["dollar_delta"]),
                money(g["dollar_gamma"] / 100),
                money(g["vega"] / 100),
                money(g["theta"] / 365),
            )
            for name, g in rows.items()
        ],
    )


def _show_margin(console: Console, margins: Mapping[str, Any]) -> None:
    _print_table(
        console,
        "Margin, sum over accounts",
        ("rulebook", "equity", "initial", "maintenance", "below initial", "below maintenance"),
        [
            (
                name,
                money(m["equity"]),
                money(m["initial"]),
                money(m["maintenance"]),
                str(m["below_initial"]),
                str(m["below_maintenance"]),
            )
            for name, m in margins.items()
            if "skipped" not in m
        ],
    )
    for name, m in margins.items():
        if "skipped" in m:
            console.print(f"{name}: left out, {m['skipped']}")


def _show_health(console: Console, margins: Mapping[str, Any]) -> None:
    """Print equity above maintenance: a row an account, a column a rulebook."""
    each = {name: m["accounts"] for name, m in margins.items() if "skipped" not in m}
    if not each:
        return
    _print_table(
        console,
        "Equity less maintenance",
        ("account", *each),
        [
            (
                str(of_account[0]["account"]),
                *(money(a["equity"] - a["maintenance"]) for a in of_account),
            )
            for of_account in zip(*each.values(), strict=True)
        ],
    )


def _show_tail(console: Console, risk: Mapping[str, Any]) -> None:
    span, level = duration(risk["horizon_seconds"]), percent(risk["level"], 1)
    _print_table(
        console,
        f"Loss of the whole book over {span} at {level}",
        ("method", "VaR", "ES", "error of ES"),
        [
            (
                row["method"],
                money(row["value_at_risk"]),
                money(row["expected_shortfall"]),
                f"± {money(row['es_standard_error'])}" if row["es_standard_error"] else "",
            )
            for row in risk["methods"]
            if "skipped" not in row
        ],
    )
    for row in risk["methods"]:
        if row.get("note") or "skipped" in row:
            console.print(f"  {row['method']}: {row.get('note') or row['skipped']}", style="dim")
    console.print()


def _show_concentration(console: Console, found: Mapping[str, Any]) -> None:
    _print_table(
        console,
        "Concentration",
        ("of", "Herfindahl", "effective number", "largest", "share"),
        [
            (
                name,
                f"{c['herfindahl']:.3f}",
                f"{c['effective']:.2f}",
                c["largest"],
                percent(c["largest_share"]),
            )
            for name, c in found.items()
        ],
    )


def _show_hedge(console: Console, hedge: Mapping[str, Any]) -> None:
    if "skipped" in hedge:
        console.print(f"Hedge of the whole book: {hedge['skipped']}")
        return
    held = "inside the limits" if hedge["within_limits"] else "as close to the limits as possible"
    trades = [
        (
            " ".join(
                str(trade[part])
                for part in ("underlying", "kind", "expiry", "strike")
                if trade[part] is not None
            ),
            f"{trade['size']:+,.6g}",
        )
        for trade in hedge["trades"]
    ]
    _print_table(
        console,
        f"Hedge of the whole book: {held}, at a cost of {money(hedge['cost'])}",
        ("trade", "size"),
        trades or [("none is needed", "")],
    )


def _print_table(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    table = grid(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def draw(
    path: Path,
    book: Book,
    market: Market,
    margins: Mapping[str, Assessment],
    losses: Floats,
    level: float,
) -> None:
    """Draw value against spot, the simulated losses (n,), and margin by rulebook."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    axes = figure.subplots(1, 3)
    _draw_profit(axes[0], book, market)
    _draw_losses(axes[1], losses, level)
    _draw_margins(axes[2], margins)
    figure.savefig(path)


def _draw_profit(axis: Axes, book: Book, market: Market) -> None:
    moves = np.linspace(0.5, 1.5, 101)
    grid = np.repeat(moves[:, None], market.underlyings.id.size, axis=1)
    whole = book.merged()
    for vol, label in ((1.0, "vol unchanged"), (1.5, "vol × 1.5"), (0.7, "vol × 0.7")):
        shocks = Shocks(grid, np.full_like(grid, vol), 0.0)
        axis.plot(100 * (moves - 1), -horizon_losses(whole, market, shocks)[0], label=label)
    axis.set(title="Profit of the book", xlabel="move of all spots, %")
    axis.axhline(0, color="grey", linewidth=0.5)
    axis.legend()


def _draw_losses(axis: Axes, losses: Floats, level: float) -> None:
    measured = tail_risk(losses, level)
    axis.hist(losses, bins=120, color="steelblue")
    axis.set_yscale("log")
    axis.axvline(measured.value_at_risk, color="darkorange", label="VaR")
    axis.axvline(measured.expected_shortfall, color="firebrick", label="ES")
    axis.set(title="Simulated losses", xlabel="loss")
    axis.legend()


def _draw_margins(axis: Axes, margins: Mapping[str, Assessment]) -> None:
    at = np.arange(len(margins))
    initial = [float(m.initial.sum()) for m in margins.values()]
    maintenance = [float(m.maintenance.sum()) for m in margins.values()]
    axis.barh(at - 0.2, initial, 0.4, label="initial")
    axis.barh(at + 0.2, maintenance, 0.4, label="maintenance")
    axis.set_yticks(at, list(margins))
    axis.set(title="Requirement, sum over accounts")
    axis.legend()
