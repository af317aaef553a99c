"""What agents pay for gas. The chain takes no fees: they are booked here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from sim.chain import Receipt
from sim.engine.world import SET_UP, Action

_GWEI = 1e-9


@dataclass
class Account:
    """What one sender has sent and paid since the set-up.

    Attributes
    ----------
    sent, reverted, liquidating
        Transactions in blocks; of them those that reverted; those that belong to liquidations.
    gas : int
    fees : float
        Quote currency.
    """

    sent: int = 0
    reverted: int = 0
    liquidating: int = 0
    gas: int = 0
    fees: float = 0.0


@dataclass
class Ledger:
    """Gas at a base fee and the sender's tip, in the price of a coin.

    A transaction costs its gas whether it succeeds or reverts; one that finds no place in a block
    costs nothing, and so does the set-up.

    Attributes
    ----------
    base_fee : float
        Gwei per gas.
    """

    base_fee: float
    _accounts: dict[str, Account] = field(default_factory=dict)

    def charge(self, step: int, action: Action, receipt: Receipt, coin: float) -> float:
        """Book a transaction and return its fee in quote currency.

        Parameters
        ----------
        coin
            Price in quote currency of the coin that pays for gas: 1e9 gwei.
        """
        if step == SET_UP or not receipt.included:
            return 0.0
        fee = receipt.gas_used * (self.base_fee + action.tip) * _GWEI * coin
        own = self._accounts.setdefault(action.agent, Account())
        own.sent += 1
        own.reverted += not receipt.succeeded
        own.liquidating += action.liquidates
        own.gas += receipt.gas_used
        own.fees += fee
        return fee

    @property
    def accounts(self) -> Mapping[str, Account]:
        """By sender, those that have sent nothing left out."""
        return self._accounts
