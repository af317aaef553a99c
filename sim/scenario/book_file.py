"""Book files: accounts, balances and positions as CSV or YAML, and a market to value them in.

A CSV has one row a balance or position; a cell that does not apply stays empty:

    account,kind,asset,expiry,strike,size,vol
    1,cash,,,,50000,
    1,collateral,ETH,,,10,
    1,perp,ETH,,,-5,
    1,call,ETH,2026-03-27T08:00:00Z,3500,-10,

A YAML file has the same under `accounts`, and may have a `market` (`MarketEntry`):

    market:
      time: 2026-01-15T00:00:00Z
      underlyings:
        ETH: {spot: 3200, vol: 65%, rate: 4%}
    accounts:
      - account: 1
        cash: 50k USDC
        collateral: {ETH: 10}
        positions:
          - {kind: call, underlying: ETH, expiry: 30d, strike: 3500, size: -10}

Expiries are UTC times, or durations from the time of the market.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from sim.errors import InputError, unknown
from sim.marked import Document, Mark, Path_, read, shown
from sim.model import Model, SettingError
from sim.reference.book import (
    CALL,
    NO_UNDERLYING,
    PERP,
    PUT,
    YEAR,
    Assets,
    Book,
    Expiries,
    Market,
    Underlyings,
)
from sim.reference.covariance import least_eigenvalue
from sim.units import Money, Ratio, Time, parse_duration, parse_time

KINDS = {"perp": PERP, "call": CALL, "put": PUT}
VOL_MAX = 20.0  # 2,000 %: what is written above was meant in percent
COLUMNS = ("account", "kind", "asset", "expiry", "strike", "size", "vol")


@dataclass(frozen=True)
class Moment:
    """A time, or a duration from a time that is known later."""

    seconds: int
    relative: bool

    def at(self, now: int) -> int:
        """Return unix seconds."""
        return now + self.seconds if self.relative else self.seconds


def _moment(value: Any) -> Any:
    if isinstance(value, str) and re.match(r"^[\d.]+\s*[a-z]+$", value.strip()):
        return Moment(parse_duration(value), True)
    return value if isinstance(value, Moment) else Moment(parse_time(value), False)


When = Annotated[Any, BeforeValidator(_moment)]


class PositionEntry(Model):
    """A perp or an option."""

    kind: Literal["perp", "call", "put"]
    underlying: str
    size: float
    """Units of the underlying; negative is short."""
    expiry: When = None
    """Of an option: a UTC time, or a duration from the time of the market."""
    strike: float | None = Field(default=None, gt=0)
    vol: Ratio | None = Field(default=None, ge=0, le=VOL_MAX)
    """Implied vol of the series, in place of the market's."""

    @model_validator(mode="after")
    def _complete(self) -> PositionEntry:
        for name in ("expiry", "strike"):
            given = getattr(self, name) is not None
            if given and self.kind == "perp":
                raise SettingError((name,), f"a perp has no {name}")
            if not given and self.kind != "perp":
                raise SettingError((), f"{name} is missing: a {self.kind} needs one")
        return self


class AccountEntry(Model):
    """An account with its balances and positions."""

    account: int = Field(ge=0)
    cash: Money = 0.0
    """Quote currency; negative is debt."""
    collateral: dict[str, float] = Field(default={})
    """Amounts by asset."""
    positions: tuple[PositionEntry, ...] = ()

    @model_validator(mode="after")
    def _owned(self) -> AccountEntry:
        for asset, amount in self.collateral.items():
            if amount < 0:
                raise SettingError(("collateral", asset), f"must be at least 0, got {amount:g}")
        return self


class SviEntry(Model):
    """Raw SVI total variance at the expiry."""

    a: float
    b: float = Field(ge=0)
    rho: float = Field(ge=-1, le=1)
    m: float
    sigma: float = Field(ge=0)


class ExpiryEntry(Model):
    """Market of one expiry; what is not given comes from its underlying."""

    forward: float | None = Field(default=None, gt=0)
    vol: Ratio | None = Field(default=None, ge=0, le=VOL_MAX)
    svi: SviEntry | None = None
    rate: Ratio | None = None
    confidence: Ratio = Field(default=1.0, ge=0, le=1)


class UnderlyingEntry(Model):
    """Market of an underlying."""

    spot: float = Field(gt=0)
    mark: float | None = Field(default=None, gt=0)
    """Of the perp; the spot unless given."""
    vol: Ratio | None = Field(default=None, ge=0, le=VOL_MAX)
    """Implied vol of expiries that have none of their own."""
    realised_vol: Ratio | None = Field(default=None, gt=0, le=VOL_MAX)
    """For VaR; `vol` unless given."""
    rate: Ratio = 0.0
    confidence: Ratio = Field(default=1.0, ge=0, le=1)
    mark_confidence: Ratio = Field(default=1.0, ge=0, le=1)
    expiries: dict[str, ExpiryEntry] = Field(default={})
    """By time or duration."""


