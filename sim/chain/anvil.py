"""Anvil, started here and driven over a Unix socket.

Everything that makes it quick and repeatable is in the flags and in `mine`: no automine, absolute
timestamps, explicit nonces, impersonated senders, one JSON-RPC batch and one block a step, and gas
prices that fall with the index, because only `--order fees` keeps the order of submission.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import orjson

from sim.chain.backend import (
    CALL_GAS,
    CHAIN_ID,
    FUNDING,
    GAS_LIMIT,
    NOT_INCLUDED,
    Block,
    Call,
    Closing,
    Log,
    Outcome,
    Receipt,
    Transaction,
    require_later,
)
from sim.chain.binary import Anvil, find_anvil
from sim.errors import EnvironmentFault, InputError

_STARTUP_SECONDS = 30.0
_REPLY_SECONDS = 300.0
_PR_SET_PDEATHSIG = 1
_KEPT_BLOCKS = 64
# From so many transactions on, traces are a quicker way to a block's receipts.
_MANY = 16
_Request = tuple[str, list[Any]]


class Standing(NamedTuple):
    """A node left standing: killing `pid` stops it. `url` is None if no port was chosen."""

    pid: int
    socket: Path
    url: str | None


class AnvilBackend(Closing):
    """A chain in an Anvil of its own.

    Parameters
    ----------
    timestamp
        Time of the genesis block.
    gas_limit
        Gas limit of a block.
    port
        HTTP port on which other tools may look at the chain; by default any free one.
    lasting
        Whether the node may outlive this process, once `detach` was called.
    """

    name = "anvil"

    def __init__(
        self,
        *,
        timestamp: int,
        gas_limit: int = GAS_LIMIT,
        port: int | None = None,
        lasting: bool = False,
    ) -> None:
        self.anvil = find_anvil()
        self.number = 0
        self.timestamp = timestamp
        self.port = port
        self._gas_limit = gas_limit
        self._nonces: dict[str, int] = {}
        self._marks: dict[int, tuple[str, int, int, int, dict[str, int]]] = {}
        # A Unix socket's path may not exceed some 107 bytes, so not wherever TMPDIR points.
        self._folder = Path(tempfile.mkdtemp(prefix="plimsoll-", dir=_short_folder()))
        self._process = _spawn(self.anvil, self._folder, timestamp, gas_limit, port, lasting)
        self._release = weakref.finalize(self, _stop, self._process, self._folder)
        try:
            self._rpc = _Rpc(self._folder, self._process)
        except BaseException:
            self._release()
            raise

    @property
    def gas_limit(self) -> int:
        """Gas limit of the blocks to come."""
        return self._gas_limit

    @gas_limit.setter
    def gas_limit(self, limit: int) -> None:
        self._rpc.one("evm_setBlockGasLimit", hex(limit))
        self._gas_limit = limit

    def mine(self, transactions: Sequence[Transaction], timestamp: int) -> Block:
        """Mine one block of exactly these transactions in exactly this order."""
        require_later(timestamp, self.timestamp)
        self._fund(transactions)
        before = dict(self._nonces)
        requests: list[_Request] = []
        sent: list[int] = []
        blocked: set[str] = set()
        for index, tx in enumerate(transactions):
            if tx.gas > self._gas_limit or tx.sender in blocked:
                blocked.add(tx.sender)
                continue
            nonce = self._nonces[tx.sender]
            self._nonces[tx.sender] = nonce + 1
            fields = {
                "from": tx.sender,
                "data": "0x" + tx.data.hex(),
                "value": hex(tx.value),
                "gas": hex(tx.gas),
                "gasPrice": hex(len(transactions) - index),
                "nonce": hex(nonce),
            }
            if tx.to is not None:
                fields["to"] = tx.to
            requests.append(("eth_sendTransaction", [fields]))
            sent.append(index)

        hashes = self._submit(requests)
        self._rpc.many(
            [
                ("evm_setNextBlockTimestamp", [timestamp]),
                ("anvil_setNextBlockBaseFeePerGas", ["0x0"]),
            ]
        )
        self._rpc.one("evm_mine")
        head = self._rpc.one("eth_getBlockByNumber", "latest", False)
        self.number = int(head["number"], 16)
        self.timestamp = timestamp
        if head["transactions"] != hashes:
            mined = set(head["transactions"])
            sent = [index for index, hash_ in zip(sent, hashes, strict=True) if hash_ in mined]
            hashes = [hash_ for hash_ in hashes if hash_ in mined]
            if head["transactions"] != hashes:
                raise EnvironmentFault("Anvil did not keep the order of a block's transactions")
            self._rpc.one("anvil_dropAllTransactions")
            for index in sent:
                before[transactions[index].sender] += 1
            self._nonces = before
        receipts = [NOT_INCLUDED] * len(transactions)
        included = [transactions[index] for index in sent]
        for index, receipt in zip(sent, self._receipts(head, included), strict=True):
            receipts[index] = receipt
        return Block(self.number, timestamp, head["hash"], tuple(receipts))

    def _fund(self, transactions: Sequence[Transaction]) -> None:
        new = dict.fromkeys(tx.sender for tx in transactions if tx.sender not in self._nonces)
        self._rpc.many([("anvil_setBalance", [sender, hex(FUNDING)]) for sender in new])
        self._nonces.update(dict.fromkeys(new, 0))

    def _submit(self, requests: Sequence[_Request]) -> list[str]:
        replies = self._rpc.replies(requests)
        for index, reply in enumerate(replies):
            if "error" in reply:
                self._rpc.one("anvil_dropAllTransactions")
                message = reply["error"]["message"]
                raise InputError(f"the EVM refused transaction {index}: {message}")
        return [reply["result"] for reply in replies]

    def _receipts(self, head: Any, included: Sequence[Transaction]) -> list[Receipt]:
        if len(included) > _MANY:
            quick = self._receipts_from_traces(head, included)
            if quick is not None:
                return quick
        raw = self._rpc.one("eth_getBlockReceipts", "latest")
        failed = [item["transactionHash"] for item in raw if item["status"] == "0x0"]
        outputs = self._rpc.many([("ots_getTransactionError", [hash_]) for hash_ in failed])
        by_hash = dict(zip(failed, outputs, strict=True))
        return [_receipt(item, by_hash.get(item["transactionHash"])) for item in raw]

    def _receipts_from_traces(
        self, head: Any, included: Sequence[Transaction]
    ) -> list[Receipt] | None:
        """Return the receipts of the latest block without asking for them.

        Anvil copies the whole block for each receipt, so a block of thousands takes half a minute.
        Traces lack only the refunds; if there were any, the block's own total of gas tells, and
        the answer is None.
        """
        traces, logs = self._rpc.many(
            [
                ("trace_block", ["latest"]),
                ("eth_getLogs", [{"fromBlock": "latest", "toBlock": "latest"}]),
            ]
        )
        own: list[list[Log]] = [[] for _ in included]
        for raw in logs:
            own[int(raw["transactionIndex"], 16)].append(_log(raw))
        outermost = [trace for trace in traces if not trace["traceAddress"]]
        receipts = [
            _traced(tx, trace, tuple(emitted))
            for tx, trace, emitted in zip(included, outermost, own, strict=True)
        ]
        exact = sum(receipt.gas_used for receipt in receipts) == int(head["gasUsed"], 16)
        return receipts if exact else None

    def call_many(self, calls: Sequence[Call]) -> list[Outcome]:
        """Make calls on the latest block, in one round trip.

        Anvil works on the calls of a batch with all cores.
        """
        requests: list[_Request] = [
            (
                "eth_call",
                [
                    {
                        "from": call.sender,
                        "to": call.to,
                        "data": "0x" + call.data.hex(),
                        "gas": hex(CALL_GAS),
                    },
                    "latest",
                ],
            )
            for call in calls
        ]
        return [_outcome(reply) for reply in self._rpc.replies(requests)]

    def storage_at(self, address: str, slot: int) -> int:
        """Return one storage word."""
        return int(self._rpc.one("eth_getStorageAt", address, hex(slot), "latest"), 16)

    def balance(self, address: str) -> int:
        """Return a balance in wei."""
        return int(self._rpc.one("eth_getBalance", address, "latest"), 16)

    def code(self, address: str) -> bytes:
        """Return the deployed code, empty for an account without."""
        return _bytes(self._rpc.one("eth_getCode", address, "latest"))

    def snapshot(self) -> int:
        """Mark the present state."""
        mark = max(self._marks, default=0) + 1
        token = self._rpc.one("evm_snapshot")
        kept = (token, self.number, self.timestamp, self._gas_limit, dict(self._nonces))
        self._marks[mark] = kept
        return mark

    def revert(self, mark: int) -> None:
        """Return to a marked state. The mark and all later ones are gone."""
        token, self.number, self.timestamp, gas_limit, nonces = self._marks[mark]
        self._rpc.one("evm_revert", token)
        self._nonces = dict(nonces)
        if gas_limit != self._gas_limit:
            self.gas_limit = gas_limit
        self._marks = {key: value for key, value in self._marks.items() if key < mark}

    def detach(self) -> Standing:
        """Leave the node standing when this object goes, and this process if it is `lasting`."""
        self._release.detach()
        url = None if self.port is None else f"http://127.0.0.1:{self.port}"
        return Standing(self._process.pid, self._folder / "rpc", url)

    def close(self) -> None:
        """Stop the node and remove its folder."""
        self._release()


class _Rpc:
    """JSON-RPC over a Unix socket; every message is one line."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._log = folder / "log"
        self._socket = self._connect(folder / "rpc")
        self._socket.settimeout(_REPLY_SECONDS)

    def _connect(self, path: Path) -> socket.socket:
        deadline = time.monotonic() + _STARTUP_SECONDS
        while self._process.poll() is None:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                return connection
            except OSError:
                connection.close()
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"Anvil did not open its socket in {_STARTUP_SECONDS:.0f} s{self._last_words()}"
                )
            time.sleep(0.002)
        raise self._death()

    def one(self, method: str, *params: Any) -> Any:
        """Make one request and return its result."""
        [result] = self.many([(method, list(params))])
        return result

    def many(self, requests: Sequence[_Request]) -> list[Any]:
        """Make requests in one batch and return their results in order."""
        return [_result(reply) for reply in self.replies(requests)]

    def replies(self, requests: Sequence[_Request]) -> list[dict[str, Any]]:
        """Make requests in one batch and return the replies, errors included, in order."""
        if not requests:
            return []
        batch = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
            for index, (method, params) in enumerate(requests)
        ]
        chunks: list[bytes] = []
        with self._explained():
            self._socket.sendall(orjson.dumps(batch))
            while not chunks or not chunks[-1].endswith(b"\n"):
                chunk = self._socket.recv(1 << 20)
                if not chunk:
                    raise self._death()
                chunks.append(chunk)
        replies: list[dict[str, Any]] = orjson.loads(b"".join(chunks))
        return sorted(replies, key=lambda reply: int(reply["id"]))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise EnvironmentFault(
                f"Anvil did not answer for {_REPLY_SECONDS:.0f} s{self._last_words()}"
            ) from None
        except OSError:
            raise self._death() from None

    def _death(self) -> EnvironmentFault:
        try:
            status = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return EnvironmentFault(f"Anvil closed its socket{self._last_words()}")
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return EnvironmentFault(f"Anvil stopped ({how}){self._last_words()}")

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()[-5:]
        except OSError:
            lines = []
        return ": " + " / ".join(lines) if lines else ""


