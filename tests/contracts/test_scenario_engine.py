"""The scenario engine against the reference, Derive's own cases and its own promises."""

from __future__ import annotations

import math
import random
from typing import Any, Callable
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import rulebooks
from sim.reference import Assets, Book, Expiries, Market, Underlyings, assess
from sim.reference.rulebook import ScenarioRulebook
from tests.contracts.chain_books import (
    T0,
    WAD,
    chain_book,
    chain_market,
    long_only,
    position,
    random_case,
    resolution,
    surface,
    terms,
)
from tests.evm import OWNER, Contract, Evm, Reverted
from tests.reference import test_derive as derive

INITIAL, MAINTENANCE = 1, 2
YEAR = 31_536_000
NAMES = ("derive-pmrm", "house")
ROUNDING = 1e-12  # of gross notional: what float64 loses in the reference
DAY = 86_400
EVM = Evm(T0)


def deploy(evm: Evm) -> tuple[Contract, Contract]:
    kernel = evm.deploy("engines/ScenarioKernel.vy")
    rules = evm.deploy("engines/ScenarioRules.vy")
    engine = evm.deploy("engines/ScenarioEngine.vy", OWNER, kernel.address, rules.address)
    return engine, rules


ENGINE, RULES = deploy(EVM)
RULEBOOKS = [rulebooks.load(name) for name in NAMES]
for _number, _rulebook in enumerate(RULEBOOKS):
    ENGINE.publish(_number, _rulebook.as_wad(), T0, 0)


def on_chain(book: Book, market: Market) -> tuple[Any, Any]:
    words, rows = chain_book(book)
    return words, chain_market(market, book, rows)


def case(rng: random.Random, **options: Any) -> tuple[Book, Market]:
    return random_case(
        rng,
        rng.choice([0, 1, 3, 8, 16]),
        rng.choice([1, 1, 2, 4]),
        rng.choice([1, 3]),
        **options,
    )


def cases(seed: int, count: int, **options: Any) -> list[tuple[Book, Market]]:
    rng = random.Random(seed)
    return [case(rng, **options) for _ in range(count)]


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_agrees_with_the_reference(
    number: int, budget: Callable[[int], tuple[random.Random, int]]
) -> None:
    """Within the error budget, on the stricter side, with the same decisions outside it."""
    rng, count = budget(1_500)
    for _ in range(count):
        book, market = case(rng)
        want = assess(book, market, RULEBOOKS[number])
        equity, initial, maintenance = (
            x / WAD for x in ENGINE.margins(*on_chain(book, market), number)
        )
        allowed, noise = want.budget[0], ROUNDING * want.gross_notional[0] + 1e-12
        fine = resolution(book, want)
        assert -allowed - fine <= equity - want.equity[0] <= noise
        for got, margin in ((initial, want.initial[0]), (maintenance, want.maintenance[0])):
            assert abs(got - margin) <= allowed * max(1, want.initial_factor)
            assert equity - got <= want.equity[0] - margin + noise
            if abs(want.equity[0] - margin) > 2 * allowed * max(1, want.initial_factor):
                assert (equity < got) == (want.equity[0] < margin)


