"""Recorded bars and the user's own price files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import isfinite
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.errors import InputError, unknown
from sim.market.exact import Array
from sim.units import parse_time

HOUR = 3_600
QUARTER = 900
COLUMNS = ("hour_utc", "asset", "low", "high", "close")


@dataclass(frozen=True, eq=False)
class Bars:
    """Hourly bars of one asset.

    Parameters
    ----------
    hours : (n,) int
        Start of each bar, unix seconds, one an hour.
    low, high, close : (n,) float
        US dollars.
    """

    hours: npt.NDArray[np.int64]
    low: Array
    high: Array
    close: Array


@dataclass(frozen=True, eq=False)
class Recording:
    """The bars of one event.

    Parameters
    ----------
    name
        Shipped name or path.
    bars
        By asset.
    """

    name: str
    bars: dict[str, Bars]

    def quarters(self, asset: str) -> tuple[npt.NDArray[np.int64], Array, npt.NDArray[np.bool_]]:
        """Return times, prices and whether the asset still trades, four times an hour.

        The hours are those of the recording's leading asset (BTC, or the first of the file). An
        hour opens at the close of the hour before (the first one at its own close), then come its
        low and high, then its close; the low first if the leading asset closed up, else the high
        first: one order for all assets. An asset that ends early stays at its last close, delisted.
        """
        if asset not in self.bars:
            raise unknown(f"asset in the recording {self.name}", asset, self.bars)
        leader = self.bars.get("BTC") or next(iter(self.bars.values()))
        bars = self.bars[asset]
        opens = np.concatenate((leader.close[:1], leader.close[:-1]))
        up = leader.close > opens
        hours = leader.hours.size
        alive = np.isin(leader.hours, bars.hours)
        last = int(np.flatnonzero(alive)[-1])
        prices = np.full((hours, 4), bars.close[-1])
        n = last + 1
        prices[:n, 0] = np.concatenate((bars.close[:1], bars.close[:-1]))
        prices[:n, 1] = np.where(up[:n], bars.low, bars.high)
        prices[:n, 2] = np.where(up[:n], bars.high, bars.low)
        prices[:n, 3] = bars.close
        times = (leader.hours[:, None] + QUARTER * np.arange(4)).ravel()
        return times, prices.ravel(), np.repeat(np.arange(hours) < n, 4)


def shipped() -> list[str]:
    """Return the names of the recordings that come with the package."""
    folder = files("sim") / "history"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".csv") for name in names if name.endswith(".csv"))


def locate(name: str, folder: Path | None = None) -> Path:
    """Return the file of a shipped recording or of a path, which may be relative to `folder`."""
    if name in shipped():
        return Path(str(files("sim") / "history" / f"{name}.csv"))
    path = (folder or Path.cwd()) / Path(name).expanduser()
    if not path.is_file():
        if "/" in name or "." in name:
            raise InputError(f"no price file {name!r} ({path} does not exist)")
        raise unknown("recording", name, shipped())
    return path


@lru_cache(maxsize=32)
def read_recording(path: Path) -> Recording:
    """Read hourly bars; refuse gaps, repeats, unordered hours and impossible prices."""
    rows: dict[str, list[tuple[int, float, float, float]]] = {}
    for line, row in _rows(path, COLUMNS):
        where = f"{path}:{line}"
        hour = _time(where, row["hour_utc"])
        low, high, close = (_price(where, key, row[key]) for key in ("low", "high", "close"))
        if not low <= close <= high:
            raise InputError(
                f"{where}: low {low:g} ≤ close {close:g} ≤ high {high:g} does not hold"
            )
        series = rows.setdefault(row["asset"], [])
        if series and hour != series[-1][0] + HOUR:
            raise InputError(f"{where}: {row['asset']}: the hour before is missing or repeated")
        series.append((hour, low, high, close))
    if not rows:
        raise InputError(f"{path}: no bars")
    bars = {}
    for asset, series in rows.items():
        table = np.array([values[1:] for values in series])
        hours = np.array([values[0] for values in series], dtype=np.int64)
        bars[asset] = Bars(hours, table[:, 0], table[:, 1], table[:, 2])
    leader = bars.get("BTC") or next(iter(bars.values()))
    for asset, series_bars in bars.items():
        if series_bars.hours[0] != leader.hours[0] or series_bars.hours.size > leader.hours.size:
            raise InputError(f"{path}: {asset} must begin with the leading asset and end no later")
    return Recording(path.stem, bars)


@lru_cache(maxsize=32)
def read_series(path: Path, column: str) -> tuple[npt.NDArray[np.int64], Array]:
    """Read a column `column` of prices against a column `time` (ISO 8601 or unix seconds)."""
    times: list[int] = []
    prices: list[float] = []
    for line, row in _rows(path, ("time", column)):
        where = f"{path}:{line}"
        text = row["time"]
        time = int(text) if text.isdigit() else _time(where, text)
        if times and time <= times[-1]:
            raise InputError(f"{where}: time {text} is not after the line before")
        times.append(time)
        prices.append(_price(where, column, row[column]))
    if not times:
        raise InputError(f"{path}: no prices")
    return np.array(times, dtype=np.int64), np.array(prices)


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise InputError(f"{path}:1: no column {', '.join(missing)} (found: {found})")
            rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file: {error.reason}") from None
    for line, row in rows:
        if any(row[name] is None for name in columns):
            raise InputError(f"{path}:{line}: too few columns")
    return rows


def _time(where: str, text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _price(where: str, column: str, text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        raise InputError(f"{where}: {column} {text!r} is not a number") from None
    if not (isfinite(price) and price > 0.0):
        raise InputError(f"{where}: {column} {text} is not a price above 0")
    return price
