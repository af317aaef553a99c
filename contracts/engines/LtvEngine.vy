# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
"""
@title Loan-to-value engine
@license Apache-2.0
@notice Static isolated loan-to-value (PROTOCOL 7): no netting and no portfolio view.
@dev Written as a requirement against the equity that every engine shares: what may not be lent
     against is required, and so are long options whole.
@custom:kill Stateless but for its rulebooks: the ClearingHouse chooses the engine of an account.
"""
from interfaces import ILtvEngine
from interfaces import IOracle
from interfaces import IRiskEngine
from modules import black76
from modules import ownable
from modules import position
from modules import pricing
from modules import versions

implements: ILtvEngine
implements: IRiskEngine
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


# The array is always full, so that the encoded size is known.
struct Rules:
    collateral: DynArray[ILtvEngine.Pair, 8]
    perp: ILtvEngine.Pair
    short_option: ILtvEngine.Pair


WAD: constant(uint256) = 10 ** 18
NANO: constant(uint256) = 10 ** 9
SIGNED_NANO: constant(int256) = 10 ** 9
RULES_BYTES: constant(uint256) = 32 * (1 + 5 + 17)


@deploy
def __init__(owner: address):
    """
    @param owner Who publishes rulebooks.
    """
    ownable.__init__(owner)


