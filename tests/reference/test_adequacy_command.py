"""`plimsoll adequacy`: margin held against expected shortfall."""

import json

import click
import numpy as np
import pytest
from click.testing import CliRunner

from sim import rulebooks
from sim.cli.adequacy import command
from sim.errors import InputError
from sim.reference import assess, expected_shortfall
from sim.reference.horizon import horizon_losses, simulate_shocks
from sim.scenario.book_file import load

BOOK = """\
market:
  time: 2026-01-15T00:00:00Z
  underlyings:
    ETH: {spot: 3200, vol: 65%, expiries: {30d: {vol: 65%}}}
accounts:
  - {account: 7, cash: 50k, positions: [{kind: perp, underlying: ETH, size: 10}]}
  - account: 9
    cash: 50k
    positions: [{kind: put, underlying: ETH, expiry: 30d, strike: 2000, size: -50}]
"""


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.yaml"
    path.write_text(BOOK)
    return path


def report(*arguments):
    done = CliRunner().invoke(
        command,
        [str(a) for a in arguments] + ["--json"],
        catch_exceptions=False,
        standalone_mode=False,
    )
    return json.loads(done.output), done.return_value


def test_margin_is_held_against_the_shortfall_of_each_account(book):
    found, status = report(book, "--rulebook", "house", "--horizon", "7d", "--scenarios", 4000)
    held, market = load(book).value()
    margin = assess(held, market, rulebooks.load("house")).maintenance
    shocks = simulate_shocks([0.65], [[1.0]], 7 * 86_400, 4000, np.random.default_rng(1))
    losses = horizon_losses(held, market, shocks)
    shortfalls = [expected_shortfall(row, 0.99) for row in losses]
    house = found["rulebooks"]["house"]
    short = {c["name"]: c for c in house["counterexamples"]}
    for account, required, shortfall in zip((7, 9), margin, shortfalls, strict=True):
        assert (f"account {account}" in short) == (required < shortfall)
    assert house["coverage"] == np.mean(margin >= shortfalls)
    assert short
    assert status == 0
    for each in short.values():
        assert each["ratio"] == pytest.approx(each["margin"] / each["expected_shortfall"])


def test_random_books_take_the_place_of_the_accounts(book):
    found, _ = report(book, "--draw", 30, "--rulebook", "house", "--scenarios", 500)
    again, _ = report(book, "--draw", 30, "--rulebook", "house", "--scenarios", 500)
    other, _ = report(book, "--draw", 30, "--rulebook", "house", "--scenarios", 500, "--seed", 2)
    assert found["books"] == 30
    assert found == again != other


def test_too_small_a_share_is_exit_status_1(book):
    arguments = (book, "--rulebook", "house", "--horizon", "30d", "--scenarios", 1000)
    assert report(*arguments, "--least", "0%")[1] == 0
    assert report(*arguments, "--least", "100%")[1] == 1


def test_the_counterexamples_are_written_out(book):
    done = CliRunner().invoke(
        command,
        [str(book), "--rulebook", "house", "--horizon", "30d", "--scenarios", "1000"],
        standalone_mode=False,
    )
    assert "account 9" in done.output
    assert "-50 ETH 2,000 30d put" in done.output


@pytest.mark.parametrize(
    ("option", "value"),
    [("--level", "10%"), ("--least", "101%"), ("--draw", "-1"), ("--horizon", "x")],
)
def test_bad_options(book, option, value):
    with pytest.raises((InputError, click.BadParameter)):
        report(book, option, value)
