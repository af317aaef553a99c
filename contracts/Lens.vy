# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Lens
@license Apache-2.0
@notice What an observer reads, in one call each.
@dev Keeps nothing and decides nothing: no other contract calls it.
@custom:security Reads only.
@custom:kill None.
"""
from interfaces import IClearingHouse
from interfaces import ILens
from interfaces import IOracle
from interfaces import IRegistry
from interfaces import IRiskEngine

implements: ILens


# Bounds of the encoded arguments and answers of the calls that may fail.
BOOK_SIZE: constant(uint256) = 32 * 128
MARKET_SIZE: constant(uint256) = 32 * 384
QUESTION_SIZE: constant(uint256) = 32 * 448
ASSESSMENT_SIZE: constant(uint256) = 32 * 640

ASSESS: constant(bytes4) = 0xba7a9bde       # selector of IRiskEngine.assess

PERPETUAL: constant(uint256) = 1
CALL: constant(uint256) = 2

REGISTRY: public(immutable(address))


@deploy
def __init__(registry: address):
    assert registry.is_contract, "lens: registry is no contract"
    REGISTRY = registry


@external
@view
def risks(accounts: DynArray[uint256, 32]) -> DynArray[ILens.Risk, 32]:
    """
    @notice Risk of each account, and the very book that it was computed from. Never reverts.
    @dev `usable` is empty where a price is missing, the account does not exist or its engine does not
         answer; the figures of margin are then 0.
    """
    house: address = staticcall IRegistry(REGISTRY).clearing_house()
    oracle: address = staticcall IRegistry(REGISTRY).oracle()
    count: uint256 = staticcall IClearingHouse(house).account_count()
    found: DynArray[ILens.Risk, 32] = []
    for account: uint256 in accounts:
        risk: ILens.Risk = empty(ILens.Risk)
        risk.account = account
        if account < count:
            risk.phase = staticcall IClearingHouse(house).phase(account)
            risk.cash = staticcall IClearingHouse(house).cash(account)
            risk.engine, risk.rulebook = staticcall IRegistry(REGISTRY).scheme(
                staticcall IClearingHouse(house).scheme_id(account)
            )
            risk = self._assessed(risk, house, oracle)
        found.append(risk)
    return found


@external
@view
def assess(account: uint256) -> IRiskEngine.Assessment:
    """
    @notice Every intermediate figure of one account's margin.
    """
    house: address = staticcall IRegistry(REGISTRY).clearing_house()
    oracle: address = staticcall IRegistry(REGISTRY).oracle()
    book: IRiskEngine.Book = staticcall IClearingHouse(house).book(account)
    market: IOracle.Market = staticcall IOracle(oracle).market(book.positions, self._assets(book))
    assert market.usable != empty(IOracle.Purpose), "lens: price missing"
    engine: address = empty(address)
    rulebook: uint256 = 0
    engine, rulebook = staticcall IRegistry(REGISTRY).scheme(
        staticcall IClearingHouse(house).scheme_id(account)
    )
    return staticcall IRiskEngine(engine).assess(book, market, rulebook)


@external
@view
def market() -> IOracle.Market:
    """
    @notice The market of all that is listed: every underlying, asset and unexpired expiry.
    """
    oracle: IOracle = IOracle(staticcall IRegistry(REGISTRY).oracle())
    perpetuals: DynArray[uint256, 64] = []
    for underlying: uint256 in staticcall IRegistry(REGISTRY).underlyings():
        perpetuals.append(underlying << 128 | PERPETUAL)
    options: DynArray[uint256, 64] = []
    for series: uint256 in staticcall IRegistry(REGISTRY).expiries():
        options.append(series << 96 | CALL)
    assets: DynArray[uint256, 8] = []
    listed: DynArray[IRegistry.Asset, 8] = staticcall IRegistry(REGISTRY).assets()
    for asset: uint256 in range(1, len(listed), bound=8):
        assets.append(asset)

    # Two calls, because perpetuals and expiries together may be more than a book holds.
    found: IOracle.Market = staticcall oracle.market(perpetuals, assets)
    dated: IOracle.Market = staticcall oracle.market(options, [])
    found.expiries = dated.expiries
    found.usable &= dated.usable
    return found


@external
@view
def ledger() -> IClearingHouse.Ledger:
    """
    @notice The terms of PROTOCOL 9's conservation identity, as stored.
    """
    return staticcall IClearingHouse(staticcall IRegistry(REGISTRY).clearing_house()).ledger()


@internal
@view
def _assessed(seen: ILens.Risk, house: address, oracle: address) -> ILens.Risk:
    """
    @dev The risk completed as far as book, market and engine answer.
    """
    risk: ILens.Risk = seen
    success: bool = False
    encoded_book: Bytes[BOOK_SIZE] = b""
    success, encoded_book = raw_call(
        house,
        abi_encode(risk.account, method_id=method_id("book(uint256)")),
        max_outsize=BOOK_SIZE,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success:
        return risk
    risk.book = abi_decode(encoded_book, IRiskEngine.Book)
    if len(risk.book.positions) == 0 and len(risk.book.holdings) == 0:
        # Cash alone needs no market, as the gate sees it too.
        risk.equity = risk.book.cash + risk.book.unsettled
        risk.usable = (
            IOracle.Purpose.OPENING | IOracle.Purpose.CLOSING | IOracle.Purpose.LIQUIDATION
        )
        return risk

    encoded_market: Bytes[MARKET_SIZE] = b""
    success, encoded_market = raw_call(
        oracle,
        abi_encode(
            risk.book.positions,
            self._assets(risk.book),
            method_id=method_id("market(uint256[],uint256[])"),
        ),
        max_outsize=MARKET_SIZE,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success:
        return risk
    market: IOracle.Market = abi_decode(encoded_market, IOracle.Market)
    if market.usable == empty(IOracle.Purpose) or not risk.engine.is_contract:
        return risk

    answer: Bytes[ASSESSMENT_SIZE] = b""
    success, answer = raw_call(
        risk.engine,
        abi_encode(risk.book, market, risk.rulebook, method_id=ASSESS),
        max_outsize=ASSESSMENT_SIZE,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success:
        return risk
    assessed: IRiskEngine.Assessment = abi_decode(answer, IRiskEngine.Assessment)
    risk.usable = market.usable
    risk.equity = assessed.equity
    risk.initial = assessed.initial
    risk.maintenance = assessed.maintenance
    risk.greeks = assessed.greeks
    return risk


@internal
@pure
def _assets(book: IRiskEngine.Book) -> DynArray[uint256, 8]:
    assets: DynArray[uint256, 8] = []
    for holding: IRiskEngine.Holding in book.holdings:
        assets.append(holding.asset)
    return assets
