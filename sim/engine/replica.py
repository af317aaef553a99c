"""Playing a run's journal again, without agents, and verifying that it repeats to the bit.

Every block must give the journalled line again (statuses and events included), on Anvil the
recorded block hash, and through the Lens the recorded state: every exact figure of every account,
and every position word.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
import pyarrow.parquet as pq

from sim.chain import Backend, Block, Call, open_backend
from sim.chain.backend import Closing
from sim.engine import journal
from sim.engine.archive import Archive
from sim.engine.journal import Entry
from sim.engine.loop import SET_UP_GAS, Progress
from sim.engine.recorder import failure
from sim.engine.world import SET_UP
from sim.errors import InputError
from sim.protocol.client import Snapshot
from sim.results import Run
from sim.results.folder import readable
from sim.results.tables import open_table

EXACT = ("cash", "stored_cash", "equity", "initial", "maintenance")
"""Columns of the accounts table that end in `_wad`."""
_PLAIN = ("phase", "usable")
_DECIMAL_BYTES = 16
_FUND = 0


@dataclass(frozen=True)
class Difference:
    """Where a replay first departs from the record.

    Attributes
    ----------
    step
        Step of the block; -1 is the set-up.
    what
        `block hash`, `status`, `event`, `journal`, `figure`, `positions` or `accounts`.
    where
        Transaction, event or account, for people.
    recorded, replayed
        What the run says and what came out now.
    """

    step: int
    what: str
    where: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        place = "the set-up" if self.step == SET_UP else f"step {self.step}"
        return (
            f"{self.what} of {place} differs{f', {self.where}' if self.where else ''}: "
            f"recorded {self.recorded}, replayed {self.replayed}"
        )


@dataclass(frozen=True)
class Replay:
    """What a replay came to.

    Attributes
    ----------
    run, backend
        Name of the run, and what it was replayed on.
    step
        Last step that was played.
    whole
        Whether that is the run's last.
    blocks, transactions
        Played again.
    hashes
        Block hashes that were compared: none unless both chains were Anvil.
    states
        Steps whose state was compared through the Lens.
    figures
        Exact figures compared.
    fingerprint
        SHA-256 of what was played; that of the run if it is whole and equal.
    difference
        The first, or None.
    """

    run: str
    backend: str
    step: int
    whole: bool
    blocks: int
    transactions: int
    hashes: int
    states: int
    figures: int
    fingerprint: str
    difference: Difference | None

    @property
    def equal(self) -> bool:
        """Whether everything repeated to the bit."""
        return self.difference is None


@dataclass(frozen=True)
class Played:
    """One block of a replay, with the entry that it repeats."""

    entry: Entry
    block: Block
    line: bytes


class Replica(Closing):
    """A chain on which a run is played again, block by block.

    Parameters
    ----------
    run
        The run.
    backend : str or Backend, optional
        Where: that of the run unless given. A chain must be fresh, its genesis at `genesis` of the
        run's archive.
    """

    def __init__(self, run: Run, backend: str | Backend | None = None) -> None:
        self.run = run
        self.archive = Archive.open(run)
        self.protocol = self.archive.protocol
        if backend is None or isinstance(backend, str):
            name = backend or str(run.manifest["backend"])
            backend = open_backend(name, timestamp=self.archive.genesis, gas_limit=SET_UP_GAS)
        self.chain: Backend = backend

    def close(self) -> None:
        """Stop the chain."""
        self.chain.close()

    def play(self, until: int | None = None) -> Iterator[Played]:
        """Mine the journal's blocks in order, up to and including step `until`."""
        for entry in journal.read(self.run.journal):
            if until is not None and entry.step > until:
                return
            limit = SET_UP_GAS if entry.step == SET_UP else self.archive.gas_limit
            if self.chain.gas_limit != limit:
                self.chain.gas_limit = limit
            block = self.chain.mine(entry.transactions, entry.timestamp)
            yield Played(entry, block, journal.encode(entry.step, entry.transactions, block))

    def play_to(self, step: int) -> None:
        """Mine every block up to and including a step."""
        for _ in self.play(step):
            pass

    def read(self, calls: Sequence[tuple[str, bytes]]) -> list[tuple[bool, bytes]]:
        """Answer calls at the latest block, as `sim.protocol.client` asks them."""
        outcomes = self.chain.call_many([Call(to, data) for to, data in calls])
        return [(outcome.succeeded, outcome.data) for outcome in outcomes]

    def snapshot(self, accounts: Sequence[int]) -> Snapshot:
        """Read accounts, market and ledger at the latest block."""
        return self.protocol.snapshot(self.read, accounts)


