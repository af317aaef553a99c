# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Cash ledger
@license Apache-2.0
@notice Signed cash of every account, interest on debt, fees, the waterfall and mutualised losses.
@dev All money in WAD. After every change

         sum of stored cash + settlements + pool + deficit + fees = booked

     holds exactly. The sum of stored cash is `positive - pool - debt`: a mutualised loss lowers
     `positive` at once and each account's stored cash when it is next touched, and the pool, opened
     at minus the loss, holds the difference.

     Losses are numbered by generations. An account with positive cash remembers the generation it
     was last touched in, and each generation its index: cash is worth index(now) / index(then) of
     what is stored, rounded down. An index below 1e30 is scaled up by 1e6, so that it keeps 30
     digits; a loss of all positive cash begins a new epoch, and older cash is worth nothing.
@custom:security Rounding is against the account: haircuts and interest up.
@custom:kill Nothing here can be stopped.
"""
from interfaces import IClearingHouse
from interfaces import IRegistry


FUND: constant(uint256) = 0

WAD: constant(uint256) = 10**18
YEAR: constant(uint256) = 365 * 86400

INDEX_START: constant(uint256) = 10**36
INDEX_FLOOR: constant(uint256) = 10**30
INDEX_STEP: constant(uint256) = 10**6
MAX_STEPS: constant(uint256) = 7            # 2**127 / 1e6**7 < 1: further behind, all cash is worth 0

BORROW_START: constant(uint256) = 10**27

MASK_64: constant(uint256) = 2**64 - 1
MASK_96: constant(uint256) = 2**96 - 1
MASK_128: constant(uint256) = 2**128 - 1
LIMIT: constant(int256) = 2**127

REGISTRY: immutable(IRegistry)

# Cash (upper 128 bits, signed), generation (low 64).
_cash: HashMap[uint256, uint256]
# Borrow index at which an account's debt was last touched.
_borrowed_at: HashMap[uint256, uint256]
# Sum of positive cash (low 128 bits), sum of debt (upper 128).
_totals: uint256
# Generation (low 64 bits), accounts with positive cash (96), those of an older generation (96).
_census: uint256
# Index (low 128 bits), scale (64), epoch (64) of a generation; 0 means the start.
_indices: HashMap[uint256, uint256]
# Borrow index (low 192 bits), unix seconds of its last accrual (64).
_borrow: uint256
# Counterparts of what was booked to accounts: option (low 128 bits, signed), perp (upper 128, signed).
_settlements: uint256
# Deficit (low 128 bits, as a positive number), pool (upper 128, signed).
_losses: uint256
# Quote tokens in less out (low 128 bits), fees (upper 128).
_takings: uint256


@deploy
def __init__(registry: address):
    REGISTRY = IRegistry(registry)
    self._borrow = BORROW_START | block.timestamp << 192


@internal
@view
def _stored(account: uint256) -> int256:
    """
    @notice Cash before pending interest and haircut.
    """
    return self._signed(self._cash[account])


@internal
@view
def _value(account: uint256) -> int256:
    """
    @notice Cash with pending interest and haircut.
    """
    word: uint256 = self._cash[account]
    stored: int256 = self._signed(word)
    if stored > 0:
        generation: uint256 = self._census & MASK_64
        if word & MASK_64 != generation:
            return self._after_haircut(stored, word & MASK_64, generation)
    elif stored < 0 and account != FUND:
        return -self._with_interest(stored, self._borrowed_at[account], self._borrow_index())
    return stored


@internal
def _add(account: uint256, amount: int256) -> int256:
    """
    @notice Book interest and haircut of an account, then change its cash.
    @return The new cash.
    """
    waiting: bool = self._census >> 160 > 0
    after: int256 = 0
    interest: uint256 = 0
    after, interest = self._change(account, amount)
    if interest > 0:
        log IClearingHouse.InterestPaid(account=account, amount=interest)
        self._change(FUND, convert(interest, int256))
    if waiting:
        self._release_leftover()
    if account == FUND:
        return self._stored(FUND)
    return after


@internal
def _take_fee(account: uint256, amount: uint256):
    """
    @notice Move cash of an account into the fees; they repay the deficit first.
    """
    self._add(account, -convert(amount, int256))
    losses: uint256 = self._losses
    repaid: uint256 = min(amount, losses & MASK_128)
    if repaid > 0:
        self._losses = losses - repaid
    self._takings += (amount - repaid) << 128


@internal
def _sweep_fees() -> uint256:
    """
    @notice Move the fees into the fund.
    """
    fees: uint256 = self._takings >> 128
    self._takings &= MASK_128
    self._add(FUND, convert(fees, int256))
    return fees


@internal
def _receive(account: uint256, amount: uint256):
    """
    @notice Tokens came in for an account.
    """
    self._book_tokens(self._booked() + amount)
    self._add(account, convert(amount, int256))


@internal
def _send(account: uint256, amount: uint256):
    """
    @notice Tokens are about to leave from an account.
    """
    booked: uint256 = self._booked()
    assert amount <= booked, "cash: not enough tokens"
    self._book_tokens(booked - amount)
    self._add(account, -convert(amount, int256))


@internal
def _settle_perp(amount: int256):
    """
    @notice What was, or is about to be, booked to accounts for perpetuals.
    """
    self._settlements = self._pair(
        self._signed(self._settlements) - amount, self._settlements & MASK_128
    )


@internal
def _settle_option(amount: int256):
    """
    @notice What was, or is about to be, booked to accounts for expired options.
    """
    option: int256 = self._signed(self._settlements << 128) - amount
    self._settlements = self._settlements >> 128 << 128 | self._pair(option, 0) >> 128


@internal
def _cover(target: uint256, amount: uint256, mutualise: bool):
    """
    @notice Pay an account out of fees, then the fund, then the positive cash of everyone else.
    """
    taken: int256 = self._add(FUND, 0)
    takings: uint256 = self._takings
    fees: uint256 = min(amount, takings >> 128)
    fund: uint256 = 0
    if target != FUND:
        fund = min(amount - fees, convert(max(taken, 0), uint256))
    loss: uint256 = amount - fees - fund
    assert loss == 0 or mutualise, "cash: fund exhausted"

    self._takings = takings - (fees << 128)
    if fund > 0:
        self._add(FUND, -convert(fund, int256))
    mutualised: uint256 = 0
    if loss > 0:
        # What the fund has left it owes to who is opposite to what it took over: it bears nothing.
        kept: int256 = max(self._stored(FUND), 0)
        self._change(FUND, -kept)
        mutualised = self._mutualise(loss)
        self._change(FUND, kept)
    self._add(target, convert(amount, int256))
    log IClearingHouse.Covered(
        target=target,
        amount=amount,
        fees=fees,
        fund=fund,
        mutualised=mutualised,
        deficit=loss - mutualised,
    )


@internal
def _mutualise(loss: uint256) -> uint256:
    """
    @notice Spread a loss over all positive cash; what exceeds it is the deficit.
    @return What positive cash bears.
    """
    positive: uint256 = self._totals & MASK_128
    taken: uint256 = min(loss, positive)
    pool: int256 = self._signed(self._losses) - convert(taken, int256)
    self._losses = self._pair(pool, self._narrow((self._losses & MASK_128) + loss - taken))
    if taken == 0:
        return 0
    self._totals -= taken

    generation: uint256 = self._census & MASK_64
    index: uint256 = 0
    scale: uint256 = 0
    epoch: uint256 = 0
    index, scale, epoch = self._index_of(generation)
    rest: uint256 = positive - taken
    if rest == 0:
        index = INDEX_START
        scale = 0
        epoch += 1
    else:
        for _: uint256 in range(MAX_STEPS + 1):
            if index * rest // positive >= INDEX_FLOOR:
                break
            index *= INDEX_STEP
            scale += 1
        index = index * rest // positive
    self._indices[generation + 1] = index | scale << 128 | epoch << 192
    holders: uint256 = self._census >> 64 & MASK_96
    self._census = (generation + 1) | holders << 64 | holders << 160
    log IClearingHouse.Mutualised(loss=taken, index=index, scale=scale, epoch=epoch)
    return taken


@internal
def _change(account: uint256, amount: int256) -> (int256, uint256):
    """
    @notice Touch one account: haircut, interest, change.
    @return The new cash, and the interest that is still to be booked to the fund.
    """
    word: uint256 = self._cash[account]
    stored: int256 = self._signed(word)
    census: uint256 = self._census
    generation: uint256 = census & MASK_64
    totals: uint256 = self._totals
    positive: uint256 = totals & MASK_128
    debt: uint256 = totals >> 128
    if debt > 0:
        self._accrue()

    settled: int256 = stored
    interest: uint256 = 0
    if stored > 0:
        if word & MASK_64 != generation:
            settled = self._after_haircut(stored, word & MASK_64, generation)
            census -= 1 << 160
            if settled < stored:
                self._losses = self._pair(
                    self._signed(self._losses) + stored - settled, self._losses & MASK_128
                )
                log IClearingHouse.Haircut(
                    account=account, amount=convert(stored - settled, uint256)
                )
        positive -= convert(settled, uint256)
    elif stored < 0:
        if account != FUND:
            owed: int256 = self._with_interest(
                stored, self._borrowed_at[account], self._borrow & (2**192 - 1)
            )
            settled = -owed
            interest = convert(owed + stored, uint256)
        debt -= convert(-stored, uint256)

    after: int256 = settled + amount
    if after > 0:
        positive += convert(after, uint256)
    elif after < 0:
        if debt == 0 and totals >> 128 == 0:
            self._borrow = self._borrow & (2**192 - 1) | block.timestamp << 192
        debt += convert(-after, uint256)
        self._borrowed_at[account] = self._borrow & (2**192 - 1)
    if after > 0 and stored <= 0:
        census += 1 << 64
    elif after <= 0 and stored > 0:
        census -= 1 << 64

    self._cash[account] = self._pair(after, generation)
    self._totals = self._narrow(positive) | self._narrow(debt) << 128
    if census != self._census:
        self._census = census
    return after, interest


@internal
def _release_leftover():
    """
    @notice What rounding left in the pool goes to the fund once every account has paid its haircut.
    """
    if self._census >> 160 > 0:
        return
    losses: uint256 = self._losses
    pool: int256 = self._signed(losses)
    if pool > 0:
        self._losses = losses & MASK_128
        self._totals -= convert(pool, uint256)
        self._change(FUND, pool)
        log IClearingHouse.LeftoverBooked(amount=convert(pool, uint256))


@internal
def _accrue():
    borrow: uint256 = self._borrow
    if borrow >> 192 != block.timestamp:
        self._borrow = self._borrow_index() | block.timestamp << 192


@internal
@view
def _borrow_index() -> uint256:
    """
    @notice The borrow index now, with interest at the present utilisation since the last accrual.
    """
    index: uint256 = self._borrow & (2**192 - 1)
    elapsed: uint256 = block.timestamp - (self._borrow >> 192)
    debt: uint256 = self._totals >> 128
    if elapsed == 0 or debt == 0:
        return index
    curve: IRegistry.Interest = staticcall REGISTRY.interest()
    utilisation: uint256 = min(
        WAD, self._ceil_div(debt * WAD, max(self._totals & MASK_128, 1))
    )
    rate: uint256 = curve.base + self._ceil_div(
        curve.slope * min(utilisation, curve.kink), curve.kink
    )
    if utilisation > curve.kink:
        rate += self._ceil_div(curve.steep * (utilisation - curve.kink), WAD - curve.kink)
    return index + self._ceil_div(index * rate * elapsed, WAD * YEAR)


@internal
@view
def _after_haircut(stored: int256, then: uint256, now: uint256) -> int256:
    """
    @notice What positive cash of one generation is worth in a later one, rounded down.
    """
    index_then: uint256 = 0
    scale_then: uint256 = 0
    epoch_then: uint256 = 0
    index_now: uint256 = 0
    scale_now: uint256 = 0
    epoch_now: uint256 = 0
    index_then, scale_then, epoch_then = self._index_of(then)
    index_now, scale_now, epoch_now = self._index_of(now)
    steps: uint256 = scale_now - min(scale_then, scale_now)
    if epoch_now != epoch_then or steps > MAX_STEPS:
        return 0
    scaled: uint256 = convert(stored, uint256) * index_now // index_then
    return convert(scaled // INDEX_STEP ** steps, int256)


@internal
@view
def _index_of(generation: uint256) -> (uint256, uint256, uint256):
    word: uint256 = self._indices[generation]
    if word == 0:
        return INDEX_START, 0, 0
    return word & MASK_128, word >> 128 & MASK_64, word >> 192


@internal
@pure
def _with_interest(stored: int256, index_then: uint256, index_now: uint256) -> int256:
    """
    @notice What a (negative) stored cash owes now, as a positive number, rounded up.
    """
    return convert(
        self._ceil_div(convert(-stored, uint256) * index_now, index_then), int256
    )


@internal
def _book_tokens(amount: uint256):
    self._takings = self._takings >> 128 << 128 | self._narrow(amount)


@internal
@view
def _booked() -> uint256:
    return self._takings & MASK_128


@internal
@view
def _capacity() -> (uint256, uint256):
    """
    @notice Fees, and positive cash of the fund.
    """
    return self._takings >> 128, convert(max(self._value(FUND), 0), uint256)


@internal
@view
def _ledger() -> IClearingHouse.Ledger:
    """
    @notice The stored terms of the conservation identity, without collateral.
    """
    positive: uint256 = self._totals & MASK_128
    debt: uint256 = self._totals >> 128
    pool: int256 = self._signed(self._losses)
    return IClearingHouse.Ledger(
        cash=convert(positive, int256) - pool - convert(debt, int256),
        positive=positive,
        debt=debt,
        perp_settlement=self._signed(self._settlements),
        option_settlement=self._signed(self._settlements << 128),
        pool=pool,
        deficit=-convert(self._losses & MASK_128, int256),
        fees=self._takings >> 128,
        booked=self._booked(),
    )


@internal
@pure
def _signed(word: uint256) -> int256:
    """
    @notice The signed number in the upper 128 bits.
    """
    return convert(convert(word, bytes32), int256) >> 128


@internal
@pure
def _pair(upper: int256, lower: uint256) -> uint256:
    """
    @notice A word of a signed number above 128 low bits.
    """
    assert -LIMIT < upper and upper < LIMIT, "cash: out of range"
    return convert(convert(upper << 128, bytes32), uint256) | lower


@internal
@pure
def _narrow(amount: uint256) -> uint256:
    assert amount <= MASK_128, "cash: out of range"
    return amount


@internal
@pure
def _ceil_div(numerator: uint256, denominator: uint256) -> uint256:
    return (numerator + denominator - 1) // denominator
