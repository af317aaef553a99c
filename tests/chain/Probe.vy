# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title What a chain must do, in one contract
@license Apache-2.0
"""


event Bumped:
    who: indexed(address)
    by: uint256


event Anonymous:
    by: uint256


owner: public(immutable(address))
total: public(uint256)
cells: public(HashMap[uint256, uint256])
_scratch: transient(uint256)


@deploy
@payable
def __init__(start: uint256):
    owner = msg.sender
    self.total = start


@external
@payable
def bump(by: uint256) -> uint256:
    assert by != 7, "probe: seven"
    assert self._scratch == 0, "probe: transient storage survived"
    self._scratch = by
    self.total += by
    log Bumped(who=msg.sender, by=by)
    log Anonymous(by=by)
    return self.total


@external
def fill(start: uint256, count: uint256, word: uint256):
    for i: uint256 in range(count, bound=1024):
        self.cells[start + i] = word


@external
def deny():
    raise "probe: denied"


@external
@reentrant
def try_inner(by: uint256) -> bool:
    """Write, then make a call that reverts: only its own writes must go."""
    self.cells[999] = by
    ok: bool = raw_call(self, method_id("deny()"), revert_on_failure=False)
    return ok


@external
def burn():
    for i: uint256 in range(1_000_000):
        self.cells[i] = i


@external
def clone(start: uint256) -> address:
    return create_copy_of(self)


@external
@payable
def pay(to: address, amount: uint256):
    raw_call(to, b"", value=amount)


@external
@view
def environment() -> (uint256, uint256, uint256, uint256, address):
    return block.number, block.timestamp, block.basefee, chain.id, block.coinbase


@external
def record_environment():
    self.cells[0] = block.number
    self.cells[1] = block.timestamp
    self.cells[2] = block.basefee
    self.cells[3] = tx.gasprice


@external
@view
def work(rounds: uint256) -> uint256:
    total: uint256 = 0
    for i: uint256 in range(rounds, bound=1_000_000):
        total = unsafe_add(unsafe_mul(total, 31), i)
    return total


@external
@view
def refuse(why: String[64]):
    raise why
