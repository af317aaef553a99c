"""Every shipped scenario runs, agrees with the reference, and conserves money.

Here only the first steps of each; `make scenarios` runs them whole, expectations included.
"""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

import sim
from sim.cli import main
from sim.scenario.loader import shipped
from tests.e2e.runs import SHORT, repeated_keys


@pytest.mark.parametrize("name", shipped())
def test_the_first_steps_agree(name, tmp_path):
    run = sim.run(name, backend="revm", overrides=["horizon.steps=6"], out=tmp_path / "run")
    assert len(run.steps) == 6
    checks = run.checks
    assert checks["held"].all(), checks[~checks["held"]]
    assert run.accounts["account"].nunique() > 2
    assert repeated_keys(run) == []


def test_check_runs_scenarios_as_tests(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "check",
                str(SHORT),
                "--backend",
                "revm",
                "--json",
                "--junit",
                "report.xml",
                "--set",
                "horizon.steps=2",
            ]
        )
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1  # in two steps nobody is liquidated
    assert not found["held"]
    suite = ElementTree.parse("report.xml").getroot()
    assert [case.get("name") for case in suite if len(case)] == ["liquidations"]
    assert suite.get("failures") == "1"
    assert int(suite.get("tests", 0)) == len(found["runs"][0]["expectations"])
