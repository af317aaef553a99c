"""A book of the user's own, brought on chain by an agent."""

from __future__ import annotations

import numpy as np
import pytest

import sim
from sim.agents import stage
from sim.agents.book_owner import BookOwner, Target, Undone
from sim.agents.intents import Deposit, Instrument, Outcome, Trade, Withdraw
from sim.errors import InputError
from sim.reference.book import CALL
from sim.scenario.loader import load

SCENARIO = """\
name: mine
extends: calm
accounts: {book: book.csv}
"""
HEADER = "account,kind,asset,expiry,strike,size,vol\n"
BOOK = (
    HEADER
    + "4,cash,,,,50000,\n"
    + "4,collateral,ETH,,,10,\n"
    + "4,perp,ETH,,,-5,\n"
    + "4,call,ETH,2026-01-31T00:00:00Z,3500,-10,\n"
)
RNG = np.random.Generator(np.random.Philox(key=1))


@pytest.fixture
def mine(tmp_path):
    def put(book: str):
        (tmp_path / "book.csv").write_text(book)
        (tmp_path / "mine.yaml").write_text(SCENARIO)
        return load(str(tmp_path / "mine.yaml"))

    return put


def test_a_book_adds_its_owner_its_expiries_and_its_strikes(mine):
    scenario = mine(BOOK)
    owner = scenario.cast()[-1]
    call = Instrument(1, CALL, 1_769_817_600, 3500.0)
    assert owner.name == "book"
    assert owner.accounts == 2
    assert owner.targets == (
        Target(4, 50_000.0, {"ETH": 10.0}, {Instrument(1): -5.0, call: -10.0}),
    )
    paths = scenario.paths()
    assert call.expiry in paths.expiries
    assert call in scenario.instruments(paths)


def test_the_book_is_part_of_the_identity(mine):
    assert mine(BOOK).digest != mine(BOOK.replace("50000", "50001")).digest


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("4,perp,DOGE,,,1,", r"book\.csv:2.*unknown factor 'DOGE'"),
        ("4,collateral,GOLD,,,1,", r"book\.csv:2.*unknown collateral asset 'GOLD'"),
        ("4,call,ETH,2026-01-31T00:30:00Z,3500,1,", "a whole hour after the start"),
        ("4,call,ETH,2020-01-31T00:00:00Z,3500,1,", "a whole hour after the start"),
        ("4,call,ETH,16d,0,1,", "strike"),
        ("4,put,ETH,16d,3500.12345678912,1,", r"book\.csv:2:15: .*multiple of 1e-9, as strikes"),
        ("4,perp,ETH,,,0.0000000001,", r"book\.csv:2:14: .*multiple of 1e-9, as sizes"),
    ],
)
def test_what_does_not_fit_the_market_is_named_by_line(mine, row, message):
    with pytest.raises(InputError, match=message):
        mine(HEADER + row + "\n")


def test_a_missing_book_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    with pytest.raises(InputError, match=r"mine\.yaml:3:12: accounts\.book: .*book\.csv"):
        load(str(tmp_path / "mine.yaml"))


BOARD = stage.board()
CALL_9 = BOARD.nearest(0, CALL, BOARD.expiries(0)[1], 8_800.0)


def owner(cash: float = 1_000.0, **positions: float) -> BookOwner:
    held = {CALL_9: positions.get("call", 0.0), Instrument(0): positions.get("perp", 0.0)}
    return BookOwner("book", [Target(4, cash, {"ETH": 2.0}, held)], "USDC")


def views(step: int, **account):
    accounts = [stage.account(1, equity=1e6), stage.account(2, **account)]
    return stage.view(step, board=BOARD, accounts=accounts)


def test_it_deposits_cash_premium_and_collateral():
    one = owner(call=2.0, perp=-1.0)
    premium = 2.0 * BOARD.price(CALL_9)
    deposits = one.decide(views(0), RNG)
    assert [(d.account, d.asset, d.amount) for d in deposits[1:]] == [
        (2, "USDC", pytest.approx(1_000 + premium)),
        (2, "ETH", 2.0),
    ]
    total = sum(d.amount for d in deposits if d.asset == "USDC")
    assert one.endowment(BOARD) == {"USDC": pytest.approx(total), "ETH": 2.0}
    assert all(isinstance(d, Deposit) for d in deposits)


