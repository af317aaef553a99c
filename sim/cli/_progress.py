"""A progress bar on standard error: only on a terminal, and not if asked to be quiet."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Tell = Callable[[str, int, int | None, str], None]


@contextmanager
def progress_bar() -> Iterator[Tell]:
    """Yield what is told the stage, how far it is, how long it is if known, and a note."""
    context = click.get_current_context(silent=True)
    quiet = bool(context and context.parent and context.parent.params.get("quiet"))
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
        task = bar.add_task("reading", total=None, note="")

        def tell(stage: str, done: int, total: int | None, note: str) -> None:
            bar.update(task, description=stage, completed=done, total=total, note=note)

        yield tell
