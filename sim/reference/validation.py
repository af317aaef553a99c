"""Checks of array arguments, with errors that say which element is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def floats(name: str, value: ArrayLike) -> Floats:
    """Return `value` as a float64 array, or raise `InputError` naming it."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers ({error})") from None


def integers(name: str, value: ArrayLike) -> Ints:
    """Return `value` as an int64 array; numbers with a fraction are refused."""
    array = np.asarray(value)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        number = floats(name, value)
        require(np.isfinite(number) & (number == np.rint(number)), name, number, "whole numbers")
        return number.astype(np.int64)
    return array.astype(np.int64)


def require(good: ArrayLike, name: str, value: ArrayLike, allowed: str) -> None:
    """Raise `InputError` naming the first element of `value` for which `good` is false."""
    mask = np.asarray(good, dtype=bool)
    if mask.all():
        return
    array = np.broadcast_to(np.asarray(value), mask.shape)
    where = tuple(int(i) for i in np.argwhere(~mask)[0])
    index = f"[{', '.join(map(str, where))}]" if where else ""
    raise InputError(f"{name}{index} = {array[where]!s}: allowed are {allowed}")


def finite(name: str, value: ArrayLike) -> Floats:
    """Return a float64 array without NaN or infinity."""
    array = floats(name, value)
    require(np.isfinite(array), name, array, "finite numbers")
    return array


def non_negative(name: str, value: ArrayLike) -> Floats:
    """Return a float64 array of finite numbers of at least 0."""
    array = floats(name, value)
    require(np.isfinite(array) & (array >= 0), name, array, "finite numbers of at least 0")
    return array


def positive(name: str, value: ArrayLike) -> Floats:
    """Return a float64 array of finite numbers above 0."""
    array = floats(name, value)
    require(np.isfinite(array) & (array > 0), name, array, "finite numbers above 0")
    return array


def fraction(name: str, value: ArrayLike) -> Floats:
    """Return a float64 array of numbers from 0 to 1."""
    array = floats(name, value)
    require((array >= 0) & (array <= 1), name, array, "numbers from 0 to 1")
    return array


def broadcast(**arrays: Floats) -> tuple[Floats, ...]:
    """Broadcast named arrays against each other, or raise `InputError` with all the shapes."""
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"shapes do not broadcast: {shapes}") from None
    return tuple(
        array if array.shape == shape else np.broadcast_to(array, shape)
        for array in arrays.values()
    )


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or a copy of a view of someone else's data, made read-only."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array
