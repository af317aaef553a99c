"""What the commands on a book share: its options, the rulebooks, and how its market moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence, TypeVar

import click
import numpy as np

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.reference.book import Book, Market
    from sim.reference.horizon import Shocks
    from sim.reference.margin import Assessment
    from sim.scenario.book_file import MarketEntry

C = TypeVar("C", bound=Callable[..., Any])


def book_options(command: C) -> C:
    """Add the book, its market, the rulebooks, and what is simulated."""
    for add in (
        click.option("--seed", type=click.IntRange(0), default=1, show_default=True),
        click.option(
            "--scenarios", type=click.IntRange(100, 1_000_000), default=20_000, show_default=True
        ),
        click.option(
            "--rulebook",
            "rulebooks",
            multiple=True,
            metavar="NAME|FILE",
            help="Default: all shipped ones.",
        ),
        click.option(
            "--market",
            "market_file",
            type=click.Path(path_type=Path),
            help="YAML file with a `market`, when BOOK has none.",
        ),
        click.argument("book", type=click.Path(path_type=Path)),
    ):
        command = add(command)
    return command


def read_book(path: Path, market_file: Path | None) -> tuple[Book, Market, MarketEntry]:
    """Read a book, and its market from the other file if there is one."""
    from sim.scenario.book_file import load, load_market

    file = load(path)
    entry = load_market(market_file) if market_file else file.market
    book, market = file.value(entry)
    assert entry is not None  # else `value` refused
    return book, market, entry


def margins_under(
    rulebooks: Sequence[str], book: Book, market: Market
) -> tuple[dict[str, Assessment], dict[str, str]]:
    """Assess under each rulebook; one that does not cover the book is skipped with the reason."""
    from sim import rulebooks as shelf
    from sim.reference import assess

    rules = {name: shelf.load(name) for name in rulebooks or shelf.names()}
    done: dict[str, Assessment] = {}
    skipped: dict[str, str] = {}
    for name, rulebook in rules.items():
        try:
            done[name] = assess(book, market, rulebook)
        except InputError as error:
            skipped[name] = str(error)
    return done, skipped


def simulated(entry: MarketEntry, horizon: int, scenarios: int, seed: int) -> Shocks:
    """Draw moves of the market by its `realised_vol` (else `vol`) and `correlation`."""
    from sim.reference.horizon import simulate_shocks

    return simulate_shocks(
        entry.volatilities(),
        entry.correlations(),
        horizon,
        scenarios,
        np.random.default_rng(seed),
    )
