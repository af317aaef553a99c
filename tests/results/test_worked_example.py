"""The worked example of docs/explanation/protocol.md is what the reference computes."""

import re
from pathlib import Path

from sim.reference.losses import mutualise
from sim.units import WAD

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "protocol.md"
ROW = re.compile(r"^\| (?:Ada|Ben|Cleo) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)


def wei(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * WAD + int(part.ljust(18, "0"))


def test_to_the_wei():
    rows = [tuple(map(wei, row)) for row in ROW.findall(PAGE.read_text())]
    before, after, haircuts = zip(*rows, strict=True)
    found = mutualise(before, 7 * WAD)
    assert found.cash == after
    assert found.haircuts == haircuts
    assert found.leftover == 1
