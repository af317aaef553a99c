"""The sensitivity and loan-to-value engines against the reference."""

from __future__ import annotations

import random
from typing import Any, Callable

import numpy as np
import pytest

from sim import rulebooks
from sim.reference import assess
from tests.contracts.chain_books import (
    T0,
    WAD,
    chain_book,
    chain_market,
    long_only,
    random_case,
    resolution,
)
from tests.contracts.test_scenario_engine import case, cases, on_chain
from tests.evm import OWNER, Contract, Evm, Reverted

EVM = Evm(T0)
KERNEL = EVM.deploy("engines/SensitivityKernel.vy")
ENGINES: dict[str, Contract] = {
    "sensitivity": EVM.deploy("engines/SensitivityEngine.vy", OWNER, KERNEL.address),
    "ltv": EVM.deploy("engines/LtvEngine.vy", OWNER),
}
RULEBOOKS = {name: rulebooks.load(name) for name in ENGINES}
for _name, _engine in ENGINES.items():
    _engine.publish(1, RULEBOOKS[_name].as_wad(), T0, 0)


@pytest.mark.parametrize("name", ENGINES)
def test_agrees_with_the_reference(
    name: str, budget: Callable[[int], tuple[random.Random, int]]
) -> None:
    engine, rulebook = ENGINES[name], RULEBOOKS[name]
    rng, count = budget(500)
    for _ in range(count):
        book, market = case(rng)
        want = assess(book, market, rulebook)
        words, prices = on_chain(book, market)
        equity, initial, maintenance = (x / WAD for x in engine.margins(words, prices, 1))
        allowed = want.budget[0] * max(1, want.initial_factor)
        noise = 1e-12 * want.gross_notional[0] + 1e-12
        fine = resolution(book, want)
        assert -allowed - fine <= equity - want.equity[0] <= noise
        for got, margin in ((initial, want.initial[0]), (maintenance, want.maintenance[0])):
            assert abs(got - margin) <= allowed
            assert equity - got <= want.equity[0] - margin + noise
        for kind, margin in ((1, initial), (2, maintenance)):
            assert [x / WAD for x in engine.check(words, prices, 1, kind)] == [equity, margin]
        assert [x / WAD for x in engine.prove(words, prices, 1, [])] == [equity, maintenance]


@pytest.mark.parametrize("name", ENGINES)
def test_every_figure_agrees_with_the_reference(name: str) -> None:
    for book, market in cases(20, 15):
        want = assess(book, market, RULEBOOKS[name])
        got = ENGINES[name].assess(*on_chain(book, market), 1)
        budget = want.budget[0]
        for figure in ("risk", "option_value", "collateral_value"):
            assert abs(getattr(got, figure) / WAD - getattr(want, figure)[0]) <= budget, figure
        charges = np.array(got.charges, float) / WAD
        expected = np.append(want.charges[0, :5].ravel(), want.charges[0, 5, 2])
        np.testing.assert_allclose(charges, expected, rtol=1e-9, atol=budget)
        scale = np.abs(book.size).sum() + 1
        for row, greeks in enumerate(got.greeks):
            assert abs(greeks.delta / WAD - want.delta[0, row]) <= 1e-9 * scale
            for figure, held in ((greeks.vega, want.vega), (greeks.theta, want.theta)):
                assert abs(figure / WAD - held[0, row]) <= budget + 1e-8 * abs(held[0, row])


def test_long_books_owe_no_more_than_their_value() -> None:
    for book, market in cases(30, 25):
        held = long_only(book)
        for engine in ENGINES.values():
            equity, initial, maintenance = engine.margins(*on_chain(held, market), 1)
            assert 0 <= maintenance <= initial <= equity


def changed(name: str, **parts: Any) -> Any:
    return RULEBOOKS[name].as_wad() | parts


@pytest.mark.parametrize(
    ("name", "parts", "reason"),
    [
        ("ltv", {"perp": (1, 2)}, "initial below maintenance"),
        ("ltv", {"short_option": (11 * WAD, 0)}, "ratio"),
        ("ltv", {"collateral": [(2, 1)]}, "initial below maintenance"),
        ("ltv", {"collateral": [(0, WAD + 1)]}, "loan-to-value"),
        ("sensitivity", {"multiplier": 101 * WAD}, "multiplier"),
        ("sensitivity", {"horizon": 0}, "horizon"),
        ("sensitivity", {"power": WAD + 1}, "power"),
        ("sensitivity", {"time_floor": 0}, "time floor"),
        ("sensitivity", {"naked_short_minimum": 11 * WAD}, "naked short minimum"),
        ("sensitivity", {"buckets": [2, 1]}, "buckets must ascend"),
        ("sensitivity", {"ids": [1, 0], "covariance": [0] * 16}, "ids must ascend"),
        ("sensitivity", {"ids": [0], "covariance": [1]}, "matrix: size"),
        ("sensitivity", {"ids": [0], "covariance": [1, 2, 3, 4]}, "not symmetric"),
        ("sensitivity", {"ids": [0], "covariance": [0, WAD, WAD, 0]}, "positive semidefinite"),
        (
            "sensitivity",
            {
                "ids": [0, 1],
                "covariance": [
                    *(WAD, 0, 0, 0),
                    *(0, WAD, 0, 0),
                    *(0, 0, WAD, -WAD // 2),
                    *(0, 0, -WAD // 2, WAD),
                ],
            },
            "vols negatively correlated",
        ),
    ],
)  # fmt: skip
def test_refuses_bad_rulebooks(name: str, parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(Reverted, match=reason):
        ENGINES[name].publish(2, changed(name, **parts), T0, 0)


@pytest.mark.parametrize("name", ENGINES)
def test_only_the_owner_publishes(name: str) -> None:
    with pytest.raises(Reverted, match="ownable: not owner"):
        ENGINES[name].publish(1, RULEBOOKS[name].as_wad(), T0, 0, sender=EVM.address("stranger"))


@pytest.mark.parametrize("name", ENGINES)
def test_versions_ramp_from_one_to_the_next(name: str) -> None:
    engine = ENGINES[name]
    strict = (
        changed(name, perp=(WAD, WAD), short_option=(WAD, WAD))
        if name == "ltv"
        else changed(name, multiplier=9 * WAD)
    )
    engine.publish(5, RULEBOOKS[name].as_wad(), T0, 0)
    engine.publish(5, strict, T0 + 86_300, 200)
    engine.publish(6, strict, T0, 0)
    book, market = random_case(random.Random(5), 6, 1, 1, doubt=False)
    words, prices = chain_book(book)[0], chain_market(market, book, chain_book(book)[1])
    for seconds, share in ((86_299, 0), (86_400, 0.5), (86_500, 1)):
        at = (words, (T0 + seconds, *prices[1:]))
        old, new, got = (engine.margins(*at, number) for number in (1, 6, 5))
        for margin in (1, 2):
            want = old[margin] * (1 - share) + new[margin] * share
            assert got[margin] == pytest.approx(want, rel=1e-12)
