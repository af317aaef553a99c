"""The commands `validate`, `list` and `new`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.agents.registry import known
from sim.cli.list_ import command as list_command
from sim.cli.new import command as new
from sim.cli.validate import command as validate
from sim.errors import InputError, PlimsollError
from sim.scenario.loader import shipped

ROOT = Path(__file__).parents[2]


def run(command, *args: str) -> str:
    """Return what a command prints; what it raises for people goes through."""
    result = CliRunner().invoke(command, list(args))
    if isinstance(result.exception, PlimsollError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_validate_says_what_is_in_a_scenario():
    assert run(validate, "calm") == "calm: good; 144 steps, 48 agents, 110 instruments\n"
    facts = json.loads(run(validate, "calm", "--json", "--set", "horizon.steps=10"))
    assert (facts["scenario"], facts["steps"]) == ("calm", 10)
    assert len(json.loads(run(validate, "calm", "vol-spike", "--json"))["scenarios"]) == 2


def test_validate_prints_the_canonical_form_and_the_schema():
    assert json.loads(run(validate, "calm", "--canonical"))["horizon"]["step"] == 300
    assert "market" in json.loads(run(validate, "--schema"))["properties"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name a scenario or a file"),
        (("clam",), "unknown scenario 'clam'; did you mean 'calm'"),
        (("calm", "--set", "market.factors.ETH.vol=-1"), "must be above 0"),
        (("calm", "--set", "protocol.rulebook=hose"), "unknown rulebook 'hose'; did you mean"),
        (("calm", "--set", "expect.bad_dept=0"), "^--set: expect.bad_dept: .*mean 'bad_debt'"),
        (("calm", "--set", "expect.bad_debt=five"), "^--set: expect.bad_debt: 'five' is not a nu"),
        (("calm", "--set", 'expect."step.event.max"=5'), "unknown table .*did you mean 'steps'"),
        (("calm", "--set", 'expect."events.event.mean"=5'), "event is text: it has no mean"),
        (("calm", "--set", 'expect."events.event.last"=5'), "write the text"),
        (("calm", "--set", "market.expiries=[90y]"), "an expiry would be after 2106"),
        (("black-thursday", "--set", "horizon.steps=400"), "leaves the recording"),
        (("black-thursday", "--set", "horizon.start=2021-01-01"), "leaves the recording"),
    ],
)
def test_validate_refuses_with_one_message(args, message):
    with pytest.raises(InputError, match=message):
        run(validate, *args)


@pytest.mark.parametrize("what", ["scenarios", "engines", "rules", "agents", "rulebooks"])
def test_list_names_everything_and_says_what_it_is(what):
    found = json.loads(run(list_command, what, "--json"))[what]
    assert found
    assert all(text.strip() for text in found.values())
    lines = run(list_command, what).splitlines()
    assert [line.split()[0] for line in lines] == list(found)


def test_list_has_what_is_shipped():
    assert list(json.loads(run(list_command, "scenarios", "--json"))["scenarios"]) == shipped()
    assert list(json.loads(run(list_command, "agents", "--json"))["agents"]) == list(known())


def test_every_template_passes_its_own_test(tmp_path):
    for kind, files in (("scenario", 2), ("agent", 2), ("rule", 3), ("engine", 4)):
        assert run(new, kind, f"my-{kind}", "--folder", str(tmp_path)).count("wrote") == files
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:ape_test", "."],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3_000:]
    assert "6 passed" in result.stdout


def test_new_overwrites_nothing_and_wants_a_name(tmp_path):
    run(new, "agent", "DipBuyer", "--folder", str(tmp_path))
    assert "class DipBuyer(" in (tmp_path / "dip_buyer.py").read_text()
    with pytest.raises(InputError, match=r"dip_buyer\.py exists"):
        run(new, "agent", "dip-buyer", "--folder", str(tmp_path))
    for name in ("7up", "???", "class", "../../evil", "a/b"):
        with pytest.raises(InputError, match="is not a name"):
            run(new, "agent", name, "--folder", str(tmp_path))
