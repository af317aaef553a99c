"""Backtests against the recorded vectors, published critical values, enumeration and simulation."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sim.errors import InputError
from sim.reference.backtests import (
    MODELS,
    acerbi_szekely_z1,
    acerbi_szekely_z2,
    christoffersen,
    christoffersen_power,
    kupiec_pof,
    kupiec_power,
    rolling_backtest,
    traffic_light,
    traffic_light_odds,
)
from sim.reference.risk_measures import normal_tail
from sim.reference.student import StudentT

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "var_backtests.json").read_text())["cases"]
NORMAL = normal_tail(0.975)


def of(test: str) -> list:
    return [pytest.param(c, id=c["id"]) for c in CASES if c["test"] == test]


@pytest.mark.parametrize("case", of("kupiec_pof"))
def test_kupiec(case: dict) -> None:
    found = kupiec_pof(case["failures"], case["observations"], case["var_level"])
    expected = case["expected"]
    assert found.statistic == pytest.approx(expected["LR"], abs=case["tolerance_abs"])
    if "p_value" in expected:
        assert found.p_value == pytest.approx(expected["p_value"], abs=case["tolerance_abs"])
    if "reject_at_5pct" in expected:
        assert found.rejected(0.05) is expected["reject_at_5pct"]


@pytest.mark.parametrize("case", of("kupiec_nonrejection_region_95"))
def test_kupiec_regions(case: dict) -> None:
    n, level = case["observations"], 1 - case["p"]
    kept = [x for x in range(n + 1) if not kupiec_pof(x, n, level).rejected()]
    assert kept[0] - 1 == case["expected"]["strictly_above"]
    assert kept[-1] + 1 == case["expected"]["strictly_below"]
    assert kept == list(range(kept[0], kept[-1] + 1))


def test_kupiec_at_the_ends() -> None:
    """None in 255 at 1 % rejects by the formula, although tables print N < 7 (quant.md)."""
    assert kupiec_pof(0, 255, 0.99).statistic == pytest.approx(5.13, abs=5e-3)
    assert kupiec_pof(0, 255, 0.99).rejected()
    assert kupiec_pof(10, 10, 0.9).statistic == pytest.approx(-20 * np.log(0.1))
    assert kupiec_pof(1, 10, 0.9).statistic == pytest.approx(0, abs=1e-12)


def transitions_to_series(n00: int, n01: int, n10: int, n11: int) -> list[int]:
    """Build a series that begins and ends without an exception and has these transitions."""
    assert n01 == n10
    runs = [[1, 0]] * (n01 - 1) + [[1] * (n11 + 1) + [0]]
    series = [0] + [state for run in runs for state in run]
    return series + [0] * n00


@pytest.mark.parametrize("case", of("conditional_coverage"))
def test_christoffersen(case: dict) -> None:
    series = transitions_to_series(*(case[key] for key in ("N00", "N01", "N10", "N11")))
    assert len(series) == case["observations"]
    assert sum(series) == case["failures"]
    found = christoffersen(series, case["var_level"])
    assert found.transitions == ((case["N00"], case["N01"]), (case["N10"], case["N11"]))
    tolerance = case["tolerance_abs"]
    assert found.statistic == pytest.approx(case["expected"]["LR"], abs=tolerance)
    assert found.p_value == pytest.approx(case["expected"]["p_value"], abs=tolerance)
    assert found.statistic == found.coverage.statistic + found.independence.statistic


def test_christoffersen_without_and_with_clusters() -> None:
    none = christoffersen([False] * 250, 0.99)
    assert none.independence.statistic == 0
    assert none.statistic == pytest.approx(kupiec_pof(0, 250, 0.99).statistic)
    every = christoffersen([1] * 20, 0.95)
    assert every.independence.statistic == 0
    spread = christoffersen(([0] * 24 + [1]) * 10, 0.96)
    bunched = christoffersen([0] * 240 + [1] * 10, 0.96)
    assert spread.coverage.statistic == bunched.coverage.statistic
    assert spread.independence.p_value > 0.1
    assert bunched.independence.p_value < 1e-6


@pytest.mark.parametrize("case", of("basel_traffic_light"))
def test_traffic_light(case: dict) -> None:
    found = traffic_light(case["exceptions"], case["observations"], case["var_level"])
    expected = case["expected"]
    assert found.zone == expected["zone"]
    assert 100 * found.cumulative_probability == pytest.approx(
        expected["cumulative_probability_pct"],
        abs=case["tolerance_abs"]["cumulative_probability_pct"],
    )
    assert found.plus_factor == pytest.approx(expected["plus_factor_1996"])
    assert found.multiplier == pytest.approx(expected["multiplier_1996"])
    assert found.multiplier_mar99 == pytest.approx(expected["multiplier_MAR99"])


@pytest.mark.parametrize("case", of("basel_zone_start"))
def test_zone_starts(case: dict) -> None:
    zones = [
        traffic_light(x, case["observations"], case["var_level"]).zone
        for x in range(case["observations"] + 1)
    ]
    assert zones.index("yellow") == case["expected"]["yellow_starts"]
    assert zones.index("red") == case["expected"]["red_starts"]


def test_basel_factors_belong_to_their_design() -> None:
    assert traffic_light(4).zone == "green"
    assert traffic_light(10).multiplier == 4
    assert traffic_light(10).multiplier_mar99 == 2
    assert np.isnan(traffic_light(5, 500, 0.99).plus_factor)
    assert np.isnan(traffic_light(5, 250, 0.975).multiplier)


def test_weakness_is_as_known() -> None:
    """Figures of quant.md section 6."""
    assert 1 - traffic_light_odds(250, 0.99, 0.01)["green"] == pytest.approx(0.108, abs=5e-4)
    assert traffic_light_odds(250, 0.99, 0.02)["green"] == pytest.approx(0.44, abs=5e-3)
    assert traffic_light_odds(250, 0.99, 0.03)["green"] == pytest.approx(0.128, abs=5e-4)
    assert sum(traffic_light_odds(250, 0.99, 0.03).values()) == pytest.approx(1)
    assert traffic_light(3).power() == pytest.approx(0.56, abs=5e-3)


def test_kupiec_power_is_the_binomial_sum() -> None:
    counts = np.arange(101)
    rejected = np.array([kupiec_pof(int(x), 100, 0.95).rejected() for x in counts])
    for rate in (0.05, 0.1, 0.0):
        expected = stats.binom.pmf(counts, 100, rate)[rejected].sum()
        assert kupiec_power(100, 0.95, rate) == pytest.approx(expected, abs=1e-12)
    assert kupiec_pof(3, 100, 0.95).power() == pytest.approx(kupiec_power(100, 0.95, 0.1))


@pytest.mark.parametrize(("rate", "repeat"), [(0.1, None), (0.2, 0.5), (0.3, 0.05)])
def test_christoffersen_power_is_the_sum_over_all_sequences(
    rate: float, repeat: float | None
) -> None:
    n, level = 11, 0.9
    stay = rate if repeat is None else repeat
    start = rate * (1 - stay) / (1 - rate)
    total = 0.0
    for sequence in product((0, 1), repeat=n):
        if not christoffersen(sequence, level).rejected():
            continue
        probability = rate if sequence[0] else 1 - rate
        for a, b in pairwise(sequence):
            hit = stay if a else start
            probability *= hit if b else 1 - hit
        total += probability
    assert christoffersen_power(n, level, rate, repeat) == pytest.approx(total, abs=1e-10)


def test_christoffersen_power_of_a_year_by_simulation() -> None:
    rng = np.random.default_rng(0)
    stay, rate, n, runs = 0.3, 0.02, 250, 1500
    start = rate * (1 - stay) / (1 - rate)
    hits = np.empty((runs, n), dtype=bool)
    hits[:, 0] = rng.random(runs) < rate
    for t in range(1, n):
        hits[:, t] = rng.random(runs) < np.where(hits[:, t - 1], stay, start)
    share = np.mean([christoffersen(row, 0.99).rejected() for row in hits])
    assert christoffersen_power(n, 0.99, rate, stay) == pytest.approx(share, abs=0.05)
    assert christoffersen(hits[0], 0.99).power() < 0.2  # what a year can see of a doubled rate


def test_published_critical_values() -> None:
    """Acerbi and Székely (2014), 250 days at 97.5 %: -0.70 normal, -0.82 for t3; 0.01 %: -1.8."""
    losses = np.zeros(250)
    for dof, critical, extreme in ((np.inf, -0.70, -1.8), (100, -0.70, -1.8), (3, -0.82, -4.4)):
        z2 = acerbi_szekely_z2(losses, NORMAL.value_at_risk, NORMAL.expected_shortfall, 0.975, dof)
        assert z2.critical_value() == pytest.approx(critical, abs=6e-3)
        assert z2.critical_value(1e-4) == pytest.approx(extreme, abs=0.15)


def test_z2_by_hand() -> None:
    losses = [1.0, -1.0, 3.0, 6.0, 0.5, 2.0, 0.0, 0.0, 0.0, 0.0]
    z2 = acerbi_szekely_z2(losses, 2.0, 4.0, 0.9)
    assert z2 == pytest.approx(1 - (3 / 4 + 6 / 4) / (10 * 0.1))
    assert z2.statistic == float(z2)
    assert z2.exceptions == 2
    z1 = acerbi_szekely_z1(losses, 2.0, 4.0, 0.9)
    assert z1 == pytest.approx(1 - (3 / 4 + 6 / 4) / 2)
    varying = acerbi_szekely_z2(losses, [2.0] * 10, np.linspace(4, 5, 10), 0.9)
    assert varying > z2
    copied = pickle.loads(pickle.dumps(z2))
    assert (copied, copied.p_value) == (z2, z2.p_value)


def test_no_exceptions() -> None:
    z2 = acerbi_szekely_z2([0.0] * 50, 1.0, 2.0, 0.99)
    assert z2 == 1
    assert z2.p_value == pytest.approx(1)
    z1 = acerbi_szekely_z1([0.0] * 50, 1.0, 2.0, 0.99)
    assert np.isnan(z1)
    assert np.isnan(z1.p_value)
    assert np.isnan(z1.critical_value())


@pytest.mark.parametrize("dof", [np.inf, 4.0])
def test_shortfall_tests_have_their_size_and_power(dof: float) -> None:
    """The inverted distribution against simulation, under the model and under a wider truth."""
    rng = np.random.default_rng(1)
    n, level, runs = 250, 0.975, 4000
    if np.isinf(dof):
        draws, model = rng.standard_normal((runs, n)), NORMAL
        var, es = model.value_at_risk, model.expected_shortfall
    else:
        unit = StudentT.with_deviation(dof)
        draws = unit.scale * rng.standard_t(dof, (runs, n))
        var, es = unit.value_at_risk(level), unit.expected_shortfall(level)
    right = [acerbi_szekely_z2(row, var, es, level, dof) for row in draws]
    wide = [acerbi_szekely_z2(1.3 * row, var, es, level, dof) for row in draws]
    assert np.mean(right) == pytest.approx(0, abs=4 * np.std(right) / np.sqrt(runs))
    critical = right[0].critical_value()
    assert np.mean([z < critical for z in right]) == pytest.approx(0.05, abs=0.014)
    assert np.mean([z < critical for z in wide]) == pytest.approx(
        right[0].power(true_scale=1.3), abs=0.03
    )
    for z in sorted(right)[:: runs // 5]:
        assert z.p_value == pytest.approx(np.mean(np.array(right) <= z), abs=0.03)
    counted = [acerbi_szekely_z1(row, var, es, level, dof) for row in draws]
    seven = [z for z in counted if z.exceptions == 7]
    tenth = seven[0].critical_value(0.1)
    assert np.mean([z < tenth for z in seven]) == pytest.approx(0.1, abs=0.045)
    assert seven[0].rejected(0.1) == (seven[0] < tenth)


def test_fatter_truth_is_seen() -> None:
    z2 = acerbi_szekely_z2([0.0] * 1000, NORMAL.value_at_risk, NORMAL.expected_shortfall, 0.975)
    assert z2.power(true_scale=1.0) == pytest.approx(0.05, abs=2e-3)
    assert z2.power(true_scale=1.0, true_dof=3) > 0.15
    assert 0.5 < z2.power() <= 1


def test_rolling_backtest_looks_back_only() -> None:
    losses = np.arange(30.0)
    seen: list[np.ndarray] = []

    def model(history: np.ndarray) -> tuple[float, float]:
        seen.append(history.copy())
        return float(history.max()), float(history.max()) + 1

    result = rolling_backtest(losses, model, 0.99, window=10)
    assert result.first == 10
    np.testing.assert_array_equal(result.losses, losses[10:])
    np.testing.assert_array_equal(result.var, losses[9:-1])
    for row, history in enumerate(seen):
        np.testing.assert_array_equal(history, losses[row : row + 10])
    assert result.exceptions.all()
    assert result.zone.zone == "red"


@pytest.mark.parametrize("name", [m for m in MODELS if m != "cornish_fisher"])
def test_every_model_covers_calm_losses(name: str) -> None:
    losses = 0.01 * np.random.default_rng(4).standard_t(6, 400)
    result = rolling_backtest(losses, name, 0.95, window=160)
    assert result.coverage.coverage.p_value > 1e-3
    assert (result.es >= result.var).all()
    assert result.z2() > -0.7


def test_normal_model_fails_on_jumps() -> None:
    rng = np.random.default_rng(5)
    losses = 0.01 * rng.standard_normal(1500) + 0.1 * (rng.random(1500) < 0.02)
    result = rolling_backtest(losses, "ewma_normal", 0.99, window=250)
    assert result.coverage.rejected(0.001)
    assert result.z2().rejected(0.001)
    assert result.zone.zone == "red"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kupiec_pof(5, 250, 0.01), "level"),
        (lambda: kupiec_pof(-1, 250, 0.99), "failures"),
        (lambda: kupiec_pof(251, 250, 0.99), "failures"),
        (lambda: kupiec_pof(2.5, 250, 0.99), "failures"),  # type: ignore[arg-type]
        (lambda: kupiec_pof(0, 0, 0.99), "observations"),
        (lambda: christoffersen([0, 2, 1], 0.99), r"exceptions\[1\]"),
        (lambda: christoffersen([1], 0.99), "at least 2"),
        (lambda: christoffersen_power(50, 0.9, 0.9, 0.0), "repeat_rate"),
        (lambda: acerbi_szekely_z2([1.0, np.nan], 1.0, 2.0, 0.99), r"losses\[1\] = nan"),
        (lambda: acerbi_szekely_z2([1.0, 2.0], [1.0], 2.0, 0.99), "var: shape"),
        (lambda: acerbi_szekely_z2([1.0, 2.0], 1.0, [2.0, 0.0], 0.99), r"es\[1\]"),
        (lambda: acerbi_szekely_z2([1.0], 3.0, 2.0, 0.99), "at least var"),
        (lambda: acerbi_szekely_z2([1.0], 1.0, 2.0, 0.99, dof=2), "dof"),
        (lambda: rolling_backtest([1.0] * 5, "normal", 0.99, 10), "at least 12"),
        (lambda: rolling_backtest([1.0] * 50, "norml", 0.99, 10), "did you mean 'normal'"),
        (
            lambda: rolling_backtest([1.0] * 50, lambda h: (np.nan, 1.0), 0.99, 10),
            r"losses\[10\]",
        ),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()
