"""The deployed protocol: calls encoded, the Lens read in bulk, events decoded.

`Snapshot` is one block's state as the chain holds it: exact integers where money is compared, and
the `Book` and `Market` that the reference computes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.errors import EnvironmentFault
from sim.protocol import words
from sim.protocol.abi import Abi, Event, revert_reason
from sim.protocol.deploy import Deployed
from sim.reference.book import NO_UNDERLYING, Assets, Book, Expiries, Market, Underlyings

_ACCOUNTS_IN_CALL = 32
_GREEK_WORDS = 5

Reader = Callable[[Sequence[tuple[str, bytes]]], Sequence[tuple[bool, bytes]]]
"""Answers calls `(to, data)` at the latest block with `(succeeded, output)`, in order."""


@dataclass(frozen=True)
class Stock:
    """One token as the clearing house has it, in WAD.

    Attributes
    ----------
    asset : int
        0 is the quote token.
    booked : int
        Tokens in less tokens out, by the contract's own accounting.
    held : int
        Sum over accounts as the contract keeps it; of the quote token, `booked`.
    summed : int
        Sum over the accounts that were read; of the quote token, `booked`.
    balance : int
        What the token says the contract owns.
    """

    asset: int
    booked: int
    held: int
    summed: int
    balance: int


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All accounts and the market after one block.

    Attributes
    ----------
    time : int
        Unix seconds at which the chain computed it.
    accounts : (m,) int
    usable, phase : (m,) int
        Purposes that the market data is fresh for (1 opening, 2 closing, 4 liquidation), and phase
        of liquidation.
    equity, initial, maintenance, cash, stored_cash : tuple of m int
        WAD, as the chain answers; `cash` is that of the account's book, interest and haircuts
        included, `stored_cash` what the contract holds until it is next touched.
    greeks : (m, u, 4) float
        Delta, gamma, vega, theta by underlying of the market.
    book, market
        What the chain computed them from. Of the market, what has a price.
    unpriced : tuple of str
        What is listed and was never reported whole, such as `ETH 2026-01-31 08:00`; it is not in
        `market`, and the chain assesses no account that holds it.
    words : mapping of account to tuple of int
        Packed positions.
    ledger : tuple
        `IClearingHouse.Ledger`.
    stocks : tuple of Stock
        One a token, the quote token first.
    """

    time: int
    accounts: NDArray[np.int64]
    usable: NDArray[np.int64]
    phase: NDArray[np.int64]
    equity: tuple[int, ...]
    initial: tuple[int, ...]
    maintenance: tuple[int, ...]
    cash: tuple[int, ...]
    stored_cash: tuple[int, ...]
    greeks: NDArray[np.float64]
    book: Book
    market: Market
    unpriced: tuple[str, ...]
    words: Mapping[int, bytes]
    ledger: Any
    stocks: tuple[Stock, ...]

    @cached_property
    def assessed(self) -> NDArray[np.bool_]:
        """(m,) whether the chain gave figures for the account: it has an engine that answers, and
        a price for all that it holds."""
        return np.asarray(self.usable > 0)

    @cached_property
    def underwater(self) -> NDArray[np.bool_]:
        """(m,) whether equity is below maintenance margin, in exact integers."""
        return np.array([e < m for e, m in zip(self.equity, self.maintenance, strict=True)])


