# pragma version 0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
# pragma optimize gas
"""
@title Mock rule
@license Apache-2.0
@notice A liquidation rule that answers what it is told, and until then fails.
@custom:security For tests only: anyone may tell it.
@custom:kill None.
"""
from interfaces import ILiquidationRule

implements: ILiquidationRule


_told: bool
_answer: uint256[3]


@external
def answer(fraction: uint256, price: uint256, reward: uint256):
    """
    @notice Answer this from now on.
    """
    self._told = True
    self._answer = [fraction, price, reward]


@external
@view
def quote(state: ILiquidationRule.State, now: uint256) -> (uint256, uint256, uint256):
    """
    @notice What it was told.
    """
    assert self._told, "rule: not told"
    return self._answer[0], self._answer[1], self._answer[2]


@external
@view
def duration(phase: uint256) -> uint256:
    """
    @notice Nonsense, so that the built-in duration applies.
    """
    return max_value(uint256)
