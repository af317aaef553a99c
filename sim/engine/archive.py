"""What a run folder keeps of its deployment, so that it can be played again without the sources.

Contracts change; a run does not. Beside the journal, which holds every byte that went to the chain,
a folder keeps the contracts' interfaces and storage layouts, the names of what trades and the
rulebook.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Mapping

import orjson

from sim.chain import Transaction
from sim.engine import journal
from sim.engine.world import SET_UP, address_of
from sim.errors import InputError
from sim.protocol.artifacts import Artifact
from sim.protocol.client import Protocol
from sim.protocol.deploy import Deployed
from sim.reference.rulebook import KINDS, Rulebook
from sim.results import Run

ARCHIVE = "contracts.json"
_LONG = 36
_SERVANTS = ("deployer", "exchange", "treasury")


def pack(protocol: Protocol, rulebook: Rulebook, genesis: int) -> bytes:
    """Return the archive of a deployment, on a chain whose first block has the time `genesis`."""
    return orjson.dumps(
        {
            "genesis": genesis,
            "underlyings": [protocol.underlyings[i] for i in sorted(protocol.underlyings)],
            "assets": [protocol.assets[i] for i in sorted(protocol.assets)],
            "rulebook": rulebook.model_dump(mode="json"),
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

    @cached_property
    def protocol(self) -> Protocol:
        """The contracts, with the interfaces that they had.

        Raises
        ------
        InputError
            The journal does not deploy the contracts of the archive.
        """
        codes = iter(
            transaction.data
            for entry in journal.read(self.run.journal)
            if entry.step == SET_UP
            for transaction in entry.transactions
            if transaction.to is None
        )
        contracts = {}
        for name, item in self.content["contracts"].items():
            code = next(codes, b"")[: item["length"]]
            if sha256(code).hexdigest() != item["bytecode"]:
                raise InputError(f"{self.run.journal} deploys another {name} than {ARCHIVE} says")
            layout = {"storage_layout": item["layout"]}
            built = Artifact(name, item["contract"], item["abi"], code, layout, {})
            contracts[name] = Deployed(name, item["contract"], item["address"], built)
        assets = dict(enumerate(self.content["assets"], start=1))
        return Protocol(contracts, dict(enumerate(self.content["underlyings"])), assets)

    @cached_property
    def names(self) -> dict[str, str]:
        """Contracts and senders by address."""
        agents = self.run.table("transactions")["agent"].unique().tolist()
        people = {address_of(name): name for name in (*_SERVANTS, *agents)}
        contracts = {item["address"]: name for name, item in self.content["contracts"].items()}
        return {**people, **contracts}

    def called(self, transaction: Transaction) -> str:
        """Return what a transaction does, as `contract.function(arguments)`."""
        contract, function, arguments = self.decoded(transaction)
        parts = ", ".join(f"{name}={self.shown(value)}" for name, value in arguments.items())
        return f"{contract}.{function}({parts})"

    def decoded(self, transaction: Transaction) -> tuple[str, str, dict[str, Any]]:
        """Return contract, function and arguments by name of a transaction.

        A deployment is the function `__init__` of what it creates. What no contract of the run
        knows is a call of its bare data.
        """
        if transaction.to is None:
            for name, item in self.protocol.contracts.items():
                code = item.artifact.bytecode
                if transaction.data.startswith(code):
                    return (
                        name,
                        "__init__",
                        item.abi.decode_constructor(transaction.data[len(code) :]),
                    )
            return "contract", "__init__", {"code": transaction.data}
        for name, item in self.protocol.contracts.items():
            if item.address == transaction.to:
                called = item.abi.decode_call(transaction.data)
                if called is not None:
                    return name, *called
                return name, "", {"data": transaction.data}
        return transaction.to, "", {"data": transaction.data}

    def shown(self, value: Any) -> str:
        """Return an argument for people: names for addresses, structs with their fields."""
        if isinstance(value, str) and value.lower() in self.names:
            return self.names[value.lower()]
        if isinstance(value, bytes):
            text = "0x" + value.hex()
            return text if len(value) <= _LONG else f"{text[: 2 * _LONG]}… ({len(value)} bytes)"
        if hasattr(value, "_asdict"):
            fields = ", ".join(f"{key}={self.shown(v)}" for key, v in value._asdict().items())
            return f"{{{fields}}}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(self.shown, value))}]"
        return str(value)
