"""Break the contracts in stated ways, and see that the tests notice.

    python -m tests.mutants [--only WORD] [--list]

Each mutant is one change to one file. It is killed if a test fails that passes without it. Exit
status 0 if every mutant is killed or stated to survive, 1 otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutant:
    """A change, and the tests that must notice it.

    Attributes
    ----------
    file
        Relative to the contracts folder.
    old, new
        What is replaced, once, by what.
    tests
        Files relative to tests/contracts, names separated by spaces.
    survives
        Why no test can notice; empty where one must.
    """

    file: str
    what: str
    old: str
    new: str
    tests: str
    survives: str = ""


ORACLE = "test_oracle.py"
ORDERS = "test_order_venue.py"
HOUSE = "test_clearing_house.py"
CASH = "test_cash.py test_mutualisation.py"
LIQUIDATOR = "test_liquidator.py"
BACKSTOP = "test_backstop.py"
INCIDENTS = "test_incidents.py"
SCENARIO = "test_scenario_engine.py"
SIMPLE = "test_simple_engines.py"

MUTANTS = (
    Mutant(
        "Oracle.vy",
        "a stranger reports",
        'assert self._registered[group][msg.sender], "oracle: not a source"\n            rules',
        "rules",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a price of zero is taken",
        "elif units <= 0:",
        "elif units < 0:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a report out of order is taken",
        "        if time < before_time:",
        "        if False:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a report from the future is taken",
        "    if time > block.timestamp:",
        "    if time > block.timestamp + 1:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a forward is taken after its expiry",
        "if expires and block.timestamp >= expiry:",
        "if expires and block.timestamp > expiry:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a disputed median is taken",
        "if agreeing < rules & 255:",
        "if agreeing == 0:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the highest report is the median",
        "lower: uint256 = sorted[(len(sorted) - 1) // 2]",
        "lower: uint256 = sorted[len(sorted) - 1]",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "reports are not sorted",
        "if place == 0 or longer[place - 1] <= word:",
        "if True:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a frozen source keeps its vote",
        "if (word & MASK_32) + oldest < block.timestamp:",
        "if word == 0:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the deviation bound is rounded down",
        "return (difference * PRECISION + size - 1) // size",
        "return difference * PRECISION // size",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the newest report alone says when a price was agreed",
        "if as_late >= rules & 255:",
        "if as_late >= 1:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a jump leaves confidence alone",
        "left = left * jump // move",
        "left = left",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "confidence recovers at once",
        "    if recovery != 0:\n        left = min",
        "    if False:\n        left = min",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a jump of vol is one of its level alone",
        "max(a + b * (root * 10**9 - rho * m) // 10**18, 0)",
        "max(a, 0)",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "opening accepts what liquidation does",
        "if time + (limits & 2**24 - 1) >= block.timestamp:",
        "if time + (limits >> 24 & 2**24 - 1) >= block.timestamp:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a report exactly at its heartbeat is stale",
        "if time + (limits & 2**24 - 1) >= block.timestamp:",
        "if time + (limits & 2**24 - 1) > block.timestamp:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the age of a surface is not looked at",
        "usable &= self._usable(terms >> 218, limits >> 192)",
        "pass",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the age of a mark is not looked at",
        "usable &= self._usable(quotes >> 204, limits >> 48)",
        "pass",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a missing price may be closed at",
        "    if time == 0:\n        return empty(IOracle.Purpose)\n",
        "",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the mark leaves its band upwards",
        "min(max(mark, spot - reach), spot + reach)",
        "max(mark, spot - reach)",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "funding has no cap",
        "hourly = min(max(hourly, -cap), cap)",
        "hourly = max(hourly, -cap)",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "funding is paid with the new premium",
        "index: int256 = self._funding_index(word)\n    flow",
        "index: int256 = 0\n    flow",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "funding in minutes",
        "HOUR: constant(int256) = 3600",
        "HOUR: constant(int256) = 60",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a settlement window of an hour",
        "WINDOW: constant(uint256) = 1800",
        "WINDOW: constant(uint256) = 3600",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "one push makes a settlement mean",
        "if self._samples(window) < MIN_SAMPLES:",
        "if self._samples(window) < 1:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the window weighs a forward by the push that ends it",
        "forward: uint256 = price if held == 0 else held & MASK_72",
        "forward: uint256 = price",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "one block makes many samples",
        "if time > held >> 86 and sampled != block.timestamp:",
        "if time > held >> 86:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a report said again is a sample",
        "if time > held >> 86 and sampled != block.timestamp:",
        "if sampled != block.timestamp:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the variable part of a forward keeps its weight in the window",
        "forward = forward * (expiry - block.timestamp) // WINDOW",
        "forward = forward",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the confidence of an expiry forgets its rate",
        "min(terms >> 72 & 2**14 - 1, terms >> 158 & 2**14 - 1)",
        "terms >> 72 & 2**14 - 1",
        ORACLE,
    ),
    Mutant(
        "modules/svi.vy",
        "wings of a slice steeper than Lee's bound",
        "if b * (NANO + abs(rho)) > 2 * PICO * NANO:",
        "if b > 2 * 10**12:",
        ORACLE,
    ),
    Mutant(
        "modules/svi.vy",
        "a slice of negative variance",
        "    if a < 0 and (b * sigma)",
        "    if False and (b * sigma)",
        ORACLE,
    ),
    Mutant(
        "modules/svi.vy",
        "the density of a slice is looked at on one side",
        "for side: int256 in [z, unsafe_sub(0, z)]:",
        "for side: int256 in [z, z]:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "anyone configures",
        "    ownable._check_owner()\n    group",
        "    group",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a source that was taken away still reports",
        "self._registered[group][source] = False",
        "pass",
        ORACLE,
    ),
    Mutant(
        "modules/ownable.vy",
        "ownership passes in one step",
        "    self.pending_owner = pending\n",
        "    self.pending_owner = pending\n    self.owner = pending\n",
        ORACLE,
    ),
    Mutant(
        "modules/ownable.vy",
        "anyone accepts ownership",
        '    assert msg.sender == self.pending_owner, "ownable: not pending owner"\n',
        "",
        ORACLE,
    ),
    Mutant(
        "sources/AggregatorSource.vy",
        "an answer at its bound counts",
        "answer > read.least and",
        "answer >= read.least and",
        "test_adapters.py",
    ),
    Mutant(
        "sources/AggregatorSource.vy",
        "answers count as soon as the sequencer is back",
        "started + GRACE <= block.timestamp",
        "started <= block.timestamp",
        "test_adapters.py",
    ),
    Mutant(
        "sources/AggregatorSource.vy",
        "negative rates are rounded up",
        "    if excess < 0:\n        excess += unit\n",
        "",
        "test_adapters.py",
    ),
    Mutant(
        "OrderVenue.vy",
        "a signature is not looked at",
        "    self._check_signature(order.signer, digest, fill.signature)\n",
        "",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "a limit is not looked at",
        ">= order.limit * convert(",
        ">= (order.limit - convert(WAD, int256)) * convert(",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "fills are forgotten",
        "    self.filled[digest] = filled\n",
        "",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "an order lives a second past its deadline",
        "assert block.timestamp <= order.deadline",
        "assert block.timestamp <= order.deadline + 1",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "a cancelled order trades",
        '    assert not self.is_cancelled[digest], "orders: cancelled"\n',
        "",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "a low nonce trades",
        "assert order.nonce >= self.least_nonce[order.signer]",
        "assert order.nonce + 1 >= self.least_nonce[order.signer]",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "anyone cancels",
        "assert msg.sender == order.signer or staticcall",
        "assert True or staticcall",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "whoever signs may trade",
        "order.account, order.signer, IClearingHouse.Role.TRADE",
        "order.account, order.signer, empty(IClearingHouse.Role)",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "the signature does not bind the account",
        "            order.account,\n            legs,",
        "            empty(uint256),\n            legs,",
        ORDERS,
    ),
    Mutant(
        "OrderVenue.vy",
        "the signature does not bind the venue",
        "chain.id, self)",
        "chain.id, empty(address))",
        ORDERS,
    ),
    Mutant(
        "DirectVenue.vy",
        "one side's operator trades for both",
        "leg.account, msg.sender, IClearingHouse.Role.TRADE",
        "legs[0].account, msg.sender, IClearingHouse.Role.TRADE",
        "test_direct_venue.py",
    ),
    Mutant(
        "rules/DutchAuction.vy",
        "the largest fraction is rounded down",
        "return self._ceil_div(wanted * WAD, gained), price, REWARD",
        "return wanted * WAD // gained, price, REWARD",
        "test_rules.py",
    ),
    Mutant(
        "rules/DutchAuction.vy",
        "a bid may lower health",
        "price = max(price, WAD - state.maintenance * WAD // sold)",
        "price = price",
        "test_rules.py",
    ),
    Mutant(
        "rules/DutchAuction.vy",
        "cash from bids is sold again",
        "sold: uint256 = equity - state.reserved",
        "sold: uint256 = equity",
        "test_rules.py",
    ),
    Mutant(
        "rules/PartialStep.vy",
        "an account far below its margin goes in steps",
        "WAD if state.equity < threshold else CLOSE_FACTOR",
        "CLOSE_FACTOR",
        "test_rules.py",
    ),
    Mutant(
        "ClearingHouse.vy",
        "a withdrawal is not gated",
        "    portfolio._bump(account)\n"
        "    self._check_initial(account, self._oracle())\n"
        "    log IClearingHouse.Withdrawn",
        "    portfolio._bump(account)\n    log IClearingHouse.Withdrawn",
        HOUSE,
    ),
    Mutant(
        "ClearingHouse.vy",
        "the giver of a transfer is not gated",
        "    self._check_initial(source, oracle)\n",
        "",
        HOUSE,
    ),
    Mutant(
        "ClearingHouse.vy",
        "the new scheme is not asked",
        "    portfolio._bump(account)\n"
        "    self._check_initial(account, self._oracle())\n"
        "    log IClearingHouse.SchemeSwitched",
        "    portfolio._bump(account)\n    log IClearingHouse.SchemeSwitched",
        HOUSE,
    ),
    Mutant(
        "ClearingHouse.vy",
        "accounts in liquidation withdraw",
        "    self._check_role(account, IClearingHouse.Role.WITHDRAW)\n"
        "    self._check_idle(account)\n",
        "    self._check_role(account, IClearingHouse.Role.WITHDRAW)\n",
        LIQUIDATOR,
    ),
    Mutant(
        "ClearingHouse.vy",
        "venues trade without a grant",
        "            self._check_role(leg.account, IClearingHouse.Role.TRADE)\n",
        "",
        HOUSE,
    ),
    Mutant(
        "ClearingHouse.vy",
        "anyone moves balances",
        '    self._check_workout()\n    assert source != target, "clearing: same account"',
        '    assert source != target, "clearing: same account"',
        HOUSE,
    ),
    Mutant(
        "ClearingHouse.vy",
        "the second branch stays open in liquidation",
        "        closing and portfolio._phase(account) == 0,",
        "        closing,",
        LIQUIDATOR,
    ),
    Mutant(
        "ClearingHouse.vy",
        "a perpetual bought off its mark is not settled",
        "            flow += value\n",
        "",
        HOUSE,
    ),
    Mutant(
        "ClearingHouse.vy",
        "fees are not taken",
        "    if fee > 0:\n        cash_ledger._take_fee(account, fee)\n",
        "    if fee > 0:\n",
        HOUSE,
    ),
    Mutant(
        "Gate.vy",
        "stale prices open",
        "            IOracle.Purpose.OPENING in usable\n            and equity >=",
        "            equity >=",
        HOUSE,
    ),
    Mutant(
        "Gate.vy",
        "closing may lower equity",
        '    assert equity_after >= equity - convert(capped, int256), "gate: equity falls"\n',
        "",
        HOUSE,
    ),
    Mutant(
        "Registry.vy",
        "a trade need not sum to zero",
        '        assert net == 0, "registry: sizes do not sum to 0"\n',
        "",
        HOUSE,
    ),
    Mutant(
        "Registry.vy",
        "cash of a trade need not sum to zero",
        '    assert money == 0, "registry: cash does not sum to 0"\n',
        "",
        HOUSE,
    ),
    Mutant(
        "Registry.vy",
        "withdrawals are never locked",
        '    assert not staticcall IBackstop(self.backstop).locked(), "registry: '
        'withdrawals are locked"\n',
        "",
        BACKSTOP,
    ),
    Mutant(
        "Registry.vy",
        "what nobody can value may come in",
        "        assert IOracle.Purpose.OPENING in found.usable,",
        "        assert IOracle.Purpose.CLOSING in found.usable,",
        INCIDENTS,
    ),
    Mutant(
        "ClearingHouse.vy",
        "what nobody can value may be moved in",
        "        assert amount % (staticcall cash_ledger.REGISTRY.incoming(asset)).unit == 0, (",
        "        assert amount % (staticcall cash_ledger.REGISTRY.asset(asset)).unit == 0, (",
        INCIDENTS,
    ),
    Mutant(
        "Registry.vy",
        "a size is cut off to fit its word",
        "            abs(leg.size) < convert(position.MAX_SIZE, int256) * SIZE_UNIT\n",
        "            leg.size != 0\n",
        HOUSE,
    ),
    Mutant(
        "modules/accounts.vy",
        "an operator gives what it does not hold",
        "assert settings in held and roles & held == roles,",
        "assert settings in held,",
        HOUSE,
    ),
    Mutant(
        "Oracle.vy",
        "one source sets the confidence",
        "levels[(len(levels) - 1) // 2]",
        "levels[0]",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a mean that may never count is published",
        "    if self._samples(word) >= MIN_SAMPLES:",
        "    if word != 0:",
        ORACLE,
    ),
    Mutant(
        "modules/versions.vy",
        "a rulebook tightens at once",
        '        assert activation + ramp >= now + MIN_CHANGE, "versions: change too sudden"\n',
        "",
        "test_scenario_engine.py",
    ),
    Mutant(
        "Registry.vy",
        "a new rate is charged for the past",
        "        extcall IClearingHouse(self.clearing_house).sweep_fees()\n",
        "        pass\n",
        INCIDENTS,
    ),
    Mutant(
        "ClearingHouse.vy",
        "anyone changes the state of the fund",
        "        # Not the fund's: anyone could make a bid for it miss the state that it expects.\n"
        "        portfolio._bump(account)\n",
        "        pass\n    portfolio._bump(account)\n",
        HOUSE,
    ),
    Mutant(
        "Registry.vy",
        "anyone is a venue",
        '    assert self.is_venue[venue], "registry: not a venue"\n',
        "",
        HOUSE,
    ),
    Mutant(
        "modules/portfolio.vy",
        "funding is received by who should pay it",
        "-size * (index - settled_index)",
        "size * (index - settled_index)",
        HOUSE,
    ),
    Mutant(
        "modules/portfolio.vy",
        "the funding index is not remembered",
        "    self._funding[account][underlying] = index\n",
        "    pass\n",
        HOUSE,
    ),
    Mutant(
        "modules/portfolio.vy",
        "a taken perpetual starts at an old funding index",
        "                self._settle_at(account, name, 0, mark, index, 0, 0)\n"
        "                word |=",
        "                word |=",
        INCIDENTS,
    ),
    Mutant(
        "modules/portfolio.vy",
        "puts pay like calls",
        "        value = -value\n",
        "        pass\n",
        HOUSE,
    ),
    Mutant(
        "modules/portfolio.vy",
        "shorts count as open interest",
        "max(after, 0) - max(before, 0)",
        "abs(after) - abs(before)",
        HOUSE,
    ),
    Mutant(
        "modules/cash_ledger.vy",
        "the borrow index is rounded down",
        "return index + self._ceil_div(index * rate * elapsed, WAD * YEAR)",
        "return index + index * rate * elapsed // (WAD * YEAR)",
        CASH,
        "it has 27 digits: below a billion dollars that is less than a wei of debt",
    ),
    Mutant(
        "modules/cash_ledger.vy",
        "interest is rounded down",
        "self._ceil_div(convert(-stored, uint256) * index_now, index_then), int256",
        "convert(-stored, uint256) * index_now // index_then, int256",
        CASH,
    ),
    Mutant(
        "modules/cash_ledger.vy",
        "a haircut is rounded up for the account",
        "scaled: uint256 = convert(stored, uint256) * index_now // index_then",
        "scaled: uint256 = self._ceil_div(convert(stored, uint256) * index_now, index_then)",
        CASH,
    ),
    Mutant(
        "modules/cash_ledger.vy",
        "fees do not repay the deficit",
        "        self._losses = losses - repaid\n",
        "        pass\n",
        CASH,
    ),
    Mutant(
        "modules/cash_ledger.vy",
        "a mutualised loss is not taken from the total",
        "    self._totals -= taken\n\n    generation",
        "    generation",
        CASH,
    ),
    Mutant(
        "modules/cash_ledger.vy",
        "debt bears no interest",
        "            settled = -owed\n            interest = convert(owed + stored, uint256)\n",
        "            settled = stored\n",
        CASH,
    ),
    Mutant(
        "modules/workout.vy",
        "sizes taken are rounded away from zero",
        "position._size(word) * convert(fraction, int256) // SIGNED_WAD",
        "(position._size(word) * convert(fraction, int256) + SIGNED_WAD - 1) // SIGNED_WAD",
        LIQUIDATOR,
    ),
    Mutant(
        "modules/workout.vy",
        "reserved cash is sold too",
        " - convert(reserved, int256)",
        "",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "healthy accounts are flagged",
        '    assert seen.equity < convert(seen.maintenance, int256), "liquidator: '
        'account is healthy"\n',
        "",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "bidders need no margin",
        '    assert equity >= convert(initial, int256), "liquidator: bidder below '
        'initial margin"\n',
        "",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "a bidder of cash needs its part of maintenance margin alone",
        "self._ceil_div(found.initial * taken, WAD)",
        "self._ceil_div(found.maintenance * taken, WAD)",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "what a bidder has beside cash is not looked at",
        "    if starts_empty and scheme ==",
        "    if scheme ==",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "what has expired against a bidder is not looked at",
        " and bidders.unsettled == 0\n",
        "\n",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "a bidder's share of its own payout is beyond its limit",
        "        paid = held - staticcall house.cash(bidder)\n",
        "        paid = -convert(payout, int256)\n",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "an account that is no longer healthy forgets a replaced liquidator's phase",
        "    if self._health(seen) < 0:\n        return False\n",
        "",
        LIQUIDATOR,
    ),
    Mutant(
        "Registry.vy",
        "collateral of coarse units is accepted",
        '    assert decimals >= MIN_DECIMALS, "registry: too few decimals"\n',
        "",
        "test_registry.py",
    ),
    Mutant(
        "Liquidator.vy",
        "a bidder is margined as the account is",
        "    if starts_empty and scheme == staticcall house.scheme_id(bidder):",
        "    if starts_empty:",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "the margin of what a bid leaves has no room for rounding",
        "self._ceil_div(found.maintenance * left, WAD) + found.dust",
        "self._ceil_div(found.maintenance * left, WAD)",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "the equity that a bid leaves has no room for rounding",
        "sold * convert(left, int256) // SIGNED_WAD - convert(found.dust, int256)",
        "sold * convert(left, int256) // SIGNED_WAD",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "a price limit is not looked at",
        '    assert paid <= price_limit, "liquidator: price above limit"\n',
        "",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "the expected state is not looked at",
        '        assert expected_state == self._state(account), "liquidator: state has changed"\n',
        "        pass\n",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "a bid takes more than the rule allows",
        "    taken: uint256 = min(fraction, most)\n",
        "    taken: uint256 = min(fraction, WAD)\n",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "the rule's price may lower health",
        "        self._health(before) - self._health(after),\n",
        "        0,\n",
        INCIDENTS,
    ),
    Mutant(
        "Liquidator.vy",
        "a bid for all of an insolvent account does not end it",
        "    if taken == WAD:\n        self._end(account)",
        "    if taken > WAD:\n        self._end(account)",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "above maintenance nothing ends before the buffer, ever",
        "            self._is_over(course) and self._health(seen) >= 0\n",
        "            False\n",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "a solvent account turns insolvent at once",
        "seen.equity <= 0 or (self._is_over(course) and self._health(seen) < 0)",
        "seen.equity <= 0 or self._health(seen) < 0",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "the fund takes accounts before the path is over",
        "        and self._is_over(course)\n"
        "        and self._health(seen) < 0\n"
        "        and staticcall",
        "        and self._health(seen) < 0\n        and staticcall",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "a new start price moves price paths that run",
        "            course.start_price\n            * (course.duration",
        "            self._parameters.start_price\n            * (course.duration",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "bids may be next to nothing",
        "        MIN_MIN_FRACTION <= parameters.min_fraction\n",
        "        0 <= parameters.min_fraction\n",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "payouts do not rise",
        "least + (most - least) * convert(elapsed, int256)",
        "least + (most - least) * 0 * convert(elapsed, int256)",
        LIQUIDATOR,
    ),
    Mutant(
        "Liquidator.vy",
        "an insolvent bid pays for all of the account",
        "    return convert(payout, uint256) * taken // WAD",
        "    return convert(payout, uint256)",
        INCIDENTS,
    ),
    Mutant(
        "Gate.vy",
        "a closing trade may grow a position",
        "        if abs(size) > abs(held) or (size > 0) != (held > 0):",
        "        if (size > 0) != (held > 0):",
        HOUSE,
    ),
    Mutant(
        "Gate.vy",
        "a closing trade may flip a position",
        "        if abs(size) > abs(held) or (size > 0) != (held > 0):",
        "        if abs(size) > abs(held):",
        HOUSE,
    ),
    Mutant(
        "Gate.vy",
        "a closing trade may open another position",
        "        if i == len(before) or position._series(before[i]) != series:\n"
        "            return False\n",
        "        if i == len(before) or position._series(before[i]) != series:\n"
        "            continue\n",
        HOUSE,
    ),
    Mutant(
        "Gate.vy",
        "one position answers for two",
        "            return False\n        i += 1\n",
        "            return False\n",
        "test_gate.py",
    ),
    Mutant(
        "Registry.vy",
        "a perpetual has many names",
        "    if position._kind(instrument) != position.PERPETUAL:\n        return instrument <=",
        "    if True:\n        return instrument <=",
        HOUSE,
    ),
    Mutant(
        "Gate.vy",
        "an account may have one expiry too many",
        "    return count <= MAX_EXPIRIES",
        "    return count <= MAX_EXPIRIES + 1",
        "test_liquidation_gas.py",
    ),
    Mutant(
        "Gate.vy",
        "a bidder may have any number of expiries",
        '    assert self._fits(book.positions), "gate: too many expiries"\n    return',
        "    return",
        "test_liquidation_gas.py",
    ),
    Mutant(
        "Gate.vy",
        "a strike's rounding is left out",
        "            sum += position._strike(book.positions[i]) * PRICE_UNIT\n",
        "            pass\n",
        "test_gate.py",
    ),
    Mutant(
        "Backstop.vy",
        "what is left of an account goes to the fund",
        "workout._seize(house, account, FUND, book, WAD, 0, convert(kept, int256))",
        "workout._seize(house, account, FUND, book, WAD, 0, 0)",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "withdrawals stay locked for ever",
        "        since != 0 and block.timestamp >= since + self._parameters.lock_length\n",
        "        False\n",
        BACKSTOP,
    ),
    Mutant(
        "Liquidator.vy",
        "dust uses up the lock of withdrawals",
        "    if not staticcall self._backstop().locks(total):",
        "    if total == 0:",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "cash that the fund owes delays the lock",
        "return total > self._lock_threshold()",
        "return False",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "the fund pays with cash that it owes",
        "        fund = min(fund, convert(max(equity, 0), uint256))\n",
        "",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "interest due is mutualised",
        "    extcall house.settle(account)\n    if account != FUND:",
        "    if account != FUND:",
        BACKSTOP,
    ),
    Mutant(
        "modules/cash_ledger.vy",
        "the fund bears a share of what others pay it",
        "        self._change(FUND, -kept)\n        mutualised = self._mutualise(loss)\n"
        "        self._change(FUND, kept)\n",
        "        mutualised = self._mutualise(loss)\n",
        CASH,
    ),
    Mutant(
        "Backstop.vy",
        "counterparties in any order",
        '    assert score <= ceiling, "backstop: scores increase"\n',
        "",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "counterparties may fall below maintenance",
        '    assert self._score(item.account, gate) <= WAD, "backstop: counterparty '
        'below maintenance"\n',
        "",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "positions of the fund are forced on anyone",
        "    assert staticcall house.may(item.account, msg.sender, IClearingHouse.Role.TRADE), (\n"
        '        "backstop: not allowed"\n    )\n',
        "",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "the fund's positions are had for nothing",
        "cash: int256 = worth + convert(premium, int256)",
        "cash: int256 = worth",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "the fund is left without its hedge",
        '    assert self._fresh_health(FUND, gate) >= before, "backstop: health falls"\n',
        "",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "who takes from the fund needs no margin",
        '    assert equity >= convert(initial, int256), "backstop: taker below initial margin"\n',
        "",
        BACKSTOP,
    ),
    Mutant(
        "Backstop.vy",
        "anyone takes accounts over",
        '    """\n    self._check_liquidator()\n    house',
        '    """\n    house',
        BACKSTOP,
    ),
    Mutant(
        "modules/kernel.vy",
        "a value is not lowered by the kernel's error",
        "unsafe_sub(series.puts_strike, error),",
        "series.puts_strike,",
        SCENARIO,
    ),
    Mutant(
        "modules/kernel.vy",
        "shocked vols have no floor",
        "                if v < lowest:\n                    v = lowest\n",
        "",
        SCENARIO,
    ),
    Mutant(
        "modules/kernel.vy",
        "a short option takes the least vol of several",
        "mask, o.size > 0)",
        "mask, True)",
        SCENARIO,
    ),
    Mutant(
        "modules/kernel.vy",
        "shorts are discounted like longs",
        "series.long_factor if total > 0 else series.short_factor",
        "series.long_factor",
        SCENARIO,
    ),
    Mutant(
        "modules/kernel.vy",
        "the basis forgets earlier expiries' worst",
        "worst = min(worst, ",
        "worst = min(0, ",
        SCENARIO,
    ),
    Mutant(
        "modules/kernel.vy",
        "a scenario without a move binds on the upside alone",
        "if x <= 10 ** 18 and",
        "if x < 10 ** 18 and",
        SCENARIO,
    ),
    Mutant(
        "modules/kernel.vy",
        "scenarios are not weighted",
        "if weight != WAD:",
        "if weight == WAD:",
        SCENARIO,
    ),
    Mutant(
        "engines/ScenarioKernel.vy",
        "naked longs are charged, naked shorts are not",
        "if net < 0:\n                    naked += convert(-net, uint256)",
        "if net > 0:\n                    naked += convert(net, uint256)",
        SCENARIO,
    ),
    Mutant(
        "engines/ScenarioKernel.vy",
        "a short option keeps the long-only cap",
        "            if q < 0:\n                o.long_only = False\n",
        "",
        SCENARIO,
    ),
    Mutant(
        "engines/ScenarioKernel.vy",
        "a doubtful forward counts as certain",
        "min(u.spot_confidence, expiry.confidence),",
        "u.spot_confidence,",
        SCENARIO,
    ),
    Mutant(
        "engines/ScenarioEngine.vy",
        "anyone publishes",
        "ownable._check_owner()",
        "pass",
        SCENARIO,
    ),
    Mutant(
        "engines/ScenarioEngine.vy",
        "one underlying's gain pays for another's loss in full",
        "if losing > 1 and grid != IScenarioKernel.Grid.BOUND:",
        "if losing > 8 and grid != IScenarioKernel.Grid.BOUND:",
        SCENARIO,
    ),
    Mutant(
        "engines/ScenarioEngine.vy",
        "a ramp of initial margin is skipped",
        "initial = versions._blend(f.initial, initial, share)",
        "initial = f.initial",
        SCENARIO,
    ),
    Mutant(
        "modules/charges.vy",
        "a depeg raises no factor",
        "if stable < rules.factors.depeg_threshold:",
        "if stable > rules.factors.depeg_threshold:",
        SCENARIO,
    ),
    Mutant(
        "modules/charges.vy",
        "debt keeps the long-only cap",
        "f.long_only = cash >= 0",
        "f.long_only = True",
        SCENARIO,
    ),
    Mutant(
        "modules/charges.vy",
        "products of charges are rounded down",
        "return (amount * ratio + WAD - 1) // WAD",
        "return amount * ratio // WAD",
        SCENARIO,
    ),
    Mutant(
        "engines/LtvEngine.vy",
        "shorts ask no margin",
        "maintenance[k] += self._up(notional, pair.maintenance)\n        a.option_value",
        "maintenance[k] += 0\n        a.option_value",
        SIMPLE,
    ),
    Mutant(
        "engines/LtvEngine.vy",
        "an option's worth counts on top of its margin",
        "maintenance[k] += convert(worth, uint256)",
        "maintenance[k] += 0",
        SIMPLE,
    ),
    Mutant(
        "engines/SensitivityEngine.vy",
        "short gamma costs nothing",
        "risk += gamma_cost + (gross >> ERROR_SHIFT)",
        "risk += gross >> ERROR_SHIFT",
        SIMPLE,
    ),
    Mutant(
        "engines/SensitivityEngine.vy",
        "spot and vol never fall together",
        "max(total, 0) + 2 * abs(cross)",
        "max(total, 0)",
        SIMPLE,
    ),
    Mutant(
        "engines/SensitivityEngine.vy",
        "naked shorts have no least margin",
        "return max(risk, least)",
        "return risk",
        SIMPLE,
    ),
)


