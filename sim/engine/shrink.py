"""A failing run reduced to few transactions that still fail, and exported as a test."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pprint import pformat
from typing import Any, Callable, Iterable, Mapping, Sequence, TypeVar

from sim.engine.archive import Archive
from sim.engine.case import Case, Failure, Sent, Stage, Step
from sim.engine.loop import Progress
from sim.errors import InputError
from sim.results import Run

_ACCOUNT_NAMES = {"account", "accounts", "source", "target", "bidder", "flagger", "counterparty"}
_ITEM = TypeVar("_ITEM")


@dataclass(frozen=True)
class Shrunk:
    """A reduced case.

    Attributes
    ----------
    run, fingerprint
        Where it comes from.
    failure
        What it breaks.
    case
        What is left.
    before, after
        Transactions after the deployment.
    trials
        Cases that were played.
    found
        By how much it is broken.
    """

    run: str
    fingerprint: str
    failure: str
    case: Case
    before: int
    after: int
    trials: int
    found: str


def shrink(run: Run, failure: str | None = None, progress: Progress | None = None) -> Shrunk:
    """Reduce a failing run to few transactions that still fail.

    Blocks after the failure go first, then the transactions of whole senders, then by delta
    debugging (Zeller and Hildebrandt, 2002) whatever can be left out until no single transaction
    can; last, accounts that only stand for their number.

    Parameters
    ----------
    run
        The run; it is played with the contracts it was run with.
    failure
        A check, or a comparison such as `bad_debt > 0`; by default the first thing it broke.

    Raises
    ------
    InputError
        It does not fail in that way, or it fails for want of transactions: something that was
        expected did not happen.
    """
    wanted = Failure.of(failure) if failure else Failure.first(run)
    whole = Case.of(run, _broken_at(run, wanted))
    contracts = Archive.open(run).protocol.contracts
    with Stage(whole, {name: item.artifact for name, item in contracts.items()}) as stage:
        reducer = _Reducer(stage, whole, wanted, progress)
        found = stage.judged(whole.steps, wanted)
        if found["held"]:
            raise InputError(f"{run.name} does not fail so: {wanted.text} ({found['found']})")
        steps = reducer.reduced()
        if all(sent.sender.startswith("oracle#") for step in steps for sent in step.sent):
            raise InputError(
                f"{wanted.text}: it fails for want of something that never happened, which no "
                "transaction shows"
            )
        return Shrunk(
            run=run.name,
            fingerprint=run.fingerprint,
            failure=wanted.text,
            case=replace(whole, steps=steps),
            before=whole.transactions,
            after=sum(len(step.sent) for step in steps),
            trials=reducer.trials,
            found=stage.judged(steps, wanted)["found"],
        )


def _broken_at(run: Run, failure: Failure) -> int | None:
    """Return the first step at which a check is broken; None for an expectation."""
    if failure.expect:
        return None
    checks = run.table("checks")
    broken = checks[(checks["check"] == failure.name) & ~checks["held"]]
    return None if broken.empty else int(broken["step"].iloc[0])


Item = tuple[int, Sent]
"""A transaction and the place of its block among the steps."""


class _Reducer:
    def __init__(
        self, stage: Stage, case: Case, failure: Failure, progress: Progress | None
    ) -> None:
        self.trials = 0
        self._stage, self._case, self._failure = stage, case, failure
        self._progress = progress
        self._last: int | None = None
        """Place of a block that stays even if it is empty, because it lets time pass."""

    def reduced(self) -> tuple[Step, ...]:
        """Return steps from which no transaction can be left out."""
        items = [(place, sent) for place, step in enumerate(self._case.steps) for sent in step.sent]
        items = self._shortest_prefix(items)
        senders = dict.fromkeys(sent.sender for _, sent in items)
        for sender in senders:
            items = self._without(items, sender)
        items = minimal(items, self._fails)
        last, self._last = self._last, None
        if not self._fails(items):
            self._last = last
        fewer = self._renumbered(items)
        return self._steps(minimal(fewer, self._fails) if len(fewer) < len(items) else items)

    def _steps(self, items: Sequence[Item]) -> tuple[Step, ...]:
        own: dict[int, list[Sent]] = defaultdict(list)
        for place, sent in items:
            own[place].append(sent)
        return tuple(
            replace(step, sent=tuple(own[place]))
            for place, step in enumerate(self._case.steps)
            if place in own or place == self._last
        )

    def _fails(self, items: Sequence[Item]) -> bool:
        self.trials += 1
        if self._progress is not None:
            self._progress("shrinking", self.trials, None, f"{len(items)} transactions")
        return self._stage.fails(self._steps(items), self._failure)

    def _shortest_prefix(self, items: list[Item]) -> list[Item]:
        """Return the items up to a block before which it does not fail."""
        low, high = 0, len(self._case.steps)
        while high - low > 1:
            middle = (low + high) // 2
            if self._fails([item for item in items if item[0] < middle]):
                high = middle
            else:
                low = middle
        self._last = high - 1
        return [item for item in items if item[0] < high]

    def _without(self, items: list[Item], sender: str) -> list[Item]:
        rest = [item for item in items if item[1].sender != sender]
        return rest if self._fails(rest) else items

    def _renumbered(self, items: list[Item]) -> list[Item]:
        """Leave out accounts that only stand for their number, and move the later ones up."""
        number = len([1 for _, sent in items if sent.function == "open_account"])
        while number:
            opening = [i for i, (_, sent) in enumerate(items) if sent.function == "open_account"]
            at = opening[number - 1]
            moved = [
                (place, _moved_up(sent, number)) for i, (place, sent) in enumerate(items) if i != at
            ]
            if self._fails(moved):
                items = moved
            number -= 1
        return items


def minimal(items: list[_ITEM], fails: Callable[[Sequence[_ITEM]], bool]) -> list[_ITEM]:
    """Return a part of `items` that fails and of which no single item can be left out.

    Parameters
    ----------
    items
        Fail as a whole.
    fails
        Whether some of them, in order, fail.
    """
    size = max(len(items) // 2, 1)
    while items:
        left_out = False
        start = 0
        while start < len(items):
            rest = items[:start] + items[start + size :]
            if fails(rest):
                items, left_out = rest, True
            else:
                start += size
        if size == 1 and not left_out:
            break
        size = max(size // 2, 1)
    return items


def _moved_up(sent: Sent, above: int) -> Sent:
    """Return a transaction in which account ids beyond one are one less."""

    def moved(value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(part, key) for key, part in value.items()}
        if isinstance(value, list):
            return [moved(part, name) for part in value]
        if name in _ACCOUNT_NAMES and isinstance(value, int):
            return value - (value > above)
        return value

    return replace(sent, arguments=moved(sent.arguments, ""))


def exported(shrunk: Shrunk) -> str:
    """Return a test file that plays the case; it needs nothing but this package."""
    case = shrunk.case
    name = re.sub(r"\W+", "_", shrunk.failure).strip("_").lower()
    verifier = pformat(case.verifier and asdict(case.verifier), width=96, sort_dicts=False)
    return f'''"""{shrunk.failure}: shrunk from the run {shrunk.run}.

