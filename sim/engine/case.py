"""Transactions by name that can be played and judged without the run they came from.

The journal is read back into calls by name, so that transactions can be left out and accounts
renumbered; a case is what remains of them. It is judged as a run is: by the checks and expectations
of `sim.results`, on tables that are held in memory. State is recorded after the last block, and
after every block in which a liquidation moved.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import pandas as pd

from sim.chain import Call, Transaction, created_address
from sim.chain.backend import Closing
from sim.chain.revm import RevmBackend
from sim.checks.conformance import Verifier, compare
from sim.checks.conservation import balance
from sim.engine import journal
from sim.engine.archive import Archive
from sim.engine.loop import SET_UP_GAS
from sim.engine.recorder import Left, Recorder
from sim.engine.world import Action, address_of
from sim.errors import EnvironmentFault, InputError
from sim.protocol.abi import Event, revert_reason
from sim.protocol.artifacts import Artifact, artifact
from sim.protocol.client import Protocol
from sim.protocol.deploy import Deployed, abi_of
from sim.results import TABLES, Run, RunWriter
from sim.results.expectations import check_names, judge, value_of
from sim.results.summary import summarise
from sim.scenario.model import Bound

CONSTRUCTOR = "__init__"
_AT = "@"
_COMPARISON = re.compile(r"([\w.]+)\s*(>=|<=|!=|>|<)\s*(.+)$")


@dataclass(frozen=True)
class Sent:
    """One transaction by name; addresses among its arguments are `@name`.

    Attributes
    ----------
    sender
        Name of an agent, `deployer`, …
    contract
        Name in the deployment.
    function
        `__init__` deploys the contract; an empty one sends the bare `data`.
    arguments
        By name, in order.
    """

    sender: str
    contract: str
    function: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One block: the step it was mined in (-1 in the set-up), its time, what was sent in it."""

    step: int
    time: int
    sent: tuple[Sent, ...]


@dataclass(frozen=True)
class Case:
    """Transactions that fail, and all that is needed to send them.

    Attributes
    ----------
    genesis
        Time of the chain's first block.
    underlyings, assets
        Names by id; assets from id 1.
    verifier
        What makes the reference; None where there is none.
    contracts
        Sources by their name in the deployment.
    deployment
        The first blocks, which create the contracts; they are not reduced.
    steps
        The rest.
    """

    genesis: int
    underlyings: tuple[str, ...]
    assets: tuple[str, ...]
    verifier: Verifier | None
    contracts: Mapping[str, str]
    deployment: tuple[Step, ...]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, run: Run, until: int | None = None) -> Case:
        """Return the whole of a run, or what it is up to a step."""
        archive = Archive.open(run)
        steps = []
        for entry in journal.read(run.journal):
            if until is not None and entry.step > until:
                break
            sent = tuple(_sent(archive, transaction) for transaction in entry.transactions)
            steps.append(Step(entry.step, entry.timestamp, sent))
        creating = [
            i for i, s in enumerate(steps) if any(t.function == CONSTRUCTOR for t in s.sent)
        ]
        start = creating[-1] + 1
        content = archive.content
        return cls(
            genesis=archive.genesis,
            underlyings=tuple(content["underlyings"]),
            assets=tuple(content["assets"]),
            verifier=archive.verifier,
            contracts={name: item["contract"] for name, item in content["contracts"].items()},
            deployment=tuple(steps[:start]),
            steps=tuple(steps[start:]),
        )

    @classmethod
    def read(
        cls,
        genesis: int,
        names: Mapping[str, Sequence[str]],
        contracts: Mapping[str, str],
        deployment: Sequence[Any],
        steps: Sequence[Any],
        verifier: Mapping[str, Any] | None,
    ) -> Case:
        """Return the case of an exported test, from the literals that it consists of."""

        def blocks(rows: Sequence[Any]) -> tuple[Step, ...]:
            return tuple(
                Step(number, time, tuple(Sent(*sent) for sent in own)) for number, time, own in rows
            )

        return cls(
            genesis=genesis,
            underlyings=tuple(names["underlyings"]),
            assets=tuple(names["assets"]),
            verifier=None if verifier is None else Verifier(**verifier),
            contracts=contracts,
            deployment=blocks(deployment),
            steps=blocks(steps),
        )

    @property
    def transactions(self) -> int:
        """How many there are after the deployment."""
        return sum(len(step.sent) for step in self.steps)

    def judged(self, failure: str) -> dict[str, Any]:
        """Play the case with the contracts as their sources are now, and judge it.

        Parameters
        ----------
        failure
            A check (`conservation of tokens`), or what must not be (`bad_debt > 0`).

        Returns
        -------
        dict
            `name`, `found`, `allowed`, and whether it `held`.
        """
        with Stage(self, {name: artifact(source) for name, source in self.contracts.items()}) as s:
            return s.judged(self.steps, Failure.of(failure))


