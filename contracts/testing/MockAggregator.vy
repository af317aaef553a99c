# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Mock aggregator
@license Apache-2.0
@notice A Chainlink-style feed that answers what it is told to.
@custom:security For tests and simulations only: anyone may set its answer.
@custom:kill None.
"""
from interfaces import IAggregator

implements: IAggregator


decimals: public(immutable(uint8))

_round: uint80
_answer: int256
_started: uint256
_updated: uint256


@deploy
def __init__(units: uint8):
    decimals = units


@external
def answer(latest: int256, started: uint256, updated: uint256):
    """
    @notice Set the next round.
    """
    self._round += 1
    self._answer = latest
    self._started = started
    self._updated = updated


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    """
    @return Round, answer, when the round started, when the answer was updated, round of the answer.
    """
    return self._round, self._answer, self._started, self._updated, self._round
