# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Raw SVI
@license Apache-2.0
@notice Total implied variance w(k) = a + b·(ρ·(k - m) + √((k - m)² + σ²)), k = ln(K/F), of
        Gatheral (2004), from the packed surface of IOracle.
@dev Q96: an integer n stands for n / 2**96.
"""


NANO: constant(int256) = 10 ** 9
PICO: constant(int256) = 10 ** 12


@internal
@pure
def _total_variance(surface: uint256, k: int256) -> uint256:
    """
    @notice w(k) in Q96, at least 0, at the surface's reference time.
    @dev |k| < 2**103.
    """
    word: int256 = convert(convert(surface, bytes32), int256)
    sigma: int256 = unsafe_div(((word >> 32) & (2 ** 40 - 1)) << 96, NANO)
    m: int256 = unsafe_div(((word << 144) >> 216) << 96, NANO)
    rho: int256 = (word << 112) >> 224
    b: int256 = (word >> 144) & (2 ** 48 - 1)
    a: int256 = unsafe_div(((word << 16) >> 208) << 96, PICO)
    y: int256 = unsafe_sub(k, m)
    root: int256 = convert(
        convert(
            isqrt(
                convert(
                    convert(unsafe_add(unsafe_mul(y, y), unsafe_mul(sigma, sigma)), bytes32), uint256
                )
            ),
            bytes32,
        ),
        int256,
    )
    w: int256 = unsafe_add(
        a,
        unsafe_div(unsafe_mul(b, unsafe_add(unsafe_div(unsafe_mul(rho, y), NANO), root)), PICO),
    )
    if w <= 0:
        return 0
    return convert(convert(w, bytes32), uint256)


@internal
@pure
def _deviation(surface: uint256, k: int256, seconds: uint256) -> uint256:
    """
    @notice Standard deviation √(w(k)·seconds/τ) to an expiry, Q96.
    """
    return isqrt(
        unsafe_div(unsafe_mul(self._total_variance(surface, k), seconds), surface & (2 ** 32 - 1)) << 96
    )
