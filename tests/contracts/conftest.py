"""The protocol that most contract tests start from."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.contracts.harbour import Harbour


@pytest.fixture(scope="session")
def _built() -> Harbour:
    return Harbour()


@pytest.fixture
def harbour(_built: Harbour) -> Iterator[Harbour]:
    """One harbour for all tests, put back after each."""
    prices, mark = dict(_built.prices), _built.evm.snapshot()
    yield _built
    _built.evm.revert(mark)
    _built.prices = prices
