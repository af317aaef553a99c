"""Every engine and every liquidation rule can be chosen, and agrees with the reference."""

import pytest

import sim
from tests.e2e.runs import SHORT

CHOICES = {
    "sensitivity": ["protocol.engine=sensitivity", "protocol.rulebook=sensitivity"],
    "ltv": ["protocol.engine=ltv", "protocol.rulebook=ltv"],
    "derive-pmrm": ["protocol.rulebook=derive-pmrm"],
    "partial_step": ["protocol.liquidation.rule=partial_step"],
    "fixed_penalty": ["protocol.liquidation={rule: fixed_penalty, params: {penalty: 8%}}"],
    "built_in": ["protocol.liquidation.rule=built_in"],
    "deleverage": ["protocol.backstop={then: deleverage}"],
}


@pytest.mark.parametrize("overrides", CHOICES.values(), ids=CHOICES)
def test_a_choice(overrides, tmp_path):
    run = sim.run(
        SHORT, backend="revm", overrides=[*overrides, "horizon.steps=24"], out=tmp_path / "run"
    )
    checks = run.checks
    assert checks["held"].all(), checks[~checks["held"]]
    assert (run.liquidations["what"] == "flagged").any()
