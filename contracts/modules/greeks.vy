# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Greeks of a book
@license Apache-2.0
@notice Greeks of positions and of the collateral that moves with their underlying, for views.
"""
from interfaces import IOracle
from interfaces import IRiskEngine
from interfaces import IScenarioKernel
from modules import black76
from modules import position
from modules import pricing


WAD: constant(uint256) = 10 ** 18
NANO: constant(uint256) = 10 ** 9
SIGNED_NANO: constant(int256) = 10 ** 9


@internal
@pure
def _of(
    positions: DynArray[uint256, 64],
    u: IOracle.Underlying,
    market: IOracle.Market,
    linear: IScenarioKernel.Linear,
    use_rate: bool,
) -> IRiskEngine.Greeks:
    """
    @notice Greeks of one underlying, of values discounted at the expiry's rate or not.
    """
    greeks: IRiskEngine.Greeks = empty(IRiskEngine.Greeks)
    greeks.underlying = u.id
    if u.spot > 0:
        greeks.delta = convert(linear.dollars * WAD // u.spot, int256)
    expiry: pricing.Expiry = empty(pricing.Expiry)
    for p: uint256 in range(len(positions), bound=64):
        word: uint256 = positions[p]
        if position._underlying(word) != u.id:
            continue
        size: int256 = position._size(word)
        if position._kind(word) == position.PERPETUAL:
            greeks.delta += size * SIGNED_NANO
            continue
        if expiry.key != pricing._key(word) or expiry.forward == 0:
            expiry = pricing._find(market.expiries, pricing._key(word), market.time)
        vol: uint256 = 0
        if len(market.vols) > 0:
            vol = market.vols[p]
        else:
            vol = pricing._vol(expiry, position._strike(word) * NANO)
        quote: black76.Quote = pricing._quote(
            expiry, word, vol, pricing._discount(expiry) if use_rate else WAD
        )
        greeks.delta += size * quote.delta // SIGNED_NANO
        greeks.gamma += size * convert(quote.gamma, int256) // SIGNED_NANO
        greeks.vega += size * convert(quote.vega, int256) // SIGNED_NANO
        greeks.theta += size * quote.theta // SIGNED_NANO
    return greeks
