"""Plimsoll: a wind tunnel for margin and liquidation rules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sim.engine import replay as replay
    from sim.engine import run as run
    from sim.results import Run as Run

_HOMES = {"run": "sim.engine", "replay": "sim.engine", "Run": "sim.results"}


def __getattr__(name: str) -> Any:
    """Import the rooms behind the public names only when they are used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
