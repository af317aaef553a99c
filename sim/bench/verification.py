"""How fast accounts are verified: every one on chain and by the reference, after every block.

A crowd of accounts that hold from one to eight positions, four on average, while the market moves
and some of them trade. It is an ordinary run of an ordinary scenario (verification.yaml); timed is
all of it, from an empty chain to the finished folder, but for compiling.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Sequence

import numpy as np
from pydantic import Field

from sim.agents.base import Agent, Params, Quote
from sim.agents.intents import Instrument, Intent, Order, Outcome, Trade
from sim.agents.traders import deposits, lots, order
from sim.agents.view import Board, View
from sim.bench import Figure, Report

SCENARIO = Path(__file__).with_suffix(".yaml")
GOAL = 600.0  # seconds for a million checks on two cores
_COUNTS = (4, 3, 5, 4, 2, 6, 3, 4, 1, 8)  # positions of a pair of accounts; their mean is 4
_OPENING = 10  # steps over which the accounts take up their positions
_TURN = 100  # steps from one trade of an account to its next
_HUNDRED = 100


def run(
    quick: bool = False, *, accounts: int = 1_000, steps: int = 1_000, backend: str = "anvil"
) -> Report:
    """Verify every account after every block, and say how long it took and with what memory.

    Parameters
    ----------
    quick
        A smoke test: few accounts and steps, whatever else is asked for.
    accounts, steps
        How many.
    backend
        `anvil` or `revm`.
    """
    from sim import engine

    if quick:
        accounts, steps = 20, 15
    watch = _Watch()
    with tempfile.TemporaryDirectory(prefix="plimsoll-") as folder:
        done = engine.run(
            SCENARIO,
            overrides=[f"horizon.steps={steps}", f"agents[0].count={accounts}"],
            backend=backend,
            out=Path(folder) / "run",
            progress=watch.told,
        )
        watch.stop()
        summary = done.manifest["outcome"]["summary"]
        broken = int((~done.checks["held"]).sum())
        held = done.positions.query("word != ''").groupby(["account", "step"]).size()
    positions = held.groupby("account").last()
    checks, seconds = int(summary["verified"]), watch.seconds
    million = seconds / checks * 1e6
    first = sum(watch.memory[:1])
    return Report(
        name="verification",
        about=(
            f"{accounts:,} accounts x {steps:,} steps on {backend}, every account on chain and by "
            "the reference after every block"
        ),
        figures=(
            Figure("accounts verified", checks, "checks"),
            Figure("  positions of an account, mean", float(positions.mean()), ""),
            Figure("  positions of an account, most", float(positions.max()), ""),
            Figure("  checks of blocks that were broken", broken, "", "0", not broken),
            Figure("  largest error", summary["largest_error"], "of its budget", "≤ 1", not broken),
            Figure("time", seconds, "s"),
            Figure("  of it stepping", watch.stepping, "s"),
            Figure("  processor time of the simulator", watch.own, "s"),
            Figure("  processor time of the node", watch.node, "s"),
            Figure("checks a second", checks / seconds, ""),
            Figure("a million checks", million, "s", f"< {GOAL:.0f}", million < GOAL),
            Figure("  processor time", (watch.own + watch.node) / checks * 1e6, "s on all cores"),
            *(
                Figure(f"memory after {_HUNDRED * n:,} steps", size, "MB")
                for n, size in enumerate(watch.memory, start=1)
            ),
            *(
                Figure("  growth since the first hundred", 100 * (last / first - 1), "%")
                for last in watch.memory[1:][-1:]
            ),
            Figure("peak memory of the simulator", watch.peak, "MB"),
        ),
    )


@dataclass
class _Watch:
    """Times a run by what it tells of its progress; memory and processor time besides."""

    seconds: float = 0.0
    stepping: float = 0.0
    own: float = 0.0
    node: float = 0.0
    peak: float = 0.0
    memory: list[float] = field(default_factory=list)
    """MB of simulator and node together after every hundred steps."""
    _started: float = 0.0
    _stepped: float = 0.0
    _cpu: tuple[float, float] = (0.0, 0.0)

    def told(self, stage: str, done: int, total: int | None, note: str) -> None:
        """Take note of progress."""
        if stage == "setting up" and done == 0:
            self._started = time.perf_counter()
            self._cpu = _processor_times()
        if stage == "running" and done == 1:
            self._stepped = time.perf_counter()
        if stage == "running" and done % _HUNDRED == 0:
            self.memory.append(_memory())
        if stage == "running" and done == total:
            self.stepping = time.perf_counter() - self._stepped

    def stop(self) -> None:
        """Take note of the end, when the node is gone."""
        self.seconds = time.perf_counter() - self._started
        own, node = _processor_times()
        self.own, self.node = own - self._cpu[0], node - self._cpu[1]
        self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _processor_times() -> tuple[float, float]:
    """Seconds of this process, and of the children that have ended."""
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system


def _memory() -> float:
    """MB that this process and its children hold now; nan where /proc does not say."""
    kilobytes = 0
    me = os.getpid()
    try:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue  # it has ended meanwhile
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if int(fields["Pid"]) == me or int(fields["PPid"]) == me:
                kilobytes += int(fields.get("VmRSS", "0").split()[0])
    except OSError:
        return float("nan")
    return kilobytes / 1024


class HolderParams(Params):
    """Settings of a holder."""

    leverage: float = Field(default=1.0, gt=0)
    """Notional of all its positions over its capital."""


class Holder(Agent[HolderParams]):
    """Builds a book against its neighbour's, the next account by number, and turns it over slowly.

    Accounts with an odd number order, those with an even one take the other side at the fair price.
    """

    Params: ClassVar[type[Params]] = HolderParams

    def __init__(self, name: str, params: HolderParams) -> None:
        super().__init__(name, params)
        self._plan: dict[Instrument, float] = {}

    def decide(self, view: View, rng: np.random.Generator) -> Sequence[Intent]:
        tip = self.params.tip
        if view.step == 0:
            return deposits(view, tip)
        account = view.account
        if account.id % 2 == 0:
            return ()
        if view.step <= account.id // 2 % _OPENING:
            return ()
        if not self._plan:
            self._plan = self._planned(account.id, view.board, rng)
        wanted = {i: size for i, size in self._plan.items() if i not in account.positions}
        turn, rest = divmod(view.step + account.id, _TURN)
        if not wanted and rest < 2:
            instrument, size = list(self._plan.items())[turn % len(self._plan)]
            wanted = {instrument: lots(abs(size) / 10) * (1 if turn % 2 else -1)}
        return [
            order(view, account.id, instrument, size, 0.01, tip)
            for instrument, size in wanted.items()
            if size and view.board.lists(instrument)
        ]

    def quote(self, view: View, order: Order) -> Quote | None:
        if not view.accounts or order.account + 1 != view.account.id:
            return None
        price = view.board.price(order.instrument)
        return Quote(account=view.account.id, price=price, size=abs(order.size))

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            intent = outcome.intent
            if not outcome.accepted and isinstance(intent, Trade):
                self._plan[intent.instrument] = _halved(self._plan[intent.instrument])

    def _planned(
        self, account: int, board: Board, rng: np.random.Generator
    ) -> dict[Instrument, float]:
        count = min(_COUNTS[account // 2 % len(_COUNTS)], len(board.instruments))
        notional = self.params.leverage * self.params.capital / count
        chosen = rng.permutation(len(board.instruments))[:count].tolist()
        signs = rng.integers(0, 2, count) * 2 - 1
        return {
            board.instruments[i]: int(sign)
            * lots(notional / board.spot(board.instruments[i].underlying))
            for i, sign in zip(chosen, signs, strict=True)
        }


def _halved(size: float) -> float:
    """Return about half of a signed size, in whole lots."""
    return float(np.sign(size)) * lots(abs(size) / 2)
