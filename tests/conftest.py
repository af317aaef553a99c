"""Budgets of the property tests: small and fixed by default, large and random with `--fuzz N`."""

from __future__ import annotations

import random
from typing import Any, Callable

import pytest
from hypothesis import is_hypothesis_test, settings

settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz",
        type=int,
        default=0,
        metavar="N",
        help="run the property tests alone, with fresh randomness and N times the examples",
    )


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> Callable[[int], tuple[random.Random, int]]:
    """Randomness and a number of cases for a test that draws its own: `rng, count = budget(100)`.

    Always the same by default; with `--fuzz N` fresh, N times as many, and the seed printed, which
    pytest shows if the test fails.
    """

    def draw(count: int) -> tuple[random.Random, int]:
        times = request.config.getoption("--fuzz")
        seed = random.SystemRandom().getrandbits(64) if times else 0
        cases = count * max(1, times)
        print(f"random.Random({seed}), {cases} cases")
        return random.Random(seed), cases

    return draw


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--fuzz"):
        settings.load_profile("fuzz")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    times = config.getoption("--fuzz")
    if not times:
        return
    drawn = [item for item in items if "budget" in getattr(item, "fixturenames", ())]
    found = [item for item in items if is_hypothesis_test(getattr(item, "obj", None))]
    chosen = drawn + found
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
    for item in found:
        _widen(item, times)


def _widen(item: Any, times: int) -> None:
    machine = getattr(item, "cls", None)
    if machine is not None and isinstance(getattr(machine, "settings", None), settings):
        machine.settings = settings(
            machine.settings, max_examples=times * machine.settings.max_examples
        )
        return
    # Hypothesis has no public way to change the settings of a test after it is decorated.
    test = getattr(item.obj, "__func__", item.obj)
    own = getattr(test, "_hypothesis_internal_use_settings", None) or settings.default
    test._hypothesis_internal_use_settings = settings(own, max_examples=times * own.max_examples)
