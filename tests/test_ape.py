"""Ape works on the same contracts: compiles them to the same bytes, tests and deploys them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.chain.binary import find_anvil
from sim.errors import EnvironmentFault

ROOT = Path(__file__).resolve().parent.parent


def ape(*arguments: str) -> subprocess.CompletedProcess[str]:
    search = [str(Path(sys.executable).parent), str(find_anvil().path.parent)]
    environment = {**os.environ, "PATH": os.pathsep.join([*search, os.environ["PATH"]])}
    return subprocess.run(
        [str(Path(sys.executable).parent / "ape"), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def _needs_anvil() -> None:
    try:
        find_anvil()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))


def test_compiles_to_the_same_bytecode_and_passes_its_own_tests() -> None:
    done = ape("test", "tests/ape")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 passed" in done.stdout


def test_deploys_the_plan(tmp_path: Path) -> None:
    record = tmp_path / "addresses.json"
    done = ape("run", "deploy", "--network", "ethereum:local:foundry", "--out", str(record))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    written = json.loads(record.read_text())
    assert written["chain_id"] == 31337
    assert {"clearing_house", "engine", "lens", "liquidator"} <= set(written["contracts"])
