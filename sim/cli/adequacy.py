"""`plimsoll adequacy`: is a rulebook's margin enough?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import click
import numpy as np
import orjson

from sim.cli._book import book_options, margins_under, read_book, simulated
from sim.cli._quantities import LEVEL, SHARE, SPAN
from sim.units import duration, money, percent

if TYPE_CHECKING:
    from sim.reference.adequacy import Adequacy
    from sim.reference.book import Book, Market

_SHOWN = 5  # counterexamples of a rulebook, on the terminal


@click.command()
@book_options
@click.option("--level", type=LEVEL, default="99%", show_default=True, help="Of ES.")
@click.option(
    "--horizon",
    type=SPAN,
    default="4h",
    show_default=True,
    help="Time to liquidate.",
)
@click.option(
    "--draw",
    type=click.IntRange(0, 10_000),
    default=0,
    metavar="N",
    help="N random books on the market of BOOK, in place of its accounts.",
)
@click.option(
    "--margin",
    "which",
    type=click.Choice(["maintenance", "initial"]),
    default="maintenance",
    show_default=True,
    help="What is held against ES.",
)
@click.option(
    "--least", type=SHARE, help="Exit with status 1 if a rulebook covers a smaller share of books."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    book: Path,
    market_file: Path | None,
    rulebooks: Sequence[str],
    level: float,
    horizon: int,
    scenarios: int,
    seed: int,
    draw: int,
    which: str,
    least: float | None,
    as_json: bool,
) -> int:
    """Hold margin under every rulebook against the simulated expected shortfall of each account.

    Losses are those of full revaluation over the horizon, under fat-tailed joint moves of spots
    and vols (Student t with 4 degrees of freedom, `realised_vol` and `correlation` of the market).
    Books whose margin is less are listed, worst first; ! marks what noise does not explain.

    \b
    Examples:
      plimsoll adequacy book.yaml
      plimsoll adequacy book.yaml --draw 500 --rulebook house --rulebook sensitivity
      plimsoll adequacy book.yaml --draw 500 --horizon 7d --margin initial --least 99%
    """
    from sim.reference.adequacy import adequacy, random_books
    from sim.reference.horizon import horizon_losses

    held, market, entry = read_book(book, market_file)
    names = [f"account {account}" for account in held.accounts]
    if draw:
        held, shapes = random_books(market, draw, np.random.default_rng(seed))
        names = [f"{shape} {i}" for i, shape in zip(held.accounts, shapes, strict=True)]
    margins, skipped = margins_under(rulebooks, held, market)
    losses = horizon_losses(held, market, simulated(entry, horizon, scenarios, seed))
    found = {
        name: adequacy(getattr(a, which), losses, level=level, names=names)
        for name, a in margins.items()
    }
    report = {
        "book": str(book),
        "level": level,
        "horizon_seconds": horizon,
        "scenarios": scenarios,
        "seed": seed,
        "margin": which,
        "books": len(names),
        "rulebooks": {name: _facts(each) for name, each in found.items()}
        | {name: {"skipped": why} for name, why in skipped.items()},
    }
    if as_json:
        click.echo(orjson.dumps(report))
    else:
        _show(report, {name: _legs(held, market, each) for name, each in found.items()})
    return int(least is not None and any(each.coverage < least for each in found.values()))


def _facts(found: Adequacy) -> dict[str, Any]:
    lost = found.expected_shortfall > 0
    ratios = found.margin[lost] / found.expected_shortfall[lost]
    return {
        "coverage": found.coverage,
        "coverage_interval": found.coverage_interval(),
        "median_ratio": float(np.median(ratios)) if ratios.size else None,
        "counterexamples": [
            {
                "name": c.name,
                "margin": c.margin,
                "expected_shortfall": c.expected_shortfall,
                "standard_error": c.standard_error,
                "ratio": c.ratio,
                "significant": c.significant,
            }
            for c in found.counterexamples()
        ],
    }


def _legs(book: Book, market: Market, found: Adequacy) -> list[str]:
    """Write out the positions of the counterexamples that are shown."""
    from sim.reference.book import KIND_NAMES, PERP

    names = dict(zip(market.underlyings.id.tolist(), market.underlyings.name, strict=True))
    written = []
    for each in found.counterexamples()[:_SHOWN]:
        rows = np.flatnonzero(book.account == book.accounts[each.index])
        legs = []
        for i in rows:
            kind = int(book.kind[i])
            days = (int(book.expiry[i]) - market.time) / 86_400
            series = "" if kind == PERP else f" {book.strike[i]:,.6g} {days:.0f}d"
            what = f"{names[int(book.underlying[i])]}{series} {KIND_NAMES[kind]}"
            legs.append(f"{book.size[i]:+,.4g} {what}")
        written.append(", ".join(legs))
    return written


def _show(report: Mapping[str, Any], legs: Mapping[str, list[str]]) -> None:
    from sim.report.terminal import counted, grid, terminal

    console = terminal()
    console.print(
        f"{report['margin']} margin of {counted(report['books'], 'book')} against ES "
        f"{percent(report['level'], 1)} over {duration(report['horizon_seconds'])}, "
        f"{report['scenarios']:,} scenarios\n"
    )
    table = grid("rulebook", "covered", "95 % interval", "median margin / ES", "least")
    for name, facts in report["rulebooks"].items():
        if "skipped" in facts:
            continue
        low, high = facts["coverage_interval"]
        middle, short = facts["median_ratio"], facts["counterexamples"]
        table.add_row(
            name,
            percent(facts["coverage"], 1),
            f"{percent(low, 1)} to {percent(high, 1)}",
            "–" if middle is None else f"{middle:.2f}",
            f"{min(c['ratio'] for c in short):.2f}" if short else "≥ 1",
        )
    console.print(table)
    for name, facts in report["rulebooks"].items():
        if "skipped" in facts:
            console.print(f"{name}: left out, {facts['skipped']}")
        elif facts["counterexamples"]:
            rest = len(facts["counterexamples"]) - _SHOWN
            console.print(f"\n[bold]{name}[/]" + (f", and {rest} more" if rest > 0 else ""))
            for c, book in zip(facts["counterexamples"], legs[name], strict=False):
                console.print(
                    f"  {'!' if c['significant'] else ' '} {c['name']}: margin "
                    f"{money(c['margin'])}, ES {money(c['expected_shortfall'])} "
                    f"± {money(c['standard_error'])}, ratio {c['ratio']:.2f}"
                )
                console.print(f"      {book}", style="dim")