@dataclass(frozen=True)
class Failure:
    """What is broken: a check by its name, or an expectation."""

    name: str
    text: str
    expect: Mapping[str, Bound]

    @classmethod
    def of(cls, text: str) -> Failure:
        """Read `conservation of tokens`, or a comparison such as `bad_debt > 0`.

        Raises
        ------
        InputError
            A comparison of a figure that no run has, or with what is no quantity.
        """
        found = _COMPARISON.match(text.strip())
        if found is None:
            return cls(text.strip(), text.strip(), {})
        name, sign, limit = found.groups()
        try:
            bound = Bound(max=limit)  # type: ignore[arg-type]  # parsed
        except ValueError:
            raise InputError(f"{text!r}: {limit!r} is not a quantity") from None
        assert bound.max is not None
        wanted = {
            ">": Bound(max=bound.max),
            ">=": Bound(max=math.nextafter(bound.max, -math.inf)),
            "<": Bound(min=bound.max),
            "<=": Bound(min=math.nextafter(bound.max, math.inf)),
            "!=": Bound.model_validate({"is": bound.max}),
        }[sign]
        check_names({name: wanted})
        return cls(name, text.strip(), {name: wanted})

    @classmethod
    def first(cls, run: Run) -> Failure:
        """Return the first check or expectation that a run broke.

        Raises
        ------
        InputError
            Everything held.
        """
        expected = run.manifest["scenario"]["canonical"]["expect"]
        for row in run.manifest["outcome"]["expectations"]:
            if not row["held"]:
                name = row["name"]
                if name not in expected:
                    return cls(name, name, {})
                value = value_of(run, summarise(run), name)
                if value is None:
                    continue  # it was not verified, which no transaction shows
                bound = _side(Bound.model_validate(expected[name]), value)
                return cls(name, _text(name, bound), {name: bound})
        raise InputError(f"{run.name} held; say what to look for, such as --failure 'bad_debt > 0'")


def _side(bound: Bound, value: float) -> Bound:
    """Return the side of a broken bound that a value is beyond."""
    if bound.max is not None and value > bound.max:
        return Bound(max=bound.max)
    return bound


def _text(name: str, bound: Bound) -> str:
    """Return a broken bound as the comparison that finds it."""
    if bound.equal is not None:
        return f"{name} != {bound.equal}"
    if bound.max is not None and bound.min is None:
        return f"{name} > {_number(bound.max)}"
    assert bound.min is not None
    return f"{name} < {_number(bound.min)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


