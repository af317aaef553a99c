"""A book of the user's own, brought on chain by an agent."""

from __future__ import annotations

import numpy as np
import pytest

from sim.agents import stage
from sim.agents.book_owner import BookOwner, Target
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
    assert one.decide(views(2, **done), RNG) == [Withdraw(2, "USDC", 700.0)]
    assert not one.decide(views(3, **done), RNG)


def test_what_the_gate_refuses_stays_undone():
    one = owner(perp=1.0)
    for _ in range(3):
        trades = one.decide(views(1, cash=1_000.0), RNG)
        one.observe([Outcome(trades[0], accepted=False, reason="gate: below initial margin")])
    assert not one.decide(views(2, cash=1_000.0), RNG)
