"""The price sources: Chainlink-style aggregators, and reporters who push."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.contracts.feeds import ETH, HOUR, RATE, SPOT, WAD, Desk, Slice, feed
from tests.evm import OWNER, Contract, Evm, Reverted

NOBODY = "0x" + "00" * 20


class Reading(NamedTuple):
    aggregator: str
    least: int = 1
    greatest: int = 10**16
    confidence: int = WAD


class Chain:
    """An oracle that pulls the spot from an aggregator of eight decimals."""

    def __init__(self, decimals: int = 8, uptime: str = NOBODY) -> None:
        self.desk = Desk(Evm())
        self.evm = self.desk.evm
        self.aggregator: Contract = self.evm.deploy("testing/MockAggregator.vy", decimals)
        self.source: Contract = self.evm.deploy("sources/AggregatorSource.vy", OWNER, uptime, HOUR)
        self.source.set_aggregator(feed(SPOT), Reading(self.aggregator.address))
        self.desk.configure(SPOT, ETH, self.source.address)

    def answer(self, answer: int, updated: int | None = None) -> None:
        at = self.evm.time if updated is None else updated
        self.aggregator.answer(answer, at, at)

    def pull(self) -> list[Any]:
        self.desk.oracle.pull(self.source.address, [feed(SPOT)], sender=self.evm.address("anyone"))
        return self.evm.events


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_an_answer_reaches_the_oracle(chain: Chain) -> None:
    updated = chain.evm.time - 60
    chain.answer(3000 * 10**8 + 1, updated)
    assert chain.source.observe(feed(SPOT)) == (3000 * WAD + 10**10, WAD, updated)
    (event,) = chain.pull()
    assert event.name == "Reported"
    assert chain.desk.oracle.report(feed(SPOT)) == (3000 * WAD + 10**10, WAD, updated)


@pytest.mark.parametrize("decimals", [0, 6, 8, 18])
def test_any_decimals_become_wad(decimals: int) -> None:
    chain = Chain(decimals)
    chain.source.set_aggregator(feed(SPOT), Reading(chain.aggregator.address, 1, 2**100))
    chain.answer(3000 * 10**decimals)
    assert chain.source.observe(feed(SPOT))[0] == 3000 * WAD


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [(SPOT, 10**10 - 1, 9 * 10**9), (RATE, 10**9 - 1, 9 * 10**8), (RATE, -1, -(10**8))],
)
def test_finer_answers_are_rounded_down(kind: int, answer: int, value: int) -> None:
    chain = Chain(18)
    least = 1 if kind == SPOT else -WAD
    chain.source.set_aggregator(feed(kind), Reading(chain.aggregator.address, least))
    chain.answer(answer)
    assert chain.source.observe(feed(kind))[0] == value


@pytest.mark.parametrize("answer", [0, -1, 5, 10, 100, 1000])
def test_an_answer_at_or_beyond_its_bounds_is_none(chain: Chain, answer: int) -> None:
    """An aggregator that has stopped at its least answer must not be believed."""
    chain.source.set_aggregator(feed(SPOT), Reading(chain.aggregator.address, 10, 100))
    chain.answer(answer)
    with pytest.raises(Reverted, match="source: answer out of bounds"):
        chain.source.observe(feed(SPOT))
    (event,) = chain.pull()
    assert (event.name, event.args["reason"]) == ("Refused", "no answer")


def test_a_round_that_is_not_complete_is_none(chain: Chain) -> None:
    chain.answer(3000 * 10**8, 0)
    with pytest.raises(Reverted, match="source: round not complete"):
        chain.source.observe(feed(SPOT))


def test_a_feed_without_an_aggregator_is_none(chain: Chain) -> None:
    with pytest.raises(Reverted, match="source: no aggregator"):
        chain.source.observe(feed(SPOT, 1))
    chain.source.set_aggregator(feed(SPOT), Reading(NOBODY))
    with pytest.raises(Reverted, match="source: no aggregator"):
        chain.source.observe(feed(SPOT))


def test_an_answer_grows_old_by_the_aggregators_own_time(chain: Chain) -> None:
    chain.answer(3000 * 10**8)
    chain.pull()
    updated = chain.evm.time
    chain.evm.time += 2 * HOUR
    chain.pull()
    assert chain.desk.oracle.report(feed(SPOT))[2] == updated


def test_prices_wait_for_the_sequencer() -> None:
    evm = Evm()
    uptime = evm.deploy("testing/MockAggregator.vy", 0)
    source = evm.deploy("sources/AggregatorSource.vy", OWNER, uptime.address, HOUR)
    prices = evm.deploy("testing/MockAggregator.vy", 8)
    source.set_aggregator(feed(SPOT), Reading(prices.address))
    prices.answer(3000 * 10**8, evm.time, evm.time)

    uptime.answer(1, evm.time, evm.time)
    with pytest.raises(Reverted, match="source: sequencer down"):
        source.observe(feed(SPOT))
    uptime.answer(0, 0, evm.time)
    with pytest.raises(Reverted, match="source: sequencer back too recently"):
        source.observe(feed(SPOT))
    uptime.answer(0, evm.time, evm.time)
    evm.time += HOUR - 1
    with pytest.raises(Reverted, match="source: sequencer back too recently"):
        source.observe(feed(SPOT))
    evm.time += 1
    assert source.observe(feed(SPOT))[0] == 3000 * WAD


def test_pull_goes_on_past_a_source_that_does_not_answer(chain: Chain) -> None:
    chain.answer(3000 * 10**8)
    chain.desk.configure(SPOT, 1, chain.source.address)
    chain.desk.oracle.pull(chain.source.address, [feed(SPOT, 1), feed(SPOT, 0)])
    assert [event.name for event in chain.evm.events] == ["Refused", "Reported"]


def test_pull_reverts_for_a_stranger(chain: Chain) -> None:
    with pytest.raises(Reverted, match="oracle: not a source"):
        chain.desk.oracle.pull(chain.evm.address("stranger"), [feed(SPOT)])


def test_pull_from_a_source_without_code_is_refused(chain: Chain) -> None:
    chain.desk.configure(SPOT, ETH)
    chain.desk.oracle.pull(chain.desk.source, [feed(SPOT)])
    assert chain.evm.events[0].args["reason"] == "no answer"


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (Reading(OWNER), "aggregator is no contract"),
        (Reading("", 10, 10), "bounds crossed"),
        (Reading("", -1, 10), "bound below zero"),
        (Reading("", 1, 10, WAD + 1), "confidence above one"),
    ],
)
def test_set_aggregator_reverts(chain: Chain, reading: Reading, reason: str) -> None:
    reading = reading._replace(aggregator=reading.aggregator or chain.aggregator.address)
    with pytest.raises(Reverted, match=f"source: {reason}"):
        chain.source.set_aggregator(feed(SPOT), reading)


def test_set_aggregator_logs_and_shows(chain: Chain) -> None:
    reading = Reading(chain.aggregator.address, 1, 2)
    chain.source.set_aggregator(feed(SPOT), reading)
    assert chain.evm.events[0].name == "AggregatorSet"
    assert chain.source.aggregator(feed(SPOT)) == reading


def test_set_aggregator_refuses_many_decimals_and_strangers(chain: Chain) -> None:
    fine = chain.evm.deploy("testing/MockAggregator.vy", 19)
    with pytest.raises(Reverted, match="source: too many decimals"):
        chain.source.set_aggregator(feed(SPOT), Reading(fine.address))
    with pytest.raises(Reverted, match="ownable: not owner"):
        chain.source.set_aggregator(
            feed(SPOT), Reading(NOBODY), sender=chain.evm.address("stranger")
        )


def test_the_grace_is_bounded() -> None:
    with pytest.raises(Reverted, match="source: grace too long"):
        Evm().deploy("sources/AggregatorSource.vy", OWNER, NOBODY, 86_401)


# Reporters


@pytest.fixture
def desk() -> Desk:
    return Desk(Evm())


@pytest.fixture
def seat(desk: Desk) -> Contract:
    """A source with one reporter, the only one of every feed of ETH."""
    seat = desk.evm.deploy("sources/PushedSource.vy", OWNER, desk.oracle.address)
    desk.source = seat.address
    desk.list_underlying(ETH)
    seat.set_reporter(desk.evm.address("reporter"), True)
    return seat


def test_a_reporter_pushes_through_the_seat(desk: Desk, seat: Contract) -> None:
    reporter = desk.evm.address("reporter")
    assert seat.is_reporter(reporter)
    seat.push([(feed(SPOT), 3000 * WAD, WAD, desk.evm.time)], sender=reporter)
    assert desk.report(SPOT) == 3000 * WAD
    expiry = desk.evm.time + HOUR
    seat.push_surfaces([Slice(ETH, expiry, WAD, time=desk.evm.time)], sender=reporter)
    assert desk.evm.events[0].name == "Shaped"


def test_a_reporter_who_has_left_pushes_nothing(desk: Desk, seat: Contract) -> None:
    reporter = desk.evm.address("reporter")
    seat.set_reporter(reporter, False)
    assert desk.evm.events[0].args == {"reporter": reporter, "allowed": False}
    with pytest.raises(Reverted, match="source: not a reporter"):
        seat.push([], sender=reporter)
    with pytest.raises(Reverted, match="source: not a reporter"):
        seat.push_surfaces([], sender=reporter)


def test_reporters_are_the_owners_choice(desk: Desk, seat: Contract) -> None:
    with pytest.raises(Reverted, match="ownable: not owner"):
        seat.set_reporter(OWNER, True, sender=desk.evm.address("stranger"))


def test_a_seat_wants_an_oracle(desk: Desk) -> None:
    with pytest.raises(Reverted, match="source: oracle is no contract"):
        desk.evm.deploy("sources/PushedSource.vy", OWNER, OWNER)
