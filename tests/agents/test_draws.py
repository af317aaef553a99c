"""Settings drawn from distributions."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from sim.agents.draws import Setting, drawn, is_drawn
from sim.streams import Streams

SETTING = TypeAdapter(Setting)


def sample(count: int = 4_000, **distribution) -> np.ndarray:
    settings = {"x": SETTING.validate_python(distribution)}
    return np.array([drawn(settings, f"a#{i}", Streams(2))["x"] for i in range(count)])


def test_moments_are_those_of_the_number_itself():
    lognormal = sample(dist="lognormal", mean=3, sd=1.2)
    assert lognormal.mean() == pytest.approx(3, rel=0.05)
    assert lognormal.std() == pytest.approx(1.2, rel=0.1)
    normal = sample(dist="normal", mean="5%", sd="1%")
    assert (normal.mean(), normal.std()) == (pytest.approx(0.05, 0.02), pytest.approx(0.01, 0.05))
    assert np.median(sample(dist="pareto", least="10k USDC", tail=1)) == pytest.approx(20e3, 0.1)


def test_draws_stay_within_their_bounds():
    cut = sample(dist="lognormal", mean=3, sd=3, min=2, max=4)
    assert (cut.min(), cut.max()) == (2, 4)
    even = sample(dist="uniform", min=1, max=2)
    assert 1 < even.min() < 1.01 < 1.99 < even.max() < 2


def test_choice_follows_its_weights():
    found = sample(dist="choice", of=["ETH", "BTC"], weights=[3, 1])
    assert np.mean(found == "ETH") == pytest.approx(0.75, abs=0.03)


def test_a_setting_draws_from_a_stream_of_its_own():
    one = {"x": SETTING.validate_python({"dist": "uniform", "min": 0, "max": 1})}
    two = {**one, "y": SETTING.validate_python({"dist": "uniform", "min": 0, "max": 1})}
    assert drawn(one, "a", Streams(1))["x"] == drawn(two, "a", Streams(1))["x"]
    assert drawn(two, "a", Streams(1))["x"] != drawn(two, "a", Streams(1))["y"]


def test_plain_settings_stay_as_they_are():
    assert SETTING.validate_python({"not": "a distribution"}) == {"not": "a distribution"}
    assert not is_drawn("5%")


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        ({"dist": "lognormal", "mean": -1, "sd": 1}, "greater than 0"),
        ({"dist": "uniform", "min": 2, "max": 1}, "min 2 is above max 1"),
        ({"dist": "choice", "of": [1, 2], "weights": [1]}, "1 weights for 2 elements"),
        ({"dist": "choice", "of": []}, "at least 1"),
        ({"dist": "normal", "mean": "much", "sd": 1}, "not an amount"),
        ({"dist": "cauchy"}, "does not match any of the expected tags"),
    ],
)
def test_impossible_distributions_are_refused(distribution, message):
    with pytest.raises(ValidationError, match=message):
        SETTING.validate_python(distribution)