def test_it_trades_what_is_missing_at_the_fair_price():
    one = owner(call=-2.0, perp=3.0)
    trades = one.decide(views(1, positions={CALL_9: -0.5}), RNG)
    assert trades == [
        Trade(2, 1, Instrument(0), 3.0, 8_000.0),
        Trade(1, 2, CALL_9, 1.5, BOARD.price(CALL_9)),
    ]


def test_it_takes_out_what_the_premium_brought_and_then_rests():
    one = owner(cash=-500.0, perp=1.0)
    done = {"positions": {Instrument(0): 1.0}, "cash": 200.0}
    (debt,) = one.decide(views(2, **done), RNG)
    assert debt == Withdraw(2, "USDC", 700.0)
    one.observe([Outcome(debt, accepted=True)])
    assert not one.decide(views(3, **done), RNG)
    assert one.undone() == []


def test_debt_without_positions_is_brought_on_chain_too():
    one = owner(cash=-500.0)
    assert one.decide(views(1, cash=0.0), RNG) == [Withdraw(2, "USDC", 500.0)]


def test_what_the_gate_refuses_stays_undone_and_is_named():
    one = owner(perp=1.0)
    for _ in range(3):
        trades = one.decide(views(1, cash=1_000.0), RNG)
        one.observe([Outcome(trades[0], accepted=False, reason="gate: below initial margin")])
    assert not one.decide(views(2, cash=1_000.0), RNG)
    assert one.undone() == [Undone(2, "book#4", "gate: below initial margin")]


def test_it_goes_on_for_as_long_as_something_is_accepted():
    one = owner(call=-1.0, perp=1.0)
    for _ in range(5):
        first, second = one.decide(views(1, cash=1_000.0), RNG)
        refusal = Outcome(second, accepted=False, reason="gate: below initial margin")
        one.observe([Outcome(first, accepted=True), refusal])
    assert len(one.decide(views(2, cash=1_000.0), RNG)) == 2


def test_a_deposit_that_failed_is_not_forgotten():
    one = owner()
    deposits = one.decide(views(0), RNG)
    one.observe([Outcome(deposits[1], accepted=False, reason="cap"), Outcome(deposits[2], True)])
    assert not one.decide(views(1), RNG)
    assert one.undone() == [Undone(2, "book#4", "cap")]


def test_an_account_that_is_liquidated_before_it_is_there_is_named():
    one = owner(perp=1.0)
    assert not one.decide(views(1, phase=1), RNG)
    assert "liquidated" in one.undone()[0].reason


SPARSE = HEADER + "7,cash,,,,1000,\n7,put,ETH,2026-01-31T00:00:00Z,3500,-10,\n"


def test_a_run_whose_book_the_gate_refuses_fails_and_names_the_account(mine, tmp_path):
    mine(SPARSE)
    found = sim.run(
        tmp_path / "mine.yaml", overrides=["horizon.steps=5"], backend="revm", out=tmp_path / "run"
    )
    assert not found.held
    said = found.manifest["outcome"]["verdict"]
    assert said.startswith("FAILED (book on chain: 1 accounts missing")
    assert "book#7: gate: below initial margin" in said
    assert "book#7" in set(found.accounts["agent"])


def test_a_book_with_debt_comes_on_chain_as_it_is(mine, tmp_path):
    mine(HEADER + "7,cash,,,,-50000,\n7,collateral,ETH,,,50,\n7,perp,ETH,,,0.123456789,\n")
    found = sim.run(
        tmp_path / "mine.yaml", overrides=["horizon.steps=5"], backend="revm", out=tmp_path / "run"
    )
    assert found.held
    own = found.accounts.query("agent == 'book#7'")
    assert own["cash"].iloc[-1] == pytest.approx(-50_000, abs=2)
    trades = found.transactions.query("action == 'trade' and agent == 'book'")
    assert len(trades) == 1
