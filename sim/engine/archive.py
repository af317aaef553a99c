"""What a run folder keeps of its deployment, so that it can be played again without the sources.

Contracts change; a run does not. Beside the journal, which holds every byte that went to the chain,
a folder keeps the contracts' interfaces and storage layouts, the names of what trades and the
rulebook.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Mapping

import orjson

from sim.chain import Transaction
from sim.checks.conformance import Reference, Verifier
from sim.engine import journal
from sim.engine.world import SET_UP, address_of
from sim.errors import InputError
from sim.protocol.artifacts import Artifact
from sim.protocol.client import Protocol
from sim.protocol.deploy import Deployed
from sim.reference.book import KIND_NAMES, PERP
from sim.reference.rulebook import KINDS, Rulebook
from sim.results import Run

ARCHIVE = "contracts.json"
_LONG = 36
_SERVANTS = ("deployer", "exchange", "treasury")


def pack(protocol: Protocol, rulebook: Rulebook, verifier: Verifier | None, genesis: int) -> bytes:
    """Return the archive of a deployment, on a chain whose first block has the time `genesis`."""
    return orjson.dumps(
        {
            "genesis": genesis,
            "underlyings": [protocol.underlyings[i] for i in sorted(protocol.underlyings)],
            "assets": [protocol.assets[i] for i in sorted(protocol.assets)],
            "rulebook": rulebook.model_dump(mode="json"),
            "verifier": verifier and {"own": verifier.own, "arguments": verifier.arguments},
            "contracts": {
                name: {
                    "contract": str(item.contract),
                    "address": item.address,
                    "bytecode": item.artifact.bytecode_hash,
                    "length": len(item.artifact.bytecode),
                    "abi": item.artifact.abi,
                    "layout": item.artifact.layout.get("storage_layout", {}),
                }
                for name, item in protocol.contracts.items()
            },
        }
    )


@dataclass(frozen=True)
class Archive:
    """The deployment of one run."""

    run: Run
    content: Mapping[str, Any]

    @classmethod
    def open(cls, run: Run) -> Archive:
        """Read a run's archive.

        Raises
        ------
        InputError
            The folder has none.
        """
        try:
            return cls(run, orjson.loads((run.folder / ARCHIVE).read_bytes()))
        except FileNotFoundError:
            raise InputError(f"{run.folder} has no {ARCHIVE}; run its scenario again") from None
        except ValueError as error:
            raise InputError(f"{run.folder / ARCHIVE}: {error}") from error

    @property
    def genesis(self) -> int:
        """Time of the chain's first block."""
        return int(self.content["genesis"])

    @property
    def gas_limit(self) -> int:
        """Gas limit of the blocks after the set-up."""
        return int(self.run.manifest["scenario"]["canonical"]["blocks"]["gas_limit"])

    @cached_property
    def rulebook(self) -> Rulebook:
        """What the accounts were margined by."""
        stored = self.content["rulebook"]
        return KINDS[stored["kind"]].model_validate(stored)

    @property
    def verifier(self) -> Verifier | None:
        """What verified the margin; None if nothing did."""
        stored = self.content["verifier"]
        return stored and Verifier(self.content["rulebook"], **stored)

    @cached_property
    def reference(self) -> Reference | None:
        """What recomputes the margin. One of the user's own is imported from the working folder;
        None if it is not there, or there was none."""
        if self.verifier is None:
            return None
        try:
            return self.verifier.reference()
        except InputError:
            return None

    @cached_property
    def protocol(self) -> Protocol:
        """The contracts, with the interfaces that they had.

        Raises
        ------
        InputError
            The journal does not deploy the contracts of the archive.
        """
        contracts = {}
        for name, data in self._creations.items():
            item = self.content["contracts"][name]
            code = data[: item["length"]]
            if sha256(code).hexdigest() != item["bytecode"]:
                raise InputError(f"{self.run.journal} deploys another {name} than {ARCHIVE} says")
            layout = {"storage_layout": item["layout"]}
            built = Artifact(name, item["contract"], item["abi"], code, layout, {})
            contracts[name] = Deployed(name, item["contract"], item["address"], built)
        assets = dict(enumerate(self.content["assets"], start=1))
        return Protocol(contracts, dict(enumerate(self.content["underlyings"])), assets)

    @cached_property
    def _creations(self) -> dict[str, bytes]:
        """What creates each contract, constructor arguments included, in order."""
        created = (
            transaction.data
            for entry in journal.read(self.run.journal)
            if entry.step == SET_UP
            for transaction in entry.transactions
            if transaction.to is None
        )
        return {name: next(created, b"") for name in self.content["contracts"]}

    @cached_property
    def names(self) -> dict[str, str]:
        """Contracts and senders by address."""
        agents = self.run.table("transactions")["agent"].unique().tolist()
        people = {address_of(name): name for name in (*_SERVANTS, *agents)}
        contracts = {item["address"]: name for name, item in self.content["contracts"].items()}
        return {**people, **contracts}

    def instrument(self, number: int) -> str:
        """Return what a position is in, such as `ETH perp` or `ETH 2026-01-31 08:00 2900 put`.

        Parameters
        ----------
        number
            A position's word, or its low 160 bits.
        """
        names = self.content["underlyings"]
        underlying, kind = number >> 128 & 0xFF, number & 0xFF
        if kind not in KIND_NAMES or underlying >= len(names):
            return str(number)
        if kind == PERP:
            return f"{names[underlying]} perp"
        strike = (number >> 8 & (1 << 88) - 1) / 10**9
        expiry = datetime.fromtimestamp(number >> 96 & 0xFFFF_FFFF, UTC)
        return f"{names[underlying]} {expiry:%Y-%m-%d %H:%M} {strike:g} {KIND_NAMES[kind]}"

    def called(self, transaction: Transaction) -> str:
        """Return what a transaction does, as `contract.function(arguments)`."""
        contract, function, arguments = self.decoded(transaction)
        return f"{contract}.{function}({self.listed(arguments)})"

    def decoded(self, transaction: Transaction) -> tuple[str, str, dict[str, Any]]:
        """Return contract, function and arguments by name of a transaction.

        A deployment is the function `__init__` of what it creates. What no contract of the run
        knows is a call of its bare data.
        """
        if transaction.to is None:
            for name, data in self._creations.items():
                if transaction.data == data:
                    built = self.protocol.contracts[name]
                    arguments = data[len(built.artifact.bytecode) :]
                    return name, "__init__", built.abi.decode_constructor(arguments)
            return "contract", "__init__", {"code": transaction.data}
        for name, item in self.protocol.contracts.items():
            if item.address == transaction.to:
                called = item.abi.decode_call(transaction.data)
                if called is not None:
                    return name, *called
                return name, "", {"data": transaction.data}
        return transaction.to, "", {"data": transaction.data}

    def code_hash(self, transaction: Transaction) -> str:
        """Return the SHA-256 of what a transaction deploys, constructor arguments left out."""
        for item in self.protocol.contracts.values():
            if transaction.data.startswith(item.artifact.bytecode):
                return item.artifact.bytecode_hash
        return sha256(transaction.data).hexdigest()

    def listed(self, arguments: Mapping[str, Any]) -> str:
        """Return arguments as `name=value, …`."""
        return ", ".join(f"{name}={self.shown(value, name)}" for name, value in arguments.items())

    def shown(self, value: Any, name: str = "") -> str:
        """Return an argument for people: names for addresses and instruments, structs with their
        fields."""
        if name == "instrument" and isinstance(value, int):
            return self.instrument(value)
        if isinstance(value, str) and value.lower() in self.names:
            return self.names[value.lower()]
        if isinstance(value, bytes):
            text = "0x" + value.hex()
            return text if len(value) <= _LONG else f"{text[: 2 * _LONG]}… ({len(value)} bytes)"
        if hasattr(value, "_asdict"):
            return f"{{{self.listed(value._asdict())}}}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(self.shown(part, name) for part in value)}]"
        return str(value)
