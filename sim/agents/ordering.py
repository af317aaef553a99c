"""The order of transactions inside a block: pure functions over pending transactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Sequence

import numpy as np

from sim.agents.intents import (
    Bid,
    Close,
    Deleverage,
    Escalate,
    Flag,
    Intent,
    Order,
    Resolve,
    Restart,
    Trade,
)

Policy = Literal["fees", "first_come", "random", "adversarial"]
POLICIES: tuple[Policy, ...] = ("fees", "first_come", "random", "adversarial")


@dataclass(frozen=True)
class Pending:
    """A transaction that waits for a block.

    Parameters
    ----------
    sender
        Name of the agent.
    intent
        What it is.
    arrival
        Rank of arrival, across all steps: smaller is earlier.
    """

    sender: str
    intent: Intent
    arrival: int


def arranged(pending: Sequence[Pending], policy: Policy, rng: np.random.Generator) -> list[Pending]:
    """Return transactions in the order of a policy.

    - `fees`: highest tip first, then by arrival.
    - `first_come`: by arrival.
    - `random`: shuffled by `rng`.
    - `adversarial`: the block builder works against the protocol: trades first, then deposits and
      withdrawals, liquidations last; within each the latest arrival first.
    """
    by_arrival = sorted(pending, key=lambda p: p.arrival)
    if policy == "fees":
        return sorted(by_arrival, key=lambda p: -p.intent.tip)
    if policy == "first_come":
        return by_arrival
    if policy == "random":
        words = rng.integers(0, 2**63, size=len(by_arrival), dtype=np.int64)
        return [by_arrival[i] for i in np.argsort(words, kind="stable")]
    return sorted(by_arrival, key=lambda p: (_harm(p), -p.arrival))


def liquidations_first(arranged: Sequence[Pending]) -> list[Pending]:
    """Return the same order with liquidations ahead of users, as a block of the protocol has it."""
    return sorted(arranged, key=lambda p: not liquidates(p.intent))


def liquidates(intent: Intent) -> bool:
    """Whether an intent belongs to a liquidation."""
    return isinstance(intent, (Flag, Bid, Restart, Resolve, Escalate, Deleverage, Close))


def _harm(pending: Pending) -> int:
    if isinstance(pending.intent, (Trade, Order)):
        return 0
    return 2 if liquidates(pending.intent) else 1
