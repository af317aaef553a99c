"""Runs are killed at random moments and finished with the same fingerprint."""

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time

import pytest

from sim.engine import resume, run
from sim.errors import EnvironmentFault, InputError
from sim.results import TABLES, Run
from tests.engine.conftest import SMALL

BLOCKS = 15  # of the small run, its set-up included


def lines(out):
    try:
        return (resume.partial(out) / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def killed(out, blocks, wait=0.0):
    """Run in a process of its own, which is killed once so many blocks are journalled."""
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(SMALL,), kwargs={"backend": "revm", "out": out}
    )
    process.start()
    while process.is_alive() and lines(out) < blocks:
        time.sleep(0.001)
    time.sleep(wait)
    process.kill()
    process.join()


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_a_random_moment_is_finished(crash, tmp_path, seed):
    draw = random.Random(seed)
    out = tmp_path / "killed"
    killed(out, draw.randrange(BLOCKS), draw.uniform(0, 0.05))
    finished = run(SMALL, backend="revm", out=out, resume=True)
    assert finished.fingerprint == crash.fingerprint
    assert not resume.partial(out).exists()
    for name in TABLES:
        one, other = (r.folder / f"{name}.parquet" for r in (finished, crash))
        assert one.read_bytes() == other.read_bytes()


@pytest.fixture
def interrupted(tmp_path):
    """Folder of a run that was stopped in the middle."""

    def stop(stage, done, total, note):
        if stage == "running" and done == 5:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt) as caught:
        run(SMALL, backend="revm", out=out, progress=stop)
    assert caught.value.__notes__ == [
        f"{out}.partial is kept; to finish it: "
        f"plimsoll run {SMALL} --backend revm --out {out} --resume"
    ]
    return out


def test_a_torn_last_line_does_not_matter(crash, interrupted):
    path = resume.partial(interrupted) / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-1_000])
    assert run(SMALL, backend="revm", out=interrupted, resume=True).fingerprint == crash.fingerprint


def test_a_block_that_does_not_repeat_is_refused(interrupted):
    path = resume.partial(interrupted) / "journal.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    whole[-2] = whole[-2].replace(b'"statuses":[true', b'"statuses":[false', 1)
    path.write_bytes(b"".join(whole))
    with pytest.raises(EnvironmentFault, match="step 3 differs"):
        run(SMALL, backend="revm", out=interrupted, resume=True)


def test_without_resume_a_run_starts_afresh(crash, interrupted):
    path = resume.partial(interrupted) / "journal.jsonl"
    path.write_bytes(b"another run's\n")
    assert run(SMALL, backend="revm", out=interrupted).fingerprint == crash.fingerprint


def test_another_scenario_is_not_resumed(interrupted):
    with pytest.raises(InputError, match="of another identity"):
        run(SMALL, seed=6, backend="revm", out=interrupted, resume=True)


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        run(SMALL, backend="revm", out=tmp_path / "none", resume=True)


def test_two_runs_do_not_write_one_folder(interrupted):
    with (
        resume.claimed(resume.partial(interrupted)),
        pytest.raises(InputError, match="being written by another run"),
    ):
        run(SMALL, backend="revm", out=interrupted, resume=True)


def test_a_partial_folder_is_no_run(interrupted):
    with pytest.raises(InputError, match="did not finish"):
        Run.open(interrupted)


def test_ctrl_c_names_the_command_that_resumes(tmp_path):
    out = tmp_path / "run"
    program = [sys.executable, "-c", "from sim.cli import main; main()"]
    options = ["run", str(SMALL), "--set", "horizon.steps=24", "--backend", "revm", "--out"]
    process = subprocess.Popen(
        [*program, *options, str(out)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    while process.poll() is None and not lines(out):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    command = ["plimsoll", *options, str(out), "--resume"]
    assert " ".join(command) in said
    done = subprocess.run([*program, *command[1:], "--json"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # finished, and its expectation is broken
    assert json.loads(done.stdout)["run"] == str(out)
