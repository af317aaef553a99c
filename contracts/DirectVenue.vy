# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Direct venue
@license Apache-2.0
@notice Brings trades that are agreed elsewhere: for the simulator, whose agents hold no keys.
@dev Every account in a trade has granted this venue TRADE, which the clearing house checks. On top
     of that the caller must be a matcher, or hold TRADE on every account of the trade itself.
@custom:security An account that grants this venue trusts its matchers with everything that the margin
                 gate lets through. Grant it only where a matcher is as trusted as an operator.
@custom:kill Take the matchers away, or the venue out of the registry.
"""
from interfaces import IClearingHouse
from interfaces import IVenue
from modules import ownable

initializes: ownable

exports: (
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)


event MatcherSet:
    matcher: indexed(address)
    allowed: bool


CLEARING_HOUSE: public(immutable(address))

is_matcher: public(HashMap[address, bool])


@deploy
def __init__(owner: address, clearing_house: address):
    assert clearing_house.is_contract, "venue: clearing house is no contract"
    ownable.__init__(owner)
    CLEARING_HOUSE = clearing_house


@external
def set_matcher(matcher: address, allowed: bool):
    """
    @notice Let an address bring trades between any accounts that have granted this venue.
    """
    ownable._check_owner()
    self.is_matcher[matcher] = allowed
    log MatcherSet(matcher=matcher, allowed=allowed)


@external
def trade(legs: DynArray[IVenue.Leg, 16]):
    """
    @notice Book a trade.
    """
    if not self.is_matcher[msg.sender]:
        for leg: IVenue.Leg in legs:
            assert staticcall IClearingHouse(CLEARING_HOUSE).may(
                leg.account, msg.sender, IClearingHouse.Role.TRADE
            ), "venue: not allowed"
    extcall IClearingHouse(CLEARING_HOUSE).novate(legs)
