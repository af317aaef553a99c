"""How Anvil is found, and that it neither outlives its owner nor dies unnoticed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.chain import Transaction
from sim.chain import binary as finder
from sim.chain.anvil import AnvilBackend
from sim.chain.binary import TESTED_VERSION, find_anvil
from sim.errors import EnvironmentFault

GENESIS = 1_583_884_800


@pytest.fixture
def anvil_path() -> Path:
    try:
        return find_anvil().path
    except EnvironmentFault as fault:
        pytest.skip(str(fault))


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def gone(pid: int) -> bool:
    """Wait until a process has ended, or has only to be reaped by its parent."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def test_death_in_the_middle_is_a_fault(anvil_path: Path) -> None:
    with AnvilBackend(timestamp=GENESIS) as chain:
        chain.mine([], GENESIS + 1)
        os.kill(chain._process.pid, signal.SIGKILL)
        payment = Transaction("0x" + "11" * 20, "0x" + "22" * 20)
        with pytest.raises(EnvironmentFault, match=r"Anvil stopped \(killed by SIGKILL\)"):
            chain.mine([payment], GENESIS + 2)


def test_close_stops_the_node_and_removes_its_folder(anvil_path: Path) -> None:
    chain = AnvilBackend(timestamp=GENESIS)
    pid, folder = chain._process.pid, chain._folder
    chain.close()
    chain.close()
    assert gone(pid)
    assert not folder.exists()


def test_node_does_not_outlive_a_killed_owner(anvil_path: Path) -> None:
    script = (
        "from sim.chain.anvil import AnvilBackend\n"
        f"chain = AnvilBackend(timestamp={GENESIS})\n"
        "print(chain._process.pid, flush=True)\n"
        "input()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PLIMSOLL_ANVIL": str(anvil_path)},
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    assert gone(pid)


def test_start_that_fails_tells_the_last_words(
    anvil_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.chain.anvil._KEPT_BLOCKS", "not-a-number")
    with pytest.raises(EnvironmentFault, match=r"Anvil stopped \(status 2\).*"):
        AnvilBackend(timestamp=GENESIS)


def test_long_temporary_folder(
    anvil_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with AnvilBackend(timestamp=GENESIS) as chain:
        assert chain.mine([], GENESIS + 1).number == 1


def test_chosen_anvil_must_exist_and_be_native(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLIMSOLL_ANVIL", str(tmp_path / "nothing"))
    with pytest.raises(EnvironmentFault, match="cannot be run: No such file"):
        find_anvil()
    monkeypatch.setenv("PLIMSOLL_ANVIL", str(program(tmp_path / "anvil", "exec node anvil.js")))
    with pytest.raises(EnvironmentFault, match="not the native binary but a wrapper"):
        find_anvil()


@pytest.mark.parametrize("version", ["0.3.0", "1.6.9", "2.0.0"])
def test_chosen_anvil_of_another_version_is_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = program(tmp_path / "anvil", f"echo anvil Version: {version}")
    monkeypatch.setattr(finder, "_NATIVE", (b"#!",))
    monkeypatch.setenv("PLIMSOLL_ANVIL", str(fake))
    with pytest.raises(EnvironmentFault, match=f"is Anvil {version}, not {TESTED_VERSION}"):
        find_anvil()


def test_near_version_is_taken_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(finder, "_NATIVE", (b"#!",))
    monkeypatch.setenv("PLIMSOLL_ANVIL", str(program(tmp_path / "anvil", "echo anvil 1.7.9-dev")))
    assert find_anvil().version == "1.7.9"
    assert "near the tested" in caplog.text


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH comes first, but a wrapper there gives way to the project's node_modules."""
    monkeypatch.setattr(finder, "_NATIVE", (b"#!",))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("PLIMSOLL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLIMSOLL_ANVIL", raising=False)
    on_path, project = tmp_path / "bin", tmp_path / "project"
    modules = project / finder.IN_MODULES
    for path in (on_path / "anvil", modules):
        path.parent.mkdir(parents=True)
        program(path, f"echo anvil Version: {TESTED_VERSION}")
    monkeypatch.setenv("PATH", str(on_path), prepend=os.pathsep)
    monkeypatch.chdir(project)
    assert find_anvil().origin == "PATH"
    monkeypatch.chdir(tmp_path)
    (on_path / "anvil").write_text("\x7fnot a program\n")
    monkeypatch.chdir(project)
    finder._find.cache_clear()
    assert find_anvil().origin == "node_modules"


def test_nothing_found_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "candidates", lambda: iter(()))
    monkeypatch.delenv("PLIMSOLL_ANVIL", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentFault, match="plimsoll doctor --fix"):
        find_anvil()
