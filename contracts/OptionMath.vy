# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Option math
@license Apache-2.0
@notice Black-76 for anyone who wants to call it.
@dev Prices, vol and discount in WAD, time in seconds.
@custom:kill Stateless: nothing to stop.
"""
from modules import black76


@external
@pure
def price(
    forward: uint256, strike: uint256, time: uint256, vol: uint256, discount: uint256, is_call: bool
) -> uint256:
    """
    @notice Value of one option, rounded down.
    @param forward Forward price.
    @param strike Strike.
    @param time Seconds to expiry.
    @param vol Volatility per year.
    @param discount Discount factor, at most 1.
    @param is_call Call or put.
    """
    return black76._price(forward, strike, time, vol, discount, is_call)


@external
@pure
def quote(
    forward: uint256, strike: uint256, time: uint256, vol: uint256, discount: uint256, is_call: bool
) -> black76.Quote:
    """
    @notice Value, delta and gamma against the forward, vega per 1.00 of vol, theta per year.
    @param forward Forward price.
    @param strike Strike.
    @param time Seconds to expiry.
    @param vol Volatility per year.
    @param discount Discount factor, at most 1.
    @param is_call Call or put.
    """
    return black76._quote(forward, strike, time, vol, discount, is_call)
