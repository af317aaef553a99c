"""The rooms of the package: each imports only from those before it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

import sim

ROOMS = (
    "errors",
    "units",
    "model",
    "marked",
    "streams",
    "cache",
    "dotted",
    "reference",
    "rulebooks",
    "market",
    "oracle",
    "chain",
    "protocol",
    "agents",
    "scenario",
    "checks",
    "results",
    "report",
    "engine",
    "bench",
    "cli",
)
PACKAGE = Path(sim.__file__).parent


def imported(path: Path) -> Iterator[str]:
    """Yield the rooms that a module imports from, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "sim":
            names = [f"sim.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            room = rest.split(".")[0]
            if package == "sim" and room in ROOMS:
                yield room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_before_it(room: str) -> None:
    folder = PACKAGE / room
    modules = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    allowed = ROOMS[: ROOMS.index(room) + 1]
    wrong = [
        f"{module.relative_to(PACKAGE)} imports sim.{name}"
        for module in modules
        for name in imported(module)
        if name not in allowed
    ]
    assert not wrong


def test_every_module_is_in_a_room() -> None:
    found = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))
    }
    assert found - {"__init__", "__main__"} == set(ROOMS)


def test_reference_and_chain_know_nothing_of_each_other() -> None:
    for room, other in (("reference", "chain"), ("chain", "reference")):
        for module in (PACKAGE / room).rglob("*.py"):
            assert other not in set(imported(module)), module
