# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Portfolios
@license Apache-2.0
@notice Positions and collateral of every account, and the settlement of positions into cash.
@dev Positions are words (see IRiskEngine), sorted, the first `count` of an account's array; what lies
     behind them is left over and not read. Sizes, marks, funding indices and settlement prices are
     multiples of 1e-9, so that size times price is exact and settlements cancel between accounts.
@custom:security Option settlement prices are read from the oracle once per expiry and kept, so that
                 both sides of a series settle at the same price whatever the oracle says later. Until
                 that first use the price is what the registry's oracle says now: one named after
                 the expiry gives its spot, if it never had a forward.
@custom:kill Nothing here can be stopped.
"""
from interfaces import IClearingHouse
from interfaces import IOracle
from interfaces import IRiskEngine
from modules import cash_ledger
from modules import position

uses: cash_ledger


WAD: constant(uint256) = 10**18
UNIT: constant(int256) = 10**9              # WAD per unit of size
PRICE_UNIT: constant(uint256) = 10**9       # WAD per unit of price
MAX_POSITIONS: constant(uint256) = 64
MAX_ASSETS: constant(uint256) = 8
EXPIRY_KEY: constant(uint256) = 2**40 - 1

# Of the head of an account: what each field is shifted by. The lowest 8 bits count positions.
ASSETS: constant(uint256) = 8               # bitmask of collateral held, 8 bits
PHASE: constant(uint256) = 16               # of liquidation, 8 bits
SCHEME: constant(uint256) = 32              # 16 bits
VERSION: constant(uint256) = 64             # 64 bits

_heads: HashMap[uint256, uint256]
_words: HashMap[uint256, uint256[64]]
_funding: HashMap[uint256, HashMap[uint256, int256]]    # index as of the last settlement, in units
_holdings: HashMap[uint256, HashMap[uint256, uint256]]
_booked: HashMap[uint256, uint256]                      # collateral tokens in less out, WAD
_held: HashMap[uint256, uint256]                        # sum of holdings, WAD
_open_interest: HashMap[uint256, uint256]               # sum of longs, in units
_settlement_prices: HashMap[uint256, uint256]           # units, by underlying << 32 | expiry


@internal
@view
def _phase(account: uint256) -> uint256:
    return self._heads[account] >> PHASE & 255


@internal
@view
def _scheme(account: uint256) -> uint256:
    return self._heads[account] >> SCHEME & 65535


@internal
@view
def _version(account: uint256) -> uint256:
    return self._heads[account] >> VERSION


@internal
def _set_phase(account: uint256, phase: uint256):
    self._heads[account] = self._heads[account] & ~(255 << PHASE) | phase << PHASE


@internal
def _set_scheme(account: uint256, scheme: uint256):
    self._heads[account] = self._heads[account] & ~(65535 << SCHEME) | scheme << SCHEME


@internal
def _bump(account: uint256):
    """
    @notice Count a change that bidders may want to notice.
    """
    self._heads[account] += 1 << VERSION


@internal
@view
def _positions(account: uint256) -> DynArray[uint256, 64]:
    """
    @notice Stored words, in order.
    """
    words: DynArray[uint256, 64] = []
    for i: uint256 in range(self._heads[account] & 255, bound=64):
        words.append(self._words[account][i])
    return words


@internal
@view
def _assets(account: uint256) -> DynArray[IRiskEngine.Holding, 8]:
    """
    @notice Collateral held, ascending.
    """
    mask: uint256 = self._heads[account] >> ASSETS & 255
    holdings: DynArray[IRiskEngine.Holding, 8] = []
    if mask == 0:
        return holdings
    for asset: uint256 in range(1, MAX_ASSETS):
        if mask >> asset & 1 == 1:
            holdings.append(
                IRiskEngine.Holding(asset=asset, amount=self._holdings[account][asset])
            )
    return holdings


@internal
def _add_asset(account: uint256, asset: uint256, amount: uint256):
    held: uint256 = self._holdings[account][asset]
    self._holdings[account][asset] = held + amount
    if held == 0 and amount > 0:
        self._heads[account] |= 1 << (ASSETS + asset)


@internal
def _remove_asset(account: uint256, asset: uint256, amount: uint256):
    held: uint256 = self._holdings[account][asset]
    assert amount <= held, "portfolio: not enough collateral"
    self._holdings[account][asset] = held - amount
    if held == amount:
        self._heads[account] &= ~(1 << (ASSETS + asset))


@internal
def _receive(account: uint256, asset: uint256, amount: uint256) -> uint256:
    """
    @notice Tokens came in for an account.
    @return What is booked of the asset.
    """
    self._booked[asset] += amount
    self._held[asset] += amount
    self._add_asset(account, asset, amount)
    return self._booked[asset]


@internal
def _send(account: uint256, asset: uint256, amount: uint256):
    """
    @notice Tokens are about to leave from an account.
    """
    self._remove_asset(account, asset, amount)
    self._booked[asset] -= amount
    self._held[asset] -= amount


@internal
@view
def _book(account: uint256, oracle: IOracle) -> IRiskEngine.Book:
    """
    @notice The book as a risk engine reads it: perp PnL, funding and expired options as unsettled money.
    """
    unsettled: int256 = 0
    kept: DynArray[uint256, 64] = []
    words: DynArray[uint256, 64] = self._positions(account)
    for word: uint256 in words:
        if position._kind(word) == position.PERPETUAL:
            mark: uint256 = 0
            index: int256 = 0
            pnl: int256 = 0
            funding: int256 = 0
            mark, index, pnl, funding = self._perp_flow(account, word, oracle)
            unsettled += pnl + funding
            kept.append(word)
        elif block.timestamp >= position._expiry(word):
            unsettled += self._payoff(word, self._settlement_price(word, oracle))
        else:
            kept.append(word)
    return IRiskEngine.Book(
        cash=cash_ledger._value(account),
        unsettled=unsettled,
        holdings=self._assets(account),
        positions=kept,
    )


@internal
def _settle(
    account: uint256, words: DynArray[uint256, 64], oracle: IOracle
) -> (DynArray[uint256, 64], int256):
    """
    @notice Settle positions at their marks and drop expired options.
    @dev The settlement accounts are changed here; the caller saves the words and adds the cash.
    @return The words that remain, and the cash that the account is to receive.
    """
    kept: DynArray[uint256, 64] = []
    perps: int256 = 0
    options: int256 = 0
    for word: uint256 in words:
        size: int256 = position._size(word)
        if position._kind(word) == position.PERPETUAL:
            mark: uint256 = 0
            index: int256 = 0
            pnl: int256 = 0
            funding: int256 = 0
            mark, index, pnl, funding = self._perp_flow(account, word, oracle)
            settled: uint256 = word & ~position.STRIKE_FIELD | mark << 8
            kept.append(settled)
            if settled == word and funding == 0:
                continue
            perps += pnl + funding
            self._settle_at(account, word, size, mark, index, pnl, funding)
        elif block.timestamp >= position._expiry(word):
            price: uint256 = self._settlement_price(word, oracle)
            self._settlement_prices[word >> 96 & EXPIRY_KEY] = price
            payoff: int256 = self._payoff(word, price)
            options += payoff
            self._count_interest(position._series(word), size, 0)
            log IClearingHouse.OptionSettled(
                account=account,
                instrument=position._series(word),
                size=size * UNIT,
                price=price * PRICE_UNIT,
                payoff=payoff,
            )
        else:
            kept.append(word)
    if perps != 0:
        cash_ledger._settle_perp(perps)
    if options != 0:
        cash_ledger._settle_option(options)
    return kept, perps + options


@internal
def _settle_at(
    account: uint256,
    word: uint256,
    size: int256,
    mark: uint256,
    index: int256,
    pnl: int256,
    funding: int256,
):
    """
    @notice Remember the funding index from which an account's perpetual runs on, and log it with the mark.
    """
    underlying: uint256 = position._underlying(word)
    self._funding[account][underlying] = index
    log IClearingHouse.PerpSettled(
        account=account,
        underlying=underlying,
        size=size * UNIT,
        mark=mark * PRICE_UNIT,
        index=index * UNIT,
        pnl=pnl,
        funding=funding,
    )


@internal
def _save(account: uint256, words: DynArray[uint256, 64], kept: DynArray[uint256, 64]):
    """
    @notice Store the words of an account in place of those stored.
    """
    count: uint256 = len(words)
    for i: uint256 in range(len(kept), bound=64):
        if i >= count or words[i] != kept[i]:
            self._words[account][i] = kept[i]
    if len(kept) != count:
        self._heads[account] = self._heads[account] & ~(2**8 - 1) | len(kept)


@internal
def _merge(
    account: uint256,
    words: DynArray[uint256, 64],
    moves: DynArray[uint256, 64],
    sign: int256,
    oracle: IOracle,
) -> DynArray[uint256, 64]:
    """
    @notice Add (sign 1) or subtract (sign -1) positions. Both lists are sorted, the words settled.
    @return The new words.
    """
    merged: DynArray[uint256, 64] = []
    i: uint256 = 0
    j: uint256 = 0
    name: uint256 = 0
    for _: uint256 in range(2 * MAX_POSITIONS):
        if j < len(moves):
            name = position._name(moves[j])
        elif i == len(words):
            break
        word: uint256 = 0
        held: uint256 = position._name(words[i]) if i < len(words) else max_value(uint256)
        if j == len(moves) or held < name:
            word = words[i]
            i += 1
        else:
            word = name
            before: int256 = 0
            if held == name:
                word = words[i]
                before = position._size(word)
                i += 1
            elif position._kind(name) == position.PERPETUAL:
                mark: uint256 = 0
                index: int256 = 0
                mark, index = self._mark(position._underlying(name), oracle)
                self._settle_at(account, name, 0, mark, index, 0, 0)
                word |= mark << 8
            after: int256 = before + sign * position._size(moves[j])
            j += 1
            assert convert(abs(after), uint256) < position.MAX_SIZE, "portfolio: position too large"
            self._count_interest(name, before, after)
            if after == 0:
                continue
            word = position._series(word) | convert(convert(after << 160, bytes32), uint256)
        assert len(merged) < MAX_POSITIONS, "portfolio: too many positions"
        merged.append(word)
    return merged


@internal
def _count_interest(instrument: uint256, before: int256, after: int256):
    """
    @notice Keep the sum of longs of an instrument.
    """
    change: int256 = max(after, 0) - max(before, 0)
    if change != 0:
        interest: int256 = convert(self._open_interest[instrument], int256) + change
        self._open_interest[instrument] = convert(interest, uint256)


@internal
@view
def _perp_flow(
    account: uint256, word: uint256, oracle: IOracle
) -> (uint256, int256, int256, int256):
    """
    @return Mark and funding index now (units), PnL and funding received since the last settlement;
            nothing accrues while the oracle has no mark.
    """
    mark: uint256 = 0
    index: int256 = 0
    underlying: uint256 = position._underlying(word)
    size: int256 = position._size(word)
    settled_mark: uint256 = position._strike(word)
    settled_index: int256 = self._funding[account][underlying]
    mark, index = self._mark(underlying, oracle)
    if mark == 0:
        return settled_mark, settled_index, 0, 0
    pnl: int256 = size * (convert(mark, int256) - convert(settled_mark, int256))
    return mark, index, pnl, -size * (index - settled_index)


@internal
@view
def _mark(underlying: uint256, oracle: IOracle) -> (uint256, int256):
    """
    @return Mark and funding index of a perpetual, in units of 1e-9.
    """
    mark: uint256 = 0
    index: int256 = 0
    mark, index = staticcall oracle.perp(underlying)
    return mark // PRICE_UNIT, index // UNIT


@internal
@view
def _settlement_price(word: uint256, oracle: IOracle) -> uint256:
    """
    @notice Price (units) at which an expired option settles: kept from its first use on.
    """
    price: uint256 = self._settlement_prices[word >> 96 & EXPIRY_KEY]
    if price == 0:
        price = staticcall oracle.settlement_price(
            position._underlying(word), position._expiry(word)
        ) // PRICE_UNIT
        assert price > 0, "portfolio: no settlement price"
    return price


@internal
@pure
def _payoff(word: uint256, price: uint256) -> int256:
    """
    @notice What an option pays at a settlement price (units), exactly.
    """
    value: int256 = convert(price, int256) - convert(position._strike(word), int256)
    if position._kind(word) == position.PUT:
        value = -value
    return position._size(word) * max(value, 0)


@internal
@view
def _fee(instrument: uint256, size: int256, rate: uint256, oracle: IOracle) -> uint256:
    """
    @notice Fee of a trade of `size` (WAD) at a rate of the perpetual's mark, rounded up; nothing while
            there is none, so that options can be closed.
    """
    mark: uint256 = 0
    index: int256 = 0
    mark, index = self._mark(position._underlying(instrument), oracle)
    notional: uint256 = convert(abs(size // UNIT), uint256) * mark
    return (notional * rate + WAD - 1) // WAD


@internal
@view
def _value(instrument: uint256, size: int256, oracle: IOracle) -> int256:
    """
    @notice What `size` (WAD) of an underlying is worth at the mark of its perpetual.
    """
    mark: uint256 = 0
    index: int256 = 0
    mark, index = self._mark(position._underlying(instrument), oracle)
    assert mark > 0, "portfolio: perpetual has no mark"
    return size // UNIT * convert(mark, int256)
