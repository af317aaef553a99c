"""Derive's own cases, read from the shared folder when it is there (their licence forbids a copy).

Mapping: knowledge/margin-engines.md, section 4 and "More that is needed to hit the numbers".
"""

import json
from pathlib import Path

import numpy as np
import pytest

from sim import rulebooks
from sim.reference import (
    CALL,
    PERP,
    PUT,
    Assets,
    Book,
    Expiries,
    Market,
    Underlyings,
    assess,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "data" / "vectors"
DAY = 86_400
T0 = 1_700_000_000


def read(name):
    path = VECTORS / name
    return json.loads(path.read_text()) if path.exists() else {}


def scenario_rules(**charges):
    """Parameters of Derive's tests, which differ from those in production."""
    rules = rulebooks.load("derive-pmrm").model_dump()
    grid = [1.15, 1.1, 1.05, 1.0, 0.95, 0.9, 0.85]
    rules["scenarios"] = [{"spot": x, "vol": v} for x in grid for v in (1, 0, 2)]
    rules["vol"] |= {"range_up": 0.45, "range_down": 0.3}
    rules["discount"] |= {"long_rate_scale": 4.0, "long_rate_add": 0.05}
    rules["basis"] = {"up": 1.05, "down": 0.95, "add_factor": 0.25, "time_factor": 0.01}
    rules["charges"] |= {
        "naked_short": {"inside": 0.01},
        "perp": {"inside": 0.02},
        "collateral": {"inside": 0.02},
        "confidence_threshold": 0.6,
        "confidence_factor": 0.5,
        "haircuts": [{}],
    } | charges
    rules["factors"] |= {"initial": 1.3, "depeg_threshold": 0.98, "depeg_factor": 2.0}
    return rules


def build(rules):
    return type(rulebooks.load("derive-pmrm")).model_validate(rules)


SCENARIOS = read("derive_pmrm1_scenarios.json")


@pytest.mark.skipif(not SCENARIOS, reason="derive_pmrm1_scenarios.json is not in ../shared")
@pytest.mark.parametrize("name", SCENARIOS or [None])
def test_scenarios(name):
    case, expected = SCENARIOS[name]["Scenario"], SCENARIOS[name]["Result"]

    def wad(key):
        return np.array(case[key], dtype=float) / 1e18

    expiry, first = np.unique(np.array(case["OptionExpiries"], dtype=int), return_index=True)
    feeds = {t: i for i, t in reversed(list(enumerate(case["FeedExpiries"])))}
    row = np.array([feeds[t] for t in expiry], dtype=int)
    confidence = np.minimum(wad("ForwardConfidences"), wad("RateConfidences"))[row]
    vol_confidence = wad("OptionVolConfidences")
    if vol_confidence.size == len(case["OptionExpiries"]):
        confidence = np.minimum(confidence, vol_confidence[first])
    elif vol_confidence.size:
        confidence = np.minimum(confidence, vol_confidence.min())
    market = Market.of(
        T0,
        Underlyings(
            [0],
            [wad("SpotPrice")],
            spot_confidence=wad("SpotConfidence"),
            mark=wad("PerpPrice"),
            mark_confidence=wad("PerpConfidence"),
        ),
        Expiries(
            np.zeros(expiry.size, int),
            T0 + expiry,
            wad("ForwardsVariable")[row],
            wad("ForwardsFixed")[row],
            wad("Rates")[row],
            confidence,
        ),
        Assets([0], [wad("SpotPrice")], 0),
        stable=float(wad("StablePrice")),
    )
    options = len(case["OptionStrikes"])
    size = np.append(wad("OptionAmounts"), wad("Perps"))
    book = Book.of(
        cash=wad("Cash"),
        unsettled=wad("UnrealisedPerpPNL") + wad("UnrealisedFunding"),
        assets=[0],
        holdings=[[wad("Base")]],
        underlying=0,
        kind=[*(CALL if c else PUT for c in case["OptionIsCall"]), PERP],
        expiry=[*(T0 + np.array(case["OptionExpiries"], dtype=int)), 0],
        strike=np.append(wad("OptionStrikes"), 0),
        size=size,
        vol=np.append(wad("OptionVols"), np.nan),
    )
    assert size.size == options + 1
    got = assess(book, market, build(scenario_rules()))

    def close(value, key):
        want = expected[key] / 1e18 if isinstance(key, str) else key
        assert value == pytest.approx(want, rel=1e-12, abs=1e-8), key

    close(got.equity[0], "PortfolioMTM")
    close(-got.basis[0, 0], "ForwardContingency")
    inside = [expected[f"{k}Contingency"] / 1e18 for k in ("Perp", "Base", "Option")]
    close(-got.charge_inside[0], sum(inside))
    close(got.initial_factor, "LossFactor")
    close((got.equity - got.maintenance)[0], "MaintenanceMarginHand")
    close((got.equity - got.initial)[0], "InitialMarginHand")


PORTFOLIOS = read("derive_pmrm1_portfolios.json")
EXPIRIES = {
    name: T0 + days * DAY + 8 * 3600
    for name, days in {"20230111": 10, "20230118": 17, "20230227": 57}.items()
}
DOUBT = {
    "test_depeg_contingency_pm": {"stable": 0.2},
    "test_oracle_cont_long_call_pm": {
        "spot_confidence": 0.1,
        "confidence": {"20230118": 0.3},
        "forward": {"20230118": 2004.75},
    },
    "test_oracle_cont_short_call_pm": {
        "spot_confidence": 0.1,
        "confidence": {"20230118": 0.1},
        "forward": {"20230118": 2004.75},
    },
    "test_oracle_cont_base_asset_pm": {"spot_confidence": 0.1},
    "test_oracle_cont_long_perp_asset_pm": {"spot_confidence": 0.3, "mark_confidence": 0.1},
    "test_general_portfolio_pm": {
        "spot": 2004.0,
        "spot_confidence": 0.3,
        "mark": 2017.0,
        "mark_confidence": 0.3,
        "forward": {"20230227": 2014.7545},
        "confidence": {"20230118": 0.1, "20230227": 0.2},
        "vol": {1700: 0.15, 2100: 1.01, 1000: 0.33},
    },
}


@pytest.mark.skipif(not PORTFOLIOS, reason="derive_pmrm1_portfolios.json is not in ../shared")
@pytest.mark.parametrize("name", PORTFOLIOS or [None])
def test_portfolios(name):
    case, env = PORTFOLIOS[name], DOUBT.get(name, {})
    forward = {"20230111": 2002.83305, "20230118": 2004.7545, "20230227": 2015.7696}
    forward |= env.get("forward", {})
    spot, mark = env.get("spot", 2000.0), env.get("mark", 2001.0)
    market = Market.of(
        T0,
        Underlyings(
            [0],
            [spot],
            spot_confidence=env.get("spot_confidence", 1.0),
            mark=mark,
            mark_confidence=env.get("mark_confidence", 1.0),
        ),
        Expiries(
            [0, 0, 0],
            list(EXPIRIES.values()),
            list(forward.values()),
            rate=0.02,
            confidence=[env.get("confidence", {}).get(e, 1.0) for e in EXPIRIES],
        ),
        Assets([0], [spot], 0),
        stable=env.get("stable", 1.0),
    )
    options, perps = case["options"], case["perps"]
    vols = env.get("vol", {})
    book = Book.of(
        cash=case["cash"] / 1e8,
        unsettled=sum(p["amount"] / 1e8 * (mark - p["entryPrice"] / 1e8) for p in perps),
        assets=[0],
        holdings=[[sum(b["amount"] for b in case["bases"]) / 1e8]],
        kind=[*(CALL if o["type"] == "call" else PUT for o in options), *(PERP for _ in perps)],
        expiry=[*(EXPIRIES[o["expiry"]] for o in options), *(0 for _ in perps)],
        strike=[*(o["strike"] for o in options), *(0 for _ in perps)],
        size=[x["amount"] / 1e8 for x in [*options, *perps]],
        vol=[
            *(vols.get(o["strike"], 0.5) if o["expiry"] == "20230118" else 0.5 for o in options),
            *(np.nan for _ in perps),
        ],
    )
    rules = scenario_rules(perp={"inside": 0.025}, collateral={"inside": 0.025})
    rules["discount"]["long_rate_add"] = 0.12
    rules["charges"]["confidence_factor"] = 0.4
    got = assess(book, market, build(rules))
    for margin, printed in (
        (got.equity - got.maintenance, case["results"]["mm"]),
        (got.equity - got.initial, case["results"]["im"]),
    ):
        # The source truncates toward zero, and some results sit on a whole number.
        assert abs(margin[0] - printed) < 1 + got.budget[0], printed
