"""Plimsoll: a wind tunnel for margin and liquidation rules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sim import reference as reference
    from sim import rulebooks as rulebooks
    from sim.engine import replay as replay
    from sim.engine import run as run
    from sim.results import Run as Run

_HOMES = {"run": "sim.engine", "replay": "sim.engine", "Run": "sim.results"}
_ROOMS = ("reference", "rulebooks")


def __getattr__(name: str) -> Any:
    """Import what is public only when it is used."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(("__version__", *_HOMES, *_ROOMS))
