"""A scenario: the models of every room, composed."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from inspect import getfile
from math import inf
from pathlib import Path
from typing import Annotated, Any, Iterator, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from sim.agents.base import Agent, Params
from sim.agents.book_owner import BookOwner, Target
from sim.agents.draws import Quantity, Setting, drawn, is_drawn, quantity
from sim.agents.intents import Instrument
from sim.agents.ordering import Policy
from sim.agents.registry import find
from sim.dotted import imported
from sim.errors import InputError, unknown
from sim.marked import Document, Path_, format_path
from sim.market.model import MarketModel
from sim.market.paths import Horizon, Paths
from sim.model import Model, SettingError
from sim.oracle.model import OracleModel
from sim.protocol.settings import ENGINES, RULES, ProtocolSettings, source_of
from sim.reference.book import CALL, PUT
from sim.scenario import book_file
from sim.streams import SEED_MAX, Streams
from sim.units import Money, from_wad, quote_of, to_quanta

SPOT_MIN = 1e-6
"""Least spot and strike at the start, a thousand units of what the chain resolves."""
RESERVED = ("book", "oracle")
"""What no group of agents is called: the owner of the user's book, and sources of prices."""
GAS_MIN = 10_000_000
"""A block that holds the largest transaction, after the oracle's."""


class GasPrice(Model):
    """What gas costs. Fees are booked in the agents' ledger; the chain takes none."""

    base_fee: float = Field(default=20.0, ge=0)
    """Gwei per gas that every transaction pays; the sender's tip comes on top."""
    coin: Money = Field(default=2_000.0, ge=0)
    """Price of the coin that pays for gas."""
    factor: str | None = None
    """Factor whose spot is that price instead."""


class Blocks(Model):
    """What fits into a block, in which order, and what it costs."""

    gas_limit: int = Field(default=1_000_000_000, ge=GAS_MIN)
    """Gas limit of a block. A step stands for many blocks of a real chain: the default is ample."""
    order: Policy = "fees"
    """Order of transactions: fees, first_come, random, adversarial."""
    gas_price: GasPrice = GasPrice()
    simulate: bool = True
    """Whether senders simulate trades and withdrawals on the block before, and do not send what
    would revert."""


class Accounts(Model):
    """Accounts that exist at the start, beside those of the agents."""

    book: str
    """CSV of accounts, balances and positions: the format of `plimsoll risk`."""


class AgentGroup(Model):
    """Agents of one kind."""

    use: str
    """A name of `plimsoll list agents`, or `package.module:Class`."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the group; `use` unless given."""
    count: int = Field(default=1, ge=1, le=100_000)
    """How many."""
    params: dict[str, Setting] = Field(default={})
    """Settings of its `Params`; each may be a number or `{dist: …}`, drawn for every agent."""
    _class: type[Agent[Params]] = PrivateAttr()
    _quote: str = PrivateAttr()

    @model_validator(mode="after")
    def _found(self, info: ValidationInfo) -> AgentGroup:
        if self.label in RESERVED:
            raise SettingError(("name",), f"{self.label!r} means something else")
        self._quote = quote_of(info)
        try:
            self._class = find(self.use, (info.context or {}).get("folder"))
        except InputError as error:
            raise SettingError(("use",), error) from None
        return self

    @property
    def label(self) -> str:
        """Name of the group."""
        return self.name or self.use.rpartition(":")[2]

    @property
    def agent(self) -> type[Agent[Params]]:
        """Class of the agents."""
        return self._class

    def members(self, streams: Streams) -> Iterator[tuple[str, Params]]:
        """Yield the name and settings of each agent; raises pydantic's ValidationError."""
        for i in range(self.count):
            name = f"{self.label}#{i}"
            settings = {"collateral": self._quote, **drawn(self.params, name, streams)}
            yield name, self._class.Params.model_validate(settings, context={"quote": self._quote})


def _expected(value: Any, info: ValidationInfo) -> Any:
    """Read a quantity where text is one."""
    if isinstance(value, str):
        with suppress(ValueError):
            return quantity(value, info)
    return value


