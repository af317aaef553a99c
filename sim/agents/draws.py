"""Settings drawn from distributions: each agent of a group gets its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal, Mapping

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, model_validator

from sim.market.exact import exp, log, normals, uniforms
from sim.model import Model
from sim.streams import Streams
from sim.units import parse_money, parse_ratio, quote_of

Scalar = bool | int | float | str


def quantity(value: Any, info: ValidationInfo) -> Any:
    """Read `5%`, `30bp`, `500k USDC` and numbers; anything else is an error."""
    text = str(value).strip()
    return parse_ratio(value) if text.endswith(("%", "bp")) else parse_money(value, quote_of(info))


Quantity = Annotated[float, BeforeValidator(quantity)]


class _Continuous(Model):
    """A distribution of numbers, cut to [min, max]."""

    min: Quantity | None = None
    """Smaller draws become this."""
    max: Quantity | None = None
    """Larger draws become this."""

    def draw(self, rng: np.random.Generator) -> float:
        """Return one number."""
        value = self._draw(rng)
        if self.min is not None:
            value = max(value, self.min)
        return value if self.max is None else min(value, self.max)

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> float: ...

    @model_validator(mode="after")
    def _ordered(self) -> _Continuous:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Uniform(_Continuous):
    """Evenly between `min` and `max`."""

    dist: Literal["uniform"]
    min: Quantity
    max: Quantity

    def _draw(self, rng: np.random.Generator) -> float:
        return self.min + (self.max - self.min) * float(uniforms(rng, 1)[0])


class Normal(_Continuous):
    """Normal with a mean and a standard deviation."""

    dist: Literal["normal"]
    mean: Quantity
    sd: Quantity = Field(ge=0)

    def _draw(self, rng: np.random.Generator) -> float:
        return self.mean + self.sd * float(normals(rng, 1)[0])


class Lognormal(_Continuous):
    """Lognormal with this mean and standard deviation of the number itself, not of its log."""

    dist: Literal["lognormal"]
    mean: Quantity = Field(gt=0)
    sd: Quantity = Field(ge=0)

    def _draw(self, rng: np.random.Generator) -> float:
        ratio = self.sd / self.mean
        variance = float(log(1.0 + ratio * ratio))
        z = float(normals(rng, 1)[0])
        return self.mean * float(exp(float(np.sqrt(variance)) * z - 0.5 * variance))


class Pareto(_Continuous):
    """Pareto: P(X > x) = (least/x)^tail above `least`, for wealth."""

    dist: Literal["pareto"]
    least: Quantity = Field(gt=0)
    tail: float = Field(gt=0)

    def _draw(self, rng: np.random.Generator) -> float:
        u = float(uniforms(rng, 1)[0])
        return self.least * float(exp(-log(u) / self.tail))


class Choice(Model):
    """One of `of`, evenly or by `weights`."""

    dist: Literal["choice"]
    of: tuple[Scalar, ...] = Field(min_length=1)
    """What there is to choose from."""
    weights: tuple[float, ...] | None = None
    """Relative weight of each; even unless given."""

    def draw(self, rng: np.random.Generator) -> Scalar:
        """Return one element."""
        weights = self.weights or (1.0,) * len(self.of)
        left = float(uniforms(rng, 1)[0]) * sum(weights)
        for element, weight in zip(self.of, weights, strict=True):
            left -= weight
            if left < 0.0:
                return element
        return self.of[-1]

    @model_validator(mode="after")
    def _weighted(self) -> Choice:
        if self.weights is not None:
            if len(self.weights) != len(self.of):
                raise ValueError(f"{len(self.weights)} weights for {len(self.of)} elements of `of`")
            if min(self.weights) < 0.0 or sum(self.weights) <= 0.0:
                raise ValueError("weights: numbers of at least 0, not all of them 0")
        return self


Distribution = Annotated[
    Uniform | Normal | Lognormal | Pareto | Choice, Field(discriminator="dist")
]


def _tag_of(value: Any) -> str:
    drawn = isinstance(value, Model) or (isinstance(value, Mapping) and "dist" in value)
    return "drawn" if drawn else "plain"


Setting = Annotated[
    Annotated[Distribution, Tag("drawn")] | Annotated[Any, Tag("plain")],
    Discriminator(_tag_of),
]
"""A setting of an agent: a value, or a distribution that every agent of a group draws from."""


def is_drawn(setting: Any) -> bool:
    """Whether a setting is a distribution."""
    return isinstance(setting, (_Continuous, Choice))


def drawn(settings: Mapping[str, Any], name: str, streams: Streams) -> dict[str, Any]:
    """Return settings with every distribution replaced by a draw.

    The stream of a draw is named by the agent and the setting: another setting moves none.
    """
    return {
        key: value.draw(streams.at(f"agent/{name}/{key}")) if is_drawn(value) else value
        for key, value in settings.items()
    }
