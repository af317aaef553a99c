"""Rulebooks: what a venue asks for, as data.

`ScenarioRulebook` mirrors `IScenarioEngine.Rulebook` field by field (PROTOCOL 5), and
`SensitivityRulebook` and `LtvRulebook` are PROTOCOL 6 and 7. Ratios are rounded to WAD (1e-18)
when a model is built, so that the reference computes with the very values that are pushed on chain
(`as_wad`). What other venues compute beyond PROTOCOL 5 is an `Extension`, off chain only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sim.model import Model
from sim.units import from_wad, to_wad

MAX_SCENARIOS = 40
MAX_UNDERLYINGS = 8
MAX_ASSETS = 8


def _rounded(value: float) -> float:
    return from_wad(to_wad(value))


_Number = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_rounded)]
Ratio = Annotated[_Number, Field(ge=0)]
Share = Annotated[_Number, Field(ge=0, le=1)]
AtLeastOne = Annotated[_Number, Field(ge=1)]
Correlations = tuple[tuple[Annotated[_Number, Field(ge=-1, le=1)], ...], ...]
Seconds = Annotated[int, Field(ge=0, lt=2**32)]


class VolMove(IntEnum):
    """What a scenario does to vols; the numbers are those of the chain."""

    UNCHANGED = 0
    UP = 1
    DOWN = 2


def _vol_move(value: Any) -> Any:
    return VolMove[value.upper()] if isinstance(value, str) and value in _VOL_MOVES else value


_VOL_MOVES = tuple(move.name.lower() for move in VolMove)


class _Model(Model):
    def as_wad(self) -> dict[str, Any]:
        """Return the fields as the chain stores them: ratios as WAD integers, matrices flat."""
        return {name: _chain_value(getattr(self, name)) for name in type(self).model_fields}


def _chain_value(value: Any) -> Any:
    match value:
        case _Model():
            return value.as_wad()
        case bool() | str() | None:
            return value
        case int():
            return int(value)
        case float():
            return to_wad(value)
        case [tuple(), *_]:
            return [_chain_value(item) for row in value for item in row]
        case _:
            return [_chain_value(item) for item in value]


class Scenario(_Model):
    """One scenario: spot and forwards times `spot`, vols moved, profit and loss times `weight`."""

    spot: Annotated[Ratio, Field(gt=0)]
    vol: Annotated[VolMove, BeforeValidator(_vol_move)] = VolMove.UNCHANGED
    weight: Ratio = 1.0


class Vol(_Model):
    """Relative vol shocks: range · (30 days / max(t, time_floor)) ^ power (PROTOCOL 5.2)."""

    range_up: Ratio
    range_down: Ratio
    short_power: Ratio = 0.3
    long_power: Ratio = 0.13
    time_floor: Annotated[Seconds, Field(gt=0)] = 86_400
    floor_up: Ratio = 0.0
    floor_down: Ratio = 0.0


class Discount(_Model):
    """Discount of a long expiry value and mark-up of a short one (PROTOCOL 5.3)."""

    use_rate: bool = False
    long_base: Share = 1.0
    long_rate_scale: Ratio = 0.0
    long_rate_add: Ratio = 0.0
    short_base: AtLeastOne = 1.0
    short_rate_scale: Ratio = 0.0
    short_rate_add: Ratio = 0.0


class Basis(_Model):
    """Move of each forward on its own, times add_factor + time_factor · years (PROTOCOL 5.4)."""

    up: AtLeastOne = 1.0
    down: Share = 1.0
    add_factor: Ratio = 0.0
    time_factor: Ratio = 0.0


class Charge(_Model):
    """One rate placed inside the factor (C_in), outside it (C_out), or in initial only (C_im)."""

    inside: Ratio = 0.0
    outside: Ratio = 0.0
    initial: Ratio = 0.0


class Charges(_Model):
    """The charges of PROTOCOL 5.7."""

    naked_short: Charge = Charge()
    perp: Charge = Charge()
    collateral: Charge = Charge()
    concentration: Charge = Charge()
    concentration_threshold: Ratio = 0.0
    confidence_threshold: Share = 0.0
    confidence_factor: Ratio = 0.0
    haircuts: Annotated[tuple[Charge, ...], Field(max_length=MAX_ASSETS)] = ()


class Correlation(_Model):
    """The two correlation matrices and the floor of PROTOCOL 5.6."""

    ids: Annotated[tuple[Annotated[int, Field(ge=0, le=254)], ...], Field(min_length=1)]
    low: Correlations
    high: Correlations
    floor: Share = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        count = len(self.ids)
        if count > MAX_UNDERLYINGS or list(self.ids) != sorted(set(self.ids)):
            raise ValueError(f"ids: at most {MAX_UNDERLYINGS}, ascending, each one once")
        for name, rows in (("low", self.low), ("high", self.high)):
            _check_correlation(name, rows, count)
        return self


def _check_correlation(name: str, rows: Correlations, count: int) -> None:
    if len(rows) != count or any(len(row) != count for row in rows):
        raise ValueError(f"{name}: expected {count} rows of {count} numbers, one for each id")
    matrix = np.array(rows)
    for i, j in np.argwhere(matrix != matrix.T):
        raise ValueError(f"{name}[{i}][{j}] differs from {name}[{j}][{i}]: it must be symmetric")
    for i in np.flatnonzero(matrix.diagonal() != 1):
        raise ValueError(f"{name}[{i}][{i}] = {matrix[i, i]}: the diagonal must be 1")
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -1e-12:
        raise ValueError(
            f"{name}: not positive semidefinite (least eigenvalue {least:.3g}); "
            "sim.reference repairs such matrices"
        )


class Factors(_Model):
    """Scaling of the core requirement (PROTOCOL 5.8) and the cap of 5.10."""

    maintenance: Ratio = 1.0
    initial: Ratio = 1.0
    depeg_threshold: Share = 0.0
    depeg_factor: Ratio = 0.0
    long_only_cap: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.initial < self.maintenance:
            raise ValueError("initial must be at least maintenance")
        return self


class Skew(_Model):
    """Rotation of a smile as in Derive's PMRM_2: vol · max(0, 1 + clamp(k·cap/k*, ±cap)).

    k is ln(K/F), or its absolute value for kind `abs`; cap = cap_base + cap_scale·√t and
    k* = max(width_floor, √t · width_scale · (vol_base + vol_scale·√t)). Each expiry counts as
    a loss whichever way it moves.
    """

    kind: Literal["linear", "abs"]
    weight: Ratio = 1.0
    cap_base: Ratio
    cap_scale: Ratio
    width_floor: Annotated[Ratio, Field(gt=0)]
    width_scale: Ratio
    vol_base: Ratio
    vol_scale: Ratio


class MinimumDelta(_Model):
    """Least initial margin of an underlying by dollar delta (Paradex).

    `hedged` of the smaller of long and short dollar delta, plus `unhedged` of the net.
    """

    hedged: Ratio
    unhedged: Ratio


class Roll(_Model):
    """Charge on calendar spreads (Deribit).

    The dollar delta of each expiry, where another hedges it, times max(annual · years, floor).
    """

    annual: Ratio
    floor: Ratio


class Offset(_Model):
    """Offset across underlyings (Deribit), scenario by scenario.

    Gains of one pay `share` of themselves toward the losses of others, up to `cap` in all.
    """

    share: Share
    cap: Ratio


class Extension(_Model):
    """What other venues compute beyond PROTOCOL 5; rulebooks that use it stay off chain."""

    skew: tuple[Skew, ...] = ()
    minimum_delta: MinimumDelta | None = None
    short_option_minimum: Ratio = 0.0
    roll: Roll | None = None
    offset: Offset | None = None


class _Titled(_Model):
    title: str
    source: str

    @property
    def on_chain(self) -> bool:
        """Whether an engine on chain can hold this rulebook."""
        return True

    def as_wad(self) -> dict[str, Any]:
        """Return the `Rulebook` struct of the engine's interface, in its order."""
        wad = super().as_wad()
        return {name: value for name, value in wad.items() if name not in _OFF_CHAIN}


