"""Conservation of money, to the wei (PROTOCOL 9)."""

from __future__ import annotations

from dataclasses import dataclass

from sim.protocol.client import Snapshot


@dataclass(frozen=True)
class Conservation:
    """The identity after one block; every figure is 0 when it holds.

    Attributes
    ----------
    identity : int
        Stored cash of all accounts, settlement accounts, pool, deficit and fees, less the tokens
        booked.
    accounts : int
        Sum over the accounts of their stored cash, less the total that the contract keeps.
    holdings : int
        Largest difference, over collateral assets, of tokens booked and held by accounts.
    tokens : int
        Largest amount, over tokens, by which the token's own balance falls short of what is booked.
    positions : int
        Largest sum of sizes of one instrument over all accounts, in units of 1e-9.
    """

    identity: int
    accounts: int
    holdings: int
    tokens: int
    positions: int

    @property
    def worst(self) -> int:
        return max(
            map(abs, (self.identity, self.accounts, self.holdings, self.tokens, self.positions))
        )


def balance(snapshot: Snapshot) -> Conservation:
    """Check one snapshot, which must hold every account that was ever opened."""
    ledger = snapshot.ledger
    cash = sum(snapshot.stored_cash)
    identity = (
        cash
        + ledger.perp_settlement
        + ledger.option_settlement
        + ledger.pool
        + ledger.deficit
        + ledger.fees
        - ledger.booked
    )
    holdings = max(
        max(abs(stock.booked - stock.held), abs(stock.held - stock.summed))
        for stock in snapshot.stocks
    )
    missing = max(max(0, stock.booked - stock.balance) for stock in snapshot.stocks)
    return Conservation(identity, cash - ledger.cash, holdings, missing, _net_positions(snapshot))


def _net_positions(snapshot: Snapshot) -> int:
    """Return the largest net size of an instrument; longs and shorts must cancel exactly."""
    net: dict[int, int] = {}
    for packed in snapshot.words.values():
        for at in range(0, len(packed), 32):
            word = int.from_bytes(packed[at : at + 32], "big")
            size = word >> 160
            size -= (size >> 95) << 96
            kind = word & 0xFF
            # A perpetual's strike field is the mark it was last settled at.
            instrument = word & ((1 << 160) - 1) if kind != 1 else word & (0xFF << 128 | 0xFF)
            net[instrument] = net.get(instrument, 0) + size
    return max(map(abs, net.values()), default=0)
