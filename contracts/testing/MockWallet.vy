# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Mock wallet
@license Apache-2.0
@notice A contract that signs as ERC-1271 says: by having approved a digest beforehand.
@custom:security For tests only: anyone may approve.
@custom:kill None.
"""

MAGIC: constant(bytes4) = 0x1626ba7e

_approved: HashMap[bytes32, bool]


@external
def approve(digest: bytes32):
    """
    @notice Sign a digest.
    """
    self._approved[digest] = True


@external
@view
def isValidSignature(digest: bytes32, signature: Bytes[1024]) -> bytes4:
    """
    @notice The magic value of ERC-1271 if the digest was approved.
    """
    if self._approved[digest]:
        return MAGIC
    return 0x00000000
