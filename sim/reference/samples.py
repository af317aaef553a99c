"""Checks of statistical arguments: confidence levels, series, tables, correlation matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.validation import Floats, finite, require

LEAST_EIGENVALUE = -1e-12  # a matrix with no smaller eigenvalue counts as positive semidefinite


def confidence(level: float) -> float:
    """Return a confidence level in [0.5, 1): 0.99 means that 1 % of losses are worse."""
    try:
        value = float(level)
    except (TypeError, ValueError):
        raise InputError(f"level = {level!r}: allowed are numbers from 0.5 to below 1") from None
    if not 0.5 <= value < 1:
        hint = f"; write {1 - value:g} for its tail" if 0 < value < 0.5 else ""
        raise InputError(f"level = {value:g}: allowed are numbers from 0.5 to below 1{hint}")
    return value


def series(name: str, value: ArrayLike, least: int = 1) -> Floats:
    """Return a one-dimensional array of at least `least` finite numbers."""
    array = finite(name, value)
    if array.ndim != 1:
        raise InputError(f"{name}: shape {array.shape}, expected one dimension")
    if array.size < least:
        raise InputError(f"{name}: {array.size} values, at least {least} are needed")
    return array


def table(name: str, value: ArrayLike, least: int = 1, columns: int | None = None) -> Floats:
    """Return a two-dimensional array of finite numbers, observations by variables."""
    array = finite(name, value)
    if array.ndim == 1 and columns in (None, 1):
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0 or columns not in (None, array.shape[1]):
        wanted = "k" if columns is None else str(columns)
        raise InputError(f"{name}: shape {array.shape}, expected (n, {wanted})")
    if array.shape[0] < least:
        raise InputError(f"{name}: {array.shape[0]} rows, at least {least} are needed")
    return array


def varying(name: str, columns: Floats) -> None:
    """Refuse columns of a table, or a series, that never change: they have no distribution."""
    spread = np.atleast_1d(np.ptp(columns, axis=0))
    for column in np.flatnonzero(spread == 0):
        where = f" column {column}" if columns.ndim == 2 else ""
        raise InputError(f"{name}{where}: every value is the same, nothing can be estimated")


def one_number(name: str, value: float, least: float, most: float = np.inf) -> float:
    """Return a float strictly between `least` and `most`."""
    number = finite(name, value)
    if number.ndim != 0:
        raise InputError(f"{name}: shape {number.shape}, expected one number")
    if not least < number < most:
        bound = f"above {least:g}" if most == np.inf else f"between {least:g} and {most:g}"
        raise InputError(f"{name} = {number:g}: allowed are numbers {bound}")
    return float(number)


def symmetric(name: str, value: ArrayLike) -> Floats:
    """Return a square symmetric matrix, symmetrised to the last bit."""
    matrix = finite(name, value)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise InputError(f"{name}: shape {matrix.shape}, expected a square matrix")
    tolerance = 1e-9 * max(1.0, float(np.abs(matrix).max()))
    require(
        np.abs(matrix - matrix.T) <= tolerance, name, matrix, "the same number across the diagonal"
    )
    return np.asarray((matrix + matrix.T) / 2)


def covariance_matrix(name: str, value: ArrayLike) -> Floats:
    """Return a symmetric positive semidefinite matrix."""
    matrix = symmetric(name, value)
    diagonal = np.diagonal(matrix)
    require(diagonal >= 0, f"{name} diagonal", diagonal, "variances of at least 0")
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest < LEAST_EIGENVALUE * float(diagonal.max()):
        raise InputError(
            f"{name}: smallest eigenvalue {smallest:.3g}; allowed are positive semidefinite "
            "matrices (a correlation matrix: see repair_correlation)"
        )
    return matrix


def unit_diagonal(name: str, value: ArrayLike) -> Floats:
    """Return a symmetric matrix of ones on the diagonal and numbers from -1 to 1 beside it."""
    matrix = symmetric(name, value)
    diagonal = np.diagonal(matrix)
    require(np.abs(diagonal - 1) <= 1e-9, f"{name} diagonal", diagonal, "ones")
    require(np.abs(matrix) <= 1 + 1e-9, name, matrix, "numbers from -1 to 1")
    matrix = np.clip(matrix, -1.0, 1.0)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def correlation_matrix(name: str, value: ArrayLike) -> Floats:
    """Return a positive semidefinite correlation matrix; one number stands for a 2 × 2 one."""
    if np.ndim(value) == 0:
        rho = float(finite(name, value))
        value = [[1.0, rho], [rho, 1.0]]
    return covariance_matrix(name, unit_diagonal(name, value))