def last_step(run: Run) -> int:
    """Return the number of a run's last step."""
    return int(run.table("steps")["step"].iloc[-1])


def check_step(run: Run, step: int) -> None:
    """Refuse a step that a run does not have."""
    last = last_step(run)
    if not 0 <= step <= last:
        raise InputError(f"{run.name} has no step {step}; it has steps 0 to {last}")


def replay(
    run: Run | str | Path,
    *,
    backend: str | Backend | None = None,
    until: int | None = None,
    progress: Progress | None = None,
) -> Replay:
    """Play a run again and compare it with its record, until the first difference.

    Parameters
    ----------
    run : Run, str or Path
        A run, its folder, or its name in `runs/`.
    backend : str or Backend, optional
        `anvil`, `revm` or a fresh chain; by default what the run was played on. On another
        backend there are no block hashes to compare; everything else must be equal all the same.
    until : int, optional
        Stop after this step; the state is then compared at that step alone.
    progress : callable, optional
        Told `(stage, done, total, note)`.

    Raises
    ------
    InputError
        No such run or step.
    """
    chosen = run if isinstance(run, Run) else Run.open(run)
    if until is not None:
        check_step(chosen, until)
    last = last_step(chosen)
    with Replica(chosen, backend) as replica:
        return verify(replica, last if until is None else until, every=until is None, tell=progress)


def verify(replica: Replica, until: int, *, every: bool, tell: Progress | None = None) -> Replay:
    """Play a replica to a step and compare; `every` step's state, or the last one's."""
    run = replica.run
    steps = run.table("steps").set_index("step")
    record = _Record(run, since=0 if every else until)
    digest = hashlib.sha256()
    blocks = transactions = hashes = states = figures = 0
    step = SET_UP
    difference = None
    for played in replica.play(until):
        step = played.entry.step
        blocks += 1
        transactions += len(played.entry.transactions)
        digest.update(played.line + b"\n")
        difference = _of_block(replica, played)
        if difference is None and step != SET_UP and played.block.hash:
            recorded = str(steps.at[step, "block_hash"])
            hashes += bool(recorded)
            if recorded and recorded != played.block.hash:
                difference = Difference(step, "block hash", "", recorded, played.block.hash)
        if difference is None and step != SET_UP and (every or step == until):
            snapshot = replica.snapshot(record.accounts(step))
            difference = record.compare(step, snapshot)
            states += 1
            figures += (len(EXACT) + len(_PLAIN)) * len(snapshot.accounts)
        if difference is not None:
            break
        if tell is not None:
            tell("replaying", step + 1, until + 1, "")
    fingerprint = digest.hexdigest()
    whole = until == int(steps.index[-1])
    if difference is None and whole and fingerprint != run.fingerprint:
        difference = Difference(step, "fingerprint", "", run.fingerprint, fingerprint)
    return Replay(
        run=run.name,
        backend=replica.chain.name,
        step=step,
        whole=whole,
        blocks=blocks,
        transactions=transactions,
        hashes=hashes,
        states=states,
        figures=figures,
        fingerprint=fingerprint,
        difference=difference,
    )


def _of_block(replica: Replica, played: Played) -> Difference | None:
    """Return the first difference between a mined block and its line in the journal."""
    entry, block = played.entry, played.block
    if played.line == entry.line:
        return None
    for index, (status, receipt) in enumerate(zip(entry.statuses, block.receipts, strict=True)):
        where = f"transaction {index}: {described(replica.archive, entry, index)}"
        if status != receipt.succeeded:
            now = "succeeded" if receipt.succeeded else f"failed ({failure(receipt)})"
            then = "succeeded" if status else "failed"
            return Difference(entry.step, "status", where, then, now)
        for place in range(max(len(entry.logs[index]), len(receipt.logs))):
            logs = entry.logs[index], receipt.logs
            then, now = (
                shown_event(replica.archive, own[place]) if place < len(own) else "no event"
                for own in logs
            )
            if then != now:
                return Difference(entry.step, "event", f"{where}, event {place}", then, now)
    return Difference(
        entry.step, "journal", "", entry.line[:60].decode() + "…", played.line[:60].decode() + "…"
    )


def described(archive: Archive, entry: Entry, index: int) -> str:
    """Return a journalled transaction as `sender → contract.function(arguments)`."""
    transaction = entry.transactions[index]
    sender = archive.names.get(transaction.sender, transaction.sender)
    return f"{sender} → {archive.called(transaction)}"


