"""The whole protocol in one process, as small as tests need it."""

from __future__ import annotations

from functools import cache
from typing import Any, Sequence

from sim.rulebooks import load
from tests.contracts.feeds import (
    ASSET,
    DAY,
    ETH,
    FORWARD,
    MARK,
    RATE,
    SPOT,
    STABLE,
    WAD,
    Desk,
    option,
    perpetual,
)
from tests.evm import OWNER, Contract, Evm

USD = 10**6
TRADE, WITHDRAW, TRANSFER, SETTINGS = 1, 2, 4, 8
SCHEME = 1
WETH = 1
INSTRUMENT = 2**160 - 1

LIQUIDATION = {
    "buffer": WAD // 10,
    "min_fraction": WAD // 100,
    "fee": 0,
    "solvent_duration": 7200,
    "insolvent_duration": 3600,
    "start_price": 98 * WAD // 100,
}
INTEREST = {"base": WAD // 50, "slope": WAD // 10, "kink": 9 * WAD // 10, "steep": WAD}
BACKSTOP = {"mode": 1, "grace": 3600, "lock_dust": 0, "lock_length": DAY}


@cache
def _house_rules() -> dict[str, Any]:
    return load("house").as_wad()


class Harbour:
    """One underlying (ETH at 3000), one expiry in a week, a quote token of 6 decimals, WETH of 18.

    Everything is pushed by one source; `push` renews all of it at the present prices.
    """

    def __init__(self, *, rule: tuple[str, tuple[int, ...]] | None = None) -> None:
        self.evm = evm = Evm()
        self.desk = Desk(evm)
        self.oracle = self.desk.oracle
        self.quote: Contract = evm.deploy("testing/MockToken.vy", "USDC", 6)
        self.weth: Contract = evm.deploy("testing/MockToken.vy", "WETH", 18)
        self.registry: Contract = evm.deploy("Registry.vy", self.quote.address)
        registry = self.registry.address
        self.house: Contract = evm.deploy("ClearingHouse.vy", registry)
        self.gate: Contract = evm.deploy("Gate.vy", registry)
        self.liquidator: Contract = evm.deploy("Liquidator.vy", registry)
        self.backstop: Contract = evm.deploy("Backstop.vy", registry)
        self.lens: Contract = evm.deploy("Lens.vy", registry)
        self.direct: Contract = evm.deploy("DirectVenue.vy", OWNER, self.house.address)
        self.orders: Contract = evm.deploy("OrderVenue.vy", self.house.address)
        kernel = evm.deploy("engines/ScenarioKernel.vy")
        rules = evm.deploy("engines/ScenarioRules.vy")
        self.engine: Contract = evm.deploy(
            "engines/ScenarioEngine.vy", OWNER, kernel.address, rules.address
        )
        self.use_oracle(self.oracle)
        self.engine.publish(1, _house_rules(), evm.time, 0)
        self.registry.set_scheme(SCHEME, self.engine.address, 1)
        for venue in (self.direct, self.orders):
            self.registry.set_venue(venue.address, True)
        self.matcher = evm.address("matcher")
        self.direct.set_matcher(self.matcher, True)

        self.expiry = evm.time // DAY * DAY + 7 * DAY
        self.prices = {"spot": 3000 * WAD, "stable": WAD}
        self.registry.list_perp(ETH)
        self.registry.list_series(
            ETH, self.expiry, [k * WAD for k in (2000, 2500, 3000, 3500, 4000)]
        )
        self.registry.add_asset(self.weth.address, 10**6 * WAD)
        self.desk.list_underlying(ETH, jump=0)
        self.desk.configure(STABLE)
        self.desk.configure(ASSET, WETH)
        self.oracle.set_asset(WETH, ETH)
        self.registry.set_interest(INTEREST)
        self.liquidator.set_parameters(LIQUIDATION)
        self.backstop.set_parameters(BACKSTOP)
        if rule is not None:
            name, args = rule
            self.liquidator.set_rule(evm.deploy(f"rules/{name}.vy", *args).address)
        self.push()

    @property
    def perp(self) -> int:
        return perpetual(ETH) & INSTRUMENT

    def call(self, strike: int) -> int:
        return option(ETH, self.expiry, strike * WAD, kind=2) & INSTRUMENT

    def put(self, strike: int) -> int:
        return option(ETH, self.expiry, strike * WAD, kind=3) & INSTRUMENT

    def push(self, spot: int | None = None, mark: int | None = None) -> None:
        """Report every feed now; prices in dollars."""
        if spot is not None:
            self.prices["spot"] = spot * WAD
        price = self.prices["spot"]
        self.desk.push(STABLE, self.prices["stable"])
        self.desk.push(SPOT, price)
        self.desk.push(MARK, price if mark is None else mark * WAD)
        self.desk.push(ASSET, price, WETH)
        if self.evm.time < self.expiry:
            self.desk.push(FORWARD, price, ETH, self.expiry)
            self.desk.push(RATE, 0, ETH, self.expiry)
            self.desk.shape(ETH, self.expiry)

    def use_oracle(self, oracle: Contract) -> None:
        """Name the contracts that take part, with this oracle."""
        parts = (self.house, self.gate, oracle, self.liquidator, self.backstop)
        self.registry.set_contracts(tuple(part.address for part in parts))

    def accept(self, token: Contract) -> int:
        """Take a token as collateral, priced at a dollar until its feed ages."""
        asset: int = self.registry.add_asset(token.address, 10**6 * WAD)
        self.desk.configure(ASSET, asset)
        self.desk.push(ASSET, WAD, asset)
        return asset

    def wait(self, seconds: int, spot: int | None = None) -> None:
        """Let time pass, and report everything anew."""
        self.evm.time += seconds
        self.push(spot)

    def open(self, name: str, dollars: int = 0, weth: int = 0) -> int:
        """Open an account of an actor who has granted both venues TRADE, with this much in it."""
        owner = self.evm.address(name)
        account: int = self.house.open_account(SCHEME, sender=owner)
        for venue in (self.direct, self.orders):
            self.house.grant(account, venue.address, TRADE, sender=owner)
        if dollars:
            self.deposit(account, dollars * USD)
        if weth:
            self.deposit(account, weth * WAD, WETH)
        return account

    def owner(self, account: int) -> str:
        owner: str = self.house.owner_of(account)
        return owner

    def deposit(self, account: int, amount: int, asset: int = 0) -> None:
        token = self.weth if asset else self.quote
        payer = self.owner(account) if account else OWNER
        token.mint(payer, amount)
        token.approve(self.house.address, amount, sender=payer)
        self.house.deposit(account, asset, amount, sender=payer)

    def trade(self, buyer: int, seller: int, instrument: int, size: int, price: int) -> None:
        """Trade a size (WAD) at a price (WAD) through the direct venue."""
        cash = size * price // WAD
        self.direct.trade(
            [(buyer, instrument, size, -cash), (seller, instrument, -size, cash)],
            sender=self.matcher,
        )

    def equity(self, account: int) -> int:
        equity: int = self.gate.margins(account)[0]
        return equity

    def health(self, account: int) -> int:
        """Equity above maintenance margin."""
        equity, _, maintenance, _ = self.gate.margins(account)
        return int(equity - maintenance)

    def flag(self, account: int, flagger: int = 0, scenarios: Sequence[int] = ()) -> None:
        self.liquidator.flag(account, list(scenarios), flagger)

    def bid(
        self, account: int, bidder: int, fraction: int = WAD, limit: int = 2**128, state: int = 0
    ) -> Any:
        return self.liquidator.bid(
            account, bidder, fraction, limit, state, sender=self.owner(bidder)
        )

    def logged(self, name: str) -> list[dict[str, Any]]:
        """Arguments of the last transaction's events of this name."""
        return [event.args for event in self.evm.events if event.name == name]

    def check_conservation(self) -> None:
        """PROTOCOL 9: every term as stored, and the tokens there."""
        seen = self.house.ledger()
        terms = (
            seen.cash,
            seen.perp_settlement,
            seen.option_settlement,
            seen.pool,
            seen.deficit,
            seen.fees,
        )
        assert sum(terms) == seen.booked
        assert seen.deficit <= 0
        assert self.quote.balanceOf(self.house.address) * 10**12 >= seen.booked
        stock = self.house.stock(WETH)
        assert stock.booked == stock.held <= self.weth.balanceOf(self.house.address)
