"""Orders meet quotes; transactions find their order and their block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.agents import stage
from sim.agents.base import Agent, Params, Quote
from sim.agents.intents import Deposit, Flag, Instrument, Order, Trade
from sim.agents.matching import MAKERS_MAX, cross
from sim.agents.ordering import POLICIES, Pending, arranged, liquidations_first

BTC = Instrument(0)
VIEW = stage.view(board=stage.board())


class Maker(Agent):
    """Quotes one price and size."""

    def __init__(self, name: str, account: int, price: float, size: float) -> None:
        super().__init__(name, Params())
        self.answer = Quote(account=account, price=price, size=size)

    def decide(self, view, rng):
        return ()

    def quote(self, view, order):
        return self.answer


def match(order: Order, *makers: Maker, name: str = "taker"):
    trades, refused = cross([(name, order)], [(maker, VIEW) for maker in makers])
    return [trade for _, trade in trades], refused


def test_an_order_takes_the_best_quotes_first_and_no_more_than_it_wants():
    makers = (Maker("a", 1, 101, 2), Maker("b", 2, 100, 3), Maker("c", 3, 102, 9))
    trades, refused = match(Order(9, BTC, 4.0, 101.5, tip=7), *makers)
    assert trades == [Trade(9, 2, BTC, 3.0, 100.0, tip=7), Trade(9, 1, BTC, 1.0, 101.0, tip=7)]
    assert not refused


def test_a_sale_takes_the_highest_bid_and_the_taker_is_the_seller():
    trades, _ = match(Order(9, BTC, -1.0, 95), Maker("a", 1, 96, 5), Maker("b", 2, 97, 5))
    assert trades == [Trade(2, 9, BTC, 1.0, 97.0)]


def test_equal_prices_go_to_the_earlier_maker():
    trades, _ = match(Order(9, BTC, 1.0, 200), Maker("a", 1, 100, 1), Maker("b", 2, 100, 1))
    assert trades[0].seller == 1


def test_nobody_trades_with_itself_or_beyond_the_limit():
    trades, refused = match(Order(9, BTC, 1.0, 99), Maker("taker", 9, 90, 1), Maker("a", 1, 100, 1))
    assert not trades
    assert [(name, o.accepted, o.reason) for name, o in refused] == [("taker", False, "no quote")]


def test_an_order_is_split_over_a_few_quotes_only():
    makers = [Maker(str(i), i + 1, 100, 1) for i in range(10)]
    assert len(match(Order(99, BTC, 10.0, 200), *makers)[0]) == MAKERS_MAX


def pending(*tips: float) -> list[Pending]:
    return [Pending(f"a{i}", Flag(i, tip=tip), i) for i, tip in enumerate(tips)]


def order_of(items) -> list[int]:
    return [p.arrival for p in items]


RNG = np.random.Generator(np.random.Philox(key=3))


def test_fees_order_by_tip_then_arrival_and_first_come_by_arrival():
    waiting = pending(1, 5, 5, 9)
    assert order_of(arranged(waiting, "fees", RNG)) == [3, 1, 2, 0]
    assert order_of(arranged(waiting[::-1], "first_come", RNG)) == [0, 1, 2, 3]


def test_random_order_depends_on_the_stream_alone():
    def shuffled(key: int) -> list[int]:
        rng = np.random.Generator(np.random.Philox(key=key))
        return order_of(arranged(pending(*range(20)), "random", rng))

    assert shuffled(1) == shuffled(1) != shuffled(2)


def test_an_adversarial_builder_puts_trades_first_and_liquidations_last():
    trade = Trade(1, 2, BTC, 1.0, 1.0)
    waiting = [
        Pending("a", Flag(1), 0),
        Pending("b", Deposit(1, "USDC", 1.0), 1),
        Pending("c", trade, 2),
        Pending("d", trade, 3),
    ]
    assert order_of(arranged(waiting, "adversarial", RNG)) == [3, 2, 1, 0]
    assert order_of(liquidations_first(waiting[::-1])) == [0, 3, 2, 1]


@given(st.lists(st.integers(1, 100), max_size=12), st.sampled_from(POLICIES))
@settings(max_examples=40, deadline=None)
def test_no_policy_loses_or_repeats_a_transaction(tips, policy):
    waiting = pending(*tips)
    rng = np.random.Generator(np.random.Philox(key=1))
    assert sorted(order_of(arranged(waiting, policy, rng))) == list(range(len(tips)))


def test_a_quote_needs_a_size():
    with pytest.raises(ValueError, match="greater than 0"):
        Quote(account=1, price=1.0, size=0.0)
