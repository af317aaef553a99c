"""Price files of `calibrate` and `backtest`: one close per time and asset."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.errors import InputError, unknown
from sim.marked import shown
from sim.market.history import COLUMNS, locate, read_recording
from sim.reference.calibration import log_returns
from sim.units import YEAR, parse_time

Array = npt.NDArray[np.float64]
_LEAST_TIMES = 3


@dataclass(frozen=True, eq=False)
class Prices:
    """Closes of k assets at the n times they have in common.

    Attributes
    ----------
    name : str
    assets : tuple of str
    times : (n,) int
        Unix seconds.
    closes : (n, k)
    interval : int
        Seconds between rows, the most frequent distance.
    left_out : int
        Times at which not every asset has a price.
    """

    name: str
    assets: tuple[str, ...]
    times: npt.NDArray[np.int64]
    closes: Array
    interval: int
    left_out: int

    @property
    def years(self) -> float:
        """Length of one interval."""
        return self.interval / YEAR

    @property
    def adjacent(self) -> npt.NDArray[np.bool_]:
        """(n - 1,) whether a row follows the one before it after exactly one interval."""
        return np.asarray(np.diff(self.times) == self.interval)

    @property
    def returns(self) -> Array:
        """Log returns between adjacent rows: at most n - 1 rows; none spans a gap."""
        return np.asarray(log_returns(self.closes)[self.adjacent])


def read_prices(name: str, assets: tuple[str, ...] = (), only_first: bool = False) -> Prices:
    """Read a shipped recording, or a CSV file with columns time, close and, if several, asset.

    Times are ISO 8601 or unix seconds. `assets` chooses and orders; by default all as they come, or
    the first of the file.
    """
    path = locate(name)
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        header = next(csv.reader(file), [])
    if set(COLUMNS) <= set(header):
        recording = read_recording(path)
        series = {
            asset: dict(zip(bars.hours.tolist(), bars.close.tolist(), strict=True))
            for asset, bars in recording.bars.items()
        }
    else:
        series = _read_closes(path, header)
    for asset in assets:
        if asset not in series:
            raise unknown(f"asset in {path.name}", asset, series)
    chosen = tuple(dict.fromkeys(assets)) or tuple(series)[: 1 if only_first else None]
    held = [set(series[asset]) for asset in chosen]
    times = sorted(set.intersection(*held))
    if len(times) < _LEAST_TIMES:
        raise InputError(
            f"{shown(path)}: {len(times)} times in common of {', '.join(chosen)}, "
            f"at least {_LEAST_TIMES} are needed"
        )
    distances, counts = np.unique(np.diff(times), return_counts=True)
    closes = np.array([[series[asset][time] for asset in chosen] for time in times])
    return Prices(
        path.stem,
        chosen,
        np.array(times, np.int64),
        closes,
        int(distances[counts.argmax()]),
        len(set.union(*held)) - len(times),
    )


def _read_closes(path: Path, header: list[str]) -> dict[str, dict[int, float]]:
    missing = [column for column in ("time", "close") if column not in header]
    if missing:
        found = ", ".join(header) or "none"
        raise InputError(f"{shown(path)}:1:1: no column {', '.join(missing)} (found: {found})")
    series: dict[str, dict[int, float]] = {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        for row in reader:
            where = f"{shown(path)}:{reader.line_num}"
            text, price, asset = row["time"], row["close"], row.get("asset") or path.stem
            if text is None or price is None:
                raise InputError(f"{where}: too few columns")
            try:
                time = int(text) if text.isdigit() else parse_time(text)
                close = float(price)
            except ValueError as error:
                raise InputError(f"{where}: {error}") from None
            if not (isfinite(close) and close > 0):
                raise InputError(f"{where}: close {price} is not a price above 0")
            closes = series.setdefault(asset, {})
            if closes and time <= next(reversed(closes)):
                raise InputError(f"{where}: time {text} of {asset} is not after the one before")
            closes[time] = close
    if not series:
        raise InputError(f"{shown(path)}: no prices")
    return series
