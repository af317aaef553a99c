# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Charges and factors
@license Apache-2.0
@notice What PROTOCOL 5.7 to 5.10 put around a core requirement: collateral with its haircuts, the
        charges in their three places, the factors, the long-only cap.
@dev Amounts and charges are in this order: naked short, perp, collateral, concentration; then
     haircut and confidence. Every product is rounded up.
"""
from interfaces import IOracle
from interfaces import IRiskEngine
from interfaces import IScenarioEngine
from interfaces import IScenarioKernel


# Arrays are always full, so that the encoded size is known.
struct Rules:
    ratios: DynArray[uint256, 12]       # inside, outside, initial of each amount
    haircuts: DynArray[uint256, 24]     # inside, outside, initial by asset id
    confidence_threshold: uint256
    confidence_factor: uint256
    factors: IScenarioEngine.Factors


# The scalars of IRiskEngine.Assessment.
struct Figures:
    equity: int256
    initial: uint256
    maintenance: uint256
    risk: uint256
    inside: uint256
    outside: uint256
    only_initial: uint256
    initial_factor: uint256
    option_value: int256
    collateral_value: uint256
    long_only: bool
    charges: uint256[16]


WAD: constant(uint256) = 10 ** 18
NO_UNDERLYING: constant(uint256) = 255
AMOUNTS: constant(uint256) = 4
HAIRCUT: constant(uint256) = 12
CONFIDENCE: constant(uint256) = 15

# Encoded size of Rules: an offset, the head, and the arrays with their lengths.
RULES_BYTES: constant(uint256) = 32 * (1 + 9 + 13 + 25)


@internal
@pure
def _compile(charges: IScenarioEngine.Charges, factors: IScenarioEngine.Factors) -> Rules:
    """
    @notice Charges and factors in the engine's own form, checked.
    """
    assert factors.maintenance <= factors.initial, "rulebook: initial below maintenance"
    assert factors.initial <= 10 * WAD, "rulebook: initial factor"
    assert factors.depeg_threshold <= WAD, "rulebook: depeg threshold"
    assert factors.depeg_factor <= 100 * WAD, "rulebook: depeg factor"
    assert charges.confidence_threshold <= WAD, "rulebook: confidence threshold"
    assert charges.confidence_factor <= 10 * WAD, "rulebook: confidence factor"
    r: Rules = empty(Rules)
    r.confidence_threshold = charges.confidence_threshold
    r.confidence_factor = charges.confidence_factor
    r.factors = factors
    for charge: IScenarioEngine.Charge in [
        charges.naked_short, charges.perp, charges.collateral, charges.concentration
    ]:
        for ratio: uint256 in [charge.inside, charge.outside, charge.initial]:
            assert ratio <= 10 * WAD, "rulebook: charge"
            r.ratios.append(ratio)
    for i: uint256 in range(8):
        # An asset without a haircut is worth nothing.
        charge: IScenarioEngine.Charge = IScenarioEngine.Charge(inside=0, outside=WAD, initial=0)
        if i < len(charges.haircuts):
            charge = charges.haircuts[i]
        for ratio: uint256 in [charge.inside, charge.outside, charge.initial]:
            assert ratio <= WAD, "rulebook: haircut"
            r.haircuts.append(ratio)
    return r


@internal
@pure
def _collateral(
    cash: int256,
    holdings: DynArray[IRiskEngine.Holding, 8],
    stable: uint256,
    underlyings: DynArray[IOracle.Underlying, 8],
    assets: DynArray[IOracle.Asset, 8],
    rules: Rules,
) -> (Figures, DynArray[IScenarioKernel.Linear, 8]):
    """
    @notice Figures of cash and collateral with its haircuts, and for each underlying the
            collateral that moves with it.
    """
    assert stable > 0, "engine: no price of the stablecoin"
    f: Figures = empty(Figures)
    linear: DynArray[IScenarioKernel.Linear, 8] = []
    for _: IOracle.Underlying in underlyings:
        linear.append(empty(IScenarioKernel.Linear))
    for holding: IRiskEngine.Holding in holdings:
        asset: IOracle.Asset = empty(IOracle.Asset)
        for candidate: IOracle.Asset in assets:
            if candidate.id == holding.asset:
                asset = candidate
                break
        assert asset.price > 0, "engine: market lacks an asset"
        dollars: uint256 = holding.amount * asset.price // WAD
        quote: uint256 = dollars * WAD // stable
        f.collateral_value += quote
        for k: uint256 in range(3):
            ratio: uint256 = rules.haircuts[3 * asset.id + k] if asset.id < 8 else WAD
            f.charges[HAIRCUT + k] += self._up(quote, ratio)
        if asset.underlying == NO_UNDERLYING:
            f.charges[CONFIDENCE] += self._doubt(
                asset.confidence, dollars, rules.confidence_threshold, rules.confidence_factor
            )
            continue
        found: bool = False
        for i: uint256 in range(len(underlyings), bound=8):
            if underlyings[i].id == asset.underlying:
                found = True
                linear[i].quote += quote
                linear[i].dollars += dollars
                linear[i].doubt = max(linear[i].doubt, WAD - asset.confidence)
        assert found, "engine: market lacks an underlying"
    f.equity = cash + convert(f.collateral_value, int256)
    f.long_only = cash >= 0
    return f, linear


@internal
@pure
def _doubt(confidence: uint256, dollars: uint256, threshold: uint256, factor: uint256) -> uint256:
    """
    @notice Charge for an amount whose figures have a low confidence.
    """
    if confidence >= threshold:
        return 0
    return self._up(self._up(dollars, factor), WAD - confidence)


@internal
@pure
def _require(figures: Figures, amounts: uint256[AMOUNTS], rules: Rules, stable: uint256) -> Figures:
    """
    @notice Charges and requirements, from risk, equity, amounts and the charges that are there.
    """
    f: Figures = figures
    for i: uint256 in range(AMOUNTS):
        if amounts[i] != 0:
            for k: uint256 in range(3 * i, 3 * i + 3, bound=3):
                f.charges[k] = self._up(amounts[i], rules.ratios[k])
    for k: uint256 in range(0, CONFIDENCE):
        if f.charges[k] != 0:
            if k % 3 == 0:
                f.inside += f.charges[k]
            elif k % 3 == 1:
                f.outside += f.charges[k]
            else:
                f.only_initial += f.charges[k]
    f.only_initial += f.charges[CONFIDENCE]
    f.initial_factor = rules.factors.initial
    if stable < rules.factors.depeg_threshold:
        f.initial_factor += self._up(
            rules.factors.depeg_threshold - stable, rules.factors.depeg_factor
        )
    core: uint256 = f.risk + f.inside
    f.maintenance = self._up(core, rules.factors.maintenance) + f.outside
    f.initial = self._up(core, f.initial_factor) + f.outside + f.only_initial
    if rules.factors.long_only_cap and f.long_only:
        cap: uint256 = convert(max(f.equity, 0), uint256)
        f.maintenance = min(f.maintenance, cap)
        f.initial = min(f.initial, cap)
    return f


@internal
@pure
def _describe(f: Figures) -> IRiskEngine.Assessment:
    """
    @notice The figures in the words of IRiskEngine.
    """
    a: IRiskEngine.Assessment = empty(IRiskEngine.Assessment)
    a.equity = f.equity
    a.initial = f.initial
    a.maintenance = f.maintenance
    a.risk = f.risk
    a.charge_inside = f.inside
    a.charge_outside = f.outside
    a.charge_initial = f.only_initial
    a.initial_factor = f.initial_factor
    a.option_value = f.option_value
    a.collateral_value = f.collateral_value
    for charge: uint256 in f.charges:
        a.charges.append(charge)
    return a


@internal
@pure
def _up(amount: uint256, ratio: uint256) -> uint256:
    """
    @notice A product of two WAD numbers, rounded up.
    """
    return (amount * ratio + WAD - 1) // WAD