_OFF_CHAIN = ("kind", "title", "source", "extension")


class ScenarioRulebook(_Titled):
    """Full-revaluation portfolio margin: `IScenarioEngine.Rulebook`."""

    kind: Literal["scenario"]
    scenarios: Annotated[tuple[Scenario, ...], Field(min_length=1, max_length=MAX_SCENARIOS)]
    vol: Vol
    discount: Discount = Discount()
    basis: Basis = Basis()
    charges: Charges = Charges()
    correlation: Correlation
    factors: Factors = Factors()
    extension: Extension | None = None

    @property
    def on_chain(self) -> bool:
        return self.extension is None


class Pair(_Model):
    """A ratio for initial and one for maintenance margin."""

    initial: Ratio
    maintenance: Ratio


class LtvRulebook(_Titled):
    """Static isolated loan-to-value (PROTOCOL 7)."""

    kind: Literal["ltv"]
    collateral: Annotated[tuple[Pair, ...], Field(max_length=MAX_ASSETS)] = ()
    perp: Pair
    short_option: Pair

    @model_validator(mode="after")
    def _check(self) -> Self:
        for asset, pair in enumerate(self.collateral):
            if not pair.initial <= pair.maintenance <= 1:
                raise ValueError(f"collateral[{asset}]: initial ≤ maintenance ≤ 1 is required")
        for name in ("perp", "short_option"):
            pair = getattr(self, name)
            if pair.initial < pair.maintenance:
                raise ValueError(f"{name}: initial must be at least maintenance")
        return self


