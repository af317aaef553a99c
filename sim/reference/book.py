"""What is held and what the market is: arrays of many accounts at once.

The fields are those of `IRiskEngine.Book` and `IOracle.Market`, as float64 instead of WAD.
Everything that computes risk, on or off the command line, starts from a `Book` and a `Market`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.validation import (
    Bools,
    Floats,
    Ints,
    finite,
    floats,
    fraction,
    frozen,
    integers,
    non_negative,
    positive,
    require,
)

PERP, CALL, PUT = 1, 2, 3
KIND_NAMES = {PERP: "perp", CALL: "call", PUT: "put"}
NO_UNDERLYING = -1  # of an asset that moves with none (255 on chain)
YEAR = 31_536_000  # seconds


def _set(instance: object, **values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            value = frozen(value)
        object.__setattr__(instance, name, value)


def _column(name: str, array: Any, length: int) -> Any:
    """Give a scalar the length of its table; refuse any other length."""
    if array.ndim == 0:
        array = np.full(length, array[()])
    if array.shape != (length,):
        raise InputError(f"{name}: shape {array.shape}, expected ({length},)")
    return array


def _ascending(name: str, *keys: Ints) -> None:
    """Refuse rows that are not strictly ascending by `keys`, the most significant first."""
    if keys[0].size < 2:
        return
    after = np.zeros(keys[0].size - 1, dtype=bool)
    equal = np.ones_like(after)
    for key in keys:
        after |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    if not after.all():
        row = int(np.argmin(after)) + 1
        raise InputError(f"{name}[{row}]: rows must be in ascending order, each one once")


def distinct(*keys: Floats | Ints) -> tuple[Ints, Ints]:
    """Find the distinct rows of columns (n,), in ascending order, the first column leading.

    Returns an index of each distinct row, and for every row which of these it is.
    """
    order = np.lexsort(keys[::-1])
    fresh = np.zeros(order.size, dtype=bool)
    fresh[:1] = True
    for key in keys:
        ordered = key[order]
        fresh[1:] |= ordered[1:] != ordered[:-1]
    group = np.empty(order.size, dtype=np.int64)
    group[order] = np.cumsum(fresh) - 1
    return order[fresh], group


@dataclass(frozen=True, eq=False)
class Book:
    """Balances and positions of m accounts.

    Parameters
    ----------
    accounts : (m,) int
        Account ids, each one once.
    cash : (m,) float
        Quote currency, interest included; negative is debt.
    unsettled : (m,) float
        Perp profit and funding not yet paid, expired options at settlement.
    assets : (k,) int
        Ids of the collateral assets that are the columns of `holdings`, ascending.
    holdings : (m, k) float
        Collateral amounts in units of the asset, at least 0.
    account, underlying, kind, expiry : (n,) int
        One row a position: account id, underlying id, `PERP`, `CALL` or `PUT`,
        and unix seconds (0 for a perp).
    strike : (n,) float
        Of an option; of a perp, the mark it was last settled at (no figure here depends on it).
    size : (n,) float
        Signed units of the underlying, long is positive.
    vol : (n,) float
        Annualised implied vol of the series; nan takes it from the surface.

    Raises
    ------
    InputError
        Naming the field and the element.
    """

    accounts: Ints
    cash: Floats
    unsettled: Floats
    assets: Ints
    holdings: Floats
    account: Ints
    underlying: Ints
    kind: Ints
    expiry: Ints
    strike: Floats
    size: Floats
    vol: Floats

    def __post_init__(self) -> None:
        accounts = np.atleast_1d(integers("Book.accounts", self.accounts))
        m = accounts.size
        unique, first = np.unique(accounts, return_index=True)
        if unique.size != m:
            repeat = int(np.setdiff1d(np.arange(m), first)[0])
            raise InputError(f"Book.accounts[{repeat}] = {accounts[repeat]}: an id appears twice")
        assets = np.atleast_1d(integers("Book.assets", self.assets))
        _ascending("Book.assets", assets)
        holdings = non_negative("Book.holdings", self.holdings)
        if holdings.size == 0:
            holdings = np.zeros((m, assets.size))
        if holdings.shape != (m, assets.size):
            raise InputError(
                f"Book.holdings: shape {holdings.shape}, expected ({m}, {assets.size}): "
                "accounts by assets"
            )
        size = np.atleast_1d(finite("Book.size", self.size))
        n = size.size
        account, underlying, kind, expiry = (
            _column(f"Book.{name}", integers(f"Book.{name}", getattr(self, name)), n)
            for name in ("account", "underlying", "kind", "expiry")
        )
        strike = _column("Book.strike", non_negative("Book.strike", self.strike), n)
        vol = _column("Book.vol", floats("Book.vol", self.vol), n)
        require(np.isin(account, accounts), "Book.account", account, "ids in Book.accounts")
        require((kind >= PERP) & (kind <= PUT), "Book.kind", kind, "1 perp, 2 call, 3 put")
        require((kind == PERP) == (expiry == 0), "Book.expiry", expiry, "0 for a perp, else later")
        require(expiry >= 0, "Book.expiry", expiry, "unix seconds")
        require(~(vol < 0) & ~np.isinf(vol), "Book.vol", vol, "nan or finite numbers of at least 0")
        _set(
            self,
            accounts=accounts,
            cash=_column("Book.cash", finite("Book.cash", self.cash), m),
            unsettled=_column("Book.unsettled", finite("Book.unsettled", self.unsettled), m),
            assets=assets,
            holdings=holdings,
            account=account,
            underlying=underlying,
            kind=kind,
            expiry=expiry,
            strike=strike,
            size=size,
            vol=vol,
        )

    @classmethod
    def of(
        cls,
        accounts: ArrayLike = (0,),
        *,
        cash: ArrayLike = 0.0,
        unsettled: ArrayLike = 0.0,
        assets: ArrayLike = (),
        holdings: ArrayLike = (),
        account: ArrayLike = 0,
        underlying: ArrayLike = 0,
        kind: ArrayLike = PERP,
        expiry: ArrayLike = 0,
        strike: ArrayLike = 0.0,
        size: ArrayLike = (),
        vol: ArrayLike = np.nan,
    ) -> Book:
        """Build a book from lists and scalars; a scalar holds for every row."""
        values = locals()
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    @property
    def row(self) -> Ints:
        """(n,) index into `accounts` of each position's account."""
        order = np.argsort(self.accounts, kind="stable")
        return order[np.searchsorted(self.accounts, self.account, sorter=order)]

    @property
    def is_option(self) -> Bools:
        """(n,) whether each position is an option."""
        return np.not_equal(self.kind, PERP)

    def positions(self, rows: ArrayLike) -> Book:
        """Return the same accounts with only the positions at `rows` (indices or a mask)."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _POSITION_FIELDS})

    def only(self, accounts: ArrayLike) -> Book:
        """Return the book of these account ids alone, in the order given."""
        wanted = np.atleast_1d(integers("accounts", accounts))
        require(np.isin(wanted, self.accounts), "accounts", wanted, "ids in the book")
        order = np.argsort(self.accounts, kind="stable")
        rows = order[np.searchsorted(self.accounts, wanted, sorter=order)]
        keep = np.isin(self.account, wanted)
        return replace(
            self,
            accounts=self.accounts[rows],
            cash=self.cash[rows],
            unsettled=self.unsettled[rows],
            holdings=self.holdings[rows],
            **{name: getattr(self, name)[keep] for name in _POSITION_FIELDS},
        )

    def traded(
        self,
        *,
        account: ArrayLike,
        underlying: ArrayLike,
        kind: ArrayLike,
        size: ArrayLike,
        expiry: ArrayLike = 0,
        strike: ArrayLike = 0.0,
        vol: ArrayLike = np.nan,
        price: ArrayLike = 0.0,
    ) -> Book:
        """Return the book after trades at `price` per unit, paid from cash: a what-if.

        Trades become rows of their own; every figure nets rows of one series.
        """
        trade = Book.of(
            self.accounts,
            account=account,
            underlying=underlying,
            kind=kind,
            size=size,
            expiry=expiry,
            strike=strike,
            vol=vol,
        )
        paid = _column("price", finite("price", price), trade.size.size) * trade.size
        cash = self.cash - np.bincount(trade.row, weights=paid, minlength=self.accounts.size)
        return replace(
            self,
            cash=cash,
            **{
                name: np.concatenate((getattr(self, name), getattr(trade, name)))
                for name in _POSITION_FIELDS
            },
        )

    def netted(self) -> Book:
        """Return the book with one row for each account and series, sizes summed.

        A series is an underlying, kind, expiry, strike and own vol; perps of one underlying are one
        whatever mark they were settled at. A book without repetition is returned as it is.
        """
        perp = np.equal(self.kind, PERP)
        first, group = distinct(
            self.row,
            self.underlying,
            self.kind,
            self.expiry,
            np.where(perp, 0.0, self.strike),
            np.where(perp | np.isnan(self.vol), -1.0, self.vol),
        )
        if first.size == self.size.size:
            return self
        net = np.bincount(group, weights=self.size).astype(np.float64)
        return replace(self.positions(first), size=net)

    def merged(self, account: int = 0) -> Book:
        """Return one account that holds everything: the book of the platform, or of a group."""
        return replace(
            self,
            accounts=np.array([account]),
            cash=self.cash.sum(keepdims=True),
            unsettled=self.unsettled.sum(keepdims=True),
            holdings=self.holdings.sum(axis=0, keepdims=True),
            account=np.full(self.size.size, account),
        )


_POSITION_FIELDS = ("account", "underlying", "kind", "expiry", "strike", "size", "vol")


@dataclass(frozen=True, eq=False)
class Underlyings:
    """Spot and perp of each underlying, ascending by id.

    Parameters
    ----------
    id : (u,) int
    name : u str
        Empty names become `#id`.
    spot, mark : (u,) float
        USD spot and mark of the perp, above 0 (`mark` nan: the spot).
    spot_confidence, mark_confidence : (u,) float
        From 0 to 1, 1 is certain.
    funding_index : (u,) float
        Cash paid per unit long since listing.
    """

    id: Ints
    spot: Floats
    name: Sequence[str] = ()
    spot_confidence: Floats | float = 1.0
    mark: Floats | float = np.nan
    mark_confidence: Floats | float = 1.0
    funding_index: Floats | float = 0.0

    def __post_init__(self) -> None:
        ids = np.atleast_1d(integers("underlyings.id", self.id))
        _ascending("underlyings.id", ids)
        require(ids >= 0, "underlyings.id", ids, "ids of at least 0")
        u = ids.size
        name = tuple(self.name) or tuple(f"#{i}" for i in ids)
        if len(name) != u:
            raise InputError(f"underlyings.name: {len(name)} names, expected {u}")
        spot = _column("underlyings.spot", positive("underlyings.spot", self.spot), u)
        mark = _column("underlyings.mark", floats("underlyings.mark", self.mark), u)
        confidence = {
            key: _column(
                f"underlyings.{key}", fraction(f"underlyings.{key}", getattr(self, key)), u
            )
            for key in ("spot_confidence", "mark_confidence")
        }
        funding = finite("underlyings.funding_index", self.funding_index)
        _set(
            self,
            id=ids,
            name=name,
            spot=spot,
            mark=positive("underlyings.mark", np.where(np.isnan(mark), spot, mark)),
            funding_index=_column("underlyings.funding_index", funding, u),
            **confidence,
        )


@dataclass(frozen=True, eq=False)
class Expiries:
    """Forward, rate and raw SVI slice of each expiry, ascending by (underlying, time).

    Parameters
    ----------
    underlying, time : (e,) int
        Underlying id and expiry in unix seconds.
    forward_fixed, forward_variable : (e,) float
        The forward is their sum; the fixed part (the settlement TWAP so far) does not move.
    rate : (e,) float
        Continuously compounded, per year.
    confidence : (e,) float
        The least of those of forward, rate and vol.
    a, b, rho, m, sigma : (e,) float
        Total variance w(k) = a + b·(rho·(k - m) + √((k - m)² + sigma²)), k = ln(K/F).
        All nan: no surface, every position then brings its own vol.
    tau : (e,) float
        Seconds to expiry at which w(k) holds: vol = √(w/tau).
    """

    underlying: Ints
    time: Ints
    forward_variable: Floats
    forward_fixed: Floats | float = 0.0
    rate: Floats | float = 0.0
    confidence: Floats | float = 1.0
    a: Floats | float = np.nan
    b: Floats | float = np.nan
    rho: Floats | float = np.nan
    m: Floats | float = np.nan
    sigma: Floats | float = np.nan
    tau: Floats | float = float(YEAR)

    def __post_init__(self) -> None:
        time = np.atleast_1d(integers("expiries.time", self.time))
        e = time.size
        underlying = _column(
            "expiries.underlying", integers("expiries.underlying", self.underlying), e
        )
        _ascending("expiries", underlying, time)
        require(time > 0, "expiries.time", time, "unix seconds")
        variable, fixed = (
            _column(f"expiries.{key}", non_negative(f"expiries.{key}", getattr(self, key)), e)
            for key in ("forward_variable", "forward_fixed")
        )
        require(variable + fixed > 0, "expiries.forward_variable", variable, "forwards above 0")
        svi = {
            key: _column(f"expiries.{key}", floats(f"expiries.{key}", getattr(self, key)), e)
            for key in ("a", "b", "rho", "m", "sigma")
        }
        absent = np.all([np.isnan(value) for value in svi.values()], axis=0)
        for key, value in svi.items():
            require(absent | np.isfinite(value), f"expiries.{key}", value, "finite numbers")
        require(absent | (svi["b"] >= 0), "expiries.b", svi["b"], "numbers of at least 0")
        require(absent | (abs(svi["rho"]) <= 1), "expiries.rho", svi["rho"], "from -1 to 1")
        require(absent | (svi["sigma"] >= 0), "expiries.sigma", svi["sigma"], "at least 0")
        least = svi["a"] + svi["b"] * svi["sigma"] * np.sqrt(np.maximum(1 - svi["rho"] ** 2, 0))
        require(absent | (least >= 0), "expiries.a", svi["a"], "a slice with w(k) ≥ 0 everywhere")
        _set(
            self,
            underlying=underlying,
            time=time,
            forward_variable=variable,
            forward_fixed=fixed,
            rate=_column("expiries.rate", finite("expiries.rate", self.rate), e),
            confidence=_column(
                "expiries.confidence", fraction("expiries.confidence", self.confidence), e
            ),
            tau=_column("expiries.tau", positive("expiries.tau", self.tau), e),
            **svi,
        )

    @property
    def forward(self) -> Floats:
        """(e,) the full forward."""
        return np.asarray(self.forward_fixed + self.forward_variable)


@dataclass(frozen=True, eq=False)
class Assets:
    """Price of each collateral asset, ascending by id.

    Parameters
    ----------
    id : (c,) int
    price : (c,) float
        USD, at least 0.
    underlying : (c,) int
        Id of the underlying it moves with, or `NO_UNDERLYING`.
    confidence : (c,) float
    name : c str
    """

    id: Ints
    price: Floats
    underlying: Ints | int = NO_UNDERLYING
    confidence: Floats | float = 1.0
    name: Sequence[str] = ()

    def __post_init__(self) -> None:
        ids = np.atleast_1d(integers("assets.id", self.id))
        _ascending("assets.id", ids)
        c = ids.size
        name = tuple(self.name) or tuple(f"asset {i}" for i in ids)
        if len(name) != c:
            raise InputError(f"assets.name: {len(name)} names, expected {c}")
        _set(
            self,
            id=ids,
            name=name,
            price=_column("assets.price", non_negative("assets.price", self.price), c),
            underlying=_column(
                "assets.underlying", integers("assets.underlying", self.underlying), c
            ),
            confidence=_column(
                "assets.confidence", fraction("assets.confidence", self.confidence), c
            ),
        )


def _no_expiries() -> Expiries:
    return Expiries(np.array([], np.int64), np.array([], np.int64), np.array([]))


def _no_assets() -> Assets:
    return Assets(np.array([], np.int64), np.array([]))


@dataclass(frozen=True, eq=False)
class Market:
    """One instant of the market.

    Parameters
    ----------
    time : int
        Unix seconds.
    underlyings, expiries, assets
        Tables of arrays.
    stable : float
        USD price of the quote stablecoin, above 0.
    """

    time: int
    underlyings: Underlyings
    expiries: Expiries
    assets: Assets
    stable: float = 1.0

    def __post_init__(self) -> None:
        positive("Market.stable", self.stable)
        for table, name in ((self.expiries, "expiries"), (self.assets, "assets")):
            known = np.isin(table.underlying, self.underlyings.id)
            if name == "assets":
                known |= np.asarray(table.underlying) == NO_UNDERLYING
            require(known, f"{name}.underlying", table.underlying, "ids in underlyings.id")

    @classmethod
    def of(
        cls,
        time: int,
        underlyings: Underlyings,
        expiries: Expiries | None = None,
        assets: Assets | None = None,
        stable: float = 1.0,
    ) -> Market:
        """Build a market in which expiries and collateral assets may be absent."""
        return cls(time, underlyings, expiries or _no_expiries(), assets or _no_assets(), stable)


@dataclass(frozen=True, eq=False)
class Located:
    """Where the rows of a book stand in the tables of a market.

    Attributes
    ----------
    row : (n,) int
        Account of each position, an index into `Book.accounts`.
    underlying : (n,) int
        Index into `Market.underlyings`.
    expiry : (n,) int
        Index into `Market.expiries`; -1 for a perp.
    asset : (k,) int
        Index into `Market.assets` of each column of `Book.holdings`.
    """

    row: Ints
    underlying: Ints
    expiry: Ints
    asset: Ints


def locate(book: Book, market: Market) -> Located:
    """Find every position and asset of a book in a market, or raise `InputError`."""
    underlying = _find("Book.underlying", book.underlying, market.underlyings.id)
    expiry = np.full(book.size.size, -1)
    option = np.flatnonzero(book.is_option)
    if option.size:
        table = market.expiries
        index = {
            pair: i
            for i, pair in enumerate(
                zip(np.asarray(table.underlying).tolist(), table.time.tolist(), strict=True)
            )
        }
        wanted, group = distinct(book.underlying[option], book.expiry[option])
        found = [
            index.get((int(book.underlying[i]), int(book.expiry[i])), -1) for i in option[wanted]
        ]
        expiry[option] = np.array(found)[group]
        require(
            (expiry >= 0) | ~book.is_option,
            "Book.expiry",
            book.expiry,
            "expiries of its underlying in the market",
        )
    asset = _find("Book.assets", book.assets, market.assets.id)
    return Located(book.row, underlying, expiry, asset)


def _find(name: str, wanted: Ints, table: Ints) -> Ints:
    require(np.isin(wanted, table), name, wanted, f"ids in the market ({_listed(table)})")
    return np.searchsorted(table, wanted)


def _listed(ids: Ints) -> str:
    return ", ".join(map(str, ids.tolist())) or "none"
