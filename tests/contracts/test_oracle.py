"""The oracle: what it accepts, what it agrees on, and what it says that is good for."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.reference.svi import Svi
from tests.contracts.feeds import (
    ASSET,
    BTC,
    CLOSING,
    DAY,
    ETH,
    FORWARD,
    HOUR,
    LIQUIDATION,
    MARK,
    NO_UNDERLYING,
    OPENING,
    RATE,
    SPOT,
    STABLE,
    VOL,
    WAD,
    WINDOW,
    Desk,
    Perpetual,
    Policy,
    Slice,
    Terms,
    feed,
    option,
    perpetual,
    read_surface,
    read_terms,
)
from tests.evm import OWNER, Evm, Reverted

ALL = OPENING | CLOSING | LIQUIDATION


@pytest.fixture
def desk() -> Desk:
    desk = Desk(Evm())
    desk.list_underlying(ETH)
    desk.configure(STABLE)
    return desk


@pytest.fixture
def expiry(desk: Desk) -> int:
    """An expiry in a week with every feed of it pushed."""
    expiry = desk.evm.time + 7 * DAY
    desk.push(STABLE, WAD)
    desk.push(SPOT, 3000 * WAD)
    desk.push(MARK, 3000 * WAD)
    desk.push(FORWARD, 3010 * WAD, ETH, expiry)
    desk.push(RATE, WAD // 20, ETH, expiry)
    desk.shape(ETH, expiry)
    return expiry


def refusals(events: list) -> list[str]:
    return [event.args["reason"] for event in events if event.name == "Refused"]


# Reports of one source


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SPOT, 3000 * WAD),
        (SPOT, 10**9),
        (SPOT, (2**70 - 1) * 10**9),
        (MARK, 3001 * WAD),
        (STABLE, 99 * WAD // 100),
    ],
)
def test_push_stores_a_scalar(desk: Desk, kind: int, value: int) -> None:
    (event,) = [e for e in desk.push(kind, value, confidence=WAD // 2) if e.name == "Reported"]
    assert desk.oracle.report(feed(kind)) == (value, WAD // 2, desk.evm.time)
    assert event.args == {
        "feed": feed(kind),
        "value": value,
        "confidence": WAD // 2,
        "time": desk.evm.time,
    }


@pytest.mark.parametrize(
    "rate", [WAD // 20, -WAD // 20, 0, 10**8, (2**39 - 1) * 10**8, -(2**39) * 10**8]
)
def test_push_stores_a_rate_of_either_sign(desk: Desk, rate: int) -> None:
    expiry = desk.evm.time + DAY
    desk.push(FORWARD, 3000 * WAD, ETH, expiry)
    desk.push(RATE, rate, ETH, expiry)
    assert desk.report(RATE, ETH, expiry) == rate
    assert desk.report(FORWARD, ETH, expiry) == 3000 * WAD


def test_feeds_that_share_a_word_leave_each_other_alone(desk: Desk, expiry: int) -> None:
    for kind, value in ((FORWARD, 2990 * WAD), (RATE, -WAD // 100), (FORWARD, 3020 * WAD)):
        desk.evm.time += 1
        desk.push(kind, value, ETH, expiry)
    desk.push(SPOT, 2999 * WAD)
    desk.push(MARK, 2998 * WAD)
    desk.push(SPOT, 2997 * WAD)
    assert desk.report(FORWARD, ETH, expiry) == 3020 * WAD
    assert desk.report(RATE, ETH, expiry) == -WAD // 100
    assert desk.report(SPOT) == 2997 * WAD
    assert desk.report(MARK) == 2998 * WAD
    market = desk.oracle.market([option(ETH, expiry)], [])
    assert read_surface(market.expiries[0].surface)["a"] == WAD // 4


def test_confidence_is_rounded_down(desk: Desk) -> None:
    desk.push(SPOT, 3000 * WAD, confidence=WAD - 1)
    assert desk.oracle.report(feed(SPOT))[1] == WAD - 10**14


def test_push_takes_many_feeds_in_one_call(desk: Desk) -> None:
    desk.list_underlying(BTC)
    now = desk.evm.time
    desk.oracle.push(
        [
            (feed(SPOT, ETH), 3000 * WAD, WAD, now),
            (feed(SPOT, BTC), 90_000 * WAD, WAD, now),
            (feed(MARK, BTC), 90_001 * WAD, WAD, now),
        ],
        sender=desk.source,
    )
    assert desk.report(SPOT, ETH) == 3000 * WAD
    assert desk.report(SPOT, BTC) == 90_000 * WAD
    assert desk.report(MARK, BTC) == 90_001 * WAD


@pytest.mark.parametrize("value", [0, -(10**9), -3000 * WAD])
@pytest.mark.parametrize("kind", [SPOT, MARK, STABLE])
def test_a_price_of_zero_or_less_is_refused(desk: Desk, kind: int, value: int) -> None:
    desk.push(kind, WAD)
    desk.evm.time += 60
    assert refusals(desk.push(kind, value)) == ["not positive"]
    assert desk.report(kind) == WAD


def test_a_value_beyond_its_field_is_refused(desk: Desk) -> None:
    expiry = desk.evm.time + DAY
    assert refusals(desk.push(SPOT, 2**70 * 10**9)) == ["out of range"]
    assert refusals(desk.push(RATE, 2**39 * 10**8, ETH, expiry)) == ["out of range"]
    assert refusals(desk.push(RATE, -(2**39 + 1) * 10**8, ETH, expiry)) == ["out of range"]


def test_a_report_out_of_order_is_refused(desk: Desk) -> None:
    desk.push(SPOT, 3000 * WAD)
    desk.evm.time += 60
    assert refusals(desk.push(SPOT, 2000 * WAD, time=desk.evm.time - 61)) == ["out of order"]
    assert desk.report(SPOT) == 3000 * WAD
    assert refusals(desk.push(SPOT, 2000 * WAD, time=desk.evm.time - 60)) == []


def test_a_report_from_the_future_is_refused(desk: Desk) -> None:
    assert refusals(desk.push(SPOT, 3000 * WAD, time=desk.evm.time + 1)) == ["from the future"]


def test_a_report_of_an_expiry_that_has_passed_is_refused(desk: Desk, expiry: int) -> None:
    desk.evm.time = expiry
    assert refusals(desk.push(FORWARD, 1 * WAD, ETH, expiry)) == ["expired"]
    assert refusals(desk.push(RATE, 1 * WAD, ETH, expiry)) == ["expired"]
    assert refusals(desk.shape(ETH, expiry)) == ["expired"]


def test_one_bad_report_does_not_hold_back_the_others(desk: Desk) -> None:
    now = desk.evm.time
    desk.oracle.push(
        [
            (feed(SPOT), 0, WAD, now),
            (feed(MARK), 3000 * WAD, WAD, now + 1),
            (feed(MARK), 3001 * WAD, WAD, now),
        ],
        sender=desk.source,
    )
    assert refusals(desk.evm.events) == ["not positive", "from the future"]
    assert desk.report(MARK) == 3001 * WAD


def test_push_reverts_for_a_stranger(desk: Desk) -> None:
    with pytest.raises(Reverted, match="oracle: not a source"):
        desk.push(SPOT, WAD, sender=desk.evm.address("stranger"))
    with pytest.raises(Reverted, match="oracle: not a source"):
        desk.oracle.push_surfaces(
            [Slice(ETH, desk.evm.time + DAY, WAD)], sender=desk.evm.address("stranger")
        )


def test_a_source_reports_its_own_feeds_only(desk: Desk) -> None:
    with pytest.raises(Reverted, match="oracle: not a source"):
        desk.push(SPOT, WAD, BTC)
    with pytest.raises(Reverted, match="oracle: not a source"):
        desk.oracle.push([(feed(0), WAD, WAD, 0)], sender=desk.source)


@pytest.mark.parametrize(
    ("kind", "expires"), [(SPOT, True), (MARK, True), (FORWARD, False), (RATE, False), (VOL, True)]
)
def test_push_reverts_for_an_unknown_feed(desk: Desk, kind: int, expires: bool) -> None:
    expiry = desk.evm.time + DAY if expires else 0
    with pytest.raises(Reverted, match="oracle: unknown feed"):
        desk.push(kind, WAD, ETH, expiry)


def test_push_reverts_for_too_fine_a_value(desk: Desk) -> None:
    with pytest.raises(Reverted, match="oracle: too fine a value"):
        desk.push(SPOT, WAD + 1)
    with pytest.raises(Reverted, match="oracle: too fine a value"):
        desk.push(RATE, 10**8 + 1, ETH, desk.evm.time + DAY)


def test_push_reverts_for_a_confidence_above_one(desk: Desk) -> None:
    with pytest.raises(Reverted, match="oracle: confidence above one"):
        desk.push(SPOT, WAD, confidence=WAD + 1)
    with pytest.raises(Reverted, match="oracle: confidence above one"):
        desk.shape(ETH, desk.evm.time + DAY, confidence=WAD + 1)


# Several sources


@pytest.fixture
def trio(desk: Desk) -> list[str]:
    """Three sources of the spot, two of which must agree within 1 %."""
    sources = [desk.evm.address(name) for name in ("kraken", "coinbase", "binance")]
    desk.configure(SPOT, ETH, *sources, quorum=2)
    return sources


def speak(desk: Desk, sources: list[str], *prices: int) -> list[str]:
    """Have each source report a price in dollars; return the names of the events."""
    names = []
    for source, price in zip(sources, prices, strict=False):
        events = desk.push(SPOT, price * WAD, sender=source)
        names += [event.name for event in events]
    return names


@given(order=st.permutations([2990, 3000, 3005]))
@settings(max_examples=6, deadline=None)
def test_the_median_of_three(order: list[int]) -> None:
    desk = Desk(Evm())
    sources = [desk.evm.address(name) for name in "abc"]
    desk.configure(SPOT, ETH, *sources, quorum=2)
    assert speak(desk, sources, *order)[-1] == "Reported"
    assert desk.report(SPOT) == 3000 * WAD


def test_the_median_of_two_is_their_mean_rounded_down(desk: Desk, trio: list[str]) -> None:
    desk.push(SPOT, 3000 * WAD, sender=trio[0])
    desk.push(SPOT, 3001 * WAD + 10**9, sender=trio[1])
    assert desk.report(SPOT) == 3000 * WAD + WAD // 2


def test_below_the_quorum_nothing_is_agreed(desk: Desk, trio: list[str]) -> None:
    assert speak(desk, trio, 3000) == ["Disputed"]
    assert desk.oracle.report(feed(SPOT)) == (0, 0, 0)
    assert speak(desk, trio[1:], 3000) == ["Reported"]


def test_one_lying_source_moves_nothing(desk: Desk, trio: list[str]) -> None:
    speak(desk, trio, 3000, 3000, 3000)
    desk.evm.time += 60
    speak(desk, trio, 3002, 1, 3003)
    assert desk.report(SPOT) == 3002 * WAD


def test_a_dispute_keeps_the_last_agreed_price_and_lets_it_age(desk: Desk, trio: list[str]) -> None:
    speak(desk, trio, 3000, 3000, 3000)
    agreed_at = desk.evm.time
    desk.evm.time += 60
    assert speak(desk, trio, 2000, 2500) == ["Reported", "Disputed"]
    assert desk.oracle.report(feed(SPOT)) == (3000 * WAD, WAD, agreed_at)
    assert speak(desk, trio[2:], 2501) == ["Reported"]
    assert desk.oracle.report(feed(SPOT)) == (2500 * WAD, WAD, desk.evm.time)


def test_agreement_is_exact_at_the_deviation_bound(desk: Desk) -> None:
    sources = [desk.evm.address(name) for name in "abc"]
    desk.configure(SPOT, ETH, *sources, quorum=3, deviation=WAD // 100)
    assert speak(desk, sources, 990, 1000, 1010)[-1] == "Reported"
    desk.evm.time += 1
    desk.push(SPOT, 1010 * WAD + 10**9, sender=sources[2])
    assert [event.name for event in desk.evm.events] == ["Disputed"]


def test_a_frozen_source_drops_out(desk: Desk, trio: list[str]) -> None:
    speak(desk, trio, 3000, 3000, 3000)
    for _ in range(3):
        desk.evm.time += HOUR // 2
        speak(desk, trio[:2], 2000, 2004)
    assert desk.report(SPOT) == 2002 * WAD


def test_the_time_agreed_is_when_a_quorum_had_spoken(desk: Desk, trio: list[str]) -> None:
    start = desk.evm.time
    speak(desk, trio, 3000, 3000, 3000)
    desk.evm.time += 60
    speak(desk, trio, 3001)
    assert desk.oracle.report(feed(SPOT))[2] == start
    desk.evm.time += 60
    speak(desk, trio[1:], 3001)
    assert desk.oracle.report(feed(SPOT))[2] == start + 60


def test_confidence_is_the_median_of_those_that_agree(desk: Desk, trio: list[str]) -> None:
    """No source of three sets it alone, wherever its price lies; of two it is the lower."""

    def agreed(*reports: tuple[int, int]) -> int:
        for source, (price, confidence) in zip(trio, reports, strict=True):
            desk.push(SPOT, price * WAD, confidence=confidence * WAD // 100, sender=source)
        level: int = desk.oracle.report(feed(SPOT))[1]
        return level * 100 // WAD

    assert agreed((2999, 70), (3000, 10), (3001, 90)) == 70
    assert agreed((2999, 70), (3000, 100), (3001, 90)) == 90
    assert agreed((2999, 70), (3000, 60), (4000, 0)) == 60


def test_each_source_keeps_its_own_order(desk: Desk, trio: list[str]) -> None:
    now = desk.evm.time
    speak(desk, trio, 3000, 3000)
    events = desk.push(SPOT, 2999 * WAD, time=now - 30, sender=trio[2])
    assert refusals(events) == []
    events = desk.push(SPOT, 2998 * WAD, time=now - 31, sender=trio[2])
    assert refusals(events) == ["out of order"]
    assert desk.oracle.observation(feed(SPOT), trio[2]) == (2999 * WAD, WAD, now - 30)
    assert desk.oracle.observation(feed(SPOT), desk.source) == (0, 0, 0)


def test_rates_have_a_median_too(desk: Desk) -> None:
    sources = [desk.evm.address(name) for name in "abc"]
    desk.configure(RATE, ETH, *sources, quorum=3, deviation=WAD // 50)
    expiry = desk.evm.time + DAY
    for source, rate in zip(sources, (-WAD // 100, WAD // 100, 0), strict=True):
        desk.push(RATE, rate, ETH, expiry, sender=source)
    assert desk.report(RATE, ETH, expiry) == 0
    assert desk.oracle.observation(feed(RATE, ETH, expiry), sources[0])[0] == -WAD // 100
    desk.evm.time += 1
    desk.push(RATE, WAD // 50 + 10**8, ETH, expiry, sender=sources[1])
    assert [event.name for event in desk.evm.events] == ["Disputed"]


@given(
    prices=st.lists(st.integers(990, 1010), min_size=1, max_size=8),
    quorum=st.integers(1, 8),
)
@settings(max_examples=25, deadline=None)
def test_the_median_of_any_number(prices: list[int], quorum: int) -> None:
    import statistics

    quorum = min(quorum, len(prices))
    desk = Desk(Evm())
    sources = [desk.evm.address(f"s{i}") for i in range(len(prices))]
    desk.configure(SPOT, ETH, *sources, quorum=quorum, deviation=WAD // 10)
    speak(desk, sources, *prices)
    expected = statistics.median(map(Fraction, prices)) * WAD
    assert desk.report(SPOT) == expected // 10**9 * 10**9


# Confidence over time


def test_a_jump_is_accepted_and_lowers_confidence(desk: Desk) -> None:
    desk.configure(SPOT, jump=WAD // 20)
    desk.push(SPOT, 3000 * WAD)
    desk.evm.time += 60
    desk.push(SPOT, 2400 * WAD)
    assert desk.oracle.report(feed(SPOT))[:2] == (2400 * WAD, WAD // 4)


def test_a_move_up_to_the_bound_is_calm(desk: Desk) -> None:
    desk.configure(SPOT, jump=WAD // 20)
    desk.push(SPOT, 3000 * WAD)
    desk.evm.time += 60
    desk.push(SPOT, 3150 * WAD)
    assert desk.oracle.report(feed(SPOT))[1] == WAD


def test_confidence_recovers_over_time(desk: Desk) -> None:
    desk.configure(SPOT, jump=WAD // 20, recovery=600)
    desk.push(SPOT, 3000 * WAD)
    desk.evm.time += 60
    desk.push(SPOT, 2400 * WAD)
    for expected in (35, 45, 55):
        desk.evm.time += 60
        desk.push(SPOT, 2400 * WAD)
        assert desk.oracle.report(feed(SPOT))[1] == expected * WAD // 100
    desk.evm.time += 600
    desk.push(SPOT, 2400 * WAD, confidence=9 * WAD // 10)
    assert desk.oracle.report(feed(SPOT))[1] == 9 * WAD // 10


def test_a_jump_of_a_rate_is_absolute(desk: Desk) -> None:
    desk.configure(RATE, jump=WAD // 100)
    expiry = desk.evm.time + DAY
    desk.push(RATE, 0, ETH, expiry)
    desk.evm.time += 1
    desk.push(RATE, -WAD // 50, ETH, expiry)
    assert desk.oracle.report(feed(RATE, ETH, expiry))[1] == WAD // 2


@pytest.mark.parametrize(
    ("terms", "confidence"),
    [
        ({"a": WAD // 4}, WAD),
        ({"a": WAD * 3 // 10}, WAD),
        ({"a": WAD // 2}, WAD // 5),
        ({"a": WAD // 2, "tau": 2 * 365 * DAY}, WAD),
        ({"a": WAD // 8, "b": WAD, "rho": 0, "m": 0, "sigma": WAD // 8}, WAD),
        ({"a": WAD // 20, "b": WAD // 2, "rho": WAD // 5, "m": WAD // 2, "sigma": 10**9}, WAD),
        ({"a": -WAD // 20, "b": WAD, "rho": WAD // 5, "m": -WAD // 4, "sigma": 10**9}, WAD),
    ],
)
def test_a_jump_of_vol_is_one_of_variance_at_the_money(
    desk: Desk, expiry: int, terms: dict[str, int], confidence: int
) -> None:
    """However a slice is written: 0.25 a year may become 0.30 in calm, and not 0.50."""
    desk.configure(VOL, jump=WAD // 5)
    desk.evm.time += 60
    desk.shape(ETH, expiry, **terms)
    word = desk.oracle.market([option(ETH, expiry)], []).expiries[0].terms
    assert read_terms(word).confidence == confidence


def test_confidence_in_vol_recovers_over_time(desk: Desk, expiry: int) -> None:
    desk.configure(VOL, jump=WAD // 5, recovery=600)
    desk.evm.time += 60
    desk.shape(ETH, expiry, a=WAD // 2)
    for expected in (20, 30, 40):
        word = desk.oracle.market([option(ETH, expiry)], []).expiries[0].terms
        assert read_terms(word).confidence == expected * WAD // 100
        desk.evm.time += 60
        desk.shape(ETH, expiry, a=WAD // 2)


# Freshness by purpose


def test_a_fresh_market_serves_every_purpose(desk: Desk, expiry: int) -> None:
    market = desk.oracle.market([perpetual(ETH), option(ETH, expiry)], [])
    assert market.usable == ALL
    assert market.time == desk.evm.time
    assert market.stable == WAD
    (eth,) = market.underlyings
    assert (eth.id, eth.spot, eth.spot_confidence) == (ETH, 3000 * WAD, WAD)
    assert (eth.mark, eth.mark_confidence) == (3000 * WAD, WAD)
    terms = read_terms(market.expiries[0].terms)
    assert terms == (3010 * WAD, 0, WAD // 20, WAD, expiry, ETH)


def needed(expiry: int) -> list[tuple[int, int, int]]:
    return [
        (STABLE, 0, WAD),
        (SPOT, 0, 3000 * WAD),
        (MARK, 0, 3000 * WAD),
        (FORWARD, expiry, 3010 * WAD),
        (RATE, expiry, WAD // 20),
        (VOL, expiry, 0),
    ]


@pytest.mark.parametrize("stale", [STABLE, SPOT, MARK, FORWARD, RATE, VOL])
def test_every_feed_counts_for_its_purpose(desk: Desk, expiry: int, stale: int) -> None:
    """Opening within an hour, liquidation within six, closing always."""
    start = desk.evm.time
    book = [perpetual(ETH), option(ETH, expiry)]
    for age, usable in (
        (HOUR, ALL),
        (HOUR + 1, CLOSING | LIQUIDATION),
        (6 * HOUR, CLOSING | LIQUIDATION),
        (6 * HOUR + 1, CLOSING),
    ):
        desk.evm.time = start + age
        for kind, when, value in needed(expiry):
            if kind == VOL != stale:
                desk.shape(ETH, expiry)
            elif kind != stale:
                desk.push(kind, value, 0, when)
        assert desk.oracle.market(book, []).usable == usable


@pytest.mark.parametrize("missing", [STABLE, SPOT, MARK, FORWARD, RATE, VOL])
def test_a_missing_price_serves_no_purpose(desk: Desk, missing: int) -> None:
    expiry = desk.evm.time + DAY
    for kind, when, value in needed(expiry):
        if kind == VOL != missing:
            desk.shape(ETH, expiry)
        elif kind != missing:
            desk.push(kind, value, 0, when)
    assert desk.oracle.market([perpetual(ETH), option(ETH, expiry)], []).usable == 0


def test_a_book_without_perpetuals_needs_no_mark(desk: Desk, expiry: int) -> None:
    start = desk.evm.time
    desk.evm.time = start + 2 * HOUR
    for kind, when, value in needed(expiry):
        if kind not in (MARK, VOL):
            desk.push(kind, value, 0, when)
    desk.shape(ETH, expiry)
    assert desk.oracle.market([option(ETH, expiry)], []).usable == ALL
    assert desk.oracle.market([option(ETH, expiry)], []).underlyings[0].mark == 0
    assert desk.oracle.market([perpetual(ETH)], []).usable == CLOSING | LIQUIDATION


def test_the_confidence_of_an_expiry_is_the_least(desk: Desk) -> None:
    expiry = desk.evm.time + DAY
    for low in (FORWARD, RATE, VOL):
        given = {kind: WAD // 10 if kind == low else WAD // 2 for kind in (FORWARD, RATE, VOL)}
        desk.push(FORWARD, 3000 * WAD, ETH, expiry, confidence=given[FORWARD])
        desk.push(RATE, 0, ETH, expiry, confidence=given[RATE])
        desk.shape(ETH, expiry, confidence=given[VOL])
        word = desk.oracle.market([option(ETH, expiry)], []).expiries[0].terms
        assert read_terms(word).confidence == WAD // 10


def test_a_market_holds_each_expiry_once_and_in_order(desk: Desk) -> None:
    desk.list_underlying(BTC)
    first, second = desk.evm.time + DAY, desk.evm.time + 2 * DAY
    book = [
        perpetual(ETH),
        option(ETH, first, 2000 * WAD),
        option(ETH, first, 3000 * WAD, kind=3),
        option(ETH, second),
        option(BTC, first),
        option(BTC, first, 4000 * WAD),
    ]
    market = desk.oracle.market(book, [])
    assert [u.id for u in market.underlyings] == [ETH, BTC]
    assert [read_terms(e.terms)[-2:] for e in market.expiries] == [
        (first, ETH),
        (second, ETH),
        (first, BTC),
    ]


def test_an_empty_book_needs_the_stablecoin_only(desk: Desk) -> None:
    assert desk.oracle.market([], []).usable == 0
    desk.push(STABLE, WAD)
    assert desk.oracle.market([], []).usable == ALL


def test_an_asset_brings_the_underlying_that_it_moves_with(desk: Desk) -> None:
    for id in (1, 2, 3):
        desk.list_underlying(id)
        desk.push(SPOT, id * WAD, id)
    desk.push(STABLE, WAD)
    for asset, underlying in ((1, 3), (2, NO_UNDERLYING), (3, 1), (4, 3)):
        desk.configure(ASSET, asset)
        desk.oracle.set_asset(asset, underlying)
        desk.push(ASSET, asset * WAD, asset, confidence=WAD // 2)
    market = desk.oracle.market([perpetual(2)], [1, 2, 3, 4])
    assert [(u.id, u.spot) for u in market.underlyings] == [(1, WAD), (2, 2 * WAD), (3, 3 * WAD)]
    assert [tuple(asset) for asset in market.assets] == [
        (1, 3, WAD, WAD // 2),
        (2, NO_UNDERLYING, 2 * WAD, WAD // 2),
        (3, 1, 3 * WAD, WAD // 2),
        (4, 3, 4 * WAD, WAD // 2),
    ]


def test_the_freshness_of_an_asset_and_its_underlying_count(desk: Desk) -> None:
    desk.configure(ASSET, 1)
    desk.oracle.set_asset(1, ETH)
    for kind, id, value in ((STABLE, 0, WAD), (SPOT, 0, WAD), (ASSET, 1, WAD)):
        desk.push(kind, value, id)
    assert desk.oracle.market([], [1]).usable == ALL
    for late in (SPOT, ASSET):
        desk.evm.time += HOUR + 1
        for kind, id, value in ((STABLE, 0, WAD), (SPOT, 0, WAD), (ASSET, 1, WAD)):
            if kind != late:
                desk.push(kind, value, id)
        assert desk.oracle.market([], [1]).usable == CLOSING | LIQUIDATION


def test_an_unknown_asset_serves_no_purpose(desk: Desk) -> None:
    desk.push(STABLE, WAD)
    market = desk.oracle.market([], [5])
    assert market.usable == 0
    assert tuple(market.assets[0]) == (5, NO_UNDERLYING, 0, 0)


# Volatility slices


def test_a_slice_is_packed_as_the_interface_says(desk: Desk, expiry: int) -> None:
    terms = {
        "a": -(10**15),
        "b": WAD // 10,
        "rho": -4 * WAD // 10,
        "m": -WAD // 20,
        "sigma": 3 * WAD // 10,
        "tau": 7 * DAY,
    }
    (event,) = desk.shape(ETH, expiry, **terms)
    (seen,) = desk.oracle.market([option(ETH, expiry)], []).expiries
    assert read_surface(seen.surface) == terms
    assert event.name == "Shaped"
    assert event.args["surface"] == seen.surface


@pytest.mark.parametrize(
    "terms",
    [
        {"tau": 0},
        {"tau": 2**32},
        {"sigma": 0},
        {"sigma": -WAD},
        {"sigma": 2**40 * 10**9},
        {"b": -(10**6)},
        {"b": 2**48 * 10**6},
        {"a": 2**47 * 10**6},
        {"m": 2**39 * 10**9},
        {"m": -(2**39) * 10**9},
        {"rho": WAD},
        {"rho": -WAD},
    ],
)
def test_a_slice_that_does_not_fit_its_word_is_refused(
    desk: Desk, expiry: int, terms: dict[str, int]
) -> None:
    before = desk.oracle.market([option(ETH, expiry)], []).expiries
    assert refusals(desk.shape(ETH, expiry, **terms)) == ["out of range"]
    assert desk.oracle.market([option(ETH, expiry)], []).expiries == before


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"b": 2 * WAD + 10**6, "sigma": 4 * WAD}, "steep wings"),
        ({"b": WAD + 10**9, "rho": 999_999_999 * 10**9}, "steep wings"),
        ({"a": -WAD // 10 - 10**6, "b": WAD, "sigma": WAD // 10}, "below zero"),
        (
            {"a": -6 * WAD // 100 - 10**6, "b": WAD, "sigma": WAD // 10, "rho": -8 * WAD // 10},
            "below zero",
        ),
        # Variance of 0 at one strike: the density is all there.
        ({"a": -WAD // 10, "b": WAD, "sigma": WAD // 10}, "butterfly"),
        # Axel Vogt's slice, of Gatheral and Jacquier's example 3.1.
        (
            {
                "a": -41 * WAD // 1000,
                "b": 1331 * WAD // 10_000,
                "rho": 306 * WAD // 1000,
                "m": 3586 * WAD // 10_000,
                "sigma": 4153 * WAD // 10_000,
            },
            "butterfly",
        ),
    ],
)
def test_a_slice_that_allows_arbitrage_is_refused(
    desk: Desk, expiry: int, terms: dict[str, int], reason: str
) -> None:
    before = desk.oracle.market([option(ETH, expiry)], []).expiries
    assert refusals(desk.shape(ETH, expiry, **{"a": 0, **terms})) == [reason]
    assert desk.oracle.market([option(ETH, expiry)], []).expiries == before


@pytest.mark.parametrize(
    "terms",
    [
        {"a": 0, "b": 2 * WAD, "sigma": 4 * WAD},
        {"a": 0, "b": 0},
        {"a": WAD, "b": 0},
        {"a": WAD // 100, "b": WAD // 10, "rho": -9 * WAD // 10, "sigma": WAD // 2},
    ],
)
def test_a_slice_at_the_bound_is_accepted(desk: Desk, expiry: int, terms: dict[str, int]) -> None:
    assert refusals(desk.shape(ETH, expiry, **terms)) == []


def test_the_density_of_a_slice_is_judged_as_the_reference_does(desk: Desk, expiry: int) -> None:
    """Nothing free of arbitrage is refused; what is accepted is free of it but for a trace."""
    rng = random.Random(7)
    verdicts = []
    while len(verdicts) < 200:
        b, rho = round(10 ** rng.uniform(-2.5, 0), 9), round(rng.uniform(-0.9, 0.9), 6)
        m, sigma = round(rng.gauss(0, 0.15), 6), round(10 ** rng.uniform(-1.5, 0), 6)
        least = b * sigma * math.sqrt(1 - rho**2)
        a = round(10 ** rng.uniform(-5, -0.5) - least * rng.uniform(-1, 1), 9)
        if b * (1 + abs(rho)) > 2 or a + least <= 0:
            continue
        terms = {"a": a, "b": b, "rho": rho, "m": m, "sigma": sigma}
        found = refusals(
            desk.shape(ETH, expiry, **{k: round(v * 10**9) * 10**9 for k, v in terms.items()})
        )
        wrong = Svi(**terms).butterfly()
        if found:
            assert found == ["butterfly"]
            assert not wrong.ok
        else:
            assert wrong.ok or wrong.amount.max() < 0.1
        verdicts.append((bool(found), wrong.ok))
    assert min(verdicts.count((True, False)), verdicts.count((False, True))) > 30


def test_a_slice_out_of_order_or_from_the_future_is_refused(desk: Desk, expiry: int) -> None:
    now = desk.evm.time
    assert refusals(desk.shape(ETH, expiry, time=now + 1)) == ["from the future"]
    assert refusals(desk.shape(ETH, expiry, time=now - 1)) == ["out of order"]


@pytest.mark.parametrize("terms", [{"a": 1}, {"b": 1}, {"rho": 1}, {"m": 1}, {"sigma": WAD + 1}])
def test_push_surfaces_reverts_for_too_fine_a_value(desk: Desk, expiry: int, terms: dict) -> None:
    with pytest.raises(Reverted, match="oracle: too fine a value"):
        desk.shape(ETH, expiry, **terms)


@pytest.mark.parametrize("expiry", [0, 2**32])
def test_push_surfaces_reverts_for_an_unknown_feed(desk: Desk, expiry: int) -> None:
    with pytest.raises(Reverted, match="oracle: unknown feed"):
        desk.shape(ETH, expiry)


# Mark and funding


@pytest.mark.parametrize(
    ("mark", "clamped"), [(3000, 3000), (3150, 3150), (3151, 3150), (9000, 3150), (1, 2850)]
)
def test_the_mark_stays_within_its_band(desk: Desk, mark: int, clamped: int) -> None:
    desk.push(SPOT, 3000 * WAD)
    desk.push(MARK, mark * WAD)
    assert desk.oracle.perp(ETH)[0] == clamped * WAD
    assert desk.report(MARK) == mark * WAD
    desk.push(STABLE, WAD)
    assert desk.oracle.market([perpetual(ETH)], []).underlyings[0].mark == clamped * WAD


def test_the_band_moves_with_the_index(desk: Desk) -> None:
    desk.push(SPOT, 3000 * WAD)
    desk.push(MARK, 3000 * WAD)
    desk.push(SPOT, 2000 * WAD)
    assert desk.oracle.perp(ETH)[0] == 2100 * WAD


def test_a_perpetual_without_mark_or_index(desk: Desk) -> None:
    assert desk.oracle.perp(ETH) == (0, 0)
    desk.push(MARK, 3000 * WAD)
    assert desk.oracle.perp(ETH) == (3000 * WAD, 0)


def test_funding_accrues_the_premium_held_since_the_last_push(desk: Desk) -> None:
    desk.push(SPOT, 3000 * WAD)
    desk.push(MARK, 3030 * WAD)
    hourly = 3000 * WAD // 100 // 8
    assert desk.oracle.perpetual(ETH) == (Perpetual(), hourly)
    desk.evm.time += 2 * HOUR
    assert desk.oracle.perp(ETH)[1] == 2 * hourly
    desk.push(MARK, 2970 * WAD)
    assert desk.evm.events[0].name == "Accrued"
    assert desk.evm.events[0].args == {"underlying": ETH, "index": 2 * hourly, "hourly": -hourly}
    desk.evm.time += 3 * HOUR
    assert desk.oracle.perp(ETH)[1] == -hourly


@pytest.mark.parametrize(("base", "mark"), [(WAD // 1000, 3150), (-WAD // 1000, 2850)])
def test_funding_is_capped(desk: Desk, base: int, mark: int) -> None:
    desk.oracle.set_perpetual(ETH, Perpetual(base=base, cap=abs(base)))
    desk.push(SPOT, 3000 * WAD)
    desk.push(MARK, 3000 * WAD)
    assert desk.oracle.perpetual(ETH)[1] == 3 * base * 1000
    desk.push(MARK, mark * WAD)
    assert desk.oracle.perpetual(ETH)[1] == 3 * base * 1000


@pytest.mark.parametrize("sign", [1, -1])
def test_funding_at_the_edge_of_every_field(desk: Desk, sign: int) -> None:
    """The highest price, the widest band and the highest cap, for a year."""
    spot = (2**70 - 1) * 10**9
    desk.oracle.set_perpetual(ETH, Perpetual(WAD // 10, HOUR, 0, WAD // 100))
    desk.push(SPOT, spot)
    desk.push(MARK, spot if sign > 0 else 10**9)
    desk.push(SPOT, spot - 2**69 * 10**9 if sign > 0 else spot)
    desk.push(MARK, spot if sign > 0 else 10**9)
    flow = desk.oracle.perpetual(ETH)[1]
    assert flow == sign * (2**70 - 1 - (2**69 if sign > 0 else 0)) * 10**9 // 100
    desk.evm.time += 365 * DAY
    assert desk.oracle.perp(ETH)[1] == sign * (abs(flow) * 365 * 24 // 10**9 * 10**9)


def test_the_funding_index_is_a_multiple_of_its_unit_however_often_it_is_pushed(desk: Desk) -> None:
    desk.push(SPOT, 3000 * WAD)
    for minute in range(20):
        desk.push(MARK, (3001 + minute) * WAD)
        desk.evm.time += 7
        index = desk.oracle.perp(ETH)[1]
        assert index % 10**9 == 0
        assert desk.oracle.market([perpetual(ETH)], []).underlyings[0].funding_index == index


@given(
    moves=st.lists(
        st.tuples(st.integers(2500, 3500), st.integers(2500, 3500), st.integers(1, 5000)),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=25, deadline=None)
def test_funding_is_that_of_the_formula(moves: list[tuple[int, int, int]]) -> None:
    """PROTOCOL 4 in exact fractions; the chain loses less than 2e-9 a push."""
    desk = Desk(Evm())
    desk.list_underlying(ETH)
    terms = Perpetual(base=WAD // 10_000, cap=WAD // 500)
    desk.oracle.set_perpetual(ETH, terms)
    exact = Fraction(0)
    for spot, mark, seconds in moves:
        desk.push(SPOT, spot * WAD)
        desk.push(MARK, mark * WAD)
        desk.evm.time += seconds
        clamped = min(max(mark, Fraction(95 * spot, 100)), Fraction(105 * spot, 100))
        hourly = (clamped - spot) / spot / 8 + Fraction(terms.base, WAD)
        cap = Fraction(terms.cap, WAD)
        exact += min(max(hourly, -cap), cap) * spot * Fraction(seconds, HOUR)
    error = Fraction(desk.oracle.perp(ETH)[1], WAD) - exact
    assert abs(error) < Fraction(2 * len(moves), 10**9)


# Settlement


def walk(desk: Desk, expiry: int, *steps: tuple[int, int]) -> None:
    """Push forwards (in dollars) at seconds before expiry."""
    for before, price in steps:
        desk.evm.time = expiry - before
        desk.push(FORWARD, price * WAD, ETH, expiry)


def test_the_forward_is_fixed_bit_by_bit(desk: Desk, expiry: int) -> None:
    """F(x) = F_fixed + x·F_variable over the last half hour, once there is a mean to settle at."""

    def seen() -> Terms:
        return read_terms(desk.oracle.market([option(ETH, expiry)], []).expiries[0].terms)

    desk.evm.time = expiry - WINDOW
    assert (seen().variable, seen().fixed) == (3010 * WAD, 0)
    walk(desk, expiry, (1600, 3010), (1500, 3010), (1400, 3010), (1300, 3010))
    assert (seen().variable, seen().fixed) == (3010 * WAD, 0)

    walk(desk, expiry, (1200, 2400))
    assert (seen().variable, seen().fixed) == (1600 * WAD, 3010 * WAD // 3 // 10**9 * 10**9)

    desk.evm.time = expiry - 600
    terms = seen()
    assert terms.variable == 800 * WAD
    assert desk.oracle.window(ETH, expiry) == (terms.fixed, 5)
    assert terms.fixed == (3010 * 600 + 2400 * 600) * WAD // 1800 // 10**9 * 10**9


def test_there_is_no_settlement_price_before_expiry(desk: Desk, expiry: int) -> None:
    desk.evm.time = expiry - 1
    assert desk.oracle.settlement_price(ETH, expiry) == 0


def test_options_settle_at_the_mean_of_the_window(desk: Desk, expiry: int) -> None:
    walk(
        desk,
        expiry,
        (2000, 3000),
        (1500, 3100),
        (1200, 3200),
        (900, 3300),
        (600, 3400),
        (300, 3500),
    )
    desk.evm.time = expiry
    expected = (3000 + 3100 + 3200 + 3300 + 3400 + 3500) * 300 * WAD // 1800
    assert desk.oracle.settlement_price(ETH, expiry) == expected
    assert desk.oracle.window(ETH, expiry) == (expected, 5)


def test_with_too_few_samples_the_last_forward_settles(desk: Desk, expiry: int) -> None:
    walk(desk, expiry, (2000, 3000), (1500, 3100), (1200, 3200), (900, 3300), (1, 3400))
    desk.evm.time = expiry
    assert desk.oracle.settlement_price(ETH, expiry) == 3400 * WAD


def test_pushes_of_one_block_are_one_sample(desk: Desk, expiry: int) -> None:
    desk.evm.time = expiry - 900
    for age in range(9, -1, -1):
        desk.push(FORWARD, 3000 * WAD, ETH, expiry, time=desk.evm.time - age)
    assert desk.oracle.window(ETH, expiry)[1] == 1


def test_a_report_said_again_is_no_sample(desk: Desk, expiry: int) -> None:
    """Nor does it keep a later report of its block from being one."""
    desk.evm.time = expiry - 900
    desk.push(FORWARD, 3000 * WAD, ETH, expiry)
    for _ in range(9):
        desk.evm.time += 12
        desk.push(FORWARD, 3000 * WAD, ETH, expiry, time=expiry - 900)
    assert desk.oracle.window(ETH, expiry)[1] == 1
    desk.push(FORWARD, 3000 * WAD, ETH, expiry)
    assert desk.oracle.window(ETH, expiry)[1] == 2


def test_with_no_forward_ever_the_spot_settles(desk: Desk) -> None:
    expiry = desk.evm.time + HOUR
    desk.push(SPOT, 3000 * WAD)
    desk.evm.time = expiry
    assert desk.oracle.settlement_price(ETH, expiry) == 3000 * WAD


def test_a_first_forward_inside_the_window_stands_for_its_beginning(desk: Desk) -> None:
    expiry = desk.evm.time + 900
    desk.push(FORWARD, 3000 * WAD, ETH, expiry)
    assert desk.oracle.window(ETH, expiry) == (1500 * WAD, 1)


def test_the_settlement_price_is_final(desk: Desk, expiry: int) -> None:
    walk(desk, expiry, (1500, 3100), (1200, 3200), (900, 3300), (600, 3400), (300, 3500))
    desk.evm.time = expiry
    price = desk.oracle.settlement_price(ETH, expiry)
    desk.push(FORWARD, 1 * WAD, ETH, expiry)
    desk.push(SPOT, 1 * WAD)
    desk.oracle.configure(feed(FORWARD), Policy(quorum=0), [])
    desk.evm.time += 30 * DAY
    assert desk.oracle.settlement_price(ETH, expiry) == price


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 2400), st.integers(1000, 5000)),
        min_size=5,
        max_size=12,
        unique_by=lambda step: step[0],
    )
)
@settings(max_examples=25, deadline=None)
def test_the_mean_is_that_of_the_step_function(steps: list[tuple[int, int]]) -> None:
    desk = Desk(Evm(), min_samples=1)
    desk.configure(FORWARD)
    expiry = desk.evm.time + DAY
    desk.push(FORWARD, 3000 * WAD, ETH, expiry)
    held, area, since = 3000, 0, WINDOW
    for before, price in sorted(steps, reverse=True):
        walk(desk, expiry, (before, price))
        area += held * max(0, since - min(before, WINDOW))
        held, since = price, min(before, WINDOW)
    area += held * since
    desk.evm.time = expiry
    exact = area * WAD // WINDOW // 10**9 * 10**9
    last = min(steps)[1] * WAD
    sampled = any(before <= WINDOW for before, _ in steps)
    assert desk.oracle.settlement_price(ETH, expiry) == (exact if sampled else last)


# Configuration


def test_configure_replaces_the_sources(desk: Desk) -> None:
    new = desk.evm.address("new")
    desk.oracle.configure(feed(SPOT), Policy(), [new])
    (event,) = desk.evm.events
    assert event.name == "Configured"
    assert desk.oracle.policy(feed(SPOT)) == (Policy(), [new])
    desk.push(SPOT, WAD, sender=new)
    with pytest.raises(Reverted, match="oracle: not a source"):
        desk.push(SPOT, WAD)


def test_a_class_without_sources_takes_no_reports(desk: Desk) -> None:
    desk.oracle.configure(feed(SPOT), Policy(quorum=0), [])
    with pytest.raises(Reverted, match="oracle: not a source"):
        desk.push(SPOT, WAD)


@pytest.mark.parametrize(
    ("name", "policy", "sources", "reason"),
    [
        (feed(0), Policy(), 1, "unknown feed"),
        (feed(8), Policy(), 1, "unknown feed"),
        (feed(SPOT, ETH, 1), Policy(), 1, "unknown feed"),
        (feed(SPOT, 255), Policy(), 1, "unknown feed"),
        (feed(STABLE, 1), Policy(), 1, "unknown feed"),
        (feed(SPOT), Policy(quorum=0), 1, "no quorum"),
        (feed(SPOT), Policy(quorum=2), 1, "quorum above sources"),
        (feed(VOL), Policy(), 2, "one source of vol"),
        (feed(SPOT), Policy(opening=7 * HOUR), 1, "opening outlasts liquidation"),
        (feed(SPOT), Policy(liquidation=7 * DAY + 1), 1, "heartbeat too long"),
        (feed(SPOT), Policy(opening=2 * DAY + 1, liquidation=7 * DAY), 1, "heartbeat too long"),
        (feed(SPOT), Policy(deviation=WAD + 1), 1, "bound too wide"),
        (feed(SPOT), Policy(jump=WAD + 1), 1, "bound too wide"),
        (feed(SPOT), Policy(recovery=DAY + 1), 1, "recovery too slow"),
    ],
)
def test_configure_reverts(
    desk: Desk, name: int, policy: Policy, sources: int, reason: str
) -> None:
    named = [desk.evm.address(f"s{i}") for i in range(sources)]
    with pytest.raises(Reverted, match=f"oracle: {reason}"):
        desk.oracle.configure(name, policy, named)


def test_configure_reverts_for_bad_sources(desk: Desk) -> None:
    with pytest.raises(Reverted, match="oracle: zero source"):
        desk.oracle.configure(feed(SPOT), Policy(), ["0x" + "00" * 20])
    with pytest.raises(Reverted, match="oracle: source named twice"):
        desk.oracle.configure(feed(SPOT), Policy(), [desk.source] * 2)


def test_there_are_at_most_eight_underlyings(desk: Desk) -> None:
    for id in range(8):
        desk.configure(SPOT, id)
    assert desk.oracle.underlyings() == list(range(8))
    with pytest.raises(Reverted, match="oracle: too many underlyings"):
        desk.configure(SPOT, 8)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (Perpetual(band=WAD // 10 + 1), "band too wide"),
        (Perpetual(period=HOUR - 1), "period too short"),
        (Perpetual(period=30 * DAY + 1), "period too long"),
        (Perpetual(cap=WAD // 100 + 1), "cap too high"),
        (Perpetual(base=WAD // 100 + 1), "base above cap"),
        (Perpetual(base=-WAD // 100 - 1), "base above cap"),
    ],
)
def test_set_perpetual_reverts(desk: Desk, terms: Perpetual, reason: str) -> None:
    with pytest.raises(Reverted, match=f"oracle: {reason}"):
        desk.oracle.set_perpetual(ETH, terms)


def test_set_perpetual_and_set_asset_revert_for_the_unknown(desk: Desk) -> None:
    with pytest.raises(Reverted, match="oracle: unknown underlying"):
        desk.oracle.set_perpetual(BTC, Perpetual())
    with pytest.raises(Reverted, match="oracle: unknown underlying"):
        desk.oracle.set_asset(1, BTC)
    with pytest.raises(Reverted, match="oracle: unknown asset"):
        desk.oracle.set_asset(255, ETH)


def test_setters_log(desk: Desk) -> None:
    desk.oracle.set_perpetual(ETH, Perpetual())
    assert desk.evm.events[0].name == "PerpetualSet"
    desk.oracle.set_asset(1, ETH)
    assert desk.evm.events[0].args == {"asset": 1, "underlying": ETH}


def test_setters_are_the_owners(desk: Desk) -> None:
    stranger = desk.evm.address("stranger")
    for call in (
        lambda: desk.oracle.configure(feed(SPOT), Policy(), [stranger], sender=stranger),
        lambda: desk.oracle.set_perpetual(ETH, Perpetual(), sender=stranger),
        lambda: desk.oracle.set_asset(1, ETH, sender=stranger),
        lambda: desk.oracle.transfer_ownership(stranger, sender=stranger),
    ):
        with pytest.raises(Reverted, match="ownable: not owner"):
            call()


def test_ownership_takes_two_steps(desk: Desk) -> None:
    heir = desk.evm.address("heir")
    desk.oracle.transfer_ownership(heir)
    assert (desk.oracle.owner(), desk.oracle.pending_owner()) == (OWNER, heir)
    with pytest.raises(Reverted, match="ownable: not pending owner"):
        desk.oracle.accept_ownership()
    desk.oracle.accept_ownership(sender=heir)
    assert desk.oracle.owner() == heir
    with pytest.raises(Reverted, match="ownable: not pending owner"):
        desk.oracle.accept_ownership(sender=heir)


@pytest.mark.parametrize("samples", [0, 101])
def test_the_constructor_bounds_the_samples(samples: int) -> None:
    with pytest.raises(Reverted, match="oracle: samples out of bounds"):
        Evm().deploy("Oracle.vy", OWNER, samples)


def test_the_constructor_wants_an_owner() -> None:
    with pytest.raises(Reverted, match="ownable: zero owner"):
        Evm().deploy("Oracle.vy", "0x" + "00" * 20, 5)


def test_the_oracle_fits_a_contract(desk: Desk) -> None:
    assert desk.evm.size(desk.oracle.address) <= 24_576
