"""The journal: what went into the chain and what came out, enough to run again without agents.

One JSON line a block, keys sorted, integers beyond 53 bits as hex. The SHA-256 of all lines is the
run's fingerprint. It holds what every backend must agree on (fields, timestamps, statuses, events)
and not what may differ (block hashes, gas).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

import orjson

from sim.chain import Block, Log, Transaction
from sim.errors import EnvironmentFault, InputError
from sim.results.folder import cannot_write


@dataclass(frozen=True, slots=True)
class Entry:
    """One journalled block; `logs` are by transaction, `line` is the whole as it was written."""

    step: int
    timestamp: int
    transactions: tuple[Transaction, ...]
    statuses: tuple[bool, ...]
    logs: tuple[tuple[Log, ...], ...]
    line: bytes


class Journal:
    """Appends blocks to a file and to the fingerprint.

    Parameters
    ----------
    path
        The file; what it held is lost.
    earlier
        SHA-256 of each line of an interrupted run that this one must repeat.
    """

    def __init__(self, path: Path, earlier: Sequence[bytes] = ()) -> None:
        self._path = path
        self._earlier = iter(earlier)
        self._hash = hashlib.sha256()
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, step: int, transactions: Sequence[Transaction], block: Block) -> None:
        """Append one block; at once, so that an interrupted run shows how far it came.

        Raises
        ------
        EnvironmentFault
            The interrupted run had another block here, or the file cannot be written.
        """
        line = encode(step, transactions, block) + b"\n"
        if next(self._earlier, None) not in (None, hashlib.sha256(line).digest()):
            raise EnvironmentFault(
                f"{self._path}: the block of step {step} differs from that of the interrupted run; "
                "run without --resume to start afresh"
            )
        self._hash.update(line)
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from error

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what was journalled so far, in hex."""
        return self._hash.hexdigest()

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise cannot_write(self._path, error) from error


def encode(step: int, transactions: Sequence[Transaction], block: Block) -> bytes:
    """Return the canonical line of a block, without the line's end."""
    return orjson.dumps(
        {
            "step": step,
            "timestamp": block.timestamp,
            "transactions": [
                [tx.sender, tx.to, "0x" + tx.data.hex(), hex(tx.value), tx.gas]
                for tx in transactions
            ],
            "statuses": [receipt.succeeded for receipt in block.receipts],
            "events": [
                [
                    [
                        log.address,
                        ["0x" + topic.hex() for topic in log.topics],
                        "0x" + log.data.hex(),
                    ]
                    for log in receipt.logs
                ]
                for receipt in block.receipts
            ],
        },
        option=orjson.OPT_SORT_KEYS,
    )


def read(path: Path) -> Iterator[Entry]:
    """Read a journal block by block.

    Raises
    ------
    InputError
        A line is not what a journal holds.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                block = orjson.loads(line)
                yield Entry(
                    step=block["step"],
                    timestamp=block["timestamp"],
                    transactions=tuple(
                        Transaction(sender, to, _bytes(data), int(value, 16), gas)
                        for sender, to, data, value, gas in block["transactions"]
                    ),
                    statuses=tuple(block["statuses"]),
                    logs=tuple(
                        tuple(
                            Log(address, tuple(map(_bytes, topics)), _bytes(data))
                            for address, topics, data in own
                        )
                        for own in block["events"]
                    ),
                    line=line.removesuffix(b"\n"),
                )
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}:{number}: not a line of a journal ({error})") from error


def digests(path: Path) -> list[bytes]:
    """Return the SHA-256 of each line of a journal; a torn last line does not count."""
    with path.open("rb") as file:
        return [hashlib.sha256(line).digest() for line in file if line.endswith(b"\n")]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
