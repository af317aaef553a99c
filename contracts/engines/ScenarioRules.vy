# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Scenario rules
@license Apache-2.0
@notice Checks a rulebook of the scenario engine, puts it into the form that the engine reads, and
        holds the correlation factor, which few checks need.
@custom:kill Stateless: nothing to stop.
"""
from interfaces import IScenarioEngine
from interfaces import IScenarioRules
from modules import charges
from modules import correlation as correlation_factor
from modules import fixed_point
from modules import kernel
from modules import matrices
from modules import scenario_rules

implements: IScenarioRules


WAD: constant(uint256) = 10 ** 18
NO_UNDERLYING: constant(uint256) = 255
YEAR: constant(uint256) = 31_536_000


@external
@view
def compile(rules: IScenarioEngine.Rulebook) -> Bytes[16384]:
    """
    @notice The rulebook in the form that kernel and engine read, its parameters checked.
    @param rules The rulebook.
    @return Charges and factors, correlation matrices, rules of the kernel, the two grids.
    """
    return concat(
        abi_encode(charges._compile(rules.charges, rules.factors)),
        abi_encode(self._matrices(rules.correlation)),
        abi_encode(self._compile(rules)),
        self._filled(self._full_grid(rules)),
        self._filled(self._bound_grid(rules)),
    )


@external
@view
def combine(
    ids: DynArray[uint256, 8],
    up: DynArray[uint256, 8],
    down: DynArray[uint256, 8],
    rules: address,
) -> uint256:
    """
    @notice R of PROTOCOL 5.6 from the losses of several underlyings.
    @param ids The underlyings.
    @param up L+ of each.
    @param down L- of each.
    @param rules The rulebook, as `compile` returned it, in a contract's code.
    @return R in WAD of quote, rounded up.
    """
    return correlation_factor._combine(
        ids,
        up,
        down,
        abi_decode(
            slice(rules.code, scenario_rules.MATRICES_START, scenario_rules.MATRICES_BYTES),
            correlation_factor.Matrices,
        ),
    )


@internal
@pure
def _compile(rules: IScenarioEngine.Rulebook) -> scenario_rules.Rules:
    """
    @notice The rulebook in the engine's own form, its parameters checked.
    """
    self._check(rules)
    r: scenario_rules.Rules = empty(scenario_rules.Rules)
    r.scenarios = len(rules.scenarios)
    r.vol = rules.vol
    r.discount = rules.discount
    r.basis_add = rules.basis.add_factor
    r.basis_time = rules.basis.time_factor
    r.concentration_threshold = rules.charges.concentration_threshold
    r.concentrated = (
        rules.charges.concentration.inside
        + rules.charges.concentration.outside
        + rules.charges.concentration.initial
        > 0
    )
    r.confidence_threshold = rules.charges.confidence_threshold
    r.confidence_factor = rules.charges.confidence_factor
    r.reach = max(self._distance(rules.basis.up), self._distance(rules.basis.down))
    for s: IScenarioEngine.Scenario in rules.scenarios:
        r.reach = max(r.reach, self._distance(s.spot))
    return r


@internal
@pure
def _distance(spot: uint256) -> uint256:
    """
    @notice |ln| of a spot multiplier, Q64, rounded up.
    """
    self._check_spot(spot)
    return convert(abs(fixed_point._ln_ratio(spot, WAD)), uint256) // 2 ** 32 + 1


@internal
@pure
def _full_grid(rules: IScenarioEngine.Rulebook) -> DynArray[uint256, 43]:
    """
    @notice The unshocked market first, then the basis, then the scenarios by direction of vol, so
            that the kernel prepares the options once a direction. A scenario without a change of
            vol may be one of the first three.
    """
    count: uint256 = len(rules.scenarios)
    shocks: DynArray[uint256, 43] = [
        self._shock(WAD, kernel.UNCHANGED, WAD),
        self._shock(rules.basis.up, kernel.UNCHANGED, WAD) | kernel.BASIS,
        self._shock(rules.basis.down, kernel.UNCHANGED, WAD) | kernel.BASIS,
    ]
    for vol: uint256 in range(3):
        for i: uint256 in range(count, bound=40):
            s: IScenarioEngine.Scenario = rules.scenarios[i]
            if s.vol != vol:
                continue
            mine: uint256 = kernel.SCENARIO | i << kernel.NUMBER_SHIFT
            shared: bool = False
            for k: uint256 in range(3):
                first: uint256 = shocks[k]
                if (
                    vol == 0
                    and s.weight == WAD
                    and not shared
                    and first & kernel.SCENARIO == 0
                    and first & kernel.LOW_64 == s.spot
                ):
                    shocks[k] = first | mine
                    shared = True
            if not shared:
                shocks.append(self._shock(s.spot, 1 << vol, s.weight) | mine)
    return shocks


@internal
@pure
def _bound_grid(rules: IScenarioEngine.Rulebook) -> DynArray[uint256, 43]:
    """
    @notice One shock a spot with the directions of all its scenarios and their largest weight; the
            basis is bounded by the scenarios at its spots, if their vols include today's.
    """
    count: uint256 = len(rules.scenarios)
    shocks: DynArray[uint256, 43] = [self._shock(WAD, kernel.UNCHANGED, WAD)]
    for mask: uint256 in range(1, 8):
        for i: uint256 in range(count, bound=40):
            spot: uint256 = rules.scenarios[i].spot
            directions: uint256 = 0
            weight: uint256 = 0
            first: bool = True
            for j: uint256 in range(count, bound=40):
                s: IScenarioEngine.Scenario = rules.scenarios[j]
                if s.spot == spot:
                    directions = directions | 1 << s.vol
                    weight = max(weight, s.weight)
                    first = first and j >= i
            if first and directions == mask:
                shock: uint256 = self._shock(spot, mask, weight) | kernel.SCENARIO
                if mask & kernel.UNCHANGED != 0 and (spot == rules.basis.up or spot == rules.basis.down):
                    shock = shock | kernel.BASIS
                shocks.append(shock)
    for spot: uint256 in [rules.basis.up, rules.basis.down]:
        covered: bool = False
        for shock: uint256 in shocks:
            covered = covered or (shock & kernel.BASIS != 0 and shock & kernel.LOW_64 == spot)
        if not covered:
            shocks.append(self._shock(spot, kernel.UNCHANGED, WAD) | kernel.BASIS)
    return shocks


@internal
@pure
def _filled(shocks: DynArray[uint256, 43]) -> Bytes[scenario_rules.GRID_BYTES]:
    """
    @notice An encoded grid, filled up with zeros to a known size.
    """
    filler: DynArray[uint256, 43] = []
    for _: uint256 in range(43):
        if len(filler) + len(shocks) < 43:
            filler.append(0)
    return slice(
        concat(abi_encode(shocks), abi_encode(filler)), 0, scenario_rules.GRID_BYTES
    )


@internal
@pure
def _check(rules: IScenarioEngine.Rulebook):
    """
    @notice Revert unless every parameter is within its bounds.
    """
    assert len(rules.scenarios) > 0, "rulebook: no scenarios"
    for s: IScenarioEngine.Scenario in rules.scenarios:
        assert s.vol < 3, "rulebook: vol direction"
        assert s.weight <= 4 * WAD, "rulebook: weight"
    vol: IScenarioEngine.Vol = rules.vol
    assert vol.range_up <= 10 * WAD and vol.range_down <= 10 * WAD, "rulebook: vol range"
    assert vol.short_power <= WAD and vol.long_power <= WAD, "rulebook: vol power"
    assert 0 < vol.time_floor and vol.time_floor <= YEAR, "rulebook: time floor"
    assert vol.floor_up <= 10 * WAD and vol.floor_down <= 10 * WAD, "rulebook: vol floor"
    discount: IScenarioEngine.Discount = rules.discount
    assert discount.long_base <= WAD, "rulebook: long discount above 1"
    assert WAD <= discount.short_base, "rulebook: short mark-up below 1"
    assert discount.short_base <= 10 * WAD, "rulebook: short mark-up"
    assert max(discount.long_rate_scale, discount.short_rate_scale) <= 10 * WAD, "rulebook: rate scale"
    assert max(discount.long_rate_add, discount.short_rate_add) <= 10 * WAD, "rulebook: rate add"
    assert WAD <= rules.basis.up and rules.basis.up <= 2 * WAD, "rulebook: basis up"
    assert WAD // 2 <= rules.basis.down and rules.basis.down <= WAD, "rulebook: basis down"
    assert rules.basis.add_factor <= 10 * WAD, "rulebook: basis factor"
    assert rules.basis.time_factor <= 10 * WAD, "rulebook: basis factor"


@internal
@pure
def _shock(spot: uint256, mask: uint256, weight: uint256) -> uint256:
    """
    @notice A shock as the kernel reads it.
    """
    self._check_spot(spot)
    return (
        convert(convert(fixed_point._ln_ratio(spot, WAD) >> 32, bytes32), uint256) << 184
        | mask << 128
        | weight << 64
        | spot
    )


@internal
@pure
def _check_spot(spot: uint256):
    assert WAD // 100 <= spot and spot <= 16 * WAD, "rulebook: spot multiplier"


@internal
@pure
def _matrices(correlation: IScenarioEngine.Correlation) -> correlation_factor.Matrices:
    """
    @notice The correlation matrices, checked, in rows of 8.
    """
    m: correlation_factor.Matrices = empty(correlation_factor.Matrices)
    size: uint256 = len(correlation.ids)
    assert correlation.floor <= WAD, "rulebook: floor"
    matrices._check_ids(correlation.ids)
    matrices._check_correlation(correlation.low, size)
    matrices._check_correlation(correlation.high, size)
    m.size = size
    m.floor = correlation.floor
    for i: uint256 in range(8):
        m.ids.append(correlation.ids[i] if i < size else NO_UNDERLYING)
        for j: uint256 in range(8):
            inside: bool = i < size and j < size
            m.low.append(correlation.low[i * size + j] if inside else 0)
            m.high.append(correlation.high[i * size + j] if inside else 0)
    return m
