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
from interfaces import IScenarioEngine
from interfaces import IScenarioKernel
from modules import black76
from modules import charges
from modules import fixed_point
from modules import kernel
from modules import position
from modules import pricing
from modules import scenario_rules
from modules import svi

implements: IScenarioKernel
initializes: kernel


WAD: constant(uint256) = 10 ** 18
SIGNED_WAD: constant(int256) = 10 ** 18
NANO: constant(uint256) = 10 ** 9
SIGNED_NANO: constant(int256) = 10 ** 9
YEAR: constant(uint256) = 31_536_000
MONTH: constant(uint256) = 30 * 86_400
# Underlying, expiry and strike of a position.
STRIKE_MASK: constant(uint256) = 2 ** 136 - 256
# Underlying and expiry.
EXPIRY_MASK: constant(uint256) = 2 ** 136 - 2 ** 96


@deploy
def __init__():
    kernel.__init__()


@external
@view
def revalue(
    positions: DynArray[uint256, 64],
    first_position: uint256,
    u: IOracle.Underlying,
    time: uint256,
    expiries: DynArray[IOracle.Expiry, 64],
    first_expiry: uint256,
    vols: DynArray[uint256, 64],
    linear: IScenarioKernel.Linear,
    place: address,
    grid: IScenarioKernel.Grid,
    named: uint256,
) -> (IScenarioKernel.Outcome, DynArray[int256, 64], DynArray[int256, 40]):
    """
    @notice Losses of one underlying under the shocks, and the amounts that charges multiply.
    @dev All in one function, of one underlying: the memory of functions that call each other adds
         up, and to pass these arrays on would cost every check 4,000 gas.
    @param positions Position words of all underlyings, sorted.
    @param first_position The first that may be this underlying's.
    @param u The underlying.
    @param time The market's time.
    @param expiries Expiries of all underlyings, sorted.
    @param first_expiry The first that may be this underlying's.
    @param vols Empty, or a vol for each position.
    @param linear The collateral that moves with the underlying.
    @param place The rulebook, as `compile` returned it, in a contract's code.
    @param grid What to evaluate.
    @param named With Grid.NAMED, a scenario; the number of scenarios names the basis.
    @return Losses and amounts; with Grid.DETAIL also the value of each expiry and the profit of
            each scenario.
    """
    rules: scenario_rules.Rules = self._rules(place)
    shocks: DynArray[uint256, 43] = self._shocks(place, grid, named, rules.scenarios)
    o: IScenarioKernel.Outcome = empty(IScenarioKernel.Outcome)
    o.long_only = True
    values: DynArray[int256, 64] = []       # by expiry
    profits: int256[43] = empty(int256[43])     # by shock
    p: uint256 = first_position
    e: uint256 = first_expiry
    count: uint256 = len(positions)

    # Perpetual and collateral are linear in spot.
    perp: int256 = 0
    confidence: uint256 = min(u.spot_confidence, WAD - linear.doubt)
    if (
        p < count
        and position._kind(positions[p]) == position.PERPETUAL
        and position._underlying(positions[p]) == u.id
    ):
        perp = position._size(positions[p])
        confidence = min(confidence, u.mark_confidence)
        o.long_only = False
        p += 1
    slope: int256 = perp * convert(u.mark, int256) // SIGNED_NANO + convert(linear.quote, int256)
    delta: int256 = slope
    o.amounts[1] = convert(abs(perp), uint256) * u.spot // NANO
    o.amounts[2] = linear.dollars
    o.confidence = charges._doubt(
        confidence,
        o.amounts[1] + o.amounts[2],
        rules.confidence_threshold,
        rules.confidence_factor,
    )

    for _: uint256 in range(64):
        if p == count or position._underlying(positions[p]) != u.id:
            break
        key: uint256 = pricing._key(positions[p])
        for _skip: uint256 in range(64):
            assert e < len(expiries), "kernel: market lacks an expiry"
            if expiries[e].terms >> 216 == key:
                break
            e += 1
        expiry: pricing.Expiry = pricing._read(
            expiries[e].terms, expiries[e].surface, time
        )
        e += 1
        series: kernel.Series = self._series(expiry, rules.vol, rules.discount)
        slice_at: svi.Slice = svi._unpack(expiry.surface)

        # Options of the expiry; those of one strike (and vol) are folded into one by parity.
        options: DynArray[kernel.Option, 64] = []
        last: kernel.Option = empty(kernel.Option)
        last.strike = max_value(uint256)    # none yet
        size: uint256 = 0
        naked: uint256 = 0
        net: int256 = 0
        for _next: uint256 in range(64):
            word: uint256 = positions[p]
            q: int256 = position._size(word)
            units: uint256 = convert(abs(q), uint256)
            strike: uint256 = position._strike(word) * NANO
            if last.strike != strike:
                assert strike < position.MAX_STRIKE * NANO, "kernel: strike"
                last = kernel.Option(size=0, strike=strike, x=kernel.FREE, v=0)
                if strike != 0:
                    x: int256 = fixed_point._ln_ratio(expiry.forward, strike)
                    last.x = x >> 32
                    if len(vols) == 0:
                        last.v = svi._deviation(slice_at, -x, expiry.seconds) >> 32
            if len(vols) > 0:
                assert vols[p] <= black76.MAX_VOL, "kernel: vol"
                v: uint256 = vols[p] * (expiry.root >> 32) // WAD
                if last.size != 0 and last.v != v:
                    options.append(last)
                    last.size = 0
                last.v = v
            assert units < position.MAX_SIZE, "kernel: size"
            # Of 64 sizes below 2**80 and strikes below 2**100 no sum comes near 2**255.
            size = unsafe_add(size, units)
            net = unsafe_add(net, q)
            last.size = unsafe_add(last.size, q)
            if q < 0:
                o.long_only = False
            kind: uint256 = position._kind(word)
            if kind == position.PUT:
                series.puts = unsafe_add(series.puts, q)
                series.puts_strike = unsafe_add(
                    series.puts_strike, unsafe_mul(q, convert(strike, int256))
                )
            else:
                assert kind == position.CALL, "kernel: kind"
            p += 1
            after: uint256 = positions[p] if p < count else 0
            if (after ^ word) & STRIKE_MASK != 0:
                options.append(last)
                if net < 0:
                    naked += convert(-net, uint256)
                net = 0
                if (after ^ word) & EXPIRY_MASK != 0:
                    break
        if rules.concentrated:
            delta += kernel._delta(options, series)

        low: int256 = 0
        worst: uint256 = 0
        low, worst, profits = kernel._revalue(options, series, shocks, rules.reach, profits)
        o.option_value += low
        if grid == IScenarioKernel.Grid.DETAIL:
            values.append(low)
        o.basis += charges._up(
            worst, rules.basis_add + rules.basis_time * expiry.seconds // YEAR
        )
        o.amounts[0] += naked * u.spot // NANO
        o.confidence += charges._doubt(
            min(u.spot_confidence, expiry.confidence),
            size * u.spot // NANO,
            rules.confidence_threshold,
            rules.confidence_factor,
        )

    size: uint256 = convert(abs(delta), uint256)
    if size > rules.concentration_threshold:
        o.amounts[3] = size - rules.concentration_threshold
    detail: bool = grid == IScenarioKernel.Grid.DETAIL
    weighted: int256[40] = empty(int256[40])
    o.up, o.down, o.binding_up, o.binding_down, weighted = kernel._weigh(
        shocks, profits, slope, o.basis, rules.scenarios, detail
    )
    o.next_position = p
    o.next_expiry = e
    by_number: DynArray[int256, 40] = []
    if detail:
        for number: uint256 in range(rules.scenarios, bound=40):
            by_number.append(weighted[number])
    return o, values, by_number


