"""What ties factors together: a copula over the innovations of one step.

Draws are the same on every machine: uniforms of each factor's own stream, `sim.market.exact`, and a
Cholesky factor computed here in fixed order. Another factor at the end of the list moves no draw of
those before it.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from sim.errors import unknown
from sim.market.exact import (
    Array,
    chi_squares,
    normal_cdf,
    normal_quantile,
    student_cdf,
    uniforms,
)
from sim.model import Model
from sim.streams import Streams

_EDGE = 2.0**-53


class _Correlated(Model):
    """A copula with a correlation matrix."""

    corr: dict[str, Annotated[float, Field(ge=-1, le=1)]] = Field(default={})
    """Correlation of pairs such as `ETH-BTC`; 0 where not given."""

    def matrix(self, names: tuple[str, ...]) -> Array:
        """Return the correlation matrix of these factors; raises ValueError where there is none."""
        rows = {f"{a}-{b}": (i, j) for (i, a), (j, b) in combinations(enumerate(names), 2)}
        rows |= {f"{b}-{a}": (i, j) for (i, a), (j, b) in combinations(enumerate(names), 2)}
        matrix = np.eye(len(names))
        given: set[tuple[int, int]] = set()
        for pair, value in self.corr.items():
            if pair not in rows:
                raise ValueError(str(unknown("pair of factors", pair, rows)))
            if rows[pair] in given:
                raise ValueError(f"the pair {pair!r} is given twice")
            given.add(rows[pair])
            i, j = rows[pair]
            matrix[i, j] = matrix[j, i] = value
        return matrix

    def check(self, names: tuple[str, ...]) -> None:
        """Refuse unknown pairs and correlations that cannot hold together (ValueError)."""
        cholesky(self.matrix(names))


class GaussianCopula(_Correlated):
    """Normal dependence: none in the tails."""

    kind: Literal["gaussian_copula"] = "gaussian_copula"


class StudentTCopula(_Correlated):
    """Student-t dependence: factors crash together."""

    kind: Literal["t_copula"] = "t_copula"
    dof: float = Field(default=4.0, ge=1, le=100)
    """Degrees of freedom: fewer, more joint extremes."""


Dependence = Annotated[GaussianCopula | StudentTCopula, Field(discriminator="kind")]


def innovations(
    names: tuple[str, ...],
    count: int,
    dependence: Dependence | None,
    tightening: Array,
    streams: Streams,
) -> Array:
    """Return uniform innovations, shape (count, factors).

    Parameters
    ----------
    names
        Of the factors, in order.
    dependence
        None: independent factors.
    tightening : (count,) float
        From 0 to 1: how far correlations are moved from their own values towards 1 at each step.
    """
    own = np.stack([uniforms(streams.at(f"market/{name}"), count) for name in names], axis=1)
    if dependence is None and not np.any(tightening > 0.0):
        return own
    z = normal_quantile(own)
    matrix = np.eye(len(names)) if dependence is None else dependence.matrix(names)
    mixed = np.empty_like(z)
    for level in np.unique(tightening):
        rows = np.flatnonzero(tightening == level)
        factor = cholesky(matrix + level * (1.0 - matrix))
        for i in range(len(names)):
            total = np.zeros(rows.size)
            for j in range(i + 1):
                total = total + factor[i, j] * z[rows, j]
            mixed[rows, i] = total
    if isinstance(dependence, StudentTCopula):
        spread = chi_squares(streams.at("market/copula"), dependence.dof, count)
        mixed = mixed / np.sqrt(spread / dependence.dof)[:, None]
        joint = student_cdf(mixed, dependence.dof)
    else:
        joint = normal_cdf(mixed)
    return np.minimum(np.maximum(joint, _EDGE), 1.0 - _EDGE)


def cholesky(matrix: Array) -> Array:
    """Lower factor of a positive semidefinite matrix; raises ValueError if it is not one."""
    n = matrix.shape[0]
    factor = np.zeros((n, n))
    for j in range(n):
        pivot = float(matrix[j, j])
        for k in range(j):
            pivot -= float(factor[j, k]) * float(factor[j, k])
        if pivot < -1e-10:
            raise ValueError("these correlations cannot hold together: not positive semidefinite")
        singular = pivot < 1e-12
        factor[j, j] = 0.0 if singular else float(np.sqrt(pivot))
        for i in range(j + 1, n):
            rest = float(matrix[i, j])
            for k in range(j):
                rest -= float(factor[i, k]) * float(factor[j, k])
            if singular and abs(rest) > 1e-6:
                raise ValueError(
                    "these correlations cannot hold together: not positive semidefinite"
                )
            factor[i, j] = 0.0 if singular else rest / float(factor[j, j])
    return factor
