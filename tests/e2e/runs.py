"""Running the command line in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.chain.binary import find_anvil
from sim.errors import EnvironmentFault
from sim.results import TABLES, Run

HERE = Path(__file__).parent
SHORT = HERE / "short.yaml"
GOLDEN = HERE / "golden.json"


def _missing() -> str:
    try:
        find_anvil()
    except EnvironmentFault as fault:
        return str(fault)
    return ""


needs_anvil = pytest.mark.skipif(bool(_missing()), reason=_missing() or "no Anvil")


def command(*arguments: object) -> list[str]:
    """Return the command line that runs `plimsoll` with this interpreter."""
    program = "from sim.cli import main; main()"
    return [sys.executable, "-c", program, *map(str, arguments)]


def plimsoll(
    *arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `plimsoll` to its end."""
    return subprocess.run(
        command(*arguments),
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def run_json(*arguments: object, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a scenario with `--json` and return its object."""
    done = plimsoll("run", *arguments, "--json", env=env)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def repeated_keys(run: Run) -> list[str]:
    """Return the tables in which two rows have the same key."""
    return [
        name
        for name, table in TABLES.items()
        if run.table(name).duplicated(subset=list(table.keys)).any()
    ]


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found
