"""The liquidation rules: what each answers, and Derive's own auctions."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evm import Contract, Evm, Reverted

WAD = 10**18
SOLVENT, INSOLVENT = 1, 2
DERIVE = Path(__file__).parents[3] / "shared" / "data" / "vectors" / "derive_auction_sims.json"

# The auction of Derive's tests: 98 % to 80 % in 100 s, then to nothing in 4 h; insolvent 10 min.
DUTCH = (98 * WAD // 100, 80 * WAD // 100, 100, 14_400, 600, 0)
STEP = (WAD // 2, 8 * WAD // 10, WAD // 20, 3600, 600, WAD // 100)
PENALTY = (WAD // 20, 900, 600, WAD // 100)
RULES = {"DutchAuction": DUTCH, "PartialStep": STEP, "FixedPenalty": PENALTY}


class State(NamedTuple):
    account: int = 7
    phase: int = SOLVENT
    started: int = 1000
    equity: int = 80 * WAD
    maintenance: int = 100 * WAD
    reserved: int = 0
    buffer: int = WAD // 10
    sold: int = 0


EVM = Evm()


def deploy(name: str, *args: int) -> Contract:
    return EVM.deploy(f"rules/{name}.vy", *args)


@pytest.fixture(scope="module")
def dutch() -> Contract:
    return deploy("DutchAuction", *DUTCH)


@pytest.fixture(scope="module")
def step() -> Contract:
    return deploy("PartialStep", *STEP)


@pytest.fixture(scope="module")
def penalty() -> Contract:
    return deploy("FixedPenalty", *PENALTY)


def sims() -> list[Any]:
    """Each bid of Derive's solvent simulations, with the cash paid in before it."""
    if not DERIVE.exists():
        return [pytest.param(None, None, None, marks=pytest.mark.skip(f"{DERIVE} is not here"))]
    bids = []
    for name, sim in json.loads(DERIVE.read_text()).items():
        if name.startswith("Insolvent"):
            continue  # they disagree with Derive's own contracts
        reserved = 0
        for i, action in enumerate(sim["Actions"]):
            bids.append(pytest.param(action, sim["StartTime"], reserved, id=f"{name}-{i}"))
            reserved += action["Results"]["ExpectedBidPrice"]
    return bids


@pytest.mark.parametrize(("action", "start", "reserved"), sims())
def test_derives_auctions(dutch: Contract, action: Any, start: int, reserved: int) -> None:
    """f_max and the price of every bid to 1e-12, from the file's own marks."""
    seen = action["Results"]
    equity, headroom = seen["PreMtM"], seen["PreMM"]
    state = State(
        started=start,
        equity=equity,
        maintenance=equity - headroom,
        reserved=reserved,
        buffer=WAD // 5,
    )
    most, price, _ = dutch.quote(state, action["Time"])
    assert abs(most - seen["PreFMax"]) <= 10**6
    fraction = min(most, action["Liquidator"]["PercentWant"])
    assert abs(fraction - seen["fLiquidatedOfOriginal"]) <= 10**6
    paid = Fraction(price * fraction, WAD**2) * (equity - reserved)
    assert abs(paid - seen["ExpectedBidPrice"]) <= 10**6


@pytest.mark.parametrize(
    ("elapsed", "percent"), [(0, 98), (50, 89), (100, 80), (7300, 40), (14_500, 0), (99_999, 0)]
)
def test_the_auction_falls_fast_then_slowly(dutch: Contract, elapsed: int, percent: int) -> None:
    state = State(equity=50 * WAD)
    _, price, _ = dutch.quote(state, state.started + elapsed)
    assert price == percent * WAD // 100


def exact_after(state: State, fraction: int, price: int) -> tuple[Fraction, Fraction]:
    """Equity and maintenance after a bid, of an account that scales with what is sold."""
    moved = Fraction(fraction, WAD) * (state.equity - state.reserved)
    return (
        state.equity - moved + Fraction(price, WAD) * moved,
        state.maintenance * (1 - Fraction(fraction, WAD)),
    )


