"""An EVM inside this process (pyrevm), with the semantics of a chain.

pyrevm runs messages, not transactions: it never closes its journal, so that every slot once
touched stays warm and its logs pile up. Here each transaction runs above a checkpoint; what it
changed is read from the journal, the checkpoint is reverted, and the changes are written to the
database below. So the next transaction starts cold, as on a chain, and memory stays flat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Sequence

import pyrevm

from sim.chain.backend import (
    CALL_GAS,
    CHAIN_ID,
    FUNDING,
    GAS_LIMIT,
    NOT_INCLUDED,
    ZERO_ADDRESS,
    Block,
    Call,
    Closing,
    Log,
    Outcome,
    Receipt,
    Transaction,
    require_later,
)
from sim.errors import EnvironmentFault, InputError

_ACCOUNT = re.compile(
    r"(0x[0-9a-f]{40}): Account \{ info: AccountInfo \{ balance: (\d+), nonce: (\d+), "
    r"code_hash: 0x[0-9a-f]{64}, code: (?:None|Some\(Bytecode \{ bytecode: 0x([0-9a-f]*), "
    r"state: (?:Raw|Checked \{ len: \d+ \}|Analysed \{ len: (\d+), "
    r"jump_map: JumpMap \{ map: \"[0-9a-f]*\" \} \}) \}\)) \}, "
    r"storage: \{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}, status: AccountStatus\(([^)]*)\) \}"
)
_SLOT = re.compile(
    r"(\d+): StorageSlot \{ previous_or_original_value: (\d+), present_value: (\d+) \}"
)
_REVERTED = re.compile(r"Revert \{ gas_used: \d+, output: 0x([0-9a-f]*) \}")


@dataclass(frozen=True, slots=True)
class _Account:
    balance: int = 0
    nonce: int = 0
    code: bytes = b""


_EMPTY = _Account()


class RevmBackend(Closing):
    """A chain in this process.

    Parameters
    ----------
    timestamp
        Time of the genesis block.
    gas_limit
        Gas limit of a block.

    Attributes
    ----------
    written
        If a dict is put there, transactions note in it the storage words they write, by address
        and slot.
    """

    name = "revm"

    def __init__(self, *, timestamp: int, gas_limit: int = GAS_LIMIT) -> None:
        self.number = 0
        self.timestamp = timestamp
        self.gas_limit = gas_limit
        self.written: dict[tuple[str, int], int] | None = None
        self._vm = pyrevm.EVM(
            env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=CHAIN_ID)),
            gas_limit=max(gas_limit, CALL_GAS),
            spec_id="CANCUN",
        )
        self._accounts: dict[str, _Account] = {}
        self._nonces: dict[str, int] = {}
        self._fees: dict[str, int] = {}
        # What changed since the oldest mark, newest last: how to undo it.
        self._undo: list[tuple[str, int, int] | tuple[str, _Account]] = []
        self._marks: dict[int, tuple[int, int, int, int, dict[str, int], dict[str, int]]] = {}
        self._set_block()

    def _set_block(self) -> None:
        self._vm.set_block_env(
            pyrevm.BlockEnv(
                number=self.number,
                timestamp=self.timestamp,
                coinbase=ZERO_ADDRESS,
                basefee=0,
                gas_limit=self.gas_limit,
            )
        )

    def mine(self, transactions: Sequence[Transaction], timestamp: int) -> Block:
        """Mine one block of exactly these transactions in exactly this order."""
        require_later(timestamp, self.timestamp)
        self.number += 1
        self.timestamp = timestamp
        self._set_block()
        self._fund(transactions)
        used = 0
        blocked: set[str] = set()
        receipts = []
        for index, tx in enumerate(transactions):
            if tx.sender in blocked or used + tx.gas > self.gas_limit:
                blocked.add(tx.sender)
                receipts.append(NOT_INCLUDED)
                continue
            receipt = self._transact(tx, price=len(transactions) - index)
            used += receipt.gas_used
            receipts.append(receipt)
        return Block(self.number, timestamp, None, tuple(receipts))

    def _fund(self, transactions: Sequence[Transaction]) -> None:
        for tx in transactions:
            if tx.sender not in self._nonces:
                self._nonces[tx.sender] = 0
                self._put_account(tx.sender, _Account(FUNDING))

    def _transact(self, tx: Transaction, price: int) -> Receipt:
        nonce = self._nonces[tx.sender]
        self._nonces[tx.sender] = nonce + 1
        if tx.to is None:
            # A call leaves its sender's nonce alone, so it is set where it decides an address.
            account = self._accounts[tx.sender]
            self._put_account(tx.sender, _Account(account.balance, nonce, account.code))

        mark = self._vm.snapshot()
        created = None
        try:
            if tx.to is None:
                created = str(self._vm.deploy(tx.sender, tx.data, tx.value, tx.gas)).lower()
            else:
                self._vm.message_call(tx.sender, tx.to, tx.data, tx.value, tx.gas, price)
            output = b""
        except RuntimeError as error:
            output = self._failure(error)
            created = None
        result = self._vm.result
        changes = self._vm.journal_str if result.is_success else ""
        self._vm.revert(mark)
        if changes:
            self._keep(changes)
        gas = int(result.gas_used)
        self._fees[tx.sender] = self._fees.get(tx.sender, 0) + gas * price
        self._fees[ZERO_ADDRESS] = self._fees.get(ZERO_ADDRESS, 0) - gas * price
        return Receipt(
            succeeded=bool(result.is_success),
            gas_used=gas,
            logs=tuple(
                Log(log.address.lower(), tuple(log.data[0]), log.data[1]) for log in result.logs
            )
            if result.is_success
            else (),
            output=output,
            created=created,
        )

    def _failure(self, error: RuntimeError) -> bytes:
        """Return the revert data of a failed execution; raise if it was not even started."""
        if self._vm.result is None or self._vm.result.is_success:
            raise InputError(f"the EVM refused a transaction: {error}") from error
        found = _REVERTED.search(str(error))
        return bytes.fromhex(found[1]) if found else b""

    def _keep(self, journal: str) -> None:
        """Write to the database what the journal says has changed."""
        accounts = list(_ACCOUNT.finditer(journal))
        if len(accounts) != journal.count(": Account { info: "):
            raise EnvironmentFault(
                "the journal of this pyrevm has a form that is not known: install pyrevm==0.3.7"
            )
        for found in accounts:
            address, balance, nonce, code, length, storage, status = found.groups()
            if "Touched" not in status:
                continue
            old = self._accounts.get(address, _EMPTY)
            deployed = old.code
            if "Created" in status and code is not None:
                size = int(length) if length is not None else len(code) // 2
                deployed = bytes.fromhex(code[: 2 * size])
            new = _Account(int(balance), int(nonce), deployed)
            if new != old:
                self._put_account(address, new)
            for slot, before, after in _SLOT.findall(storage):
                if before != after:
                    if self._marks:
                        self._undo.append((address, int(slot), int(before)))
                    if self.written is not None:
                        self.written[address, int(slot)] = int(after)
                    self._put_slot(address, int(slot), int(after))

    def _put_account(self, address: str, account: _Account) -> None:
        if self._marks:
            self._undo.append((address, self._accounts.get(address, _EMPTY)))
        self._accounts[address] = account
        self._vm.insert_account_info(
            address,
            pyrevm.AccountInfo(
                balance=account.balance, nonce=account.nonce, code=account.code or None
            ),
        )

    def _put_slot(self, address: str, slot: int, value: int) -> None:
        # Inserting loads the account; the checkpoint unloads it, so that it is cold again.
        mark = self._vm.snapshot()
        self._vm.insert_account_storage(address, slot, value)
        self._vm.revert(mark)

    def _look(self, read: Any, *arguments: Any) -> Any:
        """Read without leaving anything warm."""
        mark = self._vm.snapshot()
        try:
            return read(*arguments)
        finally:
            self._vm.revert(mark)

    def call_many(self, calls: Sequence[Call]) -> list[Outcome]:
        """Make calls on the latest block."""
        return [self._call(call) for call in calls]

    def _call(self, call: Call) -> Outcome:
        mark = self._vm.snapshot()
        try:
            data = self._vm.message_call(call.sender, call.to, call.data, 0, CALL_GAS)
            return Outcome(True, bytes(data))
        except RuntimeError as error:
            return Outcome(False, self._failure(error))
        finally:
            self._vm.revert(mark)

    def storage_at(self, address: str, slot: int) -> int:
        """Return one storage word."""
        return int(self._look(self._vm.storage, address, slot))

    def balance(self, address: str) -> int:
        """Return a balance in wei."""
        account = self._accounts.get(address, _EMPTY)
        return account.balance - self._fees.get(address, 0)

    def code(self, address: str) -> bytes:
        """Return the deployed code, empty for an account without."""
        return self._accounts.get(address, _EMPTY).code

    def snapshot(self) -> int:
        """Mark the present state."""
        mark = max(self._marks, default=0) + 1
        self._marks[mark] = (
            len(self._undo),
            self.number,
            self.timestamp,
            self.gas_limit,
            dict(self._nonces),
            dict(self._fees),
        )
        return mark

    def revert(self, mark: int) -> None:
        """Return to a marked state. The mark and all later ones are gone."""
        length, self.number, self.timestamp, self.gas_limit, nonces, fees = self._marks[mark]
        self._nonces, self._fees = dict(nonces), dict(fees)
        undone = self._undo[length:]
        del self._undo[length:]
        earlier = {key: value for key, value in self._marks.items() if key < mark}
        self._marks = {}  # so that undoing is not recorded
        for change in reversed(undone):
            if len(change) == 3:
                self._put_slot(*change)
            else:
                self._put_account(*change)
        self._marks = earlier
        self._set_block()

    def close(self) -> None:
        """Forget the chain."""
        self._vm = None
