"""What reaches the chain, when, and what goes wrong on a timetable."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from sim.market.model import MarketModel
from sim.market.paths import Horizon, Paths
from sim.oracle.feeds import FeedUpdate, Oracle
from sim.oracle.model import OracleModel
from sim.streams import Streams

START, STEP, STEPS = 1_583_884_800, 60, 120


def paths(size: float = 0.0, at: int = 3_000) -> Paths:
    """Return two hours in which BTC does nothing and ETH moves by `size` at `at`."""
    model = MarketModel.model_validate(
        {
            "factors": {
                "BTC": {"kind": "constant", "spot": 8000},
                "ETH": {"kind": "constant", "spot": 200, "implied": {"leverage": 0}},
            },
            "expiries": ["1h", "30d"],
            "collateral": {"ETH": {"tracks": "ETH"}},
            "shocks": [{"kind": "gap", "factor": "ETH", "at": at, "size": size}],
        }
    )
    return model.paths(Horizon(steps=STEPS, step=STEP, start=START), Streams(1))


def play(market: Paths, **settings) -> list[list[FeedUpdate]]:
    oracle = Oracle(OracleModel.model_validate(settings), market.at(0), Streams(1), STEP)
    return [oracle.updates(step, market.at(step)) for step in range(STEPS)]


def spots(blocks: list[list[FeedUpdate]], index: int = 1) -> dict[int, list[float]]:
    """Return the spots of a factor that arrived, by step."""
    return {
        step: [u.value for u in block if u.kind == "spot" and u.index == index]
        for step, block in enumerate(blocks)
        if any(u.kind == "spot" and u.index == index for u in block)
    }


def test_everything_is_pushed_at_the_start():
    first = play(paths(), default={"latency": "10m"})[0]
    kinds = [(u.kind, u.index) for u in first]
    assert sorted(set(kinds)) == [
        ("asset", 0),
        ("forward", 0),
        ("forward", 1),
        ("mark", 0),
        ("mark", 1),
        ("rate", 0),
        ("rate", 1),
        ("spot", 0),
        ("spot", 1),
        ("stable", 0),
        ("surface", 0),
        ("surface", 1),
    ]
    assert all(u.time == START and u.confidence == 1.0 for u in first)


def test_a_feed_is_pushed_at_its_heartbeat_or_when_it_deviates():
    blocks = play(paths(-0.02), default={"heartbeat": "1h", "deviation": "1%"})
    assert list(spots(blocks)) == [0, 50, 110]
    assert list(spots(blocks, 0)) == [0, 60]
    quiet = play(paths(-0.02), default={"heartbeat": "1h", "deviation": "3%"})
    assert list(spots(quiet)) == [0, 60]


@pytest.mark.parametrize("latency", ["5m", 300, "5 steps"])
def test_latency_delays_the_arrival_and_keeps_the_time_of_measurement(latency):
    blocks = play(paths(-0.1), default={"heartbeat": "9h", "latency": latency})
    assert spots(blocks) == {0: [200.0], 55: [180.0]}
    assert blocks[55][0].time == START + 3_000


def test_a_feed_has_its_own_policy():
    blocks = play(paths(), default={"heartbeat": "9h"}, ETH={"heartbeat": "30m"})
    assert list(spots(blocks)) == [0, 30, 60, 90]
    assert list(spots(blocks, 0)) == [0]
    vol = play(paths(), default={"heartbeat": "9h"}, **{"ETH.vol": {"heartbeat": "30m"}})
    assert list(spots(vol)) == [0]
    assert any(u.kind == "surface" for u in vol[30])


def test_an_expired_series_is_reported_no_more():
    blocks = play(paths(), default={"heartbeat": "10m", "latency": "5m"})
    for step, block in enumerate(blocks):
        assert all(u.expiry == 0 or u.expiry > START + step * STEP for u in block)


def test_sources_are_noisy_each_on_its_own_and_repeat():
    settings = {"default": {"heartbeat": "1m", "deviation": 0, "noise": "1%", "sources": 3}}
    blocks = play(paths(), **settings)
    assert blocks == play(paths(), **settings)
    values = np.array([[u.value for u in b if u.kind == "spot" and u.index == 1] for b in blocks])
    assert values.shape == (STEPS, 3)
    assert np.std(values / 200) == pytest.approx(0.01, rel=0.2)
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.3


def test_a_vol_has_one_source_however_many_its_prices_have():
    first = play(paths(), default={"sources": 3})[0]
    assert {u.source for u in first if u.kind == "spot"} == {0, 1, 2}
    assert {u.source for u in first if u.kind == "surface"} == {0}


def test_confidence_falls_with_the_size_of_a_move():
    blocks = play(paths(-0.1), default={"confidence": "90%", "widening": 2.0})
    assert blocks[50][0].confidence == pytest.approx(0.7)


EVERY_MINUTE = {"heartbeat": "1m", "deviation": 0}


def fault(kind: str, **settings) -> list[list[FeedUpdate]]:
    one = {"kind": kind, "feed": "ETH", "from": "45m", "for": "10m", **settings}
    policy = {**EVERY_MINUTE, "sources": 2 if "source" in settings else 1}
    return play(paths(-0.1), default=policy, faults=[one])


def test_stuck_sends_the_old_value_with_a_new_time():
    blocks = fault("stuck")
    assert spots(blocks)[54] == [200.0]
    assert blocks[54][0].time == START + 54 * STEP
    assert spots(blocks)[55] == [180.0]


def test_stale_sends_the_old_report_again():
    blocks = fault("stale")
    eth = [u for u in blocks[54] if u.kind == "spot" and u.index == 1]
    assert [(u.value, u.time) for u in eth] == [(200.0, START + 44 * STEP)]


def test_an_outage_sends_nothing():
    seen = spots(fault("outage"))
    assert not set(range(45, 55)) & set(seen)
    assert seen[55] == [180.0]


def test_late_adds_to_latency():
    seen = spots(fault("late", by="20m"))
    assert 45 not in seen
    assert 65 in seen


def test_a_spike_and_wrong_decimals_scale_what_is_reported():
    assert spots(fault("spike", size="-40%"))[46] == [pytest.approx(120.0)]
    assert spots(fault("wrong_decimals", decimals=2))[46] == [20_000.0]
    assert spots(fault("wrong_decimals", decimals=-2))[46] == [2.0]


def test_one_venue_is_one_source():
    assert spots(fault("one_venue", source=1, size="80%"))[46] == [200.0, pytest.approx(360.0)]


def test_out_of_order_arrives_together_the_newest_first():
    blocks = fault("out_of_order")
    assert not set(range(45, 55)) & set(spots(blocks))
    times = [u.time for u in blocks[55] if u.kind == "spot" and u.index == 1]
    assert times[:10] == sorted(times[:10], reverse=True)
    assert len(times) == 11


def test_a_fault_strikes_the_feed_it_names():
    blocks = fault("spike", size="-40%", feed="ETH.vol")
    assert spots(blocks)[46] == [200.0]
    before, during = (
        next(u for u in blocks[step] if u.kind == "surface" and u.index == 1) for step in (44, 46)
    )
    assert during.value == pytest.approx(0.6 * before.value, rel=1e-3)
    assert during.slice is not None
    assert during.slice.rho == before.slice.rho


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"default": {"heartbeat": 0}}, "greater than 0"),
        ({"default": {"latency": "soon"}}, "not a delay"),
        ({"default": {"latencyy": 1}}, "Extra inputs"),
        ({"faults": [{"kind": "late", "feed": "ETH", "from": 0, "for": 1, "by": 0}]}, "above 0"),
        ({"ETH": {"confidence": 2}}, "less than or equal to 1"),
        ({"faults": [{"kind": "melted", "feed": "ETH", "from": 0, "for": 1}]}, "does not match"),
        ({"faults": [{"kind": "stuck", "feed": "ETH", "from": 0}]}, "Field required"),
        (
            {"faults": [{"kind": "one_venue", "feed": "ETH", "from": 0, "for": 1, "size": 1}]},
            "source",
        ),
        (
            {"faults": [{"kind": "spike", "feed": "ETH", "from": 0, "for": 1, "size": -1}]},
            "than -1",
        ),
    ],
)
def test_impossible_oracles_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        OracleModel.model_validate(settings)