states = st.builds(
    State,
    account=st.just(7),
    phase=st.just(SOLVENT),
    started=st.just(1000),
    sold=st.just(0),
    equity=st.integers(1, 10**24),
    maintenance=st.integers(0, 10**24),
    reserved=st.integers(0, 10**24),
    buffer=st.integers(0, WAD),
)


@given(state=states, elapsed=st.integers(0, 20_000))
@settings(max_examples=150, deadline=None)
def test_the_auction_sells_no_more_than_restores_the_buffer(
    dutch: Contract, state: State, elapsed: int
) -> None:
    most, price, reward = dutch.quote(state, state.started + elapsed)
    assert 0 <= most <= WAD
    assert 0 <= price <= WAD
    assert reward == 0
    if state.equity <= state.reserved:
        return
    target = Fraction(WAD + state.buffer, WAD) * state.maintenance
    equity, maintenance = exact_after(state, most, price)
    if most < WAD:
        # Rounded up: the buffer is reached, but for a wei where it already was.
        assert equity + 1 >= Fraction(WAD + state.buffer, WAD) * maintenance
    if most > 0:
        assert state.equity < target + 1
        assert equity - maintenance >= state.equity - state.maintenance
    if 1 < most < WAD:
        before, left = exact_after(state, most - 2, price)
        assert before < Fraction(WAD + state.buffer, WAD) * left + 2


def test_the_auction_sells_nothing_at_the_buffer(dutch: Contract) -> None:
    state = State(equity=110 * WAD)
    assert dutch.quote(state, state.started)[0] == 0
    assert dutch.quote(state._replace(equity=110 * WAD - 1), state.started)[0] > 0


def test_the_auction_sells_all_where_that_is_not_enough(dutch: Contract) -> None:
    """With no buffer and the least allowed price, nothing short of everything restores it."""
    state = State(equity=200 * WAD, maintenance=100 * WAD, buffer=2 * WAD)
    late = state.started + 14_500
    assert dutch.quote(state, late)[1] == WAD // 2
    assert dutch.quote(state._replace(buffer=0, equity=99 * WAD), late)[0] == WAD


def test_the_auction_never_lowers_health(dutch: Contract) -> None:
    """p is raised to 1 - M/(E - C), and in the wei's favour."""
    state = State(equity=3 * WAD, maintenance=WAD, buffer=5 * WAD)
    _, price, _ = dutch.quote(state, state.started + 14_500)
    assert price == WAD - WAD // 3 == 666666666666666667


@pytest.mark.parametrize(
    ("equity", "reserved"), [(-5 * WAD, 0), (0, 0), (WAD, WAD), (WAD, 2 * WAD)]
)
def test_the_auction_answers_where_nothing_is_left(
    dutch: Contract, equity: int, reserved: int
) -> None:
    state = State(equity=equity, reserved=reserved)
    assert dutch.quote(state, state.started) == (WAD, DUTCH[0], 0)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_sells_an_insolvent_account_whole(name: str) -> None:
    rule = deploy(name, *RULES[name])
    state = State(phase=INSOLVENT, equity=-5 * WAD)
    assert rule.quote(state, state.started)[:2] == (WAD, 0)
    assert rule.duration(INSOLVENT) == 600


@pytest.mark.parametrize(("name", "seconds"), zip(RULES, (14_500, 3600, 900), strict=True))
def test_durations(name: str, seconds: int) -> None:
    assert deploy(name, *RULES[name]).duration(SOLVENT) == seconds


