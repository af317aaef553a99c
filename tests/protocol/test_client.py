"""A snapshot where the oracle has not reported everything: a status, never a failure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.agents.intents import Deposit
from sim.agents.view import Board
from sim.chain import open_backend
from sim.checks.conformance import compare
from sim.checks.conservation import balance
from sim.engine.runner import prepare
from sim.engine.world import World
from sim.oracle.feeds import FeedUpdate, Oracle
from sim.scenario.loader import load

SMALL = Path(__file__).parents[1] / "engine" / "small.yaml"
EXPIRY = "ETH 2026-01-31 00:00"


class Harbour:
    """A deployment whose agents hold cash and ETH, and an oracle that reports what it is told."""

    def __init__(self, chain):
        coin = "agents.keeper.params.collateral=ETH"
        self.plan = prepare(load(str(SMALL), [coin]))
        plan = self.plan
        settings = plan.scenario.protocol
        self.world = World(chain, plan.steps, plan.listing, plan.names, plan.agents, settings)
        self.truth = plan.paths.at(0)
        self.oracle = Oracle(
            plan.scenario.oracle, self.truth, plan.scenario.streams, plan.scenario.horizon.step
        )
        board = Board(self.truth, plan.instruments)
        self.time = int(plan.paths.times[0]) - 100
        for stage in (
            self.world.deployment,
            lambda: self.world.endowments(board, 1_000.0),
            self.world.grants,
        ):
            self.mine(stage())

    def mine(self, actions):
        block = self.world.backend.mine([action.transaction for action in actions], self.time)
        assert all(receipt.succeeded for receipt in block.receipts)
        self.world.learn(actions, self.world.events(block))
        self.time += 1

    def push(self, wanted):
        self.time = max(self.time, self.truth.time)
        updates: list[FeedUpdate] = [u for u in self.oracle.updates(0, self.truth) if wanted(u)]
        assert updates
        self.mine(self.world.report(updates))


@pytest.fixture
def harbour():
    with open_backend("revm", timestamp=1_700_000_000) as chain:
        yield Harbour(chain)


def test_before_the_first_report_nothing_has_a_price(harbour):
    seen = harbour.world.snapshot()
    assert seen.unpriced == ("ETH", EXPIRY, "ETH", "quote")
    assert len(seen.market.underlyings.id) == len(seen.market.expiries.time) == 0
    assert balance(seen).worst == 0
    # Cash alone needs no price.
    assert seen.assessed.all()
    assert compare(seen, harbour.plan.reference).compared.all()


def test_an_option_whose_surface_was_never_pushed_is_a_status(harbour):
    harbour.push(lambda update: update.slice is None)
    seen = harbour.world.snapshot()
    assert seen.unpriced == (EXPIRY,)
    assert seen.market.underlyings.name == ("ETH",)
    assert len(seen.market.expiries.time) == 0
    assert harbour.world.account_views(seen).keys() == harbour.world.owners.keys()


def test_once_all_is_reported_nothing_is_missing(harbour):
    harbour.push(lambda update: True)
    seen = harbour.world.snapshot()
    assert seen.unpriced == ()
    assert len(seen.market.expiries.time) == 1


def test_collateral_comes_in_once_it_has_a_price(harbour):
    world = harbour.world
    (account,) = world.accounts["keeper#0"]
    deposit = world.act("keeper#0", Deposit(account, "ETH", 1.0)).transaction
    (refused,) = world.backend.mine([deposit], harbour.time).receipts
    assert not refused.succeeded
    harbour.push(lambda update: True)
    harbour.mine([world.act("keeper#0", Deposit(account, "ETH", 1.0))])
    seen = world.snapshot()
    assert seen.assessed.all()
    assert compare(seen, harbour.plan.reference).error.max() <= 1e-9


def test_an_account_that_holds_what_has_no_price_is_not_compared(harbour):
    """A status that an account can come into where the oracle is replaced; here it is told."""
    (account,) = harbour.world.accounts["keeper#0"]
    seen = harbour.world.snapshot()
    held = seen.accounts == account
    told = replace(seen, usable=np.where(held, 0, seen.usable))
    agreement = compare(told, harbour.plan.reference)
    assert agreement.compared.tolist() == (~held).tolist()
    assert np.isnan(agreement.equity[held]).all()
    assert not np.isnan(agreement.equity[~held]).any()
    assert agreement.error.max() <= 1e-9
