# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Math probe
@license Apache-2.0
@notice Exposes the math modules to tests.
@custom:kill For tests only.
"""
from modules import black76
from modules import fixed_point
from modules import matrices
from modules import position
from modules import svi


@external
@pure
def ln_ratio(a: uint256, b: uint256) -> int256:
    """
    @notice ln(a/b) in Q96.
    """
    return fixed_point._ln_ratio(a, b)


@external
@pure
def exp(x: int256) -> uint256:
    """
    @notice exp(x), Q96 to Q96.
    """
    return fixed_point._exp(x)


@external
@pure
def root_years(seconds: uint256) -> uint256:
    """
    @notice Square root of a time in years, Q96.
    """
    return black76._root_years(seconds)


@external
@pure
def mills(a: int256) -> int256:
    """
    @notice R(a) = N(-a)·exp(a²/2), Q96.
    """
    return black76._mills(a)


@external
@pure
def total_variance(surface: uint256, k: int256) -> uint256:
    """
    @notice w(k) in Q96.
    """
    return svi._total_variance(svi._unpack(surface), k)


@external
@pure
def deviation(surface: uint256, k: int256, seconds: uint256) -> uint256:
    """
    @notice Standard deviation to an expiry, Q96.
    """
    return svi._deviation(svi._unpack(surface), k, seconds)


@external
@pure
def check_matrix(matrix: DynArray[int256, 256], size: uint256):
    """
    @notice Revert unless the matrix is symmetric and positive semidefinite.
    """
    matrices._check(matrix, size)


@external
@pure
def pack(underlying: uint256, expiry: uint256, strike: uint256, kind: uint256, size: int256) -> uint256:
    """
    @notice The word of a position.
    """
    return position._pack(underlying, expiry, strike, kind, size)


@external
@pure
def unpack(word: uint256) -> (uint256, uint256, uint256, uint256, int256, uint256):
    """
    @notice Underlying, expiry, strike, kind, size and series of a position.
    """
    return (
        position._underlying(word),
        position._expiry(word),
        position._strike(word),
        position._kind(word),
        position._size(word),
        position._series(word),
    )
