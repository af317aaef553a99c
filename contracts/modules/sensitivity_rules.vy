# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Form of the sensitivity engine's rulebooks
@license Apache-2.0
@notice How a rulebook lies in the code of a contract: after a STOP what the kernel reads, what the
        engine reads, charges and factors. Arrays are always full, so that sizes are known.
"""
from modules import charges


struct Kernel:
    buckets: DynArray[uint256, 7]
    power: uint256
    time_floor: uint256
    use_rate: bool
    concentration_threshold: uint256
    confidence_threshold: uint256
    confidence_factor: uint256


struct Engine:
    multiplier: uint256
    horizon: uint256
    naked_short_minimum: uint256
    count: uint256
    ids: DynArray[uint256, 8]
    covariance: DynArray[int256, 256]   # rows of 2·count


# Encoded sizes: an offset, the head, and the arrays with their lengths.
KERNEL_BYTES: constant(uint256) = 32 * (1 + 7 + 8)
ENGINE_BYTES: constant(uint256) = 32 * (1 + 6 + 9 + 257)
ENGINE_START: constant(uint256) = 1 + KERNEL_BYTES
CHARGES_START: constant(uint256) = ENGINE_START + ENGINE_BYTES
