"""`plimsoll calibrate` and `plimsoll backtest` from the outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from sim.cli import main
from sim.cli._prices import read_prices
from sim.errors import InputError

LUNA = "2022-05-luna"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """Daily closes of two assets, with a hole in one of them."""
    rng = np.random.default_rng(0)
    moves = 0.03 * rng.standard_t(4, (400, 2))
    moves[:, 1] += moves[:, 0]
    closes = 100 * np.exp(np.cumsum(moves, axis=0))
    lines = ["time,asset,close"]
    for day, row in enumerate(closes):
        for asset, close in zip(("AAA", "BBB"), row, strict=True):
            if asset == "AAA" or day != 200:
                lines.append(f"{1_600_000_000 + 86_400 * day},{asset},{close}")
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_calibrate_as_json(capsys: pytest.CaptureFixture[str], prices: Path) -> None:
    status, out, err = run(capsys, "calibrate", str(prices), "--json")
    assert (status, err) == (0, "")
    found = orjson.loads(out)
    assert found["interval_seconds"] == 86_400
    assert found["gaps"] == 1
    assert found["times_left_out"] == 1
    assert found["returns"] == 397
    first = found["assets"]["AAA"]
    annual = first["volatility"]["volatility"]
    true = 0.03 * np.sqrt(2 * 365)
    assert abs(annual["value"] - true) < 4 * annual["standard_error"] + 0.1 * true
    assert abs(first["student"]["dof"]["value"] - 4) < 4 * first["student"]["dof"]["standard_error"]
    assert first["warnings"]
    assert found["dependence"][0]["aic"] <= found["dependence"][-1]["aic"]
    assert found["factors"]["explained"][0] > 0.5


def test_calibrate_prints_tables_and_a_plot(
    capsys: pytest.CaptureFixture[str], prices: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "fit.png"
    status, out, _ = run(capsys, "calibrate", str(prices), "--plot", str(plot))
    assert status == 0
    for word in ("AAA", "BBB", "std. error", "p-value", "factor of", "copula", "explained"):
        assert word in out
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_backtest_of_a_recording(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plot = tmp_path / "var.svg"
    status, out, err = run(
        capsys,
        *("backtest", LUNA, "--asset", "ETH", "--window", "100", "--json", "--plot", str(plot)),
    )
    assert (status, err) == (0, "")
    found = orjson.loads(out)
    assert found["forecasts"] == 104
    normal = found["models"]["normal"]
    assert normal["traffic_light"]["zone"] == "red"
    assert "kupiec" in normal["rejected_by"]
    assert 0 < normal["kupiec"]["power"] < 0.3
    assert "<svg" in plot.read_text()


def test_backtest_takes_the_first_asset_for_its_whole_life(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = run(capsys, "backtest", LUNA, "--model", "ewma_normal", "--json")
    found = orjson.loads(out)
    assert found["asset"] == "BTC"
    assert found["forecasts"] + found["window"] == 204


def test_backtest_checks(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["backtest", LUNA, "--model", "normal", "--window", "100"]
    assert run(capsys, *arguments)[0] == 0
    assert run(capsys, *arguments, "--check")[0] == 1


def test_backtest_table(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "backtest", LUNA, "--side", "short", "--model", "historical")
    assert status == 0
    for word in ("historical", "short", "power", "clusters p"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backtest", "2022-05-lunar"), "did you mean '2022-05-luna'"),
        (("backtest", LUNA, "--asset", "DOGE"), "DOGE"),
        (("backtest", LUNA, "--model", "norml"), "did you mean 'normal'"),
        (("backtest", LUNA, "--level", "0.01"), "write 0.99"),
        (("backtest", LUNA, "--window", "300"), "at least 302"),
        (("backtest", LUNA, "--plot", "x.gif"), ".png"),
        (("calibrate", LUNA, "--plot", "/nowhere/x.png"), "folder"),
        (("calibrate", "missing.csv"), "missing.csv"),
    ],
)
def test_bad_input_exits_with_two(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column time, close"),
        ("time,price\n1,2\n", "no column close"),
        ("time,close\n", "no prices"),
        ("time,close\n1,10\n2,ten\n3,10\n", ":3: "),
        ("time,close\n1,10\n2,-1\n3,10\n", ":3: close -1"),
        ("time,close\n1,10\n2,nan\n3,10\n", ":3: close nan"),
        ("time,close\n1,10\n1,11\n3,10\n", "not after"),
        ("time,close\n1,10\nyesterday,11\n", ":3: "),
        ("time,close\n1,10\n2\n", ":3: too few columns"),
        ("time,asset,close\n1,A,10\n2,B,11\n3,A,10\n", "times in common"),
    ],
)
def test_bad_files_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_prices(str(path))
