"""The main job from the command line: one seed, one run, on every backend and kind of processor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim.engine.loop import SetUpFailed
from sim.results import TABLES, Run
from tests.e2e.runs import GOLDEN, SHORT, needs_anvil, plimsoll, repeated_keys, run_json


@pytest.fixture(scope="module")
def on_anvil(tmp_path_factory):
    return run_json(SHORT, "--out", tmp_path_factory.mktemp("anvil") / "run")


@pytest.fixture(scope="module")
def on_revm(tmp_path_factory):
    out = tmp_path_factory.mktemp("revm") / "run"
    return run_json(SHORT, "--backend", "revm", "--out", out)


@needs_anvil
def test_the_chain_agrees_with_the_reference(on_anvil):
    assert on_anvil["held"]
    assert on_anvil["liquidations"] >= 1
    assert on_anvil["decision_flips"] == 0
    assert on_anvil["conservation"] == 0
    assert 0 < on_anvil["largest_error"] < 1
    assert on_anvil["verdict"].startswith("HELD")


@needs_anvil
def test_both_backends_leave_the_same_fingerprint(on_anvil, on_revm):
    assert on_anvil["fingerprint"] == on_revm["fingerprint"]


@needs_anvil
def test_a_fresh_process_repeats_the_run_block_by_block(on_anvil, tmp_path):
    again = run_json(SHORT, "--out", tmp_path / "again")
    assert again["fingerprint"] == on_anvil["fingerprint"]
    one, other = Run.open(on_anvil["run"]), Run.open(again["run"])
    assert one.steps["block_hash"].tolist() == other.steps["block_hash"].tolist()
    assert one.steps["block_hash"].str.startswith("0x").all()
    for name in TABLES:
        files = [run.folder / f"{name}.parquet" for run in (one, other)]
        assert files[0].read_bytes() == files[1].read_bytes(), name


def test_every_row_of_every_table_has_its_own_key(on_revm):
    run = Run.open(on_revm["run"])
    assert run.transactions.query("step == -1")["block"].nunique() > 1
    assert repeated_keys(run) == []


def test_cash_is_with_interest_and_stored_cash_without(on_revm):
    accounts = Run.open(on_revm["run"]).accounts
    borrowers = accounts[accounts["stored_cash"] < 0]
    assert (borrowers["cash"] <= borrowers["stored_cash"]).all()
    assert (borrowers["cash"] < borrowers["stored_cash"]).any()
    lenders = accounts[accounts["stored_cash"] > 0]
    assert (lenders["cash"] == lenders["stored_cash"]).all()


@pytest.mark.parametrize(
    "env",
    [
        {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_ICL"},
        {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3", "OPENBLAS_CORETYPE": "Nehalem"},
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "1"},
    ],
    ids=["no AVX-512", "no AVX2", "one BLAS thread", "two BLAS threads"],
)
def test_processor_and_threads_leave_no_trace(on_revm, env, tmp_path):
    again = run_json(SHORT, "--backend", "revm", "--out", tmp_path / "run", env=env)
    assert again["fingerprint"] == on_revm["fingerprint"]


def test_the_golden_fingerprint(on_revm):
    """If a change of contracts or models is meant, write the new figures to golden.json."""
    golden = json.loads(GOLDEN.read_text())
    found = {key: on_revm[key] for key in golden["short"]}
    assert found == golden["short"]


def test_another_seed_is_another_run(on_revm, tmp_path):
    other = run_json(SHORT, "--backend", "revm", "--seed", 8, "--out", tmp_path / "run")
    assert other["fingerprint"] != on_revm["fingerprint"]


def test_a_run_of_the_same_identity_is_kept(on_revm):
    manifest = Path(on_revm["run"]) / "manifest.json"
    before = manifest.stat().st_mtime_ns
    again = run_json(SHORT, "--backend", "revm", "--out", on_revm["run"])
    assert again["fingerprint"] == on_revm["fingerprint"]
    assert manifest.stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_not_touched(on_revm):
    done = plimsoll("run", SHORT, "--backend", "revm", "--seed", 9, "--out", on_revm["run"])
    assert done.returncode == 2
    assert "holds another run" in done.stderr


@pytest.mark.parametrize(
    ("steps", "expect", "verdict"),
    [
        (3, "{steps.accounts.max: {max: 1}}", "steps.accounts.max: 12"),
        # A table without rows has a sum of 0, and nothing else.
        (
            2,
            "{liquidations.account.sum: 0, liquidations.account.min: {max: 5}}",
            "liquidations.account.min: no rows in liquidations)",
        ),
    ],
)
def test_a_broken_expectation_is_exit_status_1(tmp_path, steps, expect, verdict):
    out = tmp_path / "run"
    changes = ("--set", f"horizon.steps={steps}", "--set", f"expect={expect}")
    done = plimsoll("run", SHORT, "--backend", "revm", "--out", out, *changes)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"FAILED ({verdict}")
    assert not done.stderr
    assert (out / "manifest.json").is_file()
    assert (out / "report.html").is_file()


def test_what_would_only_happen_again_is_not_to_be_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.engine.loop.SET_UP_GAS", 20_000_000)  # too little to deploy with
    with pytest.raises(SetUpFailed, match="deploy by deployer failed") as caught:
        sim.run(SHORT, backend="revm", overrides=["horizon.steps=2"], out=tmp_path / "run")
    assert caught.value.__notes__ == [f"{tmp_path / 'run'}.partial is kept"]


def test_the_report_needs_no_network(on_revm):
    page = (Path(on_revm["run"]) / "report.html").read_text()
    assert "<script" not in page
    assert "http-equiv" not in page
    for reference in ('src="http', 'href="http', "url(http", "@import"):
        assert reference not in page
    assert on_revm["verdict"] in page
    assert page.count("<svg") >= 5


def test_runs_and_report_show_it_again(on_revm):
    folder = Path(on_revm["run"])
    assert folder.name in plimsoll("runs", folder.parent).stdout
    shown = plimsoll("report", folder)
    assert shown.stdout.splitlines()[0] == on_revm["verdict"]
    assert json.loads(plimsoll("report", folder, "--json").stdout) == on_revm
    assert "| `equity_wad` |" in plimsoll("report", folder, "--dictionary").stdout


def test_from_python(on_revm, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = sim.run(SHORT, backend="revm", out=on_revm["run"])
    last = run.accounts.query("step == step.max()")
    assert len(last) == 13
    assert (run.steps["conservation"] == 0).all()
    assert run.steps["step"].tolist() == list(range(28))
