"""Scenarios as values: identity, instruments, expectations, schema."""

from __future__ import annotations

import json

import jsonschema
import pytest

from sim.reference.book import CALL, PERP, PUT
from sim.scenario.loader import assemble, load, locate, shipped
from sim.scenario.model import Bound, rounded
from sim.scenario.schema import json_schema


def test_the_digest_is_of_settings_and_not_of_how_they_are_written(tmp_path):
    text = (
        "name: x\nhorizon: {steps: 2, step: %s, start: 2026-01-15T00:00:00Z}\n"
        "market: {factors: {ETH: {kind: gbm, spot: 100, vol: 50%%}}}\n"
    )
    digests = []
    for step in ("60s", "1m", "2m"):
        path = tmp_path / "x.yaml"
        path.write_text(text % step)
        digests.append(load(str(path)).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_file_that_is_read_is_part_of_the_identity(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "name: x\nhorizon: {steps: 2, step: 60s, start: 2020-01-01T00:00:00Z}\n"
        "market: {factors: {ETH: {kind: csv, file: p.csv}}}\n"
    )
    digests = []
    for price in (10, 11):
        (tmp_path / "p.csv").write_text(f"time,ETH\n1577836800,{price}\n1577836900,12\n")
        digests.append(load(str(tmp_path / "x.yaml")).digest)
    assert digests[0] != digests[1]
    assert str(tmp_path) not in json.dumps(load(str(tmp_path / "x.yaml")).canonical)


def test_the_canonical_form_has_every_default_and_keeps_distributions():
    canonical = load("black-thursday").canonical
    assert canonical["protocol"]["liquidation"]["buffer"] == 0.1
    writer = next(group for group in canonical["agents"] if group["name"] == "put_writer")
    assert writer["params"]["leverage"]["dist"] == "lognormal"
    assert writer["params"]["slices"] == 4
    json.dumps(canonical, allow_nan=False)


def test_black_thursday_has_what_it_promises():
    scenario = load("black-thursday")
    assert (scenario.horizon.steps, scenario.horizon.step) == (388, 900)
    assert sum(group.count for group in scenario.agents) >= 40
    members = {name: p for group in scenario.agents for name, p in group.members(scenario.streams)}
    assert {p.collateral for p in members.values()} == {"USDC", "ETH", "BTC"}
    assert len({p.capital for p in members.values()}) > 35


def test_instruments_are_perps_then_options_at_round_strikes():
    scenario = load("ftx-2022")
    instruments = scenario.instruments(scenario.paths())
    assert [i.kind for i in instruments[:3]] == [PERP] * 3
    assert {i.kind for i in instruments[3:]} == {CALL, PUT}
    assert all(i.strike == rounded(i.strike, 2) for i in instruments)
    assert len(set(instruments)) == len(instruments)


def test_another_agent_in_a_group_moves_no_draw_of_the_others():
    few, more = load("calm"), load("calm", ["agents.put_writer.count=12"])

    def drawn(scenario):
        return {n: p for g in scenario.agents for n, p in g.members(scenario.streams)}

    assert drawn(few).items() <= drawn(more).items()


@pytest.mark.parametrize(
    ("bound", "value", "held"),
    [
        ({"max": "250k USDC"}, 250_000.0, True),
        ({"max": "250k USDC"}, 250_000.1, False),
        ({"min": 0, "max": "5%"}, 0.5, False),
        ({"is": 0}, 0, True),
        ({"is": 0}, 1, False),
        ({"is": True}, True, True),
        ({"is": "5%"}, 0.05, True),
        ({"is": "Closed"}, "Closed", True),
    ],
)
def test_bounds_hold_or_not(bound, value, held):
    assert Bound.model_validate(bound).holds(value) is held


def test_the_schema_accepts_the_library_and_refuses_a_typo():
    validator = jsonschema.Draft202012Validator(json_schema())
    for name in shipped():
        assert not list(validator.iter_errors(assemble(locate(name)).data))
    typo = assemble(locate("calm")).data
    typo["protocol"]["enigne"] = "scenario"
    assert list(validator.iter_errors(typo))


def test_the_schema_describes_every_setting():
    properties = json_schema()["$defs"]["Merton"]["properties"]
    assert properties["vol"]["description"] == "Annualised."
    assert {"type": "string"} in properties["vol"]["anyOf"]
