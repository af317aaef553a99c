"""What a market did: the arrays that a run plays back, and one instant of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sim.market.exact import Array, exp
from sim.market.impact import Impact
from sim.market.surface import Implied
from sim.model import Model, SettingError
from sim.reference.book import NO_UNDERLYING, Assets, Expiries, Market, Underlyings
from sim.units import YEAR, Duration, Time, utc

STEPS_MAX = 1_000_000
TIME_MAX = 2**32
"""Unix seconds from which on times do not fit the 32 bits that the chain has for them."""


class Horizon(Model):
    """When a scenario plays: `steps` blocks, one every `step`, the first at `start`."""

    steps: int = Field(gt=0, le=STEPS_MAX)
    """Number of blocks."""
    step: Duration = Field(gt=0)
    """Time between blocks."""
    start: Time = Field(gt=0, lt=TIME_MAX)
    """Time of the first block."""

    @model_validator(mode="after")
    def _in_time(self) -> Horizon:
        if self.start + self.length >= TIME_MAX:
            raise SettingError(
                ("steps",), f"the last block would be after {utc(TIME_MAX - 1)}: times have 32 bits"
            )
        return self

    @property
    def length(self) -> int:
        """Seconds from the first block to the last."""
        return self.step * (self.steps - 1)

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """(steps,) unix seconds of the blocks."""
        return np.asarray(self.start + self.step * np.arange(self.steps, dtype=np.int64))

    @property
    def years(self) -> float:
        """Length of a step in years."""
        return self.step / YEAR


@dataclass(frozen=True, eq=False)
class Paths:
    """The market of a whole run, before any feedback.

    Underlying u of the chain is `factors[u]`, collateral asset a is `assets[a]`.

    Parameters
    ----------
    times : (T,) int
        Unix seconds of each step.
    factors : F names
    spot : (T, F) float
        USD.
    premium : (T, F) float
        Mark of the perp over spot, less 1.
    level : (T, F) float
        Short-dated implied vol, annualised.
    listed : (T, F) bool
        Whether the factor still trades; a delisted one stays at its last price.
    rate : (T,) float
        Continuously compounded, per year.
    stable : (T,) float
        USD price of the quote stablecoin.
    assets : A names
    tracks : A ints
        Factor that the asset moves with, or `NO_UNDERLYING`.
    ratio : (T, A) float
        USD price of an asset over its factor's spot, or its price if it moves with none.
    expiries : (E,) int
        Unix seconds, ascending.
    theta : (T, F, E) float
        At-the-money total variance; nan from the expiry on, and for a factor without options.
    implied : F models
        Shape of each factor's smile.
    impact : model, optional
        How liquidated volume moves the spots away from these.
    """

    times: npt.NDArray[np.int64]
    factors: tuple[str, ...]
    spot: Array
    premium: Array
    level: Array
    listed: npt.NDArray[np.bool_]
    rate: Array
    stable: Array
    assets: tuple[str, ...]
    tracks: tuple[int, ...]
    ratio: Array
    expiries: npt.NDArray[np.int64]
    theta: Array
    implied: tuple[Implied, ...]
    impact: Impact | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, arrays and smiles: equal paths have equal digests."""
        total = sha256()
        total.update(repr((self.factors, self.assets, self.tracks)).encode())
        for implied in self.implied:
            total.update(implied.model_dump_json().encode())
        for name in ("times", "spot", "premium", "level", "listed", "rate", "stable", "ratio"):
            total.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        total.update(np.ascontiguousarray(self.expiries).tobytes())
        total.update(np.ascontiguousarray(np.nan_to_num(self.theta, nan=-1.0)).tobytes())
        return total.hexdigest()

    def at(self, step: int, moves: Array | None = None) -> Market:
        """Return the true market at a step.

        Parameters
        ----------
        step
            From 0.
        moves : (F,) float
            By how much feedback has moved the log of each spot away from the path. Vol follows by
            the leverage of the factor's smile, collateral by its ratio.
        """
        time = int(self.times[step])
        moved = np.zeros(len(self.factors)) if moves is None else moves
        spot = self.spot[step] * exp(moved)
        rate = float(self.rate[step])
        live = [np.flatnonzero(np.isfinite(theta)) for theta in self.theta[step]]
        left = [(self.expiries[rows] - time).astype(np.float64) for rows in live]
        forwards, slices = [], []
        for u, implied in enumerate(self.implied):
            leverage = implied.leverage if implied.dynamics == "leverage" else 0.0
            lift = float(exp(-2.0 * leverage * moved[u]))
            forwards.append(spot[u] * exp(rate * left[u] / YEAR))
            slices.append(implied.slices(self.theta[step, u, live[u]] * lift))
        price = np.array(
            [
                self.ratio[step, a] * (1.0 if f == NO_UNDERLYING else spot[f])
                for a, f in enumerate(self.tracks)
            ]
        )
        return Market(
            time=time,
            underlyings=Underlyings(
                id=np.arange(len(self.factors)),
                name=self.factors,
                spot=spot,
                mark=spot * (1.0 + self.premium[step]),
            ),
            expiries=Expiries(
                underlying=np.repeat(np.arange(len(live)), [rows.size for rows in live]),
                time=self.expiries[np.concatenate(live)],
                forward_variable=np.concatenate(forwards),
                rate=rate,
                tau=np.concatenate(left),
                **{
                    key: np.concatenate([getattr(piece, key) for piece in slices])
                    for key in ("a", "b", "rho", "m", "sigma")
                },
            ),
            assets=Assets(
                id=np.arange(len(self.assets)),
                name=self.assets,
                price=price,
                underlying=np.array(self.tracks, dtype=np.int64),
            ),
            stable=float(self.stable[step]),
        )
