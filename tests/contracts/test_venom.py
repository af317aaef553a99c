"""The experimental code generator as a second opinion: same source, same answers.

The kernels, and the scenario engine, are beyond it: it cannot reach as deep in the stack as they
need. The mathematics that all engines share is compared in test_option_math and test_math_modules.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.chain_books import T0
from tests.contracts.feeds import (
    DAY,
    ETH,
    FORWARD,
    MARK,
    RATE,
    SPOT,
    STABLE,
    WAD,
    Desk,
    Policy,
    feed,
    option,
    perpetual,
)
from tests.contracts.test_rules import DUTCH, states
from tests.contracts.test_scenario_engine import cases, on_chain
from tests.contracts.test_simple_engines import ENGINES, KERNEL, RULEBOOKS
from tests.contracts.test_simple_engines import EVM as ENGINES_EVM
from tests.evm import OWNER, Contract, Evm

EVM = Evm()


@pytest.fixture(scope="module")
def auctions() -> list[Contract]:
    return [EVM.deploy("rules/DutchAuction.vy", *DUTCH, venom=venom) for venom in (False, True)]


@pytest.mark.parametrize("name", ENGINES)
def test_engines_agree(name: str) -> None:
    legacy = ENGINES[name]
    path, *args = {
        "ltv": ("engines/LtvEngine.vy", OWNER),
        "sensitivity": ("engines/SensitivityEngine.vy", OWNER, KERNEL.address),
    }[name]
    venom = ENGINES_EVM.deploy(path, *args, venom=True)
    venom.publish(1, RULEBOOKS[name].as_wad(), T0, 0)
    for book, market in cases(50, 20):
        given = on_chain(book, market)
        assert legacy.margins(*given, 1) == venom.margins(*given, 1)
        assert legacy.assess(*given, 1) == venom.assess(*given, 1)
        for kind in (1, 2):
            assert legacy.check(*given, 1, kind) == venom.check(*given, 1, kind)


@given(state=states, elapsed=st.integers(0, 20_000))
@settings(max_examples=50, deadline=None)
def test_auctions_agree(auctions: list[Contract], state: tuple[int, ...], elapsed: int) -> None:
    legacy, venom = (auction.quote(state, 1000 + elapsed) for auction in auctions)
    assert legacy == venom


reports = st.lists(
    st.tuples(
        st.sampled_from([SPOT, MARK, FORWARD, RATE, STABLE]),
        st.integers(-10, 5000),
        st.integers(0, 2),
        st.integers(0, 900),
        st.integers(0, 60),
    ),
    max_size=20,
)


@given(reports=reports)
@settings(max_examples=15, deadline=None)
def test_oracles_agree(reports: list[tuple[int, ...]]) -> None:
    """Through a settlement window, with several sources, lateness and nonsense."""
    evm = Evm()
    desk = Desk(evm)
    legacy, venom = desk.oracle, evm.deploy("Oracle.vy", OWNER, 5, venom=True)
    sources = [evm.address(name) for name in "abc"]
    expiry = evm.time + DAY
    policy = Policy(quorum=2, deviation=WAD // 5, jump=WAD // 100, recovery=600)
    for oracle in (legacy, venom):
        for kind in (SPOT, MARK, FORWARD, RATE, STABLE):
            oracle.configure(feed(kind), policy, sources)
        oracle.set_perpetual(ETH, (WAD // 20, 3600, WAD // 10**5, WAD // 1000))
    evm.time = expiry - 1800
    for kind, price, source, wait, late in reports:
        evm.time += wait // 5
        dated = expiry if kind in (FORWARD, RATE) else 0
        update = (feed(kind, ETH, dated), price * WAD, WAD, evm.time - late)
        logs = []
        for oracle in (legacy, venom):
            oracle.push([update], sender=sources[source])
            logs.append([(event.name, event.args) for event in evm.events])
        assert logs[0] == logs[1]
        book = [perpetual(ETH)] if evm.time >= expiry else [perpetual(ETH), option(ETH, expiry)]
        assert legacy.market(book, []) == venom.market(book, [])
        assert legacy.perp(ETH) == venom.perp(ETH)
        assert legacy.settlement_price(ETH, expiry) == venom.settlement_price(ETH, expiry)
