# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Sensitivity kernel
@license Apache-2.0
@notice Sums the greeks of positions (PROTOCOL 6) and puts rulebooks into the form that is read.
@dev Deployed apart from the engine because one contract cannot hold both.
@custom:kill Stateless: nothing to stop.
"""
from interfaces import IOracle
from interfaces import IScenarioKernel
from interfaces import ISensitivityEngine
from interfaces import ISensitivityKernel
from modules import black76
from modules import charges
from modules import fixed_point
from modules import matrices
from modules import position
from modules import pricing
from modules import sensitivity_rules

implements: ISensitivityKernel


struct Result:
    exposure: ISensitivityKernel.Exposure
    position: uint256           # first position of the next underlying
    expiry_value: DynArray[int256, 64]


WAD: constant(uint256) = 10 ** 18
SIGNED_WAD: constant(int256) = 10 ** 18
NANO: constant(uint256) = 10 ** 9
SIGNED_NANO: constant(int256) = 10 ** 9
YEAR: constant(uint256) = 31_536_000
MONTH: constant(uint256) = 30 * 86_400


@external
@view
def exposures(
    positions: DynArray[uint256, 64],
    market: IOracle.Market,
    linear: DynArray[IScenarioKernel.Linear, 8],
    rules: address,
) -> (DynArray[ISensitivityKernel.Exposure, 8], DynArray[int256, 64]):
    """
    @notice Exposure to each underlying of the market, and the value of each expiry.
    @param positions Position words, sorted.
    @param market The market that they need.
    @param linear For each underlying, the collateral that moves with it.
    @param rules The rulebook, as `compile` returned it, in a contract's code.
    @return Exposures in the order of the market, values in the order of the positions.
    """
    loaded: sensitivity_rules.Kernel = abi_decode(
        slice(rules.code, 1, sensitivity_rules.KERNEL_BYTES), sensitivity_rules.Kernel
    )
    found: DynArray[ISensitivityKernel.Exposure, 8] = []
    expiry_value: DynArray[int256, 64] = []
    p: uint256 = 0
    for i: uint256 in range(len(market.underlyings), bound=8):
        result: Result = self._exposure(
            positions, p, market.underlyings[i], market, linear[i], loaded
        )
        p = result.position
        found.append(result.exposure)
        for money: int256 in result.expiry_value:
            expiry_value.append(money)
    assert p == len(positions), "kernel: market lacks an underlying"
    return found, expiry_value


@external
@view
def compile(rules: ISensitivityEngine.Rulebook) -> Bytes[16384]:
    """
    @notice The rulebook in the form that kernel and engine read, its parameters checked.
    @param rules The rulebook.
    @return Rules of the kernel, rules of the engine, charges and factors.
    """
    return concat(
        abi_encode(self._compile_kernel(rules)),
        abi_encode(self._compile_engine(rules)),
        abi_encode(charges._compile(rules.charges, rules.factors)),
    )


@internal
@pure
def _exposure(
    positions: DynArray[uint256, 64],
    first: uint256,
    u: IOracle.Underlying,
    market: IOracle.Market,
    linear: IScenarioKernel.Linear,
    rules: sensitivity_rules.Kernel,
) -> Result:
    """
    @notice Greeks of one underlying's positions and of the collateral that moves with it.
    """
    r: Result = empty(Result)
    e: ISensitivityKernel.Exposure = empty(ISensitivityKernel.Exposure)
    vegas: int256[8] = empty(int256[8])         # by bucket
    e.long_only = True
    e.greeks.underlying = u.id
    e.delta = convert(linear.quote, int256)
    e.amounts[2] = linear.dollars
    if u.spot > 0:
        e.greeks.delta = convert(linear.dollars * WAD // u.spot, int256)
    confidence: uint256 = min(u.spot_confidence, WAD - linear.doubt)
    p: uint256 = first
    expiry: pricing.Expiry = empty(pricing.Expiry)
    discount: uint256 = WAD
    stretch: uint256 = 0
    bucket: uint256 = 0
    net: int256 = 0
    size: uint256 = 0
    for _: uint256 in range(64):
        if p == len(positions) or position._underlying(positions[p]) != u.id:
            break
        word: uint256 = positions[p]
        q: int256 = position._size(word)
        units: uint256 = convert(abs(q), uint256)
        if position._kind(word) == position.PERPETUAL:
            e.long_only = False
            e.greeks.delta += q * SIGNED_NANO
            e.delta += q * convert(u.mark, int256) // SIGNED_NANO
            e.gross += units * u.mark // NANO
            e.amounts[1] = units * u.spot // NANO
            confidence = min(confidence, u.mark_confidence)
            p += 1
            continue

        if expiry.key != pricing._key(word) or expiry.forward == 0:
            expiry = pricing._find(market.expiries, pricing._key(word), market.time)
            r.expiry_value.append(0)
            size = 0
            if rules.use_rate:
                discount = pricing._discount(expiry)
            # (30 days / max(t, floor))^power
            stretch = fixed_point._exp(
                fixed_point._ln_ratio(MONTH, max(expiry.seconds, rules.time_floor))
                * convert(rules.power, int256) // SIGNED_WAD
            )
            bucket = 0
            for end: uint256 in rules.buckets:
                if expiry.seconds > end:
                    bucket += 1
        strike: uint256 = position._strike(word) * NANO
        vol: uint256 = 0
        if len(market.vols) > 0:
            vol = market.vols[p]
        else:
            vol = pricing._vol(expiry, strike)
        g: black76.Quote = pricing._quote(expiry, word, vol, discount)
        error: int256 = convert(black76._error(expiry.forward, strike), int256)
        price: int256 = convert(g.price, int256) - (error if q > 0 else -error)
        worth: int256 = q * price // SIGNED_NANO - 1
        e.option_value += worth
        r.expiry_value[len(r.expiry_value) - 1] += worth
        e.gross += units * max(expiry.forward, strike) // NANO
        moving: int256 = convert(expiry.moving, int256)
        slope: int256 = q * g.delta // SIGNED_NANO
        bend: int256 = q * convert(g.gamma, int256) // SIGNED_NANO
        vega: int256 = q * convert(g.vega, int256) // SIGNED_NANO
        decay: int256 = q * g.theta // SIGNED_NANO
        e.greeks.delta += slope
        e.greeks.gamma += bend
        e.greeks.vega += vega
        e.greeks.theta += decay
        e.delta += slope * moving // SIGNED_WAD
        e.gamma += bend * moving // SIGNED_WAD * moving // SIGNED_WAD
        e.theta += decay
        vegas[bucket] += (vega * convert(vol, int256) // SIGNED_WAD * convert(stretch, int256)) >> 96
        if q < 0:
            e.long_only = False
        net += q
        size += units
        p += 1
        after: uint256 = positions[p] if p < len(positions) else 0
        if (after ^ word) & (2 ** 160 - 256) != 0:
            if net < 0:
                e.amounts[0] += convert(-net, uint256) * u.spot // NANO
            net = 0
        if pricing._key(after) != expiry.key:
            e.confidence += charges._doubt(
                min(u.spot_confidence, expiry.confidence),
                size * u.spot // NANO,
                rules.confidence_threshold,
                rules.confidence_factor,
            )
    e.confidence += charges._doubt(
        confidence,
        e.amounts[1] + e.amounts[2],
        rules.confidence_threshold,
        rules.confidence_factor,
    )
    dollars: uint256 = convert(abs(e.delta), uint256)
    if dollars > rules.concentration_threshold:
        e.amounts[3] = dollars - rules.concentration_threshold
    for vega: int256 in vegas:
        e.vega += convert(abs(vega), uint256)
    r.exposure = e
    r.position = p
    return r


@internal
@pure
def _compile_engine(rules: ISensitivityEngine.Rulebook) -> sensitivity_rules.Engine:
    """
    @notice What the engine reads of a rulebook, checked.
    """
    assert rules.multiplier <= 100 * WAD, "rulebook: multiplier"
    assert 0 < rules.horizon and rules.horizon <= 90 * 86_400, "rulebook: horizon"
    assert rules.naked_short_minimum <= 10 * WAD, "rulebook: naked short minimum"
    matrices._check_ids(rules.ids)
    matrices._check(rules.covariance, 2 * len(rules.ids))
    ids: DynArray[uint256, 8] = rules.ids
    covariance: DynArray[int256, 256] = rules.covariance
    n: uint256 = len(rules.ids)
    for i: uint256 in range(n, bound=8):
        for j: uint256 in range(n, bound=8):
            # Vegas count without a sign, so their vols must not hedge each other.
            assert covariance[2 * n * (n + i) + n + j] >= 0, "rulebook: vols negatively correlated"
    for _: uint256 in range(8):
        if len(ids) < 8:
            ids.append(0)
    for _: uint256 in range(256):
        if len(covariance) < 256:
            covariance.append(0)
    return sensitivity_rules.Engine(
        multiplier=rules.multiplier,
        horizon=rules.horizon,
        naked_short_minimum=rules.naked_short_minimum,
        count=n,
        ids=ids,
        covariance=covariance,
    )


@internal
@pure
def _compile_kernel(rules: ISensitivityEngine.Rulebook) -> sensitivity_rules.Kernel:
    """
    @notice What the kernel reads of a rulebook, checked.
    """
    assert rules.power <= WAD, "rulebook: power"
    assert 0 < rules.time_floor and rules.time_floor <= YEAR, "rulebook: time floor"
    buckets: DynArray[uint256, 7] = rules.buckets
    for i: uint256 in range(7):
        if i >= len(rules.buckets):
            buckets.append(max_value(uint256))
        elif i > 0:
            assert rules.buckets[i - 1] < rules.buckets[i], "rulebook: buckets must ascend"
    return sensitivity_rules.Kernel(
        buckets=buckets,
        power=rules.power,
        time_floor=rules.time_floor,
        use_rate=rules.use_rate,
        concentration_threshold=rules.charges.concentration_threshold,
        confidence_threshold=rules.charges.confidence_threshold,
        confidence_factor=rules.charges.confidence_factor,
    )
