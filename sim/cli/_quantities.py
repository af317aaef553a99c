"""Options that are quantities, as units parses them."""

from __future__ import annotations

from typing import Any, Callable

import click

from sim.units import parse_duration, parse_ratio, percent


class _Quantity(click.ParamType):
    """A number with a unit; `parse` raises ValueError with a message for people."""

    def __init__(self, name: str, parse: Callable[[Any], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _share(text: Any) -> float:
    value = parse_ratio(text)
    if not 0 <= value <= 1:
        raise ValueError(f"must be from 0% to 100%, got {percent(value)}")
    return value


def _level(text: Any) -> float:
    value = parse_ratio(text)
    if not 0.5 <= value < 1:
        hint = f"; write {1 - value:g} for its tail" if 0 < value < 0.5 else ""
        raise ValueError(f"must be from 50% to below 100%, got {percent(value)}{hint}")
    return value


def _span(text: Any) -> int:
    value = parse_duration(text)
    if value <= 0:
        raise ValueError(f"must be at least 1s, got {text}")
    return value


SHARE = _Quantity("ratio", _share)
LEVEL = _Quantity("ratio", _level)
SPAN = _Quantity("duration", _span)
