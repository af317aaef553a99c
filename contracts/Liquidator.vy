# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Liquidator
@license Apache-2.0
@notice The state machine of PROTOCOL 8, for any liquidation rule.
@dev E is equity, M maintenance margin, C the cash that bids have brought and that is not for sale, b
     the buffer. Margins are proportional (IRiskEngine), so a bid asks the engine once, about the
     account before it: what a part leaves behind, and what it brings the bidder, is that part of
     these figures, less (of a margin, more) what rounding to units may come to. The price is p
     times the equity that moves, and more where rounding would otherwise lower E - M.
@custom:security A rule only proposes: fraction and price are clamped, and if it reverts, runs out of
                 gas or answers nonsense the built-in rule applies. A bidder must pass its own gate,
                 and no third party can change what it holds.
@custom:kill Nothing here can be stopped: liquidation must always be possible.
"""
from interfaces import IBackstop
from interfaces import IClearingHouse
from interfaces import IGate
from interfaces import ILiquidationRule
from interfaces import ILiquidator
from interfaces import IOracle
from interfaces import IRegistry
from interfaces import IRiskEngine
from modules import workout

implements: ILiquidator


# What a step sees of an account.
struct View:
    equity: int256
    maintenance: uint256
    usable: IOracle.Purpose


WAD: constant(uint256) = 10**18
SIGNED_WAD: constant(int256) = 10**18
HEALTHY: constant(uint256) = 0
SOLVENT: constant(uint256) = 1
INSOLVENT: constant(uint256) = 2

RULE_GAS: constant(uint256) = 200_000
DUST: constant(int256) = 10_000             # of a price: its share that rounding may add
MAX_BUFFER: constant(uint256) = 10**18
MIN_MIN_FRACTION: constant(uint256) = 10**15    # a bid of dust would only spoil the state others expect
MAX_MIN_FRACTION: constant(uint256) = 10**17
MAX_FEE: constant(uint256) = 10**17
MIN_START_PRICE: constant(uint256) = 5 * 10**17     # the bidder of the flag's block gets no more
MIN_DURATION: constant(uint256) = 600       # some fifty blocks in which others can bid more
MAX_DURATION: constant(uint256) = 7 * 86400

_REGISTRY: immutable(IRegistry)

rule: public(address)
_parameters: ILiquidator.Parameters

# Phase (8 bits), start (40), duration (24), buffer (60), start price (60), flagger (64).
_courses: HashMap[uint256, uint256]
# Reserved cash (low 128 bits), flagger's reward (upper 128).
_moneys: HashMap[uint256, uint256]
# Fraction sold (low 64 bits), shortfall (above).
_progress: HashMap[uint256, uint256]

# Sum of shortfalls (low 128 bits), unix seconds since it is more than the backstop bears (above).
_insolvency: uint256


@deploy
def __init__(registry: address):
    """
    @param registry Names the other contracts; its owner sets rule and parameters here.
    """
    _REGISTRY = IRegistry(registry)
    self._set_parameters(
        ILiquidator.Parameters(
            buffer=15 * 10**16,
            min_fraction=10**16,
            fee=0,
            solvent_duration=7200,
            insolvent_duration=3600,
            start_price=98 * 10**16,
        )
    )


# ---------------------------------------------------------------------------------------------
# The state machine
# ---------------------------------------------------------------------------------------------


@external
def flag(account: uint256, scenarios: DynArray[uint256, 8], flagger: uint256):
    """
    @notice Start the liquidation of an account whose equity is below its maintenance margin.
    @param scenarios One scenario per underlying of the account's market that shows it; empty: the whole check.
    @param flagger Account that receives the reward.
    """
    assert self._phase(account) == HEALTHY, "liquidator: already flagged"
    assert flagger < staticcall self._house().account_count(), "liquidator: no such flagger"
    seen: View = empty(View)
    if len(scenarios) == 0:
        seen = self._view(account)
    else:
        seen.equity, seen.maintenance, seen.usable = staticcall self._gate().prove(
            account, scenarios
        )
    assert IOracle.Purpose.LIQUIDATION in seen.usable, "liquidator: market is stale"
    assert seen.equity < convert(seen.maintenance, int256), "liquidator: account is healthy"

    buffer: uint256 = self._parameters.buffer
    course: ILiquidator.Liquidation = empty(ILiquidator.Liquidation)
    course.started = block.timestamp
    course.buffer = buffer
    course.start_price = self._parameters.start_price
    course.flagger = flagger
    if seen.equity > 0:
        course.phase = SOLVENT
        course.duration = self._duration(SOLVENT)
        fraction: uint256 = 0
        price: uint256 = 0
        reward: uint256 = 0
        fraction, price, reward = self._ask(account, course, seen)
        course.reward = convert(seen.equity, uint256) * reward // WAD
    else:
        course.phase = INSOLVENT
        course.duration = self._duration(INSOLVENT)
    self._save(account, course)
    self._set_shortfall(account, course.phase, seen.equity)
    extcall self._house().set_phase(account, course.phase)
    log ILiquidator.Flagged(
        account=account,
        flagger=flagger,
        phase=course.phase,
        equity=seen.equity,
        maintenance=seen.maintenance,
        buffer=buffer,
        duration=course.duration,
        start_price=course.start_price,
        reward=course.reward,
    )


@external
def bid(
    account: uint256,
    bidder: uint256,
    fraction: uint256,
    price_limit: int256,
    expected_state: uint256,
) -> (uint256, int256):
    """
    @notice Take up to a fraction of the account. The caller needs the TRADE role on the bidder's account.
    @param price_limit Most that the bidder pays in all: with fees, and with its own share of what is
           mutualised to pay it; negative: least that it receives.
    @param expected_state `state(account)` that the bid was computed for; 0: any.
    @return Fraction taken and amount paid in all (negative: received).
    """
    house: IClearingHouse = self._house()
    assert staticcall house.may(bidder, msg.sender, IClearingHouse.Role.TRADE), (
        "liquidator: not allowed"
    )
    assert account != bidder, "liquidator: own account"
    assert self._phase(bidder) == HEALTHY, "liquidator: bidder is in liquidation"
    course: ILiquidator.Liquidation = self._load(account)
    assert course.phase != HEALTHY, "liquidator: not flagged"
    if expected_state != 0:
        assert expected_state == self._state(account), "liquidator: state has changed"

    scheme: uint256 = staticcall house.scheme_id(account)
    book: IRiskEngine.Book = staticcall house.book(account)
    found: IGate.Appraisal = staticcall self._gate().appraise(scheme, book)
    assert IOracle.Purpose.LIQUIDATION in found.usable, "liquidator: market is stale"
    bidders: IRiskEngine.Book = staticcall house.book(bidder)
    # Expired positions are unsettled money, which moving no position leaves out of stored cash.
    starts_empty: bool = (
        len(bidders.positions) == 0 and len(bidders.holdings) == 0 and bidders.unsettled == 0
    )

    taken: uint256 = 0
    paid: int256 = 0
    if course.phase == SOLVENT:
        taken, paid = self._bid_solvent(house, account, bidder, book, fraction, course, found)
    else:
        taken, paid = self._bid_insolvent(house, account, bidder, book, fraction, course, found)
    assert paid <= price_limit, "liquidator: price above limit"

    if starts_empty and scheme == staticcall house.scheme_id(bidder):
        # All that it holds is cash and this part of the account.
        worth: int256 = found.equity - book.cash - book.unsettled
        worth = worth * convert(taken, int256) // SIGNED_WAD - convert(found.dust, int256)
        need: uint256 = self._ceil_div(found.initial * taken, WAD) + found.dust
        if staticcall house.cash(bidder) + worth >= convert(need, int256):
            return taken, paid
    equity: int256 = 0
    initial: uint256 = 0
    usable: IOracle.Purpose = empty(IOracle.Purpose)
    equity, initial, usable = staticcall self._gate().check(bidder, IRiskEngine.Kind.INITIAL)
    assert IOracle.Purpose.LIQUIDATION in usable, "liquidator: bidder's market is stale"
    assert equity >= convert(initial, int256), "liquidator: bidder below initial margin"
    return taken, paid


@external
def restart(account: uint256):
    """
    @notice Begin the solvent phase anew with C = 0, once 0 < E <= C.
    """
    course: ILiquidator.Liquidation = self._load(account)
    seen: View = self._fresh(account)
    assert self._can_restart(course, seen), "liquidator: cannot restart"
    released: uint256 = course.reserved
    course.reward -= course.reward * course.sold // WAD
    course.reserved = 0
    course.sold = 0
    course.started = block.timestamp
    course.duration = self._duration(SOLVENT)
    course.start_price = self._parameters.start_price
    self._save(account, course)
    log ILiquidator.Restarted(
        account=account,
        equity=seen.equity,
        maintenance=seen.maintenance,
        released=released,
        duration=course.duration,
        start_price=course.start_price,
    )


@external
def turn_insolvent(account: uint256):
    """
    @notice From the solvent to the insolvent phase: E <= 0, or the path is over and E < M.
    """
    course: ILiquidator.Liquidation = self._load(account)
    seen: View = self._fresh(account)
    assert self._can_turn(course, seen), "liquidator: cannot turn insolvent"
    course.phase = INSOLVENT
    course.reserved = 0
    course.sold = 0
    course.reward = 0
    course.started = block.timestamp
    course.duration = self._duration(INSOLVENT)
    self._save(account, course)
    self._set_shortfall(account, INSOLVENT, seen.equity)
    extcall self._house().set_phase(account, INSOLVENT)
    log ILiquidator.TurnedInsolvent(
        account=account,
        equity=seen.equity,
        maintenance=seen.maintenance,
        duration=course.duration,
    )


@external
def resolve(account: uint256):
    """
    @notice End a liquidation whose account is healthy again, also one that another liquidator began.
    """
    course: ILiquidator.Liquidation = self._load(account)
    seen: View = self._fresh(account)
    assert self._can_resolve(account, course, seen), "liquidator: cannot resolve"
    self._end(account)
    log ILiquidator.Resolved(
        account=account, equity=seen.equity, maintenance=seen.maintenance
    )


@external
def refresh(account: uint256):
    """
    @notice Record anew by how much an insolvent account's equity falls short, and whether all of them
            together exceed what the backstop bears.
    """
    assert self._phase(account) == INSOLVENT, "liquidator: not insolvent"
    self._set_shortfall(account, INSOLVENT, self._fresh(account).equity)


@external
def close(account: uint256):
    """
    @notice End an insolvent phase whose path is over: the backstop takes the account over.
    """
    course: ILiquidator.Liquidation = self._load(account)
    seen: View = self._fresh(account)
    assert self._can_close(account, course, seen), "liquidator: cannot close"
    self._end(account)
    extcall self._backstop().take_over(account, seen.equity)
    log ILiquidator.Closed(account=account, equity=seen.equity, taken_over=True)


# ---------------------------------------------------------------------------------------------
# Views
# ---------------------------------------------------------------------------------------------


@external
@view
def quote(account: uint256) -> ILiquidator.Quote:
    """
    @notice All that a keeper needs to decide. Never reverts for stale data.
    """
    course: ILiquidator.Liquidation = self._load(account)
    seen: View = self._view(account)
    quote: ILiquidator.Quote = empty(ILiquidator.Quote)
    quote.account = account
    quote.usable = seen.usable
    quote.phase = course.phase
    quote.equity = seen.equity
    quote.maintenance = seen.maintenance
    quote.reserved = course.reserved
    quote.state = self._state(account)
    if IOracle.Purpose.LIQUIDATION not in seen.usable:
        return quote
    maintenance: int256 = convert(seen.maintenance, int256)
    if course.phase == HEALTHY:
        quote.can_flag = seen.equity < maintenance
        quote.can_resolve = self._can_resolve(account, course, seen)
        return quote
    quote.can_restart = self._can_restart(course, seen)
    quote.can_resolve = self._can_resolve(account, course, seen)
    quote.can_turn = self._can_turn(course, seen)
    quote.can_close = self._can_close(account, course, seen)
    if course.phase == SOLVENT and self._is_sellable(course, seen):
        reward: uint256 = 0
        quote.max_fraction, quote.price_fraction, reward = self._ask(account, course, seen)
        sold: uint256 = convert(seen.equity, uint256) - course.reserved
        value: uint256 = sold * quote.max_fraction // WAD
        price: uint256 = self._ceil_div(value * quote.price_fraction, WAD)
        fee: uint256 = 0
        reward, fee = self._charges(course, quote.max_fraction, value, value - price)
        quote.price = convert(price, int256)
        quote.charges = reward + fee
    elif course.phase == INSOLVENT and seen.equity < maintenance:
        quote.max_fraction = WAD
        quote.price = -convert(self._payout(course, seen, WAD), int256)
    return quote


@external
@view
@reentrant
def liquidation(account: uint256) -> ILiquidator.Liquidation:
    """
    @notice State of an account's liquidation.
    """
    return self._load(account)


@external
@view
def phase(account: uint256) -> uint256:
    """
    @notice 0 healthy, 1 solvent, 2 insolvent.
    """
    return self._phase(account)


@external
@view
def state(account: uint256) -> uint256:
    """
    @notice Changes whenever the account or its liquidation changes, not by prices or time.
    """
    return self._state(account)


@external
@view
@reentrant
def insolvency() -> (uint256, uint256):
    """
    @return Sum of shortfalls of all insolvent phases, and since when it exceeds what locks withdrawals,
            as of the last change or `refresh` (0: it did not).
    """
    return self._insolvency & (2**128 - 1), self._insolvency >> 128


@external
@view
def parameters() -> ILiquidator.Parameters:
    """
    @notice Buffer, fees and the built-in rule.
    """
    return self._parameters


# ---------------------------------------------------------------------------------------------
# Owner
# ---------------------------------------------------------------------------------------------


@external
def set_rule(rule: address):
    """
    @notice Set the liquidation rule; the zero address means the built-in one.
    @dev From now on it prices the phases that run as well, over the time that they have left: a rule
         found wrong must not go on. Buyers have their price limit.
    """
    self._check_owner()
    assert rule == empty(address) or rule.is_contract, "liquidator: rule is no contract"
    self.rule = rule
    log ILiquidator.RuleSet(rule=rule)


@external
def set_parameters(parameters: ILiquidator.Parameters):
    """
    @notice Set buffer, fees and the built-in rule. Phases that run keep their buffer and price path.
    """
    self._check_owner()
    self._set_parameters(parameters)


# ---------------------------------------------------------------------------------------------
# Bids
# ---------------------------------------------------------------------------------------------


@internal
def _bid_solvent(
    house: IClearingHouse,
    account: uint256,
    bidder: uint256,
    book: IRiskEngine.Book,
    fraction: uint256,
    course: ILiquidator.Liquidation,
    found: IGate.Appraisal,
) -> (uint256, int256):
    """
    @return Fraction taken, and what the bidder pays in all.
    """
    before: View = self._seen(found)
    assert self._is_sellable(course, before), "liquidator: nothing to sell"
    most: uint256 = 0
    price_fraction: uint256 = 0
    reward: uint256 = 0
    most, price_fraction, reward = self._ask(account, course, before)
    taken: uint256 = min(fraction, most)
    assert taken == most or taken >= self._parameters.min_fraction, "liquidator: bid too small"

    after: View = self._rest(found, taken, course.reserved)
    moved: int256 = before.equity - after.equity
    # At least p times what moves, and as much as keeps health where it was.
    price: int256 = max(
        convert(self._ceil_div(convert(moved, uint256) * price_fraction, WAD), int256),
        self._health(before) - self._health(after),
    )
    # A bid that would end the liquidation but for rounding makes up for it.
    gap: int256 = self._target(course, after) - after.equity - price
    if gap > 0 and gap <= price // DUST:
        price = min(price + gap, max(price, moved))
    assert price <= moved, "liquidator: health falls"
    assert after.equity + price >= 0, "liquidator: account would be insolvent"
    workout._seize(house, account, bidder, book, taken, course.reserved, price)

    sold: uint256 = convert(before.equity, uint256) - course.reserved
    surplus: uint256 = min(
        convert(moved - price, uint256), (WAD - price_fraction) * taken // WAD * sold // WAD
    )
    fee: uint256 = 0
    reward, fee = self._charges(course, taken, convert(moved, uint256), surplus)
    if reward > 0 and course.flagger != bidder:
        extcall house.move(bidder, course.flagger, [], [], convert(reward, int256))
    if fee > 0:
        extcall house.take_fee(bidder, fee)

    course_after: ILiquidator.Liquidation = course
    course_after.reserved += convert(price, uint256)
    course_after.sold += (WAD - course.sold) * taken // WAD
    after.equity += price
    self._log_bid(account, bidder, SOLVENT, taken, moved, price, reward, fee, before, after)
    if after.equity >= self._target(course, after):
        self._end(account)
        log ILiquidator.Resolved(
            account=account, equity=after.equity, maintenance=after.maintenance
        )
    else:
        self._save(account, course_after)
    return taken, price + convert(reward + fee, int256)


@internal
def _bid_insolvent(
    house: IClearingHouse,
    account: uint256,
    bidder: uint256,
    book: IRiskEngine.Book,
    fraction: uint256,
    course: ILiquidator.Liquidation,
    found: IGate.Appraisal,
) -> (uint256, int256):
    """
    @return Fraction taken, and what the bidder receives less what it bears of that, negated.
    """
    before: View = self._seen(found)
    assert self._health(before) < 0, "liquidator: nothing to sell"
    taken: uint256 = min(fraction, WAD)
    assert taken >= self._parameters.min_fraction, "liquidator: bid too small"
    after: View = self._rest(found, taken, 0)
    assert self._health(after) >= self._health(before), "liquidator: health falls"
    payout: uint256 = self._payout(course, before, taken)
    workout._seize(house, account, bidder, book, taken, 0, 0)
    paid: int256 = 0
    if payout > 0:
        held: int256 = staticcall house.cash(bidder)
        extcall self._backstop().cover(bidder, payout)
        paid = held - staticcall house.cash(bidder)
    moved: int256 = before.equity - after.equity
    price: int256 = -convert(payout, int256)
    self._log_bid(account, bidder, INSOLVENT, taken, moved, price, 0, 0, before, after)
    if taken == WAD:
        self._end(account)
        log ILiquidator.Closed(account=account, equity=after.equity, taken_over=False)
    else:
        self._set_shortfall(account, INSOLVENT, after.equity)
    return taken, paid


@internal
@pure
def _rest(found: IGate.Appraisal, taken: uint256, reserved: uint256) -> View:
    """
    @notice What is left once a part of all but `reserved` cash is taken: equity of at least this, a
            maintenance margin of at most this.
    """
    rest: View = self._seen(found)
    rest.equity = convert(reserved, int256)
    rest.maintenance = 0
    if taken < WAD:
        left: uint256 = WAD - taken
        sold: int256 = found.equity - rest.equity
        rest.equity += sold * convert(left, int256) // SIGNED_WAD - convert(found.dust, int256)
        rest.maintenance = self._ceil_div(found.maintenance * left, WAD) + found.dust
    return rest


@internal
@pure
def _seen(found: IGate.Appraisal) -> View:
    return View(
        equity=found.equity, maintenance=found.maintenance, usable=found.usable
    )


@internal
def _log_bid(
    account: uint256,
    bidder: uint256,
    phase: uint256,
    taken: uint256,
    moved: int256,
    price: int256,
    reward: uint256,
    fee: uint256,
    before: View,
    after: View,
):
    log ILiquidator.Bid(
        account=account,
        bidder=bidder,
        phase=phase,
        fraction=taken,
        value=moved,
        price=price,
        reward=reward,
        fee=fee,
        equity=before.equity,
        equity_after=after.equity,
        maintenance=before.maintenance,
        maintenance_after=after.maintenance,
    )


@internal
@view
def _charges(
    course: ILiquidator.Liquidation, taken: uint256, moved: uint256, surplus: uint256
) -> (uint256, uint256):
    """
    @notice What a bidder pays on top of the price, together at most `surplus`.
    @return The flagger's reward, in proportion to what is sold of the account, and the fee.
    """
    reward: uint256 = min(course.reward * ((WAD - course.sold) * taken // WAD) // WAD, surplus)
    return reward, min(moved * self._parameters.fee // WAD, surplus - reward)


@internal
@view
def _payout(course: ILiquidator.Liquidation, seen: View, taken: uint256) -> uint256:
    """
    @notice What the system pays for a fraction in the insolvent phase: from -min(E, 0) to -E + M.
    """
    elapsed: uint256 = min(block.timestamp - course.started, course.duration)
    least: int256 = -min(seen.equity, 0)
    most: int256 = -self._health(seen)
    payout: int256 = least + (most - least) * convert(elapsed, int256) // convert(
        course.duration, int256
    )
    return convert(payout, uint256) * taken // WAD


# ---------------------------------------------------------------------------------------------
# The rule
# ---------------------------------------------------------------------------------------------


@internal
@view
def _ask(
    account: uint256, course: ILiquidator.Liquidation, seen: View
) -> (uint256, uint256, uint256):
    """
    @notice The rule's answer for a solvent account, clamped, or the built-in one.
    @return Largest fraction of a bid, price fraction, reward fraction.
    """
    state: ILiquidationRule.State = ILiquidationRule.State(
        account=account,
        phase=course.phase,
        started=course.started,
        equity=seen.equity,
        maintenance=seen.maintenance,
        reserved=course.reserved,
        buffer=course.buffer,
        sold=course.sold,
    )
    most: uint256 = 0
    price: uint256 = 0
    reward: uint256 = 0
    answer: Bytes[96] = self._call_rule(
        abi_encode(
            state,
            block.timestamp,
            method_id=method_id(
                "quote((uint256,uint256,uint256,int256,uint256,uint256,uint256,uint256),uint256)"
            ),
        )
    )
    if len(answer) == 96:
        most, price, reward = abi_decode(answer, (uint256, uint256, uint256))
    is_own: bool = most == 0
    if is_own:
        elapsed: uint256 = block.timestamp - course.started
        price = (
            course.start_price
            * (course.duration - min(elapsed, course.duration))
            // course.duration
        )
        reward = 0
    price = min(price, WAD)
    sold: uint256 = 0
    if seen.equity > convert(course.reserved, int256):
        sold = convert(seen.equity, uint256) - course.reserved
    if sold > seen.maintenance:
        price = max(price, WAD - seen.maintenance * WAD // sold)
    if is_own:
        most = self._max_fraction(course, seen, sold, price)
    return min(most, WAD), price, min(reward, WAD)


@internal
@view
def _max_fraction(
    course: ILiquidator.Liquidation, seen: View, sold: uint256, price: uint256
) -> uint256:
    """
    @notice PROTOCOL 8: f_max = ((1+b)M - E) / ((1+b)M - (1-p)(E-C)), rounded up.
    """
    target: int256 = self._target(course, seen)
    if seen.equity >= target:
        return 0
    wanted: uint256 = convert(target - seen.equity, uint256)
    given: int256 = convert(self._ceil_div((WAD - price) * sold, WAD), int256)
    gained: int256 = target - given
    if gained <= convert(wanted, int256):
        return WAD
    return self._ceil_div(wanted * WAD, convert(gained, uint256))


@internal
@view
def _duration(phase: uint256) -> uint256:
    """
    @notice Seconds of a phase's price path, by the rule or built in.
    """
    answer: Bytes[96] = self._call_rule(
        abi_encode(phase, method_id=method_id("duration(uint256)"))
    )
    seconds: uint256 = 0
    if len(answer) == 32:
        seconds = abi_decode(answer, uint256)
    if seconds == 0 or seconds > MAX_DURATION:
        if phase == SOLVENT:
            return self._parameters.solvent_duration
        return self._parameters.insolvent_duration
    return seconds


@internal
@view
def _call_rule(data: Bytes[292]) -> Bytes[96]:
    """
    @notice The rule's answer, empty if it fails. A caller cannot make it fail by giving little gas.
    """
    if not self.rule.is_contract:
        return b""
    assert msg.gas >= 2 * RULE_GAS, "liquidator: not enough gas"
    success: bool = False
    answer: Bytes[96] = b""
    success, answer = raw_call(
        self.rule,
        data,
        max_outsize=96,
        gas=RULE_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success:
        return b""
    return answer


# ---------------------------------------------------------------------------------------------
# Conditions
# ---------------------------------------------------------------------------------------------


@internal
@pure
def _health(seen: View) -> int256:
    return seen.equity - convert(seen.maintenance, int256)


@internal
@pure
def _target(course: ILiquidator.Liquidation, seen: View) -> int256:
    """
    @notice (1 + b)M, rounded up.
    """
    return convert(
        seen.maintenance + self._ceil_div(seen.maintenance * course.buffer, WAD), int256
    )


@internal
@view
def _is_over(course: ILiquidator.Liquidation) -> bool:
    return block.timestamp >= course.started + course.duration


@internal
@view
def _is_sellable(course: ILiquidator.Liquidation, seen: View) -> bool:
    """
    @notice Whether C < E < (1 + b)M.
    """
    return (
        convert(course.reserved, int256) < seen.equity
        and seen.equity < self._target(course, seen)
    )


@internal
@view
def _can_restart(course: ILiquidator.Liquidation, seen: View) -> bool:
    return (
        course.phase == SOLVENT
        and 0 < seen.equity
        and seen.equity <= convert(course.reserved, int256)
    )


@internal
@view
def _can_turn(course: ILiquidator.Liquidation, seen: View) -> bool:
    return course.phase == SOLVENT and (
        seen.equity <= 0 or (self._is_over(course) and self._health(seen) < 0)
    )


@internal
@view
def _can_resolve(account: uint256, course: ILiquidator.Liquidation, seen: View) -> bool:
    if course.phase == SOLVENT:
        return seen.equity >= self._target(course, seen) or (
            self._is_over(course) and self._health(seen) >= 0
        )
    if self._health(seen) < 0:
        return False
    # A liquidator that was replaced leaves the phases of the accounts it had flagged behind.
    return course.phase == INSOLVENT or staticcall self._house().phase(account) != HEALTHY


@internal
@view
def _can_close(account: uint256, course: ILiquidator.Liquidation, seen: View) -> bool:
    return (
        course.phase == INSOLVENT
        and self._is_over(course)
        and self._health(seen) < 0
        and staticcall self._backstop().can_take_over(account, seen.equity)
    )


# ---------------------------------------------------------------------------------------------
# Storage and surroundings
# ---------------------------------------------------------------------------------------------


@internal
@view
def _load(account: uint256) -> ILiquidator.Liquidation:
    course: uint256 = self._courses[account]
    if course == 0:
        return empty(ILiquidator.Liquidation)
    money: uint256 = self._moneys[account]
    progress: uint256 = self._progress[account]
    return ILiquidator.Liquidation(
        phase=course & 255,
        started=course >> 8 & (2**40 - 1),
        duration=course >> 48 & (2**24 - 1),
        reserved=money & (2**128 - 1),
        buffer=course >> 72 & (2**60 - 1),
        start_price=course >> 132 & (2**60 - 1),
        sold=progress & (2**64 - 1),
        flagger=course >> 192,
        reward=money >> 128,
        shortfall=progress >> 64,
    )


@internal
def _save(account: uint256, course: ILiquidator.Liquidation):
    """
    @notice Store all but the shortfall.
    """
    assert course.reserved < 2**128 and course.reward < 2**128, "liquidator: out of range"
    self._courses[account] = (
        course.phase
        | course.started << 8
        | course.duration << 48
        | course.buffer << 72
        | course.start_price << 132
        | course.flagger << 192
    )
    self._moneys[account] = course.reserved | course.reward << 128
    self._progress[account] = self._progress[account] >> 64 << 64 | course.sold


@internal
def _end(account: uint256):
    """
    @notice Back to healthy.
    """
    self._set_shortfall(account, HEALTHY, 0)
    self._courses[account] = 0
    self._moneys[account] = 0
    self._progress[account] = 0
    extcall self._house().set_phase(account, HEALTHY)


@internal
def _set_shortfall(account: uint256, phase: uint256, equity: int256):
    """
    @notice Keep the sum of shortfalls, and since when it exceeds what locks withdrawals: one that came
            and fell below again, or never rose so far, does not use up the lock of a later one.
    """
    shortfall: uint256 = 0
    if phase == INSOLVENT:
        shortfall = convert(max(-equity, 0), uint256)
    before: uint256 = self._progress[account] >> 64
    if shortfall == before and phase != INSOLVENT:
        return
    total: uint256 = (self._insolvency & (2**128 - 1)) + shortfall - before
    since: uint256 = self._insolvency >> 128
    if not staticcall self._backstop().locks(total):
        since = 0
    elif since == 0:
        since = block.timestamp
    self._insolvency = total | since << 128
    if shortfall != before:
        self._progress[account] = self._progress[account] & (2**64 - 1) | shortfall << 64
        log ILiquidator.ShortfallSet(account=account, shortfall=shortfall, total=total)


@internal
def _set_parameters(parameters: ILiquidator.Parameters):
    assert parameters.buffer <= MAX_BUFFER, "liquidator: buffer out of range"
    assert (
        MIN_MIN_FRACTION <= parameters.min_fraction
        and parameters.min_fraction <= MAX_MIN_FRACTION
    ), "liquidator: fraction out of range"
    assert parameters.fee <= MAX_FEE, "liquidator: fee out of range"
    assert (
        MIN_START_PRICE <= parameters.start_price and parameters.start_price <= WAD
    ), "liquidator: price out of range"
    assert (
        min(parameters.solvent_duration, parameters.insolvent_duration) >= MIN_DURATION
        and max(parameters.solvent_duration, parameters.insolvent_duration) <= MAX_DURATION
    ), "liquidator: duration out of range"
    self._parameters = parameters
    log ILiquidator.ParametersSet(parameters=parameters)


@internal
@view
def _view(account: uint256) -> View:
    seen: View = empty(View)
    initial: uint256 = 0
    seen.equity, initial, seen.maintenance, seen.usable = staticcall self._gate().margins(account)
    return seen


@internal
@view
def _fresh(account: uint256) -> View:
    """
    @notice The same, refused if the market is too old to liquidate by.
    """
    seen: View = self._view(account)
    assert IOracle.Purpose.LIQUIDATION in seen.usable, "liquidator: market is stale"
    return seen


@internal
@view
def _phase(account: uint256) -> uint256:
    return self._courses[account] & 255


@internal
@view
def _state(account: uint256) -> uint256:
    """
    @notice The account's version, above phase and start of its liquidation.
    """
    return (staticcall self._house().version(account)) << 48 | self._courses[account] & (2**48 - 1)


@internal
@view
def _house() -> IClearingHouse:
    return IClearingHouse(staticcall _REGISTRY.clearing_house())


@internal
@view
def _gate() -> IGate:
    return IGate(staticcall _REGISTRY.gate())


@internal
@view
def _backstop() -> IBackstop:
    return IBackstop(staticcall _REGISTRY.backstop())


@internal
@view
def _check_owner():
    assert msg.sender == staticcall _REGISTRY.owner(), "liquidator: not owner"


@internal
@pure
def _ceil_div(numerator: uint256, denominator: uint256) -> uint256:
    return (numerator + denominator - 1) // denominator
