# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Workout
@license Apache-2.0
@notice Takes a fraction of an account, as liquidator and backstop both do.
@custom:security Stateless; the clearing house decides who may call it.
@custom:kill Nothing here can be stopped.
"""
from interfaces import IClearingHouse
from interfaces import IRegistry
from interfaces import IRiskEngine
from modules import position


WAD: constant(uint256) = 10**18
SIGNED_WAD: constant(int256) = 10**18


@internal
def _seize(
    house: IClearingHouse,
    account: uint256,
    taker: uint256,
    book: IRiskEngine.Book,
    fraction: uint256,
    reserved: uint256,
    price: int256,
):
    """
    @notice Move a fraction (WAD) of every balance of an account's book but `reserved` cash, against a
            price (negative: it is paid to the taker).
    @dev Sizes and tokens are rounded toward zero to their unit. What is unsettled counts as cash: the
         clearing house settles both accounts when positions move.
    """
    moves: DynArray[uint256, 64] = []
    for word: uint256 in book.positions:
        size: int256 = position._size(word) * convert(fraction, int256) // SIGNED_WAD
        if size != 0:
            moves.append(
                position._name(word) | convert(convert(size << 160, bytes32), uint256)
            )
    holdings: DynArray[IRiskEngine.Holding, 8] = []
    if len(book.holdings) > 0:
        registry: IRegistry = IRegistry(staticcall house.registry())
        for holding: IRiskEngine.Holding in book.holdings:
            unit: uint256 = (staticcall registry.asset(holding.asset)).unit
            amount: uint256 = holding.amount * fraction // WAD // unit * unit
            if amount > 0:
                holdings.append(IRiskEngine.Holding(asset=holding.asset, amount=amount))
    if len(moves) == 0:
        extcall house.settle(account)
    cash: int256 = book.cash + book.unsettled - convert(reserved, int256)
    cash = cash * convert(fraction, int256) // SIGNED_WAD
    extcall house.move(account, taker, moves, holdings, cash - price)