@internal
@view
def _rules(place: address) -> scenario_rules.Rules:
    return abi_decode(
        slice(place.code, scenario_rules.RULES_START, scenario_rules.RULES_BYTES),
        scenario_rules.Rules,
    )


@internal
@view
def _shocks(
    place: address, grid: IScenarioKernel.Grid, named: uint256, scenarios: uint256
) -> DynArray[uint256, 43]:
    """
    @notice The shocks of a grid.
    """
    start: uint256 = scenario_rules.FULL_START
    if grid == IScenarioKernel.Grid.BOUND:
        start = scenario_rules.BOUND_START
    shocks: DynArray[uint256, 43] = abi_decode(
        slice(place.code, start, scenario_rules.GRID_BYTES), DynArray[uint256, 43]
    )
    if grid == IScenarioKernel.Grid.NAMED:
        return self._named(shocks, named, scenarios)
    return shocks


@internal
@pure
def _named(
    shocks: DynArray[uint256, 43], number: uint256, count: uint256
) -> DynArray[uint256, 43]:
    """
    @notice The unshocked market and the shocks of one scenario, or of the basis.
    """
    chosen: DynArray[uint256, 43] = []
    for s: uint256 in range(len(shocks), bound=43):
        shock: uint256 = shocks[s]
        if number < count:
            shock = shock & (max_value(uint256) - kernel.BASIS)
            if (shock >> kernel.NUMBER_SHIFT) & 255 != number:
                shock = shock & (max_value(uint256) - kernel.SCENARIO)
        else:
            shock = shock & (max_value(uint256) - kernel.SCENARIO)
        if s == 0 or shock & (kernel.SCENARIO | kernel.BASIS) != 0:
            chosen.append(shock)
    return chosen