class Bound(Model):
    """What a result must be: within `min` and `max`, or equal to `is`."""

    min: Quantity | None = None
    max: Quantity | None = None
    equal: Annotated[float | bool | str | None, BeforeValidator(_expected)] = Field(
        default=None, alias="is"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Bound:
        if self.min is self.max is self.equal is None:
            raise ValueError("needs min, max or is")
        if self.equal is not None and (self.min is not None or self.max is not None):
            raise SettingError(("is",), "stands alone, without min and max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise SettingError(("min",), f"{self.min:g} is above max, {self.max:g}")
        return self

    def holds(self, value: Any) -> bool:
        """Whether a result meets the expectation."""
        if self.equal is not None:
            return bool(value == self.equal)
        low = -inf if self.min is None else self.min
        high = inf if self.max is None else self.max
        return bool(low <= value <= high)

    def __str__(self) -> str:
        if self.equal is not None:
            equal = f"{self.equal:g}" if isinstance(self.equal, float) else str(self.equal)
            return f"= {equal}"
        parts = [f"≥ {self.min:g}"] if self.min is not None else []
        parts += [f"≤ {self.max:g}"] if self.max is not None else []
        return " and ".join(parts)


def _bound(value: Any) -> Any:
    return value if isinstance(value, (dict, Bound)) else {"is": value}


class Scenario(Model):
    """Everything that decides a run, but for the versions of the tools."""

    version: Literal[1] = Field(default=1, alias="schema")
    """Version of this language."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Lower-case name: it names the run folder."""
    description: str = ""
    """What happens, in a sentence or two."""
    source: str = ""
    """Where the event and its figures come from."""
    seed: int = Field(default=0, ge=0, le=SEED_MAX)
    """Fixes everything random."""
    horizon: Horizon
    market: MarketModel
    oracle: OracleModel = OracleModel()
    protocol: ProtocolSettings = ProtocolSettings()
    blocks: Blocks = Blocks()
    accounts: Accounts | None = None
    agents: tuple[AgentGroup, ...] = ()
    """Who acts."""
    expect: dict[str, Annotated[Bound, BeforeValidator(_bound)]] = Field(default={})
    """What must hold of the results, by name: a number, or `{min: …, max: …}`."""
    _folder: Path | None = PrivateAttr(default=None)
    _document: Document | None = PrivateAttr(default=None)
    _targets: tuple[Target, ...] = PrivateAttr(default=())
    _sources: dict[str, Path] = PrivateAttr(default={})
    _reference: type | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Scenario:
        self._folder = (info.context or {}).get("folder")
        self._document = (info.context or {}).get("document")
        if self.accounts is not None:
            try:
                self._targets = self._read_book(self.accounts.book)
            except InputError as error:
                raise SettingError(("accounts", "book"), error) from None
        try:
            self.oracle.check(tuple(self.market.factors), tuple(self.market.collateral))
        except SettingError as error:
            raise SettingError(("oracle", *error.path), error) from None
        priced = self.blocks.gas_price.factor
        if priced is not None and priced not in self.market.factors:
            where = ("blocks", "gas_price", "factor")
            raise SettingError(where, unknown("factor", priced, self.market.factors))
        for name, factor in self.market.factors.items():
            spot = getattr(factor, "spot", None)
            if spot is not None:
                try:
                    self._strikes(name, spot)
                except InputError as error:
                    raise SettingError(("market", "factors", name, "spot"), error) from None
        self._find_sources()
        labels = [group.label for group in self.agents]
        for i, label in enumerate(labels):
            if label in labels[:i]:
                raise SettingError(
                    ("agents", i), f"two groups are called {label!r}; give one a `name`"
                )
        return self

    def _find_sources(self) -> None:
        """Find the user's own engine, rule and reference."""
        engine, rule = self.protocol.engine, self.protocol.liquidation.rule
        for name, path, shipped in (
            (engine, ("protocol", "engine"), ENGINES),
            (rule, ("protocol", "liquidation", "rule"), RULES),
        ):
            try:
                found = None if name in shipped else source_of(name, self._folder)
            except InputError as error:
                raise SettingError(path, error) from None
            if found is not None:
                self._sources[name] = found
        if self.protocol.reference is not None:
            where = ("protocol", "reference")
            try:
                reference = imported(self.protocol.reference, "reference", self._folder)
            except InputError as error:
                raise SettingError(where, error) from None
            if not isinstance(reference, type):
                raise SettingError(where, f"{self.protocol.reference!r} is no class")
            self._reference = reference

    def error(self, path: Path_, message: object) -> InputError:
        """Return an `InputError` that begins with the place in the file of what is at `path`."""
        text = f"{format_path(path)}: {message}"
        return InputError(text) if self._document is None else self._document.error(path, text)

    @property
    def setup(self) -> ProtocolSettings:
        """The protocol's settings, with paths in place of names that start at its folder."""
        own = self.protocol
        paths = {name: str(path) for name, path in self._sources.items()}
        beside = self._folder / own.rulebook if self._folder is not None else None
        return own.model_copy(
            update={
                "engine": paths.get(own.engine, own.engine),
                "rulebook": str(beside) if beside and beside.is_file() else own.rulebook,
                "liquidation": own.liquidation.model_copy(
                    update={"rule": paths.get(own.liquidation.rule, own.liquidation.rule)}
                ),
            }
        )

    @property
    def folder(self) -> Path | None:
        """Folder of the scenario's file: relative paths in it start here."""
        return self._folder

    @property
    def streams(self) -> Streams:
        """The random streams of its seed."""
        return Streams(self.seed)

    def paths(self) -> Paths:
        """Simulate its market."""
        own = {i.expiry for target in self._targets for i in target.positions if i.is_option}
        return self.market.paths(self.horizon, self.streams, own)

    def check_names(self, params: Params) -> None:
        """Refuse an agent's token or underlying that the market does not have (SettingError)."""
        tokens = (self.protocol.quote, *self.market.collateral)
        if params.collateral not in tokens:
            raise SettingError(("collateral",), unknown("token", params.collateral, tokens))
        underlying = getattr(params, "underlying", None)
        if underlying is not None and underlying not in self.market.factors:
            raise SettingError(("underlying",), unknown("factor", underlying, self.market.factors))

    def cast(self) -> list[Agent[Params]]:
        """Return every agent of the run: those of the groups, and the owner of the book."""
        agents = [
            group.agent(name, params)
            for group in self.agents
            for name, params in group.members(self.streams)
        ]
        if self._targets:
            agents.append(BookOwner("book", self._targets, self.protocol.quote))
        return agents

    def _read_book(self, file: str) -> tuple[Target, ...]:
        """Return the accounts of a book file; InputError with its line where it does not fit."""
        book = book_file.load((self._folder or Path.cwd()) / file)
        names = list(self.market.factors)
        targets = []
        for i, account in enumerate(book.accounts):
            for asset in account.collateral:
                if asset not in self.market.collateral:
                    error = unknown("collateral asset", asset, self.market.collateral)
                    raise book.error(("accounts", i, "collateral", asset), error)
            positions: dict[Instrument, float] = {}
            for j, position in enumerate(account.positions):
                where = ("accounts", i, "positions", j)
                if position.underlying not in names:
                    error = unknown("factor", position.underlying, names)
                    raise book.error((*where, "underlying"), error)
                expiry = position.expiry.at(self.horizon.start) if position.expiry else 0
                if position.expiry and not self.market.factors[position.underlying].options:
                    raise book.error(where, f"{position.underlying} has no options here")
                for name in ("strike", "size"):
                    value = getattr(position, name)
                    if value is not None and not on_grid(value):
                        message = f"{value!r} is not a multiple of 1e-9, as {name}s on chain are"
                        raise book.error((*where, name), message)
                if expiry % 3_600 or 0 < expiry <= self.horizon.start:
                    raise book.error((*where, "expiry"), "a whole hour after the start is allowed")
                instrument = Instrument(
                    names.index(position.underlying),
                    book_file.KINDS[position.kind],
                    expiry,
                    position.strike or 0.0,
                )
                positions[instrument] = positions.get(instrument, 0.0) + position.size
            targets.append(Target(account.account, account.cash, account.collateral, positions))
        return tuple(targets)

    def instruments(self, paths: Paths) -> tuple[Instrument, ...]:
        """Return everything listed at the start: a perp of each factor, then options, ascending."""
        perps = [Instrument(u) for u in range(len(paths.factors))]
        options = {
            Instrument(u, kind, int(expiry), strike)
            for u, (name, factor) in enumerate(self.market.factors.items())
            if factor.options
            for strike in self._strikes(name, float(paths.spot[0, u]))
            for expiry in paths.expiries
            for kind in (CALL, PUT)
        }
        options |= {i for target in self._targets for i in target.positions if i.is_option}
        return (*perps, *sorted(options))

    def _strikes(self, factor: str, spot: float) -> list[float]:
        """Return what is listed over the first spot of a factor; InputError if it is too small."""
        listing = self.protocol.listing
        strikes = [rounded(spot * strike, listing.digits) for strike in listing.strikes]
        for price in (spot, *strikes):
            if price < SPOT_MIN or (price != spot and not on_grid(price)):
                raise InputError(
                    f"a spot of {spot:g} is too small for {factor}: prices on chain are multiples "
                    f"of 1e-9, and {price:g} does not fit"
                )
        return strikes

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """Every setting, defaults written out, as plain data: the scenario's part of the identity.

        Agents' settings that are drawn stay distributions. Files are named with their SHA-256.
        """
        data = self.model_dump(mode="json", by_alias=True)
        for group, plain in zip(self.agents, data["agents"], strict=True):
            _, first = next(group.members(self.streams))
            plain["name"] = group.label
            plain["params"] = {
                key: plain["params"][key] if is_drawn(group.params.get(key)) else value
                for key, value in first.model_dump(mode="json").items()
            }
        data["files"] = {name: sha256(p.read_bytes()).hexdigest() for name, p in self.files()}
        return data

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        text = json.dumps(self.canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return sha256(text.encode()).hexdigest()

    def files(self) -> list[tuple[str, Path]]:
        """Return the files that it reads, by the name it gives them."""
        found = self.market.files()
        # The package's own code has its version; that of the user's agents has only its text.
        found += [(g.use, Path(getfile(g.agent))) for g in self.agents if ":" in g.use]
        found += self._sources.items()
        if self._reference is not None:
            found.append((str(self.protocol.reference), Path(getfile(self._reference))))
        if self.accounts is not None:
            found.append((self.accounts.book, (self._folder or Path.cwd()) / self.accounts.book))
        return sorted(set(found))


def on_grid(value: float) -> bool:
    """Whether a price or size is a multiple of 1e-9 (PROTOCOL 1), as near as a float can be."""
    return from_wad(to_quanta(value)) == value


def rounded(value: float, digits: int) -> float:
    """Round to significant digits."""
    return float(f"{value:.{digits - 1}e}")
