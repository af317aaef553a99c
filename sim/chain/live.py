"""A network that belongs to nobody: read at one block, written with signed transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Sequence, cast

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from requests.exceptions import RequestException
from web3 import HTTPProvider, Web3
from web3.exceptions import TimeExhausted, Web3Exception
from web3.types import RPCEndpoint

from sim.chain.backend import Call, Log, Outcome, Receipt, Transaction
from sim.errors import EnvironmentFault, InputError

_CALLS_IN_BATCH = 50
_SPARE_GAS = 5  # a fifth more than estimated: the state may change before inclusion


class LiveBackend:
    """A network behind an HTTP endpoint.

    It has no `mine`: others make the blocks. Reads are of the block that `advance` chose last, so
    that what is compared belongs together.

    Parameters
    ----------
    url
        JSON-RPC over HTTP.
    account
        Signs what `send` sends; without one the network can only be read.
    chain_id
        Refuse any other network.
    timeout
        Seconds to wait for an answer, and for a transaction's inclusion.
    """

    name = "live"

    def __init__(
        self,
        url: str,
        *,
        account: LocalAccount | None = None,
        chain_id: int | None = None,
        timeout: float = 120.0,
    ) -> None:
        self._provider = HTTPProvider(url, request_kwargs={"timeout": timeout})
        self._web3 = Web3(self._provider)
        self._account = account
        self._timeout = timeout
        with _explained():
            self.chain_id = int(self._web3.eth.chain_id)
        if chain_id is not None and chain_id != self.chain_id:
            raise InputError(f"the network is chain {self.chain_id}, not {chain_id}")
        self.number = 0
        self.timestamp = 0
        self.advance()

    @property
    def address(self) -> str | None:
        """The account that sends, or None."""
        return self._account.address.lower() if self._account else None

    def advance(self, number: int | None = None) -> None:
        """Read from block `number` on, or from the latest."""
        with _explained():
            block = self._web3.eth.get_block("latest" if number is None else number)
        self.number, self.timestamp = int(block["number"]), int(block["timestamp"])

    def call_many(self, calls: Sequence[Call]) -> list[Outcome]:
        """Make calls on the chosen block, in batches."""
        outcomes: list[Outcome] = []
        for start in range(0, len(calls), _CALLS_IN_BATCH):
            part = calls[start : start + _CALLS_IN_BATCH]
            requests = [
                (
                    RPCEndpoint("eth_call"),
                    [
                        {"from": call.sender, "to": call.to, "data": "0x" + call.data.hex()},
                        hex(self.number),
                    ],
                )
                for call in part
            ]
            with _explained():
                answers = self._provider.make_batch_request(cast(Any, requests))
            if not isinstance(answers, list) or len(answers) != len(part):
                raise EnvironmentFault(f"the node does not answer batches: {answers}")
            outcomes += [_outcome(cast(dict[str, Any], answer)) for answer in answers]
        return outcomes

    def storage_at(self, address: str, slot: int) -> int:
        """Return one storage word of the chosen block."""
        with _explained():
            word = self._web3.eth.get_storage_at(to_checksum_address(address), slot, self.number)
        return int.from_bytes(word, "big")

    def balance(self, address: str) -> int:
        """Return a balance in wei at the chosen block."""
        with _explained():
            return int(self._web3.eth.get_balance(to_checksum_address(address), self.number))

    def code(self, address: str) -> bytes:
        """Return the deployed code at the chosen block, empty for an account without."""
        with _explained():
            return bytes(self._web3.eth.get_code(to_checksum_address(address), self.number))

    def logs(self, addresses: Sequence[str], first: int, last: int) -> list[tuple[int, Log]]:
        """Return the events of contracts from block `first` to `last`, each with its block."""
        with _explained():
            found = self._web3.eth.get_logs(
                {
                    "address": [to_checksum_address(address) for address in addresses],
                    "fromBlock": first,
                    "toBlock": last,
                }
            )
        return [(int(raw["blockNumber"]), _log(raw)) for raw in found]

    def send(self, transaction: Transaction) -> Receipt:
        """Sign a transaction, send it and wait for its receipt.

        `transaction.gas` is the most gas that may be offered.

        Raises
        ------
        InputError
            There is no account, or the transaction is another's.
        EnvironmentFault
            It would revert, needs more gas, or was not included in time; the message has the hash
            if it was sent.
        """
        if self._account is None:
            raise InputError("this network was opened without an account: it can only be read")
        if transaction.sender.lower() != self.address:
            raise InputError(f"{transaction.sender} is not the account {self.address}")
        eth = self._web3.eth
        fields: dict[str, Any] = {
            "from": self._account.address,
            "data": transaction.data,
            "value": transaction.value,
            "chainId": self.chain_id,
        }
        if transaction.to is not None:
            fields["to"] = to_checksum_address(transaction.to)
        with _explained():
            needed = int(eth.estimate_gas(cast(Any, fields)))
            if needed > transaction.gas:
                raise EnvironmentFault(f"it needs {needed} gas, more than {transaction.gas}")
            base = int(eth.get_block("latest").get("baseFeePerGas", 0))
            tip = int(eth.max_priority_fee)
            fields |= {
                "nonce": eth.get_transaction_count(self._account.address, "pending"),
                "gas": min(needed + needed // _SPARE_GAS, transaction.gas),
                "maxPriorityFeePerGas": tip,
                "maxFeePerGas": 2 * base + tip,
            }
            signed = self._account.sign_transaction(fields)
            sent = eth.send_raw_transaction(signed.raw_transaction)
            try:
                raw = eth.wait_for_transaction_receipt(sent, timeout=self._timeout)
            except TimeExhausted:
                raise EnvironmentFault(
                    f"{sent.to_0x_hex()} was not included in {self._timeout:.0f} s"
                ) from None
        self.advance()
        created = raw.get("contractAddress")
        succeeded = raw["status"] == 1
        return Receipt(
            succeeded=succeeded,
            gas_used=int(raw["gasUsed"]),
            logs=tuple(_log(log) for log in raw["logs"]),
            created=created.lower() if created and succeeded else None,
        )

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the network's library raises into a fault for people."""
    try:
        yield
    except RequestException as error:
        raise EnvironmentFault(f"the node cannot be reached: {error}") from None
    except Web3Exception as error:
        raise EnvironmentFault(f"the node refused: {error}") from None


def _outcome(answer: dict[str, Any]) -> Outcome:
    error = answer.get("error")
    if error is None:
        return Outcome(True, bytes.fromhex(answer["result"][2:]))
    data = error.get("data") if isinstance(error, dict) else None
    reverted = isinstance(error, dict) and (error.get("code") == 3 or isinstance(data, str))
    if not reverted and "revert" not in str(error):
        raise EnvironmentFault(f"the node refused a call: {error}")
    return Outcome(False, bytes.fromhex(data[2:]) if isinstance(data, str) else b"")


def _log(raw: Any) -> Log:
    return Log(raw["address"].lower(), tuple(map(bytes, raw["topics"])), bytes(raw["data"]))