@internal
@pure
def _series(
    expiry: pricing.Expiry, vol: IScenarioEngine.Vol, d: IScenarioEngine.Discount
) -> kernel.Series:
    """
    @notice An expiry's forward, vol shocks (PROTOCOL 5.2) and discounts (PROTOCOL 5.3).
    """
    root: uint256 = expiry.root >> 32
    power: uint256 = vol.short_power if expiry.seconds <= MONTH else vol.long_power
    # (30 days / max(t, floor))**power, Q64
    stretch: uint256 = fixed_point._exp(
        fixed_point._ln_ratio(MONTH, max(expiry.seconds, vol.time_floor)) * convert(power, int256)
        // SIGNED_WAD
    ) >> 32
    fall: uint256 = vol.range_down * stretch // WAD
    discount: uint256 = pricing._discount(expiry) if d.use_rate else WAD
    years: int256 = convert((expiry.seconds << 96) // YEAR, int256)
    long_factor: uint256 = self._decayed(
        d.long_base, -self._exponent(expiry.growth, years, d.long_rate_scale, d.long_rate_add)
    )
    short_factor: uint256 = WAD
    if discount < WAD:
        # A short is marked up, but never above its undiscounted value.
        short_factor = 1 + self._decayed(
            d.short_base, self._exponent(expiry.growth, years, d.short_rate_scale, d.short_rate_add)
        )
    return kernel.Series(
        forward=expiry.forward,
        moving=expiry.moving,
        fixed=expiry.fixed,
        puts=0,
        puts_strike=0,
        scale_up=2 ** 64 + vol.range_up * stretch // WAD,
        scale_down=2 ** 64 - fall if fall < 2 ** 64 else 0,
        floor_up=vol.floor_up * root // WAD,
        floor_down=vol.floor_down * root // WAD,
        discount=convert(discount, int256),
        long_factor=convert(min(long_factor, WAD) * discount // WAD, int256),
        short_factor=convert(
            min((max(short_factor, WAD) * discount + WAD - 1) // WAD, WAD), int256
        ),
    )


@internal
@pure
def _exponent(growth: int256, years: int256, scale: uint256, add: uint256) -> int256:
    """
    @notice t·(rate·scale + add), Q96.
    """
    return (growth * convert(scale, int256) + years * convert(add, int256)) // SIGNED_WAD


@internal
@pure
def _decayed(base: uint256, exponent: int256) -> uint256:
    """
    @notice base·exp(exponent), WAD.
    """
    if exponent == 0:
        return base
    return (base * fixed_point._exp(exponent)) >> 96
