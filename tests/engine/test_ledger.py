"""What gas costs agents, what they know before they send, and what limits they send with."""

from __future__ import annotations

import pytest

from sim.agents.intents import Bid, Flag
from sim.agents.keepers import Keeper
from sim.chain import Receipt, Transaction
from sim.chain.backend import NOT_INCLUDED
from sim.engine import journal, run
from sim.engine.ledger import Ledger
from sim.engine.world import SET_UP, Action
from sim.errors import InputError
from sim.scenario.loader import load
from tests.engine.conftest import SMALL

BASE, COIN = 20.0, 2_000.0


def action(intent=None):
    return Action(Transaction("0x" + "11" * 20, None), "flag", "keeper#0", 3, intent)


def test_gas_costs_base_fee_and_tip_whether_it_succeeds_or_not():
    ledger = Ledger(BASE)
    flag = action(Flag(3, tip=5.0))
    fees = [
        ledger.charge(7, flag, Receipt(succeeded, 100_000), COIN) for succeeded in (True, False)
    ]
    assert fees == [pytest.approx(100_000 * 25e-9 * 2_000)] * 2
    (own,) = ledger.accounts.values()
    assert (own.sent, own.reverted, own.liquidating, own.gas) == (2, 1, 2, 200_000)
    assert own.fees == sum(fees)


def test_the_set_up_and_what_finds_no_room_cost_nothing():
    ledger = Ledger(BASE)
    assert ledger.charge(SET_UP, action(), Receipt(True, 100_000), COIN) == 0
    assert ledger.charge(7, action(), NOT_INCLUDED, COIN) == 0
    assert not ledger.accounts


def test_the_tables_hold_the_ledger(crash):
    sent, agents = crash.transactions, crash.agents.set_index("agent")
    played = sent[(sent["step"] != SET_UP) & sent["included"]]
    expected = played["gas_used"] * (BASE + played["tip"]) * 1e-9 * COIN
    assert played["fee"].tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    assert (sent.loc[sent["step"] == SET_UP, "fee"] == 0).all()
    by_agent = played.groupby("agent")[["fee", "gas_used"]].sum()
    for name, row in agents.iterrows():
        assert row["gas_fees"] == pytest.approx(by_agent.loc[name, "fee"])
        assert row["gas_used"] == by_agent.loc[name, "gas_used"]
        assert row["profit"] == pytest.approx(row["worth"] - row["endowed"])
        assert row["profit_after_gas"] == pytest.approx(row["profit"] - row["gas_fees"])
    keeper = agents.loc["keeper#0"]
    assert keeper["liquidating"] > 0
    assert keeper["endowed"] == 900_000
    summary = crash.manifest["outcome"]["summary"]
    assert summary["keepers"] == 1
    assert summary["keeper_profit_after_gas"] == keeper["profit_after_gas"]
    assert summary["gas_fees"] == agents["gas_fees"].sum()


def test_the_coin_may_be_a_factor(tmp_path):
    override = ["blocks.gas_price={base_fee: 50, factor: ETH}", "horizon.steps=3"]
    found = run(SMALL, overrides=override, backend="revm", out=tmp_path / "run")
    spot = found.prices.set_index("step")["spot"]
    sent = found.transactions.query("step >= 0")
    expected = sent["gas_used"] * (50 + sent["tip"]) * 1e-9 * sent["step"].map(spot)
    assert sent["fee"].tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    with pytest.raises(InputError, match="unknown factor 'ETC'; did you mean 'ETH'"):
        load(str(SMALL), ["blocks.gas_price.factor=ETC"])


def test_an_agent_is_told_what_it_paid(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(Keeper, "observe", lambda self, outcomes: told.extend(outcomes))
    found = run(SMALL, backend="revm", out=tmp_path / "run")
    sent = found.transactions
    paid = sent[(sent["agent"] == "keeper#0") & (sent["step"] != SET_UP)]
    assert [o.fee for o in told if o.gas] == paid["fee"].tolist()
    assert any(isinstance(o.intent, Bid) and o.fee > 0 for o in told)


def test_what_another_sender_has_pending_is_not_sent_again(tmp_path):
    several = ["agents.keeper.count=3"]
    seen = run(SMALL, overrides=several, backend="revm", out=tmp_path / "seen")
    assert seen.steps["withheld"].sum() > 0
    assert "liquidator: already flagged" not in set(seen.transactions["reason"])
    blind = [*several, "blocks.simulate=false"]
    raced = run(SMALL, overrides=blind, backend="revm", out=tmp_path / "raced")
    assert raced.steps["withheld"].sum() == 0
    reverts = raced.manifest["outcome"]["summary"]["reverts"]
    assert {"action": "flag", "reason": "liquidator: already flagged"}.items() <= reverts[0].items()
    reverted = raced.transactions.query("included and not succeeded")
    assert sum(row["count"] for row in reverts) == len(reverted)


def test_a_trade_that_the_gate_would_refuse_is_not_sent(crash, tmp_path):
    wild = ["agents.long.params.leverage=60", "horizon.steps=6"]
    found = run(SMALL, overrides=wild, backend="revm", out=tmp_path / "run")
    assert found.steps["withheld"].sum() > 0
    assert found.transactions.query("action == 'trade'")["succeeded"].all()


def test_gas_limits_leave_room_and_fit_a_small_block(tmp_path):
    least = ["blocks.gas_limit=10000000"]
    small = run(SMALL, overrides=least, backend="revm", out=tmp_path / "run")
    used = iter(small.transactions["gas_used"].tolist())
    for entry in journal.read(small.journal):
        for transaction in entry.transactions:
            gas = next(used)
            if entry.step != SET_UP:
                assert 2 * gas <= transaction.gas <= 8_500_000
    with pytest.raises(InputError, match="gas_limit"):
        load(str(SMALL), ["blocks.gas_limit=9999999"])


def test_a_deposit_that_found_no_room_is_made_again(tmp_path):
    tight = ["blocks.gas_limit=10000000", "agents.long.count=120", "horizon.steps=4"]
    found = run(SMALL, overrides=tight, backend="revm", out=tmp_path / "tight")
    assert found.steps["dropped"].iloc[0] > 0
    made = found.transactions.query("action == 'deposit' and succeeded and step >= 0")
    assert made["agent"].is_unique
    assert len(made) == len(found.agents)
