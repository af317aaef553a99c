"""Where two runs part: the first transaction, event, figure and storage slot that differ.

Runs are compared by what things are called, not where they lie: a contract that is deployed in
another place is the same contract. Set-up and steps are compared apart, because runs of different
settings are set up differently, which says little about what came of it.
"""

from __future__ import annotations

import filecmp
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from typing import Any, Iterator, Mapping

import numpy as np

from sim.chain.revm import RevmBackend
from sim.engine import journal
from sim.engine.archive import Archive
from sim.engine.journal import Entry
from sim.engine.loop import SET_UP_GAS, Progress
from sim.engine.replica import (
    EXACT,
    Replica,
    accounts_by_step,
    described,
    exact_figure,
    shown_event,
)
from sim.engine.storage import mentioned, named
from sim.engine.world import SET_UP
from sim.results import Run
from sim.units import from_wad

SLOTS_LISTED = 50
_NOTHING = "nothing"


@dataclass(frozen=True)
class Setting:
    """A setting that differs, by its path; `None` where a run does not have it."""

    path: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Finding:
    """The first difference of one kind.

    Attributes
    ----------
    kind
        `step`, `transaction`, `status`, `event`, `account` or `storage`.
    step
        Of the block; -1 in the set-up.
    where
        Place in the block, account, or contract and slot.
    a, b
        What the two runs have there.
    """

    kind: str
    step: int
    where: str
    a: str
    b: str


