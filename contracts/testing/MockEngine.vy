# pragma version 0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
# pragma optimize gas
"""
@title Mock engine
@license Apache-2.0
@notice A risk engine as perverse as it is told to be: figures by the size of the first position.
@custom:security For tests only: anyone may tell it.
@custom:kill None.
"""
from interfaces import IOracle
from interfaces import IRiskEngine
from modules import position

implements: IRiskEngine


struct Figures:
    told: bool
    equity: int256
    maintenance: uint256


_figures: HashMap[int256, Figures]


@external
def tell(size: int256, equity: int256, maintenance: uint256):
    """
    @notice Answer this for a first position of this size (units of 1e-9); 0: of a book without any.
    """
    self._figures[size] = Figures(told=True, equity=equity, maintenance=maintenance)


@external
@view
def check(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256, kind: IRiskEngine.Kind
) -> (int256, uint256):
    """
    @notice Equity and maintenance as told, else cash and nothing.
    """
    return self._answer(book)


@external
@view
def margins(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> (int256, uint256, uint256):
    """
    @notice The same, initial margin equal to maintenance.
    """
    equity: int256 = 0
    maintenance: uint256 = 0
    equity, maintenance = self._answer(book)
    return equity, maintenance, maintenance


@external
@view
def prove(
    book: IRiskEngine.Book,
    market: IOracle.Market,
    rulebook: uint256,
    scenarios: DynArray[uint256, 8],
) -> (int256, uint256):
    """
    @notice The same.
    """
    return self._answer(book)


@external
@view
def assess(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> IRiskEngine.Assessment:
    """
    @notice Equity and maintenance only.
    """
    assessment: IRiskEngine.Assessment = empty(IRiskEngine.Assessment)
    assessment.equity, assessment.maintenance = self._answer(book)
    assessment.initial = assessment.maintenance
    return assessment


@internal
@view
def _answer(book: IRiskEngine.Book) -> (int256, uint256):
    size: int256 = 0
    if len(book.positions) > 0:
        size = position._size(book.positions[0])
    figures: Figures = self._figures[size]
    if figures.told:
        return figures.equity, figures.maintenance
    return book.cash + book.unsettled, 0
