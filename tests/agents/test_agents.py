"""What each agent does, on a stage without a chain."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pydantic import ValidationError

from sim.agents import stage
from sim.agents.base import Agent
from sim.agents.intents import (
    Bid,
    Close,
    Deposit,
    Escalate,
    Flag,
    Instrument,
    OpenAccount,
    Order,
    Outcome,
    Resolve,
    Restart,
    Withdraw,
)
from sim.agents.keepers import Delay
from sim.agents.registry import find, known
from sim.agents.view import INSOLVENT, SOLVENT, AccountView, Distress
from sim.errors import InputError
from sim.reference.book import CALL, PUT

BOARD = stage.board()
CRASHED = stage.board({"BTC": 6_000.0, "ETH": 150.0})
BTC, ETH = Instrument(0), Instrument(1)


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=1))


def agent(use: str, /, **params) -> Agent:
    cls = find(use)
    return cls(f"{use}#0", cls.Params.model_validate(params))


def settle(one: Agent, steps: int = 12, **account) -> dict[Instrument, float]:
    """Let an agent build its position while every order is filled; return what it holds."""
    positions: dict[Instrument, float] = {}
    for step in range(1, steps):
        view = stage.view(
            step, board=BOARD, accounts=[stage.account(positions=positions, **account)]
        )
        orders = [i for i in one.decide(view, rng()) if isinstance(i, Order)]
        for order in orders:
            held = positions.get(order.instrument, 0.0) + order.size
            positions = {**positions, order.instrument: held}
    return positions


@pytest.mark.parametrize("use", known())
def test_every_agent_says_what_it_is_and_deposits_or_waits_at_the_start(use):
    one = agent(use)
    assert known()[use]
    assert one.endowment(BOARD)
    accounts = [stage.account(i + 1, equity=0.0) for i in range(one.accounts)]
    first = stage.view(0, board=BOARD, accounts=accounts, wallet={"USDC": 100.0})
    intents = list(one.decide(first, rng()))
    assert all(isinstance(i, (Deposit, OpenAccount)) for i in intents)
    assert any(isinstance(i, Deposit) for i in intents)


@pytest.mark.parametrize("use", known())
def test_every_agent_repeats(use):
    def play():
        one = agent(use)
        out = []
        for step in range(6):
            accounts = [stage.account(i + 1) for i in range(one.accounts)]
            out.append(list(one.decide(stage.view(step, board=BOARD, accounts=accounts), rng())))
        return out

    assert play() == play()


def test_capital_is_held_in_the_token_it_names():
    one = agent("perp_trader", capital="80k USDC", collateral="BTC")
    assert one.endowment(BOARD) == {"BTC": pytest.approx(10.0)}


def test_a_perp_trader_builds_its_leverage_in_slices():
    one = agent("perp_trader", leverage=2, slices=4, side="short", underlying="ETH")
    first = one.decide(stage.view(board=BOARD), rng())
    assert [(i.instrument, i.size) for i in first] == [(ETH, pytest.approx(-250.0))]
    assert first[0].limit < 200.0
    assert settle(one) == {ETH: pytest.approx(-1000.0)}


def test_a_trader_stops_adding_at_its_margin_use_and_halves_refused_orders():
    one = agent("perp_trader", margin_use="50%")
    assert not one.decide(stage.view(board=BOARD, accounts=[stage.account(initial=60e3)]), rng())
    whole = one.decide(stage.view(board=BOARD), rng())[0]
    one.observe([Outcome(whole, accepted=False, reason="gate: below initial margin")])
    half = one.decide(stage.view(board=BOARD), rng())[0]
    assert half.size == pytest.approx(whole.size / 2, rel=1e-3)


def test_a_trader_refused_three_times_builds_no_further():
    one = agent("perp_trader")
    for _ in range(3):
        order = one.decide(stage.view(board=BOARD), rng())[0]
        one.observe([Outcome(order, accepted=False, reason="gate: below initial margin")])
    assert not one.decide(stage.view(board=BOARD), rng())


def test_a_trader_closes_everything_at_its_stop():
    one = agent("perp_trader", stop=1.5)
    held = stage.account(initial=90e3, positions={BTC: 3.0})
    orders = one.decide(stage.view(board=BOARD, accounts=[held]), rng())
    assert [(i.instrument, i.size) for i in orders] == [(BTC, -3.0)]


@pytest.mark.parametrize(
    ("structure", "legs"),
    [
        ("put", {(PUT, 7200.0): -1}),
        ("call", {(CALL, 8800.0): -1}),
        ("straddle", {(CALL, 8000.0): -0.5, (PUT, 8000.0): -0.5}),
        ("put_spread", {(PUT, 7200.0): -1, (PUT, 5600.0): 1}),
    ],
)
def test_a_writer_sells_the_structure_it_names(structure, legs):
    one = agent("option_writer", structure=structure, moneyness="10%", leverage=4, tenor="16d")
    held = settle(one)
    expiry = BOARD.expiries(0)[1]
    size = 4 * 100_000 / 8_000
    expected = {Instrument(0, k, expiry, s): pytest.approx(q * size) for (k, s), q in legs.items()}
    assert held == expected


def test_a_hedger_hedges_the_coin_it_posts():
    one = agent("hedger", collateral="ETH", hedge="collar", moneyness="10%", ratio="50%")
    held = settle(one, holdings={"ETH": 400.0})
    sizes = {(i.underlying, i.kind): q for i, q in held.items()}
    assert sizes == {(1, PUT): pytest.approx(200.0), (1, CALL): pytest.approx(-200.0)}


def test_short_gamma_chases_its_delta():
    one = agent("short_gamma", leverage=4, slices=1)
    positions = settle(one)
    fallen = stage.view(13, board=CRASHED, accounts=[stage.account(positions=positions)])
    orders = one.decide(fallen, rng())
    assert [i.instrument for i in orders] == [BTC]
    assert orders[0].size < 0


def quoted(use: str, size: float, instrument: Instrument = BTC, account=None, **params):
    one = agent(use, **params)
    accounts = [account or stage.account(equity=1e6)]
    view = stage.view(board=BOARD, accounts=accounts)
    return one.quote(view, Order(9, instrument, size, 1e9))


def test_a_maker_quotes_around_the_fair_price_within_its_clip():
    put = BOARD.nearest(0, PUT, BOARD.expiries(0)[1], 7200.0)
    fair = BOARD.price(put)
    ask, bid = quoted("market_maker", 5, put), quoted("market_maker", -5, put)
    assert ask.price == pytest.approx(1.02 * fair)
    assert bid.price == pytest.approx(0.98 * fair)
    assert quoted("market_maker", 1e6).size == pytest.approx(0.25e6 / 8_000, abs=1e-3)


def test_a_maker_leans_against_its_inventory():
    long = stage.account(equity=1e6, positions={BTC: 50.0})
    flat, leaning = quoted("market_maker", -1), quoted("market_maker", -1, account=long)
    assert leaning.price < flat.price


def test_a_full_maker_only_reduces():
    full = stage.account(equity=1e6, initial=0.9e6, positions={BTC: 2.0})
    assert quoted("market_maker", -1, account=full) is None
    assert quoted("market_maker", 5, account=full).size == 2.0


def test_an_automatic_maker_quotes_the_oracle():
    one = agent("liquidity_provider", prices_from="oracle", perp_spread=0)
    view = stage.view(board=CRASHED, oracle=BOARD.market, accounts=[stage.account(equity=1e6)])
    assert one.quote(view, Order(9, BTC, 1.0, 1e9)).price == 8_000.0


def test_a_sandwicher_trades_on_what_the_oracle_does_not_know_and_goes_back():
    one = agent("oracle_sandwicher", edge="1%", leverage=1)
    ahead = one.decide(stage.view(board=CRASHED, oracle=BOARD.market), rng())
    assert ahead[0].size < 0
    assert 6_000 < ahead[0].limit < 8_000
    held = stage.account(positions={BTC: ahead[0].size})
    back = one.decide(stage.view(2, board=CRASHED, accounts=[held]), rng())
    assert back[0].size == -ahead[0].size


def distress(phase: int = SOLVENT, **settings) -> Distress:
    account = {
        "equity": settings.pop("equity", 10e3),
        "initial": 20e3,
        "maintenance": 15e3,
        "phase": phase,
    }
    defaults = {"started": stage.START, "max_fraction": 0.5, "price_fraction": 0.9, "payout": 2e3}
    return Distress(stage.account(7, **account), **{**defaults, **settings})


def acts(one: Agent, *distressed: Distress, step: int = 1):
    return one.decide(stage.view(step, board=BOARD, distressed=distressed), rng())


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (distress(0), Flag),
        (distress(), Bid),
        (distress(price_fraction=0.99), None),
        (distress(equity=16e3, over=True), Resolve),
        (distress(equity=-1.0), Escalate),
        (distress(over=True), Escalate),
        (distress(reserved=11e3), Restart),
        (distress(INSOLVENT, equity=-1e3, payout=2e3), Bid),
        (distress(INSOLVENT, equity=-1e3, payout=1e3), None),
        (distress(INSOLVENT, equity=16e3), Resolve),
        (distress(INSOLVENT, over=True), Close),
    ],
)
def test_a_keeper_takes_the_step_that_the_state_allows(seen, expected):
    intents = acts(agent("liquidator"), seen)
    assert [type(i) for i in intents] == ([expected] if expected else [])


def deleveraged(*others: AccountView, one: Agent | None = None, step: int = 1, **settings):
    """What a keeper does about an insolvent account short three perps, which others must bear."""
    sick = stage.account(7, equity=-9_000.0, initial=1.0, positions={BTC: -3.0}, phase=INSOLVENT)
    found = Distress(sick, over=True, takeable=False)
    seen = stage.view(step, board=BOARD, distressed=[found], everyone=[*others, sick])
    return (one or agent("liquidator", **settings)).decide(seen, rng())


def winner(id: int, size: float, maintenance: float = 10e3, **settings) -> AccountView:
    return stage.account(id, maintenance=maintenance, positions={BTC: size}, **settings)


def test_a_keeper_deleverages_those_at_most_risk_first():
    [intent] = deleveraged(winner(2, 1.0, 10e3), winner(3, 1.0, 30e3), winner(4, 5.0, 20e3))
    assert intent.account == 7
    # The last one is not reached: the two before it hold all that there is to close.
    assert [(c.account, c.size) for c in intent.against] == [(3, 1.0), (4, 2.0)]


def test_a_keeper_asks_nobody_for_what_rounding_leaves():
    tenths = [winner(2, 0.1), winner(3, 2.3), winner(4, 0.6)]  # of 3; floats leave 1e-16
    [intent] = deleveraged(*tenths, winner(5, 1.0))
    assert [c.account for c in intent.against] == [2, 3, 4]


@pytest.mark.parametrize(
    "other",
    [
        winner(0, 1.0),
        winner(2, -1.0),
        winner(2, 1.0, phase=SOLVENT),
        winner(2, 1.0, equity=-1.0),
        winner(2, 1.0, equity=12e3),  # it could not bear 3,000
    ],
    ids=["the fund", "the same side", "in liquidation", "insolvent", "too weak"],
)
def test_a_keeper_leaves_out_who_cannot_be_deleveraged(other):
    assert deleveraged(other) == []
    [intent] = deleveraged(other, winner(9, 1.0))
    assert [c.account for c in intent.against] == [9]


def test_a_keeper_closes_one_at_a_time_once_the_order_did_not_hold():
    one = agent("liquidator", patience=0)
    [intent] = deleveraged(winner(2, 1.0), winner(3, 1.0), one=one)
    assert len(intent.against) == 2
    one.observe([Outcome(intent, False, "backstop: scores increase", 100_000)])
    [intent] = deleveraged(winner(2, 1.0), winner(3, 1.0), one=one, step=2)
    assert [c.account for c in intent.against] == [2]


def test_a_keeper_may_leave_deleveraging_to_others():
    assert deleveraged(winner(2, 1.0), deleverages=False) == []


def test_a_bid_is_within_the_rule_and_the_keepers_means():
    bid = acts(agent("liquidator", use="50%"), distress())[0]
    assert (bid.account, bid.bidder, bid.fraction) == (7, 1, 0.5)
    assert 0.45 * 10e3 <= bid.limit <= 0.47 * 10e3
    poor = stage.account(equity=1_000.0)
    view = stage.view(board=BOARD, accounts=[poor], distressed=[distress()])
    small = agent("liquidator", use="50%").decide(view, rng())[0]
    assert small.fraction == pytest.approx(500 / 19e3)


def test_a_keeper_asks_of_the_system_no_more_than_it_can_pay():
    sick = {"equity": -1e3, "payout": 8e3, "max_fraction": 1.0}
    [whole] = acts(agent("liquidator", use=1), distress(INSOLVENT, **sick))
    [part] = acts(agent("liquidator", use=1), distress(INSOLVENT, **sick, payable=2e3))
    assert part.fraction * 8e3 < 2e3
    assert part.fraction < whole.fraction
    # What it asked for one account is no longer there for the next.
    twice = [distress(INSOLVENT, **sick, payable=2e3)] * 2
    assert len(acts(agent("liquidator", use=1), *twice)) == 1
    assert acts(agent("liquidator", use=1), distress(INSOLVENT, **sick, payable=0.0)) == []


def test_a_keeper_bids_for_no_less_than_it_may_take():
    poor = stage.account(equity=100.0)

    def bids(**limits) -> bool:
        found = distress(max_fraction=0.5, **limits)
        seen = stage.view(board=BOARD, accounts=[poor], distressed=[found])
        return bool(agent("liquidator").decide(seen, rng()))

    assert bids()
    assert not bids(min_fraction=0.01)


def test_a_keeper_flags_at_the_price_that_is_coming():
    sick = stage.account(7, equity=10e3, maintenance=11e3, positions={BTC: 3.0})
    lower = stage.board({"BTC": 7_500.0, "ETH": 190.0})

    def flags(truth, believed) -> bool:
        view = stage.view(board=truth, oracle=believed.market, distressed=[Distress(sick)])
        return bool(agent("liquidator").decide(view, rng()))

    assert flags(BOARD, BOARD)
    assert flags(lower, BOARD)
    assert not flags(BOARD, lower)
    # An oracle that is wrong, rather than late, decides as it is.
    assert flags(BOARD, CRASHED)


def test_a_keeper_waits_out_its_latency_and_counts_each_distress_anew():
    one = agent("liquidator", latency="2 steps")
    sick = distress(0)
    assert [len(acts(one, sick, step=s)) for s in (1, 2, 3)] == [0, 0, 1]
    assert not acts(one, step=4)
    assert [len(acts(one, sick, step=s)) for s in (5, 6, 7)] == [0, 0, 1]


def test_a_keeper_that_found_no_place_raises_its_tip():
    one = agent("liquidator", tip=10, bribe="50%")
    one.observe([Outcome(Flag(7), accepted=False, reason="no gas left in the block")])
    assert acts(one, distress(0))[0].tip == 15.0


def test_a_bidder_does_not_flag_and_nobody_bids_on_itself():
    assert not acts(agent("bidder"), distress(0))
    assert not acts(agent("liquidator", bids=False), distress())
    own = Distress(stage.account(1, equity=1.0, maintenance=2.0))
    assert not acts(agent("liquidator"), own)


def test_a_keeper_unwinds_what_it_took():
    view = stage.view(board=BOARD, accounts=[stage.account(positions={ETH: -5.0})])
    orders = agent("liquidator").decide(view, rng())
    assert [(i.instrument, i.size) for i in orders] == [(ETH, 5.0)]


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("2 steps", Delay(steps=2)),
        ("1 step", Delay(steps=1)),
        (3, Delay(steps=3)),
        ("30m", Delay(seconds=1800)),
    ],
)
def test_a_delay_is_steps_or_time(text, delay):
    assert agent("liquidator", latency=text).params.latency == delay


def test_a_depositor_runs_once_prices_fall_and_not_before():
    one = agent("depositor", wave=0, drawdown="20%")
    rich = [stage.account(holdings={"ETH": 3.0}, cash=500.0)]
    assert not one.decide(stage.view(1, board=BOARD, accounts=rich), rng())
    run = one.decide(stage.view(2, board=CRASHED, accounts=rich), rng())
    assert [(type(i), i.asset, i.amount) for i in run] == [
        (Withdraw, "ETH", 3.0),
        (Withdraw, "USDC", 500.0),
    ]


def test_a_depositor_runs_when_the_fund_empties():
    one = agent("depositor", wave=0, fund_below="50%")
    rich = [stage.account(cash=500.0)]
    assert not one.decide(stage.view(1, board=BOARD, accounts=rich, fund=100.0), rng())
    assert one.decide(stage.view(2, board=BOARD, accounts=rich, fund=49.0), rng())


def test_a_self_liquidator_bids_with_its_other_account():
    one = agent("self_liquidator")
    victim = stage.account(7, equity=10e3, initial=20e3, phase=SOLVENT, positions={BTC: 1.0})
    view = stage.view(board=BOARD, accounts=[victim, stage.account(8)], distressed=[distress()])
    bid = one.decide(view, rng())[0]
    assert (bid.account, bid.bidder) == (7, 8)


def test_a_duster_opens_accounts_until_it_has_enough():
    one = agent("duster", most=2)
    wallet = {"USDC": 100.0}
    some = stage.view(board=BOARD, accounts=[stage.account(equity=0.0)], wallet=wallet)
    assert [type(i) for i in one.decide(some, rng())] == [OpenAccount, Deposit]
    full = [stage.account(1, equity=50.0), stage.account(2, equity=50.0)]
    orders = one.decide(stage.view(2, board=BOARD, accounts=full), rng())
    assert [(i.account, i.size) for i in orders] == [(1, -0.001), (2, -0.001)]


def test_a_spoofer_quotes_better_than_anyone_without_means():
    one = agent("spoofer", share=1)
    view = stage.view(board=BOARD, accounts=[stage.account(equity=1.0)])
    one.decide(view, rng())
    quote = one.quote(view, Order(9, BTC, 100.0, 1e9))
    assert (quote.size, quote.price < 8_000) == (100.0, True)


def test_a_whale_adds_once_an_hour():
    one = agent("whale", leverage=3)
    sizes = [len(one.decide(stage.view(s, board=BOARD), rng())) for s in range(1, 7)]
    assert sizes == [1, 0, 0, 0, 1, 0]


def test_a_whale_takes_as_much_as_the_gate_lets_through():
    one = agent("whale", leverage=10)
    whole = one.decide(stage.view(board=BOARD), rng())[0]
    one.observe([Outcome(whole, accepted=False, reason="gate: below initial margin")])
    again = one.decide(stage.view(2, board=BOARD), rng())[0]
    assert again.size == pytest.approx(0.9 * whole.size)


def test_a_user_agent_is_found_beside_the_scenario(tmp_path):
    (tmp_path / "my_bots.py").write_text(
        "from sim.agents.base import Agent\n"
        "class Sleeper(Agent):\n"
        "    def decide(self, view, rng):\n"
        "        return ()\n"
    )
    assert find("my_bots:Sleeper", tmp_path).__name__ == "Sleeper"


@pytest.mark.parametrize(
    ("use", "params", "message"),
    [
        ("perp_trader", {"leverage": 0}, "greater than 0"),
        ("perp_trader", {"side": "up"}, "'long' or 'short'"),
        ("liquidator", {"latency": "soon"}, "not a delay"),
        ("option_writer", {"capital": "ten"}, "not an amount"),
        ("hedger", {"hegde": 1}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_refused(use, params, message):
    with pytest.raises(ValidationError, match=message):
        agent(use, **params)


def test_an_agent_is_found_by_its_entry_point(monkeypatch):
    from importlib.metadata import EntryPoint

    from sim.agents import registry

    point = EntryPoint("mover", "sim.agents.adversaries:Whale", registry.ENTRY_POINTS)
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group, name="mover": [point] if (group, name) == (point.group, "mover") else [],
    )
    assert find("mover").__name__ == "Whale"
    assert known()["mover"] == "from sim.agents.adversaries:Whale"
    with pytest.raises(InputError, match="unknown agent 'muver'; did you mean 'mover'"):
        find("muver")


@pytest.mark.parametrize(
    ("text", "message"),
    [("raise RuntimeError('oops')", "importing broken_bots failed: oops"), ("", "has no 'Bot'")],
)
def test_a_user_agent_that_does_not_import_is_named(tmp_path, monkeypatch, text, message):
    (tmp_path / "broken_bots.py").write_text(text)
    monkeypatch.delitem(sys.modules, "broken_bots", raising=False)
    with pytest.raises(InputError, match=message):
        find("broken_bots:Bot", tmp_path)
    monkeypatch.delitem(sys.modules, "broken_bots", raising=False)


def test_short_gamma_without_margin_waits_before_it_hedges_again():
    one = agent("short_gamma", leverage=4, slices=1)
    positions = settle(one)

    def hedges(step: int) -> int:
        account = stage.account(positions=positions)
        return len(one.decide(stage.view(step, board=CRASHED, accounts=[account]), rng()))

    assert hedges(13) == 1
    one.observe([Outcome(Order(1, BTC, -1.0, 1.0), accepted=False, reason="below initial margin")])
    assert [hedges(14 + i) for i in range(13)] == [0] * 12 + [1]


def test_a_keeper_that_was_too_late_leaves_the_account_alone_for_longer_each_time():
    one = agent("liquidator", patience=4)
    sick = distress(0)
    acted = []
    for step in range(1, 20):
        intents = acts(one, sick, step=step)
        if intents:
            acted.append(step)
            one.observe([Outcome(intents[0], accepted=False, reason="already flagged", gas=9)])
    assert acted == [1, 3, 6, 11, 16]
    # Once it succeeds, or a block without room kept it out, it goes on at once.
    one.observe([Outcome(Flag(sick.account.id), accepted=True, gas=9)])
    assert acts(one, sick, step=20)
    one.observe([Outcome(Flag(sick.account.id), accepted=False, reason="no gas left in the block")])
    assert acts(one, sick, step=21)


def test_a_keeper_does_not_bid_for_less_than_a_bid_costs():
    one = agent("liquidator")
    (bid,) = acts(one, distress())
    one.observe([Outcome(bid, accepted=True, gas=800_000, fee=5.0)])
    assert acts(one, distress(), step=2)
    one.observe([Outcome(bid, accepted=True, gas=800_000, fee=1e4)])
    assert not acts(one, distress(), step=3)


def test_a_keeper_changes_no_phase_that_the_next_report_will_change_back():
    """The market is 5 % above the oracle, and the account is long: it will have equity again."""
    believed = stage.board({"BTC": 8_000.0, "ETH": 200.0})
    truth = stage.board({"BTC": 8_400.0, "ETH": 200.0})
    sick = stage.account(
        5, equity=-100.0, initial=2_000.0, maintenance=1_500.0, positions={BTC: 1.0}, phase=SOLVENT
    )

    def acts_at(board):
        view = stage.view(board=board, oracle=believed.market, distressed=[Distress(sick)])
        return agent("liquidator").decide(view, rng())

    assert [type(intent) for intent in acts_at(believed)] == [Escalate]
    assert not acts_at(truth)
