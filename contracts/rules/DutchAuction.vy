# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Dutch auction
@license Apache-2.0
@notice Sells the smallest fraction that restores the buffer, at a discount that grows with time:
        fast from the start to the cutoff, then slowly to nothing.
@custom:security Stateless and immutable: what it answers depends on its arguments alone.
@custom:kill None: the liquidator chooses another rule.
"""
from interfaces import ILiquidationRule

implements: ILiquidationRule


WAD: constant(uint256) = 10**18
MAX_DURATION: constant(uint256) = 7 * 86400
MAX_REWARD: constant(uint256) = 10**17
SOLVENT: constant(uint256) = 1

START: public(immutable(uint256))           # price fraction at the start, WAD
CUTOFF: public(immutable(uint256))          # and where the slow phase takes over
FAST: public(immutable(uint256))            # seconds
SLOW: public(immutable(uint256))
INSOLVENT: public(immutable(uint256))
REWARD: public(immutable(uint256))          # of the value moved, WAD


@deploy
def __init__(
    start: uint256, cutoff: uint256, fast: uint256, slow: uint256, insolvent: uint256, reward: uint256
):
    """
    @param start Price fraction at the start, WAD.
    @param cutoff Price fraction at the end of the fast phase, WAD.
    @param fast Seconds of the fast phase.
    @param slow Seconds of the slow phase.
    @param insolvent Seconds in which the payout of the insolvent phase rises.
    @param reward The keeper's, as a fraction of the value moved, WAD.
    """
    assert start <= WAD and cutoff <= start, "auction: price out of bounds"
    assert fast > 0 and slow > 0 and fast + slow <= MAX_DURATION, "auction: duration out of bounds"
    assert insolvent > 0 and insolvent <= MAX_DURATION, "auction: duration out of bounds"
    assert reward <= MAX_REWARD, "auction: reward too high"
    START = start
    CUTOFF = cutoff
    FAST = fast
    SLOW = slow
    INSOLVENT = insolvent
    REWARD = reward


@external
@view
def quote(state: ILiquidationRule.State, now: uint256) -> (uint256, uint256, uint256):
    """
    @notice The fraction that lifts equity to the buffer, rounded up, and the price of the moment.
    @dev PROTOCOL 8: f_max = ((1+b)M - E) / ((1+b)M - (1-p)(E-C)), p at least 1 - M/(E-C).
    """
    if state.phase != SOLVENT:
        return WAD, 0, REWARD
    price: uint256 = self._price(now - state.started)
    reserved: int256 = convert(state.reserved, int256)
    if state.equity <= reserved:
        return WAD, price, REWARD

    equity: uint256 = convert(state.equity, uint256)
    sold: uint256 = equity - state.reserved
    if sold > state.maintenance:
        price = max(price, WAD - state.maintenance * WAD // sold)
    target: uint256 = state.maintenance + self._ceil_div(state.maintenance * state.buffer, WAD)
    if equity >= target:
        return 0, price, REWARD
    wanted: uint256 = target - equity
    gained: uint256 = target - min(target, self._ceil_div((WAD - price) * sold, WAD))
    if gained <= wanted:
        return WAD, price, REWARD
    return self._ceil_div(wanted * WAD, gained), price, REWARD


@external
@view
def duration(phase: uint256) -> uint256:
    """
    @notice Seconds from the start of a phase to the end of its price path.
    """
    return FAST + SLOW if phase == SOLVENT else INSOLVENT


@internal
@view
def _price(elapsed: uint256) -> uint256:
    if elapsed < FAST:
        return START - (START - CUTOFF) * elapsed // FAST
    if elapsed < FAST + SLOW:
        return CUTOFF - CUTOFF * (elapsed - FAST) // SLOW
    return 0


@internal
@pure
def _ceil_div(numerator: uint256, denominator: uint256) -> uint256:
    return (numerator + denominator - 1) // denominator
