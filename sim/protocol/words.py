"""The packed words of the contracts, to and from arrays.

Layouts are those of `IRiskEngine.vyi` (positions) and `IOracle.vyi` (expiries). Decoding is
vectorised: a word is four 64-bit limbs, the most significant first, and every field fits float64
without loss as long as it stays below 2**53 units.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.reference.book import KIND_NAMES, PERP
from sim.units import QUANTUM, to_quanta

KINDS = {name: kind for kind, name in KIND_NAMES.items()}
_PER_UNIT = 10**9
_LOW_32 = np.uint64(0xFFFF_FFFF)


class Positions(NamedTuple):
    """Columns of decoded position words, each of shape (n,)."""

    underlying: NDArray[np.int64]
    kind: NDArray[np.int64]
    expiry: NDArray[np.int64]
    strike: NDArray[np.float64]
    size: NDArray[np.float64]


def instrument(underlying: int, kind: int, expiry: int = 0, strike: float = 0.0) -> int:
    """Return the low 160 bits of a position word: the instrument."""
    quanta = 0 if kind == PERP else to_quanta(strike) // QUANTUM
    return kind | quanta << 8 | expiry << 96 | underlying << 128


def position(instrument_id: int, size: float) -> int:
    """Return the word of a position of `size` units."""
    quanta = to_quanta(size) // QUANTUM
    return instrument_id | (quanta & (1 << 96) - 1) << 160


def limbs(data: bytes) -> NDArray[np.uint64]:
    """Return words as an array (n, 4) of 64-bit limbs, the most significant first."""
    return np.frombuffer(data, dtype=">u8").reshape(-1, 4).astype(np.uint64)


def of_integers(words: Sequence[int]) -> NDArray[np.uint64]:
    """Return Python integers as limbs."""
    return limbs(b"".join(word.to_bytes(32, "big") for word in words))


def decode_positions(words: NDArray[np.uint64]) -> Positions:
    """Decode position words given as limbs (n, 4)."""
    top, high, middle, low = (words[:, i] for i in range(4))
    size = top.astype(np.int64) * float(2**32) + (high >> np.uint64(32)).astype(np.float64)
    strike = (middle & _LOW_32).astype(np.float64) * float(2**56)
    strike = strike + (low >> np.uint64(8)).astype(np.float64)
    return Positions(
        underlying=(high & np.uint64(0xFF)).astype(np.int64),
        kind=(low & np.uint64(0xFF)).astype(np.int64),
        expiry=(middle >> np.uint64(32)).astype(np.int64),
        strike=strike / _PER_UNIT,
        size=size / _PER_UNIT,
    )


def decode_terms(words: Sequence[int]) -> dict[str, Any]:
    """Decode the first word of expiries: forward, rate, confidence, time, underlying."""
    return {
        "underlying": np.array([_field(w, 248, 8) for w in words], dtype=np.int64),
        "time": np.array([_field(w, 216, 32) for w in words], dtype=np.int64),
        "forward_variable": np.array([_field(w, 0, 72) / 1e9 for w in words]),
        "forward_fixed": np.array([_field(w, 72, 72) / 1e9 for w in words]),
        "rate": np.array([_signed(w, 144, 40) / 1e10 for w in words]),
        "confidence": np.array([_field(w, 184, 32) / 1e9 for w in words]),
    }


def decode_surfaces(words: Sequence[int]) -> dict[str, Any]:
    """Decode the second word of expiries: the raw SVI slice and its reference time."""
    return {
        "tau": np.array([float(_field(w, 0, 32)) for w in words]),
        "sigma": np.array([_field(w, 32, 40) / 1e9 for w in words]),
        "m": np.array([_signed(w, 72, 40) / 1e9 for w in words]),
        "rho": np.array([_signed(w, 112, 32) / 1e9 for w in words]),
        "b": np.array([_field(w, 144, 48) / 1e12 for w in words]),
        "a": np.array([_signed(w, 192, 48) / 1e12 for w in words]),
    }


def _field(word: int, at: int, width: int) -> int:
    return word >> at & (1 << width) - 1


def _signed(word: int, at: int, width: int) -> int:
    value = _field(word, at, width)
    return value - (1 << width) if value >> (width - 1) else value
