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
        "if place == 0 or sorted[place - 1] <= word:",
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
        "if window >> 160 < MIN_SAMPLES:",
        "if window >> 160 < 1:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "the window weighs a forward by the push that ends it",
        "self._accrue_forward(series, word & MASK_72, price)",
        "self._accrue_forward(series, price, price)",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "one block makes many samples",
        "if samples == 0 or word >> 128 & MASK_32 != block.timestamp:",
        "if True:",
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
        "Oracle.vy",
        "wings of a slice steeper than Lee's bound",
        "if b * (10**9 + abs(rho)) > 2 * 10**21:",
        "if b > 2 * 10**12:",
        ORACLE,
    ),
    Mutant(
        "Oracle.vy",
        "a slice of negative variance",
        "return a >= 0 or (b",
        "return True or (b",
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
