# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Registry
@license Apache-2.0
@notice Keeps what is listed, which contracts take part and every parameter of the clearing house.
@dev Holds no money and calls nobody but tokens, once, for their decimals.
@custom:security The owner chooses the contracts that move money: venues, engines, oracle, liquidator
                 and backstop. A scheme and the clearing house are set once.
@custom:kill `set_pause` stops opening and withdrawals; closing, deposits and liquidation go on.
"""
from ethereum.ercs import IERC20Detailed
from interfaces import IBackstop
from interfaces import IClearingHouse
from interfaces import IOracle
from interfaces import IRegistry
from interfaces import IVenue
from modules import ownable
from modules import position

implements: IRegistry
initializes: ownable

exports: (
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)


WAD: constant(uint256) = 10**18
UNIT: constant(uint256) = 10**9             # strikes are multiples of it
SIZE_UNIT: constant(int256) = 10**9
HOUR: constant(uint256) = 3600
ADDRESS_BITS: constant(uint256) = 160
ADDRESS_MASK: constant(uint256) = 2**160 - 1
FEE_BITS: constant(uint256) = 128
FEE_MASK: constant(uint256) = 2**128 - 1

MAX_UNDERLYINGS: constant(uint256) = 8
MAX_SCHEMES: constant(uint256) = 2**16
MAX_RULEBOOK: constant(uint256) = 2**96
MIN_DECIMALS: constant(uint256) = 6        # a part worth less than a unit of collateral is not sold
MAX_DECIMALS: constant(uint256) = 18
MAX_TERM: constant(uint256) = 3 * 365 * 86400   # of a listed expiry
MAX_CAP: constant(uint256) = 10**12 * 10**18
# Fees come on top of the limit of a signed order. A premium may be a thousandth of the underlying.
MAX_PERP_FEE: constant(uint256) = 10**16
MAX_OPTION_FEE: constant(uint256) = 10**15
MAX_RATE: constant(uint256) = 10 * 10**18       # per year, each of base, slope and steep

guardian: public(address)
paused: public(IRegistry.Pause)

clearing_house: public(address)
gate: public(address)
oracle: public(address)
liquidator: public(address)
backstop: public(address)
is_venue: public(HashMap[address, bool])

# Engine (160 bits), rulebook above it.
_schemes: HashMap[uint256, uint256]

_assets: DynArray[IRegistry.Asset, 8]
_underlyings: uint256                       # bitmask of those ever listed
_open: uint256                              # bitmask of those not delisted
_series: HashMap[uint256, bool]
_expiries: DynArray[uint256, 64]            # underlying << 32 | expiry, ascending
_strikes: HashMap[uint256, DynArray[uint256, 128]]

# Fee of perpetuals (128 bits), of options above it.
_fees: uint256
_interest: IRegistry.Interest


@deploy
def __init__(quote: address):
    """
    @param quote The token in which accounts hold cash: asset 0.
    """
    ownable.__init__(msg.sender)
    self._add_asset(quote, MAX_CAP)
    self._interest.kink = WAD


@external
def set_guardian(guardian: address):
    """
    @notice Name who, beside the owner, may pause, but not resume; the zero address for nobody.
    """
    ownable._check_owner()
    self.guardian = guardian
    log IRegistry.GuardianSet(guardian=guardian)


@external
def set_pause(pause: IRegistry.Pause):
    """
    @notice Pause exactly these; the guardian can only add to what is paused.
    """
    assert msg.sender == ownable.owner or (
        msg.sender == self.guardian and self.paused & pause == self.paused
    ), "registry: not allowed to pause"
    self.paused = pause
    log IRegistry.Paused(actor=msg.sender, pause=pause)


@external
def set_contracts(contracts: IRegistry.Contracts):
    """
    @notice Name the contracts that take part. The clearing house is set once.
    """
    ownable._check_owner()
    assert contracts.clearing_house.is_contract, "registry: clearing house is no contract"
    assert contracts.gate.is_contract, "registry: gate is no contract"
    assert contracts.oracle.is_contract, "registry: oracle is no contract"
    assert contracts.liquidator.is_contract, "registry: liquidator is no contract"
    assert contracts.backstop.is_contract, "registry: backstop is no contract"
    assert self.clearing_house in [empty(address), contracts.clearing_house], (
        "registry: clearing house is set"
    )
    self.clearing_house = contracts.clearing_house
    self.gate = contracts.gate
    self.oracle = contracts.oracle
    self.liquidator = contracts.liquidator
    self.backstop = contracts.backstop
    log IRegistry.ContractsSet(
        clearing_house=contracts.clearing_house,
        gate=contracts.gate,
        oracle=contracts.oracle,
        liquidator=contracts.liquidator,
        backstop=contracts.backstop,
    )


@external
def set_venue(venue: address, allowed: bool):
    """
    @notice Let a contract bring trades of accounts that have granted it TRADE, or no longer.
    """
    ownable._check_owner()
    assert venue.is_contract or not allowed, "registry: venue is no contract"
    self.is_venue[venue] = allowed
    log IRegistry.VenueSet(venue=venue, allowed=allowed)


@external
def set_scheme(scheme: uint256, engine: address, rulebook: uint256):
    """
    @notice Register an engine and a rulebook that accounts may choose together. A scheme is set
            once; the first is also scheme 0, the fund's.
    """
    ownable._check_owner()
    assert scheme < MAX_SCHEMES, "registry: scheme out of range"
    assert self._schemes[scheme] == 0, "registry: scheme is set"
    assert engine.is_contract, "registry: engine is no contract"
    assert rulebook < MAX_RULEBOOK, "registry: rulebook out of range"
    word: uint256 = convert(engine, uint256) | rulebook << ADDRESS_BITS
    self._schemes[scheme] = word
    if self._schemes[0] == 0:
        self._schemes[0] = word
    log IRegistry.SchemeSet(scheme=scheme, engine=engine, rulebook=rulebook)


@external
def add_asset(token: address, cap: uint256) -> uint256:
    """
    @notice Accept a collateral token of 6 to 18 decimals, without fees on transfer or rebasing.
    @return Its asset id.
    """
    ownable._check_owner()
    return self._add_asset(token, cap)


@external
def set_cap(asset: uint256, cap: uint256):
    """
    @notice Bound what the clearing house holds of an asset (WAD). It stops deposits above it.
    """
    ownable._check_owner()
    assert asset < len(self._assets), "registry: no such asset"
    assert cap <= MAX_CAP, "registry: cap out of range"
    self._assets[asset].cap = cap
    log IRegistry.CapSet(asset=asset, cap=cap)


@external
def list_perp(underlying: uint256):
    """
    @notice List an underlying (0..7) and its perpetual; also after `delist`.
    """
    ownable._check_owner()
    assert underlying < MAX_UNDERLYINGS, "registry: underlying out of range"
    self._underlyings |= 1 << underlying
    self._open |= 1 << underlying
    log IRegistry.PerpListed(underlying=underlying)


@external
def list_series(underlying: uint256, expiry: uint256, strikes: DynArray[uint256, 32]):
    """
    @notice List calls and puts of an expiry (a whole hour) at these strikes (multiples of 1e-9).
            What is listed already stays so.
    """
    ownable._check_owner()
    assert underlying < MAX_UNDERLYINGS and self._open >> underlying & 1 == 1, (
        "registry: underlying is not listed"
    )
    assert expiry % HOUR == 0, "registry: expiry is not a whole hour"
    assert block.timestamp < expiry and expiry <= block.timestamp + MAX_TERM, (
        "registry: expiry out of range"
    )
    key: uint256 = underlying << 32 | expiry
    self._insert_expiry(key)
    for strike: uint256 in strikes:
        assert strike > 0 and strike % UNIT == 0, "registry: strike is not a multiple of 1e-9"
        assert strike // UNIT < position.MAX_STRIKE, "registry: strike out of range"
        call: uint256 = position._pack(underlying, expiry, strike // UNIT, position.CALL, 0)
        put: uint256 = position._pack(underlying, expiry, strike // UNIT, position.PUT, 0)
        if not self._series[call]:
            assert len(self._strikes[key]) < 128, "registry: too many strikes"
            self._strikes[key].append(strike)
            self._series[call] = True
            self._series[put] = True
    log IRegistry.SeriesListed(underlying=underlying, expiry=expiry, strikes=strikes)


@external
def delist(underlying: uint256):
    """
    @notice From now on positions of this underlying can only be closed.
    """
    ownable._check_owner()
    assert underlying < MAX_UNDERLYINGS and self._open >> underlying & 1 == 1, (
        "registry: underlying is not listed"
    )
    self._open ^= 1 << underlying
    log IRegistry.Delisted(underlying=underlying)


@external
def set_fees(fees: IRegistry.Fees):
    """
    @notice Set what each side of a trade pays.
    """
    ownable._check_owner()
    assert fees.perp <= MAX_PERP_FEE, "registry: fee out of range"
    assert fees.option <= MAX_OPTION_FEE, "registry: fee out of range"
    self._fees = fees.perp | fees.option << FEE_BITS
    log IRegistry.FeesSet(fees=fees)


@external
@reentrant
def set_interest(interest: IRegistry.Interest):
    """
    @notice Set the curve of interest on debt; until now the old one applies.
    @dev Sweeping the fees touches the fund, so that interest accrues, and needs no price. Meanwhile
         the clearing house reads the old curve here.
    """
    ownable._check_owner()
    if self.clearing_house != empty(address):
        extcall IClearingHouse(self.clearing_house).sweep_fees()
    assert max(interest.base, max(interest.slope, interest.steep)) <= MAX_RATE, (
        "registry: rate out of range"
    )
    assert 0 < interest.kink and interest.kink <= WAD, "registry: kink out of range"
    self._interest = interest
    log IRegistry.InterestSet(interest=interest)


@external
@view
def scheme(scheme: uint256) -> (address, uint256):
    """
    @return Engine and rulebook; the zero address if the scheme is not registered.
    """
    return self._scheme(scheme)


@external
@view
def terms(scheme: uint256) -> (address, uint256, address):
    """
    @return Engine, rulebook and oracle: what a margin check needs, in one call.
    """
    engine: address = empty(address)
    rulebook: uint256 = 0
    engine, rulebook = self._scheme(scheme)
    return engine, rulebook, self.oracle


@external
@view
def is_listed(instrument: uint256) -> bool:
    """
    @notice Whether an instrument (low 160 bits of a position word, a perpetual's strike 0) can be opened.
    """
    return self._is_listed(instrument)


@external
@view
def asset(asset: uint256) -> IRegistry.Asset:
    """
    @notice Token, unit and cap of an asset.
    """
    assert asset < len(self._assets), "registry: no such asset"
    return self._assets[asset]


@external
@view
def assets() -> DynArray[IRegistry.Asset, 8]:
    """
    @notice Every asset, by id; 0 is the quote token.
    """
    return self._assets


@external
@view
def underlyings() -> DynArray[uint256, 8]:
    """
    @notice Every underlying ever listed, ascending.
    """
    listed: DynArray[uint256, 8] = []
    for underlying: uint256 in range(MAX_UNDERLYINGS):
        if self._underlyings >> underlying & 1 == 1:
            listed.append(underlying)
    return listed


@external
@view
def expiries() -> DynArray[uint256, 64]:
    """
    @notice Every listed, unexpired expiry as underlying << 32 | expiry, ascending.
    """
    return self._unexpired(self._expiries)


@external
@view
def strikes(underlying: uint256, expiry: uint256) -> DynArray[uint256, 128]:
    """
    @notice Strikes listed of an expiry, in the order of listing.
    """
    return self._strikes[underlying << 32 | expiry]


@external
@view
def fees() -> IRegistry.Fees:
    """
    @notice What each side of a trade pays.
    """
    return self._unpack_fees()


@external
@view
def interest() -> IRegistry.Interest:
    """
    @notice The curve of interest on debt.
    """
    return self._interest


@external
@view
def clearance(
    venue: address, legs: DynArray[IVenue.Leg, 16]
) -> (bool, IRegistry.Fees):
    """
    @notice Refuse legs that are no matched trade of a registered venue.
    @return Whether opening is possible (not paused, all instruments listed and unexpired), and fees.
    """
    assert self.is_venue[venue], "registry: not a venue"
    opening: bool = IRegistry.Pause.OPENING not in self.paused
    money: int256 = 0
    for i: uint256 in range(len(legs), bound=16):
        leg: IVenue.Leg = legs[i]
        assert leg.size != 0 and leg.size % SIZE_UNIT == 0, "registry: size is no multiple of 1e-9"
        assert (
            abs(leg.size) < convert(position.MAX_SIZE, int256) * SIZE_UNIT
        ), "registry: size too large"
        assert self._is_canonical(leg.instrument), "registry: not an instrument"
        money += leg.cash
        net: int256 = leg.size
        first: bool = True
        for j: uint256 in range(len(legs), bound=16):
            if j != i and legs[j].instrument == leg.instrument:
                assert legs[j].account != leg.account, "registry: account on both sides"
                net += legs[j].size
                first = first and j > i
        assert net == 0, "registry: sizes do not sum to 0"
        if first and opening:
            opening = self._is_listed(leg.instrument)
    assert money == 0, "registry: cash does not sum to 0"
    return opening, self._unpack_fees()


@external
@view
def incoming(asset: uint256) -> IRegistry.Asset:
    """
    @notice Terms of an asset that an account is to receive. Collateral is refused unless its price is
            fresh enough for opening: nobody could liquidate an account that holds what nobody can value.
    """
    assert asset < len(self._assets), "registry: no such asset"
    if asset > 0:
        found: IOracle.Market = staticcall IOracle(self.oracle).market([], [asset])
        assert IOracle.Purpose.OPENING in found.usable, "registry: asset has no fresh price"
    return self._assets[asset]


@external
@view
def check_scheme(scheme: uint256) -> bool:
    """
    @notice Refuse a scheme that is not registered.
    """
    self._check_scheme(scheme)
    return True


@external
@view
def check_switch(scheme: uint256) -> bool:
    """
    @notice Refuse to switch to a scheme that is not registered, or while opening is paused.
    """
    self._check_scheme(scheme)
    assert IRegistry.Pause.OPENING not in self.paused, "registry: opening is paused"
    return True


@external
@view
def check_withdrawal() -> bool:
    """
    @notice Refuse withdrawals while they are paused, or locked because losses exceed the fund.
    """
    assert IRegistry.Pause.WITHDRAWAL not in self.paused, "registry: withdrawals are paused"
    assert not staticcall IBackstop(self.backstop).locked(), "registry: withdrawals are locked"
    return True


@external
@view
def check_transfer() -> bool:
    """
    @notice Refuse transfers while they are paused.
    """
    assert IRegistry.Pause.WITHDRAWAL not in self.paused, "registry: transfers are paused"
    return True


@external
@view
def check_workout(actor: address) -> bool:
    """
    @notice Refuse whoever is neither the liquidator nor the backstop.
    """
    assert actor in [self.liquidator, self.backstop], "registry: not liquidator or backstop"
    return True


@internal
def _add_asset(token: address, cap: uint256) -> uint256:
    assert len(self._assets) < 8, "registry: too many assets"
    assert cap <= MAX_CAP, "registry: cap out of range"
    for known: IRegistry.Asset in self._assets:
        assert known.token != token, "registry: asset is known"
    decimals: uint256 = convert(staticcall IERC20Detailed(token).decimals(), uint256)
    assert decimals >= MIN_DECIMALS, "registry: too few decimals"
    assert decimals <= MAX_DECIMALS, "registry: too many decimals"
    asset: uint256 = len(self._assets)
    unit: uint256 = 10 ** (MAX_DECIMALS - decimals)
    self._assets.append(IRegistry.Asset(token=token, unit=unit, cap=cap))
    log IRegistry.AssetAdded(asset=asset, token=token, unit=unit, cap=cap)
    return asset


@internal
def _insert_expiry(key: uint256):
    """
    @notice Add an expiry in order; expired ones make room.
    """
    kept: DynArray[uint256, 64] = self._unexpired(self._expiries)
    if key in kept:
        return
    assert len(kept) < 64, "registry: too many expiries"
    kept.append(key)
    for j: uint256 in range(1, len(kept), bound=64):
        i: uint256 = len(kept) - j
        if kept[i - 1] < kept[i]:
            break
        kept[i] = kept[i - 1]
        kept[i - 1] = key
    self._expiries = kept


@internal
@view
def _unexpired(keys: DynArray[uint256, 64]) -> DynArray[uint256, 64]:
    kept: DynArray[uint256, 64] = []
    for key: uint256 in keys:
        if block.timestamp < key & (2**32 - 1):
            kept.append(key)
    return kept


@internal
@view
def _is_listed(instrument: uint256) -> bool:
    underlying: uint256 = position._underlying(instrument)
    if underlying >= MAX_UNDERLYINGS or self._open >> underlying & 1 == 0:
        return False
    if position._kind(instrument) == position.PERPETUAL:
        return self._is_canonical(instrument)
    return block.timestamp < position._expiry(instrument) and self._series[instrument]


@internal
@pure
def _is_canonical(instrument: uint256) -> bool:
    """
    @notice Whether no other number names the same instrument to the clearing house, which keeps the
            mark where an option has its strike: a perpetual has neither strike nor expiry.
    """
    if position._kind(instrument) != position.PERPETUAL:
        return instrument <= position.SERIES_MASK
    underlying: uint256 = position._underlying(instrument)
    return instrument == position._pack(underlying, 0, 0, position.PERPETUAL, 0)


@internal
@view
def _scheme(scheme: uint256) -> (address, uint256):
    word: uint256 = self._schemes[scheme]
    return convert(word & ADDRESS_MASK, address), word >> ADDRESS_BITS


@internal
@view
def _check_scheme(scheme: uint256):
    assert self._schemes[scheme] != 0, "registry: no such scheme"


@internal
@view
def _unpack_fees() -> IRegistry.Fees:
    return IRegistry.Fees(perp=self._fees & FEE_MASK, option=self._fees >> FEE_BITS)
