"""An in-process EVM for contract tests: deploy by path, call by name, read reverts and events."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyrevm

from sim.protocol.abi import Abi, Event, revert_reason
from sim.protocol.artifacts import artifact

START = 1_583_884_800  # 11 March 2020 00:00 UTC
OWNER = "0x" + "a0" * 20


class Reverted(Exception):
    """A call that reverted, with the reason the contract gave."""


@cache
def _abi(path: str) -> Abi:
    return Abi(artifact(path).abi)


class Evm:
    """A chain of one process. Time is absolute and moves only when told."""

    def __init__(self, time: int = START) -> None:
        self._vm = pyrevm.EVM(spec_id="CANCUN")
        self._contracts: dict[str, Contract] = {}
        self._number = 1
        self.gas = 0
        self.events: list[Event] = []
        self.time = time

    @property
    def time(self) -> int:
        return self._time

    @time.setter
    def time(self, seconds: int) -> None:
        self._time = seconds
        self._number += 1
        self._vm.set_block_env(
            pyrevm.BlockEnv(number=self._number, timestamp=seconds, gas_limit=2**63)
        )

    def address(self, name: str) -> str:
        """Return an address that stands for an actor."""
        return "0x" + name.encode().hex().rjust(40, "0")[-40:]

    def deploy(self, path: str, *args: Any, sender: str = OWNER, venom: bool = False) -> Contract:
        """Deploy a contract of the contracts folder, e.g. `engines/ScenarioEngine.vy`."""
        code = artifact(path, venom=venom).bytecode + _abi(path).constructor(*args)
        try:
            address = self._vm.deploy(sender, code).lower()
        except RuntimeError as error:
            raise Reverted(_reason(error)) from None
        finally:
            self.gas = self._vm.result.gas_used if self._vm.result else 0
        self._contracts[address] = contract = Contract(self, address, _abi(path))
        self._read_events()
        return contract

    def at(self, path: str, address: str) -> Contract:
        """Return a contract that something else deployed."""
        contract = self._contracts[address.lower()] = Contract(self, address.lower(), _abi(path))
        return contract

    def send(self, sender: str, to: str, data: bytes, value: int = 0) -> bytes:
        """Send a transaction and return its output; its effects stay unless it reverts."""
        self._vm.reset_transient_storage()
        try:
            output: bytes = self._vm.message_call(sender, to, data, value)
        except RuntimeError as error:
            self.events = []
            raise Reverted(_reason(error)) from None
        finally:
            self.gas = self._vm.result.gas_used if self._vm.result else 0
        self._read_events()
        return output

    def call(self, sender: str, to: str, data: bytes) -> bytes:
        """Call without effects."""
        self._vm.reset_transient_storage()
        try:
            return bytes(self._vm.message_call(sender, to, data, is_static=True))
        except RuntimeError as error:
            raise Reverted(_reason(error)) from None
        finally:
            self.gas = self._vm.result.gas_used if self._vm.result else 0

    def snapshot(self) -> Any:
        """Mark the state; `revert` returns to it and drops the mark."""
        return self._vm.snapshot(), self._time, self._number

    def revert(self, mark: Any) -> None:
        checkpoint, time, number = mark
        self._vm.revert(checkpoint)
        self._number = number
        self.time = time

    def code(self, address: str) -> bytes:
        return bytes(self._vm.get_code(address) or b"").rstrip(b"\x00") or b""

    def size(self, address: str) -> int:
        """Return the deployed size, immutables included."""
        return len(self._vm.get_code(address) or b"")

    def storage(self, address: str, slot: int) -> int:
        return int(self._vm.storage(address, slot))

    def _read_events(self) -> None:
        self.events = []
        for log in self._vm.result.logs if self._vm.result else ():
            contract = self._contracts.get(log.address.lower())
            topics, data = log.data
            event = contract and contract.abi.event(contract.address, topics, data)
            if event:
                self.events.append(event)


class Contract:
    """A deployed contract: its functions are methods, `sender=` says who calls."""

    def __init__(self, evm: Evm, address: str, abi: Abi) -> None:
        self.evm, self.address, self.abi = evm, address, abi

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.abi:
            raise AttributeError(name)

        def method(*args: Any, sender: str = OWNER, value: int = 0) -> Any:
            function = self.abi.function(name, len(args))
            data = function.encode(*map(_address, args))
            if function.is_view:
                return function.decode(self.evm.call(sender, self.address, data))
            return function.decode(self.evm.send(sender, self.address, data, value))

        return method


def _address(value: Any) -> Any:
    return value.address if isinstance(value, Contract) else value


def _reason(error: RuntimeError) -> str:
    text = str(error)
    marker = "output: 0x"
    if marker in text:
        start = text.index(marker) + len(marker)
        end = start
        while end < len(text) and text[end] in "0123456789abcdef":
            end += 1
        return revert_reason(bytes.fromhex(text[start:end]))
    return text