{shrunk.after} of its {shrunk.before} transactions are enough, after the deployment: {shrunk.found}.
The contracts are compiled from their sources as they are now, so this test passes once the fault is
mended. Fingerprint of the run: {shrunk.fingerprint}
"""

from sim.engine.case import Case


def test_{name}():
    """Broken when it was exported."""
    shrunk = Case.read(GENESIS, NAMES, CONTRACTS, DEPLOYMENT, STEPS, VERIFIER)
    verdict = shrunk.judged({shrunk.failure!r})
    assert verdict["held"], verdict["found"]


# Blocks: step, time, and (sender, contract, function, arguments) of each transaction.
STEPS = {_blocks(case.steps)}

GENESIS = {case.genesis}
NAMES = {{"underlyings": {list(case.underlyings)!r}, "assets": {list(case.assets)!r}}}
CONTRACTS = {pformat(dict(case.contracts), width=96, sort_dicts=False)}

DEPLOYMENT = {_blocks(case.deployment)}

VERIFIER = {verifier}
'''


def _blocks(steps: Iterable[Step]) -> str:
    lines = ["["]
    for step in steps:
        lines.append(f"    ({step.step}, {step.time}, [")
        lines += [
            f"        ({sent.sender!r}, {sent.contract!r}, {sent.function!r}, {sent.arguments!r}),"
            for sent in step.sent
        ]
        lines.append("    ]),")
    return "\n".join([*lines, "]"])
