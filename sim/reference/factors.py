"""Joint simulation: factors with marginals of their own, tied by a copula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError
from sim.reference.dependence import Copula
from sim.reference.samples import series
from sim.reference.validation import Floats, floats, require


class Marginal(Protocol):
    """Anything with a quantile function: `StudentT`, a frozen scipy.stats distribution, ..."""

    def ppf(self, u: Floats) -> Floats:
        """Quantile function."""


class EmpiricalMarginal:
    """The quantile function of a sample, linear between order statistics.

    It never goes beyond what was seen: for tails use a parametric marginal.

    Parameters
    ----------
    sample : (n,)
        At least 2 values.

    Raises
    ------
    InputError
    """

    def __init__(self, sample: ArrayLike) -> None:
        self._ordered = np.sort(series("sample", sample, least=2))

    def ppf(self, u: ArrayLike) -> Floats:
        """Quantiles, the type "linear" of `numpy.quantile`."""
        levels = floats("u", u)
        require((levels >= 0) & (levels <= 1), "u", levels, "numbers from 0 to 1")
        grid = np.linspace(0, 1, self._ordered.size)
        return np.asarray(np.interp(levels, grid, self._ordered))


@dataclass(frozen=True)
class FactorModel:
    """d factors: how each moves, and how they move together.

    Parameters
    ----------
    copula : Copula
        Any of `sim.reference.dependence`, or a `VineCopula`.
    marginals : sequence of Marginal
        One for each factor of the copula.

    Raises
    ------
    InputError
    """

    copula: Copula
    marginals: Sequence[Marginal]

    def __post_init__(self) -> None:
        if len(self.marginals) != self.copula.dimension:
            raise InputError(
                f"marginals: {len(self.marginals)} given, the copula has "
                f"{self.copula.dimension} factors"
            )

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw (n, d) joint values of the factors."""
        u = self.copula.sample(n, rng)
        columns = [marginal.ppf(u[:, i]) for i, marginal in enumerate(self.marginals)]
        return np.column_stack(columns)
