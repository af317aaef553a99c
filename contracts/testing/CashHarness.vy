# pragma version 0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
# pragma optimize gas
"""
@title Cash harness
@license Apache-2.0
@notice The cash ledger alone, and the one thing it asks of a registry.
@custom:security For tests only: anyone may do anything.
@custom:kill None.
"""
from interfaces import IClearingHouse
from interfaces import IRegistry
from modules import cash_ledger

initializes: cash_ledger


interest: public(IRegistry.Interest)


@deploy
def __init__():
    cash_ledger.__init__(self)


@external
def set_interest(interest: IRegistry.Interest):
    """
    @notice Set the curve.
    """
    self.interest = interest


@external
def receive_tokens(account: uint256, amount: uint256):
    """
    @notice Book tokens in.
    """
    cash_ledger._receive(account, amount)


@external
def send_tokens(account: uint256, amount: uint256):
    """
    @notice Book tokens out.
    """
    cash_ledger._send(account, amount)


@external
def add(account: uint256, amount: int256) -> int256:
    """
    @notice Change one account's cash, against the perp settlement.
    """
    cash_ledger._settle_perp(amount)
    return cash_ledger._add(account, amount)


@external
def settle_option(account: uint256, amount: int256) -> int256:
    """
    @notice The same, against the option settlement.
    """
    cash_ledger._settle_option(amount)
    return cash_ledger._add(account, amount)


@external
def pay(source: uint256, target: uint256, amount: int256):
    """
    @notice Move cash between accounts.
    """
    cash_ledger._add(source, -amount)
    cash_ledger._add(target, amount)


@external
def take_fee(account: uint256, amount: uint256):
    """
    @notice Move cash into the fees.
    """
    cash_ledger._take_fee(account, amount)


@external
def sweep_fees():
    """
    @notice Move the fees into the fund.
    """
    cash_ledger._sweep_fees()


@external
def cover(target: uint256, amount: uint256, mutualise: bool):
    """
    @notice Pay an account out of the waterfall.
    """
    cash_ledger._cover(target, amount, mutualise)


@external
@view
def stored(account: uint256) -> int256:
    """
    @notice Stored cash.
    """
    return cash_ledger._stored(account)


@external
@view
def current(account: uint256) -> int256:
    """
    @notice Cash with interest and haircut.
    """
    return cash_ledger._value(account)


@external
@view
def capacity() -> (uint256, uint256):
    """
    @notice Fees, and positive cash of the fund.
    """
    return cash_ledger._capacity()


@external
@view
def ledger() -> IClearingHouse.Ledger:
    """
    @notice The stored terms.
    """
    return cash_ledger._ledger()


@external
@view
def index() -> (uint256, uint256, uint256):
    """
    @notice Mutualisation index, scale and epoch now.
    """
    return cash_ledger._index_of(cash_ledger._census & (2**64 - 1))


@external
@view
def census() -> (uint256, uint256):
    """
    @notice Accounts with positive cash, and those that have a haircut to pay.
    """
    return cash_ledger._census >> 64 & (2**96 - 1), cash_ledger._census >> 160


@external
@view
def borrow_index() -> uint256:
    """
    @notice The borrow index, with interest since the last accrual.
    """
    return cash_ledger._borrow_index()