class CollateralEntry(Model):
    """Price of a collateral asset."""

    price: float = Field(ge=0)
    moves_with: str | None = None
    """Underlying it moves with."""
    confidence: Ratio = Field(default=1.0, ge=0, le=1)


class MarketEntry(Model):
    """One instant of the market."""

    time: Time
    stable: float = Field(default=1.0, gt=0)
    """USD price of the quote stablecoin."""
    underlyings: dict[str, UnderlyingEntry] = Field(min_length=1, max_length=8)
    """The first two are the majors of the shipped rulebooks."""
    collateral: dict[str, CollateralEntry] = Field(default={})
    """An asset that is not here but named like an underlying has its spot and moves with it."""
    correlation: dict[str, float] = Field(default={})
    """For VaR, by pair such as ETH-BTC."""
    other_correlation: float = Field(default=0.8, ge=-1, le=1)
    """Of pairs that are not in `correlation`."""

    @model_validator(mode="after")
    def _named(self) -> MarketEntry:
        for name, asset in self.collateral.items():
            if asset.moves_with is not None and asset.moves_with not in self.underlyings:
                error = unknown("underlying", asset.moves_with, self.underlyings)
                raise SettingError(("collateral", name, "moves_with"), error)
        for pair, value in self.correlation.items():
            if not set(pair.split("-")) <= set(self.underlyings) or pair.count("-") != 1:
                raise SettingError(("correlation", pair), "write a pair of underlyings: ETH-BTC")
            if not -1 <= value <= 1:
                raise SettingError(("correlation", pair), f"must be from -1 to 1, got {value:g}")
        return self

    def volatilities(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return (u,) the vols that spots move with.

        Raises
        ------
        InputError
            For an underlying without any.
        """
        vols = []
        for name, underlying in self.underlyings.items():
            vol = underlying.realised_vol or underlying.vol
            if vol is None:
                raise InputError(f"market.underlyings.{name}: VaR needs its vol or realised_vol")
            vols.append(vol)
        return np.array(vols)

    def correlations(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the matrix (u, u) of `correlation`, in the order of `underlyings`.

        Raises
        ------
        InputError
            When no variables could be correlated so.
        """
        names = list(self.underlyings)
        matrix = np.full((len(names), len(names)), self.other_correlation)
        np.fill_diagonal(matrix, 1.0)
        for pair, value in self.correlation.items():
            i, j = (names.index(name) for name in pair.split("-"))
            matrix[i, j] = matrix[j, i] = value
        if least_eigenvalue(matrix) < -1e-12:
            raise InputError(
                "market.correlation: not a correlation matrix (not positive semidefinite)"
            )
        return matrix


class _File(Model):
    accounts: tuple[AccountEntry, ...]
    market: MarketEntry | None = None

    @model_validator(mode="after")
    def _once(self) -> _File:
        seen: set[int] = set()
        for i, entry in enumerate(self.accounts):
            if entry.account in seen:
                raise SettingError(("accounts", i, "account"), f"{entry.account} appears twice")
            seen.add(entry.account)
        return self


class _MarketFile(Model):
    market: MarketEntry


@dataclass(frozen=True)
class BookFile:
    """What a book file says; positions keep their names until `value` puts them into a market.

    Attributes
    ----------
    accounts : tuple of AccountEntry
    market : MarketEntry or None
    """

    accounts: tuple[AccountEntry, ...]
    market: MarketEntry | None
    _document: Document

    def value(self, entry: MarketEntry | None = None) -> tuple[Book, Market]:
        """Return the book and the market as arrays.

        Ids of underlyings follow their order in the market. Collateral that is named like an
        underlying has its id as asset id, other collateral the ids after those.

        Raises
        ------
        InputError
            For a position or asset that the market does not know, with its place in the file.
        """
        market = entry or self.market
        if market is None:
            raise InputError(
                f"{self._document.source}: there is no market in it; name a YAML file that has one"
            )
        return self._valued(market)

    def error(self, path: Path_, message: object) -> InputError:
        """Return an `InputError` that begins with the place of `path` in the file."""
        return self._document.error(path, str(message))

    def _valued(self, market: MarketEntry) -> tuple[Book, Market]:
        names = list(market.underlyings)
        expiries = self._expiries(market, names)
        assets = self._assets(market, names)
        rows = []
        holdings = np.zeros((len(self.accounts), len(assets)))
        column = {name: i for i, name in enumerate(assets)}
        for i, account in enumerate(self.accounts):
            for asset, amount in account.collateral.items():
                holdings[i, column[asset]] = amount
            for position in account.positions:
                rows.append((account.account, position))
        ids = list(assets.values())
        book = Book.of(
            [account.account for account in self.accounts],
            cash=[account.cash for account in self.accounts],
            assets=ids,
            holdings=holdings,
            account=[owner for owner, _ in rows],
            underlying=[names.index(p.underlying) for _, p in rows],
            kind=[KINDS[p.kind] for _, p in rows],
            expiry=[p.expiry.at(market.time) if p.expiry else 0 for _, p in rows],
            strike=[p.strike or 0.0 for _, p in rows],
            size=[p.size for _, p in rows],
            vol=[math.nan if p.vol is None else p.vol for _, p in rows],
        )
        entries = list(market.underlyings.values())
        return book, Market.of(
            market.time,
            Underlyings(
                np.arange(len(names)),
                np.array([u.spot for u in entries]),
                names,
                np.array([u.confidence for u in entries]),
                np.array([u.mark or u.spot for u in entries]),
                np.array([u.mark_confidence for u in entries]),
            ),
            expiries,
            _asset_table(market, names, assets),
            market.stable,
        )

    def _expiries(self, market: MarketEntry, names: list[str]) -> Expiries:
        """Table of the expiries that the market lists or a position has."""
        listed: dict[tuple[int, int], ExpiryEntry] = {}
        for u, underlying in enumerate(market.underlyings.values()):
            for text, entry in underlying.expiries.items():
                moment: Moment = _moment(text)
                listed[u, moment.at(market.time)] = entry
        for i, account in enumerate(self.accounts):
            for j, position in enumerate(account.positions):
                where: Path_ = ("accounts", i, "positions", j)
                if position.underlying not in names:
                    error = unknown("underlying", position.underlying, names)
                    raise self.error((*where, "underlying"), error)
                if position.expiry is None:
                    continue
                time = position.expiry.at(market.time)
                if time <= market.time:
                    raise self.error((*where, "expiry"), "is not after the time of the market")
                u = names.index(position.underlying)
                entry = listed.setdefault((u, time), ExpiryEntry())
                known = entry.svi or entry.vol or market.underlyings[position.underlying].vol
                if position.vol is None and known is None:
                    raise self.error(where, f"neither it nor {position.underlying} has a vol")
        rows = []
        for (u, time), entry in sorted(listed.items(), key=lambda item: item[0]):
            underlying = market.underlyings[names[u]]
            years = (time - market.time) / YEAR
            rate = underlying.rate if entry.rate is None else entry.rate
            vol = underlying.vol if entry.vol is None else entry.vol
            flat = (math.nan,) * 5 if vol is None else (vol * vol * years, 0.0, 0.0, 0.0, 0.0)
            svi = entry.svi
            rows.append(
                (
                    u,
                    time,
                    entry.forward or underlying.spot * math.exp(rate * years),
                    rate,
                    entry.confidence,
                    *(flat if svi is None else (svi.a, svi.b, svi.rho, svi.m, svi.sigma)),
                    time - market.time,
                )
            )
        u_, t_, forward, rates, confidence, a, b, rho, m, sigma, tau = (
            np.array(x) for x in (zip(*rows, strict=True) if rows else [[]] * 11)
        )
        return Expiries(
            u_, t_, forward, 0.0, rates, confidence, a, b, rho, m, sigma, tau.astype(float)
        )

    def _assets(self, market: MarketEntry, names: list[str]) -> dict[str, int]:
        """Ids of the assets held, ascending."""
        others = [name for name in market.collateral if name not in names]
        ids = {name: i for i, name in enumerate([*names, *others])}
        held: dict[str, int] = {}
        for i, account in enumerate(self.accounts):
            for asset in account.collateral:
                if asset not in ids:
                    where: Path_ = ("accounts", i, "collateral", asset)
                    raise self.error(where, unknown("collateral asset", asset, ids))
                held[asset] = ids[asset]
        return dict(sorted(held.items(), key=lambda item: item[1]))


def _asset_table(market: MarketEntry, names: list[str], assets: dict[str, int]) -> Assets:
    rows = []
    for name in assets:
        entry = market.collateral.get(name)
        if entry is None:
            spot = market.underlyings[name]
            rows.append((spot.spot, names.index(name), spot.confidence))
        else:
            moves = NO_UNDERLYING if entry.moves_with is None else names.index(entry.moves_with)
            rows.append((entry.price, moves, entry.confidence))
    price, underlying, confidence = (
        np.array(x) for x in (zip(*rows, strict=True) if rows else [[]] * 3)
    )
    return Assets(
        np.array(list(assets.values()), dtype=np.int64), price, underlying, confidence, list(assets)
    )


def load(path: Path) -> BookFile:
    """Read a CSV or YAML book.

    Raises
    ------
    InputError
        With file:line:column of everything that is wrong.
    """
    document = _csv(path) if path.suffix.lower() == ".csv" else read(path)
    if not isinstance(document.data, dict):
        raise document.error((), "a book is a map with `accounts`, and may have a `market`")
    file = document.build(_File)
    if not file.accounts:
        raise document.error(("accounts",), "a book has at least one account")
    return BookFile(file.accounts, file.market, document)


def load_market(path: Path) -> MarketEntry:
    """Read the `market` of a YAML file, whatever else is in it."""
    document = read(path)
    if not isinstance(document.data, dict) or "market" not in document.data:
        raise document.error((), "there is no `market` in it")
    return document.build(_MarketFile, {"market": document.data["market"]}).market


def _csv(path: Path) -> Document:
    """Read a CSV as the document that a YAML book would be, marks included."""
    source = shown(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not a text file: {error.reason}") from None
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    lines = text.splitlines()
    header = [cell.strip() for cell in next(csv.reader(lines[:1]), [])]
    for i, name in enumerate(header):
        mark = Mark(source, 1, _columns(lines[0])[i])
        if name not in COLUMNS:
            raise InputError(f"{mark}: {unknown('column', name, COLUMNS)}")
        if name in header[:i]:
            raise InputError(f"{mark}: column {name!r} appears twice")
    missing = [name for name in ("account", "kind", "size") if name not in header]
    if missing:
        raise InputError(f"{source}:1:1: column {missing[0]!r} is missing")
    accounts: dict[str, dict[str, Any]] = {}
    document = Document({"accounts": []}, source, {(): Mark(source, 1, 1)})
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader(StringIO(line)))]
        starts = _columns(line)
        if len(cells) != len(header):
            raise InputError(
                f"{source}:{number}:1: {len(cells)} cells, the header has {len(header)}"
            )
        row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        marks = {name: Mark(source, number, at) for name, at in zip(header, starts, strict=True)}
        _row(document, accounts, row, marks, Mark(source, number, 1))
    document.data["accounts"] = list(accounts.values())
    return document


