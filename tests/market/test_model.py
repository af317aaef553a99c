"""The whole market: dependence, shocks, snapshots, feedback, and the golden digest."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from sim.market.dependence import cholesky, innovations
from sim.market.impact import Feedback
from sim.market.model import MarketModel
from sim.market.paths import Horizon, Paths
from sim.reference import black76
from sim.streams import Streams
from sim.units import YEAR

HORIZON = Horizon(steps=97, step=900, start=1_583_884_800)
NAMES = ("BTC", "ETH", "SOL")


def market(**settings) -> MarketModel:
    base = {
        "factors": {
            "BTC": {"kind": "gbm", "spot": 8000, "vol": "60%"},
            "ETH": {"kind": "gbm", "spot": 200, "vol": "80%"},
        },
        "expiries": ["12h", "30d"],
        "collateral": {"ETH": {"tracks": "ETH"}, "GOLD": {"ratio": 1600}},
        "rate": "2%",
    }
    return MarketModel.model_validate({**base, **settings})


def paths(seed: int = 1, horizon: Horizon = HORIZON, **settings) -> Paths:
    return market(**settings).paths(horizon, Streams(seed))


def test_independent_factors_keep_their_own_draws():
    alone = innovations(("BTC",), 50, None, np.zeros(50), Streams(1))
    both = innovations(NAMES, 50, None, np.zeros(50), Streams(1))
    assert alone[:, 0].tobytes() == both[:, 0].tobytes()


@pytest.mark.parametrize(
    "kind", [{"kind": "gaussian_copula"}, {"kind": "t_copula"}, {"kind": "t_copula", "dof": 2.5}]
)
def test_a_copula_keeps_uniform_margins_and_its_rank_correlation(kind):
    corr = {"ETH-BTC": 0.8, "SOL-BTC": 0.3, "ETH-SOL": 0.5}
    dependence = market(dependence={**kind, "corr": {"ETH-BTC": 0.8}}).dependence
    assert dependence is not None
    dependence = dependence.model_copy(update={"corr": corr})
    u = innovations(NAMES, 20_000, dependence, np.zeros(20_000), Streams(4))
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    tau = stats.kendalltau(u[:5_000, 0], u[:5_000, 1]).statistic
    assert tau == pytest.approx(2 / np.pi * np.arcsin(0.8), abs=0.02)


def test_a_t_copula_has_tails_that_the_normal_one_lacks():
    together = {}
    for kind in ("gaussian_copula", "t_copula"):
        dependence = market(dependence={"kind": kind, "corr": {"ETH-BTC": 0.5}}).dependence
        u = innovations(("BTC", "ETH"), 60_000, dependence, np.zeros(60_000), Streams(4))
        together[kind] = float(np.mean((u < 0.005).all(axis=1)))
    assert together["t_copula"] > 1.5 * together["gaussian_copula"]


def test_correlations_of_one_are_allowed_and_impossible_ones_refused():
    np.testing.assert_allclose(cholesky(np.ones((3, 3))), [[1, 0, 0], [1, 0, 0], [1, 0, 0]])
    impossible = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1.0]])
    with pytest.raises(ValueError, match="cannot hold together"):
        cholesky(impossible)


def test_cholesky_agrees_with_lapack():
    a = np.random.default_rng(0).normal(size=(6, 9))
    matrix = a @ a.T
    np.testing.assert_allclose(cholesky(matrix), np.linalg.cholesky(matrix), rtol=1e-10)


def test_a_correlation_shock_moves_factors_together():
    shock = {"kind": "correlation", "at": 0, "size": 1.0}
    r = np.diff(np.log(paths(shocks=[shock]).spot), axis=0)
    assert np.corrcoef(r.T)[0, 1] == pytest.approx(1.0, abs=1e-6)
    free = np.diff(np.log(paths().spot), axis=0)
    assert abs(np.corrcoef(free.T)[0, 1]) < 0.4


def test_a_gap_moves_its_factor_at_its_time_and_comes_back_if_held():
    gap = {"kind": "gap", "factor": "ETH", "at": "3h", "size": "-30%", "over": "30m"}
    calm, shocked = paths(), paths(shocks=[gap])
    back = paths(shocks=[{**gap, "hold": "1h", "recover": "1h"}])
    ratio, wick = shocked.spot / calm.spot, back.spot / calm.spot
    assert np.all(ratio[:, 0] == 1.0)
    np.testing.assert_allclose(ratio[[11, 12, 13, 14, 96], 1], [1, 1, np.sqrt(0.7), 0.7, 0.7])
    np.testing.assert_allclose(wick[[14, 18, 20, 22, 40], 1], [0.7, 0.7, np.sqrt(0.7), 1, 1])
    assert shocked.level[14, 1] > 1.5 * calm.level[14, 1]


def test_vol_depeg_premium_and_rate_shocks_move_what_they_name():
    calm = paths()
    hit = paths(
        shocks=[
            {"kind": "vol", "factor": "all", "at": "2h", "size": "100%"},
            {"kind": "depeg", "asset": "stable", "at": "2h", "size": "-10%", "hold": "1h"},
            {"kind": "depeg", "asset": "GOLD", "at": "2h", "size": "-50%"},
            {"kind": "premium", "factor": "BTC", "at": "2h", "size": "3%"},
            {"kind": "rate", "at": "2h", "size": "5%"},
        ]
    )
    assert hit.spot.tobytes() == calm.spot.tobytes()
    np.testing.assert_allclose(hit.level[8] / calm.level[8], 2.0)
    assert hit.stable[[7, 8, 11, 12]].tolist() == [1.0, 0.9, 0.9, 1.0]
    assert hit.at(8).assets.price[1] == 800.0
    assert hit.premium[8].tolist() == [0.03, 0.0]
    assert hit.rate[8] == pytest.approx(0.07)


def test_a_snapshot_is_a_market_that_the_reference_can_price():
    now = paths().at(10)
    assert now.underlyings.name == ("BTC", "ETH")
    assert now.assets.price.tolist() == [now.underlyings.spot[1], 1600.0]
    table = now.expiries
    years = (table.time - now.time) / YEAR
    np.testing.assert_allclose(
        table.forward, now.underlyings.spot[[0, 0, 1, 1]] * np.exp(0.02 * years)
    )
    vol = np.sqrt((table.a + table.b * np.sqrt(table.m**2 + table.sigma**2)) / years)
    assert np.all(np.isfinite(black76(table.forward, table.forward, years, vol, True).price))


def test_an_expiry_leaves_the_snapshot_when_it_comes_and_hours_are_whole():
    p = paths(expiries=["11h", "30d"])
    assert np.all(p.expiries % 3_600 == 0)
    before, after = p.at(43), p.at(44)
    assert (before.expiries.time.size, after.expiries.time.size) == (4, 2)


def test_a_factor_without_options_has_no_expiries():
    factors = {
        "BTC": {"kind": "gbm", "spot": 8000, "vol": "60%"},
        "ETH": {"kind": "gbm", "spot": 200, "vol": "80%", "options": False},
    }
    assert set(paths(factors=factors).at(0).expiries.underlying.tolist()) == {0}


def test_feedback_moves_the_snapshot_and_fades():
    p = paths(impact={"daily_volume": "100m", "permanent": "25%", "halflife": "15m"})
    feedback = Feedback(p)
    feedback.advance(3, {1: -4e6})
    daily = p.level[3, 1] * np.sqrt(1 / 365)
    first = -daily * np.sqrt(0.04)
    np.testing.assert_allclose(feedback.moves, [0.0, first])
    moved, calm = p.at(4, feedback.moves), p.at(4)
    assert moved.underlyings.spot[1] == pytest.approx(calm.underlyings.spot[1] * np.exp(first))
    assert moved.assets.price[0] == moved.underlyings.spot[1]
    assert moved.expiries.a[2] > calm.expiries.a[2]
    feedback.advance(4, {})
    np.testing.assert_allclose(feedback.moves[1], first * (0.25 + 0.75 * 0.5))


def test_feedback_is_bounded_and_absent_without_a_model():
    bounded = Feedback(paths(impact={"daily_volume": 1.0, "cap": 0.4}))
    bounded.advance(1, {0: 1e12})
    assert bounded.moves[0] == 0.4
    none = Feedback(paths())
    none.advance(1, {0: 1e12})
    assert not none.moves.any()


def test_the_digest_is_of_everything_and_repeats():
    assert paths().digest == paths().digest
    assert len({paths().digest, paths(2).digest, paths(rate="3%").digest}) == 3


def test_the_paths_are_those_they_always_were():
    settings = {
        "factors": {
            "BTC": {"kind": "garch_t", "spot": 8000, "vol": "60%"},
            "ETH": {
                "kind": "merton",
                "spot": 200,
                "vol": "80%",
                "jumps": {"rate": "900/y", "mean": "-3%", "std": "2%"},
                "implied": {"vol_of_vol": "200%"},
            },
        },
        "dependence": {"kind": "t_copula", "dof": 4, "corr": {"ETH-BTC": 0.85}},
    }
    assert paths(7, **settings).digest == GOLDEN


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"collateral": {"X": {"tracks": "DOGE"}}}, "unknown factor 'DOGE'"),
        ({"expiries": [0]}, "not a time after the start"),
        ({"shocks": [{"kind": "gap", "at": 0, "factor": "X", "size": 0.1}]}, "unknown factor 'X'"),
        ({"shocks": [{"kind": "gap", "at": 0, "factor": "BTC", "size": -1}]}, "greater than -1"),
        ({"shocks": [{"kind": "depeg", "at": 0, "asset": "X", "size": -0.1}]}, "unknown asset 'X'"),
        ({"dependence": {"kind": "t_copula", "corr": {"A-B": 0.1}}}, "unknown pair"),
        ({"dependence": {"kind": "t_copula", "dof": 0}}, "greater than or equal to 1"),
        ({"impact": {"volumes": {"X": 1}}}, "unknown factor 'X'"),
        ({"factors": {}}, "at least 1"),
        ({"spread": 1}, "Extra inputs"),
    ],
)
def test_impossible_markets_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        market(**settings)


GOLDEN = "35f2bc4721468bfd7ae08222c5696ca8e46438ef750cdf26a0a7f5bd35e59cf8"
