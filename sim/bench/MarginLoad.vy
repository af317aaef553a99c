# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title The load of the chain benchmark
@license Apache-2.0
@notice As heavy as a margin check that is written plainly: every position is read from storage and
        revalued in every scenario.
"""

POSITIONS: constant(uint256) = 32
SCENARIOS: constant(uint256) = 9
WAD: constant(int256) = 10**18


event Checked:
    worst: int256


worst: public(int256)
checks: public(uint256)
_positions: uint256[POSITIONS]


@deploy
def __init__():
    for i: uint256 in range(POSITIONS):
        self._positions[i] = (i % 7 + 1) << 128 | (80 + i) * 10**18


@external
def check():
    worst: int256 = max_value(int256)
    for scenario: uint256 in range(SCENARIOS):
        spot: int256 = (80 + 5 * convert(scenario, int256)) * WAD
        pnl: int256 = 0
        for i: uint256 in range(POSITIONS):
            packed: uint256 = self._positions[i]
            pnl += self._value(packed, spot)
        worst = min(worst, pnl)
    self.worst = worst
    self.checks += 1
    log Checked(worst=worst)


@internal
@pure
def _value(packed: uint256, spot: int256) -> int256:
    strike: int256 = convert(packed & convert(max_value(uint128), uint256), int256)
    size: int256 = convert(packed >> 128, int256)
    # A smoothed payoff: x/2 + sqrt(x² + c) by two Newton steps, instead of a normal distribution.
    gap: int256 = spot - strike
    width: int256 = gap * gap // WAD + WAD
    root: int256 = (max(gap, -gap) + 2 * WAD) // 2
    root = (root + width * WAD // root) // 2
    root = (root + width * WAD // root) // 2
    return size * (gap + root) // 2
