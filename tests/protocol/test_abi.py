"""Calls, results, reverts and events between Python and bytes."""

import pytest
from eth_abi import encode

from sim.errors import InputError
from sim.protocol.abi import Abi, revert_reason

POINT = {
    "name": "p",
    "type": "tuple",
    "internalType": "struct Point",
    "components": [{"name": "x", "type": "int256"}, {"name": "ys", "type": "uint256[]"}],
}
ENTRIES = [
    {"type": "constructor", "inputs": [{"name": "owner", "type": "address"}]},
    {
        "type": "function",
        "name": "move",
        "inputs": [POINT, {"name": "by", "type": "uint256"}],
        "outputs": [{**POINT, "name": ""}],
        "stateMutability": "view",
    },
    {
        "type": "event",
        "name": "Moved",
        "inputs": [
            {"name": "who", "type": "uint256", "indexed": True},
            {"name": "by", "type": "int256", "indexed": False},
        ],
    },
]
ABI = Abi(ENTRIES)


def test_structs_go_in_as_mappings_and_come_out_named():
    move = ABI.function("move")
    data = move.encode({"x": -1, "ys": [1, 2]}, 3)
    assert data == move.encode((-1, [1, 2]), 3)
    assert data[:4] == move.selector
    point = move.decode(encode(["(int256,uint256[])"], [(-7, [5])]))
    assert (point.x, point.ys) == (-7, [5])


def test_events():
    moved = next(iter(ABI._events))
    event = ABI.event("0xabc", [moved, encode(["uint256"], [9])], encode(["int256"], [-2]))
    assert event is not None
    assert (event.name, event.args) == ("Moved", {"who": 9, "by": -2})
    assert ABI.event("0xabc", [b"\x00" * 32], b"") is None


def test_revert_reasons():
    message = bytes.fromhex("08c379a0") + encode(["string"], ["gate: no"])
    assert revert_reason(message) == "gate: no"
    assert revert_reason(bytes.fromhex("4e487b71") + encode(["uint256"], [17])) == "panic 0x11"
    assert revert_reason(b"") == ""
    assert revert_reason(b"\x01\x02") == "0x0102"


def test_wrong_calls_are_named():
    with pytest.raises(InputError, match="no function 'jump'"):
        ABI.function("jump")
    with pytest.raises(InputError, match="takes 2 arguments, got 1"):
        ABI.function("move").encode((1, []))
    with pytest.raises(InputError, match="takes 1 arguments, got 0"):
        ABI.constructor()
