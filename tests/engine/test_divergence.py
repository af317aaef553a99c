"""Two runs are compared by name, down to the storage slot."""

import json

import pytest
from click.testing import CliRunner

from sim.cli import main_group
from sim.engine import run
from sim.engine.divergence import diverge
from sim.engine.storage import mentioned, named
from sim.engine.world import SET_UP
from tests.engine.conftest import SMALL


@pytest.fixture(scope="module")
def dearer(tmp_path_factory):
    """The same run with a higher fee on perpetuals."""
    out = tmp_path_factory.mktemp("runs") / "dearer"
    fee = ["protocol.fees.perp=0.06%", "horizon.steps=4"]
    return run(SMALL, overrides=fee, backend="revm", out=out)


def test_a_run_equals_itself(crash):
    found = diverge(crash, crash)
    assert found.equal
    assert found.settings == ()


def first(found, kind, step=None):
    chosen = (f for f in found.first if f.kind == kind)
    return next(f for f in chosen if step is None or (f.step == SET_UP) == (step == SET_UP))


def test_a_fee_is_traced_from_the_setting_to_the_slot(crash, dearer):
    found = diverge(crash, dearer)
    paths = {setting.path: (setting.a, setting.b) for setting in found.settings}
    assert paths["protocol.fees.perp"] == (0.0005, 0.0006)
    assert paths["horizon.steps"] == (12, 4)

    sent = first(found, "transaction", SET_UP)
    assert sent.a.startswith("deployer → registry.set_fees(fees={perp=500000000000000,")
    assert sent.b.startswith("deployer → registry.set_fees(fees={perp=600000000000000,")
    assert first(found, "storage", SET_UP).where.startswith("registry._fees (slot 0x")

    taken = first(found, "event", 0)
    assert taken.step == 1
    assert taken.a.startswith("clearing_house.FeeTaken(account=4, amount=")
    assert first(found, "account").where == "account 1, cash"
    slots = [f.where.partition(" (slot")[0] for f in found.first if f.kind == "storage" and f.step]
    assert "clearing_house.cash_ledger._cash[4]" in slots


def test_a_missing_block_is_found(crash, dearer):
    found = first(diverge(crash, dearer), "step")
    assert (found.step, found.b) == (4, "no block")


def test_other_paths_differ_in_the_first_report(crash, tmp_path):
    other = run(
        SMALL, seed=6, overrides=["horizon.steps=3"], backend="revm", out=tmp_path / "other"
    )
    found = diverge(crash, other)
    assert all(f.step >= 0 for f in found.first)
    sent = first(found, "transaction")
    assert (sent.step, sent.where) == (1, "transaction 0")
    assert "instrument=ETH 2026-01-31 00:00 2900 put" in sent.a


def test_the_command_says_where_and_exits_with_1(crash, dearer):
    done = CliRunner().invoke(main_group, ["diff", str(crash.folder), str(dearer.folder), "--json"])
    facts = json.loads(done.output)
    assert not facts["equal"]
    assert {"path": "protocol.fees.perp", "a": 0.0005, "b": 0.0006} in facts["settings"]
    done = CliRunner().invoke(
        main_group, ["diff", str(crash.folder), str(dearer.folder)], standalone_mode=False
    )
    assert done.return_value == 1
    assert "protocol.fees.perp: 0.0005 → 0.0006" in done.output
    assert "steps: the first of each kind that differs" in done.output


def test_slots_are_named_through_mappings():
    from eth_utils.crypto import keccak

    def element(slot, key):
        return int.from_bytes(keccak(slot.to_bytes(32, "big") + key.to_bytes(32, "big")), "big")

    layout = {
        "total": {"type": "uint256", "slot": 0, "n_slots": 1},
        "module": {
            "pair": {"type": "Pair", "slot": 1, "n_slots": 2},
            "held": {"type": "HashMap[uint256, HashMap[address, Words]]", "slot": 3, "n_slots": 1},
        },
    }
    owner = "0x" + 20 * "ab"
    deep = element(element(3, 7), int(owner, 16))
    slots = [0, 2, deep, deep + 5, 99]
    assert named(slots, layout, [5, 7, owner]) == {
        0: "total",
        2: "module.pair + 1",
        deep: f"module.held[7][{owner}]",
        deep + 5: f"module.held[7][{owner}] + 5",
    }
    assert list(mentioned([True, {"a": (1, [owner])}, b"x", "text"])) == [1, owner]