def shown_event(archive: Archive, log: Any) -> str:
    """Return a log as `contract.Event(arguments)`."""
    event = archive.protocol.event(log.address, log.topics, log.data)
    if event is None:
        return f"{log.address} {[topic.hex() for topic in log.topics]} 0x{log.data.hex()}"
    return f"{event.address}.{event.name}({archive.listed(event.args)})"


class _Record:
    """The recorded state of a run, read step by step as a replay goes."""

    def __init__(self, run: Run, since: int) -> None:
        self._rows = accounts_by_step(run, since)
        self._next: tuple[int, Mapping[str, Any]] | None = None
        self._words = _recorded_words(run)
        self._held: dict[int, bytes] = {}

    def _at(self, step: int) -> Mapping[str, Any]:
        while self._next is None or self._next[0] < step:
            self._next = next(self._rows)
        return self._next[1]

    def accounts(self, step: int) -> list[int]:
        """Return the accounts that were recorded after a step."""
        return [int(account) for account in self._at(step)["account"]]

    def compare(self, step: int, snapshot: Snapshot) -> Difference | None:
        """Return the first difference between the recorded state and a snapshot of it."""
        rows = self._at(step)
        accounts = rows["account"].tolist()
        if accounts != snapshot.accounts.tolist():
            return Difference(step, "accounts", "", str(accounts), str(snapshot.accounts.tolist()))
        for name in _PLAIN:
            now = getattr(snapshot, name)
            for row in np.flatnonzero(rows[name] != now):
                return Difference(
                    step, name, f"account {accounts[row]}", str(rows[name][row]), str(now[row])
                )
        for name in EXACT:
            exact = getattr(snapshot, name)
            own = b"".join(v.to_bytes(_DECIMAL_BYTES, "little", signed=True) for v in exact)
            then = rows[name]
            if own != then:
                for row, value in enumerate(exact):
                    recorded = exact_figure(then, row)
                    if recorded != value:
                        where = f"{name}_wad of account {accounts[row]}"
                        return Difference(step, "figure", where, str(recorded), str(value))
        while self._words and self._words[0][0] <= step:
            _, changed = self._words.pop(0)
            self._held.update(changed)
        for account, packed in snapshot.words.items():
            before = self._held.get(account, b"")
            if packed != before:
                where = f"account {account}"
                return Difference(step, "positions", where, before.hex(), packed.hex())
        return None


def accounts_by_step(run: Run, since: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the accounts of each step: columns as arrays, exact ones as little-endian bytes.

    Raises
    ------
    InputError
        The table is missing or damaged.
    """
    path = run.folder / "accounts.parquet"
    with readable(path), open_table(path) as file:
        yield from _accounts_of(file, since)


def _accounts_of(file: pq.ParquetFile, since: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    columns = ["step", "account", *_PLAIN, *(f"{name}_wad" for name in EXACT)]
    waiting: list[tuple[int, dict[str, Any]]] = []
    for batch in file.iter_batches(columns=columns, use_threads=False):
        numbers = batch["step"].to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for start, end in pairwise(starts):
            step = int(numbers[start])
            if step < since:
                continue
            rows = {name: batch[name].to_numpy()[start:end] for name in ("account", *_PLAIN)}
            for name in EXACT:
                values = batch[f"{name}_wad"]
                first = (values.offset + start) * _DECIMAL_BYTES
                length = (end - start) * _DECIMAL_BYTES
                rows[name] = values.buffers()[1].to_pybytes()[first : first + length]
            if waiting and waiting[0][0] == step:  # a step may go on in the next batch
                rows = {
                    name: np.concatenate((old, rows[name]))
                    if isinstance(old, np.ndarray)
                    else old + rows[name]
                    for name, old in waiting.pop()[1].items()
                }
            if waiting:
                yield waiting.pop()
            waiting.append((step, rows))
    yield from waiting


def exact_figure(column: bytes, row: int) -> int:
    """Return one figure of an exact column, in WAD."""
    part = column[_DECIMAL_BYTES * row : _DECIMAL_BYTES * (row + 1)]
    return int.from_bytes(part, "little", signed=True)


def _recorded_words(run: Run) -> list[tuple[int, dict[int, bytes]]]:
    """Return the packed positions that changed at each step, by account."""
    table = run.table("positions")
    changed: dict[int, dict[int, bytes]] = {}
    for step, account, word in zip(table["step"], table["account"], table["word"], strict=True):
        own = changed.setdefault(int(step), {})
        own[int(account)] = own.get(int(account), b"") + bytes.fromhex(word[2:])
    return sorted(changed.items())
