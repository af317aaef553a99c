# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Partial step
@license Apache-2.0
@notice Sells up to a close factor at a fixed discount, step by step until the buffer is reached; an
        account far below its margin goes whole. The rule of lending markets, for comparison.
@custom:security Stateless and immutable: what it answers depends on its arguments alone.
@custom:kill None: the liquidator chooses another rule.
"""
from interfaces import ILiquidationRule

implements: ILiquidationRule


WAD: constant(uint256) = 10**18
MAX_DURATION: constant(uint256) = 7 * 86400
MAX_BONUS: constant(uint256) = 5 * 10**17
MAX_REWARD: constant(uint256) = 10**17
SOLVENT: constant(uint256) = 1

CLOSE_FACTOR: public(immutable(uint256))    # largest fraction of one bid, WAD
WHOLE_BELOW: public(immutable(uint256))     # E/M below which one bid may take all, WAD
BONUS: public(immutable(uint256))           # discount of the value moved, WAD
SOLVENT_DURATION: public(immutable(uint256))
INSOLVENT_DURATION: public(immutable(uint256))
REWARD: public(immutable(uint256))          # of the value moved, WAD


@deploy
def __init__(
    close_factor: uint256,
    whole_below: uint256,
    bonus: uint256,
    solvent: uint256,
    insolvent: uint256,
    reward: uint256,
):
    """
    @param close_factor Largest fraction that one bid may take, WAD.
    @param whole_below Equity over maintenance margin below which a bid may take all, WAD.
    @param bonus Discount of the value moved, WAD.
    @param solvent Seconds after which the solvent phase has failed.
    @param insolvent Seconds in which the payout of the insolvent phase rises.
    @param reward The keeper's, as a fraction of the value moved, WAD.
    """
    assert close_factor > 0 and close_factor <= WAD, "step: close factor out of bounds"
    assert whole_below <= WAD, "step: threshold out of bounds"
    assert bonus <= MAX_BONUS, "step: bonus too high"
    assert solvent > 0 and solvent <= MAX_DURATION, "step: duration out of bounds"
    assert insolvent > 0 and insolvent <= MAX_DURATION, "step: duration out of bounds"
    assert reward <= MAX_REWARD and reward <= bonus, "step: reward too high"
    CLOSE_FACTOR = close_factor
    WHOLE_BELOW = whole_below
    BONUS = bonus
    SOLVENT_DURATION = solvent
    INSOLVENT_DURATION = insolvent
    REWARD = reward


@external
@view
def quote(state: ILiquidationRule.State, now: uint256) -> (uint256, uint256, uint256):
    """
    @notice The close factor, or all, at the fixed discount.
    """
    if state.phase != SOLVENT:
        return WAD, 0, REWARD
    threshold: int256 = convert(state.maintenance * WHOLE_BELOW // WAD, int256)
    fraction: uint256 = WAD if state.equity < threshold else CLOSE_FACTOR
    return fraction, WAD - BONUS, REWARD


@external
@view
def duration(phase: uint256) -> uint256:
    """
    @notice Seconds from the start of a phase to its end.
    """
    return SOLVENT_DURATION if phase == SOLVENT else INSOLVENT_DURATION