class Protocol:
    """A deployment, and how to talk to it.

    Parameters
    ----------
    contracts : mapping
        Contracts by their name in the deployment plan.
    underlyings, assets : sequences of str
        Names by id (collateral assets from id 1).
    """

    def __init__(
        self,
        contracts: Mapping[str, Deployed],
        underlyings: Mapping[int, str],
        assets: Mapping[int, str],
    ) -> None:
        self.contracts = contracts
        self.underlyings = underlyings
        self.assets = assets
        self._by_address = {item.address: item for item in contracts.values()}
        self._tokens = ("quote", *assets.values())
        self._asked: tuple[tuple[int, ...], list[tuple[str, bytes]]] = ((-1,), [])

    def address(self, name: str) -> str:
        return self.contracts[name].address

    def abi(self, name: str) -> Abi:
        return self.contracts[name].abi

    def encode(self, contract: str, function: str, *args: Any) -> tuple[str, bytes]:
        """Return `(to, data)` of a call."""
        target = self.contracts[contract]
        return target.address, target.abi.function(function, len(args)).encode(*args)

    def decode(self, contract: str, function: str, output: bytes) -> Any:
        return self.contracts[contract].abi.function(function).decode(output)

    def event(self, address: str, topics: Sequence[bytes], data: bytes) -> Event | None:
        """Decode a log of one of the contracts; the event's address is the contract's plan name."""
        source = self._by_address.get(address.lower())
        found = source.abi.event(address, topics, data) if source else None
        return found and found._replace(address=source.name if source else address)

    def ask(self, read: Reader, contract: str, function: str, *args: Any) -> Any:
        """Call one view."""
        ((succeeded, output),) = read([self.encode(contract, function, *args)])
        if not succeeded:
            raise EnvironmentFault(f"{contract}.{function} reverted: {revert_reason(output)}")
        return self.decode(contract, function, output)

    def snapshot(self, read: Reader, accounts: Sequence[int]) -> Snapshot:
        """Read every account, the market and the ledger at the latest block.

        Raises
        ------
        EnvironmentFault
            A view of the Lens reverted, which none may do.
        """
        calls = self._snapshot_calls(tuple(accounts))
        answers = read(calls)
        for (_, data), (succeeded, output) in zip(calls, answers, strict=True):
            if not succeeded:
                raise EnvironmentFault(
                    f"a view with selector 0x{data[:4].hex()} reverted: {revert_reason(output)}"
                )
        outputs = iter(output for _, output in answers)
        market, unpriced = self._market(next(outputs))
        ledger = self.decode("lens", "ledger", next(outputs))
        groups = [next(outputs) for _ in range(0, len(accounts), _ACCOUNTS_IN_CALL)]
        risks = _Risks(groups, market.underlyings.id.tolist())
        balances = [int.from_bytes(next(outputs), "big") for _ in self._tokens]
        stocks = [self.decode("clearing_house", "stock", next(outputs)) for _ in self.assets]
        units = [asset.unit for asset in self.decode("registry", "assets", next(outputs))]
        return Snapshot(
            time=market.time,
            accounts=risks.accounts,
            usable=risks.usable,
            phase=risks.phase,
            equity=tuple(risks.equity),
            initial=tuple(risks.initial),
            maintenance=tuple(risks.maintenance),
            cash=tuple(risks.cash),
            stored_cash=tuple(risks.stored_cash),
            greeks=risks.greeks,
            book=risks.book(market.assets.id),
            market=market,
            unpriced=unpriced,
            words=risks.words,
            ledger=ledger,
            stocks=(
                Stock(0, ledger.booked, ledger.booked, ledger.booked, balances[0] * units[0]),
                *(
                    Stock(asset, stock.booked, stock.held, risks.held(asset), balance * unit)
                    for asset, stock, balance, unit in zip(
                        self.assets, stocks, balances[1:], units[1:], strict=True
                    )
                ),
            ),
        )

    def _snapshot_calls(self, accounts: tuple[int, ...]) -> list[tuple[str, bytes]]:
        """Return the calls of a snapshot, kept until there are other accounts."""
        if self._asked[0] != accounts:
            house = self.address("clearing_house")
            calls = [self.encode("lens", "market"), self.encode("lens", "ledger")]
            calls += [
                self.encode("lens", "risks", list(accounts[start : start + _ACCOUNTS_IN_CALL]))
                for start in range(0, len(accounts), _ACCOUNTS_IN_CALL)
            ]
            calls += [self.encode(name, "balanceOf", house) for name in self._tokens]
            calls += [self.encode("clearing_house", "stock", asset) for asset in self.assets]
            self._asked = (accounts, [*calls, self.encode("registry", "assets")])
        return self._asked[1]

    def _market(self, output: bytes) -> tuple[Market, tuple[str, ...]]:
        """Return what has a price, and the names of what is listed and has none yet."""
        found = self.decode("lens", "market", output)
        spots = [u for u in found.underlyings if u.spot and u.mark]
        priced = {u.id for u in spots}
        terms = words.decode_terms([e.terms for e in found.expiries])
        surfaces = words.decode_surfaces([e.surface for e in found.expiries])
        forward = terms["forward_fixed"] + terms["forward_variable"]
        known = (forward > 0) & (surfaces["tau"] > 0)
        known &= np.isin(terms["underlying"], sorted(priced))
        unpriced = [self.underlyings[u.id] for u in found.underlyings if u.id not in priced]
        unpriced += [
            f"{self.underlyings[int(terms['underlying'][at])]} {_minute(int(terms['time'][at]))}"
            for at in np.flatnonzero(~known)
        ]
        unpriced += [self.assets[a.id] for a in found.assets if not a.price]
        unpriced += [] if found.stable else ["quote"]
        underlyings = Underlyings(
            id=np.array([u.id for u in spots], dtype=np.int64),
            name=[self.underlyings[u.id] for u in spots],
            spot=_wads(u.spot for u in spots),
            spot_confidence=_wads(u.spot_confidence for u in spots),
            mark=_wads(u.mark for u in spots),
            mark_confidence=_wads(u.mark_confidence for u in spots),
            funding_index=_wads(u.funding_index for u in spots),
        )
        assets = Assets(
            id=np.array([a.id for a in found.assets], dtype=np.int64),
            name=[self.assets[a.id] for a in found.assets],
            price=_wads(a.price for a in found.assets),
            confidence=_wads(a.confidence for a in found.assets),
            underlying=np.array(
                [a.underlying if a.underlying in priced else NO_UNDERLYING for a in found.assets],
                dtype=np.int64,
            ),
        )
        rows = {key: values[known] for key, values in (terms | surfaces).items()}
        market = Market(
            time=found.time,
            stable=found.stable / 10**18 or 1.0,
            underlyings=underlyings,
            expiries=Expiries(**rows),
            assets=assets,
        )
        return market, tuple(unpriced)


