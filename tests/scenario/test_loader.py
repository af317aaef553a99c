"""Scenario files: what they say, what they extend, and what is wrong with them, by line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.marked import format_path, parse, parse_path
from sim.scenario.loader import assemble, load, locate, shipped

BASE = """\
schema: 1
name: mine
horizon: {steps: 10, step: 1m, start: 2026-01-15T00:00:00Z}
market:
  factors:
    ETH: {kind: gbm, spot: 3200, vol: 80%}
    BTC: {kind: gbm, spot: 91000, vol: 55%}
agents:
  - {use: perp_trader, count: 2, params: {leverage: 2}}
  - {name: rescue, use: liquidator}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def put(text: str, name: str = "mine.yaml") -> str:
        Path(name).write_text(text)
        return name

    return put


def test_quantities_have_units_and_defaults_come_from_the_models(write):
    scenario = load(write(BASE))
    assert scenario.horizon.step == 60
    assert scenario.market.factors["ETH"].start_vol == 0.8
    assert scenario.protocol.engine == "scenario"
    assert [group.label for group in scenario.agents] == ["perp_trader", "rescue"]


def test_yaml_is_1_2(write):
    scenario = load(write(BASE + "description: no\nsource: 21:15\n"))
    assert (scenario.description, scenario.source) == ("no", "21:15")


def test_extends_merges_maps_replaces_lists_and_null_takes_away(write):
    write(BASE, "base.yaml")
    child = """\
name: child
extends: base.yaml
market:
  factors:
    ETH: {vol: 90%}
    BTC: null
agents: [{use: whale}]
"""
    scenario = load(write(child, "child.yaml"))
    assert list(scenario.market.factors) == ["ETH"]
    assert scenario.market.factors["ETH"].model_dump()["spot"] == 3200
    assert scenario.market.factors["ETH"].start_vol == 0.9
    assert [group.use for group in scenario.agents] == ["whale"]


def test_a_later_base_lies_on_an_earlier_one_and_shipped_names_can_be_extended(write):
    write("seed: 5\n", "five.yaml")
    scenario = load(write("name: both\nextends: [calm, five.yaml]\n", "both.yaml"))
    assert (scenario.seed, scenario.horizon.steps) == (5, 144)


def test_errors_name_the_file_that_said_it(write):
    write(BASE.replace("80%", "-80%"), "base.yaml")
    child = write("name: child\nextends: base.yaml\nmarket: {rate: 1%}\n", "child.yaml")
    with pytest.raises(
        InputError, match=r"^base\.yaml:6:34: market\.factors\.ETH\.vol: must be above 0"
    ):
        load(child)


def test_set_reaches_keys_elements_and_names(write):
    path = write(BASE)
    sets = ["market.factors.ETH.vol=95%", "agents[0].count=7", "agents.rescue.params.tip=4"]
    scenario = load(path, [*sets, 'oracle."ETH.vol".latency=2m'], seed=9)
    assert scenario.market.factors["ETH"].start_vol == 0.95
    assert scenario.agents[0].count == 7
    assert scenario.agents[1].params == {"tip": 4}
    assert scenario.oracle.policy("ETH.vol").latency.seconds == 120
    assert scenario.seed == 9


BAD_SETS = [
    ("seed", "write path=value"),
    ("=3", "write path=value"),
    ("agents.rescu.count=1", r"unknown element 'rescu'; did you mean 'rescue'"),
    ("agents[5].count=1", r"there is no element \[5\]"),
    ("name.x=1", "nothing is below it"),
    ("seed.x=1", r"^--set: seed: input should be a valid integer"),
    ("market..x=1", "is not a path"),
    ("market.factors.ETH.vol=high", r"^--set: market\.factors\.ETH\.vol: 'high' is not a ratio"),
    ("market.factors.ETH.vol=[", "broken YAML"),
]


@pytest.mark.parametrize(("text", "message"), BAD_SETS)
def test_a_bad_set_is_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        load(write(BASE), [text])


