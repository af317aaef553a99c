"""Feeds of the oracle contract: kind << 64 | underlying or asset << 32 | expiry."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """What a feed reports."""

    SPOT = 1
    MARK = 2
    FORWARD = 3
    RATE = 4
    STABLE = 5
    ASSET = 6
    SURFACE = 7


OF_UNDERLYING = (Kind.SPOT, Kind.MARK, Kind.FORWARD, Kind.RATE, Kind.SURFACE)


def feed(kind: Kind, item: int = 0, expiry: int = 0) -> int:
    """Return the number of a feed."""
    return kind << 64 | item << 32 | expiry
