"""Recorded bars become four steps an hour; bad files are refused by line."""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import InputError
from sim.market.history import locate, read_recording, read_series, shipped

HEADER = "hour_utc,asset,low,high,close\n"


def recording(tmp_path, rows: str):
    path = tmp_path / "bars.csv"
    path.write_text(HEADER + rows)
    return read_recording(path)


def test_an_hour_is_open_low_high_close_in_the_order_of_the_leading_asset(tmp_path):
    bars = recording(
        tmp_path,
        "2020-01-01T00:00Z,BTC,90,110,100\n"
        "2020-01-01T00:00Z,ETH,9,11,10\n"
        "2020-01-01T01:00Z,BTC,95,120,115\n"
        "2020-01-01T01:00Z,ETH,8,12,9\n",
    )
    times, btc, alive = bars.quarters("BTC")
    assert np.diff(times).tolist() == [900] * 7
    # The first hour opens at its own close, so it did not close up: high before low.
    assert btc.tolist() == [100, 110, 90, 100, 100, 95, 120, 115]
    # ETH closed down in the second hour, but BTC closed up: its low comes first all the same.
    assert bars.quarters("ETH")[1].tolist() == [10, 11, 9, 10, 10, 8, 12, 9]
    assert alive.all()


def test_an_asset_that_ends_early_is_delisted_at_its_last_close(tmp_path):
    bars = recording(
        tmp_path,
        "2020-01-01T00:00Z,BTC,90,110,100\n"
        "2020-01-01T00:00Z,LUNA,1,3,2\n"
        "2020-01-01T01:00Z,BTC,95,120,115\n",
    )
    _, prices, alive = bars.quarters("LUNA")
    assert prices.tolist() == [2, 3, 1, 2, 2, 2, 2, 2]
    assert alive.tolist() == [True] * 4 + [False] * 4


@pytest.mark.parametrize("name", shipped())
def test_shipped_recordings_hold_the_crash_they_are_named_for(name):
    bars = read_recording(locate(name)).bars
    btc = bars["BTC"]
    assert btc.hours.size >= 97
    assert btc.low.min() < 0.85 * btc.high.max()


def test_black_thursday_reaches_its_recorded_extremes():
    bars = read_recording(locate("2020-03-black-thursday"))
    _, btc, _ = bars.quarters("BTC")
    _, eth, _ = bars.quarters("ETH")
    assert (btc.size, btc.max(), btc.min(), eth.min()) == (388, 7980.0, 3782.0, 86.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2020-01-01T00:00Z,BTC,90,110,120\n", r"csv:2: low 90 ≤ close 120 ≤ high 110"),
        ("2020-01-01T00:00Z,BTC,0,110,100\n", r"csv:2: low 0 is not a price above 0"),
        ("2020-01-01T00:00Z,BTC,x,110,100\n", r"csv:2: low 'x' is not a number"),
        ("2020-13-01T00:00Z,BTC,90,110,100\n", r"csv:2: .*is not a time"),
        ("2020-01-01T00:00Z,BTC,90\n", r"csv:2: too few columns"),
        (
            "2020-01-01T00:00Z,BTC,90,110,100\n2020-01-01T02:00Z,BTC,90,110,100\n",
            r"csv:3: BTC: the hour before is missing",
        ),
        ("", "no bars"),
    ],
)
def test_bad_bars_are_refused_by_line(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        recording(tmp_path, rows)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("time,eth\n1,2\n")
    with pytest.raises(InputError, match=r"prices.csv:1: no column BTC \(found: time, eth\)"):
        read_series(path, "BTC")


def test_a_series_reads_both_kinds_of_time(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("time,ETH\n1577836800,10\n2020-01-01T00:01:00Z,11\n")
    times, prices = read_series(path, "ETH")
    assert (times.tolist(), prices.tolist()) == ([1577836800, 1577836860], [10.0, 11.0])


def test_an_unknown_recording_names_the_nearest():
    with pytest.raises(InputError, match="did you mean '2022-05-luna'"):
        locate("2022-luna")
