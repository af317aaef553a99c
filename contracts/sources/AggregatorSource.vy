# pragma version 0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize gas
"""
@title Aggregator source
@license Apache-2.0
@notice Reads Chainlink-style aggregators for the oracle.
@dev An aggregator stops at its own least and greatest answer while the market moves on, so an answer
     at or beyond these is none. After a sequencer's outage answers count only once a grace period has
     passed, in which users could react.
@custom:security Trusts the aggregators that the owner names, within their bounds. Staleness is the
                 oracle's to judge: the aggregator's own time is passed on.
@custom:kill Take the aggregator of a feed away.
"""
from interfaces import IAggregator
from interfaces import IPriceSource
from modules import ownable

implements: IPriceSource
initializes: ownable

exports: (
    ownable.owner,
    ownable.pending_owner,
    ownable.transfer_ownership,
    ownable.accept_ownership,
)


struct Aggregator:
    aggregator: address
    least: int256               # answers at or below are none, in the aggregator's units
    greatest: int256            # answers at or above are none
    confidence: uint256         # of every answer, WAD


event AggregatorSet:
    feed: indexed(uint256)
    aggregator: Aggregator


WAD: constant(uint256) = 10**18
PRICE_UNIT: constant(int256) = 10**9
RATE_UNIT: constant(int256) = 10**8
RATE: constant(uint256) = 4
MAX_DECIMALS: constant(uint8) = 18
MAX_GRACE: constant(uint256) = 86400

UPTIME: public(immutable(address))          # feed of the sequencer's uptime; none on a layer 1
GRACE: public(immutable(uint256))           # seconds

_aggregators: HashMap[uint256, Aggregator]
_scales: HashMap[uint256, int256]           # WAD per unit of the answer


@deploy
def __init__(owner: address, uptime: address, grace: uint256):
    """
    @param uptime Feed that answers 0 while the sequencer is up; the zero address where there is none.
    @param grace Seconds after the sequencer's return in which there is no price.
    """
    assert grace <= MAX_GRACE, "source: grace too long"
    ownable.__init__(owner)
    UPTIME = uptime
    GRACE = grace


@external
def set_aggregator(feed: uint256, aggregator: Aggregator):
    """
    @notice Set what a feed is read from; the zero address takes it away.
    """
    ownable._check_owner()
    if aggregator.aggregator != empty(address):
        assert aggregator.aggregator.is_contract, "source: aggregator is no contract"
        assert aggregator.least < aggregator.greatest, "source: bounds crossed"
        assert aggregator.least >= 0 or feed >> 64 == RATE, "source: bound below zero"
        assert aggregator.confidence <= WAD, "source: confidence above one"
        decimals: uint8 = staticcall IAggregator(aggregator.aggregator).decimals()
        assert decimals <= MAX_DECIMALS, "source: too many decimals"
        self._scales[feed] = 10 ** convert(MAX_DECIMALS - decimals, int256)
    self._aggregators[feed] = aggregator
    log AggregatorSet(feed=feed, aggregator=aggregator)


@external
@view
def observe(feed: uint256) -> (int256, uint256, uint256):
    """
    @notice The aggregator's answer, rounded down to what the oracle takes.
    @return Value (WAD), confidence (WAD), time (unix seconds).
    """
    self._check_sequencer()
    read: Aggregator = self._aggregators[feed]
    assert read.aggregator != empty(address), "source: no aggregator"
    round: uint80 = 0
    answer: int256 = 0
    started: uint256 = 0
    updated: uint256 = 0
    answered: uint80 = 0
    round, answer, started, updated, answered = (
        staticcall IAggregator(read.aggregator).latestRoundData()
    )
    assert updated != 0, "source: round not complete"
    assert answer > read.least and answer < read.greatest, "source: answer out of bounds"
    unit: int256 = RATE_UNIT if feed >> 64 == RATE else PRICE_UNIT
    wad: int256 = answer * self._scales[feed]
    excess: int256 = wad % unit
    if excess < 0:
        excess += unit
    return wad - excess, read.confidence, updated


@external
@view
def aggregator(feed: uint256) -> Aggregator:
    """
    @notice What a feed is read from.
    """
    return self._aggregators[feed]


@internal
@view
def _check_sequencer():
    if UPTIME == empty(address):
        return
    round: uint80 = 0
    answer: int256 = 0
    started: uint256 = 0
    updated: uint256 = 0
    answered: uint80 = 0
    round, answer, started, updated, answered = staticcall IAggregator(UPTIME).latestRoundData()
    assert answer == 0, "source: sequencer down"
    assert started != 0 and started + GRACE <= block.timestamp, "source: sequencer back too recently"
