# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Scenario kernel
@license Apache-2.0
@notice Losses of positions under the scenarios of a rulebook (PROTOCOL 5.1 to 5.5) and the
        amounts that charges multiply.
@dev Deployed apart from the engine because one contract cannot hold both.
@custom:kill Stateless: nothing to stop.
"""
from interfaces import IOracle
from interfaces import IRiskEngine
from interfaces import IScenarioEngine
from interfaces import IScenarioKernel
from modules import black76
from modules import fixed_point
from modules import kernel
from modules import position
from modules import scenario_rules
from modules import svi

implements: IScenarioKernel
initializes: kernel


struct Result:
    outcome: IScenarioKernel.Outcome
    position: uint256           # first position of the next underlying
    expiry: uint256
    expiry_value: DynArray[int256, 64]
    pnl: DynArray[int256, 40]


WAD: constant(uint256) = 10 ** 18
SIGNED_WAD: constant(int256) = 10 ** 18
NANO: constant(uint256) = 10 ** 9
SIGNED_NANO: constant(int256) = 10 ** 9
YEAR: constant(uint256) = 31_536_000
MONTH: constant(uint256) = 30 * 86_400


@deploy
def __init__():
    kernel.__init__()


@external
@view
def revalue(
    positions: DynArray[uint256, 64],
    market: IOracle.Market,
    linear: DynArray[IScenarioKernel.Linear, 8],
    rules: address,
    grid: IScenarioKernel.Grid,
    named: DynArray[uint256, 8],
) -> DynArray[IScenarioKernel.Outcome, 8]:
    """
    @notice Losses and charged amounts of each underlying of the market.
    @param positions Position words, sorted.
    @param market The market that they need.
    @param linear For each underlying, the collateral that moves with it.
    @param rules The rulebook, as `compile` returned it, in a contract's code.
    @param grid What to evaluate.
    @param named With Grid.NAMED, a scenario for each underlying; the number of scenarios names the
           basis.
    @return For each underlying of the market, losses and amounts.
    """
    loaded: scenario_rules.Rules = self._rules(rules)
    outcomes: DynArray[IScenarioKernel.Outcome, 8] = []
    p: uint256 = 0
    e: uint256 = 0
    for i: uint256 in range(len(market.underlyings), bound=8):
        result: Result = self._underlying(
            positions,
            p,
            market.underlyings[i],
            market.expiries,
            e,
            market.vols,
            market.time,
            linear[i],
            loaded,
            named[i] if grid == IScenarioKernel.Grid.NAMED else max_value(uint256),
        )
        p = result.position
        e = result.expiry
        outcomes.append(result.outcome)
    assert p == len(positions), "kernel: market lacks an underlying"
    return outcomes


@external
@view
def detail(
    positions: DynArray[uint256, 64],
    market: IOracle.Market,
    linear: DynArray[IScenarioKernel.Linear, 8],
    rules: address,
) -> IScenarioKernel.Detail:
    """
    @notice Greeks, and the value of each expiry and the profit of each scenario.
    @param positions Position words, sorted.
    @param market The market that they need.
    @param linear For each underlying, the collateral that moves with it.
    @param rules The rulebook, as `compile` returned it, in a contract's code.
    @return The figures, in the order of the market.
    """
    loaded: scenario_rules.Rules = self._rules(rules)
    d: IScenarioKernel.Detail = empty(IScenarioKernel.Detail)
    p: uint256 = 0
    e: uint256 = 0
    for i: uint256 in range(len(market.underlyings), bound=8):
        u: IOracle.Underlying = market.underlyings[i]
        d.greeks.append(
            self._greeks(positions, p, u, market.expiries, market.vols, market.time, linear[i], loaded.discount.use_rate)
        )
        result: Result = self._underlying(
            positions,
            p,
            u,
            market.expiries,
            e,
            market.vols,
            market.time,
            linear[i],
            loaded,
            max_value(uint256),
        )
        p = result.position
        e = result.expiry
        for money: int256 in result.expiry_value:
            d.expiry_value.append(money)
        for money: int256 in result.pnl:
            d.scenario_pnl.append(money)
    return d


@internal
@view
def _rules(place: address) -> scenario_rules.Rules:
    return abi_decode(slice(place.code, 1, scenario_rules.KERNEL_BYTES), scenario_rules.Rules)


@internal
@view
def _underlying(
    positions: DynArray[uint256, 64],
    first_position: uint256,
    u: IOracle.Underlying,
    expiries: DynArray[IOracle.Expiry, 64],
    first_expiry: uint256,
    vols: DynArray[uint256, 64],
    time: uint256,
    linear: IScenarioKernel.Linear,
    rules: scenario_rules.Rules,
    named: uint256,
) -> Result:
    """
    @notice Losses of one underlying under the scenarios, and the amounts that charges multiply.
    """
    r: Result = empty(Result)
    o: IScenarioKernel.Outcome = empty(IScenarioKernel.Outcome)
    o.long_only = True
    p: uint256 = first_position
    e: uint256 = first_expiry
    count: uint256 = len(positions)

    # The unshocked market first, then the basis, then the scenarios, or what is named of them.
    shocks: DynArray[uint256, 44] = [rules.shocks[0]]
    for s: uint256 in range(1, rules.shock_count, bound=43):
        word: uint256 = rules.shocks[s]
        if named < rules.scenarios:
            if word & scenario_rules.SCENARIO == 0 or (word >> 133) & 63 != named:
                continue
        elif named == rules.scenarios and word & scenario_rules.BASIS == 0:
            continue
        shocks.append(word)

    # Perpetual and collateral are linear in spot.
    perp: int256 = 0
    if p < count and positions[p] & (2 ** 8 - 1) == position.PERPETUAL and position._underlying(positions[p]) == u.id:
        perp = position._size(positions[p])
        o.long_only = False
        p += 1
    size: uint256 = convert(abs(perp), uint256)
    slope: int256 = perp * convert(u.mark, int256) // SIGNED_NANO + convert(linear.quote, int256)
    delta: int256 = slope
    o.amounts[1] = size * u.spot // NANO
    o.amounts[2] = linear.dollars
    o.confidence = self._doubt(
        min(
            WAD - linear.doubt,
            min(u.spot_confidence, u.mark_confidence) if perp != 0 else u.spot_confidence,
        ),
        o.amounts[1] + o.amounts[2],
        rules.confidence_threshold,
        rules.confidence_factor,
    )

    pnl: int256[44] = empty(int256[44])
    options: DynArray[kernel.Option, 64] = []
    for _: uint256 in range(64):
        if p == count or position._underlying(positions[p]) != u.id:
            break
        key: uint256 = (positions[p] >> 96) & (2 ** 40 - 1)
        for _skip: uint256 in range(64):
            assert e < len(expiries), "kernel: market lacks an expiry"
            if expiries[e].terms >> 216 == key:
                break
            e += 1
        terms: uint256 = expiries[e].terms
        surface: uint256 = expiries[e].surface
        e += 1
        expiry: uint256 = key & (2 ** 32 - 1)
        seconds: uint256 = expiry - time if expiry > time else 0
        root: uint256 = black76._root_years(seconds) >> 32
        series: kernel.Series = self._series(terms, seconds, root, rules.vol)
        discount: uint256 = 0
        long_factor: uint256 = 0
        short_factor: uint256 = 0
        discount, long_factor, short_factor = self._discounts(terms, seconds, rules.discount)

        # Options of the expiry; those of one strike (and vol) are folded into one by parity.
        options = []
        amount: uint256 = 0
        naked: uint256 = 0
        net: int256 = 0
        last: kernel.Option = empty(kernel.Option)
        strike: uint256 = max_value(uint256)
        for _next: uint256 in range(65):
            word: uint256 = positions[p] if p < count else 0
            ended: bool = (word >> 96) & (2 ** 40 - 1) != key
            v: uint256 = last.v
            if ended or position._strike(word) != strike:
                if net < 0:
                    naked += convert(-net, uint256)
                net = 0
            if ended:
                break
            q: int256 = position._size(word)
            assert convert(abs(q), uint256) < position.MAX_SIZE, "kernel: size"
            if position._strike(word) != strike:
                strike = position._strike(word)
                assert strike > 0 and strike < position.MAX_STRIKE, "kernel: strike"
                x: int256 = fixed_point._ln_ratio(series.forward, strike * NANO)
                v = 0
                if len(vols) == 0:
                    v = svi._deviation(surface, -x, seconds) >> 32
                last = kernel.Option(size=0, strike=strike * NANO, x=x >> 32, v=v)
            if len(vols) > 0:
                v = vols[p] * root // WAD
            amount += convert(abs(q), uint256)
            net += q
            if q < 0:
                o.long_only = False
            if position._kind(word) == position.PUT:
                series.puts += q
                series.puts_strike += q * convert(strike * NANO, int256)
            else:
                assert position._kind(word) == position.CALL, "kernel: kind"
            if last.size != 0 and last.v != v:
                options.append(last)
                last.size = 0
            last.v = v
            last.size += q
            p += 1
            if p == count or (positions[p] ^ word) & (2 ** 160 - 256) != 0:
                options.append(last)
        for option: kernel.Option in options:
            gross: uint256 = convert(abs(option.size), uint256)
            series.gross += gross
            series.gross_strike += gross * option.strike

        if rules.concentrated:
            delta += kernel._delta(options, series)

        # Values: down for equity, up where a loss is measured from them.
        values: DynArray[int256, 44] = kernel._values(options, series, shocks)
        error: uint256 = 2 * (kernel._error(series, series.forward) + 1)
        low: int256 = self._discounted(values[0], discount, discount)
        high: int256 = self._discounted(values[0] + convert(error, int256), discount, discount) + 1
        r.expiry_value.append(low)
        o.option_value += low
        worst: int256 = 0
        for s: uint256 in range(len(shocks), bound=44):
            word: uint256 = shocks[s]
            if word & scenario_rules.BASIS != 0:
                worst = min(worst, self._discounted(values[s], discount, discount) - high)
            if word & scenario_rules.SCENARIO != 0:
                pnl[s] += self._discounted(values[s], long_factor, short_factor) - high
        o.basis += self._up(
            convert(-worst, uint256), rules.basis_add + rules.basis_time * seconds // YEAR
        )

        o.amounts[0] += naked * u.spot // NANO
        o.confidence += self._doubt(
            min(u.spot_confidence, ((terms >> 184) & (2 ** 32 - 1)) * NANO),
            amount * u.spot // NANO,
            rules.confidence_threshold,
            rules.confidence_factor,
        )

    size = convert(abs(delta), uint256)
    if size > rules.concentration_threshold:
        o.amounts[3] = size - rules.concentration_threshold
    r.position = p
    r.expiry = e
    o.up = o.basis
    o.down = o.basis
    o.binding_up = rules.scenarios
    o.binding_down = rules.scenarios
    by_number: int256[40] = empty(int256[40])
    for s: uint256 in range(len(shocks), bound=44):
        word: uint256 = shocks[s]
        if word & scenario_rules.SCENARIO == 0:
            continue
        spot: int256 = convert(word & (2 ** 64 - 1), int256)
        weight: int256 = convert((word >> 64) & (2 ** 64 - 1), int256)
        total: int256 = pnl[s] + self._floor(slope * (spot - SIGNED_WAD))
        total = self._floor(total * weight)
        by_number[(word >> 133) & 63] = total
    for s: uint256 in range(rules.scenarios, bound=40):
        r.pnl.append(by_number[s])
    for s: uint256 in range(len(shocks), bound=44):
        word: uint256 = shocks[s]
        if word & scenario_rules.SCENARIO == 0:
            continue
        number: uint256 = (word >> 133) & 63
        spot: uint256 = word & (2 ** 64 - 1)
        if by_number[number] >= 0:
            continue
        loss: uint256 = convert(-by_number[number], uint256)
        if spot >= WAD and (loss > o.up or loss == o.up and number < o.binding_up):
            o.up = loss
            o.binding_up = number
        if spot <= WAD and (loss > o.down or loss == o.down and number < o.binding_down):
            o.down = loss
            o.binding_down = number
    r.outcome = o
    return r


@internal
@pure
def _series(
    terms: uint256, seconds: uint256, root: uint256, vol: IScenarioEngine.Vol
) -> kernel.Series:
    """
    @notice An expiry's forward and vol shocks (PROTOCOL 5.2); `root` is √years in Q64.
    """
    moving: uint256 = (terms & (2 ** 72 - 1)) * NANO
    fixed: uint256 = ((terms >> 72) & (2 ** 72 - 1)) * NANO
    assert moving + fixed > 0, "kernel: no forward"
    power: uint256 = vol.short_power if seconds <= MONTH else vol.long_power
    # (30 days / max(t, floor))**power, Q64
    stretch: uint256 = fixed_point._exp(
        fixed_point._ln_ratio(MONTH, max(max(seconds, vol.time_floor), 1)) * convert(power, int256)
        // SIGNED_WAD
    ) >> 32
    fall: uint256 = vol.range_down * stretch // WAD
    return kernel.Series(
        forward=moving + fixed,
        moving=moving,
        fixed=fixed,
        puts=0,
        puts_strike=0,
        gross=0,
        gross_strike=0,
        scale_up=2 ** 64 + vol.range_up * stretch // WAD,
        scale_down=2 ** 64 - fall if fall < 2 ** 64 else 0,
        floor_up=vol.floor_up * root // WAD,
        floor_down=vol.floor_down * root // WAD,
    )


@internal
@pure
def _discounts(
    terms: uint256, seconds: uint256, d: IScenarioEngine.Discount
) -> (uint256, uint256, uint256):
    """
    @notice Discount of an expiry, and the factors of a positive and of a negative value that
            include it (PROTOCOL 5.3). A negative rate counts as 0.
    """
    years: int256 = convert((seconds << 96) // YEAR, int256)
    growth: int256 = self._growth(terms, years)
    discount: uint256 = WAD
    if d.use_rate:
        discount = (fixed_point._exp(-growth) * WAD) >> 96
    decay: int256 = (
        growth * convert(d.long_rate_scale, int256) + years * convert(d.long_rate_add, int256)
    ) // SIGNED_WAD
    long_factor: uint256 = min((d.long_base * fixed_point._exp(-decay)) >> 96, WAD)
    decay = (
        growth * convert(d.short_rate_scale, int256) + years * convert(d.short_rate_add, int256)
    ) // SIGNED_WAD
    short_factor: uint256 = max(((d.short_base * fixed_point._exp(decay)) >> 96) + 1, WAD)
    return (
        discount,
        long_factor * discount // WAD,
        min((short_factor * discount + WAD - 1) // WAD, WAD),
    )


@internal
@pure
def _growth(terms: uint256, years: int256) -> int256:
    """
    @notice Rate of an expiry, at least 0, times years in Q96.
    """
    return max((convert(convert(terms, bytes32), int256) << 72) >> 216, 0) * years // 10 ** 10


@internal
@pure
def _discounted(worth: int256, long_factor: uint256, short_factor: uint256) -> int256:
    return self._floor(worth * convert(long_factor if worth > 0 else short_factor, int256))


@internal
@pure
def _floor(product: int256) -> int256:
    """
    @notice A product of two WAD numbers in WAD, rounded down.
    """
    quotient: int256 = unsafe_div(product, SIGNED_WAD)
    if unsafe_mul(quotient, SIGNED_WAD) > product:
        return unsafe_sub(quotient, 1)
    return quotient


@internal
@pure
def _up(amount: uint256, ratio: uint256) -> uint256:
    return (amount * ratio + WAD - 1) // WAD


@internal
@pure
def _doubt(confidence: uint256, dollars: uint256, threshold: uint256, factor: uint256) -> uint256:
    """
    @notice Charge for figures of low confidence.
    """
    if confidence >= threshold:
        return 0
    return self._up(self._up(dollars, factor), WAD - confidence)


@internal
@view
def _greeks(
    positions: DynArray[uint256, 64],
    first: uint256,
    u: IOracle.Underlying,
    expiries: DynArray[IOracle.Expiry, 64],
    vols: DynArray[uint256, 64],
    time: uint256,
    linear: IScenarioKernel.Linear,
    use_rate: bool,
) -> IRiskEngine.Greeks:
    """
    @notice Greeks of one underlying's positions and of the collateral that moves with it.
    """
    greeks: IRiskEngine.Greeks = empty(IRiskEngine.Greeks)
    greeks.underlying = u.id
    if u.spot > 0:
        greeks.delta = convert(linear.dollars * WAD // u.spot, int256)
    key: uint256 = 0
    terms: uint256 = 0
    surface: uint256 = 0
    seconds: uint256 = 0
    forward: uint256 = 0
    root: uint256 = 0
    discount: uint256 = WAD
    for p: uint256 in range(first, len(positions), bound=64):
        word: uint256 = positions[p]
        if position._underlying(word) != u.id:
            break
        size: int256 = position._size(word)
        if position._kind(word) == position.PERPETUAL:
            greeks.delta += size * SIGNED_NANO
            continue
        if (word >> 96) & (2 ** 40 - 1) != key:
            key = (word >> 96) & (2 ** 40 - 1)
            for e: IOracle.Expiry in expiries:
                if e.terms >> 216 == key:
                    terms = e.terms
                    surface = e.surface
            forward = ((terms & (2 ** 72 - 1)) + ((terms >> 72) & (2 ** 72 - 1))) * NANO
            seconds = position._expiry(word) - time if position._expiry(word) > time else 0
            root = black76._root_years(seconds)
            if use_rate:
                discount = (
                    fixed_point._exp(
                        -self._growth(terms, convert((seconds << 96) // YEAR, int256))
                    ) * WAD
                ) >> 96
        strike: uint256 = position._strike(word) * NANO
        vol: uint256 = 0
        if len(vols) > 0:
            vol = vols[p]
        elif root > 0:
            vol = svi._deviation(
                surface, fixed_point._ln_ratio(strike, forward), seconds
            ) * WAD // root
        quote: black76.Quote = black76._quote(
            forward, strike, seconds, vol, discount, position._kind(word) == position.CALL
        )
        greeks.delta += size * quote.delta // SIGNED_NANO
        greeks.gamma += size * convert(quote.gamma, int256) // SIGNED_NANO
        greeks.vega += size * convert(quote.vega, int256) // SIGNED_NANO
        greeks.theta += size * quote.theta // SIGNED_NANO
    return greeks
