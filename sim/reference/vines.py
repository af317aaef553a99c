"""Vine copulas: every pair of many factors with a family of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import EnvironmentFault, unknown
from sim.reference.samples import table, varying
from sim.reference.validation import Floats, require

try:
    import pyvinecopulib as vines
except ImportError as error:  # pragma: no cover
    raise EnvironmentFault("vine copulas need the package pyvinecopulib") from error

_CODES = {
    "independent": "indep",
    "gaussian": "gaussian",
    "student_t": "student",
    "clayton": "clayton",
    "gumbel": "gumbel",
    "frank": "frank",
}
FAMILIES = tuple(_CODES)


@dataclass(frozen=True, eq=False)
class VineCopula:
    """A regular vine of pair copulas, fitted by pyvinecopulib (Dißmann et al. 2013).

    Build one with `fit`; asymmetric families may be rotated.
    """

    vine: vines.Vinecop

    @classmethod
    def fit(cls, u: ArrayLike, families: tuple[str, ...] = FAMILIES) -> Self:
        """Choose structure and families by BIC and fit them by maximum likelihood.

        Parameters
        ----------
        u : (n, d)
            Pseudo-observations in (0, 1).
        families : tuple of str
            Names of `FAMILIES`.

        Raises
        ------
        InputError
        """
        points = table("u", u, least=10)
        require((points > 0) & (points < 1), "u", points, "numbers in (0, 1)")
        varying("u", points)
        for name in families:
            if name not in FAMILIES:
                raise unknown("copula family", name, FAMILIES)
        controls = vines.FitControlsVinecop(
            family_set=[getattr(vines.BicopFamily, _CODES[name]) for name in families],
            selection_criterion="bic",
        )
        return cls(vines.Vinecop.from_data(np.asfortranarray(points), controls=controls))

    @property
    def dimension(self) -> int:
        """Number of factors."""
        return int(self.vine.dim)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw (n, d) dependent uniforms."""
        uniforms = np.clip(rng.random((n, self.dimension)), 1e-12, 1 - 1e-12)
        return np.ascontiguousarray(self.vine.inverse_rosenblatt(np.asfortranarray(uniforms)))

    def logpdf(self, u: ArrayLike) -> Floats:
        """Log density at (n, d) points inside the unit cube: (n,)."""
        points = table("u", u, columns=self.dimension)
        require((points > 0) & (points < 1), "u", points, "numbers in (0, 1)")
        return np.log(np.asarray(self.vine.pdf(np.asfortranarray(points)), dtype=np.float64))

    def cdf(self, u: ArrayLike, points_used: int = 100_000) -> Floats:
        """P(U ≤ u) at (n, d) points: (n,), by quasi-random integration to about 1e-3."""
        points = table("u", u, columns=self.dimension)
        require((points >= 0) & (points <= 1), "u", points, "numbers from 0 to 1")
        values = self.vine.cdf(np.asfortranarray(points), points_used, seeds=[1])
        return np.asarray(values, dtype=np.float64)

    def describe(self) -> str:
        """Trees, pairs, families and parameters, one line each."""
        return str(self.vine.format())
