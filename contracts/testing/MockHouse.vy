# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Mock clearing house
@license Apache-2.0
@notice Keeps the last trade that a venue brought, and answers whatever roles it was told.
@custom:security For tests only: it books nothing.
@custom:kill None.
"""
from interfaces import IClearingHouse
from interfaces import IVenue


_roles: HashMap[uint256, HashMap[address, IClearingHouse.Role]]
_legs: DynArray[IVenue.Leg, 16]


@external
def grant(account: uint256, operator: address, roles: IClearingHouse.Role):
    """
    @notice Give an operator exactly these roles.
    """
    self._roles[account][operator] = roles


@external
@view
def may(account: uint256, actor: address, role: IClearingHouse.Role) -> bool:
    """
    @notice Whether the actor holds all of `role`.
    """
    return self._roles[account][actor] & role == role


@external
def novate(legs: DynArray[IVenue.Leg, 16]):
    """
    @notice Keep a trade.
    """
    self._legs = legs


@external
@view
def legs() -> DynArray[IVenue.Leg, 16]:
    """
    @notice The last trade.
    """
    return self._legs
