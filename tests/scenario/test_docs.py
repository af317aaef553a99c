"""The reference of the scenario file names everything that there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from sim.agents.draws import Distribution
from sim.agents.ordering import POLICIES
from sim.market.processes import Factor
from sim.market.shocks import Shock
from sim.market.surface import Implied
from sim.oracle.model import Fault, FeedPolicy
from sim.scenario.loader import load

PAGE = Path(__file__).parents[2] / "docs/reference/scenario-file.md"
TEXT = PAGE.read_text(encoding="utf-8")


def tags(union: object, key: str = "kind") -> list[str]:
    """Return the names of the members of a discriminated union."""
    members: tuple[type[BaseModel], ...] = get_args(get_args(union)[0])
    return [get_args(member.model_fields[key].annotation)[0] for member in members]


NAMES = [
    *tags(Factor),
    *tags(Shock),
    *tags(Fault),
    *tags(Distribution, "dist"),
    *POLICIES,
    *Implied.model_fields,
    *FeedPolicy.model_fields,
]


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_it_is_named(name):
    assert f"`{name}`" in TEXT


def test_the_example_loads(tmp_path):
    example = TEXT.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "x.yaml").write_text(example)
    assert load(str(tmp_path / "x.yaml")).horizon.steps == 144