class _Risks:
    """The answers of `ILens.risks` to a snapshot; a general decoder would cost most of a step.

    Places are counted in words of 32 bytes; offsets in the encoding are in bytes and relative to
    the enclosing tuple or list.

    Parameters
    ----------
    answers
        One for each group of accounts.
    underlyings
        Ids, one for each column of `greeks`.
    """

    def __init__(self, answers: Sequence[bytes], underlyings: Sequence[int]) -> None:
        self._data = b"".join(answers)
        self._low = words.limbs(self._data)[:, 3].astype(np.int64)
        low = self._low
        sizes = np.array([len(answer) // 32 for answer in answers])
        outer = np.cumsum(sizes) - sizes
        start, place = self._rows(outer + low[outer] // 32)
        at = start + low[start + place] // 32
        self.accounts = low[at]
        self.usable = low[at + 1]
        self.phase = low[at + 2]
        self.stored_cash = self._integers(at + 3)
        self.equity = self._integers(at + 6)
        self.initial = self._integers(at + 7)
        self.maintenance = self._integers(at + 8)
        self.greeks = self._greeks(at + low[at + 9] // 32, underlyings)

        book = at + low[at + 10] // 32
        self.cash = self._integers(book)
        self._unsettled = self._integers(book + 1)
        holdings = book + low[book + 2] // 32
        start, place = self._rows(holdings)
        self._holder = np.repeat(np.arange(at.size), low[holdings])
        self._asset = low[start + 2 * place]
        self._amount = self._integers(start + 2 * place + 1)
        positions = book + low[book + 3] // 32
        self._held = low[positions]
        self.words = {
            account: self._data[32 * first : 32 * (first + count)]
            for account, first, count in zip(
                self.accounts.tolist(), (positions + 1).tolist(), self._held.tolist(), strict=True
            )
        }

    def _rows(self, lists: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, for every element of every list, where its list's content starts and which one
        it is."""
        counts = self._low[lists]
        ends = np.cumsum(counts)
        total = int(ends[-1]) if ends.size else 0
        return np.repeat(lists + 1, counts), np.arange(total) - np.repeat(ends - counts, counts)

    def _integers(self, places: NDArray[np.int64]) -> list[int]:
        """Return words exactly, as signed integers: no amount reaches 2**255."""
        data, read = self._data, int.from_bytes
        return [read(data[at : at + 32], "big", signed=True) for at in (32 * places).tolist()]

    def _greeks(self, lists: NDArray[np.int64], underlyings: Sequence[int]) -> NDArray[np.float64]:
        start, place = self._rows(lists)
        base = start + _GREEK_WORDS * place
        values = self._integers((base[:, None] + np.arange(1, _GREEK_WORDS)).ravel())
        # An account of an underlying without a price has no greeks.
        column = np.searchsorted(underlyings, self._low[base])
        account = np.repeat(np.arange(lists.size), self._low[lists])
        greeks = np.zeros((lists.size, len(underlyings), _GREEK_WORDS - 1))
        greeks[account, column] = np.array(values, dtype=np.float64).reshape(-1, _GREEK_WORDS - 1)
        return greeks / 1e18

    def held(self, asset: int) -> int:
        """Return the exact sum of an asset over all accounts."""
        rows = np.flatnonzero(self._asset == asset).tolist()
        return sum(self._amount[row] for row in rows)

    def book(self, assets: NDArray[np.int64]) -> Book:
        holdings = np.zeros((self.accounts.size, assets.size))
        column = np.searchsorted(assets, self._asset)
        holdings[self._holder, column] = _wads(self._amount)
        decoded = words.decode_positions(words.limbs(b"".join(self.words.values())))
        return Book.of(
            self.accounts,
            cash=_wads(self.cash),
            unsettled=_wads(self._unsettled),
            assets=assets,
            holdings=holdings,
            account=np.repeat(self.accounts, self._held),
            underlying=decoded.underlying,
            kind=decoded.kind,
            expiry=decoded.expiry,
            strike=decoded.strike,
            size=decoded.size,
        )


def _minute(time: int) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}"


def _wads(values: Any) -> NDArray[np.float64]:
    return np.array([value / 10**18 for value in values], dtype=np.float64)
