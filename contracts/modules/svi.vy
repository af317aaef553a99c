# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Raw SVI
@license Apache-2.0
@notice Total implied variance w(k) = a + b·(ρ·(k - m) + √((k - m)² + σ²)), k = ln(K/F), of
        Gatheral (2004), from the packed surface of IOracle.
@dev Q96: an integer n stands for n / 2**96.
"""


struct Slice:
    a: int256           # Q96
    b: int256           # units of 1e-12
    rho: int256         # units of 1e-9
    m: int256           # Q96
    sigma: int256       # Q96
    tau: uint256        # seconds


NANO: constant(int256) = 10 ** 9
PICO: constant(int256) = 10 ** 12


@internal
@pure
def _unpack(surface: uint256) -> Slice:
    """
    @notice The parameters of a packed surface.
    """
    word: int256 = convert(convert(surface, bytes32), int256)
    return Slice(
        a=unsafe_div(((word << 16) >> 208) << 96, PICO),
        b=(word >> 144) & (2 ** 48 - 1),
        rho=(word << 112) >> 224,
        m=unsafe_div(((word << 144) >> 216) << 96, NANO),
        sigma=unsafe_div(((word >> 32) & (2 ** 40 - 1)) << 96, NANO),
        tau=surface & (2 ** 32 - 1),
    )


@internal
@pure
def _total_variance(s: Slice, k: int256) -> uint256:
    """
    @notice w(k) in Q96, at least 0, at the surface's reference time.
    @dev |k| < 2**103.
    """
    y: int256 = unsafe_sub(k, s.m)
    root: int256 = convert(
        convert(
            isqrt(
                convert(
                    convert(unsafe_add(unsafe_mul(y, y), unsafe_mul(s.sigma, s.sigma)), bytes32),
                    uint256,
                )
            ),
            bytes32,
        ),
        int256,
    )
    w: int256 = unsafe_add(
        s.a,
        unsafe_div(
            unsafe_mul(s.b, unsafe_add(unsafe_div(unsafe_mul(s.rho, y), NANO), root)), PICO
        ),
    )
    if w <= 0:
        return 0
    return convert(convert(w, bytes32), uint256)


@internal
@pure
def _deviation(s: Slice, k: int256, seconds: uint256) -> uint256:
    """
    @notice Standard deviation √(w(k)·seconds/τ) to an expiry, Q96.
    @dev seconds < 2**40; 0 without a surface.
    """
    return isqrt(unsafe_div(unsafe_mul(self._total_variance(s, k), seconds), s.tau) << 96)
