"""An engine and a rule of the user's own, as `plimsoll new` writes them, end to end."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import sim
from sim.cli.new import command as new
from sim.engine.explain import explain
from sim.engine.shrink import exported, shrink
from sim.errors import InputError
from sim.protocol.artifacts import artifact
from sim.results import Run
from sim.scenario.loader import load

STEPS = ["horizon.steps=4"]
UNVERIFIED = [*STEPS, "protocol.reference=null"]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """What `plimsoll new` writes."""
    folder = tmp_path_factory.mktemp("own")
    for kind, name in (("engine", "my-margin"), ("rule", "falling-price")):
        made = CliRunner().invoke(new, [kind, name, "--folder", str(folder / kind)])
        assert made.exit_code == 0
    return folder


@pytest.fixture
def own(written, tmp_path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(written, tmp_path / "own"))


@pytest.fixture(scope="module")
def unverified(written, tmp_path_factory) -> Run:
    """A run of an engine without a reference."""
    out = tmp_path_factory.mktemp("runs") / "unverified"
    scenario = written / "engine" / "my-margin.yaml"
    return sim.run(scenario, overrides=UNVERIFIED, backend="revm", out=out)


def run(scenario: Path, out: Path, *overrides: str) -> Run:
    return sim.run(scenario, overrides=[*STEPS, *overrides], backend="revm", out=out)


def test_without_a_reference_a_run_says_that_nothing_was_verified(unverified):
    outcome = unverified.manifest["outcome"]
    assert outcome["summary"]["decision_flips"] is None
    assert not outcome["held"]
    broken = [row["name"] for row in outcome["expectations"] if not row["held"]]
    assert "decision_flips" in broken
    assert "no solvency decision was verified" in outcome["verdict"]
    assert {"margin", "decisions", "greeks"}.isdisjoint(unverified.checks["check"])
    assert "order of margins" in set(unverified.checks["check"])
    assert unverified.accounts["reference_equity"].isna().all()
    assert (unverified.steps["compared"] == 0).all()
    assert "the engine has no reference" in unverified.report.read_text()


def test_nor_is_it_held_in_silence_where_nothing_is_expected(written, tmp_path):
    scenario = written / "engine" / "my-margin.yaml"
    found = run(scenario, tmp_path / "run", "protocol.reference=null", "expect={}")
    assert found.manifest["outcome"]["verdict"].startswith("HELD, BUT NOT VERIFIED")


def test_explain_shows_the_chain_alone(unverified):
    account = int(unverified.positions["account"].iloc[-1])
    found = explain(unverified, account)
    assert "No reference verifies this engine" in found.sentence
    assert all(figure.reference != figure.reference for figure in found.figures)
    assert found.as_dict()["figures"][0]["chain"] != "0"


def test_explain_shows_ones_own_reference_where_it_can_be_imported(own, tmp_path, monkeypatch):
    engine = own / "engine"
    # A name of its own, because a module is imported once.
    (engine / "kept_margin.py").write_text((engine / "my_margin.py").read_text())
    named = "protocol.reference=kept_margin:MyMargin"
    run(engine / "my-margin.yaml", tmp_path / "run", named)
    monkeypatch.delitem(sys.modules, "kept_margin")
    account = int(Run(tmp_path / "run").positions["account"].iloc[-1])
    elsewhere = explain(Run(tmp_path / "run"), account)
    assert "No reference verifies this engine" in elsewhere.sentence
    monkeypatch.chdir(engine)
    here = explain(Run(tmp_path / "run"), account)
    assert "The reference agrees" in here.sentence
    margins = {figure.name: figure for figure in here.figures}["maintenance margin"]
    assert margins.reference == pytest.approx(margins.chain / 1e18)


def test_shrinking_verifies_with_ones_own_reference(own, tmp_path, monkeypatch):
    engine = own / "engine"
    right = (engine / "my_margin.py").read_text()
    (engine / "bad_margin.py").write_text(right.replace("1 + arguments", "1.1 + arguments"))
    named = "protocol.reference=bad_margin:MyMargin"
    found = run(engine / "my-margin.yaml", tmp_path / "run", named)
    monkeypatch.chdir(engine)
    shrunk = shrink(found, "margin")
    assert 0 < shrunk.after < shrunk.before
    assert "'own': 'bad_margin:MyMargin'" in exported(shrunk)


def test_a_reference_that_is_wrong_is_found_out(own, tmp_path):
    reference = own / "engine" / "wrong_margin.py"
    right = (own / "engine" / "my_margin.py").read_text()
    reference.write_text(right.replace("1 + arguments", "1.1 + arguments"))
    found = run(
        own / "engine" / "my-margin.yaml",
        tmp_path / "run",
        "protocol.reference=wrong_margin:MyMargin",
    )
    assert not found.held
    broken = found.checks[~found.checks["held"]]
    assert set(broken["check"]) == {"margin", "decisions"}
    assert found.manifest["outcome"]["verdict"].startswith("FAILED (decisions")


def test_the_source_is_part_of_the_identity_and_its_place_is_not(own, tmp_path):
    scenario = own / "engine" / "my-margin.yaml"
    before = load(str(scenario))
    code = artifact(own / "engine" / "MyMargin.vy").bytecode_hash
    elsewhere = Path(shutil.copytree(own, tmp_path / "elsewhere"))
    assert artifact(elsewhere / "engine" / "MyMargin.vy").bytecode_hash == code
    same = load(str(elsewhere / "engine" / "my-margin.yaml"))
    assert same.digest == before.digest
    (own / "engine" / "MyMargin.vy").open("a").write("# changed\n")
    assert load(str(scenario)).digest != before.digest


def test_a_folder_means_the_one_contract_in_it(own, tmp_path):
    scenario = own / "mine.yaml"
    scenario.write_text(
        "schema: 1\nname: mine\nextends: calm\n"
        "protocol: {liquidation: {rule: rule, params: {start: 99%, slope: 6h}}}\n"
    )
    found = run(scenario, tmp_path / "run")
    assert found.manifest["contracts"]["rule"]["bytecode"] == (
        artifact(own / "rule" / "FallingPrice.vy").bytecode_hash
    )
    shutil.copy(own / "engine" / "MyMargin.vy", own / "rule")
    with pytest.raises(InputError, match=r"mine.yaml:4:.*holds 2 Vyper files"):
        run(scenario, tmp_path / "other")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("protocol.engine=YourMargin.vy", "no Vyper file at 'YourMargin.vy'"),
        ("protocol.engine=scenario", "the engine 'scenario' is shipped: it takes none"),
        ("protocol.engine_params={surcharge: 5%}", "engine_params.base: None is no address"),
        ("protocol.engine_params={base: scenario}", "needs surcharge under engine_params"),
        ("protocol.engine_params.surchrage=5%", "did you mean 'surcharge'"),
        ("protocol.engine_params.base=ltv", "engine 'ltv' cannot run rulebook 'house'"),
        ("protocol.reference=my_margin", "write package.module:Class"),
        ("protocol.reference=my_margin:Yours", "has no 'Yours'"),
        ("protocol.reference=my_margin:WAD", "is no class"),
    ],
)
def test_what_does_not_fit_is_refused(override, said, written, tmp_path):
    with pytest.raises(InputError, match=said):
        run(written / "engine" / "my-margin.yaml", tmp_path / "run", override)
    assert list(tmp_path.iterdir()) == []
