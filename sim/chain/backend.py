"""What every chain does for the simulator, and the values that go in and come out.

Addresses are lowercase hex strings with 0x, money is in wei, time in unix seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self, Sequence

from eth_utils.crypto import keccak

from sim.errors import InputError, unknown

CHAIN_ID = 31337
# Ample: a scenario that wants congestion lowers it.
GAS_LIMIT = 10**10
CALL_GAS = 10**10
# What an address holds from its first transaction on, so that it can pay for its place in a block.
FUNDING = 10**24
ZERO_ADDRESS = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction before it is sent. `to` is None for a deployment; `gas` is its own limit."""

    sender: str
    to: str | None
    data: bytes = b""
    value: int = 0
    gas: int = 30_000_000


class Call(NamedTuple):
    """A read: it may compute anything and leaves nothing."""

    to: str
    data: bytes
    sender: str = ZERO_ADDRESS


class Outcome(NamedTuple):
    """What a call returned, or what it reverted with."""

    succeeded: bool
    data: bytes


class Log(NamedTuple):
    """An event as the chain holds it."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one transaction.

    Attributes
    ----------
    succeeded
        False if it reverted, or was not included.
    gas_used
        Gas charged, the intrinsic 21,000 included.
    logs
        Its events; none if it failed.
    output
        What a failed transaction reverted with; empty otherwise.
    created
        The address that a successful deployment created.
    included
        False if the block had no room: `gas` more would have passed the block's gas limit, or an
        earlier transaction of the same sender had no room. It is forgotten, its nonce is free.
    """

    succeeded: bool
    gas_used: int
    logs: tuple[Log, ...] = ()
    output: bytes = b""
    created: str | None = None
    included: bool = True


NOT_INCLUDED = Receipt(succeeded=False, gas_used=0, included=False)


@dataclass(frozen=True, slots=True)
class Block:
    """A mined block; `receipts` stand in the order in which the transactions were given."""

    number: int
    timestamp: int
    hash: str | None
    receipts: tuple[Receipt, ...]


class Closing(ABC):
    """What is closed at the end of its `with` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release what it holds; it is not usable afterwards."""


class Reader(Protocol):
    """The latest state of any chain."""

    def call_many(self, calls: Sequence[Call]) -> list[Outcome]:
        """Make calls on the latest block, in one round trip."""

    def storage_at(self, address: str, slot: int) -> int:
        """Return one storage word."""

    def balance(self, address: str) -> int:
        """Return a balance in wei."""

    def code(self, address: str) -> bytes:
        """Return the deployed code, empty for an account without."""

    def close(self) -> None:
        """Release whatever the chain holds; it is not usable afterwards."""


class Backend(Reader, Protocol):
    """A local chain that belongs to one run: it mines when told and at the time it is told.

    The same transactions in the same blocks give equal receipts, addresses and reads on every
    backend. Only block hashes exist on Anvil alone.
    """

    name: str
    number: int
    timestamp: int
    gas_limit: int

    def mine(self, transactions: Sequence[Transaction], timestamp: int) -> Block:
        """Mine one block of exactly these transactions in exactly this order.

        Nobody signs: any sender is taken at its word. A sender's first transaction finds its
        balance set to `FUNDING` wei.

        Raises
        ------
        InputError
            The timestamp is not after that of the latest block; or no chain would take one of the
            transactions, say for less than its intrinsic gas, and then the chain's state is
            undefined.
        """

    def snapshot(self) -> int:
        """Mark the present state."""

    def revert(self, mark: int) -> None:
        """Return to a marked state. The mark and all later ones are gone."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_backend(name: str, *, timestamp: int, gas_limit: int = GAS_LIMIT) -> Backend:
    """Start a chain.

    Parameters
    ----------
    name
        "anvil" or "revm".
    timestamp
        Time of the genesis block.
    gas_limit
        Gas limit of each block; the attribute of the same name changes it for later blocks.
    """
    if name == "anvil":
        from sim.chain.anvil import AnvilBackend

        return AnvilBackend(timestamp=timestamp, gas_limit=gas_limit)
    if name == "revm":
        from sim.chain.revm import RevmBackend

        return RevmBackend(timestamp=timestamp, gas_limit=gas_limit)
    raise unknown("backend", name, ("anvil", "revm"))


def created_address(sender: str, nonce: int) -> str:
    """Return the address that a sender's deployment with this nonce creates."""
    count = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if len(count) != 1 or count[0] >= 0x80:
        count = bytes([0x80 + len(count)]) + count
    body = b"\x94" + bytes.fromhex(sender.removeprefix("0x")) + count
    return "0x" + keccak(bytes([0xC0 + len(body)]) + body)[12:].hex()


def require_later(timestamp: int, latest: int) -> None:
    """Refuse a block that would not be later than its parent."""
    if timestamp <= latest:
        raise InputError(f"a block at {timestamp} cannot follow one at {latest}")
