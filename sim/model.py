"""The base of every settings model: unknown keys refused, values fixed once read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


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
