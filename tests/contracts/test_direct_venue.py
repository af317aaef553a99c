"""The venue of agreed trades."""

from __future__ import annotations

import pytest

from tests.evm import OWNER, Contract, Evm, Reverted

WAD = 10**18
TRADE, WITHDRAW = 1, 2
TRADE_OF_TWO = [(1, 1, WAD, -100 * WAD), (2, 1, -WAD, 100 * WAD)]


@pytest.fixture
def house() -> Contract:
    return Evm().deploy("testing/MockHouse.vy")


@pytest.fixture
def venue(house: Contract) -> Contract:
    return house.evm.deploy("DirectVenue.vy", OWNER, house.address)


def test_a_matcher_trades_for_anyone(house: Contract, venue: Contract) -> None:
    matcher = house.evm.address("matcher")
    venue.set_matcher(matcher, True)
    (event,) = house.evm.events
    assert (event.name, event.args) == ("MatcherSet", {"matcher": matcher, "allowed": True})
    venue.trade(TRADE_OF_TWO, sender=matcher)
    assert house.legs() == TRADE_OF_TWO
    venue.set_matcher(matcher, False)
    with pytest.raises(Reverted, match="venue: not allowed"):
        venue.trade(TRADE_OF_TWO, sender=matcher)


def test_who_may_trade_for_both_sides_needs_no_matcher(house: Contract, venue: Contract) -> None:
    trader = house.evm.address("trader")
    house.grant(1, trader, TRADE)
    house.grant(2, trader, TRADE | WITHDRAW)
    venue.trade(TRADE_OF_TWO, sender=trader)
    assert house.legs() == TRADE_OF_TWO


@pytest.mark.parametrize("roles", [0, WITHDRAW])
def test_one_side_alone_is_not_enough(house: Contract, venue: Contract, roles: int) -> None:
    trader = house.evm.address("trader")
    house.grant(1, trader, TRADE)
    house.grant(2, trader, roles)
    with pytest.raises(Reverted, match="venue: not allowed"):
        venue.trade(TRADE_OF_TWO, sender=trader)


def test_set_matcher_is_the_owners(house: Contract, venue: Contract) -> None:
    with pytest.raises(Reverted, match="ownable: not owner"):
        venue.set_matcher(OWNER, True, sender=house.evm.address("stranger"))


def test_the_constructor_wants_a_contract(house: Contract) -> None:
    with pytest.raises(Reverted, match="venue: clearing house is no contract"):
        house.evm.deploy("DirectVenue.vy", OWNER, OWNER)
