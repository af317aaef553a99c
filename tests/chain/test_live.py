"""The live backend, on an Anvil that mines by itself as a network does."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest
from eth_account import Account

from sim.chain import Call, Transaction
from sim.chain.binary import find_anvil
from sim.chain.live import LiveBackend
from sim.errors import EnvironmentFault, InputError
from sim.protocol.abi import Abi, revert_reason
from sim.protocol.artifacts import artifact

# The first key of Anvil's public development mnemonic.
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
PROBE = artifact(Path(__file__).with_name("Probe.vy"))
ABI = Abi(PROBE.abi)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    try:
        anvil = find_anvil()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = subprocess.Popen([anvil.path, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(1000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        node.kill()
        node.wait()


def test_sends_signed_transactions_and_reads_one_block(url: str) -> None:
    network = LiveBackend(url, account=Account.from_key(KEY), chain_id=31337)
    sender = network.address
    assert sender is not None
    receipt = network.send(Transaction(sender, None, PROBE.bytecode + ABI.constructor(5)))
    probe = receipt.created
    assert probe is not None
    assert network.code(probe)
    before = network.number
    bump = ABI.function("bump").encode(3)
    receipt = network.send(Transaction(sender, probe, bump, value=2))
    assert receipt.succeeded
    event = ABI.event(*receipt.logs[0])
    assert event is not None
    assert event.args == {"who": sender, "by": 3}
    assert [(n, log) for n, log in network.logs([probe], before + 1, network.number)] == [
        (before + 1, log) for log in receipt.logs
    ]
    total = Call(probe, ABI.function("total").encode())
    refuse = Call(probe, ABI.function("refuse").encode("never"))
    now, refused = network.call_many([total, refuse])
    assert ABI.function("total").decode(now.data) == 8
    assert not refused.succeeded
    assert revert_reason(refused.data) == "never"
    assert network.balance(probe) == 2
    assert network.storage_at(probe, PROBE.layout["storage_layout"]["total"]["slot"]) == 8
    network.advance(before)
    [then] = network.call_many([total])
    assert ABI.function("total").decode(then.data) == 5


def test_does_not_send_what_would_revert_or_cost_too_much(url: str) -> None:
    network = LiveBackend(url, account=Account.from_key(KEY))
    sender = network.address
    assert sender is not None
    made = network.send(Transaction(sender, None, PROBE.bytecode + ABI.constructor(5)))
    with pytest.raises(EnvironmentFault, match="probe: seven"):
        network.send(Transaction(sender, made.created, ABI.function("bump").encode(7)))
    with pytest.raises(EnvironmentFault, match="more than 25000"):
        network.send(Transaction(sender, made.created, ABI.function("bump").encode(1), gas=25_000))


def test_refuses_what_it_must(url: str) -> None:
    with pytest.raises(InputError, match="chain 31337, not 1"):
        LiveBackend(url, chain_id=1)
    payment = Transaction("0x" + "11" * 20, "0x" + "22" * 20)
    with pytest.raises(InputError, match="without an account"):
        LiveBackend(url).send(payment)
    with pytest.raises(InputError, match="is not the account"):
        LiveBackend(url, account=Account.from_key(KEY)).send(payment)
    with pytest.raises(EnvironmentFault, match="cannot be reached"):
        LiveBackend("http://127.0.0.1:9")
