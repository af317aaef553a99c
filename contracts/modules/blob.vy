# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Data kept as code
@license Apache-2.0
@notice Deploys bytes as the code of a contract; reading them back costs less than storage.
@dev The code begins with STOP, so that nobody can run the data; data starts at offset 1.
"""


MAX_DATA: constant(uint256) = 24_575     # EIP-170 less the STOP


@internal
def _create(data: Bytes[MAX_DATA]) -> address:
    """
    @notice Address whose code is STOP and the data.
    """
    # PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN: returns what
    # follows it.
    size: bytes2 = convert(convert(len(data) + 1, uint16), bytes2)
    return raw_create(concat(x"61", size, x"80600a3d393df300", data))