BAD = [
    ("seed: -1", r"mine\.yaml:1:1: seed: must be at least 0, got -1"),
    (
        "market:\n  factors:\n    ETH: {vol: -5%}",
        r":3:11: market\.factors\.ETH\.vol: must be above 0",
    ),
    ("market: {factors: {ETH: {spot: 0}}}", r":1:26: market\.factors\.ETH\.spot: must be above 0"),
    ("market: {factors: {ETH: {vol: 5 apples}}}", r"'5 apples' is not a ratio"),
    ("horizon: {step: 5 parsecs}", r"'5 parsecs' is not a duration"),
    ("horizon: {start: 2026-02-31}", r":1:11: horizon\.start: '2026-02-31' is not a time"),
    ("horizon: {steps: 0}", r"horizon\.steps: must be above 0"),
    ("horizon: {steps: .inf}", r"horizon\.steps: input should be a finite number"),
    ("horizon: {steps: many}", r"horizon\.steps: input should be a valid integer.*'many'"),
    ("markett: {}", r":1:1: markett: unknown key 'markett'; did you mean 'market'"),
    ("market: {factors: {ETH: {voll: 1}}}", r"unknown key 'voll'; did you mean 'vol'"),
    (
        "market: {factors: {ETH: {kind: gmb}}}",
        r"factors\.ETH\.kind: unknown 'gmb'; did you mean 'gbm'",
    ),
    ("market: {factors: {X: {spot: 1}}}", r"market\.factors\.X: needs 'kind'"),
    ("protocol: {listing: {strikes: [0]}}", r"0 is not above 0"),
    ("protocol: {backstop: {then: pray}}", r"unknown 'pray' \(allowed: deleverage, mutualise\)"),
    ("oracle: {DOGE: {latency: 1m}}", r":1:10: oracle\.DOGE: unknown feed 'DOGE'"),
    (
        "oracle: {faults: [{kind: stuck, feed: DOGE, from: 1h, for: 1m}]}",
        r":1:33: oracle\.faults\[0\]\.feed: unknown feed",
    ),
    ("oracle: {faults: [{kind: stuck, feed: ETH, from: 1h}]}", r"faults\[0\]\.for: is missing"),
    (
        "agents: [{use: perp_trade}]",
        r":1:11: agents\[0\]\.use: unknown agent 'perp_trade'; did you",
    ),
    ("agents: [{use: 'no.such:Thing'}]", r"agents\[0\]\.use: .*no module 'no'"),
    ("agents: [{use: 'sim.units:money'}]", r"not a subclass of"),
    ("agents: [{use: whale}, {use: whale}]", r"agents\[1\]: two groups are called 'whale'"),
    (
        "agents: [{use: whale, params: {leverage: -1}}]",
        r":1:32: agents\[0\]\.params\.leverage: must be",
    ),
    (
        "agents: [{use: whale, params: {levrage: 1}}]",
        r"unknown key 'levrage'; did you mean 'leverage'",
    ),
    (
        "agents: [{use: whale, params: {leverage: {dist: normal, mean: 1, sd: -1}}}]",
        r":1:66: agents\[0\]\.params\.leverage\.sd: must be at least 0",
    ),
    (
        "agents: [{use: whale, params: {leverage: {dist: nromal, mean: 1, sd: 1}}}]",
        r"params\.leverage\.dist: unknown 'nromal'; did you mean 'normal'",
    ),
    (
        "agents: [{use: whale, params: {collateral: DOGE}}]",
        r":1:32: agents\[0\]\.params\.collateral: unknown token 'DOGE' \(allowed: USDC\)",
    ),
    (
        "agents: [{use: whale, params: {underlying: {dist: choice, of: [ETC]}}}]",
        r"params\.underlying: unknown factor 'ETC'; did you mean 'ETH'",
    ),
    ("blocks: {gas_limit: 100}", r"blocks\.gas_limit: must be at least 10,000,000"),
    ("blocks: {order: fifo}", r"blocks\.order: unknown 'fifo'"),
    ("seed: 1\nseed: 2", r":2:1: seed is written twice"),
    ("market: {factors: [}", r":1:20: broken YAML"),
    ("<<: {a: 1}", r":1:1: a key is a plain word"),
    ("- a\n- b", r"a scenario is a map of keys"),
    ("extends: {a: 1}", r":1:1: extends: the name of a scenario"),
    ("extends: black-tuesday", r"extends: unknown scenario 'black-tuesday'; did you mean"),
    ("extends: mine.yaml", r"extends itself: mine\.yaml → mine\.yaml"),
    ("name: Has Spaces", r"name: string should match pattern"),
    ("schema: 2", r":1:1: schema: unknown '2' \(allowed: 1\)"),
    (
        "protocol: {liquidation: {rule: nope}}",
        r":1:26: protocol\.liquidation\.rule: unknown liquidation rule 'nope' \(allowed: built_in",
    ),
    (
        "protocol: {liquidation: {rule: Nope.vy}}",
        r":1:26: protocol\.liquidation\.rule: no Vyper file at 'Nope\.vy'$",
    ),
    (
        "protocol: {liquidation: {params: {fsat: 5m}}}",
        r":1:35: protocol\.liquidation\.params\.fsat: unknown parameter.* did you mean 'fast'",
    ),
    (
        "protocol: {liquidation: {params: {fast: 5kg}}}",
        r":1:35: protocol\.liquidation\.params\.fast: '5kg' is neither",
    ),
    (
        "protocol: {liquidation: {rule: built_in, params: {fast: 5m}}}",
        r":1:51: .*\.params\.fast: the built-in rule takes none",
    ),
    ("protocol: {rulebook: hause}", r":1:12: protocol\.rulebook: unknown rulebook 'hause'; did"),
    ("protocol: {engine: ltv}", r":1:12: protocol\.engine: engine 'ltv' cannot run rulebook"),
    ("protocol: {engine: magic}", r":1:12: protocol\.engine: unknown engine 'magic'"),
    (
        "market: {shocks: [{kind: rate, at: 99d, size: 1%}]}",
        r":1:32: market\.shocks\[0\]\.at: 99 d is never reached, the last block is 9 min from",
    ),
    (
        "oracle: {faults: [{kind: stuck, feed: ETH, from: 10m, for: 1m}]}",
        r":1:44: oracle\.faults\[0\]\.from: 10 min is never reached",
    ),
    (
        "market: {factors: {'': {kind: gbm, spot: 1, vol: 50%}}}",
        r":1:20: market\.factors\.: a name is a letter and at most 31",
    ),
    (
        "market: {factors: {E-T: {kind: gbm, spot: 1, vol: 50%}}}",
        r":1:20: market\.factors\.E-T: a name is a letter",
    ),
    (
        "market: {factors: {all: {kind: gbm, spot: 1, vol: 50%}}}",
        r"market\.factors\.all: 'all' means something else",
    ),
    ("market: {collateral: {'a b': {}}}", r":1:23: market\.collateral\.a b: a name is a letter"),
    ("agents: [{use: whale, name: 'a b/../#'}]", r":1:23: agents\[0\]\.name: string should match"),
    ("agents: [{use: whale, name: oracle}]", r":1:23: agents\[0\]\.name: 'oracle' means somethi"),
    (
        "market: {factors: {ETH: {spot: 1e-12}}}",
        r":1:26: market\.factors\.ETH\.spot: a spot of 1e-12 is too small",
    ),
    (
        "horizon: {step: 10y}",
        r"base\.yaml:3:11: horizon\.steps: the last block would be after 2106",
    ),
    ("expect: {bad_debt: {min: 5, max: 1}}", r":1:21: expect\.bad_debt\.min: 5 is above max, 1"),
    ("expect: {bad_debt: {}}", r"expect\.bad_debt: needs min, max or is"),
    ("expect: {bad_debt: {is: 1, max: 2}}", r"expect\.bad_debt\.is: stands alone"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text[:40] for text, _ in BAD])
