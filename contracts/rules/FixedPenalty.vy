# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Fixed penalty
@license Apache-2.0
@notice Hands over the whole account in one bid at a fixed penalty, and to the backstop when nobody
        takes it in time. The bluntest rule, for comparison.
@custom:security Stateless and immutable: what it answers depends on its arguments alone.
@custom:kill None: the liquidator chooses another rule.
"""
from interfaces import ILiquidationRule

implements: ILiquidationRule


WAD: constant(uint256) = 10**18
MAX_DURATION: constant(uint256) = 7 * 86400
MAX_PENALTY: constant(uint256) = 5 * 10**17
MAX_REWARD: constant(uint256) = 10**17
SOLVENT: constant(uint256) = 1

PENALTY: public(immutable(uint256))         # of the value moved, WAD
SOLVENT_DURATION: public(immutable(uint256))
INSOLVENT_DURATION: public(immutable(uint256))
REWARD: public(immutable(uint256))          # of the value moved, WAD


@deploy
def __init__(penalty: uint256, solvent: uint256, insolvent: uint256, reward: uint256):
    """
    @param penalty Discount of the value moved, WAD.
    @param solvent Seconds in which a bidder may take the account.
    @param insolvent Seconds after which the backstop takes it.
    @param reward The keeper's, as a fraction of the value moved, WAD.
    """
    assert penalty <= MAX_PENALTY, "penalty: too high"
    assert solvent > 0 and solvent <= MAX_DURATION, "penalty: duration out of bounds"
    assert insolvent > 0 and insolvent <= MAX_DURATION, "penalty: duration out of bounds"
    assert reward <= MAX_REWARD and reward <= penalty, "penalty: reward too high"
    PENALTY = penalty
    SOLVENT_DURATION = solvent
    INSOLVENT_DURATION = insolvent
    REWARD = reward


@external
@view
def quote(state: ILiquidationRule.State, now: uint256) -> (uint256, uint256, uint256):
    """
    @notice All of it, at the fixed penalty.
    """
    return WAD, WAD - PENALTY if state.phase == SOLVENT else 0, REWARD


@external
@view
def duration(phase: uint256) -> uint256:
    """
    @notice Seconds from the start of a phase to its end.
    """
    return SOLVENT_DURATION if phase == SOLVENT else INSOLVENT_DURATION
