"""What goes wrong says so in one message, leaves no node running, and nothing half-written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sim.cli import main
from tests.e2e.runs import SHORT, children, command, needs_anvil, plimsoll

ROOT = Path(__file__).parents[2]


def started(out: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """Start a long run and wait until its journal grows; return it and the node's process id."""
    process = subprocess.Popen(
        command("run", SHORT, "--out", out, "--set", "horizon.steps=200", *arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = out.with_name(out.name + ".partial") / "journal.jsonl"
    while not (journal.is_file() and journal.stat().st_size > 400_000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    nodes = [pid for pid in children(process.pid) if _name(pid).startswith("anvil")]
    assert len(nodes) == 1
    return process, nodes[0]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def is_gone(pid: int) -> bool:
    """Wait until a process has ended."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def is_one_message(text: str) -> bool:
    return text.strip().startswith("plimsoll: ") and "Traceback" not in text


@needs_anvil
def test_a_node_that_dies(tmp_path):
    process, node = started(tmp_path / "run")
    os.kill(node, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert is_one_message(errors)
    assert "nvil" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.partial"]


@needs_anvil
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption(tmp_path, number):
    process, node = started(tmp_path / "run")
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert is_one_message(errors)
    assert "interrupted" in errors
    assert is_gone(node)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.partial"]


@needs_anvil
def test_a_kill_leaves_no_node(tmp_path):
    process, node = started(tmp_path / "run")
    process.kill()
    process.communicate(timeout=120)
    assert is_gone(node)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.partial"]


def test_a_disk_that_is_full(tmp_path):
    done = subprocess.run(
        command("run", SHORT, "--backend", "revm", "--out", tmp_path / "run"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 2
    assert is_one_message(done.stderr)
    assert "cannot write" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.partial"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = plimsoll("run", SHORT, "--backend", "revm", "--out", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert is_one_message(done.stderr)
    assert "cannot write" in done.stderr


def test_an_anvil_that_will_not_do(tmp_path):
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\necho 'anvil 0.2.0 (abc 2024-01-01)'\n")
    program.chmod(0o755)
    done = plimsoll("run", SHORT, "--out", tmp_path / "run", env={"PLIMSOLL_ANVIL": str(program)})
    assert done.returncode == 2
    assert is_one_message(done.stderr)
    assert "wanted: the native Anvil 1.7.1" in done.stderr
    assert not (tmp_path / "run.partial").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "black-tuesday"], "did you mean 'black-thursday'"),
        (["run", "black-thursday", "--set", "horizon.stepz=3"], "did you mean 'step"),
        (["run", "black-thursday", "--set", "protocol.engine=magic"], "scenario, sensitivity"),
        (["run", "black-thursday", "--set", "protocol.rulebook=hose"], "did you mean 'house'"),
        (["run", "black-thursday", "--set", "protocol.liquidation.rule=dutch"], "dutch_auction"),
        (["run", "black-thursday", "--set", "protocol.rulebook=ltv"], "cannot run rulebook"),
        (["run", "black-thursday", "--set", "market.factors.BTC.vol=-60%"], "vol"),
        (["run", "black-thursday", "--set", "protocol.listing.strikes=[0]"], "strike"),
        (["run", "black-thursday", "--set", "horizon.step=15 apples"], "15 apples"),
        (["run", "black-thursday", "--set", "expect={bad_dept: 0}"], "did you mean 'bad_debt'"),
        (["run", "black-thursday", "--set", "nothing"], "path=value"),
        (["report", "nothing"], "no run at nothing"),
        (["rnu"], "did you mean 'run'"),
    ],
    ids=lambda value: " ".join(value[-1:]) if isinstance(value, list) else "",
)
def test_bad_input(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        main([*arguments, "--backend", "revm"] if arguments[0] == "run" else arguments)
    assert exit.value.code == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_names_line_and_column(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("schema: 1\nname: mine\nhorizon: {steps: 3\nmarket: 1\n")
    done = plimsoll("run", path)
    assert done.returncode == 2
    assert "mine.yaml:" in done.stderr
    assert "Traceback" not in done.stderr
