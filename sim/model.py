"""The base of every settings model: unknown keys refused, values fixed once read."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sim.units import parse_duration


class SettingError(ValueError):
    """A setting is wrong that lies below the model which found out.

    Parameters
    ----------
    path
        Keys and indices from that model to the setting.
    message
        What is wrong, and what is allowed.
    """

    def __init__(self, path: tuple[str | int, ...], message: object) -> None:
        super().__init__(str(message))
        self.path = path


class Model(BaseModel):
    """Settings read from a scenario or a rulebook."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Delay(Model):
    """A delay in steps or in time."""

    steps: int = Field(default=0, ge=0)
    seconds: int = Field(default=0, ge=0)

    def over(self, since: int, step: int, interval: int) -> bool:
        """Whether it has passed between two steps of `interval` seconds."""
        return step - since >= self.steps and (step - since) * interval >= self.seconds

    def length(self, interval: int) -> int:
        """Return its seconds, where a step takes `interval` of them."""
        return max(self.steps * interval, self.seconds)


def _delay(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"steps": value}
    if isinstance(value, str):
        match = re.match(r"^\s*(\d+)\s*steps?\s*$", value)
        if match:
            return {"steps": int(match[1])}
        try:
            return {"seconds": parse_duration(value)}
        except ValueError:
            raise ValueError(f"{value!r} is not a delay; write 2 steps or 30s") from None
    return value


def _delay_in_seconds(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return {"seconds": value} if whole else _delay(value)


Latency = Annotated[Delay, BeforeValidator(_delay)]
"""A delay, of which a bare number counts steps."""
Lag = Annotated[Delay, BeforeValidator(_delay_in_seconds)]
"""A delay, of which a bare number counts seconds."""