def _row(
    document: Document,
    accounts: dict[str, dict[str, Any]],
    row: dict[str, str],
    marks: dict[str, Mark],
    start: Mark,
) -> None:
    """Add one row of a CSV to the document."""
    for name in ("account", "kind", "size"):
        if name not in row:
            raise InputError(f"{marks[name]}: {name} is empty")
    label, kind = row["account"], row["kind"]
    known = ("cash", "collateral", *KINDS)
    if kind not in known:
        raise InputError(f"{marks['kind']}: {unknown('kind', kind, known)}")
    if label not in accounts:
        accounts[label] = {
            "account": _whole(label, marks["account"]),
            "cash": 0.0,
            "collateral": {},
            "positions": [],
        }
    i = list(accounts).index(label)
    account = accounts[label]
    document.marks.setdefault(("accounts", i), start)
    document.marks.setdefault(("accounts", i, "account"), marks["account"])
    size = _figure(row["size"], marks["size"])
    if kind in KINDS:
        fields: dict[str, Any] = {"kind": kind, "size": size}
        if "asset" in row:
            fields["underlying"] = row["asset"]
        fields |= {name: row[name] for name in ("expiry", "vol") if name in row}
        if "strike" in row:
            fields["strike"] = _figure(row["strike"], marks["strike"])
        path: Path_ = ("accounts", i, "positions", len(account["positions"]))
        document.marks[path] = start
        for name in fields:
            document.marks[*path, name] = marks["asset" if name == "underlying" else name]
        account["positions"].append(fields)
        return
    absent = ("expiry", "strike", "vol", *(("asset",) if kind == "cash" else ()))
    extra = [name for name in absent if name in row]
    if extra:
        raise InputError(f"{marks[extra[0]]}: {kind} has no {extra[0]}")
    if kind == "cash":
        account["cash"] += size
        document.marks["accounts", i, "cash"] = marks["size"]
        return
    if "asset" not in row:
        raise InputError(f"{start}: asset is missing: collateral needs one")
    name = row["asset"]
    account["collateral"][name] = account["collateral"].get(name, 0.0) + size
    document.marks["accounts", i, "collateral", name] = marks["asset"]


def _figure(text: str, mark: Mark) -> float:
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        raise InputError(f"{mark}: {text!r} is not a number") from None
    if not math.isfinite(value):
        raise InputError(f"{mark}: {text!r} is not a finite number")
    return value


def _whole(text: str, mark: Mark) -> int:
    value = _figure(text, mark)
    if value != int(value):
        raise InputError(f"{mark}: {text!r} is not a whole number")
    return int(value)


def _columns(line: str) -> list[int]:
    """Return where each cell of a CSV line starts, from 1."""
    starts, quoted = [1], False
    for i, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            starts.append(i + 2)
    return starts
