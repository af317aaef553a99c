"""What margin costs in gas, beside Derive's engine.

Cold is a transaction of its own that reads account and market from storage and asks the engine,
21,000 and calldata included; warm is a second request in one transaction. `bound` is the gate when
its cheap upper bound suffices, `full` is every scenario, `proof` is one named scenario. Books are
random out-of-the-money and in-the-money options of one expiry, all of different strikes.

Derive: derivexyz/v2-core at 7736900d, measured with solc 0.8.27, optimiser at 100 runs, EVM prague:
`getMargin` of its portfolio manager (PMRM, 23 scenarios) as a transaction of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from sim import rulebooks
from sim.bench import Figure, Report
from sim.chain.backend import Call, Receipt, Transaction
from sim.chain.revm import RevmBackend
from sim.protocol.abi import Abi
from sim.protocol.artifacts import artifact

OWNER = "0x" + "a0" * 20
NOW = 1_583_884_800
LATER = NOW + 100  # once all is deployed
WAD = 10**18
NANO = 10**9
COUNTS = (1, 4, 8, 16, 32, 64)
RULEBOOK = 1
# Options of one expiry: gas of getMargin cold, and warm.
DERIVE_COLD = {1: 555_879, 4: 1_194_354, 8: 2_049_963, 16: 3_777_056, 32: 7_286_877}
DERIVE_WARM = {1: 345_879, 4: 972_354, 8: 1_811_963, 16: 3_507_056, 32: 6_952_877}
DERIVE_PRICE = 4_656  # Black76.prices inlined; 6,455 as it is deployed
GOALS = {8: 300_000, 32: 850_000}  # of the full path, cold


@dataclass(frozen=True, slots=True)
class Cost:
    """Gas of one book: cold bound, full and proof, and bound and full warm."""

    options: int
    bound: int
    full: int
    proof: int
    warm_bound: int
    warm_full: int


class _Chain:
    """A chain in this process, one transaction a block."""

    def __init__(self) -> None:
        self._backend = RevmBackend(timestamp=NOW - 1)

    def _mine(self, transaction: Transaction) -> Receipt:
        (receipt,) = self._backend.mine([transaction], self._backend.timestamp + 1).receipts
        assert receipt.succeeded, receipt.output
        return receipt

    def wait(self, timestamp: int) -> None:
        self._backend.mine([], timestamp)

    def deploy(self, path: str, *arguments: Any) -> tuple[str, Abi]:
        built = artifact(path)
        abi = Abi(built.abi)
        created = self._mine(
            Transaction(OWNER, None, built.bytecode + abi.constructor(*arguments))
        ).created
        assert created is not None
        return created, abi

    def gas(self, contract: tuple[str, Abi], name: str, *arguments: Any) -> int:
        """Gas of a transaction, to which everything is cold."""
        data = contract[1].function(name, len(arguments)).encode(*arguments)
        return self._mine(Transaction(OWNER, contract[0], data)).gas_used

    def read(self, contract: tuple[str, Abi], name: str, *arguments: Any) -> Any:
        function = contract[1].function(name, len(arguments))
        (outcome,) = self._backend.call_many([Call(contract[0], function.encode(*arguments))])
        assert outcome.succeeded, outcome.data
        return function.decode(outcome.data)


def run(quick: bool = False) -> Report:
    """Measure the scenario engine from storage, and one price."""
    figures = []
    for cost in margin_costs((1, 8) if quick else COUNTS):
        n = cost.options
        full = f"{n} options x 23 scenarios"
        goal = GOALS.get(n)
        figures.append(
            Figure(
                f"full margin, {full}, cold",
                cost.full,
                "gas",
                f"<= {goal:,}" if goal else "",
                cost.full <= goal if goal else None,
            )
        )
        if n in DERIVE_COLD:
            figures.append(Figure(f"  Derive PMRM, {full}, cold", DERIVE_COLD[n], "gas"))
            figures.append(Figure("  ratio", DERIVE_COLD[n] / cost.full, "x"))
        figures.append(Figure(f"full margin, {full}, warm", cost.warm_full, "gas"))
        if n in DERIVE_WARM:
            figures.append(Figure(f"  Derive PMRM, {full}, warm", DERIVE_WARM[n], "gas"))
        figures.append(Figure(f"gate by its bound, {n} options, cold", cost.bound, "gas"))
        figures.append(Figure(f"gate by its bound, {n} options, warm", cost.warm_bound, "gas"))
        figures.append(Figure(f"flag proof, {n} options, cold", cost.proof, "gas"))
    price, quote = price_costs()
    figures.append(
        Figure("one Black-76 price, near the money", price, "gas", "<= 2,700", price <= 2_700)
    )
    figures.append(Figure("  Derive Black76.prices, inlined", DERIVE_PRICE, "gas"))
    figures.append(Figure("price and four greeks", quote, "gas", "<= 3,200", quote <= 3_200))
    return Report("gas", __doc__ or "", tuple(figures))


def margin_costs(counts: tuple[int, ...] = COUNTS) -> list[Cost]:
    """Gas of the scenario engine under `derive-pmrm` for books of `counts` options."""
    chain = _Chain()
    kernel, rules = (
        chain.deploy("engines/ScenarioKernel.vy"),
        chain.deploy("engines/ScenarioRules.vy"),
    )
    engine = chain.deploy("engines/ScenarioEngine.vy", OWNER, kernel[0], rules[0])
    chain.gas(engine, "publish", RULEBOOK, rulebooks.load("derive-pmrm").as_wad(), LATER, 0)
    chain.wait(LATER)
    holder = chain.deploy("testing/StoredBook.vy")
    costs = []
    for count in counts:
        chain.gas(holder, "store", engine[0], RULEBOOK, *book(count))
        costs.append(
            Cost(
                options=count,
                bound=chain.gas(holder, "check", 1),
                full=chain.gas(holder, "margins"),
                proof=chain.gas(holder, "prove", [3]),
                warm_bound=chain.read(holder, "warm", False),
                warm_full=chain.read(holder, "warm", True),
            )
        )
    return costs


def price_costs() -> tuple[int, int]:
    """Gas of a price and of a quote, less that of a call that does nothing else."""
    chain = _Chain()
    option_math = chain.deploy("OptionMath.vy")
    arguments = (3000 * WAD, 3030 * WAD, 30 * 86_400, WAD // 2, WAD, True)
    # An option without forward and strike needs no mathematics: what it costs is the call.
    empty = (0, 0, 30 * 86_400, WAD // 2, WAD, True)
    zero = chain.gas(option_math, "price", *empty) - _calldata(option_math[1], "price", empty)
    return (
        chain.gas(option_math, "price", *arguments)
        - _calldata(option_math[1], "price", arguments)
        - zero,
        chain.gas(option_math, "quote", *arguments)
        - _calldata(option_math[1], "quote", arguments)
        - zero,
    )


def _calldata(abi: Abi, name: str, arguments: tuple[Any, ...]) -> int:
    data = abi.function(name, len(arguments)).encode(*arguments)
    return sum(16 if byte else 4 for byte in data)


def book(count: int) -> tuple[Any, Any]:
    """`IRiskEngine.Book` and `IOracle.Market` of options of one expiry, well margined."""
    rng = random.Random(count)
    expiry = NOW + 40 * 86_400
    positions = []
    for strike in rng.sample(range(200, 460), count):
        size = round(rng.choice([-1, 1]) * rng.uniform(0.1, 10) * 100) * 10**7
        word = (size % 2**96) << 160 | expiry << 96 | 10 * strike * NANO << 8 | rng.choice([2, 3])
        positions.append(word)
    positions.sort(key=lambda word: word % 2**160)
    terms = 3030 * NANO | int(0.03 * 10**10) << 144 | NANO << 184 | expiry << 216
    surface = (
        30 * 86_400
        | int(0.3 * 10**9) << 32
        | int(0.05 * 10**9) << 72
        | (-int(0.3 * 10**9) % 2**32) << 112
        | int(0.1 * 10**12) << 144
        | int(0.01 * 10**12) << 192
    )
    underlying = (0, 3000 * WAD, WAD, 3000 * WAD, WAD, 0)
    market: Any = (NOW, 7, WAD, [underlying], [(terms, surface)], [], [])
    return (10**6 * WAD, 0, [], positions), market
