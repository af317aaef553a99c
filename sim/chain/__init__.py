"""How transactions run: one `Backend`, held by Anvil or by an EVM inside this process."""

from sim.chain.backend import (
    Backend,
    Block,
    Call,
    Log,
    Outcome,
    Reader,
    Receipt,
    Transaction,
    created_address,
    open_backend,
)

__all__ = [
    "Backend",
    "Block",
    "Call",
    "Log",
    "Outcome",
    "Reader",
    "Receipt",
    "Transaction",
    "created_address",
    "open_backend",
]
