"""Implied volatility: one arbitrage-free surface a factor and step, and how it moves.

The surface is SSVI (Gatheral and Jacquier, "Arbitrage-free SVI volatility surfaces", 2014): total
variance at log-moneyness k = ln(K/F) of an expiry with at-the-money total variance θ is

    w(k) = θ/2 · (1 + ρφk + √((φk + ρ)² + 1 − ρ²)),   φ(θ) = η / √(θ(1 + θ)).

With η(1 + |ρ|) ≤ 2 and θ not falling with the expiry it has neither butterfly nor calendar-spread
arbitrage (their theorems 4.1 and 4.2). Every dynamics below therefore only moves θ, and keeps it
increasing in time.

At the money the forward variance reverts from the short level σ_t to the long one σ̄:

    θ(τ) = σ̄²τ + (σ_t² − σ̄²)(1 − e^(−κτ))/κ.

The short level moves as σ_t = σ₀ · (process vol_t / process vol_0) · e^(x_t), within bounds,

    x_{t+1} = 2^(−Δ/halflife) x_t − λ ln(S_{t+1}/S_t) + ξ√Δ z  (+ vol shocks):

λ is the leverage effect (vol rises as the spot falls), ξ the vol of vol.

- `leverage` and `sticky_delta`: the smile moves with the forward; `sticky_delta` has λ = 0.
- `sticky_strike`: λ = 0 and θ is read off the smile anchored at the first spot, at the strike that
  is now at the money, w(ln(S_t/S_0)): the vol of that strike is unchanged. w at a fixed strike does
  not fall with the expiry either, so the re-centred surface stays free of arbitrage.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sim.market.exact import Array, exp, log, normals
from sim.model import Model
from sim.reference.book import Expiries
from sim.streams import Streams
from sim.units import YEAR, Duration, Rate, Ratio


class Implied(Model):
    """Implied volatility of a factor."""

    level: Ratio | None = Field(default=None, gt=0, le=10)
    """Short-dated vol at the start; the factor's `vol` unless given."""
    long: Ratio | None = Field(default=None, gt=0, le=10)
    """Vol that the term structure ends at; `level` unless given."""
    reversion: Rate = Field(default=8.0, gt=0)
    """How fast forward variance goes from short to long, per year."""
    skew: float = Field(default=-0.3, gt=-1, lt=1)
    """ρ of SSVI."""
    curvature: float = Field(default=0.8, gt=0)
    """η of SSVI."""
    dynamics: Literal["leverage", "sticky_delta", "sticky_strike"] = "leverage"
    leverage: float = Field(default=1.5, ge=0)
    """λ: rise of the log of vol per unit fall of the log of spot."""
    vol_of_vol: Ratio = Field(default=0.0, ge=0)
    """ξ: annualised, of the log of vol."""
    halflife: Duration = Field(default=5 * 86_400, gt=0)
    """Time in which a shock to the log of vol halves."""
    floor: Ratio = Field(default=0.1, gt=0)
    cap: Ratio = Field(default=4.0, gt=0, le=10)

    @model_validator(mode="after")
    def _free_of_arbitrage(self) -> Implied:
        if self.curvature * (1.0 + abs(self.skew)) > 2.0:
            raise ValueError(
                f"curvature·(1 + |skew|) is {self.curvature * (1.0 + abs(self.skew)):g}; "
                "above 2 the surface has arbitrage"
            )
        if self.floor > self.cap:
            raise ValueError(f"floor {self.floor:g} is above cap {self.cap:g}")
        return self

    def levels(
        self,
        name: str,
        start: float,
        spot: Array,
        process_vol: Array,
        shifts: Array,
        seconds: int,
        streams: Streams,
    ) -> Array:
        """Return the short-dated vol at each step.

        Parameters
        ----------
        name
            Of the factor: it names the random stream.
        start
            Short-dated vol at step 0 (`level`, or the factor's own).
        spot, process_vol : (steps,) float
            Of the factor.
        shifts : (steps,) float
            Shocks to the log of vol that enter at each step.
        seconds
            Length of a step.
        """
        leverage = self.leverage if self.dynamics == "leverage" else 0.0
        returns = np.diff(log(spot))
        keep = float(exp(-float(log(2.0)) * seconds / self.halflife))
        noise = np.zeros(spot.size - 1)
        if self.vol_of_vol > 0.0:
            scale = self.vol_of_vol * float(np.sqrt(seconds / YEAR))
            noise = scale * normals(streams.at(f"market/{name}/vol"), spot.size - 1)
        x = np.empty(spot.size)
        x[0] = shifts[0]
        for t in range(spot.size - 1):
            x[t + 1] = keep * x[t] - leverage * returns[t] + noise[t] + shifts[t + 1]
        level = start * (process_vol / process_vol[0]) * exp(x)
        return np.asarray(np.minimum(np.maximum(level, self.floor), self.cap))

    def total_variance(self, start: float, level: Array, moneyness: Array, years: Array) -> Array:
        """Return θ, shape (steps, expiries); nan where an expiry has passed.

        Parameters
        ----------
        start
            Short-dated vol at step 0, the long one where `long` is not given.
        level : (steps,) float
            Short-dated vol.
        moneyness : (steps,) float
            ln(S_t/S_0).
        years : (steps, expiries) float
            Time to expiry.
        """
        long = self.long or start
        live = years > 0.0
        tau = np.where(live, years, 1.0)
        mean = (1.0 - exp(-self.reversion * tau)) / self.reversion
        theta = long * long * tau + (level * level - long * long)[:, None] * mean
        if self.dynamics == "sticky_strike":
            theta = self.slices(theta).variance(moneyness[:, None])
        return np.where(live, theta, np.nan)

    def slices(self, theta: Array) -> Slices:
        """Return the raw SVI slices of at-the-money total variances (of any shape)."""
        rho = self.skew
        phi = self.curvature / np.sqrt(theta * (1.0 + theta))
        return Slices(
            a=0.5 * theta * (1.0 - rho * rho),
            b=0.5 * theta * phi,
            rho=np.full_like(theta, rho),
            m=-rho / phi,
            sigma=np.sqrt(1.0 - rho * rho) / phi,
        )


@dataclass(frozen=True, eq=False)
class Slices:
    """Raw SVI, w(k) = a + b(ρ(k − m) + √((k − m)² + σ²)); arrays of one shape."""

    a: Array
    b: Array
    rho: Array
    m: Array
    sigma: Array

    @classmethod
    def of(cls, expiries: Expiries, rows: npt.NDArray[np.int64]) -> Slices:
        """Return the slices of some rows of a market's expiries."""
        return cls(
            *(np.asarray(getattr(expiries, f.name), dtype=np.float64)[rows] for f in fields(cls))
        )

    def variance(self, k: Array) -> Array:
        """Total variance at log-moneyness k (broadcasting)."""
        d = k - self.m
        return np.asarray(
            self.a + self.b * (self.rho * d + np.sqrt(d * d + self.sigma * self.sigma))
        )