@dataclass(frozen=True)
class Divergence:
    """How two runs differ; `first` holds one finding of a kind and phase at most, but for storage,
    of which the first `SLOTS_LISTED` slots of the first block are there, as they were written."""

    a: str
    b: str
    settings: tuple[Setting, ...]
    first: tuple[Finding, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Whether nothing that the chain saw differs."""
        return not self.first


def diverge(a: Run, b: Run, progress: Progress | None = None) -> Divergence:
    """Compare two runs, replaying both inside this process as far as their storage is equal.

    Parameters
    ----------
    a, b
        Runs, of whatever scenarios.
    progress
        Told `(stage, done, total, note)`.
    """
    settings = tuple(_settings(a, b))
    if filecmp.cmp(a.journal, b.journal, shallow=False):
        return Divergence(a.name, b.name, settings)
    archives = Archive.open(a), Archive.open(b)
    findings = [*_of_journals(archives), *_of_accounts(a, b), *_of_storage(a, b, progress)]
    order = ("step", "transaction", "status", "event", "account", "storage")
    findings.sort(key=lambda f: (f.step != SET_UP, order.index(f.kind)))
    return Divergence(a.name, b.name, settings, tuple(findings))


def _settings(a: Run, b: Run) -> Iterator[Setting]:
    """Yield what differs of scenario, rulebook, contracts and tools."""
    sides = []
    for run in (a, b):
        manifest, archive = run.manifest, Archive.open(run)
        contracts = archive.content["contracts"].items()
        sides.append(
            {
                **dict(_flat("scenario", manifest["scenario"]["canonical"])),
                **dict(_flat("rulebook", archive.content["rulebook"])),
                **{f"contracts.{name}": item["bytecode"][:16] for name, item in contracts},
                **dict(_flat("versions", manifest["versions"])),
                "backend": manifest["backend"],
            }
        )
    for path in dict.fromkeys([*sides[0], *sides[1]]):
        one, other = (side.get(path) for side in sides)
        if one != other:
            yield Setting(path.removeprefix("scenario."), one, other)


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(f"{path}.{key}", part)
    elif isinstance(value, list) and value and not isinstance(value[0], (int, float, str)):
        for index, part in enumerate(value):
            yield from _flat(f"{path}[{index}]", part)
    else:
        yield path, value


def _of_journals(archives: tuple[Archive, Archive]) -> Iterator[Finding]:
    """Yield the first block, transaction, status and event that differ, of set-up and of steps."""
    wanted = {(kind, phase) for kind in _COMPARED for phase in (True, False)}
    for one, other in _paired(archives):
        if not wanted:
            return
        if one is not None and other is not None and one.line == other.line:
            continue
        entry = one or other
        assert entry is not None
        phase = entry.step == SET_UP
        for finding in _of_block(archives, one, other):
            if (finding.kind, phase) in wanted:
                wanted.remove((finding.kind, phase))
                yield finding


_COMPARED = ("step", "transaction", "status", "event")


def _paired(archives: tuple[Archive, Archive]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Yield the blocks of two runs: of the set-up by their order, then by step."""
    waiting = [deque[Entry](), deque[Entry]()]
    journals = [journal.read(archive.run.journal) for archive in archives]
    for pair in zip_longest(*journals):
        for queue, entry in zip(waiting, pair, strict=True):
            if entry is not None:
                queue.append(entry)
        while waiting[0] and waiting[1]:
            one, other = waiting[0][0], waiting[1][0]
            yield (
                waiting[0].popleft() if one.step <= other.step else None,
                waiting[1].popleft() if other.step <= one.step else None,
            )
    yield from ((entry, None) for entry in waiting[0])
    yield from ((None, entry) for entry in waiting[1])


def _of_block(
    archives: tuple[Archive, Archive], one: Entry | None, other: Entry | None
) -> Iterator[Finding]:
    if one is None or other is None:
        entry = one or other
        assert entry is not None
        texts = ["no block" if e is None else f"a block at {e.timestamp}" for e in (one, other)]
        yield Finding("step", entry.step, "", *texts)
        return
    step = one.step
    if one.timestamp != other.timestamp:
        yield Finding("step", step, "time", str(one.timestamp), str(other.timestamp))
    pair = (one, other)
    for index in range(max(len(entry.transactions) for entry in pair)):
        texts = [
            _transaction(archive, entry, index)
            for archive, entry in zip(archives, pair, strict=True)
        ]
        if texts[0] != texts[1]:
            yield Finding("transaction", step, f"transaction {index}", *texts)
            break
    for index in range(min(len(entry.transactions) for entry in pair)):
        if one.statuses[index] != other.statuses[index]:
            words = ["succeeded" if entry.statuses[index] else "failed" for entry in pair]
            where = f"transaction {index}, {described(archives[0], one, index)}"
            yield Finding("status", step, where, *words)
            break
    events = [
        [
            (index, shown_event(archive, log))
            for index, logs in enumerate(entry.logs)
            for log in logs
        ]
        for archive, entry in zip(archives, pair, strict=True)
    ]
    for number, (left, right) in enumerate(zip_longest(*events)):
        if left is None or right is None or left[1] != right[1]:
            index = (left or right)[0]
            texts = [_NOTHING if side is None else side[1] for side in (left, right)]
            yield Finding("event", step, f"event {number}, of transaction {index}", *texts)
            return


def _transaction(archive: Archive, entry: Entry, index: int) -> str:
    if index >= len(entry.transactions):
        return _NOTHING
    transaction = entry.transactions[index]
    text = described(archive, entry, index)
    if transaction.to is None:
        # Equal arguments do not make equal code.
        text += f" of code {archive.code_hash(transaction)[:16]}"
    return text + (f" with {transaction.value} wei" if transaction.value else "")


def _of_accounts(a: Run, b: Run) -> Iterator[Finding]:
    """Yield the first exact figure of an account that differs."""
    for left, right in zip_longest(accounts_by_step(a), accounts_by_step(b)):
        if left is None or right is None:
            return
        step, rows, others = left[0], left[1], right[1]
        if not np.array_equal(rows["account"], others["account"]):
            texts = [f"{len(r['account'])} accounts" for r in (rows, others)]
            yield Finding("account", step, "number of accounts", *texts)
            return
        for name in EXACT:
            if rows[name] == others[name]:
                continue
            for row, account in enumerate(rows["account"].tolist()):
                figures = [exact_figure(side[name], row) for side in (rows, others)]
                if figures[0] != figures[1]:
                    texts = [f"{from_wad(figure):,.9f} ({figure} wei)" for figure in figures]
                    yield Finding("account", step, f"account {account}, {name}", *texts)
                    return


def _of_storage(a: Run, b: Run, progress: Progress | None) -> Iterator[Finding]:
    """Replay both runs, and yield the slots that differ after the first block in which any does:
    of the set-up as a whole, and of the steps."""
    with _Written(a) as one, _Written(b) as other:
        for pair in zip_longest(one.blocks(), other.blocks()):
            if None in pair:
                return
            step = pair[0]
            if progress is not None:
                progress("replaying both", step + 1, None, "")
            written = dict.fromkeys([*one.fresh, *other.fresh])
            slots = [key for key in written if one.storage.get(key) != other.storage.get(key)]
            yield from _slots((one, other), step, slots)
            if slots and step != SET_UP:
                return


class _Written(Replica):
    """A run replayed in this process, with what it has written to storage.

    Attributes
    ----------
    storage
        Words by contract name and slot.
    fresh
        What the latest block has written, in order.
    """

    def __init__(self, run: Run) -> None:
        chain = RevmBackend(timestamp=Archive.open(run).genesis, gas_limit=SET_UP_GAS)
        super().__init__(run, chain)
        self._written: dict[tuple[str, int], int] = {}
        chain.written = self._written
        self.storage: dict[tuple[str, int], int] = {}
        self.fresh: list[tuple[str, int]] = []

    def blocks(self) -> Iterator[int]:
        """Yield each step after its block; the blocks of the set-up count as one."""
        entries = journal.read(self.run.journal)
        left = sum(1 for _ in takewhile(lambda entry: entry.step == SET_UP, entries))
        for played in self.play():
            left -= 1
            if left > 0:
                continue
            names = self.archive.names
            fresh = {(names.get(at, at), slot): v for (at, slot), v in self._written.items()}
            self._written.clear()
            self.storage.update(fresh)
            self.fresh = list(fresh)
            yield played.entry.step

    def keys(self, until: int) -> Iterator[int | str]:
        """Yield what may be keys of mappings: all that was mentioned up to a step."""
        for entry in journal.read(self.run.journal):
            if entry.step > until:
                return
            for transaction, logs in zip(entry.transactions, entry.logs, strict=True):
                yield from mentioned(self.archive.decoded(transaction)[2].values())
                for log in logs:
                    event = self.protocol.event(log.address, log.topics, log.data)
                    yield from mentioned(event.args.values() if event else ())


def _slots(
    sides: tuple[_Written, _Written], step: int, slots: list[tuple[str, int]]
) -> Iterator[Finding]:
    if not slots:
        return
    known = sides[0].archive.content["contracts"]
    keys = list(dict.fromkeys(key for side in sides for key in side.keys(step)))
    listed = slots[:SLOTS_LISTED]
    names: dict[tuple[str, int], str] = {}
    for contract in dict.fromkeys(contract for contract, _ in listed):
        layout = known.get(contract, {}).get("layout", {})
        own = [slot for name, slot in listed if name == contract]
        for slot, name in named(own, layout, keys).items():
            names[contract, slot] = name
    for contract, slot in listed:
        at = names.get((contract, slot), "")
        for address, name in sides[0].archive.names.items():
            at = at.replace(address, name)
        label = f"{contract}.{at} (slot {_hex(slot)})" if at else f"{contract} slot {_hex(slot)}"
        texts = [_hex(side.storage.get((contract, slot), 0)) for side in sides]
        yield Finding("storage", step, label, *texts)


def _hex(value: int) -> str:
    return f"0x{value:x}"
