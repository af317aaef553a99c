# pragma version 0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
# pragma optimize gas
"""
@title Mock token
@license Apache-2.0
@notice An ERC-20 that can be told to misbehave: to answer false, to keep a fee, to call back.
@custom:security For tests and simulations only: anyone may mint and anyone may change how it behaves.
@custom:kill None.
"""
from . import erc20

initializes: erc20

exports: (
    erc20.balanceOf,
    erc20.allowance,
    erc20.totalSupply,
    erc20.decimals,
    erc20.mint,
)


event CalledBack:
    target: indexed(address)
    success: bool


BASIS_POINTS: constant(uint256) = 10_000

name: public(String[32])
symbol: public(String[8])
fee: public(uint256)            # basis points of a transfer that do not arrive
fails: public(bool)             # transfers change nothing and answer false
_target: address
_call: Bytes[1024]


@deploy
def __init__(symbol: String[8], decimals: uint8):
    erc20.__init__(decimals)
    self.name = symbol
    self.symbol = symbol


@external
def misbehave(fee: uint256, fails: bool):
    """
    @notice Take a fee in basis points of every transfer, or fail without reverting.
    """
    assert fee <= BASIS_POINTS, "token: fee"
    self.fee = fee
    self.fails = fails


@external
def call_back(target: address, call: Bytes[1024]):
    """
    @notice Make this call in every transfer, its failure ignored; the zero address stops it.
    """
    self._target = target
    self._call = call


@external
def approve(spender: address, amount: uint256) -> bool:
    erc20._approve(msg.sender, spender, amount)
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    return self._move(msg.sender, receiver, amount)


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    if not self.fails:
        erc20._spend(sender, msg.sender, amount)
    return self._move(sender, receiver, amount)


@internal
def _move(sender: address, receiver: address, amount: uint256) -> bool:
    if self.fails:
        return False
    erc20._transfer(sender, receiver, amount, amount - amount * self.fee // BASIS_POINTS)
    if self._target != empty(address):
        success: bool = raw_call(self._target, self._call, revert_on_failure=False)
        log CalledBack(target=self._target, success=success)
    return True

