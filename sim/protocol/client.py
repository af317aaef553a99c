"""The deployed protocol: calls encoded, the Lens read in bulk, events decoded.

`Snapshot` is one block's state as the chain holds it: exact integers where money is compared, and
the `Book` and `Market` that the reference computes from.
"""

from __future__ import annotations

from dataclasses import dataclass
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
_CHAIN_NO_UNDERLYING = 255
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
    equity, initial, maintenance, cash : tuple of m int
        WAD, as the chain answers; `cash` is the stored cash, interest not included.
    greeks : (m, u, 4) float
        Delta, gamma, vega, theta by underlying of the market.
    book, market
        What the chain computed them from.
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
    greeks: NDArray[np.float64]
    book: Book
    market: Market
    words: Mapping[int, bytes]
    ledger: Any
    stocks: tuple[Stock, ...]

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
        market = self._market(next(outputs))
        ledger = self.decode("lens", "ledger", next(outputs))
        risks = _Risks([int(u) for u in market.underlyings.id])
        for _ in range(0, len(accounts), _ACCOUNTS_IN_CALL):
            risks.read(next(outputs))
        balances = [int.from_bytes(next(outputs), "big") for _ in self._tokens]
        stocks = [self.decode("clearing_house", "stock", next(outputs)) for _ in self.assets]
        units = [asset.unit for asset in self.decode("registry", "assets", next(outputs))]
        return Snapshot(
            time=market.time,
            accounts=np.array(risks.accounts, dtype=np.int64),
            usable=np.array(risks.usable, dtype=np.int64),
            phase=np.array(risks.phase, dtype=np.int64),
            equity=tuple(risks.equity),
            initial=tuple(risks.initial),
            maintenance=tuple(risks.maintenance),
            cash=tuple(risks.cash),
            greeks=np.array(risks.greeks).reshape(len(accounts), -1, 4) / 1e18,
            book=risks.book([int(a) for a in market.assets.id]),
            market=market,
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

    def _market(self, output: bytes) -> Market:
        found = self.decode("lens", "market", output)
        spots = found.underlyings
        underlyings = Underlyings(
            id=np.array([u.id for u in spots], dtype=np.int64),
            name=[self.underlyings[u.id] for u in spots],
            spot=_wads(u.spot for u in spots),
            spot_confidence=_wads(u.spot_confidence for u in spots),
            mark=_wads(u.mark for u in spots),
            mark_confidence=_wads(u.mark_confidence for u in spots),
            funding_index=_wads(u.funding_index for u in spots),
        )
        terms = words.decode_terms([e.terms for e in found.expiries])
        surfaces = words.decode_surfaces([e.surface for e in found.expiries])
        assets = Assets(
            id=np.array([a.id for a in found.assets], dtype=np.int64),
            name=[self.assets[a.id] for a in found.assets],
            price=_wads(a.price for a in found.assets),
            confidence=_wads(a.confidence for a in found.assets),
            underlying=np.array(
                [
                    NO_UNDERLYING if a.underlying == _CHAIN_NO_UNDERLYING else a.underlying
                    for a in found.assets
                ],
                dtype=np.int64,
            ),
        )
        return Market(
            time=found.time,
            stable=found.stable / 10**18,
            underlyings=underlyings,
            expiries=Expiries(**terms, **surfaces),
            assets=assets,
        )


class _Risks:
    """Collects the answers of `ILens.risks`; a general decoder would cost most of a step.

    Offsets in the encoding are in bytes and relative to the enclosing tuple or list.
    """

    def __init__(self, underlyings: Sequence[int]) -> None:
        self._column = {underlying: place for place, underlying in enumerate(underlyings)}
        self.accounts: list[int] = []
        self.usable: list[int] = []
        self.phase: list[int] = []
        self.cash: list[int] = []
        self.equity: list[int] = []
        self.initial: list[int] = []
        self.maintenance: list[int] = []
        self.greeks: list[list[float]] = []
        self.words: dict[int, bytes] = {}
        self._settled: list[float] = []
        self._unsettled: list[float] = []
        self._holdings: list[list[tuple[int, int]]] = []
        self._owner: list[int] = []

    def read(self, data: bytes) -> None:
        def word(at: int, signed: bool = False) -> int:
            return int.from_bytes(data[at : at + 32], "big", signed=signed)

        start = word(0)
        items = start + 32
        for place in range(word(start)):
            at = items + word(items + 32 * place)
            account = word(at)
            self.accounts.append(account)
            self.usable.append(word(at + 32))
            self.phase.append(word(at + 64))
            self.cash.append(word(at + 96, signed=True))
            self.equity.append(word(at + 192, signed=True))
            self.initial.append(word(at + 224))
            self.maintenance.append(word(at + 256))
            greeks = at + word(at + 288)
            row = [0.0] * (4 * len(self._column))
            for number in range(word(greeks)):
                base = greeks + 32 + 32 * _GREEK_WORDS * number
                column = 4 * self._column[word(base)]
                for greek in range(4):
                    row[column + greek] = float(word(base + 32 + 32 * greek, signed=True))
            self.greeks.append(row)
            book = at + word(at + 320)
            self._settled.append(word(book, signed=True) / 10**18)
            self._unsettled.append(word(book + 32, signed=True) / 10**18)
            holdings = book + word(book + 64)
            self._holdings.append(
                [
                    (word(holdings + 32 + 64 * number), word(holdings + 64 + 64 * number))
                    for number in range(word(holdings))
                ]
            )
            positions = book + word(book + 96)
            count = word(positions)
            self.words[account] = data[positions + 32 : positions + 32 + 32 * count]
            self._owner += [account] * count

    def held(self, asset: int) -> int:
        """Return the exact sum of an asset over all accounts."""
        return sum(amount for held in self._holdings for number, amount in held if number == asset)

    def book(self, assets: Sequence[int]) -> Book:
        columns = {asset: place for place, asset in enumerate(assets)}
        holdings = np.zeros((len(self.accounts), len(assets)))
        for row, held in enumerate(self._holdings):
            for asset, amount in held:
                holdings[row, columns[asset]] = amount / 10**18
        packed = b"".join(self.words[account] for account in self.accounts)
        decoded = words.decode_positions(words.limbs(packed))
        return Book.of(
            np.array(self.accounts, dtype=np.int64),
            cash=np.array(self._settled),
            unsettled=np.array(self._unsettled),
            assets=np.array(assets, dtype=np.int64),
            holdings=holdings,
            account=np.array(self._owner, dtype=np.int64),
            underlying=decoded.underlying,
            kind=decoded.kind,
            expiry=decoded.expiry,
            strike=decoded.strike,
            size=decoded.size,
        )


def _wads(values: Any) -> NDArray[np.float64]:
    return np.array([value / 10**18 for value in values], dtype=np.float64)
