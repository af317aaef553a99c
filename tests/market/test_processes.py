"""Processes: what they are in law, that they repeat, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from sim.errors import InputError
from sim.market.exact import uniforms
from sim.market.paths import Horizon
from sim.market.processes import Factor, Track
from sim.streams import Streams
from sim.units import YEAR

START = 1_583_884_800
DAY = Horizon(steps=20_001, step=3_600, start=START)
FACTOR = TypeAdapter(Factor)


def simulate(seed: int = 1, horizon: Horizon = DAY, context=None, **settings) -> Track:
    factor = FACTOR.validate_python(settings, context=context)
    streams = Streams(seed)
    u = uniforms(streams.at("market/X"), horizon.steps - 1)
    return factor.simulate("X", horizon, u, streams)


def returns(track: Track) -> np.ndarray:
    return np.diff(np.log(track.spot))


SYNTHETIC = {
    "gbm": {"vol": "60%"},
    "merton": {"vol": "60%", "jumps": {"rate": "200/y", "mean": "-2%", "std": "3%"}},
    "heston": {"vol": "60%", "vol_of_vol": 1.0},
    "garch_t": {"vol": "60%", "dof": 5},
    "ou": {"vol": "60%", "reversion": "50/y"},
    "regimes": {
        "regimes": [{"vol": "30%", "stay": "3d"}, {"vol": "150%", "stay": "1d"}],
    },
}


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_a_process_starts_at_its_spot_stays_positive_and_repeats(kind):
    one, two = (simulate(kind=kind, spot=100, **SYNTHETIC[kind]) for _ in range(2))
    other = simulate(2, kind=kind, spot=100, **SYNTHETIC[kind])
    assert one.spot[0] == 100.0
    assert np.all(one.spot > 0)
    assert np.all(one.vol > 0)
    assert one.spot.tobytes() == two.spot.tobytes()
    assert one.spot.tobytes() != other.spot.tobytes()


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_a_longer_horizon_changes_nothing_before(kind):
    short = Horizon(steps=500, step=3_600, start=START)
    long = simulate(kind=kind, spot=100, **SYNTHETIC[kind])
    part = simulate(horizon=short, kind=kind, spot=100, **SYNTHETIC[kind])
    assert long.spot[:500].tobytes() == part.spot.tobytes()


def test_gbm_returns_are_normal_with_the_stated_vol():
    r = returns(simulate(kind="gbm", spot=100, vol=0.6))
    dt = 3_600 / YEAR
    standard = (r + 0.5 * 0.36 * dt) / (0.6 * np.sqrt(dt))
    assert stats.kstest(standard, "norm").pvalue > 1e-3


def test_merton_jumps_as_often_and_as_far_as_stated():
    track = simulate(
        kind="merton", spot=100, vol=0.2, jumps={"rate": 400, "mean": -0.1, "std": 0.01}
    )
    jumps = returns(track) < -0.05
    expected = 400 * 20_000 * 3_600 / YEAR
    assert abs(jumps.sum() - expected) < 4 * np.sqrt(expected)
    assert abs(returns(track)[jumps].mean() + 0.1) < 0.01


def test_heston_reverts_to_its_long_vol_and_leans_against_the_spot():
    track = simulate(
        kind="heston", spot=100, vol=0.3, long_vol=0.9, reversion=20, vol_of_vol=2, corr=-0.8
    )
    assert abs(np.mean(track.vol[5_000:] ** 2) - 0.81) < 0.15
    lean = np.corrcoef(returns(track), np.diff(track.vol**2))[0, 1]
    assert lean == pytest.approx(-0.8, abs=0.05)


def test_garch_clusters_and_keeps_its_long_vol():
    track = simulate(kind="garch_t", spot=100, vol=0.6, alpha=0.1, beta=0.85, dof=6)
    r = returns(track)
    assert np.std(r) * np.sqrt(YEAR / 3_600) == pytest.approx(0.6, rel=0.15)
    assert np.corrcoef(r[1:] ** 2, r[:-1] ** 2)[0, 1] > 0.05
    assert stats.kurtosis(r) > 1


def test_ou_has_its_stationary_spread():
    x = np.log(simulate(kind="ou", spot=100, vol=0.6, reversion=200).spot / 100)
    assert np.std(x[1_000:]) == pytest.approx(0.6 / np.sqrt(400), rel=0.1)


def test_regimes_stay_as_long_as_stated():
    track = simulate(kind="regimes", spot=100, **SYNTHETIC["regimes"])
    assert np.mean(track.vol == 0.3) == pytest.approx(0.75, abs=0.06)


def recorded(step: int, steps: int, **settings) -> Track:
    horizon = Horizon(steps=steps, step=step, start=START)
    return simulate(
        horizon=horizon, kind="recorded", file="2020-03-black-thursday", asset="BTC", **settings
    )


def test_a_bridge_passes_through_the_recorded_prices_and_stays_inside_the_bar():
    anchors, fine = recorded(900, 388), recorded(60, 388 * 15)
    assert fine.spot[::15].tobytes() == anchors.spot.tobytes()
    hours = anchors.spot.reshape(-1, 4)
    low, high = np.repeat(hours.min(1), 60), np.repeat(hours.max(1), 60)
    assert np.all(fine.spot >= low * (1 - 1e-12))
    assert np.all(fine.spot <= high * (1 + 1e-12))
    assert np.std(np.diff(np.log(fine.spot[:60]))) > 0


def test_a_recording_can_be_scaled_to_another_spot():
    assert recorded(900, 10, spot=91_000).spot[0] == 91_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 700, "steps": 10}, "does not divide a quarter of an hour"),
        ({"step": 900, "steps": 400}, "leaves the recording"),
    ],
)
def test_a_recording_refuses_a_horizon_it_does_not_cover(settings, message):
    with pytest.raises(InputError, match=message):
        recorded(**settings)


def test_the_bootstrap_draws_the_same_blocks_for_factors_of_one_recording():
    horizon = Horizon(steps=2_000, step=900, start=START)
    settings = {"kind": "block_bootstrap", "file": "2020-03-black-thursday", "spot": 100}
    btc, eth = (simulate(horizon=horizon, asset=a, **settings) for a in ("BTC", "ETH"))
    assert np.corrcoef(returns(btc), returns(eth))[0, 1] > 0.8
    original = recorded(900, 388)
    kurtosis = stats.kurtosis(returns(btc))
    assert kurtosis == pytest.approx(stats.kurtosis(returns(original)), rel=0.6)


def test_a_csv_holds_its_last_known_price(tmp_path):
    (tmp_path / "mine.csv").write_text(f"time,X\n{START},10\n{START + 100},11\n{START + 300},12\n")
    horizon = Horizon(steps=6, step=60, start=START)
    track = simulate(horizon=horizon, context={"folder": tmp_path}, kind="csv", file="mine.csv")
    assert track.spot.tolist() == [10, 10, 11, 11, 11, 12]
    with pytest.raises(InputError, match=r"leaves the prices of mine\.csv"):
        simulate(
            horizon=Horizon(steps=7, step=60, start=START),
            context={"folder": tmp_path},
            kind="csv",
            file="mine.csv",
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "gbm", "spot": 100, "vol": "-5%"}, "greater than 0"),
        ({"kind": "gbm", "spot": 0, "vol": "5%"}, "greater than 0"),
        ({"kind": "garch_t", "spot": 1, "vol": 1, "alpha": 0.5, "beta": 0.5}, "must be below 1"),
        ({"kind": "garch_t", "spot": 1, "vol": 1, "dof": 2}, "greater than 2"),
        ({"kind": "csv", "file": "absent.csv"}, "no price file 'absent.csv'"),
        ({"kind": "brownian", "spot": 1}, "does not match any of the expected tags"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        FACTOR.validate_python(settings)