def test_charges_are_rounded_up() -> None:
    """To the wei: the error budget would not notice."""
    number = NAMES.index("house")
    amount = 3 * WAD + 1
    market = (T0, 7, WAD, [], [], [(2, 255, WAD, WAD)], [])
    got = ENGINE.assess((0, 0, [(2, amount)], []), market, number)
    haircut = RULEBOOKS[number].as_wad()["charges"]["haircuts"][2]
    ratios = [haircut[place] for place in ("inside", "outside", "initial")]
    assert got.charges[12:15] == [-(-amount * ratio // WAD) for ratio in ratios]
    assert any(amount * ratio % WAD for ratio in ratios)


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_every_figure_agrees_with_the_reference(number: int) -> None:
    for book, market in cases(20 + number, 25):
        want = assess(book, market, RULEBOOKS[number])
        words, prices = on_chain(book, market)
        got = ENGINE.assess(words, prices, number)
        assert (got.equity, got.initial, got.maintenance) == ENGINE.margins(words, prices, number)
        budget = want.budget[0]
        for name in ("risk", "option_value", "collateral_value"):
            assert abs(getattr(got, name) / WAD - getattr(want, name)[0]) <= budget, name
        assert got.initial_factor / WAD == pytest.approx(want.initial_factor, abs=1e-15)
        charges = np.array(got.charges, float) / WAD
        expected = np.append(want.charges[0, :5].ravel(), want.charges[0, 5, 2])
        np.testing.assert_allclose(charges, expected, rtol=1e-9, atol=budget)
        for name in ("loss_up", "loss_down", "basis"):
            np.testing.assert_allclose(
                np.array(getattr(got, name), float) / WAD, getattr(want, name)[0], atol=budget
            )
        pnl = np.array(got.scenario_pnl, float) / WAD
        np.testing.assert_allclose(pnl, want.scenario_pnl[0].ravel(), atol=budget)
        held = np.isin(
            np.arange(market.expiries.time.size),
            [
                np.flatnonzero((market.expiries.underlying == u) & (market.expiries.time == t))[0]
                for u, t in zip(book.underlying, book.expiry, strict=True)
                if t
            ],
        )
        values = np.array(got.expiry_value, float) / WAD
        np.testing.assert_allclose(values, want.expiry_value[0][held], atol=budget)
        scale = np.abs(book.size).sum() + 1
        for row, greeks in enumerate(got.greeks):
            assert greeks.delta / WAD == pytest.approx(
                want.delta[0, row], rel=1e-9, abs=1e-9 * scale
            )
            assert greeks.vega / WAD == pytest.approx(want.vega[0, row], rel=1e-9, abs=budget)
            assert greeks.theta / WAD == pytest.approx(want.theta[0, row], rel=1e-8, abs=budget)
            assert greeks.gamma / WAD == pytest.approx(
                want.gamma[0, row], rel=1e-6, abs=1e-12 * scale
            )


def test_binding_scenarios_are_the_references() -> None:
    """Where the worst loss is not a tie within the budget."""
    for book, market in cases(30, 25, doubt=False):
        want = assess(book, market, RULEBOOKS[1])
        got = ENGINE.assess(*on_chain(book, market), 1)
        spot = np.array([s.spot for s in RULEBOOKS[1].scenarios])
        for row in range(len(got.loss_up)):
            for side, counted in (("up", spot >= 1), ("down", spot <= 1)):
                losses = np.append(
                    np.where(counted, -want.scenario_pnl[0, row], -np.inf), want.basis[0, row]
                )
                losses = np.sort(losses)
                if losses[-1] - losses[-2] > 2 * want.budget[0] and losses[-1] > want.budget[0]:
                    binding = getattr(want, f"binding_{side}")[0, row]
                    assert getattr(got, f"binding_{side}")[row] == binding


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_gate_is_exact_or_a_bound_that_equity_covers(number: int) -> None:
    passed = 0
    for book, market in cases(40 + number, 40):
        words, prices = on_chain(book, market)
        equity, initial, maintenance = ENGINE.margins(words, prices, number)
        for kind, exact in ((INITIAL, initial), (MAINTENANCE, maintenance)):
            got, requirement = ENGINE.check(words, prices, number, kind)
            assert got == equity
            assert requirement >= exact
            assert requirement == exact or equity >= requirement
            passed += requirement != exact
    assert passed  # the bound was used


def test_proof_is_a_lower_bound_and_reaches_the_margin() -> None:
    for book, market in cases(50, 12):
        words, prices = on_chain(book, market)
        full = ENGINE.assess(words, prices, 1)
        count = len(RULEBOOKS[1].scenarios)
        rng = random.Random(1)
        for _ in range(4):
            named = [rng.randrange(count + 1) for _ in prices[3]]
            equity, maintenance = ENGINE.prove(words, prices, 1, named)
            assert equity == full.equity
            assert maintenance <= full.maintenance
        if len(prices[3]) == 1:
            worst = (
                full.binding_up[0] if full.loss_up[0] >= full.loss_down[0] else full.binding_down[0]
            )
            assert ENGINE.prove(words, prices, 1, [worst])[1] == full.maintenance


def test_proof_names_one_scenario_an_underlying() -> None:
    words, prices = on_chain(*cases(51, 1)[0])
    with pytest.raises(Reverted, match="one scenario per underlying"):
        ENGINE.prove(words, prices, 1, [0] * (len(prices[3]) + 1))


def test_initial_is_at_least_maintenance_and_long_books_owe_no_more_than_their_value() -> None:
    for book, market in cases(60, 40):
        held = long_only(book)
        equity, initial, maintenance = ENGINE.margins(*on_chain(held, market), 1)
        assert 0 <= maintenance <= initial <= equity
        equity, initial, maintenance = ENGINE.margins(*on_chain(book, market), 1)
        assert maintenance <= initial


def test_splitting_an_account_never_lowers_the_total() -> None:
    """Except for the concentration charge and the cap, which `derive-pmrm` does not have."""
    for book, market in cases(70, 25):
        words, prices = on_chain(book, market)
        if prices[6]:
            continue  # vols follow positions
        cash, unsettled, holdings, positions = words
        whole = ENGINE.margins(words, prices, 0)
        cut = len(positions) // 2
        parts = [
            ENGINE.margins((cash, unsettled, holdings, positions[:cut]), prices, 0),
            ENGINE.margins((0, 0, [], positions[cut:]), prices, 0),
        ]
        want = assess(book, market, RULEBOOKS[0])
        # Naked shorts net across a strike, so a strike must not be cut in two.
        if cut > 0 and (positions[cut - 1] ^ positions[cut]) & (2**136 - 256) == 0:
            continue
        for margin in (1, 2):
            total = sum(part[margin] for part in parts)
            assert total >= whole[margin] - 2 * want.budget[0] * WAD * want.initial_factor


def test_vols_of_positions_are_kept_apart_at_one_strike() -> None:
    """A call and a put of one strike fold into one option only if they share a vol."""
    rng = random.Random(80)
    _, market = random_case(rng, 0, 1, 1, doubt=False)
    u, t = market.expiries.underlying[0], market.expiries.time[0]
    strike = round(float(market.underlyings.spot[0]), 2)
    both = Book.of(
        cash=1e6, underlying=[u, u], kind=[2, 3], expiry=[t, t], strike=strike, size=[3.0, -2.0],
        vol=[0.5, 0.9],
    )  # fmt: skip
    want = assess(both, market, RULEBOOKS[1])
    equity, initial, _ = ENGINE.margins(*on_chain(both, market), 1)
    assert abs(equity / WAD - want.equity[0]) <= want.budget[0]
    assert abs(initial / WAD - want.initial[0]) <= want.budget[0]


@pytest.mark.parametrize("vol", [[], [WAD // 2]])
@pytest.mark.parametrize("kind", [2, 3])
def test_at_strike_zero_a_call_is_the_forward(kind: int, vol: list[int]) -> None:
    expiry, size, forward, nano = T0 + 40 * 86_400, 3, 1010, 10**9
    skew = surface(0.01, 0.1, -0.3, 0.05, 0.3, 30 * 86_400)
    prices = (
        T0, 7, WAD, [(0, 1000 * WAD, WAD, 0, 0, 0)],
        [(terms(0, expiry, forward * nano, 0, 0, nano), skew)], [], vol,
    )  # fmt: skip
    got = ENGINE.assess((0, 0, [], [position(0, expiry, 0, kind, -size * nano)]), prices, 0)
    value = -size * forward if kind == 2 else 0
    assert got.option_value / WAD == pytest.approx(value, rel=1e-10, abs=1e-6)
    for s, pnl in zip(RULEBOOKS[0].scenarios, got.scenario_pnl, strict=True):
        assert pnl / WAD == pytest.approx(value * (s.spot - 1), rel=1e-8, abs=1e-6)
    delta = -size if kind == 2 else 0
    assert (got.greeks[0].delta, got.greeks[0].vega) == (delta * WAD, 0)


@pytest.mark.parametrize("vol", [1e-18, 0.5, 100.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_sizes_and_prices_at_their_bounds(vol: float, sign: int) -> None:
    """Sizes of 2**49, prices of 2**39: the largest that engines and words hold, 64 times."""
    spot, expiry = 2.0**39, T0 + 86_400
    market = Market.of(
        T0, Underlyings([0], [spot]), Expiries([0], [expiry], [spot], rate=0.05), Assets([], [])
    )
    strikes = [spot * 0.999 * (0.97**i) for i in range(32)]
    book = Book.of(
        cash=1e9,
        kind=[2, 3] * 32,
        expiry=expiry,
        strike=[round(k, 9) for k in strikes for _ in range(2)],
        size=[sign * 2.0**49, sign * 2.0**49] * 32,
        vol=vol,
    )
    want = assess(book, market, RULEBOOKS[0])
    got = [x / WAD for x in ENGINE.margins(*on_chain(book, market), 0)]
    budget = 2e-9 * want.gross_notional[0]
    expected = (want.equity[0], want.initial[0], want.maintenance[0])
    assert all(abs(x - y) <= budget for x, y in zip(got, expected, strict=True))


@pytest.mark.parametrize("fixed", [0.0, 1e-9, 500.0])
@pytest.mark.parametrize("end", [1, -1])
def test_at_the_ends_of_the_table(end: int, fixed: float) -> None:
    """Options whose N(d) just stays within the table under the widest shock, or just does not."""
    expiry = T0 + 20 * 60
    market = Market.of(
        T0, Underlyings([0], [1000.0]), Expiries([0], [expiry], [1000.0 - fixed], fixed, rate=0.0),
        Assets([], []),
    )  # fmt: skip
    strike = 1000.0 * 2.0**-end
    # The widest shock is ±20 %, and there d = end·8: x/v ± v/2 = ±8.
    x = math.log(2) - math.log(0.8)
    v = 8 - math.sqrt(64 - 2 * x) if end > 0 else math.sqrt(64 + 2 * x) - 8
    for step in (0, 1e-15, 1e-12, 1e-9, 1e-4):
        for sign in (1, -1):
            vol = v / math.sqrt(20 * 60 / YEAR) * (1 + sign * step)
            book = Book.of(
                cash=1e4, kind=[2, 3], expiry=expiry, strike=strike, size=[3.0, -2.0], vol=vol
            )
            want = assess(book, market, RULEBOOKS[0])
            equity, initial, _ = ENGINE.margins(*on_chain(book, market), 0)
            assert abs(equity / WAD - want.equity[0]) <= want.budget[0]
            assert abs(initial / WAD - want.initial[0]) <= 1.25 * want.budget[0]


@pytest.mark.parametrize(
    ("size", "strike", "vol", "reason"),
    [
        (2**80, 1, 1.0, "kernel: size"),
        (1, 2**70, 1.0, "kernel: strike"),
        (1, 1, 101.0, "kernel: vol"),
    ],
)
def test_beyond_the_bounds_reverts(size: int, strike: int, vol: float, reason: str) -> None:
    expiry = T0 + 86_400
    words = (0, 0, [], [position(0, expiry, strike, 2, size)])
    prices = (
        T0, 7, WAD, [(0, WAD, WAD, WAD, WAD, 0)],
        [(terms(0, expiry, 10**9, 0, 0, 10**9), 0)], [], [int(vol * WAD)],
    )  # fmt: skip
    with pytest.raises(Reverted, match=reason):
        ENGINE.margins(words, prices, 0)


class Captured(Exception):
    pass


def captured(test: Any, name: str) -> tuple[Book, Market, ScenarioRulebook]:
    """What a test of the reference asks the reference about."""
    with mock.patch.object(derive, "assess", side_effect=Captured) as spy, pytest.raises(Captured):
        test(name)
    book, market, rules = spy.call_args.args
    return book, market, rules


def derive_margins(book: Book, market: Market, rules: ScenarioRulebook, number: int) -> Any:
    if not ENGINE.version_count(number):
        ENGINE.publish(number, rules.as_wad(), T0, 0)
    return ENGINE.assess(*on_chain(book, market), number)


@pytest.mark.skipif(not derive.SCENARIOS, reason="derive_pmrm1_scenarios.json is not in ../shared")
@pytest.mark.parametrize("name", derive.SCENARIOS or [None])
def test_derive_scenarios(name: str) -> None:
    """Derive's hand-checked cases, to 1e-8 of the larger of value and gross notional."""
    book, market, rules = captured(derive.test_scenarios, name)
    expected = derive.SCENARIOS[name]["Result"]
    gross = assess(book, market, rules).gross_notional[0]
    got = derive_margins(book, market, rules, 100)

    def close(value: float, key: str) -> None:
        want = expected[key] / 1e18
        assert abs(value / WAD - want) <= 1e-8 * max(abs(want), gross), key

    close(got.equity, "PortfolioMTM")
    close(-got.basis[0], "ForwardContingency")
    close(got.initial_factor, "LossFactor")
    close(got.equity - got.maintenance, "MaintenanceMarginHand")
    close(got.equity - got.initial, "InitialMarginHand")


@pytest.mark.skipif(
    not derive.PORTFOLIOS, reason="derive_pmrm1_portfolios.json is not in ../shared"
)
@pytest.mark.parametrize("name", derive.PORTFOLIOS or [None])
def test_derive_portfolios(name: str) -> None:
    """Derive's portfolio cases, printed in whole dollars."""
    book, market, rules = captured(derive.test_portfolios, name)
    want = assess(book, market, rules)
    got = derive_margins(book, market, rules, 101)
    printed = derive.PORTFOLIOS[name]["results"]
    budget = 1e-8 * want.gross_notional[0]
    assert abs((got.equity - got.maintenance) / WAD - printed["mm"]) < 1 + budget
    assert abs((got.equity - got.initial) / WAD - printed["im"]) < 1 + budget


BLOB = ENGINE.version(1, 0)[0]
losses = st.lists(st.tuples(st.integers(0, 10**30), st.integers(0, 10**30)), min_size=1, max_size=8)


def combined(pairs: list[tuple[int, int]]) -> int:
    return RULES.combine(
        list(range(len(pairs))), [up for up, _ in pairs], [down for _, down in pairs], BLOB
    )


@given(pairs=losses)
@settings(max_examples=40, deadline=None)
def test_correlation_factor_agrees_with_the_formula(pairs: list[tuple[int, int]]) -> None:
    got = combined(pairs)
    worst = [max(pair) for pair in pairs]
    n = len(pairs)
    squares = []
    rules = RULEBOOKS[1].correlation
    for matrix in (rules.low, rules.high):
        rho = np.array(matrix)[:n, :n]
        for corner in range(2**n):
            y = np.array([-d if corner >> i & 1 else u for i, (u, d) in enumerate(pairs)], float)
            squares.append(float(y @ rho @ y))
    want = max(rules.floor * sum(worst), float(np.sqrt(max(squares))), max(worst))
    # The corners are scaled up by one unit each before the root is taken.
    assert want * (1 - 1e-12) - 1 <= got <= want * (1 + 1e-12) + 20 + max(worst) / 2**80
    assert max(worst) <= got <= sum(worst) + 1


@given(a=losses, b=losses)
@settings(max_examples=40, deadline=None)
def test_correlation_factor_is_subadditive_and_monotone(
    a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    size = max(len(a), len(b))
    a, b = (pairs + [(0, 0)] * (size - len(pairs)) for pairs in (a, b))
    both = [(x + u, y + v) for (x, y), (u, v) in zip(a, b, strict=True)]
    slack = 40 + max(max(pair) for pair in both) // 2**70
    assert combined(both) <= combined(a) + combined(b) + slack
    assert combined(both) >= combined(a) - slack
    # Continuous: R moves by no more than the losses do.
    assert combined(both) - combined(a) <= sum(max(pair) for pair in b) + slack


def test_more_scenarios_and_larger_factors_never_lower_the_margin() -> None:
    base = RULEBOOKS[1].model_dump()
    fewer = base | {"scenarios": base["scenarios"][::2]}
    larger = base | {
        "factors": base["factors"] | {"initial": 1.5, "maintenance": 1.2, "long_only_cap": False},
        "vol": base["vol"] | {"range_up": 0.8},
    }
    for number, changed in ((110, fewer), (111, larger)):
        ENGINE.publish(number, ScenarioRulebook.model_validate(changed).as_wad(), T0, 0)
    for book, market in cases(90, 15):
        prices = on_chain(book, market)
        full, few = ENGINE.margins(*prices, 1), ENGINE.margins(*prices, 110)
        assert few[1] <= full[1] + 100
        assert few[2] <= full[2] + 100
        plain = ENGINE.assess(*prices, 1)
        strict = ENGINE.assess(*prices, 111)
        if plain.initial != max(plain.equity, 0):  # not capped
            assert strict.maintenance >= plain.maintenance


def changed(**parts: Any) -> Any:
    """The house rulebook as chain arguments with some fields replaced, `a__b` for nested ones."""
    rules = RULEBOOKS[1].as_wad()
    for path, value in parts.items():
        *parents, name = path.split("__")
        target = rules
        for parent in parents:
            target[parent] = target[parent] | {}
            target = target[parent]
        target[name] = value
    return rules


def matrix(size: int, off: int) -> list[int]:
    return [WAD if i == j else off for i in range(size) for j in range(size)]


IDS = list(range(8))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"scenarios": []}, "no scenarios"),
        ({"scenarios": [(WAD, 3, WAD)]}, "vol direction"),
        ({"scenarios": [(WAD, 0, 5 * WAD)]}, "weight"),
        ({"scenarios": [(17 * WAD, 0, WAD)]}, "spot multiplier"),
        ({"scenarios": [(0, 0, WAD)]}, "spot multiplier"),
        ({"vol__range_up": 11 * WAD}, "vol range"),
        ({"vol__short_power": WAD + 1}, "vol power"),
        ({"vol__time_floor": 0}, "time floor"),
        ({"vol__floor_up": 11 * WAD}, "vol floor"),
        ({"discount__long_base": WAD + 1}, "long discount above 1"),
        ({"discount__short_base": WAD - 1}, "short mark-up below 1"),
        ({"discount__short_rate_scale": 11 * WAD}, "rate scale"),
        ({"discount__long_rate_add": 11 * WAD}, "rate add"),
        ({"basis__up": WAD - 1}, "basis up"),
        ({"basis__down": WAD + 1}, "basis down"),
        ({"basis__add_factor": 11 * WAD}, "basis factor"),
        ({"charges__perp": (0, 0, 11 * WAD)}, "charge"),
        ({"charges__haircuts": [(0, WAD + 1, 0)]}, "haircut"),
        ({"charges__confidence_threshold": WAD + 1}, "confidence threshold"),
        ({"charges__confidence_factor": 11 * WAD}, "confidence factor"),
        ({"factors__initial": WAD - 1}, "initial below maintenance"),
        ({"factors__depeg_threshold": WAD + 1}, "depeg threshold"),
        ({"factors__depeg_factor": 101 * WAD}, "depeg factor"),
        ({"correlation__floor": WAD + 1}, "floor"),
        ({"correlation__ids": IDS[::-1]}, "ids must ascend"),
        ({"correlation__ids": []}, "no underlyings"),
        ({"correlation__low": matrix(7, 0)}, "matrix: size"),
        ({"correlation__low": matrix(8, WAD + 1)}, "correlation beyond 1"),
        ({"correlation__low": [0, *matrix(8, 0)[1:]]}, "diagonal"),
        ({"correlation__low": [WAD, WAD // 2, *matrix(8, 0)[2:]]}, "not symmetric"),
        ({"correlation__high": matrix(8, -WAD // 2)}, "positive semidefinite"),
    ],
)
def test_refuses_bad_rulebooks(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(Reverted, match=reason):
        ENGINE.publish(200, changed(**parts), T0, 0)


def test_accepts_matrices_of_rank_one() -> None:
    signs = [1, -1, 1, -1, 1, -1, 1, -1]
    one = [WAD * a * b for a in signs for b in signs]
    ENGINE.publish(120, changed(correlation__low=one, correlation__high=matrix(8, WAD)), T0, 0)


def test_only_the_owner_publishes() -> None:
    with pytest.raises(Reverted, match="ownable: not owner"):
        ENGINE.publish(0, RULEBOOKS[0].as_wad(), T0, 0, sender=EVM.address("stranger"))


def test_versions_ramp_from_one_to_the_next() -> None:
    evm = Evm(T0)
    engine, _ = deploy(evm)
    with pytest.raises(Reverted, match="no such rulebook"):
        engine.margins((0, 0, [], []), chain_market(*_empty()), 1)
    with pytest.raises(Reverted, match="nothing to ramp from"):
        engine.publish(1, RULEBOOKS[1].as_wad(), T0, 10)
    engine.publish(1, RULEBOOKS[1].as_wad(), T0, 0)
    strict = changed(factors__initial=3 * WAD, factors__maintenance=2 * WAD)
    with pytest.raises(Reverted, match="activation too early"):
        engine.publish(1, strict, T0 - 1, 2 * DAY)
    with pytest.raises(Reverted, match="ramp too long"):
        engine.publish(1, strict, T0, 91 * DAY)
    for activation, ramp in ((T0, 0), (T0 + DAY - 1, 0), (T0, DAY - 1)):
        with pytest.raises(Reverted, match="change too sudden"):
            engine.publish(1, strict, activation, ramp)
    engine.publish(1, changed(factors__initial=9 * WAD), T0 + DAY, 0)
    engine.publish(1, strict, T0 + DAY - 100, 200)  # replaces the pending one
    assert engine.version_count(1) == 2
    with pytest.raises(Reverted, match="no such version"):
        engine.version(1, 2)

    rng = random.Random(7)
    book, market = random_case(rng, 6, 1, 1, doubt=False)
    words, prices = on_chain(book, market)

    engine.publish(2, RULEBOOKS[1].as_wad(), T0, 0)
    engine.publish(3, strict, T0, 0)
    for seconds, share in ((-1, 0), (0, 0), (50, 0.25), (100, 0.5), (200, 1), (10**4, 1)):
        at = (words, (T0 + DAY - 100 + seconds, *prices[1:]))
        old, new, got = engine.margins(*at, 2), engine.margins(*at, 3), engine.margins(*at, 1)
        assert got[0] == new[0]
        for margin in (1, 2):
            want = old[margin] * (1 - share) + new[margin] * share
            assert got[margin] == pytest.approx(want, rel=1e-12)
    # Once a version applies, the next one waits for its ramp to end.
    evm.time = T0 + DAY
    with pytest.raises(Reverted, match="activation too early"):
        engine.publish(1, strict, T0 + DAY + 99, DAY)
    engine.publish(1, strict, T0 + DAY + 100, DAY)
    assert engine.version_count(1) == 3


def _empty() -> tuple[Market, Book, list[int]]:
    book, market = random_case(random.Random(1), 0, 1, 1)
    return market, book, []


def test_refuses_what_the_market_does_not_know() -> None:
    book, market = random_case(random.Random(3), 8, 2, 2, doubt=False)
    words, prices = on_chain(book, market)
    time, usable, stable, underlyings, expiries, assets, vols = prices
    for broken, reason in (
        ((time, usable, 0, underlyings, expiries, assets, vols), "no price of the stablecoin"),
        ((time, usable, stable, underlyings[:1], expiries, [], vols), "lacks an"),
        ((time, usable, stable, underlyings, [], assets, vols), "lacks an expiry"),
    ):
        with pytest.raises(Reverted, match=reason):
            ENGINE.margins(words, broken, 1)
