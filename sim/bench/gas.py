"""What margin costs in gas, beside Derive's engine.

Cold is a transaction of its own that reads account and market from storage and asks the engine,
21,000 and calldata included; warm is a second request in one transaction. `bound` is the gate when
its cheap upper bound suffices, `full` is every scenario, `proof` is one named scenario. Books are
random out-of-the-money and in-the-money options of one expiry, all of different strikes.

Trades and bids run on the whole protocol as it is deployed, fees included, each a cold transaction
of its own. In a trade both sides hold 8 options and buy or sell more of one. A bid is by an account
that holds cash alone, on one below maintenance margin; a partial bid takes what its rule allows.

Derive: derivexyz/v2-core at 7736900d, measured with solc 0.8.27, optimiser at 100 runs, EVM prague:
`getMargin` of its portfolio manager (PMRM, 23 scenarios) as a transaction of its own, and its
trades and bids, of a tenth of an account.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Sequence

from sim import rulebooks
from sim.bench import Figure, Report
from sim.chain.backend import Call, Receipt, Transaction, created_address
from sim.chain.revm import RevmBackend
from sim.protocol import deploy
from sim.protocol.abi import Abi
from sim.protocol.artifacts import artifact
from sim.protocol.feeds import Kind, feed
from sim.protocol.settings import Liquidation, ProtocolSettings

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
DERIVE_TRADE = 4_287_000
DERIVE_BID = 2_371_430
GOAL_TRADE = GOAL_BID = 800_000
LIMIT_BID = 8_000_000  # of any bid: PROTOCOL 8
LARGEST = ((1, 1), (1, 32), (8, 4))  # underlyings, expiries of each: at most 32 together
STRIKES = (2400, 2500, 2600, 2800, 3000, 3200, 3300, 3400)
DAY = 86_400


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
        figures += [
            *_beside_derive(f"{n} options x 23 scenarios, cold", cost.bound, cost.full, n),
            *_beside_derive(
                f"{n} options x 23 scenarios, warm", cost.warm_bound, cost.warm_full, n
            ),
            Figure(f"{n} options: flag proof, cold", cost.proof, "gas"),
        ]
    figures += _clearing_figures(quick)
    price, quote = price_costs()
    figures += [
        Figure("one Black-76 price, near the money", price, "gas", "<= 2,700", price <= 2_700),
        Figure("  Derive Black76.prices, inlined", DERIVE_PRICE, "gas"),
        Figure("price and four greeks", quote, "gas", "<= 3,200", quote <= 3_200),
    ]
    return Report("gas", __doc__ or "", tuple(figures))


def _beside_derive(what: str, bound: int, full: int, options: int) -> list[Figure]:
    """One check by its bound and in full, Derive's figure where there is one, and the ratios."""
    cold = what.endswith("cold")
    goal = GOALS.get(options) if cold else None
    derive = (DERIVE_COLD if cold else DERIVE_WARM).get(options)
    figures = [
        Figure(f"{what}: bound", bound, "gas"),
        Figure(
            f"{what}: full",
            full,
            "gas",
            f"<= {goal:,}" if goal else "",
            full <= goal if goal else None,
        ),
    ]
    if derive:
        figures += [
            Figure("  Derive PMRM", derive, "gas"),
            Figure("  Derive / bound", derive / bound, "x"),
            Figure("  Derive / full", derive / full, "x"),
        ]
    return figures


def _clearing_figures(quick: bool) -> list[Figure]:
    costs = clearing_costs()
    trade, part, whole = (
        Figure(what, gas, "gas", f"<= {goal:,}", gas <= goal)
        for what, gas, goal in (
            ("option trade, both gates, 8 options held, cold", costs.trade, GOAL_TRADE),
            ("bid on a part of 8 options, cold", costs.part, GOAL_BID),
            ("bid on all of 8 options, cold", costs.whole, GOAL_BID),
        )
    )
    figures = [
        trade,
        Figure("  Derive PMRM", DERIVE_TRADE, "gas"),
        Figure("  ratio", DERIVE_TRADE / costs.trade, "x"),
        part,
        whole,
        Figure("  Derive PMRM, a tenth", DERIVE_BID, "gas"),
        Figure("  ratio, a part", DERIVE_BID / costs.part, "x"),
    ]
    for underlyings, expiries in () if quick else LARGEST:
        gas = largest_bid(underlyings, expiries)
        what = f"bid on a part of 64 options, {underlyings} x {expiries} expiries, cold"
        figures.append(Figure(what, gas, "gas", f"<= {LIMIT_BID:,}", gas <= LIMIT_BID))
    if not quick:
        what = "  8 x 4, by an account of 64 options near its margin"
        figures.append(Figure(what, crowded_bid(), "gas"))
    return figures


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