class SensitivityRulebook(_Titled):
    """Greeks and covariance (PROTOCOL 6)."""

    kind: Literal["sensitivity"]
    multiplier: Ratio
    """z: expected shortfall of a Student t of unit variance, in standard deviations."""
    horizon: Annotated[Seconds, Field(gt=0)]
    buckets: Annotated[tuple[Seconds, ...], Field(max_length=7)]
    """Times to expiry that end a bucket of vegas, ascending; the last bucket has no end."""
    power: Ratio
    """Vegas are scaled by (30 days / max(τ, time_floor)) ^ power."""
    time_floor: Annotated[Seconds, Field(gt=0)] = 86_400
    ids: Annotated[tuple[Annotated[int, Field(ge=0, le=254)], ...], Field(min_length=1)]
    covariance: tuple[tuple[_Number, ...], ...]
    """Per year, of relative moves: spots in the order of `ids`, then their vols."""
    naked_short_minimum: Ratio
    """Least core requirement, of spot, per contract short of longs at the same strike."""
    use_rate: bool = False
    charges: Charges = Charges()
    factors: Factors = Factors()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.ids) != sorted(set(self.ids)) or len(self.ids) > MAX_UNDERLYINGS:
            raise ValueError(f"ids: at most {MAX_UNDERLYINGS}, ascending, each one once")
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError("buckets: must ascend")
        count = 2 * len(self.ids)
        if len(self.covariance) != count or any(len(row) != count for row in self.covariance):
            raise ValueError(f"covariance: expected {count} rows of {count}: spots, then vols")
        matrix = np.array(self.covariance)
        for i, j in np.argwhere(matrix != matrix.T):
            raise ValueError(f"covariance[{i}][{j}] differs from its mirror image")
        least = float(np.linalg.eigvalsh(matrix)[0])
        if least < -1e-12 * max(1.0, float(matrix.diagonal().max())):
            raise ValueError(
                f"covariance: not positive semidefinite (least eigenvalue {least:.3g})"
            )
        half = len(self.ids)
        for i, j in np.argwhere(matrix[half:, half:] < 0):
            raise ValueError(
                f"covariance[{i + half}][{j + half}]: vols must not be negatively correlated, "
                "because their vegas count without a sign"
            )
        return self


Rulebook = ScenarioRulebook | SensitivityRulebook | LtvRulebook
KINDS: dict[str, type[Rulebook]] = {
    "scenario": ScenarioRulebook,
    "sensitivity": SensitivityRulebook,
    "ltv": LtvRulebook,
}
