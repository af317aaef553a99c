"""Who bears a loss: waterfall, mutualisation to the wei, clearing of a network of venues.

Money is Python integers (wei) except in `clearing_vector`, whose solution is real. Nothing here
changes its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.samples import series
from sim.reference.validation import Bools, Floats, Ints, non_negative, require

INDEX_START = 10**36
INDEX_LEAST = 10**30  # an index below it is scaled up, so that it keeps thirty digits
INDEX_STEP = 10**6


def _whole(name: str, value: int, least: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name} = {value!r}: allowed are whole numbers")
    if least is not None and value < least:
        raise InputError(f"{name} = {value}: allowed are whole numbers of at least {least}")
    return int(value)


@dataclass(frozen=True)
class Layer:
    """One payer of the waterfall: what it can bear, None without limit."""

    name: str
    capacity: int | None = None


@dataclass(frozen=True)
class Waterfall:
    """What each layer paid, in order, and what nobody could."""

    paid: tuple[tuple[str, int], ...]
    unpaid: int


def default_waterfall(loss: int, layers: Sequence[Layer]) -> Waterfall:
    """Spend the layers in order, none before the one ahead of it is exhausted (PROTOCOL 9).

    Parameters
    ----------
    loss : int
        At least 0.
    layers : sequence of Layer
        Such as liquidation fees, fund, mutualisation. A layer with a negative capacity bears
        nothing.

    Raises
    ------
    InputError
    """
    left = _whole("loss", loss, 0)
    paid = []
    for position, layer in enumerate(layers):
        if layer.capacity is None:
            share = left
        else:
            share = min(left, max(_whole(f"layers[{position}].capacity", layer.capacity), 0))
        paid.append((layer.name, share))
        left -= share
    return Waterfall(tuple(paid), left)


@dataclass(frozen=True)
class Mark:
    """A state of the loss index; an account keeps the one at which its cash was last touched."""

    index: int = INDEX_START
    scale: int = 0
    epoch: int = 0


@dataclass(frozen=True)
class Mutualisation:
    """The books of losses borne by all positive cash (PROTOCOL 9).

    A loss lowers `positive` at once and the cash of each account when it is next touched; the
    pool, opened at minus the loss, holds the difference, so that stored cash + pool - deficit
    stays what it was.

    Attributes
    ----------
    positive : int
        Total positive cash after all losses so far.
    mark : Mark
        The index now.
    pool : int
        Haircuts paid less losses opened; above 0 once rounding has left something.
    deficit : int
        What exceeded all positive cash, at least 0; later fees repay it first.

    Notes
    -----
    Where the index would fall below 1e30 it is scaled by 1e6 before it is rounded, as often as
    needed, and cash several scales behind is divided as often: a loss of nearly everything then
    keeps the shares of the survivors exact, which rounding first would not.
    """

    positive: int
    mark: Mark = Mark()
    pool: int = 0
    deficit: int = 0

    def absorb(self, loss: int) -> Mutualisation:
        """Spread a loss over all positive cash; what exceeds it becomes deficit."""
        taken = min(_whole("loss", loss, 0), self.positive)
        rest = self.positive - taken
        mark = self.mark
        if taken and rest == 0:
            mark = Mark(epoch=mark.epoch + 1)
        elif taken:
            index, scale = mark.index, mark.scale
            while index * rest // self.positive < INDEX_LEAST:
                index, scale = index * INDEX_STEP, scale + 1
            mark = Mark(index * rest // self.positive, scale, mark.epoch)
        return Mutualisation(rest, mark, self.pool - taken, self.deficit + loss - taken)

    def worth(self, cash: int, since: Mark) -> int:
        """Cash stored at `since` after the losses since then: the haircut is rounded up."""
        if _whole("cash", cash) <= 0:
            return cash
        if since.epoch != self.mark.epoch:
            return 0
        steps = self.mark.scale - since.scale
        return int(cash * self.mark.index // (since.index * INDEX_STEP**steps))

    def settle(self, cash: int, since: Mark) -> tuple[Mutualisation, int]:
        """Pay the haircut of one account into the pool: the new books and its cash.

        The account's mark is now `mark`.
        """
        after = self.worth(cash, since)
        return replace(self, pool=self.pool + cash - after), after

    def change(self, before: int, after: int) -> Mutualisation:
        """Record that settled cash of an account changed, by a deposit, a trade, a payment."""
        moved = max(_whole("after", after), 0) - max(_whole("before", before), 0)
        return replace(self, positive=self.positive + moved)

    def release(self) -> tuple[Mutualisation, int]:
        """Take what rounding left, to be booked to the fund: once every account is settled."""
        leftover = max(self.pool, 0)
        return replace(self, pool=self.pool - leftover, positive=self.positive - leftover), leftover

    def repay(self, fees: int) -> tuple[Mutualisation, int]:
        """Repay the deficit out of fees: the new books and the fees that are left."""
        repaid = min(_whole("fees", fees, 0), self.deficit)
        return replace(self, deficit=self.deficit - repaid), fees - repaid


@dataclass(frozen=True)
class Mutualised:
    """Outcome of `mutualise`.

    Attributes
    ----------
    cash : tuple of int
        After the haircut.
    haircuts : tuple of int
    leftover : int
        Haircuts less what they had to cover: less than one wei an account.
    deficit : int
        Loss beyond all positive cash.
    """

    cash: tuple[int, ...]
    haircuts: tuple[int, ...]
    leftover: int
    deficit: int


def mutualise(cash: Sequence[int], loss: int) -> Mutualised:
    """Spread one loss over the positive cash of all accounts, pro rata within a wei of each.

    Parameters
    ----------
    cash : sequence of int
        Of every account; debt is negative and bears nothing.
    loss : int
        At least 0.

    Raises
    ------
    InputError
    """
    amounts = [_whole(f"cash[{i}]", amount) for i, amount in enumerate(cash)]
    start = Mark()
    books = Mutualisation(sum(max(amount, 0) for amount in amounts), start).absorb(loss)
    after = []
    for amount in amounts:
        books, settled = books.settle(amount, start)
        after.append(settled)
    books, leftover = books.release()
    haircuts = tuple(before - now for before, now in zip(amounts, after, strict=True))
    return Mutualised(tuple(after), haircuts, leftover, books.deficit)


@dataclass(frozen=True, eq=False)
class Clearing:
    """What n parties pay each other when some of them cannot pay in full.

    Attributes
    ----------
    payments : (n,)
        What each pays in total, at most what it owes.
    received : (n, n)
        Entry (i, j): what i pays to j, in proportion to what it owes.
    equity : (n,)
        What each has left.
    defaulted : (n,) bool
    rounds : (n,) int
        In which round of the cascade it defaulted, from 1; 0 for those that did not.
    """

    payments: Floats
    received: Floats
    equity: Floats
    defaulted: Bools
    rounds: Ints


def clearing_vector(liabilities: ArrayLike, assets: ArrayLike) -> Clearing:
    """Greatest clearing payments of a network, with limited liability and equal priority.

    Parameters
    ----------
    liabilities : (n, n)
        Entry (i, j), at least 0: what i owes to j. The diagonal is zero.
    assets : (n,)
        What each owns outside the network, at least 0.

    Returns
    -------
    Clearing

    Raises
    ------
    InputError

    Notes
    -----
    The fictitious default algorithm of Eisenberg and Noe, Systemic risk in financial systems
    (2001): at most n linear systems, each exact for its set of defaulters.
    """
    owed = non_negative("liabilities", liabilities)
    outside = series("assets", non_negative("assets", assets))
    n = outside.size
    if owed.shape != (n, n):
        raise InputError(f"liabilities: shape {owed.shape}, expected {(n, n)}")
    diagonal = np.diagonal(owed)
    require(diagonal == 0, "liabilities diagonal", diagonal, "zeros: nobody owes itself")
    total = owed.sum(axis=1)
    share = np.divide(owed, total[:, None], out=np.zeros_like(owed), where=total[:, None] > 0)
    payments = total.copy()
    rounds = np.zeros(n, dtype=np.int64)
    tolerance = 1e-12 * max(float(total.max()), float(outside.max()), 1e-300)
    for step in range(1, n + 2):
        short = outside + share.T @ payments < total - tolerance
        fresh = short & (rounds == 0)
        if not fresh.any():
            break
        rounds[fresh] = step
        failed = np.flatnonzero(rounds)
        # The defaulters pay all that they have and receive; the others pay in full.
        solid = np.where(rounds == 0, total, 0.0)
        income = (outside + share.T @ solid)[failed]
        system = np.eye(failed.size) - share[np.ix_(failed, failed)].T
        payments = solid
        payments[failed] = np.clip(np.linalg.solve(system, income), 0.0, total[failed])
    received = share * payments[:, None]
    equity = np.maximum(outside + received.sum(axis=0) - payments, 0.0)
    equity[rounds > 0] = 0.0
    return Clearing(payments, received, equity, rounds > 0, rounds)
