"""Rulebooks shipped with Plimsoll, one YAML file each, and the loader for more of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sim import marked
from sim.errors import unknown
from sim.reference.rulebook import KINDS, Rulebook

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the shipped rulebooks."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load(name_or_path: str | Path) -> Rulebook:
    """Read a shipped rulebook by name, or any other by the path of its YAML file.

    Raises
    ------
    InputError
        With file:line:column of everything that is wrong; unknown keys are refused.
    """
    text = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml"))
    if not is_path and text not in names():
        raise unknown("rulebook", text, names())
    return _read(Path(text)) if is_path else _shipped(text)


@lru_cache
def _shipped(name: str) -> Rulebook:
    return _read(_FOLDER / f"{name}.yaml")


def _read(path: Path) -> Rulebook:
    document = marked.read(path)
    data = document.data
    if not isinstance(data, dict):
        raise document.error((), "a rulebook is a map of keys")
    kind = data.get("kind")
    if kind not in KINDS:
        raise document.error(("kind",), str(unknown("kind of rulebook", str(kind), KINDS)))
    return document.build(KINDS[kind])
