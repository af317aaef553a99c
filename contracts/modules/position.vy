# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Position words
@license Apache-2.0
@notice Packs and unpacks the word that IRiskEngine defines for a position.
"""


PERPETUAL: constant(uint256) = 1
CALL: constant(uint256) = 2
PUT: constant(uint256) = 3

SERIES_MASK: constant(uint256) = 2 ** 160 - 1
STRIKE_FIELD: constant(uint256) = (2 ** 88 - 1) << 8
# Sizes and strikes in units of 1e-9 stay below these, so that the engines' sums of 64 products of
# size, price and a 60-bit ratio stay within a signed word.
MAX_SIZE: constant(uint256) = 2 ** 80
MAX_STRIKE: constant(uint256) = 2 ** 70


@internal
@pure
def _kind(word: uint256) -> uint256:
    return word & 255


@internal
@pure
def _strike(word: uint256) -> uint256:
    """
    @notice Strike, or the settled mark of a perpetual, in units of 1e-9.
    """
    return (word >> 8) & (2 ** 88 - 1)


@internal
@pure
def _expiry(word: uint256) -> uint256:
    return (word >> 96) & (2 ** 32 - 1)


@internal
@pure
def _underlying(word: uint256) -> uint256:
    return (word >> 128) & 255


@internal
@pure
def _series(word: uint256) -> uint256:
    """
    @notice The 160 bits that name the series, by which positions are sorted.
    """
    return word & SERIES_MASK


@internal
@pure
def _name(word: uint256) -> uint256:
    """
    @notice The instrument of a word: its series, a perpetual's without the mark.
    """
    if word & 255 == PERPETUAL:
        return word & (SERIES_MASK - STRIKE_FIELD)
    return word & SERIES_MASK


@internal
@pure
def _size(word: uint256) -> int256:
    """
    @notice Signed size in units of 1e-9.
    """
    return convert(convert(word, bytes32), int256) >> 160


@internal
@pure
def _pack(underlying: uint256, expiry: uint256, strike: uint256, kind: uint256, size: int256) -> uint256:
    """
    @notice The word of a position; strike and size in units of 1e-9.
    """
    assert underlying < 256 and expiry < 2 ** 32 and kind < 256, "position: series"
    assert strike < 2 ** 88, "position: strike"
    assert -(2 ** 95) <= size and size < 2 ** 95, "position: size"
    return (
        convert(convert(size, bytes32), uint256) << 160
        | underlying << 128
        | expiry << 96
        | strike << 8
        | kind
    )