class Stage(Closing):
    """A chain in this process with a case's deployment on it, on which steps are tried."""

    def __init__(self, case: Case, built: Mapping[str, Artifact]) -> None:
        self._reference = None if case.verifier is None else case.verifier.reference()
        self._chain = RevmBackend(timestamp=case.genesis, gas_limit=SET_UP_GAS)
        self._nonces: dict[str, int] = defaultdict(int)
        contracts = {}
        for sent in (sent for step in case.deployment for sent in step.sent):
            if sent.function == CONSTRUCTOR:
                at = created_address(address_of(sent.sender), self._nonces[sent.sender])
                source = case.contracts[sent.contract]
                contracts[sent.contract] = Deployed(sent.contract, source, at, built[sent.contract])
            self._nonces[sent.sender] += 1
        self._protocol = Protocol(
            contracts, dict(enumerate(case.underlyings)), dict(enumerate(case.assets, start=1))
        )
        for step in case.deployment:
            block = self._chain.mine([self._transaction(sent) for sent in step.sent], step.time)
            for sent, receipt in zip(step.sent, block.receipts, strict=True):
                if not receipt.succeeded:
                    raise InputError(
                        f"the deployment fails at {sent.contract}.{sent.function}: "
                        f"{revert_reason(receipt.output)}"
                    )
        self._mark = self._chain.snapshot()

    def close(self) -> None:
        """Stop the chain."""
        self._chain.close()

    def judged(self, steps: Sequence[Step], failure: Failure) -> dict[str, Any]:
        """Play steps above the deployment and judge them by one check or expectation."""
        self._chain.revert(self._mark)
        self._mark = self._chain.snapshot()
        tables = _Tables()
        owners = {0: "insurance fund"}
        recorder = Recorder(tables, owners)
        names = {address_of(sent.sender): sent.sender for step in steps for sent in step.sent}
        for number, step in enumerate(steps):
            actions = [
                Action(self._transaction(sent), sent.function, sent.sender) for sent in step.sent
            ]
            block = self._chain.mine([action.transaction for action in actions], step.time)
            events = [
                [
                    event
                    for log in receipt.logs
                    if (event := self._protocol.event(log.address, log.topics, log.data))
                ]
                for receipt in block.receipts
            ]
            recorder.transactions(step.step, actions, block, events, [0.0] * len(actions))
            owners.update(_opened(events, names))
            if number == len(steps) - 1 or _moved(events):
                snapshot = self._protocol.snapshot(self._read, sorted(owners))
                recorder.state(
                    step.step,
                    block,
                    Left(0, 0),
                    events,
                    snapshot,
                    snapshot.market,
                    compare(snapshot, self._reference),
                    balance(snapshot),
                )
        run = _Recorded(tables)
        rows = {row["name"]: row for row in judge(run, summarise(run), failure.expect)}
        if failure.name not in rows:
            raise InputError(
                f"nothing checks {failure.name!r}; there are {', '.join(sorted(rows))}, and "
                "comparisons such as 'bad_debt > 0'"
            )
        return rows[failure.name]

    def fails(self, steps: Sequence[Step], failure: Failure) -> bool:
        """Whether steps break it; what cannot even be judged does not."""
        if not steps:
            return False
        try:
            return not self.judged(steps, failure)["held"]
        except (EnvironmentFault, InputError):
            return False

    def _read(self, calls: Sequence[tuple[str, bytes]]) -> list[tuple[bool, bytes]]:
        outcomes = self._chain.call_many([Call(to, data) for to, data in calls])
        return [(outcome.succeeded, outcome.data) for outcome in outcomes]

    def _transaction(self, sent: Sent) -> Transaction:
        values = [self._address(value) for value in sent.arguments.values()]
        target = self._protocol.contracts.get(sent.contract)
        sender = address_of(sent.sender)
        if not sent.function:
            return Transaction(sender, target.address if target else sent.contract, values[0])
        if target is None:
            raise InputError(f"{sent.contract} is not deployed")
        if sent.function == CONSTRUCTOR:
            code = target.artifact.bytecode + abi_of(target.artifact).constructor(*values)
            return Transaction(sender, None, code)
        function = target.abi.function(sent.function, len(values))
        return Transaction(sender, target.address, function.encode(*values))

    def _address(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_AT):
            name = value.removeprefix(_AT)
            contract = self._protocol.contracts.get(name)
            return contract.address if contract else address_of(name)
        if isinstance(value, Mapping):
            return {key: self._address(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._address(part) for part in value]
        return value


class _Tables(RunWriter):
    """The tables of a run in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        self.rows[table] += rows


class _Recorded(Run):
    """A run that exists in memory alone."""

    def __init__(self, tables: _Tables) -> None:
        super().__init__(Path())
        object.__setattr__(self, "_tables", tables)

    def table(self, name: str) -> pd.DataFrame:
        rows = self.__dict__["_tables"].rows[name]
        return pd.DataFrame(
            {
                column.name: [
                    row[column.name] if column.name in row else row[f"{column.name}_wad"] / 10**18
                    for row in rows
                ]
                for column in TABLES[name].columns
                if not column.name.endswith("_wad")
            }
        )


def _opened(events: Iterable[Iterable[Event]], names: Mapping[str, str]) -> dict[int, str]:
    return {
        event.args["account"]: names.get(event.args["owner"], event.args["owner"])
        for own in events
        for event in own
        if event.name == "AccountOpened"
    }


def _moved(events: Iterable[Iterable[Event]]) -> bool:
    return any(event.address == "liquidator" for own in events for event in own)


def _sent(archive: Archive, transaction: Transaction) -> Sent:
    contract, function, arguments = archive.decoded(transaction)
    sender = archive.names.get(transaction.sender, transaction.sender)
    named = {name: _symbolic(archive, value) for name, value in arguments.items()}
    return Sent(sender, contract, function, named)


def _symbolic(archive: Archive, value: Any) -> Any:
    """Return an argument with names for addresses and plain containers."""
    if isinstance(value, str) and value.lower() in archive.names:
        return _AT + archive.names[value.lower()]
    if hasattr(value, "_asdict"):
        return {key: _symbolic(archive, part) for key, part in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [_symbolic(archive, part) for part in value]
    return value
