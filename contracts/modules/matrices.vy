# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Symmetric matrices
@license Apache-2.0
@notice Whether a matrix is symmetric and positive semidefinite, by elimination without pivoting.
@dev Row-major WAD. Elimination runs in 1e-36. A pivot within 1e-12 of zero counts as zero, for a
     matrix of rank one or with rounded entries; what is left of its column must then be within 1e-6
     of zero (|a_ij| <= √(a_ii·a_jj) holds in every semidefinite matrix).
"""


WAD: constant(int256) = 10 ** 18
NO_PIVOT: constant(int256) = 10 ** 24
NO_COLUMN: constant(int256) = 10 ** 30
MAX_ENTRY: constant(int256) = 100 * 10 ** 18


@internal
@pure
def _check(matrix: DynArray[int256, 256], size: uint256):
    """
    @notice Revert unless the matrix is symmetric and positive semidefinite.
    """
    assert size <= 16 and len(matrix) == size * size, "matrix: size"
    rest: DynArray[int256, 256] = []
    for i: uint256 in range(size, bound=16):
        for j: uint256 in range(size, bound=16):
            entry: int256 = matrix[i * size + j]
            assert abs(entry) <= MAX_ENTRY, "matrix: entry too large"
            assert entry == matrix[j * size + i], "matrix: not symmetric"
            rest.append(entry * WAD)
    for k: uint256 in range(size, bound=16):
        pivot: int256 = rest[k * size + k]
        assert pivot >= -NO_PIVOT, "matrix: not positive semidefinite"
        for i: uint256 in range(k + 1, size, bound=16):
            factor: int256 = rest[i * size + k]
            if pivot <= NO_PIVOT:
                assert abs(factor) <= NO_COLUMN, "matrix: not positive semidefinite"
                continue
            for j: uint256 in range(k + 1, size, bound=16):
                rest[i * size + j] -= factor * rest[k * size + j] // pivot


@internal
@pure
def _check_correlation(matrix: DynArray[int256, 64], size: uint256):
    """
    @notice Revert unless the matrix is one of correlations.
    """
    assert len(matrix) == size * size, "matrix: size"
    wide: DynArray[int256, 256] = []
    for entry: int256 in matrix:
        assert abs(entry) <= WAD, "matrix: correlation beyond 1"
        wide.append(entry)
    for i: uint256 in range(size, bound=8):
        assert matrix[i * size + i] == WAD, "matrix: diagonal is not 1"
    self._check(wide, size)


@internal
@pure
def _check_ids(ids: DynArray[uint256, 8]):
    """
    @notice Revert unless these ids of underlyings ascend.
    """
    assert len(ids) > 0, "rulebook: no underlyings"
    for i: uint256 in range(1, len(ids), bound=8):
        assert ids[i - 1] < ids[i], "rulebook: ids must ascend"
    assert ids[len(ids) - 1] < 255, "rulebook: id of an underlying"
