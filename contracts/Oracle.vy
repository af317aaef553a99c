# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Oracle
@license Apache-2.0
@notice Keeps what registered sources report of the market, and says what it is fresh enough for.
@dev A feed is kind << 64 | underlying or asset << 32 | expiry. Feeds that differ only by expiry are a
     class and share their sources and their policy; a class is named by its feed of expiry 0.

     A scalar is the median of its sources' reports, taken when one of them pushes; a volatility
     slice comes whole from the source that pushed it, since a median of parameters may allow
     arbitrage.

     What a faulty market may bring about (a price of zero, a report out of order, a slice that
     allows arbitrage) is refused report by report and logged, so that one bad feed cannot hold
     back the others of its batch. What only a faulty program may bring about reverts.

     Confidence falls at once when a value jumps and recovers over time: a jump is never rejected,
     because crashes are jumps. A disagreement between sources is: while fewer than the quorum
     lie within the deviation bound of their median, the feed keeps its last agreed value and ages.
@custom:security The owner chooses the sources and bounds the damage of each by quorum and deviation.
                 Nobody can change its settlement price of an expiry once that has passed; the owner
                 of the registry can name another oracle.
@custom:kill Take the sources of a class away: its feeds age, opening stops, closing never does.
"""
from interfaces import IOracle
from interfaces import IOracleSink
from modules import ownable
from modules import svi

implements: IOracle
implements: IOracleSink
initializes: ownable

exports: (
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)


struct Policy:
    quorum: uint256             # sources that must agree
    deviation: uint256          # furthest from the median that agrees, WAD: relative, of a rate absolute
    opening: uint256            # oldest report that opening accepts, seconds
    liquidation: uint256        # oldest report that liquidation accepts, seconds
    jump: uint256               # largest move that leaves confidence alone, as deviation; of a vol
                                # slice, of its variance at the money; 0: any
    recovery: uint256           # seconds in which confidence recovers from 0 to 1


struct Perpetual:
    band: uint256               # furthest that the mark may be from the index, WAD
    period: uint256             # seconds over which a premium is paid
    base: int256                # funding per hour at no premium, WAD
    cap: uint256                # largest funding per hour, WAD


event Reported:
    feed: indexed(uint256)
    value: int256               # after the median
    confidence: uint256
    time: uint256


event Shaped:
    feed: indexed(uint256)
    surface: uint256            # as IOracle packs it
    confidence: uint256
    time: uint256


event Refused:
    feed: indexed(uint256)
    source: indexed(address)
    value: int256
    time: uint256
    reason: String[16]


event Disputed:
    feed: indexed(uint256)
    median: int256
    agreeing: uint256


event Accrued:
    underlying: indexed(uint256)
    index: int256               # funding since listing per unit long, WAD
    hourly: int256              # cash per hour per unit long from here on, WAD


event Configured:
    feed: indexed(uint256)
    policy: Policy
    sources: DynArray[address, 8]


event PerpetualSet:
    underlying: indexed(uint256)
    perpetual: Perpetual


event AssetSet:
    asset: indexed(uint256)
    underlying: uint256


SPOT: constant(uint256) = 1
MARK: constant(uint256) = 2
FORWARD: constant(uint256) = 3
RATE: constant(uint256) = 4
STABLE: constant(uint256) = 5
ASSET: constant(uint256) = 6
VOL: constant(uint256) = 7

WAD: constant(uint256) = 10**18
PRICE_UNIT: constant(uint256) = 10**9
RATE_UNIT: constant(uint256) = 10**8
SURFACE_UNIT: constant(uint256) = 10**6     # of a and b
PRECISION: constant(uint256) = 10**9        # of deviations and jumps
CONFIDENCE_UNIT: constant(uint256) = 10**14
CERTAIN: constant(uint256) = 10**4          # in CONFIDENCE_UNIT
HOUR: constant(int256) = 3600
YEAR: constant(int256) = 365 * 86400
WINDOW: constant(uint256) = 1800            # settlement window before an expiry
NO_UNDERLYING: constant(uint256) = 255

MAX_OPENING: constant(uint256) = 2 * 86400  # slow aggregators answer once a day
MAX_HEARTBEAT: constant(uint256) = 7 * 86400
MAX_RECOVERY: constant(uint256) = 86400
MAX_BAND: constant(uint256) = 10**17        # further apart, mark or index is wrong
MAX_CAP: constant(uint256) = 10**16         # an hour; a quarter of the position in a day
MIN_PERIOD: constant(uint256) = 3600
MAX_PERIOD: constant(uint256) = 30 * 86400

# A point is a value, a confidence and a time in 118 bits.
MASK_32: constant(uint256) = 2**32 - 1
MASK_40: constant(uint256) = 2**40 - 1
MASK_48: constant(uint256) = 2**48 - 1
MASK_72: constant(uint256) = 2**72 - 1
MASK_86: constant(uint256) = 2**86 - 1
MASK_POINT: constant(uint256) = 2**118 - 1
BIAS: constant(int256) = 2**127             # keeps the order of signed values in an observation

MIN_SAMPLES: public(immutable(uint256))     # of a settlement window, that make its mean valid

# Spot and mark of an underlying: two points.
_quotes: HashMap[uint256, uint256]
# Index in PRICE_UNIT (112 bits, signed), hourly flow in WAD (112, signed), accrued until (32).
_funding: HashMap[uint256, uint256]
_perpetuals: HashMap[uint256, Perpetual]
# A point; of an asset, its underlying above it.
_stable: uint256
_assets: HashMap[uint256, uint256]
# By underlying << 32 | expiry: a point of the forward; rate (40 bits, signed), its confidence (14) and
# time (32); confidence (14) and time (32) of the surface.
_terms: HashMap[uint256, uint256]
_surfaces: HashMap[uint256, uint256]
# Forward times seconds since the window's start (128 bits), accrued until (32), samples (32), block
# time of the last of them (32).
_windows: HashMap[uint256, uint256]
# Oldest reports that opening (24 bits) and liquidation (24) accept. Of an underlying one word holds
# spot, mark, forward, rate and vol, which a margin check reads together.
_limits: HashMap[uint256, uint256]

_policies: HashMap[uint256, Policy]
_sources: HashMap[uint256, DynArray[address, 8]]
# Quorum and number of sources (8 bits each), deviation, jump, recovery (32 each).
_rules: HashMap[uint256, uint256]
_registered: HashMap[uint256, HashMap[address, bool]]
# Value (128 bits, biased), confidence (14), time (32). Kept only where there are several sources.
_observations: HashMap[uint256, HashMap[address, uint256]]
_underlyings: DynArray[uint256, 8]


@deploy
def __init__(owner: address, min_samples: uint256):
    """
    @param min_samples Blocks with a later report of the forward that a settlement window must have
           for its mean to count; with fewer, the last forward before expiry settles.
    """
    assert min_samples > 0 and min_samples <= 100, "oracle: samples out of bounds"
    ownable.__init__(owner)
    MIN_SAMPLES = min_samples


# ---------------------------------------------------------------------------------------------
# Reports
# ---------------------------------------------------------------------------------------------


@external
def push(updates: DynArray[IOracle.Update, 128]):
    """
    @notice Report scalars. The caller must be a source of every feed named.
    @dev Prices are multiples of 1e-9, rates of 1e-10; confidence is rounded down to 1e-4.
    """
    group: uint256 = max_value(uint256)
    rules: uint256 = 0
    for update: IOracle.Update in updates:
        if update.feed >> 32 != group:
            group = update.feed >> 32
            assert self._registered[group][msg.sender], "oracle: not a source"
            rules = self._rules[group]
        self._report(update.feed, update.value, update.confidence, update.time, rules, msg.sender)


@external
def push_surfaces(surfaces: DynArray[IOracle.Surface, 64]):
    """
    @notice Report volatility slices. The caller must be a source of the underlying's vol.
    @dev rho, m and sigma are multiples of 1e-9, a and b of 1e-12.
    """
    for surface: IOracle.Surface in surfaces:
        group: uint256 = VOL << 32 | surface.underlying
        assert self._registered[group][msg.sender], "oracle: not a source"
        self._shape(surface)


@external
def pull(source: address, feeds: DynArray[uint256, 32]):
    """
    @notice Have sources of the kind of IPriceSource report what they observe now. Anyone may; a feed
            that the source does not answer for is refused, not reverted.
    """
    for feed: uint256 in feeds:
        group: uint256 = feed >> 32
        assert self._registered[group][source], "oracle: not a source"
        success: bool = False
        answer: Bytes[96] = b""
        success, answer = raw_call(
            source,
            abi_encode(feed, method_id=method_id("observe(uint256)")),
            max_outsize=96,
            is_static_call=True,
            revert_on_failure=False,
        )
        if not success or len(answer) != 96:
            log Refused(feed=feed, source=source, value=0, time=0, reason="no answer")
            continue
        value: int256 = 0
        confidence: uint256 = 0
        time: uint256 = 0
        value, confidence, time = abi_decode(answer, (int256, uint256, uint256))
        self._report(feed, value, confidence, time, self._rules[group], source)


# ---------------------------------------------------------------------------------------------
# Configuration
# ---------------------------------------------------------------------------------------------


@external
def configure(feed: uint256, policy: Policy, sources: DynArray[address, 8]):
    """
    @notice Set the policy and all the sources of a class of feeds, named by its feed of expiry 0;
            kind 7 is the volatility of an underlying.
    """
    ownable._check_owner()
    group: uint256 = feed >> 32
    kind: uint256 = group >> 32
    id: uint256 = group & MASK_32
    assert kind >= SPOT and kind <= VOL and feed & MASK_32 == 0, "oracle: unknown feed"
    assert id < NO_UNDERLYING and (kind != STABLE or id == 0), "oracle: unknown feed"
    assert len(sources) == 0 or policy.quorum > 0, "oracle: no quorum"
    assert policy.quorum <= len(sources), "oracle: quorum above sources"
    assert kind != VOL or len(sources) <= 1, "oracle: one source of vol"
    assert policy.opening <= policy.liquidation, "oracle: opening outlasts liquidation"
    assert policy.opening <= MAX_OPENING, "oracle: heartbeat too long"
    assert policy.liquidation <= MAX_HEARTBEAT, "oracle: heartbeat too long"
    assert policy.deviation <= WAD and policy.jump <= WAD, "oracle: bound too wide"
    assert policy.recovery <= MAX_RECOVERY, "oracle: recovery too slow"

    for source: address in self._sources[group]:
        self._registered[group][source] = False
    for source: address in sources:
        assert source != empty(address), "oracle: zero source"
        assert not self._registered[group][source], "oracle: source named twice"
        self._registered[group][source] = True
    self._sources[group] = sources
    self._policies[group] = policy
    self._rules[group] = (
        policy.quorum
        | len(sources) << 8
        | policy.deviation // PRECISION << 16
        | policy.jump // PRECISION << 48
        | policy.recovery << 80
    )

    key: uint256 = group
    place: uint256 = 0
    if kind != STABLE and kind != ASSET:
        key = id
        place = self._limit_shift(kind)
        if id not in self._underlyings:
            assert len(self._underlyings) < 8, "oracle: too many underlyings"
            self._underlyings.append(id)
    limits: uint256 = policy.opening | policy.liquidation << 24
    self._limits[key] = self._limits[key] & ~(MASK_48 << place) | limits << place
    log Configured(feed=feed, policy=policy, sources=sources)


@external
def set_perpetual(underlying: uint256, perpetual: Perpetual):
    """
    @notice Set how the mark of a perpetual is bounded and what funding it pays. Funding changes with
            the next push of the mark.
    """
    ownable._check_owner()
    assert underlying in self._underlyings, "oracle: unknown underlying"
    assert perpetual.band <= MAX_BAND, "oracle: band too wide"
    assert perpetual.period >= MIN_PERIOD, "oracle: period too short"
    assert perpetual.period <= MAX_PERIOD, "oracle: period too long"
    assert perpetual.cap <= MAX_CAP, "oracle: cap too high"
    assert convert(abs(perpetual.base), uint256) <= perpetual.cap, "oracle: base above cap"
    self._perpetuals[underlying] = perpetual
    log PerpetualSet(underlying=underlying, perpetual=perpetual)


@external
def set_asset(asset: uint256, underlying: uint256):
    """
    @notice Say which underlying a collateral asset moves with; 255: none.
    """
    ownable._check_owner()
    assert asset < NO_UNDERLYING, "oracle: unknown asset"
    assert underlying == NO_UNDERLYING or underlying in self._underlyings, "oracle: unknown underlying"
    self._assets[asset] = self._assets[asset] & MASK_POINT | (underlying + 1) << 118
    log AssetSet(asset=asset, underlying=underlying)


# ---------------------------------------------------------------------------------------------
# Views
# ---------------------------------------------------------------------------------------------


@external
@view
def market(
    positions: DynArray[uint256, 64], assets: DynArray[uint256, 8]
) -> IOracle.Market:
    """
    @notice The market that a book of these position words and assets needs.
    @dev Mark and funding of an underlying are given where a perpetual of it is among the positions.
         Where a price has never been reported `usable` is empty, and an engine must not be asked.
    """
    found: IOracle.Market = empty(IOracle.Market)
    found.time = block.timestamp
    usable: IOracle.Purpose = (
        IOracle.Purpose.OPENING | IOracle.Purpose.CLOSING | IOracle.Purpose.LIQUIDATION
    )
    stable: uint256 = self._stable
    found.stable = (stable & MASK_72) * PRICE_UNIT
    usable &= self._usable(stable >> 86, self._limits[STABLE << 32])

    underlying: uint256 = NO_UNDERLYING
    limits: uint256 = 0
    last: uint256 = 0
    for position: uint256 in positions:
        series: uint256 = position >> 96 & MASK_40
        if series == last and len(found.underlyings) != 0:
            continue
        last = series
        expiry: uint256 = series & MASK_32
        if series >> 32 != underlying:
            underlying = series >> 32
            limits = self._limits[underlying]
            quotes: uint256 = self._quotes[underlying]
            found.underlyings.append(self._underlying(underlying, quotes, expiry == 0))
            usable &= self._usable(quotes >> 86 & MASK_32, limits)
            if expiry == 0:
                usable &= self._usable(quotes >> 204, limits >> 48)
        if expiry != 0:
            terms: uint256 = self._terms[series]
            found.expiries.append(
                IOracle.Expiry(
                    terms=self._published(series, terms), surface=self._surfaces[series]
                )
            )
            usable &= self._usable(terms >> 86 & MASK_32, limits >> 96)
            usable &= self._usable(terms >> 172 & MASK_32, limits >> 144)
            usable &= self._usable(terms >> 218, limits >> 192)

    for asset: uint256 in assets:
        word: uint256 = self._assets[asset]
        usable &= self._usable(word >> 86 & MASK_32, self._limits[ASSET << 32 | asset])
        linked: uint256 = NO_UNDERLYING
        if word >> 118 != 0:
            linked = (word >> 118) - 1
        found.assets.append(
            IOracle.Asset(
                id=asset,
                underlying=linked,
                price=(word & MASK_72) * PRICE_UNIT,
                confidence=(word >> 72 & 2**14 - 1) * CONFIDENCE_UNIT,
            )
        )
        if linked != NO_UNDERLYING:
            place: uint256 = len(found.underlyings)
            for i: uint256 in range(8):
                if place == 0 or found.underlyings[place - 1].id < linked:
                    break
                place -= 1
            if place == len(found.underlyings) or found.underlyings[place].id != linked:
                quotes: uint256 = self._quotes[linked]
                usable &= self._usable(quotes >> 86 & MASK_32, self._limits[linked])
                found.underlyings.append(self._underlying(linked, quotes, False))
                for i: uint256 in range(8):
                    behind: uint256 = len(found.underlyings) - 1 - i
                    if behind == place:
                        break
                    other: IOracle.Underlying = found.underlyings[behind - 1]
                    found.underlyings[behind - 1] = found.underlyings[behind]
                    found.underlyings[behind] = other
    found.usable = usable
    return found


@external
@view
def settlement_price(underlying: uint256, expiry: uint256) -> uint256:
    """
    @notice Price at which options of an expiry settle; 0 before the expiry.
    @dev The mean of the forward over the window before expiry; the last forward if the window had
         too few samples; the spot if the expiry never had a forward, so that nothing can have been
         opened in it. Forwards of an expiry that has passed are refused, so the price is final.
    """
    if block.timestamp < expiry:
        return 0
    series: uint256 = underlying << 32 | expiry
    forward: uint256 = self._terms[series] & MASK_72
    if forward == 0:
        return (self._quotes[underlying] & MASK_72) * PRICE_UNIT
    window: uint256 = self._windows[series]
    if self._samples(window) < MIN_SAMPLES:
        return forward * PRICE_UNIT
    return self._accrued_forward(window, forward, expiry, expiry) // WINDOW * PRICE_UNIT


@external
@view
def perp(underlying: uint256) -> (uint256, int256):
    """
    @notice Current mark and funding index of a perpetual.
    """
    return self._mark(underlying, self._quotes[underlying]), self._funding_index(
        self._funding[underlying]
    )


@external
@view
def report(feed: uint256) -> (int256, uint256, uint256):
    """
    @notice Value, confidence and time of a scalar feed as agreed; time 0: never reported. The mark is
            the one reported, before the band around the index.
    """
    units: int256 = 0
    confidence: uint256 = 0
    time: uint256 = 0
    units, confidence, time = self._agreed(feed)
    unit: uint256 = RATE_UNIT if feed >> 64 == RATE else PRICE_UNIT
    return units * convert(unit, int256), confidence * CONFIDENCE_UNIT, time


@external
@view
def observation(feed: uint256, source: address) -> (int256, uint256, uint256):
    """
    @notice Value, confidence and time of one source's last report; kept only for classes of several
            sources.
    """
    word: uint256 = self._observations[feed][source]
    if word == 0:
        return 0, 0, 0
    unit: uint256 = RATE_UNIT if feed >> 64 == RATE else PRICE_UNIT
    return (
        (convert(word >> 46, int256) - BIAS) * convert(unit, int256),
        (word >> 32 & 2**14 - 1) * CONFIDENCE_UNIT,
        word & MASK_32,
    )


@external
@view
def window(underlying: uint256, expiry: uint256) -> (uint256, uint256):
    """
    @notice Accrued part of the settlement mean, which is F_fixed as soon as the samples suffice, and
            the number of samples in it.
    """
    series: uint256 = underlying << 32 | expiry
    until: uint256 = min(block.timestamp, expiry)
    if until + WINDOW <= expiry:
        return 0, 0
    word: uint256 = self._windows[series]
    forward: uint256 = self._terms[series] & MASK_72
    fixed: uint256 = self._accrued_forward(word, forward, expiry, until) // WINDOW
    return fixed * PRICE_UNIT, self._samples(word)


@external
@view
def policy(feed: uint256) -> (Policy, DynArray[address, 8]):
    """
    @notice Policy and sources of a feed's class.
    """
    return self._policies[feed >> 32], self._sources[feed >> 32]


@external
@view
def perpetual(underlying: uint256) -> (Perpetual, int256):
    """
    @notice Terms of a perpetual, and the cash that one unit long pays per hour now.
    """
    return self._perpetuals[underlying], self._flow(self._funding[underlying])


@external
@view
def underlyings() -> DynArray[uint256, 8]:
    """
    @notice Ids of the underlyings that have a policy, in the order in which they came.
    """
    return self._underlyings


# ---------------------------------------------------------------------------------------------
# Taking in a report
# ---------------------------------------------------------------------------------------------


@internal
def _report(
    feed: uint256,
    reported: int256,
    confidence: uint256,
    time: uint256,
    rules: uint256,
    source: address,
):
    kind: uint256 = feed >> 64
    expiry: uint256 = feed & MASK_32
    expires: bool = kind == FORWARD or kind == RATE
    assert expires == (expiry != 0) and kind != VOL, "oracle: unknown feed"
    assert confidence <= WAD, "oracle: confidence above one"
    unit: int256 = convert(RATE_UNIT if kind == RATE else PRICE_UNIT, int256)
    assert reported % unit == 0, "oracle: too fine a value"
    units: int256 = reported // unit

    if kind == RATE:
        if units >= 2**39 or units < -(2**39):
            log Refused(feed=feed, source=source, value=reported, time=time, reason="out of range")
            return
    elif units <= 0:
        log Refused(feed=feed, source=source, value=reported, time=time, reason="not positive")
        return
    elif units >= 2**70:
        log Refused(feed=feed, source=source, value=reported, time=time, reason="out of range")
        return
    if expires and block.timestamp >= expiry:
        log Refused(feed=feed, source=source, value=reported, time=time, reason="expired")
        return
    if time > block.timestamp:
        log Refused(feed=feed, source=source, value=reported, time=time, reason="from the future")
        return

    before: int256 = 0
    before_confidence: uint256 = 0
    before_time: uint256 = 0
    before, before_confidence, before_time = self._agreed(feed)

    level: uint256 = confidence // CONFIDENCE_UNIT
    agreed: int256 = units
    agreed_time: uint256 = time
    if rules >> 8 & 255 == 1:
        if time < before_time:
            log Refused(feed=feed, source=source, value=reported, time=time, reason="out of order")
            return
    else:
        if time < self._observations[feed][source] & MASK_32:
            log Refused(feed=feed, source=source, value=reported, time=time, reason="out of order")
            return
        self._observations[feed][source] = convert(units + BIAS, uint256) << 46 | level << 32 | time
        agreeing: uint256 = 0
        agreed, level, agreed_time, agreeing = self._median(feed, rules)
        if agreeing < rules & 255:
            log Disputed(feed=feed, median=agreed * unit, agreeing=agreeing)
            return

    if before_time != 0 and rules >> 48 & MASK_32 != 0:
        level = self._doubted(
            rules,
            level,
            before_confidence,
            agreed_time - min(before_time, agreed_time),
            self._distance(kind, agreed, before),
        )
    self._store(feed, agreed, level, agreed_time)
    log Reported(
        feed=feed, value=agreed * unit, confidence=level * CONFIDENCE_UNIT, time=agreed_time
    )


@internal
@view
def _median(feed: uint256, rules: uint256) -> (int256, uint256, uint256, uint256):
    """
    @dev Over the reports that opening would accept: the median in units; of those near it the median
         confidence, which no source alone can set, the latest time at which a quorum had reported
         one, and how many they are. Of an even number the median is the mean of the middle two,
         rounded down, of confidences the lower.
    """
    group: uint256 = feed >> 32
    kind: uint256 = group >> 32
    oldest: uint256 = self._policies[group].opening
    sorted: DynArray[uint256, 8] = []
    for source: address in self._sources[group]:
        word: uint256 = self._observations[feed][source]
        if (word & MASK_32) + oldest < block.timestamp:
            continue
        sorted = self._insert(sorted, word)
    if len(sorted) == 0:
        return 0, 0, 0, 0

    lower: uint256 = sorted[(len(sorted) - 1) // 2]
    upper: uint256 = sorted[len(sorted) // 2]
    median: int256 = convert((lower >> 46) + (upper >> 46) >> 1, int256) - BIAS

    agreeing: DynArray[uint256, 8] = []
    levels: DynArray[uint256, 8] = []
    for word: uint256 in sorted:
        value: int256 = convert(word >> 46, int256) - BIAS
        if self._distance(kind, value, median) <= rules >> 16 & MASK_32:
            agreeing.append(word & MASK_32)
            levels = self._insert(levels, word >> 32 & 2**14 - 1)
    if len(agreeing) == 0:
        return median, 0, 0, 0
    agreed_time: uint256 = 0
    for time: uint256 in agreeing:
        as_late: uint256 = 0
        for other: uint256 in agreeing:
            if other >= time:
                as_late += 1
        if as_late >= rules & 255:
            agreed_time = max(agreed_time, time)
    return median, levels[(len(levels) - 1) // 2], agreed_time, len(agreeing)


@internal
@pure
def _insert(sorted: DynArray[uint256, 8], word: uint256) -> DynArray[uint256, 8]:
    """
    @dev The ascending list with one word more.
    """
    longer: DynArray[uint256, 8] = sorted
    longer.append(word)
    for i: uint256 in range(8):
        place: uint256 = len(sorted) - i
        if place == 0 or longer[place - 1] <= word:
            break
        longer[place] = longer[place - 1]
        longer[place - 1] = word
    return longer


@internal
@pure
def _doubted(
    rules: uint256, level: uint256, before: uint256, elapsed: uint256, move: uint256
) -> uint256:
    """
    @dev The confidence (in CONFIDENCE_UNIT) left to a report after a move: it falls at once and
         recovers over time.
    """
    jump: uint256 = rules >> 48 & MASK_32
    recovery: uint256 = rules >> 80
    left: uint256 = level
    if recovery != 0:
        left = min(left, before + elapsed * CERTAIN // recovery)
    if move > jump:
        left = left * jump // move
    return left


@internal
@pure
def _distance(kind: uint256, units: int256, base: int256) -> uint256:
    """
    @dev In 1e-9, rounded up: relative to `base`, of a rate absolute.
    """
    difference: uint256 = convert(abs(units - base), uint256)
    if kind == RATE:
        return (difference + 9) // 10
    if base == 0:
        return max_value(uint256)
    size: uint256 = convert(base, uint256)
    return (difference * PRECISION + size - 1) // size


@internal
@view
def _agreed(feed: uint256) -> (int256, uint256, uint256):
    """
    @dev The value in units, the confidence in CONFIDENCE_UNIT and the time that a feed has now.
    """
    kind: uint256 = feed >> 64
    id: uint256 = feed >> 32 & MASK_32
    point: uint256 = 0
    if kind == FORWARD:
        point = self._terms[feed & MASK_40] & MASK_POINT
    elif kind == RATE:
        word: uint256 = self._terms[feed & MASK_40]
        rate: int256 = (convert(word >> 118 & MASK_40, int256) << 216) >> 216
        return rate, word >> 158 & 2**14 - 1, word >> 172 & MASK_32
    elif kind == SPOT:
        point = self._quotes[id] & MASK_POINT
    elif kind == MARK:
        point = self._quotes[id] >> 118
    elif kind == STABLE:
        point = self._stable
    elif kind == ASSET:
        point = self._assets[id] & MASK_POINT
    return convert(point & MASK_72, int256), point >> 72 & 2**14 - 1, point >> 86


@internal
def _store(feed: uint256, units: int256, level: uint256, time: uint256):
    kind: uint256 = feed >> 64
    id: uint256 = feed >> 32 & MASK_32
    tail: uint256 = level << 72 | time << 86
    if kind == FORWARD:
        series: uint256 = feed & MASK_40
        word: uint256 = self._terms[series]
        price: uint256 = convert(units, uint256)
        self._accrue_forward(series, word & MASK_POINT, price, time)
        self._terms[series] = word & ~MASK_POINT | tail | price
    elif kind == RATE:
        series: uint256 = feed & MASK_40
        word: uint256 = self._terms[series] & ~(MASK_86 << 118)
        rate: uint256 = convert(convert(units, bytes32), uint256) & MASK_40
        self._terms[series] = word | (rate | level << 40 | time << 54) << 118
    elif kind == SPOT:
        self._quotes[id] = self._quotes[id] & ~MASK_POINT | tail | convert(units, uint256)
    elif kind == MARK:
        point: uint256 = tail | convert(units, uint256)
        quotes: uint256 = self._quotes[id] & MASK_POINT | point << 118
        self._quotes[id] = quotes
        self._accrue_funding(id, quotes)
    elif kind == STABLE:
        self._stable = tail | convert(units, uint256)
    elif kind == ASSET:
        self._assets[id] = self._assets[id] & ~MASK_POINT | tail | convert(units, uint256)


@internal
def _shape(surface: IOracle.Surface):
    series: uint256 = surface.underlying << 32 | surface.expiry
    feed: uint256 = VOL << 64 | series
    assert surface.expiry != 0 and surface.expiry <= MASK_32, "oracle: unknown feed"
    assert surface.confidence <= WAD, "oracle: confidence above one"
    fine: int256 = convert(SURFACE_UNIT, int256)
    coarse: int256 = convert(PRICE_UNIT, int256)
    assert surface.a % fine == 0 and surface.b % fine == 0, "oracle: too fine a value"
    assert surface.rho % coarse == 0 and surface.m % coarse == 0, "oracle: too fine a value"
    assert surface.sigma % coarse == 0, "oracle: too fine a value"
    a: int256 = surface.a // fine
    b: int256 = surface.b // fine
    rho: int256 = surface.rho // coarse
    m: int256 = surface.m // coarse
    sigma: int256 = surface.sigma // coarse

    reason: String[16] = ""
    word: uint256 = self._terms[series]
    if block.timestamp >= surface.expiry:
        reason = "expired"
    elif surface.time > block.timestamp:
        reason = "from the future"
    elif surface.time < word >> 218:
        reason = "out of order"
    elif not self._fits(a, b, rho, m, sigma, surface.tau):
        reason = "out of range"
    else:
        # Not against the neighbouring expiries: in a crash slices arrive one by one, and the first to
        # rise would be refused for the sake of one that has not yet been pushed. The engines never
        # take the variance between two expiries.
        reason = svi._fault(a, b, rho, m, sigma)
    if reason != "":
        log Refused(
            feed=feed, source=msg.sender, value=surface.a, time=surface.time, reason=reason
        )
        return

    packed: uint256 = (
        surface.tau
        | convert(sigma, uint256) << 32
        | (convert(convert(m, bytes32), uint256) & MASK_40) << 72
        | (convert(convert(rho, bytes32), uint256) & MASK_32) << 112
        | convert(b, uint256) << 144
        | (convert(convert(a, bytes32), uint256) & MASK_48) << 192
    )
    level: uint256 = surface.confidence // CONFIDENCE_UNIT
    before_time: uint256 = word >> 218
    rules: uint256 = self._rules[VOL << 32 | surface.underlying]
    if before_time != 0 and rules >> 48 & MASK_32 != 0:
        level = self._doubted(
            rules,
            level,
            word >> 204 & 2**14 - 1,
            surface.time - before_time,
            self._distance(VOL, self._variance(packed), self._variance(self._surfaces[series])),
        )
    self._surfaces[series] = packed
    self._terms[series] = word & (2**204 - 1) | level << 204 | surface.time << 218
    log Shaped(
        feed=feed, surface=packed, confidence=level * CONFIDENCE_UNIT, time=surface.time
    )


@internal
@pure
def _fits(a: int256, b: int256, rho: int256, m: int256, sigma: int256, tau: uint256) -> bool:
    """
    @dev Whether a slice fits its word.
    """
    return (
        0 < tau
        and tau <= MASK_32
        and 0 < sigma
        and sigma < 2**40
        and 0 <= b
        and b < 2**48
        and abs(a) < 2**47
        and abs(m) < 2**39
        and abs(rho) < 10**9
    )


@internal
@pure
def _variance(surface: uint256) -> int256:
    """
    @dev At the money, a year, in 1e-12.
    """
    word: int256 = convert(convert(surface, bytes32), int256)
    tau: int256 = word & (2**32 - 1)
    sigma: int256 = word >> 32 & (2**40 - 1)
    m: int256 = (word << 144) >> 216
    rho: int256 = (word << 112) >> 224
    b: int256 = word >> 144 & (2**48 - 1)
    a: int256 = (word << 16) >> 208
    root: int256 = convert(isqrt(convert(m**2 + sigma**2, uint256)), int256)
    return max(a + b * (root * 10**9 - rho * m) // 10**18, 0) * YEAR // tau


# ---------------------------------------------------------------------------------------------
# Settlement window, funding
# ---------------------------------------------------------------------------------------------


@internal
def _accrue_forward(series: uint256, held: uint256, price: uint256, time: uint256):
    """
    @dev The point `held` has been the forward until now; if there was none, `price` stands in for it.
         One report a block is a sample, and only one that is later than the point held: anyone may
         have an old answer pulled again, and that tells nothing of the window.
    """
    expiry: uint256 = series & MASK_32
    if block.timestamp + WINDOW < expiry:
        return
    word: uint256 = self._windows[series]
    samples: uint256 = self._samples(word)
    sampled: uint256 = word >> 192
    if time > held >> 86 and sampled != block.timestamp:
        samples += 1
        sampled = block.timestamp
    forward: uint256 = price if held == 0 else held & MASK_72
    accrued: uint256 = self._accrued_forward(word, forward, expiry, block.timestamp)
    self._windows[series] = accrued | block.timestamp << 128 | samples << 160 | sampled << 192


@internal
@pure
def _samples(word: uint256) -> uint256:
    return word >> 160 & MASK_32


@internal
@pure
def _accrued_forward(word: uint256, held: uint256, expiry: uint256, until: uint256) -> uint256:
    """
    @dev Forward times seconds from the start of the window to `until`.
    """
    since: uint256 = max(word >> 128 & MASK_32, expiry - WINDOW)
    return (word & (2**128 - 1)) + held * (until - since)


@internal
@view
def _published(series: uint256, terms: uint256) -> uint256:
    """
    @dev The terms word of IOracle.
    """
    expiry: uint256 = series & MASK_32
    forward: uint256 = terms & MASK_72
    fixed: uint256 = 0
    word: uint256 = 0
    if block.timestamp + WINDOW > expiry and block.timestamp < expiry:
        word = self._windows[series]
    # Until the samples suffice, the last forward would settle, and nothing of it is fixed.
    if self._samples(word) >= MIN_SAMPLES:
        fixed = self._accrued_forward(word, forward, expiry, block.timestamp) // WINDOW
        forward = forward * (expiry - block.timestamp) // WINDOW
    level: uint256 = min(terms >> 72 & 2**14 - 1, terms >> 158 & 2**14 - 1)
    level = min(level, terms >> 204 & 2**14 - 1) * (CONFIDENCE_UNIT // PRICE_UNIT)
    return (
        forward | fixed << 72 | (terms >> 118 & MASK_40) << 144 | level << 184 | series << 216
    )


@internal
def _accrue_funding(underlying: uint256, quotes: uint256):
    """
    @dev The premium held since the last push of the mark is paid until now, the new one from now on.
    """
    word: uint256 = self._funding[underlying]
    index: int256 = self._funding_index(word)
    flow: int256 = 0
    spot: int256 = convert((quotes & MASK_72) * PRICE_UNIT, int256)
    if spot != 0:
        terms: Perpetual = self._perpetuals[underlying]
        mark: int256 = convert(self._mark(underlying, quotes), int256)
        premium: int256 = (mark - spot) * convert(WAD, int256) // spot
        cap: int256 = convert(terms.cap, int256)
        hourly: int256 = terms.base
        if terms.period != 0:
            hourly += premium * HOUR // convert(terms.period, int256)
        hourly = min(max(hourly, -cap), cap)
        flow = hourly * spot // convert(WAD, int256)
    self._funding[underlying] = (
        convert(convert(index // convert(PRICE_UNIT, int256), bytes32), uint256) << 144
        | (convert(convert(flow, bytes32), uint256) & 2**112 - 1) << 32
        | block.timestamp
    )
    log Accrued(underlying=underlying, index=index, hourly=flow)


@internal
@view
def _funding_index(word: uint256) -> int256:
    """
    @dev WAD, a multiple of 1e-9: rounded toward zero over the time since the last push of the mark.
    """
    unit: int256 = convert(PRICE_UNIT, int256)
    index: int256 = convert(convert(word, bytes32), int256) >> 144
    elapsed: int256 = convert(block.timestamp - (word & MASK_32), int256)
    return (index + self._flow(word) * elapsed // (HOUR * unit)) * unit


@internal
@pure
def _flow(word: uint256) -> int256:
    """
    @dev Cash per hour per unit long, WAD.
    """
    return convert(convert(word << 112, bytes32), int256) >> 144


@internal
@view
def _mark(underlying: uint256, quotes: uint256) -> uint256:
    """
    @dev The mark within its band around the index; 0 if it was never reported.
    """
    mark: uint256 = quotes >> 118 & MASK_72
    spot: uint256 = quotes & MASK_72
    reach: uint256 = spot * self._perpetuals[underlying].band // WAD
    if mark == 0 or spot == 0:
        return mark * PRICE_UNIT
    return min(max(mark, spot - reach), spot + reach) * PRICE_UNIT


# ---------------------------------------------------------------------------------------------
# Building a market
# ---------------------------------------------------------------------------------------------


@internal
@view
def _underlying(id: uint256, quotes: uint256, perpetual: bool) -> IOracle.Underlying:
    found: IOracle.Underlying = empty(IOracle.Underlying)
    found.id = id
    found.spot = (quotes & MASK_72) * PRICE_UNIT
    found.spot_confidence = (quotes >> 72 & 2**14 - 1) * CONFIDENCE_UNIT
    if perpetual:
        found.mark = self._mark(id, quotes)
        found.mark_confidence = (quotes >> 190 & 2**14 - 1) * CONFIDENCE_UNIT
        found.funding_index = self._funding_index(self._funding[id])
    return found


@internal
@view
def _usable(time: uint256, limits: uint256) -> IOracle.Purpose:
    """
    @dev What a report of this time may be used for.
    """
    if time == 0:
        return empty(IOracle.Purpose)
    usable: IOracle.Purpose = IOracle.Purpose.CLOSING
    if time + (limits & 2**24 - 1) >= block.timestamp:
        usable |= IOracle.Purpose.OPENING
    if time + (limits >> 24 & 2**24 - 1) >= block.timestamp:
        usable |= IOracle.Purpose.LIQUIDATION
    return usable


@internal
@pure
def _limit_shift(kind: uint256) -> uint256:
    """
    @dev Where the limits of a kind begin in its underlying's word.
    """
    place: uint256 = 4 if kind == VOL else kind - 1
    return place * 48