def _spawn(
    anvil: Anvil, folder: Path, timestamp: int, gas_limit: int, port: int | None, lasting: bool
) -> subprocess.Popen[bytes]:
    command = [
        *(str(anvil.path), "--quiet", "--ipc", str(folder / "rpc"), "--port", str(port or 0)),
        *("--hardfork", "cancun", "--chain-id", str(CHAIN_ID), "--timestamp", str(timestamp)),
        *("--prune-history", "--transaction-block-keeper", str(_KEPT_BLOCKS)),
        *("--order", "fees", "--no-mining", "--auto-impersonate"),
        *("--accounts", "0", "--gas-limit", str(gas_limit), "--block-base-fee-per-gas", "0"),
    ]
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    with (folder / "log").open("wb") as log:
        # Its own session: Ctrl-C is for the simulator, which then closes the node.
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent if hasattr(libc, "prctl") and not lasting else None,
        )


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.kill()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> str | None:
    return None if len(tempfile.gettempdir()) < 60 else "/tmp"


def _result(reply: dict[str, Any]) -> Any:
    if "error" in reply:
        raise EnvironmentFault(f"Anvil refused a request: {reply['error']['message']}")
    return reply["result"]


def _outcome(reply: dict[str, Any]) -> Outcome:
    if "error" not in reply:
        return Outcome(True, _bytes(reply["result"]))
    data = reply["error"].get("data")
    return Outcome(False, _bytes(data) if isinstance(data, str) else b"")


def _receipt(raw: dict[str, Any], output: str | None) -> Receipt:
    succeeded = raw["status"] == "0x1"
    return Receipt(
        succeeded=succeeded,
        gas_used=int(raw["gasUsed"], 16),
        logs=tuple(map(_log, raw["logs"])),
        output=_bytes(output) if output else b"",
        created=raw["contractAddress"] if succeeded else None,
    )


def _traced(tx: Transaction, trace: dict[str, Any], logs: tuple[Log, ...]) -> Receipt:
    result = trace.get("result") or {}
    if "gasUsed" in result:
        intrinsic = tx.gas - int(trace["action"]["gas"], 16)
        gas = intrinsic + int(result["gasUsed"], 16)
    else:
        gas = tx.gas  # it did not revert but broke off, which takes all
    succeeded = trace.get("error") is None
    return Receipt(
        succeeded=succeeded,
        gas_used=gas,
        logs=logs,
        output=b"" if succeeded else _bytes(result.get("output", "0x")),
        created=result.get("address") if succeeded else None,
    )


def _log(raw: dict[str, Any]) -> Log:
    return Log(raw["address"], tuple(map(_bytes, raw["topics"])), _bytes(raw["data"]))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