def test_what_is_wrong_is_named_by_line(write, text, message):
    write(BASE, "base.yaml")
    alone = text.startswith(("extends", "-", "<<"))
    with pytest.raises(InputError, match=message):
        load(write(text if alone else f"{text}\nextends: base.yaml"))


def test_a_missing_scenario_names_the_nearest():
    with pytest.raises(
        InputError, match="unknown scenario 'black-tursday'; did you mean 'black-th"
    ):
        locate("black-tursday")
    with pytest.raises(InputError, match=r"no scenario file 'nowhere/x\.yaml'"):
        locate("nowhere/x.yaml")


def test_what_a_shorter_run_leaves_out_is_no_mistake(write):
    path = write(BASE + "oracle: {faults: [{kind: stuck, feed: ETH, from: 9m, for: 1m}]}\n")
    assert load(path, ["horizon.steps=3"]).horizon.steps == 3


def test_a_folder_is_no_scenario(write):
    Path("dir.yaml").mkdir()
    with pytest.raises(InputError, match=r"dir\.yaml is a folder"):
        locate("dir.yaml")


def test_a_file_that_is_no_text_is_refused(write):
    Path("mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        load("mine.yaml")


@pytest.mark.parametrize("text", ["a.b[0].c", 'oracle."ETH.vol".latency', "agents.keeper#1.count"])
def test_paths_print_as_they_parse(text):
    assert format_path(parse_path(text)) == text


def test_marks_point_at_keys_and_elements():
    document = parse("a:\n  - b: 1\n", "x")
    assert str(document.where(("a", 0, "b"))) == "x:2:5"
    assert str(document.where(("a", 0, "absent"))) == "x:2:5"


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_says_what_it_is_and_loads(name):
    own = assemble(locate(name)).data
    assert own["name"] == name
    assert own["source"].strip()
    assert own["description"].strip()
    scenario = load(name)
    assert scenario.expect["decision_flips"].holds(0)
    assert any(group.use == "liquidator" for group in scenario.agents)


def test_the_library_is_large_enough():
    assert len(shipped()) >= 20


_BOMB = "".join(
    f"{key}: &{key} [{', '.join(['*' + below] * 10) if below else 1}]\n"
    for below, key in pairwise(["", *"abcdefgh"])
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [*x]", "f:1:4: an alias stands inside"),
        (_BOMB, "more than 1,000,000 values"),
        ("a: " + "[" * 5_000, "nested too deeply"),
        ("seed: " + "9" * 5_000, "f:1:7: 9+… is too large"),
    ],
)
def test_a_file_cannot_grow_beyond_what_it_says(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, "f")


def test_amounts_are_in_the_quote_currency_of_the_scenario(write):
    with pytest.raises(
        InputError, match=r"mine.yaml:11:.*'250k ETH' is in ETH; amounts are in USDC"
    ):
        load(write(BASE + "protocol: {backstop: {fund: 250k ETH}}\n"))
    own = "protocol: {quote: DAI, backstop: {fund: 250k DAI}}\nexpect: {bad_debt: {max: 5 DAI}}\n"
    scenario = load(write(BASE.replace("leverage: 2", "capital: 9k DAI") + own))
    assert scenario.protocol.backstop.fund == 250_000
    assert [agent.params.capital for agent in scenario.cast()[:2]] == [9_000, 9_000]
    with pytest.raises(InputError, match="amounts are in DAI"):
        load(write(BASE + own.replace("5 DAI", "5 USDC")))