@external
def publish(rulebook: uint256, rules: ILtvEngine.Rulebook, activation: uint256, ramp: uint256):
    """
    @notice Publish a version of a rulebook; from `activation` on, its requirements replace those of
            the version before linearly over `ramp` seconds.
    @param rulebook Number of the rulebook.
    @param rules The rules, validated here.
    @param activation Unix time from which the version applies.
    @param ramp Seconds over which it replaces the version before.
    """
    ownable._check_owner()
    for pair: ILtvEngine.Pair in [rules.perp, rules.short_option]:
        assert pair.maintenance <= pair.initial, "rulebook: initial below maintenance"
        assert pair.initial <= 10 * WAD, "rulebook: ratio"
    collateral: DynArray[ILtvEngine.Pair, 8] = rules.collateral
    for pair: ILtvEngine.Pair in rules.collateral:
        assert pair.initial <= pair.maintenance, "rulebook: initial below maintenance"
        assert pair.maintenance <= WAD, "rulebook: loan-to-value"
    for _: uint256 in range(8):
        if len(collateral) < 8:
            collateral.append(empty(ILtvEngine.Pair))
    versions._publish(
        rulebook,
        abi_encode(
            Rules(collateral=collateral, perp=rules.perp, short_option=rules.short_option)
        ),
        activation,
        ramp,
    )


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
    a: IRiskEngine.Assessment = self._assess(book, market, rulebook)
    return a.equity, a.initial if kind == IRiskEngine.Kind.INITIAL else a.maintenance


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
    a: IRiskEngine.Assessment = self._assess(book, market, rulebook)
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
    @notice Equity and maintenance margin: without scenarios there is nothing to name.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @param scenarios Not read.
    @return Equity and maintenance margin in WAD of quote.
    """
    a: IRiskEngine.Assessment = self._assess(book, market, rulebook)
    return a.equity, a.maintenance


@external
@view
def assess(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> IRiskEngine.Assessment:
    """
    @notice Every intermediate figure, for views; what this engine does not compute is 0 or empty.
    @param book The account.
    @param market The market that the book needs.
    @param rulebook Number of the rulebook.
    @return The figures.
    """
    return self._assess(book, market, rulebook)


@internal
@view
def _assess(
    book: IRiskEngine.Book, market: IOracle.Market, rulebook: uint256
) -> IRiskEngine.Assessment:
    """
    @notice The assessment, its margins blended during a ramp.
    """
    place: address = empty(address)
    old: address = empty(address)
    share: uint256 = 0
    place, old, share = versions._at(rulebook, market.time)
    new_rules: Rules = abi_decode(slice(place.code, 1, RULES_BYTES), Rules)
    old_rules: Rules = new_rules
    if old != empty(address):
        old_rules = abi_decode(slice(old.code, 1, RULES_BYTES), Rules)

    assert market.stable > 0, "engine: no price of the stablecoin"
    a: IRiskEngine.Assessment = empty(IRiskEngine.Assessment)
    a.equity = book.cash + book.unsettled
    a.initial_factor = WAD
    a.charges = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    initial: uint256[2] = empty(uint256[2])         # new, old
    maintenance: uint256[2] = empty(uint256[2])

    for u: IOracle.Underlying in market.underlyings:
        g: IRiskEngine.Greeks = empty(IRiskEngine.Greeks)
        g.underlying = u.id
        a.greeks.append(g)
        a.loss_up.append(0)
        a.loss_down.append(0)
        a.basis.append(0)
        a.binding_up.append(0)
        a.binding_down.append(0)

    for holding: IRiskEngine.Holding in book.holdings:
        asset: IOracle.Asset = empty(IOracle.Asset)
        for candidate: IOracle.Asset in market.assets:
            if candidate.id == holding.asset:
                asset = candidate
                break
        assert asset.price > 0, "engine: market lacks an asset"
        dollars: uint256 = holding.amount * asset.price // WAD
        quote: uint256 = dollars * WAD // market.stable
        a.collateral_value += quote
        for i: uint256 in range(len(market.underlyings), bound=8):
            if market.underlyings[i].id == asset.underlying and market.underlyings[i].spot > 0:
                a.greeks[i].delta += convert(dollars * WAD // market.underlyings[i].spot, int256)
        for k: uint256 in range(2):
            pair: ILtvEngine.Pair = empty(ILtvEngine.Pair)
            if asset.id < 8:
                pair = new_rules.collateral[asset.id] if k == 0 else old_rules.collateral[asset.id]
            initial[k] += self._up(quote, WAD - pair.initial)
            maintenance[k] += self._up(quote, WAD - pair.maintenance)

    expiry: pricing.Expiry = empty(pricing.Expiry)
    row: uint256 = 0
    for p: uint256 in range(len(book.positions), bound=64):
        word: uint256 = book.positions[p]
        id: uint256 = position._underlying(word)
        for _: uint256 in range(8):
            if row < len(market.underlyings) and market.underlyings[row].id != id:
                row += 1
        assert row < len(market.underlyings), "engine: market lacks an underlying"
        u: IOracle.Underlying = market.underlyings[row]
        size: int256 = position._size(word)
        units: uint256 = convert(abs(size), uint256)
        if position._kind(word) == position.PERPETUAL:
            a.greeks[row].delta += size * SIGNED_NANO
            notional: uint256 = units * u.mark // NANO + 1
            for k: uint256 in range(2):
                pair: ILtvEngine.Pair = new_rules.perp if k == 0 else old_rules.perp
                initial[k] += self._up(notional, pair.initial)
                maintenance[k] += self._up(notional, pair.maintenance)
            continue

        if expiry.key != pricing._key(word) or expiry.forward == 0:
            expiry = pricing._find(market.expiries, pricing._key(word), market.time)
            a.expiry_value.append(0)
        vol: uint256 = 0
        if len(market.vols) > 0:
            vol = market.vols[p]
        else:
            vol = pricing._vol(expiry, position._strike(word) * NANO)
        q: black76.Quote = pricing._quote(expiry, word, vol, WAD)
        a.greeks[row].delta += size * q.delta // SIGNED_NANO
        a.greeks[row].gamma += size * convert(q.gamma, int256) // SIGNED_NANO
        a.greeks[row].vega += size * convert(q.vega, int256) // SIGNED_NANO
        a.greeks[row].theta += size * q.theta // SIGNED_NANO
        worth: int256 = 0
        if size > 0:
            # What is owned is required whole.
            worth = size * convert(q.price, int256) // SIGNED_NANO
            for k: uint256 in range(2):
                initial[k] += convert(worth, uint256)
                maintenance[k] += convert(worth, uint256)
        else:
            error: uint256 = black76._error(expiry.forward, position._strike(word) * NANO)
            worth = size * convert(q.price + error, int256) // SIGNED_NANO - 1
            notional: uint256 = units * u.spot // NANO + 1
            for k: uint256 in range(2):
                pair: ILtvEngine.Pair = new_rules.short_option if k == 0 else old_rules.short_option
                initial[k] += self._up(notional, pair.initial)
                maintenance[k] += self._up(notional, pair.maintenance)
        a.option_value += worth
        a.expiry_value[len(a.expiry_value) - 1] += worth

    a.equity += convert(a.collateral_value, int256) + a.option_value
    a.initial = versions._blend(initial[0], initial[1], share)
    a.maintenance = versions._blend(maintenance[0], maintenance[1], share)
    a.risk = a.initial
    return a


@internal
@pure
def _up(amount: uint256, ratio: uint256) -> uint256:
    """
    @notice A product of two WAD numbers, rounded up.
    """
    return (amount * ratio + WAD - 1) // WAD
