"""Run folders are whole or partial, and equal rows give equal bytes."""

import pytest

from sim.errors import EnvironmentFault, InputError
from sim.results import TABLES, Run, RunWriter, dictionary, existing_runs
from sim.results.folder import SCHEMA_VERSION

WATERFALL = {"block": 5, "step": 1, "index": 0, "log": 3, "layer": "fund", "account": 7}
MANIFEST = {
    "schema": SCHEMA_VERSION,
    "identity": "i",
    "fingerprint": "f",
    "outcome": {"held": True},
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


def test_every_column_is_in_the_dictionary():
    text = dictionary()
    for table in TABLES.values():
        assert f"## {table.name}" in text
        for column in table.columns:
            assert f"| `{column.name}` | {column.kind} |" in text
        assert set(table.keys) <= {column.name for column in table.columns}
