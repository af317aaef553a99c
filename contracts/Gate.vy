# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Gate
@license Apache-2.0
@notice Asks oracle and risk engine what an account needs, and decides what may pass.
@dev Stateless. A book of cash alone needs no market and no engine.
@custom:security Deny by default: a change passes by one of PROTOCOL 2's two branches or reverts.
@custom:kill Nothing here can be stopped.
"""
from interfaces import IClearingHouse
from interfaces import IGate
from interfaces import IOracle
from interfaces import IRegistry
from interfaces import IRiskEngine
from modules import position

implements: IGate


WAD: constant(uint256) = 10**18
SIZE_UNIT: constant(int256) = 10**9
PRICE_UNIT: constant(uint256) = 10**9
FORWARD_BITS: constant(uint256) = 72        # of an expiry's terms: each part of the forward
FORWARD_MASK: constant(uint256) = 2**72 - 1
EXPIRY_BITS: constant(uint256) = 216        # of an expiry's terms: underlying and expiry
EXPIRY_MASK: constant(uint256) = 2**40 - 1
# Of an account, each underlying's counted apart: what bounds the gas of liquidating it (PROTOCOL 8).
MAX_EXPIRIES: constant(uint256) = 32

_REGISTRY: immutable(IRegistry)


@deploy
def __init__(registry: address):
    """
    @param registry Names schemes, oracle and clearing house.
    """
    _REGISTRY = IRegistry(registry)


@external
@view
def admit(
    scheme: uint256,
    before: IRiskEngine.Book,
    after: IRiskEngine.Book,
    fee: uint256,
    opening: bool,
    closing: bool,
) -> uint256:
    """
    @notice Refuse a change unless the gate allows it.
    @param before The book before the change.
    @param after The book after it, before the fee.
    @param opening Whether nothing but the margin forbids the first branch.
    @param closing Whether the second branch is open to a change that only reduces.
    @return The fee to be charged.
    """
    book: IRiskEngine.Book = after
    equity: int256 = 0
    requirement: uint256 = 0
    usable: IOracle.Purpose = empty(IOracle.Purpose)
    if opening:
        book.cash -= convert(fee, int256)
        equity, requirement, usable = self._check(scheme, book, IRiskEngine.Kind.INITIAL)
        if (
            IOracle.Purpose.OPENING in usable
            and equity >= convert(requirement, int256)
            and self._fits(book.positions)
        ):
            return fee
    if not (closing and self._reduces(before.positions, after.positions)):
        assert opening, "gate: opening is paused or the instrument not listed"
        assert IOracle.Purpose.OPENING in usable, "gate: market is stale"
        assert self._fits(book.positions), "gate: too many expiries"
        raise "gate: below initial margin"

    maintenance: uint256 = 0
    equity, requirement, maintenance, usable = self._margins(scheme, before)
    assert IOracle.Purpose.CLOSING in usable, "gate: no market"
    capped: uint256 = min(fee, convert(max(equity, 0), uint256))
    book.cash = after.cash - convert(capped, int256)
    equity_after: int256 = 0
    maintenance_after: uint256 = 0
    equity_after, requirement, maintenance_after, usable = self._margins(scheme, book)
    assert IOracle.Purpose.CLOSING in usable, "gate: no market"
    assert equity_after >= equity - convert(capped, int256), "gate: equity falls"
    assert (
        equity_after - convert(maintenance_after, int256)
        >= equity - convert(maintenance, int256)
    ), "gate: health falls"
    return capped


@external
@view
def margins(account: uint256) -> (int256, uint256, uint256, IOracle.Purpose):
    """
    @return Equity, initial and maintenance margin of an account, and what the market data is fresh
            enough for. If that is nothing, a price is missing and the figures mean nothing.
    """
    house: IClearingHouse = self._clearing_house()
    return self._margins(staticcall house.scheme_id(account), staticcall house.book(account))


@external
@view
def appraise(scheme: uint256, book: IRiskEngine.Book) -> IGate.Appraisal:
    """
    @notice Margins of a book under a scheme, and what its smallest units may come to.
    @dev A unit of an option is worth no more than the larger of forward and strike; twice their sum
         leaves room for a shocked forward and for charges.
    """
    found: IGate.Appraisal = empty(IGate.Appraisal)
    if self._is_plain(book):
        found.usable = self._all_purposes()
        found.equity = book.cash + book.unsettled
        return found
    engine: address = empty(address)
    rulebook: uint256 = 0
    market: IOracle.Market = empty(IOracle.Market)
    engine, rulebook, market = self._market(scheme, book)
    found.usable = market.usable
    if market.usable == empty(IOracle.Purpose):
        return found
    found.equity, found.initial, found.maintenance = staticcall IRiskEngine(engine).margins(
        book, market, rulebook
    )
    prices: DynArray[uint256, 64] = self._prices(book.positions, market)
    sum: uint256 = 0
    for i: uint256 in range(len(prices), bound=64):
        sum += prices[i]
        if position._kind(book.positions[i]) != position.PERPETUAL:
            sum += position._strike(book.positions[i]) * PRICE_UNIT
    # And a wei for each balance and for each sum that is rounded.
    found.dust = 2 * sum // PRICE_UNIT + len(prices) + 4
    for i: uint256 in range(len(book.holdings), bound=8):
        unit: uint256 = (staticcall _REGISTRY.asset(book.holdings[i].asset)).unit
        found.dust += unit * market.assets[i].price // market.stable + 1
    return found


@external
@view
def check(account: uint256, kind: IRiskEngine.Kind) -> (int256, uint256, IOracle.Purpose):
    """
    @notice Refuse an account of too many expiries.
    @return Equity, requirement (exact, or a bound that equity covers), freshness.
    """
    house: IClearingHouse = self._clearing_house()
    book: IRiskEngine.Book = staticcall house.book(account)
    assert self._fits(book.positions), "gate: too many expiries"
    return self._check(staticcall house.scheme_id(account), book, kind)


@external
@view
def prove(
    account: uint256, scenarios: DynArray[uint256, 8]
) -> (int256, uint256, IOracle.Purpose):
    """
    @notice Without scenarios the first one of every underlying, for who wants to know equity alone.
    @return Equity, a lower bound of maintenance margin from one scenario per underlying, freshness.
    """
    house: IClearingHouse = self._clearing_house()
    book: IRiskEngine.Book = staticcall house.book(account)
    if self._is_plain(book):
        return book.cash + book.unsettled, 0, self._all_purposes()
    engine: address = empty(address)
    rulebook: uint256 = 0
    market: IOracle.Market = empty(IOracle.Market)
    engine, rulebook, market = self._market(staticcall house.scheme_id(account), book)
    if market.usable == empty(IOracle.Purpose):
        return 0, 0, market.usable
    named: DynArray[uint256, 8] = scenarios
    if len(named) == 0:
        for _: IOracle.Underlying in market.underlyings:
            named.append(0)
    equity: int256 = 0
    maintenance: uint256 = 0
    equity, maintenance = staticcall IRiskEngine(engine).prove(book, market, rulebook, named)
    return equity, maintenance, market.usable


@external
@view
def value(account: uint256, instrument: uint256, size: int256) -> (int256, uint256):
    """
    @notice What an instrument is worth to an account's engine, apart from the account's own positions.
    @return Value of a position of this size (WAD), of a perpetual 0; and its notional: |size| times
            mark, or forward of the option, rounded down.
    """
    quantity: uint256 = convert(abs(size), uint256)
    if position._kind(instrument) == position.PERPETUAL:
        mark: uint256 = 0
        index: int256 = 0
        mark, index = staticcall IOracle(staticcall _REGISTRY.oracle()).perp(
            position._underlying(instrument)
        )
        return 0, quantity * mark // WAD
    book: IRiskEngine.Book = empty(IRiskEngine.Book)
    book.positions = [instrument | convert(convert(size // SIZE_UNIT << 160, bytes32), uint256)]
    engine: address = empty(address)
    rulebook: uint256 = 0
    market: IOracle.Market = empty(IOracle.Market)
    engine, rulebook, market = self._market(
        staticcall self._clearing_house().scheme_id(account), book
    )
    assert market.usable != empty(IOracle.Purpose), "gate: no market"
    worth: int256 = 0
    requirement: uint256 = 0
    worth, requirement = staticcall IRiskEngine(engine).check(
        book, market, rulebook, IRiskEngine.Kind.MAINTENANCE
    )
    return worth, quantity * self._forward(market.expiries[0].terms) // WAD


@external
@view
def notional(account: uint256) -> uint256:
    """
    @notice Sum of the notionals of an account's unexpired positions, each as `value` gives it.
    """
    house: IClearingHouse = self._clearing_house()
    book: IRiskEngine.Book = staticcall house.book(account)
    engine: address = empty(address)
    rulebook: uint256 = 0
    market: IOracle.Market = empty(IOracle.Market)
    engine, rulebook, market = self._market(staticcall house.scheme_id(account), book)
    prices: DynArray[uint256, 64] = self._prices(book.positions, market)
    sum: uint256 = 0
    for i: uint256 in range(len(prices), bound=64):
        size: int256 = position._size(book.positions[i]) * SIZE_UNIT
        sum += convert(abs(size), uint256) * prices[i] // WAD
    return sum


@internal
@view
def _check(
    scheme: uint256, book: IRiskEngine.Book, kind: IRiskEngine.Kind
) -> (int256, uint256, IOracle.Purpose):
    if self._is_plain(book):
        return book.cash + book.unsettled, 0, self._all_purposes()
    engine: address = empty(address)
    rulebook: uint256 = 0
    market: IOracle.Market = empty(IOracle.Market)
    engine, rulebook, market = self._market(scheme, book)
    if market.usable == empty(IOracle.Purpose):
        return 0, 0, market.usable
    equity: int256 = 0
    requirement: uint256 = 0
    equity, requirement = staticcall IRiskEngine(engine).check(book, market, rulebook, kind)
    return equity, requirement, market.usable


@internal
@view
def _margins(
    scheme: uint256, book: IRiskEngine.Book
) -> (int256, uint256, uint256, IOracle.Purpose):
    if self._is_plain(book):
        return book.cash + book.unsettled, 0, 0, self._all_purposes()
    engine: address = empty(address)
    rulebook: uint256 = 0
    market: IOracle.Market = empty(IOracle.Market)
    engine, rulebook, market = self._market(scheme, book)
    if market.usable == empty(IOracle.Purpose):
        return 0, 0, 0, market.usable
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    equity, initial, maintenance = staticcall IRiskEngine(engine).margins(book, market, rulebook)
    return equity, initial, maintenance, market.usable


@internal
@view
def _market(
    scheme: uint256, book: IRiskEngine.Book
) -> (address, uint256, IOracle.Market):
    """
    @return Engine, rulebook, and the market that the book needs.
    """
    engine: address = empty(address)
    rulebook: uint256 = 0
    oracle: address = empty(address)
    engine, rulebook, oracle = staticcall _REGISTRY.terms(scheme)
    assets: DynArray[uint256, 8] = []
    for holding: IRiskEngine.Holding in book.holdings:
        assets.append(holding.asset)
    return engine, rulebook, staticcall IOracle(oracle).market(book.positions, assets)


@internal
@pure
def _fits(positions: DynArray[uint256, 64]) -> bool:
    """
    @notice Whether sorted positions are of no more than MAX_EXPIRIES expiries.
    """
    if len(positions) <= MAX_EXPIRIES:
        return True
    count: uint256 = 0
    last: uint256 = 0
    for word: uint256 in positions:
        key: uint256 = word >> 96 & EXPIRY_MASK
        if key != last and position._kind(word) != position.PERPETUAL:
            count += 1
            last = key
    return count <= MAX_EXPIRIES


@internal
@pure
def _reduces(before: DynArray[uint256, 64], after: DynArray[uint256, 64]) -> bool:
    """
    @notice Whether no |size| grows and none flips its sign. Both lists are sorted and settled; each
            word before answers for one word after.
    """
    i: uint256 = 0
    for word: uint256 in after:
        series: uint256 = position._series(word)
        for _: uint256 in range(64):
            if i == len(before) or position._series(before[i]) >= series:
                break
            i += 1
        if i == len(before) or position._series(before[i]) != series:
            return False
        size: int256 = position._size(word)
        held: int256 = position._size(before[i])
        if abs(size) > abs(held) or (size > 0) != (held > 0):
            return False
        i += 1
    return True


@internal
@pure
def _prices(
    positions: DynArray[uint256, 64], market: IOracle.Market
) -> DynArray[uint256, 64]:
    """
    @notice Mark of each perpetual and full forward of each option (WAD).
    """
    prices: DynArray[uint256, 64] = []
    underlying: uint256 = 0
    expiry: uint256 = 0
    for word: uint256 in positions:
        # Positions and market are in the same order.
        if position._kind(word) == position.PERPETUAL:
            for _: uint256 in range(8):
                if market.underlyings[underlying].id == position._underlying(word):
                    break
                underlying += 1
            prices.append(market.underlyings[underlying].mark)
        else:
            for _: uint256 in range(64):
                if market.expiries[expiry].terms >> EXPIRY_BITS == word >> 96 & EXPIRY_MASK:
                    break
                expiry += 1
            prices.append(self._forward(market.expiries[expiry].terms))
    return prices


@internal
@view
def _clearing_house() -> IClearingHouse:
    return IClearingHouse(staticcall _REGISTRY.clearing_house())


@internal
@pure
def _forward(terms: uint256) -> uint256:
    """
    @notice Full forward (WAD) of an expiry's terms.
    """
    return ((terms & FORWARD_MASK) + (terms >> FORWARD_BITS & FORWARD_MASK)) * PRICE_UNIT


@internal
@pure
def _is_plain(book: IRiskEngine.Book) -> bool:
    """
    @notice Whether it is cash alone, which needs no market.
    """
    return len(book.positions) == 0 and len(book.holdings) == 0


@internal
@view
def _all_purposes() -> IOracle.Purpose:
    return IOracle.Purpose.OPENING | IOracle.Purpose.CLOSING | IOracle.Purpose.LIQUIDATION
