"""Run folders are whole or partial, and equal rows give equal bytes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.cli.runs import command as runs
from sim.engine.replica import accounts_by_step
from sim.errors import EnvironmentFault, InputError
from sim.results import TABLES, Run, RunWriter, dictionary, existing_runs
from sim.results.folder import SCHEMA_VERSION

WATERFALL = {"block": 5, "step": 1, "index": 0, "log": 3, "layer": "fund", "account": 7}
MANIFEST = {
    "schema": SCHEMA_VERSION,
    "identity": "i",
    "fingerprint": "f",
    "scenario": {"name": "x", "seed": 0, "canonical": {}},
    "backend": "revm",
    "versions": {},
    "paths": "p",
    "outcome": {
        "held": True,
        "verdict": "HELD",
        "summary": {"liquidations": 0, "bad_debt": 0.0, "decision_flips": 0},
        "expectations": [],
    },
    "timings": {"seconds": 1.0},
}


def written(folder, amounts=(5 * 10**18, 1)):
    writer = RunWriter(folder)
    writer.add("waterfall", [{**WATERFALL, "amount_wad": amount} for amount in amounts])
    writer.close_tables()
    return writer.finish(MANIFEST)


def test_a_finished_run_is_read_back(tmp_path):
    run = written(tmp_path / "a")
    assert run.waterfall["amount"].tolist() == [5.0, 1e-18]
    assert "amount_wad" not in run.waterfall
    assert run.held
    assert run.fingerprint == "f"
    assert [found.name for found in existing_runs(tmp_path)] == ["a"]
    assert not (tmp_path / "a.partial").exists()


def test_exact_columns_hold_every_digit(tmp_path):
    import pyarrow.parquet as pq

    amount = 12_345_678_901_234_567_890_123_456_789_012_345
    run = written(tmp_path / "a", [amount])
    column = pq.read_table(run.folder / "waterfall.parquet")["amount_wad"]
    assert int(column[0].as_py()) == amount


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux does")
def test_reading_starts_no_thread(tmp_path):
    # A thread of Arrow's that is still busy when the process ends aborts it.
    written(tmp_path / "a")
    program = f"""
import os
from sim.engine.replica import accounts_by_step
from sim.results import TABLES, Run
run = Run.open({str(tmp_path / "a")!r})
before = len(os.listdir("/proc/self/task"))
for name in TABLES:
    run.table(name)
list(accounts_by_step(run))
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "0\n", done.stderr


def test_equal_rows_give_equal_bytes(tmp_path):
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    for name in TABLES:
        one, other = (run.folder / f"{name}.parquet" for run in (first, second))
        assert one.read_bytes() == other.read_bytes()


def test_an_unfinished_run_is_not_a_run(tmp_path):
    RunWriter(tmp_path / "a")
    assert existing_runs(tmp_path) == []
    with pytest.raises(InputError, match="did not finish"):
        Run.open(tmp_path / "a")
    with pytest.raises(InputError, match="no run at"):
        Run.open(tmp_path / "b")


def test_what_is_there_is_never_overwritten(tmp_path):
    written(tmp_path / "a")
    with pytest.raises(InputError, match="exists already"):
        RunWriter(tmp_path / "a")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match=r"cannot write .*file"):
        RunWriter(tmp_path / "file" / "run")


def test_another_schema_is_refused(tmp_path):
    run = written(tmp_path / "a")
    (run.folder / "manifest.json").write_text('{"schema": 99}')
    with pytest.raises(InputError, match="schema 99"):
        _ = Run(run.folder).manifest


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"schema": 3, "identity": "i"}'])
def test_a_damaged_manifest_is_refused_and_the_other_runs_are_listed(tmp_path, content):
    written(tmp_path / "good")
    path = written(tmp_path / "bad").folder / "manifest.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"bad/manifest\.json: "):
        _ = Run(path.parent).manifest
    listed = CliRunner().invoke(runs, [str(tmp_path)])
    assert listed.exit_code == 0
    assert listed.output.splitlines()[1].startswith("good")
    assert "bad/manifest.json: " in listed.output
    facts = json.loads(CliRunner().invoke(runs, [str(tmp_path), "--json"]).output)
    assert ([run["run"] for run in facts["runs"]], len(facts["damaged"])) == (
        [str(tmp_path / "good")],
        1,
    )


def test_a_manifest_has_every_part(tmp_path):
    for key in ("outcome", "timings"):
        run = written(tmp_path / key)
        rest = {name: value for name, value in MANIFEST.items() if name != key}
        (run.folder / "manifest.json").write_text(json.dumps({**rest, key: {}}))
        with pytest.raises(InputError, match=rf"{key}\.\w+ is missing"):
            _ = Run(run.folder).manifest


def test_runs_of_a_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no finished runs" in CliRunner().invoke(runs, []).output
    refused = CliRunner().invoke(runs, ["nope"])
    assert isinstance(refused.exception, InputError)


@pytest.mark.parametrize("content", [b"PA", None])
def test_a_damaged_table_is_refused(tmp_path, content):
    run = written(tmp_path / "a")
    for name in ("accounts", "steps"):
        path = run.folder / f"{name}.parquet"
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.parquet is missing or damaged"):
            run.table(name)
    with pytest.raises(InputError, match=r"accounts\.parquet is missing or damaged"):
        next(accounts_by_step(run))


def test_every_column_is_in_the_dictionary():
    text = dictionary()
    for table in TABLES.values():
        assert f"## {table.name}" in text
        for column in table.columns:
            assert f"| `{column.name}` | {column.kind} |" in text
        assert set(table.keys) <= {column.name for column in table.columns}
