"""Named streams: nobody moves anybody else's numbers."""

from __future__ import annotations

import pytest

from sim.streams import SEED_MAX, Streams


def draw(seed: int, name: str, step: int = 0) -> list[int]:
    return Streams(seed).at(name, step).integers(0, 2**63, size=4).tolist()


def test_equal_arguments_give_equal_numbers():
    assert draw(7, "market/ETH", 3) == draw(7, "market/ETH", 3)


def test_seed_name_and_step_all_matter():
    streams = [draw(7, "a"), draw(8, "a"), draw(7, "b"), draw(7, "a", 1)]
    assert len({tuple(s) for s in streams}) == 4


def test_an_extra_draw_moves_no_other_step():
    streams = Streams(7)
    streams.at("agent/x", 0).integers(0, 9, size=10_000)
    assert streams.at("agent/x", 1).integers(0, 2**63, size=4).tolist() == draw(7, "agent/x", 1)


def test_the_numbers_are_those_they_always_were():
    assert draw(20200312, "market/ETH", 5) == GOLDEN


@pytest.mark.parametrize("seed", [-1, SEED_MAX + 1])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        Streams(seed)


GOLDEN = [
    1448844322717865789,
    4002145717404706612,
    5919927237029538910,
    8860804389579047738,
]
