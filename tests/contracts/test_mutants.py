"""The list of mutants still fits the contracts; `make mutants` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.protocol.artifacts import contracts_folder
from tests.mutants import MUTANTS, Mutant


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) >= 40
    assert len({(mutant.file, mutant.what) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{Path(m.file).stem}: {m.what}")
def test_a_mutant_changes_one_place(mutant: Mutant) -> None:
    assert (contracts_folder() / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.old != mutant.new
    for name in mutant.tests.split():
        assert (Path(__file__).parent / name).exists()
