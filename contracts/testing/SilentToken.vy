# pragma version 0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
# pragma optimize gas
"""
@title Silent token
@license Apache-2.0
@notice An ERC-20 whose transfers return nothing, as early tokens' do.
@custom:security For tests only: anyone may mint.
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


@deploy
def __init__(decimals: uint8):
    erc20.__init__(decimals)


@external
def approve(spender: address, amount: uint256):
    erc20._approve(msg.sender, spender, amount)


@external
def transfer(receiver: address, amount: uint256):
    erc20._transfer(msg.sender, receiver, amount, amount)


@external
def transferFrom(sender: address, receiver: address, amount: uint256):
    erc20._spend(sender, msg.sender, amount)
    erc20._transfer(sender, receiver, amount, amount)
