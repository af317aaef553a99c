# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Stored book
@license Apache-2.0
@notice Holds one account and its market in storage, as the ClearingHouse and the Oracle do, and asks
        an engine about them: what a check costs from storage.
@custom:kill For tests only.
"""
from interfaces import IOracle
from interfaces import IRiskEngine


engine: IRiskEngine
rulebook: uint256
cash: int256
positions: uint256[64]
counts: uint256             # positions, expiries << 16, holdings << 32
holdings: IRiskEngine.Holding[8]
time: uint256
stable: uint256
underlying: IOracle.Underlying
asset: IOracle.Asset
expiries: IOracle.Expiry[64]


@external
def store(
    engine: IRiskEngine, rulebook: uint256, book: IRiskEngine.Book, market: IOracle.Market
):
    """
    @notice Keep a book of one underlying and at most one asset.
    """
    self.engine = engine
    self.rulebook = rulebook
    self.cash = book.cash
    self.time = market.time
    self.stable = market.stable
    self.underlying = market.underlyings[0]
    self.counts = len(book.positions) | len(market.expiries) << 16 | len(book.holdings) << 32
    for i: uint256 in range(len(book.positions), bound=64):
        self.positions[i] = book.positions[i]
    for i: uint256 in range(len(market.expiries), bound=64):
        self.expiries[i] = market.expiries[i]
    for i: uint256 in range(len(book.holdings), bound=8):
        self.holdings[i] = book.holdings[i]
        self.asset = market.assets[0]


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


@internal
@view
def _book() -> IRiskEngine.Book:
    book: IRiskEngine.Book = empty(IRiskEngine.Book)
    book.cash = self.cash
    for i: uint256 in range(self.counts & 65_535, bound=64):
        book.positions.append(self.positions[i])
    for i: uint256 in range(self.counts >> 32, bound=8):
        book.holdings.append(self.holdings[i])
    return book


@internal
@view
def _market() -> IOracle.Market:
    market: IOracle.Market = empty(IOracle.Market)
    market.time = self.time
    market.stable = self.stable
    market.underlyings.append(self.underlying)
    for i: uint256 in range((self.counts >> 16) & 65_535, bound=64):
        market.expiries.append(self.expiries[i])
    if self.counts >> 32 > 0:
        market.assets.append(self.asset)
    return market
