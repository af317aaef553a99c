"""An oracle with its feeds, as the contract tests use it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.evm import OWNER, Contract, Evm

WAD = 10**18
SPOT, MARK, FORWARD, RATE, STABLE, ASSET, VOL = range(1, 8)
OPENING, CLOSING, LIQUIDATION = 1, 2, 4
NO_UNDERLYING = 255
ETH, BTC = 0, 1
HOUR, DAY = 3600, 86_400
WINDOW = 1800


class Policy(NamedTuple):
    quorum: int = 1
    deviation: int = WAD // 100
    opening: int = HOUR
    liquidation: int = 6 * HOUR
    jump: int = 0
    recovery: int = 0


class Perpetual(NamedTuple):
    band: int = 5 * WAD // 100
    period: int = 8 * HOUR
    base: int = 0
    cap: int = WAD // 100


class Slice(NamedTuple):
    """A volatility slice that is flat at 50 % a year out to `tau`, unless told otherwise."""

    underlying: int
    expiry: int
    a: int
    b: int = 0
    rho: int = 0
    m: int = 0
    sigma: int = WAD // 10
    tau: int = 365 * DAY
    confidence: int = WAD
    time: int = 0


def feed(kind: int, id: int = 0, expiry: int = 0) -> int:
    return kind << 64 | id << 32 | expiry


class Desk:
    """The oracle, its only source, and a push in one line."""

    def __init__(self, evm: Evm, min_samples: int = 5) -> None:
        self.evm = evm
        self.source = evm.address("source")
        self.oracle: Contract = evm.deploy("Oracle.vy", OWNER, min_samples)

    def configure(self, kind: int, id: int = 0, *sources: str, **policy: int) -> None:
        chosen = sources or (self.source,)
        self.oracle.configure(feed(kind, id), Policy(**policy), list(chosen))

    def list_underlying(self, id: int, **policy: int) -> None:
        for kind in (SPOT, MARK, FORWARD, RATE, VOL):
            self.configure(kind, id, **policy)
        self.oracle.set_perpetual(id, Perpetual())

    def push(
        self,
        kind: int,
        value: int,
        id: int = 0,
        expiry: int = 0,
        *,
        confidence: int = WAD,
        time: int | None = None,
        sender: str | None = None,
    ) -> list[Any]:
        at = self.evm.time if time is None else time
        update = (feed(kind, id, expiry), value, confidence, at)
        self.oracle.push([update], sender=sender or self.source)
        return self.evm.events

    def shape(self, underlying: int, expiry: int, **terms: int) -> list[Any]:
        vol = WAD // 2
        given = {"a": vol * vol // WAD, "time": self.evm.time, **terms}
        self.oracle.push_surfaces([Slice(underlying, expiry, **given)], sender=self.source)
        return self.evm.events

    def report(self, kind: int, id: int = 0, expiry: int = 0) -> int:
        value: int = self.oracle.report(feed(kind, id, expiry))[0]
        return value


def option(underlying: int, expiry: int, strike: int = 3000 * WAD, kind: int = 2) -> int:
    """The word of a position of one option."""
    return kind | strike // 10**9 << 8 | expiry << 96 | underlying << 128 | 10**9 << 160


def perpetual(underlying: int) -> int:
    """The word of a position of one perpetual."""
    return 1 | underlying << 128 | 10**9 << 160


class Terms(NamedTuple):
    variable: int
    fixed: int
    rate: int
    confidence: int
    expiry: int
    underlying: int


def read_terms(word: int) -> Terms:
    """Unpack the terms word of an expiry as IOracle.vyi lays it out."""
    rate = word >> 144 & (2**40 - 1)
    return Terms(
        variable=(word & (2**72 - 1)) * 10**9,
        fixed=(word >> 72 & (2**72 - 1)) * 10**9,
        rate=(rate - (rate >> 39 << 40)) * 10**8,
        confidence=(word >> 184 & (2**32 - 1)) * 10**9,
        expiry=word >> 216 & (2**32 - 1),
        underlying=word >> 248,
    )


def read_surface(word: int) -> dict[str, int]:
    """Unpack the surface word of an expiry as IOracle.vyi lays it out."""

    def signed(value: int, bits: int) -> int:
        return value - (value >> (bits - 1) << bits)

    return {
        "tau": word & (2**32 - 1),
        "sigma": (word >> 32 & (2**40 - 1)) * 10**9,
        "m": signed(word >> 72 & (2**40 - 1), 40) * 10**9,
        "rho": signed(word >> 112 & (2**32 - 1), 32) * 10**9,
        "b": (word >> 144 & (2**48 - 1)) * 10**6,
        "a": signed(word >> 192 & (2**48 - 1), 48) * 10**6,
    }