@pytest.mark.parametrize(
    ("equity", "fraction"), [(99, WAD // 2), (80, WAD // 2), (79, WAD), (-5, WAD)]
)
def test_the_step_takes_its_close_factor_or_all(step: Contract, equity: int, fraction: int) -> None:
    state = State(equity=equity * WAD)
    assert step.quote(state, state.started + 9) == (fraction, 95 * WAD // 100, WAD // 100)


def test_the_penalty_takes_all_at_once(penalty: Contract) -> None:
    state = State()
    assert penalty.quote(state, state.started) == (WAD, 95 * WAD // 100, WAD // 100)


@pytest.mark.parametrize(
    ("name", "place", "bad", "reason"),
    [
        ("DutchAuction", 0, WAD + 1, "auction: price out of bounds"),
        ("DutchAuction", 1, DUTCH[0] + 1, "auction: price out of bounds"),
        ("DutchAuction", 2, 0, "auction: duration out of bounds"),
        ("DutchAuction", 3, 0, "auction: duration out of bounds"),
        ("DutchAuction", 3, 7 * 86_400, "auction: duration out of bounds"),
        ("DutchAuction", 4, 0, "auction: duration out of bounds"),
        ("DutchAuction", 4, 7 * 86_400 + 1, "auction: duration out of bounds"),
        ("DutchAuction", 5, WAD // 10 + 1, "auction: reward too high"),
        ("PartialStep", 0, 0, "step: close factor out of bounds"),
        ("PartialStep", 0, WAD + 1, "step: close factor out of bounds"),
        ("PartialStep", 1, WAD + 1, "step: threshold out of bounds"),
        ("PartialStep", 2, WAD // 2 + 1, "step: bonus too high"),
        ("PartialStep", 3, 0, "step: duration out of bounds"),
        ("PartialStep", 3, 7 * 86_400 + 1, "step: duration out of bounds"),
        ("PartialStep", 4, 0, "step: duration out of bounds"),
        ("PartialStep", 4, 7 * 86_400 + 1, "step: duration out of bounds"),
        ("PartialStep", 5, WAD // 20 + 1, "step: reward too high"),
        ("FixedPenalty", 0, WAD // 2 + 1, "penalty: too high"),
        ("FixedPenalty", 1, 0, "penalty: duration out of bounds"),
        ("FixedPenalty", 1, 7 * 86_400 + 1, "penalty: duration out of bounds"),
        ("FixedPenalty", 2, 0, "penalty: duration out of bounds"),
        ("FixedPenalty", 2, 7 * 86_400 + 1, "penalty: duration out of bounds"),
        ("FixedPenalty", 3, WAD // 20 + 1, "penalty: reward too high"),
    ],
)
def test_parameters_are_bounded(name: str, place: int, bad: int, reason: str) -> None:
    args = list(RULES[name])
    args[place] = bad
    with pytest.raises(Reverted, match=reason):
        deploy(name, *args)


@pytest.mark.parametrize("name", ["PartialStep", "FixedPenalty"])
def test_rewards_are_bounded_however_high_the_discount(name: str) -> None:
    args = [*RULES[name]]
    args[2 if name == "PartialStep" else 0] = WAD // 2
    args[-1] = WAD // 10 + 1
    with pytest.raises(Reverted, match="reward too high"):
        deploy(name, *args)


def test_parameters_are_readable(dutch: Contract, step: Contract, penalty: Contract) -> None:
    assert (dutch.START(), dutch.CUTOFF(), dutch.FAST(), dutch.SLOW()) == DUTCH[:4]
    assert (dutch.INSOLVENT(), dutch.REWARD()) == DUTCH[4:]
    assert (step.CLOSE_FACTOR(), step.WHOLE_BELOW(), step.BONUS()) == STEP[:3]
    assert (step.SOLVENT_DURATION(), step.INSOLVENT_DURATION(), step.REWARD()) == STEP[3:]
    assert (penalty.PENALTY(), penalty.SOLVENT_DURATION()) == PENALTY[:2]
    assert (penalty.INSOLVENT_DURATION(), penalty.REWARD()) == PENALTY[2:]
