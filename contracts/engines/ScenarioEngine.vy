# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Scenario engine
@license Apache-2.0
@notice Portfolio margin by full revaluation under the scenarios of a rulebook (PROTOCOL 5).
@dev Assessment.charges holds three figures a charge (inside, outside, initial): naked short, perp,
     collateral, concentration, haircut; then the confidence charge, which is initial only.
@custom:kill Stateless but for its rulebooks: the ClearingHouse chooses the engine of an account.
"""
from interfaces import IOracle
from interfaces import IRiskEngine
from interfaces import IScenarioEngine
from interfaces import IScenarioKernel
from interfaces import IScenarioRules
from modules import charges
from modules import ownable
from modules import scenario_rules
from modules import versions

implements: IRiskEngine
implements: IScenarioEngine
initializes: ownable
initializes: versions

exports: (
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
    versions.version_count,
    versions.version,
)


WAD: constant(uint256) = 10 ** 18

KERNEL: public(immutable(IScenarioKernel))
RULES: public(immutable(IScenarioRules))


@deploy
def __init__(owner: address, kernel: IScenarioKernel, rules: IScenarioRules):
    """
    @param owner Who publishes rulebooks.
    @param kernel Revalues the books.
    @param rules Checks and compiles the rulebooks.
    """
    ownable.__init__(owner)
    KERNEL = kernel
    RULES = rules


@external
def publish(
    rulebook: uint256, rules: IScenarioEngine.Rulebook, activation: uint256, ramp: uint256
):
    """
    @notice Publish a version of a rulebook; from `activation` on, its requirements replace those of
            the version before linearly over `ramp` seconds.
    @param rulebook Number of the rulebook.
    @param rules The rules, validated here.
    @param activation Unix time from which the version applies.
    @param ramp Seconds over which it replaces the version before.
    """
    ownable._check_owner()
    data: Bytes[16384] = staticcall RULES.compile(rules)
    versions._publish(rulebook, data, activation, ramp)


@external
@view
def check(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256, kind: IRiskEngine.Kind
) -> (int256, uint256):
    """
    @notice Equity and requirement, for a gate.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @param kind Initial or maintenance.
    @return Equity and requirement in WAD of quote.
    """
    assert kind == IRiskEngine.Kind.INITIAL or kind == IRiskEngine.Kind.MAINTENANCE, "engine: kind"
    a: IRiskEngine.Assessment = self._assess(
        book, market, rulebook, IScenarioKernel.Grid.FULL, [], False
    )
    return a.equity, a.initial if kind == IRiskEngine.Kind.INITIAL else a.maintenance


@external
@view
def margins(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> (int256, uint256, uint256):
    """
    @notice Equity, initial and maintenance margin, always in full.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @return Equity, initial and maintenance margin in WAD of quote.
    """
    a: IRiskEngine.Assessment = self._assess(
        book, market, rulebook, IScenarioKernel.Grid.FULL, [], False
    )
    return a.equity, a.initial, a.maintenance


@external
@view
def prove(
    book: IRiskEngine.Book,
    market: IOracle.Market,
    rulebook: uint256,
    scenarios: DynArray[uint256, 8],
) -> (int256, uint256):
    """
    @notice Equity and a lower bound of maintenance margin from one scenario per underlying.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @param scenarios A scenario for each of the market's underlyings; the number of scenarios names
           the basis.
    @return Equity and lower bound in WAD of quote.
    """
    assert len(scenarios) == len(market.underlyings), "engine: one scenario per underlying"
    a: IRiskEngine.Assessment = self._assess(
        book, market, rulebook, IScenarioKernel.Grid.NAMED, scenarios, False
    )
    return a.equity, a.maintenance


@external
@view
def assess(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> IRiskEngine.Assessment:
    """
    @notice Every intermediate figure, for views. During a ramp the margins are blended and all
            other figures are those of the new version.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @return The figures.
    """
    return self._assess(book, market, rulebook, IScenarioKernel.Grid.FULL, [], True)


@internal
@view
def _assess(
    book: IRiskEngine.Book,
    market: IOracle.Market,
    rulebook: uint256,
    grid: IScenarioKernel.Grid,
    named: DynArray[uint256, 8],
    detail: bool,
) -> IRiskEngine.Assessment:
    """
    @notice The assessment, its margins blended during a ramp.
    """
    place: address = empty(address)
    old: address = empty(address)
    share: uint256 = 0
    place, old, share = versions._at(rulebook, market.time)
    a: IRiskEngine.Assessment = empty(IRiskEngine.Assessment)
    if old != empty(address):
        a = self._evaluate(book, market, old, grid, named, False)
    initial: uint256 = a.initial
    maintenance: uint256 = a.maintenance
    a = self._evaluate(book, market, place, grid, named, detail)
    if old != empty(address):
        a.initial = versions._blend(a.initial, initial, share)
        a.maintenance = versions._blend(a.maintenance, maintenance, share)
    return a


@internal
@view
def _evaluate(
    book: IRiskEngine.Book,
    market: IOracle.Market,
    place: address,
    grid: IScenarioKernel.Grid,
    named: DynArray[uint256, 8],
    detail: bool,
) -> IRiskEngine.Assessment:
    """
    @notice The margin of PROTOCOL 5 under one version of a rulebook.
    @dev With scenarios named, only these are evaluated and the margins are lower bounds.
    """
    rules: charges.Rules = abi_decode(
        slice(place.code, scenario_rules.CHARGES_START, charges.RULES_BYTES), charges.Rules
    )
    collateral: charges.Collateral = charges._collateral(book.holdings, market, rules)
    a: IRiskEngine.Assessment = empty(IRiskEngine.Assessment)
    a.charges = collateral.charges
    a.collateral_value = collateral.worth
    a.equity = book.cash + book.unsettled
    long_only: bool = a.equity >= 0

    amounts: uint256[4] = empty(uint256[4])
    outcomes: DynArray[IScenarioKernel.Outcome, 8] = staticcall KERNEL.revalue(
        book.positions, market, collateral.linear, place, grid, named
    )
    for o: IScenarioKernel.Outcome in outcomes:
        long_only = long_only and o.long_only
        a.option_value += o.option_value
        a.loss_up.append(o.up)
        a.loss_down.append(o.down)
        a.basis.append(o.basis)
        a.binding_up.append(o.binding_up)
        a.binding_down.append(o.binding_down)
        a.charges[15] += o.confidence
        for k: uint256 in range(4):
            amounts[k] += o.amounts[k]
    a.equity += convert(a.collateral_value, int256) + a.option_value

    a.risk = self._combine(market.underlyings, a.loss_up, a.loss_down, place)
    if detail:
        d: IScenarioKernel.Detail = staticcall KERNEL.detail(
            book.positions, market, collateral.linear, place
        )
        a.greeks = d.greeks
        a.expiry_value = d.expiry_value
        a.scenario_pnl = d.scenario_pnl
    return charges._require(a, amounts, rules, market.stable, long_only)


@internal
@view
def _combine(
    underlyings: DynArray[IOracle.Underlying, 8],
    up: DynArray[uint256, 8],
    down: DynArray[uint256, 8],
    place: address,
) -> uint256:
    """
    @notice R of PROTOCOL 5.6. An underlying that the rulebook does not list adds its loss in full.
    """
    losing: uint256 = 0
    alone: uint256 = 0
    for i: uint256 in range(len(up), bound=8):
        if max(up[i], down[i]) > 0:
            losing += 1
            alone += max(up[i], down[i])
    if losing <= 1:
        return alone

    m: scenario_rules.Matrices = abi_decode(
        slice(place.code, scenario_rules.MATRICES_START, scenario_rules.MATRICES_BYTES), scenario_rules.Matrices
    )
    alone = 0
    total: uint256 = 0
    largest: uint256 = 0
    n: uint256 = 0
    rows: uint256[8] = empty(uint256[8])
    ups: uint256[8] = empty(uint256[8])
    downs: uint256[8] = empty(uint256[8])
    for i: uint256 in range(len(up), bound=8):
        worst: uint256 = max(up[i], down[i])
        row: uint256 = m.size
        for j: uint256 in range(m.size, bound=8):
            if m.ids[j] == underlyings[i].id:
                row = j
        if row == m.size:
            alone += worst
        elif worst > 0:
            rows[n] = row
            ups[n] = up[i]
            downs[n] = down[i]
            total += worst
            largest = max(largest, worst)
            n += 1
    # Losses are scaled below 2**90 so that the quadratic form fits a signed word.
    bits: uint256 = 0
    for _: uint256 in range(166):
        if largest >> bits < 2 ** 90:
            break
        bits += 1
    square: int256 = 0
    for vertex: uint256 in range(2 ** n, bound=256):
        y: int256[8] = empty(int256[8])
        for j: uint256 in range(n, bound=8):
            if (vertex >> j) & 1 == 0:
                y[j] = convert((ups[j] >> bits) + 1, int256)
            else:
                y[j] = -convert((downs[j] >> bits) + 1, int256)
        low: int256 = 0
        high: int256 = 0
        for j: uint256 in range(n, bound=8):
            for k: uint256 in range(n, bound=8):
                product: int256 = unsafe_mul(y[j], y[k])
                cell: uint256 = unsafe_add(unsafe_mul(8, rows[j]), rows[k])
                low = unsafe_add(low, unsafe_mul(product, m.low[cell]))
                high = unsafe_add(high, unsafe_mul(product, m.high[cell]))
        square = max(square, max(low, high))
    root: uint256 = (isqrt(convert(square, uint256) // WAD) + 1) << bits
    return alone + max(max(charges._up(total, m.floor), largest), min(root, total))
