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
from modules import greeks
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


# IScenarioKernel.revalue, of whose answer a gate needs and makes room for the first part alone.
interface Losses:
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
    ) -> IScenarioKernel.Outcome: view


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
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    requirement: uint256 = 0
    for grid: IScenarioKernel.Grid in [IScenarioKernel.Grid.BOUND, IScenarioKernel.Grid.FULL]:
        equity, initial, maintenance = self._evaluate(book, market, rulebook, grid, [])
        requirement = initial if kind == IRiskEngine.Kind.INITIAL else maintenance
        if equity >= convert(requirement, int256):
            break
    return equity, requirement


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
    return self._evaluate(book, market, rulebook, IScenarioKernel.Grid.FULL, [])


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
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    equity, initial, maintenance = self._evaluate(
        book, market, rulebook, IScenarioKernel.Grid.NAMED, scenarios
    )
    return equity, maintenance


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
    place: address = empty(address)
    old: address = empty(address)
    share: uint256 = 0
    place, old, share = versions._at(rulebook, market.time)
    rules: charges.Rules = self._rules(place)
    f: charges.Figures = empty(charges.Figures)
    linear: DynArray[IScenarioKernel.Linear, 8] = []
    f, linear = charges._collateral(
        book.cash + book.unsettled,
        book.holdings,
        market.stable,
        market.underlyings,
        market.assets,
        rules,
    )

    # As `_evaluate` does, whose memory every gate pays for and which therefore keeps no outcomes.
    outcomes: DynArray[IScenarioKernel.Outcome, 8] = []
    values: DynArray[int256, 64] = []
    pnl: DynArray[int256, 320] = []
    amounts: uint256[4] = empty(uint256[4])
    ups: DynArray[uint256, 8] = []
    downs: DynArray[uint256, 8] = []
    losing: uint256 = 0
    p: uint256 = 0
    e: uint256 = 0
    for i: uint256 in range(len(market.underlyings), bound=8):
        o: IScenarioKernel.Outcome = empty(IScenarioKernel.Outcome)
        by_expiry: DynArray[int256, 64] = []
        by_scenario: DynArray[int256, 40] = []
        o, by_expiry, by_scenario = staticcall KERNEL.revalue(
            book.positions,
            p,
            market.underlyings[i],
            market.time,
            market.expiries,
            e,
            market.vols,
            linear[i],
            place,
            IScenarioKernel.Grid.DETAIL,
            0,
        )
        p = o.next_position
        e = o.next_expiry
        outcomes.append(o)
        for value: int256 in by_expiry:
            values.append(value)
        for profit: int256 in by_scenario:
            pnl.append(profit)
        f.long_only = f.long_only and o.long_only
        f.option_value += o.option_value
        f.charges[charges.CONFIDENCE] += o.confidence
        for k: uint256 in range(4):
            amounts[k] += o.amounts[k]
        ups.append(o.up)
        downs.append(o.down)
        worst: uint256 = max(o.up, o.down)
        f.risk += worst
        if worst > 0:
            losing += 1
    assert p == len(book.positions), "engine: market lacks an underlying"
    f.equity += f.option_value
    if losing > 1:
        f.risk = self._combine(market.underlyings, ups, downs, place)
    f = charges._require(f, amounts, rules, market.stable)
    if old != empty(address):
        f.equity, f.initial, f.maintenance = self._evaluate(
            book, market, rulebook, IScenarioKernel.Grid.FULL, []
        )

    a: IRiskEngine.Assessment = charges._describe(f)
    use_rate: bool = abi_decode(
        slice(place.code, scenario_rules.RULES_START, scenario_rules.RULES_BYTES),
        scenario_rules.Rules,
    ).discount.use_rate
    for i: uint256 in range(len(market.underlyings), bound=8):
        a.greeks.append(
            greeks._of(book.positions, market.underlyings[i], market, linear[i], use_rate)
        )
    a.loss_up = ups
    a.loss_down = downs
    a.expiry_value = values
    a.scenario_pnl = pnl
    for o: IScenarioKernel.Outcome in outcomes:
        a.basis.append(o.basis)
        a.binding_up.append(o.binding_up)
        a.binding_down.append(o.binding_down)
    return a


@internal
@view
def _rules(place: address) -> charges.Rules:
    return abi_decode(slice(place.code, 1, charges.RULES_BYTES), charges.Rules)


@internal
@view
def _evaluate(
    book: IRiskEngine.Book,
    market: IOracle.Market,
    rulebook: uint256,
    grid: IScenarioKernel.Grid,
    named: DynArray[uint256, 8],
) -> (int256, uint256, uint256):
    """
    @notice Equity, initial and maintenance margin of PROTOCOL 5; during a ramp the requirements are
            blended.
    @dev Under Grid.BOUND requirements are upper bounds, under Grid.NAMED lower bounds.
    """
    place: address = empty(address)
    old: address = empty(address)
    share: uint256 = 0
    place, old, share = versions._at(rulebook, market.time)
    equity: int256 = 0
    initial: uint256 = 0
    maintenance: uint256 = 0
    for rules_at: address in [old, place]:
        if rules_at == empty(address):
            continue
        rules: charges.Rules = self._rules(rules_at)
        f: charges.Figures = empty(charges.Figures)
        linear: DynArray[IScenarioKernel.Linear, 8] = []
        f, linear = charges._collateral(
            book.cash + book.unsettled,
            book.holdings,
            market.stable,
            market.underlyings,
            market.assets,
            rules,
        )
        amounts: uint256[4] = empty(uint256[4])
        ups: DynArray[uint256, 8] = []
        downs: DynArray[uint256, 8] = []
        losing: uint256 = 0
        p: uint256 = 0
        e: uint256 = 0
        for i: uint256 in range(len(market.underlyings), bound=8):
            o: IScenarioKernel.Outcome = staticcall Losses(KERNEL.address).revalue(
                book.positions,
                p,
                market.underlyings[i],
                market.time,
                market.expiries,
                e,
                market.vols,
                linear[i],
                rules_at,
                grid,
                named[i] if grid == IScenarioKernel.Grid.NAMED else 0,
            )
            p = o.next_position
            e = o.next_expiry
            f.long_only = f.long_only and o.long_only
            f.option_value += o.option_value
            f.charges[charges.CONFIDENCE] += o.confidence
            for k: uint256 in range(4):
                amounts[k] += o.amounts[k]
            ups.append(o.up)
            downs.append(o.down)
            worst: uint256 = max(o.up, o.down)
            f.risk += worst
            if worst > 0:
                losing += 1
        assert p == len(book.positions), "engine: market lacks an underlying"
        f.equity += f.option_value
        # The sum of losses bounds R, and is R of one underlying.
        if losing > 1 and grid != IScenarioKernel.Grid.BOUND:
            f.risk = self._combine(market.underlyings, ups, downs, rules_at)
        f = charges._require(f, amounts, rules, market.stable)
        equity = f.equity
        if rules_at == place and old != empty(address):
            initial = versions._blend(f.initial, initial, share)
            maintenance = versions._blend(f.maintenance, maintenance, share)
        else:
            initial = f.initial
            maintenance = f.maintenance
    return equity, initial, maintenance


@internal
@view
def _combine(
    underlyings: DynArray[IOracle.Underlying, 8],
    ups: DynArray[uint256, 8],
    downs: DynArray[uint256, 8],
    rules_at: address,
) -> uint256:
    """
    @notice R of PROTOCOL 5.6.
    """
    ids: DynArray[uint256, 8] = []
    for u: IOracle.Underlying in underlyings:
        ids.append(u.id)
    return staticcall RULES.combine(ids, ups, downs, rules_at)
