"""What agents ask for. The engine turns intents into transactions, in the order of a policy."""

from __future__ import annotations

from dataclasses import dataclass

from sim.reference.book import CALL, PERP, PUT


@dataclass(frozen=True, order=True)
class Instrument:
    """A perpetual or an option series.

    Parameters
    ----------
    underlying
        Id.
    kind
        1 perpetual, 2 call, 3 put.
    expiry
        Unix seconds; 0 of a perpetual.
    strike
        USD; 0 of a perpetual.
    """

    underlying: int
    kind: int = PERP
    expiry: int = 0
    strike: float = 0.0

    @property
    def is_option(self) -> bool:
        """Whether it is a call or a put."""
        return self.kind in (CALL, PUT)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A wish for one transaction.

    Parameters
    ----------
    tip
        What the sender pays for priority, in gwei per gas, on top of the base fee. On chain it only
        orders transactions; the agents' ledger books it.
    """

    tip: float = 1.0


@dataclass(frozen=True)
class OpenAccount(Intent):
    """Open one more account for the sender."""


@dataclass(frozen=True)
class Deposit(Intent):
    """Move `amount` units of the token `asset` from the sender's wallet into `account`."""

    account: int
    asset: str
    amount: float


@dataclass(frozen=True)
class Withdraw(Intent):
    """Move `amount` units of the token `asset` from `account` into the sender's wallet."""

    account: int
    asset: str
    amount: float


@dataclass(frozen=True)
class Transfer(Intent):
    """Move `amount` units of the token `asset` between two accounts of the sender."""

    source: int
    target: int
    asset: str
    amount: float


@dataclass(frozen=True)
class Order(Intent):
    """A wish to trade against whoever quotes best: signed `size`, at `limit` per unit or better."""

    account: int
    instrument: Instrument
    size: float
    limit: float


@dataclass(frozen=True)
class Trade(Intent):
    """A matched trade: `buyer` takes `size` > 0 from `seller` at `price` per unit."""

    buyer: int
    seller: int
    instrument: Instrument
    size: float
    price: float


@dataclass(frozen=True)
class Flag(Intent):
    """Start the liquidation of `account`."""

    account: int


@dataclass(frozen=True)
class Bid(Intent):
    """Take `fraction` of a liquidated `account` into `bidder`, paying `limit` at most (negative: be
    paid at least so much)."""

    account: int
    bidder: int
    fraction: float
    limit: float


@dataclass(frozen=True)
class Restart(Intent):
    """Restart the solvent phase of `account`, whose whole equity is cash from bids."""

    account: int


@dataclass(frozen=True)
class Resolve(Intent):
    """End the liquidation of `account`, which has recovered."""

    account: int


@dataclass(frozen=True)
class Escalate(Intent):
    """Move `account` from the solvent phase to the insolvent one."""

    account: int


@dataclass(frozen=True)
class Close(Intent):
    """Close the insolvent `account` whose auction is over: the backstop takes it."""

    account: int


@dataclass(frozen=True)
class Counterparty:
    """What a deleveraging may close: up to `size` > 0 of the `instrument` that `account` holds."""

    account: int
    instrument: Instrument
    size: float


@dataclass(frozen=True)
class Deleverage(Intent):
    """Close the insolvent `account`, whose auction is over, against others' opposite positions, the
    account at most risk first."""

    account: int
    against: tuple[Counterparty, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of an intent.

    Parameters
    ----------
    intent
        As asked for; of a matched order, the trade.
    accepted
        Whether its transaction succeeded.
    reason
        Of a refusal, in the contract's words; "no gas left in the block", "no quote".
    gas
        Used; 0 if it never got into a block.
    fee
        What that cost the agent, in quote currency.
    """

    intent: Intent
    accepted: bool
    reason: str = ""
    gas: int = 0
    fee: float = 0.0
