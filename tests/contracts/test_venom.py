"""The experimental code generator as a second opinion: same source, same answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from tests.evm import OWNER, Contract, Evm

EVM = Evm()


@pytest.fixture(scope="module")
def auctions() -> list[Contract]:
    return [EVM.deploy("rules/DutchAuction.vy", *DUTCH, venom=venom) for venom in (False, True)]


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