@dataclass(frozen=True, slots=True)
class ClearingCost:
    """Gas of a trade, and of bids on a part and on the whole of an account, all with 8 options."""

    trade: int
    part: int
    whole: int


class _Clearing(_Chain):
    """The protocol, every account of which belongs to one owner; underlyings at 3,000."""

    def __init__(
        self,
        rulebook: str,
        expiries: Sequence[tuple[int, int]],
        strikes: Sequence[int],
        rule: str = "dutch_auction",
    ) -> None:
        super().__init__()
        self._expiries = expiries
        self._underlyings = sorted({underlying for underlying, _ in expiries})
        steps = deploy.plan(
            ProtocolSettings(rulebook=rulebook, liquidation=Liquidation(rule=rule)),
            rulebooks.load(rulebook),
            deploy.Listing(
                deploy.Token("USDC", 6),
                (),
                tuple(self._underlyings),
                tuple(deploy.Series(u, e, tuple(map(float, strikes))) for u, e in expiries),
            ),
            owner=OWNER,
            reporters=lambda kind, item: (OWNER,),
            matcher=OWNER,
            now=NOW + DAY,
        )
        prepared, deployed = deploy.prepare(steps, lambda n: created_address(OWNER, n))
        for step in prepared:
            self._mine(Transaction(OWNER, step.to, step.data))
        self._contracts = {name: (item.address, item.abi) for name, item in deployed.items()}
        self.wait(NOW + DAY)
        self.send("quote", "mint", OWNER, 10**18)
        self.send("quote", "approve", self._contracts["clearing_house"][0], 10**18)
        self.push(3000)

    def send(self, contract: str, function: str, *arguments: Any) -> int:
        """Gas of a transaction by the owner."""
        return self.gas(self._contracts[contract], function, *arguments)

    def ask(self, contract: str, function: str, *arguments: Any) -> Any:
        return self.read(self._contracts[contract], function, *arguments)

    def push(self, spot: int) -> None:
        now, price = self._backend.timestamp, spot * WAD
        updates = [(feed(Kind.STABLE), WAD, WAD, now)]
        for u in self._underlyings:
            updates += [(feed(kind, u), price, WAD, now) for kind in (Kind.SPOT, Kind.MARK)]
        for u, e in self._expiries:
            updates.append((feed(Kind.FORWARD, u, e), price * 101 // 100, WAD, now))
            updates.append((feed(Kind.RATE, u, e), 3 * WAD // 100, WAD, now))
        for start in range(0, len(updates), 64):
            self.send("oracle", "push", updates[start : start + 64])
        smile = (WAD // 100, WAD // 10, -3 * WAD // 10, WAD // 20, 3 * WAD // 10, 30 * DAY)
        surfaces = [(u, e, *smile, WAD, now) for u, e in self._expiries]
        self.send("oracle", "push_surfaces", surfaces)

    def open(self, dollars: int) -> int:
        account: int = self.ask("clearing_house", "account_count")
        self.send("clearing_house", "open_account", deploy.SCHEME)
        self.send("clearing_house", "grant", account, self._contracts["direct_venue"][0], 1)
        self.send("clearing_house", "deposit", account, 0, dollars * 10**6)
        return account

    def trade(self, account: int, other: int, sizes: dict[int, int], price: int = 0) -> int:
        """Gas of the last trade; at most 8 instruments go into one."""
        gas, names = 0, list(sizes)
        for start in range(0, len(names), 8):
            legs = []
            for name in names[start : start + 8]:
                size = sizes[name]
                cash = -size * price // WAD
                legs += [(account, name, size, cash), (other, name, -size, -cash)]
            gas = self.send("direct_venue", "trade", legs)
        return gas

    def flagged(self, names: Sequence[int]) -> int:
        """An account short three and long one of every four of these, below maintenance margin."""
        account, maker = self.open(10**7), self.open(10**9)
        sizes = {name: WAD if i % 4 == 3 else -WAD for i, name in enumerate(names)}
        self.trade(account, maker, sizes)
        equity, initial, *_ = self.ask("gate", "margins", account)
        spare = (equity - initial) // 10**12 - 1
        self.send("clearing_house", "withdraw", account, 0, spare, OWNER)
        spot = 3000
        while not self.ask("liquidator", "quote", account).can_flag:
            spot += 25
            self.push(spot)
        self.send("liquidator", "flag", account, [], maker)
        return account

    def bid(self, account: int) -> tuple[int, bool]:
        """Gas of the largest bid by an account of cash alone, and whether it took everything."""
        bidder = self.open(10**9)
        gas = self.send("liquidator", "bid", account, bidder, WAD, 2**127, 0)
        return gas, not self.ask("clearing_house", "positions", account)


def clearing_costs() -> ClearingCost:
    """Gas of trades and bids with 8 options of one expiry under `derive-pmrm`."""
    expiry = NOW + 40 * DAY
    names = [_option(0, expiry, strike, 2) for strike in STRIKES]
    chain = _Clearing("derive-pmrm", [(0, expiry)], STRIKES)
    sides = chain.open(10**6), chain.open(10**6)
    chain.trade(*sides, {name: WAD if i % 2 else -WAD for i, name in enumerate(names)})
    trade = chain.trade(*sides, {names[3]: WAD}, price=250 * WAD)
    part, is_all = chain.bid(chain.flagged(names))
    assert not is_all
    chain = _Clearing("derive-pmrm", [(0, expiry)], STRIKES, "fixed_penalty")
    whole, is_all = chain.bid(chain.flagged(names))
    assert is_all
    return ClearingCost(trade, part, whole)


def largest_bid(underlyings: int, expiries: int) -> int:
    """Gas of a bid on a part of 64 options, in this many expiries of each underlying (`house`)."""
    chain, names = _with_64_options(underlyings, expiries)
    gas, is_all = chain.bid(chain.flagged(names))
    assert not is_all
    return gas


def crowded_bid() -> int:
    """Gas of such a bid, on 8 x 4, by an account that holds options of all these series itself.

    It is so near its initial margin that the gate computes every scenario.
    """
    gas = spare = 0
    for _ in range(2):
        chain, names = _with_64_options(8, 4)
        account, bidder, maker = chain.flagged(names), chain.open(10**9), chain.open(10**9)
        chain.trade(bidder, maker, {name: WAD if i % 2 else -WAD for i, name in enumerate(names)})
        chain.send("clearing_house", "withdraw", bidder, 0, spare, OWNER)
        gas = chain.send("liquidator", "bid", account, bidder, WAD, 2**127, 0)
        equity, initial, *_ = chain.ask("gate", "margins", bidder)
        spare = (equity - initial) // 10**12 - 10**7
    return gas


def _with_64_options(underlyings: int, expiries: int) -> tuple[_Clearing, list[int]]:
    """The protocol under `house`, and the names of calls in this many expiries of each."""
    each = 64 // (underlyings * expiries)
    strikes = [2000 + 50 * i for i in range(each)] if each > 1 else [3000]
    dates = [(u, NOW + (40 + i) * DAY) for u in range(underlyings) for i in range(expiries)]
    names = [_option(u, e, strike, 2) for u, e in dates for strike in strikes]
    return _Clearing("house", dates, strikes), names


def _option(underlying: int, expiry: int, strike: int, kind: int) -> int:
    """The low 160 bits of a position word: what names a series."""
    return underlying << 128 | expiry << 96 | strike * NANO << 8 | kind


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
