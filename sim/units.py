"""Quantities: parsed, printed, and the only place where floats meet chain integers.

Chain integers are WAD (1e18 = 1). Prices, sizes, strikes and marks are multiples of the quantum
1e-9. A float stands for the shortest decimal that reads back as it, which is what people wrote
(98 % is 980000000000000000), and is rounded once, as stated: the same float gives the same integer
on every machine.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction
from math import floor, isnan, log10
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ValidationInfo

WAD: Final = 10**18
QUANTUM: Final = 10**9
YEAR: Final = 31_536_000
QUOTE: Final = "USDC"

_TIME_UNITS: Final = {
    "s": 1,
    "m": 60,
    "min": 60,
    "h": 3_600,
    "d": 86_400,
    "w": 604_800,
    "y": YEAR,
}
_LARGE: Final = ((1e9, "bn"), (1e6, "m"), (1e3, "k"))
_SCALES: Final = {"": 1, "k": 10**3, "m": 10**6, "bn": 10**9}
_NUMBER: Final = r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_PERCENT: Final = re.compile(rf"^({_NUMBER})\s*(%|bp)$")
_DURATION: Final = re.compile(rf"^({_NUMBER})\s*(s|min|m|h|d|w|y)$")
_MONEY: Final = re.compile(rf"^({_NUMBER})\s*(bn|m|k)?\s*([A-Z][A-Z0-9]{{1,9}})?$")
_RATE: Final = re.compile(rf"^({_NUMBER})\s*/\s*(h|d|w|y)$")


def to_wad(value: float | int | Fraction) -> int:
    """Return `value` in WAD, rounded half to even."""
    return round(_exact(value) * WAD)


def to_quanta(value: float | int | Fraction) -> int:
    """Return `value` in WAD, rounded half to even to a multiple of 1e-9."""
    return round(_exact(value) * QUANTUM) * (WAD // QUANTUM)


def from_wad(value: int) -> float:
    """Return the float nearest to a WAD integer."""
    return value / WAD


def to_token(value: float | int | Fraction, decimals: int) -> int:
    """Return `value` in units of a token, rounded toward zero."""
    return int(_exact(value) * 10**decimals)


def _exact(value: float | int | Fraction) -> Fraction:
    try:
        return Fraction(repr(float(value)) if isinstance(value, float) else value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{value!r} is not a finite number") from error


def parse_ratio(text: Any) -> float:
    """Parse `5%`, `30bp` or a plain number into a fraction of one."""
    if _is_number(text):
        return float(text)
    match = _PERCENT.match(str(text).strip())
    if match:
        return _finite(Fraction(_plain(match[1])) / (100 if match[2] == "%" else 10_000), text)
    return _number(text, "a ratio such as 5%, 30bp or 0.05")


def parse_duration(text: Any) -> int:
    """Parse `90s`, `15m`, `2h`, `3d`, `1w`, `1y` or whole seconds into seconds."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = _DURATION.match(str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration; write 90s, 15m, 2h, 3d, 1w or 1y")
    seconds = Fraction(_plain(match[1])) * _TIME_UNITS[match[2]]
    if seconds.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of seconds")
    return int(seconds)


def parse_money(text: Any, quote: str = QUOTE) -> float:
    """Parse `500k USDC`, `2.5m`, `1bn USD` or a plain number into units of the quote currency."""
    if _is_number(text):
        return float(text)
    match = _MONEY.match(str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is not an amount; write 500k {quote}, 2.5m or 1000")
    if match[3] not in (None, "USD", quote):
        raise ValueError(f"{text!r} is in {match[3]}; amounts are in {quote}")
    return _finite(Fraction(_plain(match[1])) * _SCALES[match[2] or ""], text)


def quote_of(info: ValidationInfo) -> str:
    """Return the currency of amounts where a model is validated: `quote` of the context."""
    return str((info.context or {}).get("quote", QUOTE))


def parse_rate(text: Any) -> float:
    """Parse `12/y`, `1/d` or a plain yearly number into events a year."""
    if _is_number(text):
        return float(text)
    match = _RATE.match(str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is not a rate; write 12/y, 1/d or 0.5/h")
    return _finite(Fraction(_plain(match[1])) * YEAR / _TIME_UNITS[match[2]], text)


def parse_time(text: Any) -> int:
    """Parse an ISO 8601 UTC time (`2020-03-11T00:00:00Z`) or unix seconds into unix seconds."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    if isinstance(text, datetime):
        moment = text
    else:
        try:
            moment = datetime.fromisoformat(str(text).strip().replace("Z", "+00:00"))
        except ValueError:
            raise ValueError(f"{text!r} is not a time; write 2020-03-11T00:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = moment.timestamp()
    if seconds != int(seconds):
        raise ValueError(f"{text!r} is not a whole second")
    return int(seconds)


Ratio = Annotated[float, BeforeValidator(parse_ratio)]
Duration = Annotated[int, BeforeValidator(parse_duration)]
Money = Annotated[float, BeforeValidator(lambda text, info: parse_money(text, quote_of(info)))]
Rate = Annotated[float, BeforeValidator(parse_rate)]
Time = Annotated[int, BeforeValidator(parse_time)]


def money(value: float, unit: str = "") -> str:
    """Print an amount for people: three significant digits and a scale from 10,000 up."""
    if isnan(value):
        return "unknown"
    if abs(value) >= 1e4:
        # Rounded first: 999,999 is 1m, not 1000k.
        value = float(f"{value:.2e}")
        scale, suffix = next((s, x) for s, x in _LARGE if abs(value) >= s)
        digits = max(2 - floor(log10(abs(value) / scale)), 0)
        whole, point, rest = f"{value / scale:,.{digits}f}".partition(".")
        text = whole + (point + rest).rstrip("0").rstrip(".") + suffix
    else:
        value = round(value, 2) + 0.0  # no -0
        text = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
    return f"{text} {unit}".strip()


def percent(value: float, digits: int = 1) -> str:
    """Print a ratio as a percentage."""
    return f"{100 * value:.{digits}f} %"


def duration(seconds: float) -> str:
    """Print a span of time for people."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def utc(seconds: int) -> str:
    """Print unix seconds as UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(value: Fraction, text: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{text!r} is too large") from None


def _plain(text: str) -> str:
    return text.replace("_", "").rstrip(".")


def _number(text: Any, expected: str) -> float:
    try:
        return float(_plain(str(text).strip()))
    except ValueError:
        raise ValueError(f"{text!r} is not {expected}") from None
