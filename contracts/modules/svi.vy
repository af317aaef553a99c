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
WAD: constant(int256) = 10 ** 18
FURTHEST: constant(int256) = 3 * 10 ** 9    # |k| up to which the density is looked at


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
def _fault(a: int256, b: int256, rho: int256, m: int256, sigma: int256) -> String[16]:
    """
    @notice Why a slice allows arbitrage in itself; empty if nothing is found. In the units of Slice,
            m and sigma of 1e-9, a of 1e-12.
    @dev No variance may be negative, no wing steeper than 2 (R. Lee, The moment formula for implied
         volatility at extreme strikes, 2004), and no density negative:

             g(k) = (1 - k·w'/(2w))² - w'²/4·(1/w + 1/4) + w''/2 >= 0

         (Gatheral and Jacquier, Arbitrage-free SVI volatility surfaces, 2014). The first two are
         exact. The last is looked at where (k - m)/σ is 0 or ±2**j/8 and |k| <= 3, which costs what
         a push can bear; between these points g may still be a little below 0, by less than 0.1 in
         20,000 random slices. Variance that falls as time to expiry does, w·t/τ, keeps all three.

         0 < sigma < 2**40, 0 <= b < 2**48, |rho| < 1e9, |a| < 2**47, |m| < 2**39.
    """
    if b * (NANO + abs(rho)) > 2 * PICO * NANO:
        return "steep wings"
    # a + b·sigma·sqrt(1 - rho²) >= 0
    if a < 0 and (b * sigma) ** 2 * (NANO**2 - rho**2) < (a * NANO) ** 2 * NANO**2:
        return "below zero"
    # From here on b <= 2e12, so that |slope| <= 2e18, |tilt| < 2**124 and no product exceeds 2**250.
    for j: uint256 in range(14):
        z: int256 = 0 if j == 0 else NANO // 8 << (j - 1)
        if unsafe_sub(unsafe_div(unsafe_mul(sigma, z), NANO), abs(m)) > FURTHEST:
            break
        root: int256 = convert(isqrt(convert(z**2 + NANO**2, uint256)), int256)
        # w'', in WAD; the same on both sides.
        bend: int256 = unsafe_div(
            unsafe_mul(b, unsafe_mul(unsafe_div(10**36, root**3), 10**6)), sigma
        )
        for side: int256 in [z, unsafe_sub(0, z)]:
            k: int256 = unsafe_add(m, unsafe_div(unsafe_mul(sigma, side), NANO))
            if abs(k) > FURTHEST:
                continue
            w: int256 = unsafe_add(
                unsafe_mul(a, 10**6),
                unsafe_div(
                    unsafe_mul(
                        unsafe_mul(b, sigma),
                        unsafe_add(unsafe_div(unsafe_mul(rho, side), NANO), root),
                    ),
                    PICO,
                ),
            )
            slope: int256 = unsafe_div(
                unsafe_mul(b, unsafe_add(rho, unsafe_div(unsafe_mul(side, NANO), root))), 1000
            )
            if w <= 0:
                # No variance: flat, or a density that is all in one point.
                if slope != 0 or bend != 0:
                    return "butterfly"
                continue
            tilt: int256 = unsafe_sub(
                WAD,
                unsafe_div(unsafe_mul(unsafe_mul(k, NANO), slope), unsafe_mul(2, w)),
            )
            square: int256 = unsafe_mul(slope, slope)
            loss: int256 = unsafe_add(
                unsafe_div(square, unsafe_mul(4, w)), unsafe_div(square, 16 * WAD)
            )
            if unsafe_add(unsafe_div(unsafe_mul(tilt, tilt), WAD), unsafe_div(bend, 2)) < loss:
                return "butterfly"
    return ""


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
