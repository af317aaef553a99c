# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Stored book
@license Apache-2.0
@notice Holds an account of options and its market in storage, as the ClearingHouse and the Oracle do,
        and asks an engine about them: what a check costs from storage.
@custom:kill For tests only.
"""
from interfaces import IOracle
from interfaces import IRiskEngine


flag Question:
    GATE
    MARGINS
    PROOF


NANO: constant(uint256) = 10 ** 9

engine: IRiskEngine
rulebook: uint256
cash: int256
# Number of positions, of expiries << 16, of the underlying << 32; its spot << 64 and spot confidence
# << 160, both in units of 1e-9.
header: uint256
stable: uint256
positions: uint256[64]
expiries: IOracle.Expiry[64]


@external
def store(
    engine: IRiskEngine, rulebook: uint256, book: IRiskEngine.Book, market: IOracle.Market
):
    """
    @notice Keep options of one underlying and their market.
    """
    self.engine = engine
    self.rulebook = rulebook
    self.cash = book.cash
    self.stable = market.stable
    self.header = (
        len(book.positions)
        | len(market.expiries) << 16
        | market.underlyings[0].id << 32
        | (market.underlyings[0].spot // NANO) << 64
        | (market.underlyings[0].spot_confidence // NANO) << 160
    )
    for i: uint256 in range(len(book.positions), bound=64):
        self.positions[i] = book.positions[i]
    for i: uint256 in range(len(market.expiries), bound=64):
        self.expiries[i] = market.expiries[i]


@external
@view
def check(kind: IRiskEngine.Kind) -> (int256, uint256):
    """
    @notice The engine's gate on what is stored.
    """
    equity: int256 = 0
    requirement: uint256 = 0
    maintenance: uint256 = 0
    equity, requirement, maintenance = self._ask(Question.GATE, kind, [])
    return equity, requirement


@external
@view
def margins() -> (int256, uint256, uint256):
    """
    @notice Both margins in full of what is stored.
    """
    return self._ask(Question.MARGINS, IRiskEngine.Kind.INITIAL, [])


@external
@view
def prove(scenarios: DynArray[uint256, 8]) -> (int256, uint256):
    """
    @notice The engine's proof on what is stored.
    """
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    equity, initial, maintenance = self._ask(
        Question.PROOF, IRiskEngine.Kind.MAINTENANCE, scenarios
    )
    return equity, maintenance


@external
@view
def warm(full: bool) -> uint256:
    """
    @notice Gas of a second check, or of margins in full, in the same transaction.
    """
    question: Question = Question.MARGINS if full else Question.GATE
    before: uint256 = 0
    for _: uint256 in range(2):
        before = msg.gas
        equity: int256 = 0
        requirement: uint256 = 0
        maintenance: uint256 = 0
        equity, requirement, maintenance = self._ask(
            question, IRiskEngine.Kind.INITIAL, []
        )
    return before - msg.gas


@internal
@view
def _ask(
    question: Question, kind: IRiskEngine.Kind, scenarios: DynArray[uint256, 8]
) -> (int256, uint256, uint256):
    """
    @notice Equity, requirement or initial margin, and maintenance margin, as far as they are asked for.
    @dev One function, because book and market are large to pass about.
    """
    book: IRiskEngine.Book = empty(IRiskEngine.Book)
    market: IOracle.Market = empty(IOracle.Market)
    header: uint256 = self.header
    book.cash = self.cash
    for i: uint256 in range(header & 65_535, bound=64):
        book.positions.append(self.positions[i])
    market.time = block.timestamp
    market.stable = self.stable
    market.underlyings.append(
        IOracle.Underlying(
            id=(header >> 32) & 255,
            spot=((header >> 64) & (2 ** 96 - 1)) * NANO,
            spot_confidence=(header >> 160) * NANO,
            mark=0,
            mark_confidence=0,
            funding_index=0,
        )
    )
    for i: uint256 in range((header >> 16) & 65_535, bound=64):
        market.expiries.append(self.expiries[i])

    equity: int256 = 0
    requirement: uint256 = 0
    maintenance: uint256 = 0
    if question == Question.GATE:
        equity, requirement = staticcall self.engine.check(book, market, self.rulebook, kind)
    elif question == Question.MARGINS:
        equity, requirement, maintenance = staticcall self.engine.margins(
            book, market, self.rulebook
        )
    else:
        equity, maintenance = staticcall self.engine.prove(book, market, self.rulebook, scenarios)
    return equity, requirement, maintenance
