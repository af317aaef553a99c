# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Sensitivity engine
@license Apache-2.0
@notice Margin from aggregated greeks and a covariance matrix (PROTOCOL 6).
@dev With D the dollar deltas and W_u = Σ |vega of a bucket| of each underlying,
     R = z·√(h·(DᵀΣD + WᵀΣW + 2·|DᵀΣW|)) + Σ_u max(0, -Γ_u)·½(z·σ_u·√h)²
         + max(0, -theta)·h,
     and at least a minimum per naked short. Buckets never net and vols move the worse way.
     Assessment.charges is in the order of the scenario engine.
@custom:kill Stateless but for its rulebooks: the ClearingHouse chooses the engine of an account.
"""
from interfaces import IOracle
from interfaces import IRiskEngine
from interfaces import IScenarioKernel
from interfaces import ISensitivityEngine
from interfaces import ISensitivityKernel
from modules import charges
from modules import ownable
from modules import sensitivity_rules
from modules import versions

implements: IRiskEngine
implements: ISensitivityEngine
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
YEAR: constant(uint256) = 31_536_000
# Error of R, of gross notional: greeks are good to 1e-15 and gamma to one unit of WAD.
ERROR_SHIFT: constant(uint256) = 40

KERNEL: public(immutable(ISensitivityKernel))


@deploy
def __init__(owner: address, kernel: ISensitivityKernel):
    """
    @param owner Who publishes rulebooks.
    @param kernel Sums the greeks and checks the rulebooks.
    """
    ownable.__init__(owner)
    KERNEL = kernel


@external
def publish(
    rulebook: uint256, rules: ISensitivityEngine.Rulebook, activation: uint256, ramp: uint256
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
    data: Bytes[16384] = staticcall KERNEL.compile(rules)
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
    f: charges.Figures = self._evaluate(book, market, rulebook)
    return f.equity, f.initial if kind == IRiskEngine.Kind.INITIAL else f.maintenance


@external
@view
def margins(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> (int256, uint256, uint256):
    """
    @notice Equity, initial and maintenance margin.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @return Equity, initial and maintenance margin in WAD of quote.
    """
    f: charges.Figures = self._evaluate(book, market, rulebook)
    return f.equity, f.initial, f.maintenance


@external
@view
def prove(
    book: IRiskEngine.Book,
    market: IOracle.Market,
    rulebook: uint256,
    scenarios: DynArray[uint256, 8],
) -> (int256, uint256):
    """
    @notice Equity and maintenance margin: without scenarios there is nothing to name.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @param scenarios Not read.
    @return Equity and maintenance margin in WAD of quote.
    """
    f: charges.Figures = self._evaluate(book, market, rulebook)
    return f.equity, f.maintenance


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
    f: charges.Figures = self._evaluate(book, market, rulebook)
    a: IRiskEngine.Assessment = charges._describe(f)
    place: address = empty(address)
    old: address = empty(address)
    share: uint256 = 0
    place, old, share = versions._at(rulebook, market.time)
    linear: DynArray[IScenarioKernel.Linear, 8] = []
    f, linear = charges._collateral(
        0,
        book.holdings,
        market.stable,
        market.underlyings,
        market.assets,
        self._charges(place),
    )
    exposures: DynArray[ISensitivityKernel.Exposure, 8] = []
    exposures, a.expiry_value = staticcall KERNEL.exposures(
        book.positions, market, linear, place
    )
    for e: ISensitivityKernel.Exposure in exposures:
        a.greeks.append(e.greeks)
        a.loss_up.append(0)
        a.loss_down.append(0)
        a.basis.append(0)
        a.binding_up.append(0)
        a.binding_down.append(0)
    return a


@internal
@view
def _charges(place: address) -> charges.Rules:
    return abi_decode(
        slice(place.code, sensitivity_rules.CHARGES_START, charges.RULES_BYTES), charges.Rules
    )


@internal
@view
def _evaluate(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> charges.Figures:
    """
    @notice The margin of PROTOCOL 6; during a ramp the requirements are blended and the other
            figures are those of the new version.
    """
    place: address = empty(address)
    old: address = empty(address)
    share: uint256 = 0
    place, old, share = versions._at(rulebook, market.time)
    f: charges.Figures = empty(charges.Figures)
    initial: uint256 = 0
    maintenance: uint256 = 0
    for version: uint256 in range(2):
        rules_at: address = old if version == 0 else place
        if rules_at == empty(address):
            continue
        initial = f.initial
        maintenance = f.maintenance
        rules: charges.Rules = self._charges(rules_at)
        linear: DynArray[IScenarioKernel.Linear, 8] = []
        f, linear = charges._collateral(
            book.cash + book.unsettled,
            book.holdings,
            market.stable,
            market.underlyings,
            market.assets,
            rules,
        )
        exposures: DynArray[ISensitivityKernel.Exposure, 8] = []
        _values: DynArray[int256, 64] = []
        exposures, _values = staticcall KERNEL.exposures(book.positions, market, linear, rules_at)
        amounts: uint256[4] = empty(uint256[4])
        for e: ISensitivityKernel.Exposure in exposures:
            f.long_only = f.long_only and e.long_only
            f.option_value += e.option_value
            f.charges[charges.CONFIDENCE] += e.confidence
            for k: uint256 in range(4):
                amounts[k] += e.amounts[k]
        f.equity += f.option_value
        f.risk = self._risk(exposures, market.underlyings, rules_at)
        f = charges._require(f, amounts, rules, market.stable)
    if old != empty(address):
        f.initial = versions._blend(f.initial, initial, share)
        f.maintenance = versions._blend(f.maintenance, maintenance, share)
    return f


@internal
@view
def _risk(
    exposures: DynArray[ISensitivityKernel.Exposure, 8],
    underlyings: DynArray[IOracle.Underlying, 8],
    rules_at: address,
) -> uint256:
    """
    @notice R of PROTOCOL 6.
    """
    rules: sensitivity_rules.Engine = abi_decode(
        slice(rules_at.code, sensitivity_rules.ENGINE_START, sensitivity_rules.ENGINE_BYTES),
        sensitivity_rules.Engine,
    )
    spots: int256[8] = empty(int256[8])         # D by row of the covariance
    vols: int256[8] = empty(int256[8])          # W
    gamma_cost: uint256 = 0
    theta: int256 = 0
    least: uint256 = 0
    gross: uint256 = 0
    for i: uint256 in range(len(exposures), bound=8):
        e: ISensitivityKernel.Exposure = exposures[i]
        theta += e.theta
        gross += e.gross
        least += charges._up(e.amounts[0], rules.naked_short_minimum)
        if e.delta == 0 and e.vega == 0 and e.gamma == 0:
            continue
        row: uint256 = rules.count
        for j: uint256 in range(rules.count, bound=8):
            if rules.ids[j] == underlyings[i].id:
                row = j
        assert row < rules.count, "engine: no covariance of an underlying"
        spots[row] = e.delta
        vols[row] = convert(e.vega, int256)
        if e.gamma < 0:
            # ½(z·σ·√h)² of the dollar gamma
            variance: uint256 = convert(
                rules.covariance[2 * rules.count * row + row], uint256
            ) * rules.horizon // YEAR + 1
            move: uint256 = charges._up(
                charges._up(rules.multiplier, rules.multiplier), variance
            )
            gamma_cost += charges._up(convert(-e.gamma, uint256), move) // 2 + 1
    risk: uint256 = charges._up(self._deviation(spots, vols, rules), rules.multiplier)
    risk += gamma_cost + (gross >> ERROR_SHIFT)
    if theta < 0:
        risk += convert(-theta, uint256) * rules.horizon // YEAR + 1
    return max(risk, least)


@internal
@pure
def _deviation(spots: int256[8], vols: int256[8], rules: sensitivity_rules.Engine) -> uint256:
    """
    @notice √(h·(DᵀΣD + WᵀΣW + 2·|DᵀΣW|)), rounded up.
    """
    n: uint256 = rules.count
    largest: uint256 = 0
    for i: uint256 in range(n, bound=8):
        largest = max(largest, max(convert(abs(spots[i]), uint256), convert(vols[i], uint256)))
    if largest == 0:
        return 0
    # Exposures are scaled below 2**85 so that the quadratic form fits a signed word.
    bits: uint256 = 0
    for _: uint256 in range(171):
        if largest >> bits < 2 ** 85:
            break
        bits += 1
    total: int256 = 0
    cross: int256 = 0
    for i: uint256 in range(n, bound=8):
        for j: uint256 in range(n, bound=8):
            d: int256 = spots[i] >> bits
            w: int256 = vols[i] >> bits
            total += d * (spots[j] >> bits) * rules.covariance[2 * n * i + j]
            total += w * (vols[j] >> bits) * rules.covariance[2 * n * (n + i) + n + j]
            cross += d * (vols[j] >> bits) * rules.covariance[2 * n * i + n + j]
    variance: uint256 = convert(max(total, 0) + 2 * abs(cross), uint256)
    # √(h/WAD) with h in years: √(variance·seconds/YEAR/WAD), and what the scaling rounded off.
    return (isqrt(variance // WAD * rules.horizon // YEAR) + 2) << bits
