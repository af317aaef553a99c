# pragma version 0.4.3
# pragma nonreentrancy off
"""
@title Bare ERC-20 ledger
@license Apache-2.0
@notice Balances and allowances of the test tokens. Anyone may mint.
"""


event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256


event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256


balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
totalSupply: public(uint256)
decimals: public(immutable(uint8))


@deploy
def __init__(units: uint8):
    assert units <= 18, "erc20: decimals"
    decimals = units


@external
def mint(receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount
    self.totalSupply += amount
    log Transfer(sender=empty(address), receiver=receiver, amount=amount)


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log Approval(owner=owner, spender=spender, amount=amount)


@internal
def _transfer(sender: address, receiver: address, amount: uint256, arriving: uint256):
    """
    @dev The difference between what is sent and what arrives is burnt.
    """
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += arriving
    self.totalSupply -= amount - arriving
    log Transfer(sender=sender, receiver=receiver, amount=arriving)


@internal
def _spend(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] -= amount
