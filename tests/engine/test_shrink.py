"""Failing runs shrink to few transactions; the exported test passes once the fault is mended."""

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cli import main_group
from sim.engine import run
from sim.engine.case import Failure, Stage
from sim.engine.shrink import exported, minimal, shrink
from sim.errors import InputError
from sim.protocol import artifacts
from tests.engine.conftest import SMALL

# A token whose balances lose a unit after the second step, which nothing in the protocol notices.
SOUND = "    erc20.balanceOf,\n"
BROKEN = """

@external
@view
def balanceOf(owner: address) -> uint256:
    held: uint256 = erc20.balanceOf[owner]
    return held - 1 if held > 0 and block.timestamp > 1768435500 else held
"""


def play(text):
    """Run the tests of an exported file."""
    names = {}
    exec(compile(text, "exported.py", "exec"), names)
    for name, function in list(names.items()):
        if name.startswith("test_"):
            function()


def functions(shrunk):
    return [sent.function for step in shrunk.case.steps for sent in step.sent]


@pytest.fixture(scope="module")
def flagged(crash):
    return shrink(crash)


def test_a_liquidation_needs_few_transactions(crash, flagged):
    """One account that went under, its counterparty, the prices, and who flagged it."""
    assert flagged.failure == "liquidations > 0"
    assert flagged.before > 80
    assert flagged.after <= 20
    assert functions(flagged)[-1] == "flag"
    assert functions(flagged).count("open_account") <= 3
    assert flagged.found == "1"


def test_nothing_can_be_left_out(flagged):
    case, failure = flagged.case, Failure.of(flagged.failure)
    built = {name: artifacts.artifact(source) for name, source in case.contracts.items()}
    with Stage(case, built) as stage:
        for place, step in enumerate(case.steps):
            for i in range(len(step.sent)):
                rest = step.sent[:i] + step.sent[i + 1 :]
                fewer = (
                    *case.steps[:place],
                    replace(step, sent=rest),
                    *case.steps[place + 1 :],
                )
                assert not stage.fails(fewer, failure)


def test_the_exported_file_fails_as_the_run_did(flagged):
    with pytest.raises(AssertionError, match="1"):
        play(exported(flagged))


def test_a_broken_contract_is_found_and_mended(tmp_path, monkeypatch):
    folder = shutil.copytree(artifacts.contracts_folder(), tmp_path / "contracts")
    token = folder / "testing" / "MockToken.vy"
    assert SOUND in token.read_text()
    token.write_text(token.read_text().replace(SOUND, "", 1) + BROKEN)
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "contracts_folder", lambda: folder)
        broken = run(SMALL, overrides=["horizon.steps=4"], backend="revm", out=tmp_path / "broken")
        assert not broken.held
        found = shrink(broken)
        assert found.failure == "conservation of tokens"
        assert set(functions(found)) == {"mint", "approve", "deposit"}
        assert found.case.steps[-1].sent == ()  # all that is needed is that time passes
        text = exported(found)
        with pytest.raises(AssertionError):
            play(text)
    play(text)


def test_the_command_writes_a_test(crash, tmp_path):
    out = tmp_path / "tests" / "test_found.py"
    command = ["shrink", str(crash.folder), "--out", str(out), "--failure", "bids >= 1", "--json"]
    done = CliRunner().invoke(main_group, command, catch_exceptions=False)
    facts = json.loads(done.output)
    assert facts["failure"] == "bids >= 1"
    assert facts["after"] < facts["before"]
    assert "def test_bids_1():" in out.read_text()
    done = CliRunner().invoke(main_group, command)
    assert "exists already" in str(done.exception)


def test_what_does_not_fail_is_refused(crash):
    with pytest.raises(InputError, match="does not fail so: bad_debt > 0"):
        shrink(crash, "bad_debt > 0")
    with pytest.raises(InputError, match="nothing checks 'conservation of tokns'"):
        shrink(crash, "conservation of tokns")
    with pytest.raises(InputError, match="did you mean 'bad_debt'"):
        shrink(crash, "bad_det > 0")
    with pytest.raises(InputError, match="'much' is not a quantity"):
        shrink(crash, "bad_debt > much")
    with pytest.raises(InputError, match="want of something that never happened"):
        shrink(crash, "bids < 99")


@pytest.mark.parametrize(
    ("text", "value", "broken"),
    [
        ("bids > 3", 3, False),
        ("bids > 3", 4, True),
        ("bids >= 3", 3, True),
        ("bids < 3", 3, False),
        ("bids <= 3", 3, True),
        ("bids != 3", 3, False),
        ("bad_debt > 250k USDC", 250_001.0, True),
        ("steps.failed.max > 2", 3, True),
    ],
)
def test_comparisons_say_what_is_broken(text, value, broken):
    (bound,) = Failure.of(text).expect.values()
    assert bound.holds(value) is not broken


@settings(max_examples=50)
@given(st.integers(0, 40), st.sets(st.integers(0, 39), max_size=5))
def test_what_is_left_is_minimal(count, needed):
    """With a fault that needs some items together, exactly those are left."""
    needed = {item for item in needed if item < count}
    left = minimal(list(range(count)), lambda items: needed <= set(items))
    assert left == sorted(needed)
