# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Backstop
@license Apache-2.0
@notice Decides who pays when an account cannot: fees and fund first, then deleveraging or mutualisation.
@dev Holds no money: the fund is account 0 of the clearing house, which also keeps the books of losses.

     Deleveraging closes positions of an insolvent account against opposite ones at prices that
     leave it with nothing less than 0: what its options are worth to its own engine, perpetuals at
     their mark, plus a share of its deficit in proportion to notional. The fund is deleveraged like
     any other account; while it is healthy, its positions leave it only to those who take them, at
     a premium.
@custom:security The caller of `deleverage` chooses the counterparties. Their scores must not increase
                 along the list and each must stay above maintenance margin, but a caller may leave
                 someone out: a stated trust assumption.
@custom:kill Nothing here can be stopped: insolvencies must always be worked out.
"""
from interfaces import IBackstop
from interfaces import IClearingHouse
from interfaces import IGate
from interfaces import ILiquidator
from interfaces import IOracle
from interfaces import IRegistry
from interfaces import IRiskEngine
from modules import position
from modules import workout

implements: IBackstop


FUND: constant(uint256) = 0
WAD: constant(uint256) = 10**18
SIZE_UNIT: constant(int256) = 10**9
INSOLVENT: constant(uint256) = 2

# Of notional, to the fund from who takes its positions: a price may lag behind the market by less.
PREMIUM: constant(uint256) = 5 * 10**16

MAX_GRACE: constant(uint256) = 7 * 86400
MAX_DUST: constant(uint256) = 10**9 * 10**18
MAX_LOCK: constant(uint256) = 7 * 86400

_REGISTRY: immutable(IRegistry)

_parameters: IBackstop.Parameters


@deploy
def __init__(registry: address):
    """
    @param registry Names the other contracts; its owner sets parameters here.
    """
    _REGISTRY = IRegistry(registry)
    self._set_parameters(
        IBackstop.Parameters(
            mode=IBackstop.Mode.MUTUALISE,
            grace=3600,
            lock_dust=1000 * 10**18,
            lock_length=86400,
        )
    )


@external
def take_over(account: uint256, equity: int256):
    """
    @notice Move an account to the fund, cover its loss, leave positive equity to its owner. For the
            liquidator.
    """
    self._check_liquidator()
    house: IClearingHouse = self._house()
    kept: uint256 = convert(max(equity, 0), uint256)
    loss: uint256 = convert(max(-equity, 0), uint256)
    covered: uint256 = loss
    # Interest that the account owes is the fund's, and is part of the loss already.
    extcall house.settle(account)
    if account != FUND:
        fees: uint256 = 0
        fund: uint256 = 0
        fees, fund = self._capacity()
        # What the fund's cash bears needs no payment: it takes the account over as it is.
        covered = min(loss, fees) + (loss - min(loss, fees + fund))
        book: IRiskEngine.Book = staticcall house.book(account)
        workout._seize(house, account, FUND, book, WAD, 0, convert(kept, int256))
    if covered > 0:
        extcall house.cover(FUND, covered, True)
    log IBackstop.TakenOver(account=account, equity=equity, loss=loss, covered=covered, kept=kept)


@external
def cover(target: uint256, amount: uint256):
    """
    @notice Pay out of the waterfall. For the liquidator, in the insolvent phase.
    """
    self._check_liquidator()
    extcall self._house().cover(target, amount, self._parameters.mode == IBackstop.Mode.MUTUALISE)


@external
def deleverage(account: uint256, counterparties: DynArray[IBackstop.Counterparty, 16]):
    """
    @notice Close an insolvent account's positions against opposite ones, its deficit split by notional.
            Scores (maintenance / equity) of the list must not increase.
    """
    house: IClearingHouse = self._house()
    gate: IGate = IGate(staticcall _REGISTRY.gate())
    extcall house.settle(account)
    equity: int256 = self._check_deleverage(account, gate)
    deficit: uint256 = convert(max(-equity, 0), uint256)
    notional: uint256 = staticcall gate.notional(account)

    ceiling: uint256 = max_value(uint256)
    for item: IBackstop.Counterparty in counterparties:
        ceiling = self._deleverage_one(account, item, deficit, notional, ceiling, house, gate)


@external
def relieve(takers: DynArray[IBackstop.Counterparty, 16]):
    """
    @notice Take positions off the fund, unless it is in liquidation, at what they are worth to its
            engine and a premium on top. The caller needs the TRADE role on every account named.
    @dev Makes room in a full fund. Whoever takes must hold initial margin at fresh prices, and the
         fund must be no worse off without the positions than with them.
    """
    house: IClearingHouse = self._house()
    gate: IGate = IGate(staticcall _REGISTRY.gate())
    assert staticcall house.phase(FUND) == 0, "backstop: fund in liquidation"
    extcall house.settle(FUND)
    before: int256 = self._fresh_health(FUND, gate)
    for item: IBackstop.Counterparty in takers:
        self._relieve_one(item, house, gate)
    assert self._fresh_health(FUND, gate) >= before, "backstop: health falls"


@external
@view
def locked() -> bool:
    """
    @notice Whether withdrawals are locked because insolvencies exceed the fund.
    """
    total: uint256 = 0
    since: uint256 = 0
    total, since = staticcall self._liquidator().insolvency()
    # An excess that nobody has recorded yet (`refresh`) locks; its length counts from the record.
    if total == 0 or (
        since != 0 and block.timestamp >= since + self._parameters.lock_length
    ):
        return False
    return self._locks(total)


@external
@view
def locks(total: uint256) -> bool:
    """
    @notice Whether shortfalls of this sum lock withdrawals.
    """
    return self._locks(total)


@external
@view
def lock_threshold() -> uint256:
    """
    @notice Sum of shortfalls above which withdrawals are locked.
    """
    return self._lock_threshold()


@external
@view
def capacity() -> uint256:
    """
    @notice Fees, and what the fund has above its own obligations: what can be paid before anyone else
            bears a loss.
    """
    fees: uint256 = 0
    fund: uint256 = 0
    fees, fund = self._capacity()
    return fees + fund


@external
@view
def can_take_over(account: uint256, equity: int256) -> bool:
    """
    @notice Whether, by configuration, the fund may take over now an account whose insolvent path is over.
    @dev When deleveraging comes before mutualisation, the fund waits for it unless it can bear the
         loss alone, nothing is left to deleverage, or the time for it has passed.
    """
    if self._parameters.mode == IBackstop.Mode.MUTUALISE:
        return True
    fees: uint256 = 0
    fund: uint256 = 0
    fees, fund = self._capacity()
    if -equity <= convert(fees + fund, int256):
        return True
    course: ILiquidator.Liquidation = staticcall self._liquidator().liquidation(account)
    if block.timestamp >= course.started + course.duration + self._parameters.grace:
        return True
    return len(staticcall self._house().positions(account)) == 0


@external
@view
def parameters() -> IBackstop.Parameters:
    """
    @notice What follows the fund, and when withdrawals are locked.
    """
    return self._parameters


@external
def set_parameters(parameters: IBackstop.Parameters):
    """
    @notice Choose what follows the fund, and when withdrawals are locked.
    """
    assert msg.sender == staticcall _REGISTRY.owner(), "backstop: not owner"
    self._set_parameters(parameters)


@internal
def _deleverage_one(
    account: uint256,
    item: IBackstop.Counterparty,
    deficit: uint256,
    notional: uint256,
    ceiling: uint256,
    house: IClearingHouse,
    gate: IGate,
) -> uint256:
    """
    @notice Close one position against one counterparty.
    @return The counterparty's score, which the next may not exceed.
    """
    assert item.account != account and item.account != FUND, "backstop: not a counterparty"
    assert staticcall house.phase(item.account) == 0, "backstop: counterparty in liquidation"
    score: uint256 = self._score(item.account, gate)
    assert score <= ceiling, "backstop: scores increase"

    held: int256 = self._size(account, item.instrument, house)
    opposite: int256 = self._size(item.account, item.instrument, house)
    assert (held > 0 and opposite < 0) or (held < 0 and opposite > 0), "backstop: not opposite"
    size: int256 = self._part(held, min(abs(opposite), convert(item.size, int256) // SIZE_UNIT))
    worth: int256 = 0
    part: uint256 = 0
    worth, part = staticcall gate.value(account, item.instrument, size * SIZE_UNIT)
    charge: uint256 = 0
    if deficit > 0:
        charge = (deficit * part + notional - 1) // notional
    cash: int256 = worth + convert(charge, int256)
    self._hand_over(account, item, size, cash, house)
    assert self._score(item.account, gate) <= WAD, "backstop: counterparty below maintenance"
    log IBackstop.Deleveraged(
        account=account,
        counterparty=item.account,
        instrument=item.instrument,
        size=-size * SIZE_UNIT,
        cash=cash,
        charge=charge,
        score=score,
    )
    return score


@internal
def _relieve_one(item: IBackstop.Counterparty, house: IClearingHouse, gate: IGate):
    """
    @notice Hand part of a position of the fund to an account that agrees.
    """
    assert staticcall house.may(item.account, msg.sender, IClearingHouse.Role.TRADE), (
        "backstop: not allowed"
    )
    assert staticcall house.phase(item.account) == 0, "backstop: taker in liquidation"
    held: int256 = self._size(FUND, item.instrument, house)
    size: int256 = self._part(held, convert(item.size, int256) // SIZE_UNIT)
    worth: int256 = 0
    notional: uint256 = 0
    worth, notional = staticcall gate.value(FUND, item.instrument, size * SIZE_UNIT)
    premium: uint256 = (notional * PREMIUM + WAD - 1) // WAD
    cash: int256 = worth + convert(premium, int256)
    self._hand_over(FUND, item, size, cash, house)
    equity: int256 = 0
    initial: uint256 = 0
    usable: IOracle.Purpose = empty(IOracle.Purpose)
    equity, initial, usable = staticcall gate.check(item.account, IRiskEngine.Kind.INITIAL)
    assert IOracle.Purpose.OPENING in usable, "backstop: market is stale"
    assert equity >= convert(initial, int256), "backstop: taker below initial margin"
    log IBackstop.Relieved(
        taker=item.account,
        instrument=item.instrument,
        size=size * SIZE_UNIT,
        cash=cash,
        premium=premium,
    )


@internal
def _hand_over(
    account: uint256,
    item: IBackstop.Counterparty,
    size: int256,
    cash: int256,
    house: IClearingHouse,
):
    """
    @notice Move part of a position (in units of 1e-9) to the account of an item, which pays `cash`.
    """
    word: uint256 = item.instrument | convert(convert(size << 160, bytes32), uint256)
    extcall house.move(account, item.account, [word], [], -cash)


@internal
@view
def _lock_threshold() -> uint256:
    fees: uint256 = 0
    fund: uint256 = 0
    fees, fund = self._capacity()
    return fees + fund + self._parameters.lock_dust


@internal
@view
def _locks(total: uint256) -> bool:
    """
    @notice Whether a sum is above the threshold; what the fund is worth is asked only where its cash
            decides.
    """
    dust: uint256 = self._parameters.lock_dust
    fees: uint256 = 0
    cash: uint256 = 0
    fees, cash = staticcall self._house().capacity()
    if total <= fees + dust:
        return False
    if total > fees + cash + dust:
        return True
    return total > self._lock_threshold()


@internal
@view
def _capacity() -> (uint256, uint256):
    """
    @notice Cash against what the fund has taken over is not there for others: as much as it owes less
            than it owns counts, and nothing if that cannot be told.
    @return Fees, and what the fund can pay.
    """
    fees: uint256 = 0
    fund: uint256 = 0
    fees, fund = staticcall self._house().capacity()
    if fund > 0:
        equity: int256 = 0
        least: uint256 = 0
        usable: IOracle.Purpose = empty(IOracle.Purpose)
        equity, least, usable = staticcall IGate(staticcall _REGISTRY.gate()).prove(FUND, [])
        fund = min(fund, convert(max(equity, 0), uint256))
    return fees, fund


@internal
@view
def _check_deleverage(account: uint256, gate: IGate) -> int256:
    """
    @notice Refuse accounts that may not be deleveraged now.
    @return The account's equity.
    """
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    usable: IOracle.Purpose = empty(IOracle.Purpose)
    equity, initial, maintenance, usable = staticcall gate.margins(account)
    assert IOracle.Purpose.LIQUIDATION in usable, "backstop: market is stale"
    assert self._parameters.mode == IBackstop.Mode.DELEVERAGE, "backstop: no deleveraging"
    course: ILiquidator.Liquidation = staticcall self._liquidator().liquidation(account)
    assert course.phase == INSOLVENT and block.timestamp >= course.started + course.duration, (
        "backstop: insolvent path is not over"
    )
    assert equity < convert(maintenance, int256), "backstop: account is healthy"
    return equity


@internal
@view
def _fresh_health(account: uint256, gate: IGate) -> int256:
    """
    @notice Equity above maintenance margin, refused if the market is too old to open by.
    """
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    usable: IOracle.Purpose = empty(IOracle.Purpose)
    equity, initial, maintenance, usable = staticcall gate.margins(account)
    assert IOracle.Purpose.OPENING in usable, "backstop: market is stale"
    return equity - convert(maintenance, int256)


@internal
@view
def _score(account: uint256, gate: IGate) -> uint256:
    """
    @notice Maintenance margin over equity, WAD: the closer to 1, the sooner an account is deleveraged.
    """
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    usable: IOracle.Purpose = empty(IOracle.Purpose)
    equity, initial, maintenance, usable = staticcall gate.margins(account)
    assert IOracle.Purpose.LIQUIDATION in usable, "backstop: market is stale"
    if equity <= 0:
        return max_value(uint256)
    return (maintenance * WAD + convert(equity, uint256) - 1) // convert(equity, uint256)


@internal
@view
def _size(account: uint256, instrument: uint256, house: IClearingHouse) -> int256:
    """
    @notice An account's position in an instrument, in units of 1e-9.
    """
    words: DynArray[uint256, 64] = staticcall house.positions(account)
    for word: uint256 in words:
        if position._name(word) == instrument:
            return position._size(word)
    return 0


@internal
@pure
def _part(held: int256, most: int256) -> int256:
    """
    @notice As much of a position as is wanted, with its sign.
    """
    size: int256 = min(abs(held), most)
    assert size > 0, "backstop: nothing to close"
    return size if held > 0 else -size


@internal
def _set_parameters(parameters: IBackstop.Parameters):
    assert (
        parameters.mode == IBackstop.Mode.MUTUALISE
        or parameters.mode == IBackstop.Mode.DELEVERAGE
    ), "backstop: one mode"
    assert parameters.grace <= MAX_GRACE, "backstop: grace out of range"
    assert parameters.lock_dust <= MAX_DUST, "backstop: dust out of range"
    assert parameters.lock_length <= MAX_LOCK, "backstop: lock out of range"
    self._parameters = parameters
    log IBackstop.ParametersSet(parameters=parameters)


@internal
@view
def _house() -> IClearingHouse:
    return IClearingHouse(staticcall _REGISTRY.clearing_house())


@internal
@view
def _liquidator() -> ILiquidator:
    return ILiquidator(staticcall _REGISTRY.liquidator())


@internal
@view
def _check_liquidator():
    assert msg.sender == staticcall _REGISTRY.liquidator(), "backstop: not the liquidator"
