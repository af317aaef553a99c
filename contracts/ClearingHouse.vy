# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Clearing house
@license Apache-2.0
@notice Holds every token, and books every change of an account behind a margin gate.
@dev See PROTOCOL.md 1, 2 and 9. Cash, positions and accounts live in modules; here they are joined.

     The gate lets a change pass if equity covers initial margin afterwards. Failing that, a trade or
     transfer that only reduces positions passes if it lowers neither health nor, beyond the fee,
     equity. Everything else is refused.
@custom:security Only registered venues bring trades, and only for accounts that have granted them
                 TRADE. The liquidator and the backstop move balances without a gate: they are
                 trusted as this contract is. Balances are its own books, never `balanceOf`.
@custom:kill The registry's pause stops opening, withdrawals and transfers, nothing else.
"""
from ethereum.ercs import IERC20
from interfaces import IClearingHouse
from interfaces import IGate
from interfaces import IOracle
from interfaces import IRegistry
from interfaces import IRiskEngine
from interfaces import IVenue
from modules import accounts
from modules import cash_ledger
from modules import portfolio
from modules import position

implements: IClearingHouse
initializes: accounts
initializes: cash_ledger
initializes: portfolio[cash_ledger := cash_ledger]

exports: (
    accounts.account_count,
    accounts.owner_of,
    accounts.roles,
    accounts.grant,
    accounts.may,
)


UNIT: constant(int256) = 10**9              # WAD per unit of size
QUOTE: constant(uint256) = 0
FUND: constant(uint256) = 0
INSTRUMENT_MASK: constant(uint256) = 2**160 - 1


@deploy
def __init__(registry: address):
    """
    @param registry Names the other contracts, and knows the quote token.
    """
    accounts.__init__()
    cash_ledger.__init__(registry)


# ---------------------------------------------------------------------------------------------
# Owners and operators
# ---------------------------------------------------------------------------------------------


@external
def open_account(scheme: uint256) -> uint256:
    """
    @notice Open an account of the caller's under a registered scheme.
    @return Its id.
    """
    assert staticcall cash_ledger.REGISTRY.check_scheme(scheme)
    account: uint256 = accounts._open(msg.sender)
    portfolio._set_scheme(account, scheme)
    log IClearingHouse.AccountOpened(account=account, owner=msg.sender, scheme=scheme)
    return account


@external
def deposit(account: uint256, asset: uint256, amount: uint256):
    """
    @notice Bring tokens (in token units) in. For the owner and operators; into the fund quote for anyone.
            Quote can always come in, collateral only while it has a fresh price.
    """
    if account == FUND:
        assert asset == QUOTE, "clearing: the fund takes quote"
    else:
        assert accounts._is_operator(account, msg.sender), "clearing: not an operator"
        # Not the fund's: anyone could make a bid for it miss the state that it expects.
        portfolio._bump(account)
    assert amount > 0, "clearing: nothing to deposit"
    terms: IRegistry.Asset = staticcall cash_ledger.REGISTRY.incoming(asset)
    value: uint256 = amount * terms.unit
    booked: uint256 = 0
    if asset == QUOTE:
        cash_ledger._receive(account, value)
        booked = cash_ledger._booked()
    else:
        booked = portfolio._receive(account, asset, value)
    assert booked <= terms.cap, "clearing: cap reached"
    log IClearingHouse.Deposited(
        account=account, asset=asset, sender=msg.sender, amount=value
    )
    # A guard against tokens that keep a fee, not accounting: what was there before does not matter.
    there: uint256 = staticcall IERC20(terms.token).balanceOf(self)
    assert extcall IERC20(terms.token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "clearing: token refused"
    assert staticcall IERC20(terms.token).balanceOf(self) >= there + amount, (
        "clearing: token kept a fee"
    )


@external
def withdraw(account: uint256, asset: uint256, amount: uint256, to: address):
    """
    @notice Take tokens (in token units) out. Cash may go negative as far as the margin allows.
    """
    self._check_role(account, IClearingHouse.Role.WITHDRAW)
    self._check_idle(account)
    assert staticcall cash_ledger.REGISTRY.check_withdrawal()
    terms: IRegistry.Asset = staticcall cash_ledger.REGISTRY.asset(asset)
    value: uint256 = amount * terms.unit
    if asset == QUOTE:
        cash_ledger._send(account, value)
    else:
        portfolio._send(account, asset, value)
    portfolio._bump(account)
    self._check_initial(account, self._oracle())
    log IClearingHouse.Withdrawn(
        account=account, asset=asset, sender=msg.sender, to=to, amount=value
    )
    assert extcall IERC20(terms.token).transfer(to, amount, default_return_value=True), (
        "clearing: token refused"
    )


@external
def transfer(source: uint256, target: uint256, asset: uint256, amount: uint256):
    """
    @notice Move an amount (WAD, of collateral in whole token units) between two accounts on which the
            caller has the TRANSFER role.
    """
    assert source != target, "clearing: same account"
    self._check_role(source, IClearingHouse.Role.TRANSFER)
    self._check_role(target, IClearingHouse.Role.TRANSFER)
    self._check_idle(source)
    self._check_idle(target)
    assert staticcall cash_ledger.REGISTRY.check_transfer()
    oracle: IOracle = self._oracle()
    before: IRiskEngine.Book = portfolio._book(target, oracle)
    if asset == QUOTE:
        cash_ledger._add(source, -convert(amount, int256))
        cash_ledger._add(target, convert(amount, int256))
    else:
        assert amount % (staticcall cash_ledger.REGISTRY.incoming(asset)).unit == 0, (
            "clearing: not in token units"
        )
        portfolio._remove_asset(source, asset, amount)
        portfolio._add_asset(target, asset, amount)
    portfolio._bump(source)
    portfolio._bump(target)
    self._check_initial(source, oracle)
    self._admit(target, before, portfolio._book(target, oracle), 0, True, True)
    log IClearingHouse.Transferred(
        source=source, target=target, asset=asset, sender=msg.sender, amount=amount
    )


@external
def switch_scheme(account: uint256, scheme: uint256):
    """
    @notice Change engine and rulebook: initial margin must hold under both.
    """
    self._check_role(account, IClearingHouse.Role.SETTINGS)
    self._check_idle(account)
    assert staticcall cash_ledger.REGISTRY.check_switch(scheme)
    self._check_initial(account, self._oracle())
    portfolio._set_scheme(account, scheme)
    portfolio._bump(account)
    self._check_initial(account, self._oracle())
    log IClearingHouse.SchemeSwitched(account=account, sender=msg.sender, scheme=scheme)


@external
def settle(account: uint256):
    """
    @notice Book interest, haircut, perp PnL and funding, and expired options into an account's cash.
    """
    self._shift(account, [], 1, 0, self._oracle())


@external
def sweep_fees():
    """
    @notice Pass the fees collected to the fund.
    """
    amount: uint256 = cash_ledger._sweep_fees()
    log IClearingHouse.FeesSwept(amount=amount)


# ---------------------------------------------------------------------------------------------
# Venues
# ---------------------------------------------------------------------------------------------


@external
def novate(legs: DynArray[IVenue.Leg, 16]):
    """
    @notice Book a matched trade. For registered venues to which every account has granted TRADE.
    @dev A leg's cash is the price paid or received, -size · price for every kind of instrument; what a
         perpetual is worth at its mark is settled into cash at once. Sizes sum to 0 per instrument,
         cash sums to 0, and an account appears once per instrument. Fees come on top.
    """
    opening: bool = False
    fees: IRegistry.Fees = empty(IRegistry.Fees)
    opening, fees = staticcall cash_ledger.REGISTRY.clearance(msg.sender, legs)
    oracle: IOracle = self._oracle()
    done: DynArray[uint256, 16] = []
    for leg: IVenue.Leg in legs:
        if leg.account not in done:
            done.append(leg.account)
            self._check_role(leg.account, IClearingHouse.Role.TRADE)
            self._trade(leg.account, legs, oracle, fees, opening)


# ---------------------------------------------------------------------------------------------
# Liquidator and backstop
# ---------------------------------------------------------------------------------------------


@external
def set_phase(account: uint256, phase: uint256):
    """
    @notice Record the phase of an account's liquidation. For the liquidator.
    """
    self._check_workout()
    portfolio._set_phase(account, phase)
    log IClearingHouse.PhaseSet(account=account, phase=phase)


@external
def move(
    source: uint256,
    target: uint256,
    positions: DynArray[uint256, 64],
    holdings: DynArray[IRiskEngine.Holding, 8],
    amount: int256,
):
    """
    @notice Move positions (words, sorted), collateral and cash between accounts, without a gate. For
            the liquidator and the backstop.
    """
    self._check_workout()
    assert source != target, "clearing: same account"
    oracle: IOracle = self._oracle()
    if len(positions) > 0:
        self._shift(source, positions, -1, -amount, oracle)
        self._shift(target, positions, 1, amount, oracle)
    else:
        cash_ledger._add(source, -amount)
        cash_ledger._add(target, amount)
    portfolio._bump(source)
    portfolio._bump(target)
    for holding: IRiskEngine.Holding in holdings:
        portfolio._remove_asset(source, holding.asset, holding.amount)
        portfolio._add_asset(target, holding.asset, holding.amount)
    log IClearingHouse.Moved(
        source=source, target=target, positions=positions, holdings=holdings, cash=amount
    )


@external
def take_fee(account: uint256, amount: uint256):
    """
    @notice Move cash into the fees. For the liquidator and the backstop.
    """
    self._check_workout()
    cash_ledger._take_fee(account, amount)
    log IClearingHouse.FeeTaken(account=account, amount=amount)


@external
def cover(target: uint256, amount: uint256, mutualise: bool):
    """
    @notice Pay an account from the waterfall: fees, fund, then mutualisation. For the backstop.
    """
    self._check_workout()
    cash_ledger._cover(target, amount, mutualise)


# ---------------------------------------------------------------------------------------------
# Views
# ---------------------------------------------------------------------------------------------


@external
@view
@reentrant
def book(account: uint256) -> IRiskEngine.Book:
    """
    @notice The account's book as its risk engine reads it.
    """
    return portfolio._book(account, self._oracle())


@external
@view
@reentrant
def scheme_id(account: uint256) -> uint256:
    """
    @notice The scheme that the account has chosen.
    """
    return portfolio._scheme(account)


@external
@view
def phase(account: uint256) -> uint256:
    """
    @notice Phase of liquidation: 0 healthy, 1 solvent, 2 insolvent.
    """
    return portfolio._phase(account)


@external
@view
def version(account: uint256) -> uint256:
    """
    @notice Counts the changes of an account other than `settle`.
    """
    return portfolio._version(account)


@external
@view
def cash(account: uint256) -> int256:
    """
    @notice Stored cash, before pending interest and haircut.
    """
    return cash_ledger._stored(account)


@external
@view
def holding(account: uint256, asset: uint256) -> uint256:
    """
    @notice Collateral of an account, WAD.
    """
    return portfolio._holdings[account][asset]


@external
@view
def positions(account: uint256) -> DynArray[uint256, 64]:
    """
    @notice Stored position words, expired and unsettled ones included.
    """
    return portfolio._positions(account)


@external
@view
def funding_snapshot(account: uint256, underlying: uint256) -> int256:
    """
    @notice Funding index (WAD) at which the account's perpetual was last settled.
    """
    return portfolio._funding[account][underlying] * UNIT


@external
@view
def open_interest(instrument: uint256) -> uint256:
    """
    @notice Sum of the long positions in an instrument, WAD.
    """
    return portfolio._open_interest[instrument] * convert(UNIT, uint256)


@external
@view
def registry() -> address:
    """
    @notice Names the contracts that take part, and every parameter.
    """
    return cash_ledger.REGISTRY.address


@external
@view
def ledger() -> IClearingHouse.Ledger:
    """
    @notice The terms of PROTOCOL 9's conservation identity, as stored.
    """
    return cash_ledger._ledger()


@external
@view
@reentrant
def capacity() -> (uint256, uint256):
    """
    @return Fees, and positive cash of the fund: what can be paid before anyone else bears a loss.
    """
    return cash_ledger._capacity()


@external
@view
def stock(asset: uint256) -> IClearingHouse.Stock:
    """
    @notice A collateral asset: what is booked and what the accounts hold.
    """
    return IClearingHouse.Stock(
        asset=asset, booked=portfolio._booked[asset], held=portfolio._held[asset]
    )


# ---------------------------------------------------------------------------------------------
# The gate
# ---------------------------------------------------------------------------------------------


@internal
@view
def _check_initial(account: uint256, oracle: IOracle):
    """
    @notice Refuse unless equity covers initial margin at fresh prices.
    """
    book: IRiskEngine.Book = portfolio._book(account, oracle)
    self._admit(account, book, book, 0, True, False)


@internal
@view
def _admit(
    account: uint256,
    before: IRiskEngine.Book,
    after: IRiskEngine.Book,
    fee: uint256,
    opening: bool,
    closing: bool,
) -> uint256:
    """
    @notice Refuse a change unless the gate allows it.
    @param opening Nothing but the margin forbids to open.
    @param closing Whether a change that only reduces may pass by itself.
    @return The fee to be charged.
    """
    return staticcall IGate(staticcall cash_ledger.REGISTRY.gate()).admit(
        portfolio._scheme(account),
        before,
        after,
        fee,
        opening,
        closing and portfolio._phase(account) == 0,
    )


# ---------------------------------------------------------------------------------------------
# Booking
# ---------------------------------------------------------------------------------------------


@internal
def _trade(
    account: uint256,
    legs: DynArray[IVenue.Leg, 16],
    oracle: IOracle,
    fees: IRegistry.Fees,
    opening: bool,
):
    """
    @notice Book an account's legs behind the gate.
    """
    words: DynArray[uint256, 64] = portfolio._positions(account)
    kept: DynArray[uint256, 64] = []
    flow: int256 = 0
    kept, flow = portfolio._settle(account, words, oracle)
    before: IRiskEngine.Book = IRiskEngine.Book(
        cash=cash_ledger._value(account) + flow,
        unsettled=0,
        holdings=portfolio._assets(account),
        positions=kept,
    )
    moves: DynArray[uint256, 64] = []
    fee: uint256 = 0
    for leg: IVenue.Leg in legs:
        if leg.account != account:
            continue
        moves = self._insert(moves, leg)
        flow += leg.cash
        rate: uint256 = fees.option
        value: int256 = 0
        if position._kind(leg.instrument) == position.PERPETUAL:
            rate = fees.perp
            value = portfolio._value(leg.instrument, leg.size, oracle)
            cash_ledger._settle_perp(value)
            flow += value
        if rate > 0:
            fee += portfolio._fee(leg.instrument, leg.size, rate, oracle)
        log IClearingHouse.Novated(
            account=account,
            venue=msg.sender,
            instrument=leg.instrument,
            size=leg.size,
            cash=leg.cash,
            settled=value,
        )
    after: IRiskEngine.Book = before
    after.positions = portfolio._merge(account, kept, moves, 1, oracle)
    portfolio._save(account, words, after.positions)
    after.cash = cash_ledger._add(account, flow)
    fee = self._admit(account, before, after, fee, opening, True)
    if fee > 0:
        cash_ledger._take_fee(account, fee)
        log IClearingHouse.FeeTaken(account=account, amount=fee)
    portfolio._bump(account)


@internal
def _shift(
    account: uint256,
    moves: DynArray[uint256, 64],
    sign: int256,
    amount: int256,
    oracle: IOracle,
):
    """
    @notice Settle an account, then add or subtract positions and cash.
    """
    words: DynArray[uint256, 64] = portfolio._positions(account)
    kept: DynArray[uint256, 64] = []
    flow: int256 = 0
    kept, flow = portfolio._settle(account, words, oracle)
    if len(moves) > 0:
        kept = portfolio._merge(account, kept, moves, sign, oracle)
    portfolio._save(account, words, kept)
    cash_ledger._add(account, flow + amount)


@internal
@pure
def _insert(moves: DynArray[uint256, 64], leg: IVenue.Leg) -> DynArray[uint256, 64]:
    """
    @notice Add a leg to sorted position words.
    """
    word: uint256 = leg.instrument | convert(convert(leg.size // UNIT << 160, bytes32), uint256)
    sorted: DynArray[uint256, 64] = moves
    sorted.append(word)
    for j: uint256 in range(len(moves), bound=16):
        i: uint256 = len(moves) - j
        if sorted[i - 1] & INSTRUMENT_MASK < leg.instrument:
            break
        sorted[i] = sorted[i - 1]
        sorted[i - 1] = word
    return sorted


@internal
@view
def _check_role(account: uint256, role: IClearingHouse.Role):
    assert accounts._may(account, msg.sender, role), "clearing: not allowed"


@internal
@view
def _check_workout():
    """
    @notice Refuse whoever is neither the liquidator nor the backstop.
    """
    assert staticcall cash_ledger.REGISTRY.check_workout(msg.sender)


@internal
@view
def _check_idle(account: uint256):
    """
    @notice What leaves an account must wait until no liquidation of it runs.
    """
    assert portfolio._phase(account) == 0, "clearing: in liquidation"


@internal
@view
def _oracle() -> IOracle:
    return IOracle(staticcall cash_ledger.REGISTRY.oracle())
