"""How every command prints: one console, one kind of table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

# A narrower terminal wraps a long row itself: a figure is never cut short.
_LEAST_COLUMNS = 132


def terminal() -> Console:
    """Return standard output as a console that neither wraps prose nor cuts tables."""
    console = Console(soft_wrap=True, highlight=False)
    console.width = max(console.width, _LEAST_COLUMNS)
    return console


def grid(*headings: str, title: str | None = None) -> Table:
    """Build a table whose columns after the first are numbers."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for position, heading in enumerate(headings):
        justify = "left" if position == 0 else "right"
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def counted(number: int, noun: str) -> str:
    """Write a number of things: 1 account, 2 accounts."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
