# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Pricing of positions
@license Apache-2.0
@notice What an expiry of IOracle says, and options valued by it.
"""
from interfaces import IOracle
from modules import black76
from modules import fixed_point
from modules import position
from modules import svi


struct Expiry:
    key: uint256            # underlying << 32 | unix seconds
    seconds: uint256        # left
    root: uint256           # square root of the years left, Q96
    forward: uint256        # WAD, both parts
    moving: uint256         # the part that spot moves
    fixed: uint256          # the accrued settlement average
    growth: int256          # rate, at least 0, times years, Q96
    confidence: uint256     # WAD
    surface: uint256


NANO: constant(uint256) = 10 ** 9
WAD: constant(uint256) = 10 ** 18
YEAR: constant(uint256) = 31_536_000


@internal
@pure
def _key(word: uint256) -> uint256:
    """
    @notice Underlying and expiry of a position.
    """
    return (word >> 96) & (2 ** 40 - 1)


@internal
@pure
def _read(terms: uint256, surface: uint256, time: uint256) -> Expiry:
    """
    @notice An expiry's words at a time.
    """
    key: uint256 = terms >> 216
    expiry: uint256 = key & (2 ** 32 - 1)
    seconds: uint256 = expiry - time if expiry > time else 0
    moving: uint256 = (terms & (2 ** 72 - 1)) * NANO
    fixed: uint256 = ((terms >> 72) & (2 ** 72 - 1)) * NANO
    assert moving + fixed > 0, "pricing: no forward"
    return Expiry(
        key=key,
        seconds=seconds,
        root=black76._root_years(seconds),
        forward=moving + fixed,
        moving=moving,
        fixed=fixed,
        growth=max((convert(convert(terms, bytes32), int256) << 72) >> 216, 0)
        * convert((seconds << 96) // YEAR, int256) // 10 ** 10,
        confidence=((terms >> 184) & (2 ** 32 - 1)) * NANO,
        surface=surface,
    )


@internal
@pure
def _find(expiries: DynArray[IOracle.Expiry, 64], key: uint256, time: uint256) -> Expiry:
    """
    @notice The expiry of a position, by its key.
    """
    for candidate: IOracle.Expiry in expiries:
        if candidate.terms >> 216 == key:
            return self._read(candidate.terms, candidate.surface, time)
    raise "pricing: market lacks an expiry"


@internal
@pure
def _discount(expiry: Expiry) -> uint256:
    """
    @notice Discount factor at the expiry's rate, WAD; a negative rate counts as 0.
    """
    return (fixed_point._exp(-expiry.growth) * WAD) >> 96


@internal
@pure
def _vol(expiry: Expiry, strike: uint256) -> uint256:
    """
    @notice Volatility per year of a strike on the expiry's surface, WAD, at most black76.MAX_VOL;
            0 where it does not matter, at expiry and at strike 0.
    """
    if expiry.root == 0 or strike == 0:
        return 0
    deviation: uint256 = svi._deviation(
        svi._unpack(expiry.surface), fixed_point._ln_ratio(strike, expiry.forward), expiry.seconds
    )
    return min(deviation * WAD // expiry.root, black76.MAX_VOL)


@internal
@pure
def _quote(expiry: Expiry, word: uint256, vol: uint256, discount: uint256) -> black76.Quote:
    """
    @notice Value and greeks of one unit of an option position.
    """
    kind: uint256 = position._kind(word)
    assert kind == position.CALL or kind == position.PUT, "pricing: kind"
    strike: uint256 = position._strike(word) * NANO
    return black76._quote(
        expiry.forward, strike, expiry.seconds, vol, discount, kind == position.CALL
    )
