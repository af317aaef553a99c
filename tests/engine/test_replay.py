"""A run is played again from its folder alone, and every falsification of it is found."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import sim
from sim.chain.binary import find_anvil
from sim.cli import main_group
from sim.engine import run
from sim.engine.archive import ARCHIVE
from sim.engine.replica import Replica
from sim.errors import EnvironmentFault, InputError
from tests.engine.conftest import SMALL


def has_anvil():
    try:
        find_anvil()
    except EnvironmentFault:
        return False
    return True


needs_anvil = pytest.mark.skipif(not has_anvil(), reason="there is no Anvil")


def test_a_replay_repeats_to_the_bit(crash):
    found = sim.replay(crash)
    assert found.equal
    assert found.whole
    assert found.fingerprint == crash.fingerprint
    assert found.states == len(crash.steps)
    assert found.figures == 7 * len(crash.accounts)


@needs_anvil
def test_both_backends_repeat_an_anvil_run(tmp_path):
    """Block by block on Anvil with equal hashes; on revm the same but for those."""
    recorded = run(SMALL, overrides=["horizon.steps=9"], out=tmp_path / "anvil")
    for backend, hashes in (("anvil", 9), ("revm", 0)):
        found = sim.replay(recorded.folder, backend=backend)
        assert found.equal, found.difference
        assert (found.hashes, found.fingerprint) == (hashes, recorded.fingerprint)

    table = pq.read_table(recorded.folder / "steps.parquet")
    hashes = table["block_hash"].to_pylist()
    hashes[4] = "0x" + 32 * "ab"
    column = table.schema.get_field_index("block_hash")
    pq.write_table(
        table.set_column(column, "block_hash", pa.array(hashes)), recorded.folder / "steps.parquet"
    )
    difference = sim.replay(recorded.folder).difference
    assert (difference.step, difference.what) == (4, "block hash")


def test_until_stops_after_that_step(crash):
    found = sim.replay(crash, until=7)
    assert found.equal
    assert not found.whole
    assert (found.step, found.states) == (7, 1)


def test_a_small_gas_limit_is_replayed_with_it(tmp_path):
    """Transactions that had no room the first time have none the second time."""
    tight = ["blocks.gas_limit=10000000", "agents.long.count=60", "horizon.steps=3"]
    recorded = run(SMALL, overrides=tight, backend="revm", out=tmp_path / "tight")
    assert recorded.steps["dropped"].sum() > 0
    assert sim.replay(recorded).equal


def falsify_journal(spoilt, change):
    lines = spoilt.journal.read_bytes().splitlines()
    for number, line in enumerate(lines):
        entry = orjson.loads(line)
        if change(entry):
            lines[number] = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
            break
    spoilt.journal.write_bytes(b"\n".join(lines) + b"\n")


def test_a_falsified_status_is_found(spoilt):
    def change(entry):
        if entry["step"] < 3 or len(entry["statuses"]) < 3:
            return False
        entry["statuses"][-1] = False
        return True

    falsify_journal(spoilt, change)
    difference = sim.replay(spoilt).difference
    assert difference.what == "status"
    assert (difference.recorded, difference.replayed) == ("failed", "succeeded")
    assert "liquidator." in difference.where or "direct_venue." in difference.where


def test_a_falsified_event_is_found_and_decoded(spoilt):
    def change(entry):
        for own in entry["events"]:
            for log in own:
                if entry["step"] >= 0 and len(log[2]) > 66:
                    log[2] = log[2][:-1] + ("1" if log[2][-1] != "1" else "2")
                    return True
        return False

    falsify_journal(spoilt, change)
    difference = sim.replay(spoilt).difference
    assert difference.what == "event"
    assert difference.recorded != difference.replayed
    assert difference.replayed.partition(".")[0] in Replica(spoilt).protocol.contracts


def test_a_falsified_transaction_is_found(spoilt):
    def change(entry):
        if entry["step"] != 1:
            return False
        calldata = entry["transactions"][0][2]
        entry["transactions"][0][2] = calldata[:80] + "ff" + calldata[82:]
        return True

    falsify_journal(spoilt, change)
    assert sim.replay(spoilt).difference.step == 1


@pytest.mark.parametrize("column", ["equity_wad", "maintenance_wad", "cash_wad"])
def test_a_wei_in_a_table_is_found(spoilt, column):
    path = spoilt.folder / "accounts.parquet"
    table = pq.read_table(path)
    values = table[column].to_pylist()
    row = next(i for i, step in enumerate(table["step"].to_pylist()) if step == 6) + 2
    values[row] += 1
    kind = table.schema.field(column).type
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, pa.array(values, type=kind)), path)
    difference = sim.replay(spoilt).difference
    assert (difference.step, difference.what) == (6, "figure")
    assert column in difference.where
    assert int(difference.recorded) == int(difference.replayed) + 1


def test_a_falsified_position_is_found(spoilt):
    path = spoilt.folder / "positions.parquet"
    table = pq.read_table(path)
    words = table["word"].to_pylist()
    row = next(i for i, word in enumerate(words) if word)
    words[row] = words[row][:-3] + "fff"
    at = table.schema.get_field_index("word")
    pq.write_table(table.set_column(at, "word", pa.array(words)), path)
    assert sim.replay(spoilt).difference.what == "positions"


def test_a_replay_needs_no_sources(crash, monkeypatch):
    """Contracts may have changed since: what was deployed is in the folder."""
    monkeypatch.setattr(
        "sim.protocol.artifacts._locate", lambda *_: pytest.fail("a source was looked for")
    )
    assert sim.replay(crash, until=2).equal


def test_what_is_not_there_is_named(crash, spoilt):
    with pytest.raises(InputError, match="no step 99; it has steps 0 to 11"):
        sim.replay(crash, until=99)
    with pytest.raises(InputError, match="no run at"):
        sim.replay("nothing-here")
    with pytest.raises(InputError, match="unknown backend"):
        sim.replay(crash, backend="geth")
    (spoilt.folder / ARCHIVE).unlink()
    with pytest.raises(InputError, match=ARCHIVE):
        sim.replay(spoilt)


def test_a_torn_journal_is_pointed_at(spoilt):
    whole = spoilt.journal.read_bytes()
    spoilt.journal.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(InputError, match=r"journal\.jsonl:15: not a line of a journal"):
        sim.replay(spoilt)


def test_a_journal_that_ends_early_differs(spoilt):
    whole = spoilt.journal.read_bytes().splitlines(keepends=True)
    spoilt.journal.write_bytes(b"".join(whole[:-2]))
    assert sim.replay(spoilt).difference.what == "fingerprint"


def test_the_command_says_what_it_verified(crash, spoilt):
    done = CliRunner().invoke(main_group, ["replay", str(crash.folder)])
    assert done.output.startswith("EQUAL: crash repeats to the bit on revm")
    assert crash.fingerprint in done.output
    done = CliRunner().invoke(main_group, ["replay", str(crash.folder), "--json"])
    facts = json.loads(done.output)
    assert facts["equal"]
    assert facts["fingerprint"] == crash.fingerprint


def test_a_difference_is_exit_status_1(spoilt):
    manifest = json.loads((spoilt.folder / "manifest.json").read_text())
    manifest["fingerprint"] = "00"
    (spoilt.folder / "manifest.json").write_text(json.dumps(manifest))
    command = [sys.executable, "-c", "from sim.cli import main; main()", "replay"]
    done = subprocess.run([*command, spoilt.folder], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.startswith("DIFFERS: fingerprint of step 11")


@needs_anvil
def test_a_node_is_left_standing_for_other_tools(crash):
    """After the command has ended, whoever wants may read the chain over HTTP."""
    command = [sys.executable, "-c", "from sim.cli import main; main()", "replay"]
    options = [str(crash.folder), "--until", "7", "--rpc", "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    facts = json.loads(done.stdout)
    try:
        question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber"}
        body = json.dumps({**question, "params": ["latest", False]}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(facts["rpc"]["url"], body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            block = json.load(answer)["result"]
        assert int(block["timestamp"], 16) == crash.steps["time"][7]
    finally:
        os.kill(facts["rpc"]["pid"], signal.SIGTERM)


def test_rpc_needs_a_node(crash):
    done = CliRunner().invoke(
        main_group, ["replay", str(crash.folder), "--rpc", "--backend", "revm"]
    )
    assert isinstance(done.exception, InputError)
