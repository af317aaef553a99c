# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Correlation factor
@license Apache-2.0
@notice R of PROTOCOL 5.6: the worst √(yᵀρy) over two matrices and the corners y_u in {L_u⁺, -L_u⁻}.
@dev Bounds of the unsafe arithmetic: losses are scaled below 2**90 and entries are at most 1e18, so
     that a form of 8 underlyings stays below 2**247.
"""


struct Matrices:
    size: uint256
    floor: uint256
    ids: DynArray[uint256, 8]
    low: DynArray[int256, 64]       # rows of 8
    high: DynArray[int256, 64]


WAD: constant(uint256) = 10 ** 18


@internal
@pure
def _combine(
    ids: DynArray[uint256, 8],
    up: DynArray[uint256, 8],
    down: DynArray[uint256, 8],
    m: Matrices,
) -> uint256:
    """
    @notice R of the losses of underlyings by id. One that the matrices do not list adds its loss in
            full. Rounded up.
    """
    unlisted: uint256 = 0
    total: uint256 = 0
    largest: uint256 = 0
    rows: DynArray[uint256, 8] = []
    ups: DynArray[uint256, 8] = []
    downs: DynArray[uint256, 8] = []
    for i: uint256 in range(len(ids), bound=8):
        worst: uint256 = max(up[i], down[i])
        row: uint256 = m.size
        for j: uint256 in range(m.size, bound=8):
            if m.ids[j] == ids[i]:
                row = j
                break
        if row == m.size:
            unlisted += worst
        elif worst > 0:
            rows.append(row)
            ups.append(up[i])
            downs.append(down[i])
            total += worst
            largest = max(largest, worst)
    n: uint256 = len(rows)
    if n <= 1:
        return unlisted + total

    bits: uint256 = 0
    for _: uint256 in range(166):
        if largest >> bits < 2 ** 90 - 1:
            break
        bits += 1
    # From the corner of all L⁺, one coordinate flips at a time in the order of a Gray code:
    # yᵀρy changes by 2·δ·(ρy)_i + δ²·ρ_ii, and ρ_ii = 1.
    y: int256[8] = empty(int256[8])
    steps: int256[8] = empty(int256[8])         # -(L⁺ + L⁻): y_i when flipped, less y_i
    for i: uint256 in range(n, bound=8):
        y[i] = convert((ups[i] >> bits) + 1, int256)
        steps[i] = -convert((ups[i] >> bits) + 1 + (downs[i] >> bits) + 1, int256)
    worst_square: int256 = 0
    for matrix: uint256 in range(2):
        image: int256[8] = empty(int256[8])     # ρy
        square: int256 = 0
        for i: uint256 in range(n, bound=8):
            for j: uint256 in range(n, bound=8):
                entry: uint256 = 8 * rows[i] + rows[j]
                rho: int256 = m.low[entry] if matrix == 0 else m.high[entry]
                image[i] = unsafe_add(image[i], unsafe_mul(rho, y[j]))
            square = unsafe_add(square, unsafe_mul(image[i], y[i]))
        worst_square = max(worst_square, square)
        flipped: uint256 = 0
        for corner: uint256 in range(1, 2 ** n, bound=255):
            # The coordinate to flip is the lowest set bit of the corner's number.
            i: uint256 = 0
            for _: uint256 in range(8):
                if (corner >> i) & 1 == 1:
                    break
                i = unsafe_add(i, 1)
            step: int256 = steps[i]
            if (flipped >> i) & 1 == 1:
                step = unsafe_sub(0, step)
            flipped = flipped ^ (1 << i)
            square = unsafe_add(
                square,
                unsafe_mul(
                    step,
                    unsafe_add(unsafe_mul(2, image[i]), unsafe_mul(step, convert(WAD, int256))),
                ),
            )
            worst_square = max(worst_square, square)
            for j: uint256 in range(n, bound=8):
                entry: uint256 = 8 * rows[i] + rows[j]
                rho: int256 = m.low[entry] if matrix == 0 else m.high[entry]
                image[j] = unsafe_add(image[j], unsafe_mul(rho, step))
    root: uint256 = (isqrt(convert(worst_square, uint256) // WAD) + 1) << bits
    least: uint256 = max((total * m.floor + WAD - 1) // WAD, largest)
    return unlisted + max(least, min(root, total))
