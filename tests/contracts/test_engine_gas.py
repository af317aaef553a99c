"""Gas of the engines and deployed sizes, against figures kept in the repository."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from sim.bench.gas import margin_costs
from tests.evm import OWNER, Evm

SNAPSHOT = Path(__file__).parents[1] / "vectors" / "engine_gas.json"
TOLERANCE = 0.01
LIMIT = 24_576


def test_gas_is_as_it_was() -> None:
    """After a change for the better, or for a good reason, write the new figures down."""
    kept = json.loads(SNAPSHOT.read_text())["costs"]
    for cost in margin_costs((8, 32)):
        for name, gas in asdict(cost).items():
            assert gas == pytest.approx(kept[str(cost.options)][name], rel=TOLERANCE), name


def test_contracts_fit() -> None:
    evm = Evm()
    kernel = evm.deploy("engines/ScenarioKernel.vy")
    rules = evm.deploy("engines/ScenarioRules.vy")
    sensitivity = evm.deploy("engines/SensitivityKernel.vy")
    deployed = [
        kernel,
        rules,
        sensitivity,
        evm.deploy("engines/ScenarioEngine.vy", OWNER, kernel.address, rules.address),
        evm.deploy("engines/SensitivityEngine.vy", OWNER, sensitivity.address),
        evm.deploy("engines/LtvEngine.vy", OWNER),
        evm.deploy("OptionMath.vy"),
    ]
    assert all(evm.size(contract.address) < LIMIT for contract in deployed)
