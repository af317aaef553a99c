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
    return staticcall self.engine.check(self._book(), self._market(), self.rulebook, kind)


@external
@view
def margins() -> (int256, uint256, uint256):
    """
    @notice Both margins in full of what is stored.
    """
    return staticcall self.engine.margins(self._book(), self._market(), self.rulebook)


@external
@view
def prove(scenarios: DynArray[uint256, 8]) -> (int256, uint256):
    """
    @notice The engine's proof on what is stored.
    """
    return staticcall self.engine.prove(self._book(), self._market(), self.rulebook, scenarios)


@external
@view
def warm(full: bool) -> uint256:
    """
    @notice Gas of a second check, or of margins in full, in the same transaction.
    """
    before: uint256 = 0
    for _: uint256 in range(2):
        before = msg.gas
        if full:
            equity: int256 = 0
            initial: uint256 = 0
            maintenance: uint256 = 0
            equity, initial, maintenance = staticcall self.engine.margins(
                self._book(), self._market(), self.rulebook
            )
        else:
            equity: int256 = 0
            requirement: uint256 = 0
            equity, requirement = staticcall self.engine.check(
                self._book(), self._market(), self.rulebook, IRiskEngine.Kind.INITIAL
            )
    return before - msg.gas


@internal
@view
def _book() -> IRiskEngine.Book:
    book: IRiskEngine.Book = empty(IRiskEngine.Book)
    book.cash = self.cash
    for i: uint256 in range(self.header & 65_535, bound=64):
        book.positions.append(self.positions[i])
    return book


@internal
@view
def _market() -> IOracle.Market:
    header: uint256 = self.header
    market: IOracle.Market = empty(IOracle.Market)
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
    return market