def mutate(folder: Path, mutant: Mutant) -> None:
    """Write one mutant into a copy of the contracts folder."""
    path = folder / mutant.file
    source = path.read_text()
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file}: {mutant.what}: not one place reads {mutant.old!r}")
    path.write_text(source.replace(mutant.old, mutant.new))


def is_killed(tree: Path, mutant: Mutant) -> bool:
    """Run a mutant's tests on it in a copy of the tree, and put the file back."""
    path = tree / "contracts" / mutant.file
    source = path.read_text()
    mutate(tree / "contracts", mutant)
    try:
        return not _passes(tree, mutant.tests)
    finally:
        path.write_text(source)


def _passes(tree: Path, tests: str) -> bool:
    files = [f"tests/contracts/{name}" for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    if "does not compile" in done.stdout:
        raise ValueError(f"{tests}: a mutant must compile:\n{done.stdout}")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="mutants whose file or description has this")
    parser.add_argument("--list", action="store_true", help="list the mutants and stop")
    chosen = parser.parse_args()
    mutants = [m for m in MUTANTS if chosen.only in f"{m.file}: {m.what}"]
    if chosen.list:
        for mutant in mutants:
            print(f"{mutant.file}: {mutant.what}")
        return 0

    unstated = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        for part in ("contracts", "sim", "tests"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, tree / part, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", tree)
        for tests in sorted({mutant.tests for mutant in mutants}):
            if not _passes(tree, tests):
                print(f"{tests} fails on the contracts as they are", file=sys.stderr)
                return 1
        for mutant in mutants:
            killed = is_killed(tree, mutant)
            verdict = "killed" if killed else f"SURVIVES {mutant.survives or '(unstated)'}"
            print(f"{mutant.file}: {mutant.what}: {verdict}", flush=True)
            unstated += not killed and not mutant.survives
    print(f"{len(mutants)} mutants, {unstated} survive without a reason")
    return 1 if unstated else 0


if __name__ == "__main__":
    sys.exit(main())
