"""Why an account stands where it stands after a step: every figure of its margin, chain beside
reference.

The run is replayed up to the step; the chain's figures are those of `Lens.assess`, the reference's
those of `sim.reference.margin` for the same book and market.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim.checks.conformance import Agreement, Reference, compare
from sim.engine.loop import Progress
from sim.engine.replica import Replica, check_step
from sim.errors import InputError
from sim.protocol.abi import revert_reason
from sim.protocol.client import Snapshot
from sim.reference.book import PERP
from sim.reference.margin import CHARGES, PLACES
from sim.reference.portfolio import Portfolio
from sim.reference.rulebook import Rulebook, ScenarioRulebook, SensitivityRulebook, VolMove
from sim.results import Run
from sim.units import from_wad, utc

LIQUIDATION = 4
"""Bit of `usable`: prices are fresh enough to liquidate."""
PHASES = (
    "healthy",
    "in the solvent phase of a liquidation",
    "in the insolvent phase of a liquidation",
)
_SCALARS = (
    ("equity", "equity"),
    ("maintenance", "maintenance margin"),
    ("initial", "initial margin"),
    ("risk", "core requirement R"),
    ("charge_inside", "charges inside the factor"),
    ("charge_outside", "charges outside"),
    ("charge_initial", "charges of initial margin only"),
    ("initial_factor", "initial factor"),
    ("option_value", "value of options"),
    ("collateral_value", "value of collateral"),
)
_GREEKS = ("delta", "gamma", "vega", "theta")


@dataclass(frozen=True)
class Figure:
    """One figure: the chain's integer in WAD, and the reference's number."""

    name: str
    chain: int
    reference: float

    @property
    def error(self) -> float:
        """Chain less reference."""
        return from_wad(self.chain) - self.reference


@dataclass(frozen=True)
class Position:
    """One position at the market of the step.

    Attributes
    ----------
    size
        Units, long is positive.
    mark
        Price of one unit: of an option its model value with the rulebook's discount, of a perp the
        oracle's mark.
    vol, forward
        Of an option; 0 for a perp.
    value
        What it adds to equity: of a perp the profit since it was last settled, funding left out.
    delta, gamma, vega, theta
        Of the whole position, in units of `IRiskEngine.Greeks`.
    """

    instrument: str
    size: float
    mark: float
    vol: float
    forward: float
    value: float
    delta: float
    gamma: float
    vega: float
    theta: float


@dataclass(frozen=True)
class Holding:
    """Collateral: `haircuts` are its charges inside, outside and of initial only, in money."""

    asset: str
    amount: float
    price: float
    value: float
    haircuts: tuple[float, float, float]


@dataclass(frozen=True)
class Scenario:
    """Profit and loss of one underlying in one scenario; `binding` names the sides it decides."""

    underlying: str
    index: int
    shock: str
    pnl: Figure
    binding: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Everything behind the solvency of one account after one step.

    Attributes
    ----------
    sentence
        Why it is liquidatable, or safe.
    cash, unsettled
        Interest included; and perp profit, funding and expired options not yet in cash.
    stable
        USD price of the quote currency.
    figures
        Equity, requirements and what they are made of.
    greeks, losses
        By underlying: the greeks; L+, L- and the basis loss B.
    charges
        Those that are not 0, as `charge, place`.
    scenarios
        All of them; none of a rulebook without.
    error, budget
        Largest difference of equity and margins, and what is allowed.
    flip
        Whether chain and reference decide differently outside the budget.
    """

    run: str
    account: int
    agent: str
    step: int
    time: int
    phase: int
    usable: int
    sentence: str
    rulebook: str
    cash: float
    unsettled: float
    stable: float
    figures: tuple[Figure, ...]
    positions: tuple[Position, ...]
    holdings: tuple[Holding, ...]
    expiries: tuple[Figure, ...]
    greeks: tuple[Figure, ...]
    losses: tuple[Figure, ...]
    charges: tuple[Figure, ...]
    scenarios: tuple[Scenario, ...]
    error: float
    budget: float
    flip: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data; WAD integers as decimal strings, so that no reader rounds."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def explain(
    run: Run, account: int, step: int | None = None, progress: Progress | None = None
) -> Explanation:
    """Explain one account of a run after a step, by default the last.

    Raises
    ------
    InputError
        No such step, no such account at that step, or an account that the chain cannot assess
        because a price is missing.
    """
    rows = run.table("accounts")
    step = int(rows["step"].iloc[-1]) if step is None else step
    check_step(run, step)
    rows = rows[rows["step"] == step]
    known = rows["account"].tolist()
    if account not in known:
        raise InputError(
            f"{run.name} has no account {account} at step {step}; it has {known[0]} to {known[-1]}"
        )
    # The chain is the same on every backend, and this one is in the process.
    with Replica(run, "revm") as replica:
        for played in replica.play(step):
            if progress is not None:
                progress("replaying", played.entry.step + 1, step + 1, "")
        snapshot = replica.snapshot([account])
        call = replica.protocol.encode("lens", "assess", account)
        ((answered, output),) = replica.read([call])
        if not answered:
            raise InputError(
                f"account {account} cannot be assessed at step {step}: {revert_reason(output)}"
            )
        chain = replica.protocol.decode("lens", "assess", output)
        words = snapshot.words[account]
        instruments = [
            replica.archive.instrument(int.from_bytes(words[at : at + 32], "big"))
            for at in range(0, len(words), 32)
        ]
        rulebook, reference = replica.archive.rulebook, replica.archive.reference
    agent = str(rows.loc[rows["account"] == account, "agent"].iloc[0])
    return _explained(run, step, agent, snapshot, chain, rulebook, reference, instruments)


def _explained(
    run: Run,
    step: int,
    agent: str,
    snapshot: Snapshot,
    chain: Any,
    rulebook: Rulebook,
    reference: Reference | None,
    instruments: list[str],
) -> Explanation:
    agreement = compare(snapshot, reference)
    portfolio = Portfolio(snapshot.book, snapshot.market)
    figures = tuple(
        Figure(title, getattr(chain, name), _ours(agreement, name, 0)) for name, title in _SCALARS
    )
    scenarios = tuple(_scenarios(snapshot, chain, agreement, rulebook))
    return Explanation(
        run=run.name,
        account=int(snapshot.accounts[0]),
        agent=agent,
        step=step,
        time=snapshot.time,
        phase=int(snapshot.phase[0]),
        usable=int(snapshot.usable[0]),
        sentence=_sentence(snapshot, agreement, scenarios),
        rulebook=rulebook.title,
        cash=float(snapshot.book.cash[0]),
        unsettled=float(snapshot.book.unsettled[0]),
        stable=snapshot.market.stable,
        figures=figures,
        positions=tuple(_positions(portfolio, rulebook, instruments)),
        holdings=tuple(_holdings(portfolio, rulebook)),
        expiries=tuple(_expiries(portfolio, chain, agreement)),
        greeks=tuple(_greeks(snapshot, chain, agreement)),
        losses=tuple(_losses(snapshot, chain, agreement)),
        charges=tuple(_charges(chain, agreement)),
        scenarios=scenarios,
        error=float(agreement.error[0]),
        budget=float(agreement.budget[0]),
        flip=bool(agreement.flip[0]),
    )


def _positions(p: Portfolio, rulebook: Rulebook, instruments: list[str]) -> list[Position]:
    discount = _discount(p, rulebook)
    series = dict(zip(p.option.tolist(), p.series.tolist(), strict=True))
    marks = np.asarray(p.market.underlyings.mark)
    found = []
    for row, instrument in enumerate(instruments):
        size = float(p.book.size[row])
        if p.book.kind[row] == PERP:
            mark = float(marks[p.underlying[row]])
            gained = size * (mark - float(p.book.strike[row]))
            found.append(Position(instrument, size, mark, 0, 0, gained, size, 0, 0, 0))
            continue
        at = series[row]
        expiry = int(p.series_expiry[at])
        factor = float(discount[expiry])
        price = float(p.greeks.price[at])
        years = float(p.years[expiry])
        rate = -math.log(factor) / years if years > 0 else 0.0
        theta = float(p.greeks.theta[at]) + rate * price
        delta, gamma, vega = (
            float(getattr(p.greeks, name)[at]) * factor * size for name in _GREEKS[:3]
        )
        found.append(
            Position(
                instrument=instrument,
                size=size,
                mark=price * factor,
                vol=float(p.series_vol[at]),
                forward=float(p.forward[expiry]),
                value=price * factor * size,
                delta=delta,
                gamma=gamma,
                vega=vega,
                theta=theta * factor * size,
            )
        )
    return found


def _discount(p: Portfolio, rulebook: Rulebook) -> Any:
    match rulebook:
        case ScenarioRulebook():
            used = rulebook.discount.use_rate
        case SensitivityRulebook():
            used = rulebook.use_rate
        case _:
            used = False
    rate = np.maximum(p.market.expiries.rate, 0.0)
    return np.exp(-rate * p.years) if used else np.ones_like(p.years)


def _holdings(p: Portfolio, rulebook: Rulebook) -> list[Holding]:
    names = dict(zip(p.market.assets.id.tolist(), p.market.assets.name, strict=True))
    prices = dict(zip(p.market.assets.id.tolist(), np.asarray(p.market.assets.price), strict=True))
    charges = getattr(rulebook, "charges", None)
    found = []
    for column, asset in enumerate(p.book.assets.tolist()):
        amount, value = float(p.book.holdings[0, column]), float(p.collateral[0, column])
        if amount == 0:
            continue
        cuts = (0.0, 0.0, 0.0)
        if charges is not None:
            # An asset without a haircut is worth nothing.
            rates = charges.haircuts[asset] if asset < len(charges.haircuts) else None
            cuts = (
                (0.0, value, 0.0)
                if rates is None
                else (rates.inside * value, rates.outside * value, rates.initial * value)
            )
        found.append(Holding(str(names[asset]), amount, float(prices[asset]), value, cuts))
    return found


def _ours(agreement: Agreement, name: str, *at: int) -> float:
    """Return a figure of the reference; nan of an engine that it does not know."""
    if agreement.assessment is None:
        return math.nan
    return float(np.atleast_1d(getattr(agreement.assessment, name))[at])


def _expiries(p: Portfolio, chain: Any, agreement: Agreement) -> list[Figure]:
    held = sorted(set(p.option_expiry.tolist()))
    names = p.market.underlyings.name
    at = np.searchsorted(p.market.underlyings.id, p.market.expiries.underlying)
    return [
        Figure(
            f"{names[at[expiry]]} {utc(int(p.market.expiries.time[expiry]))}",
            value,
            _ours(agreement, "expiry_value", 0, expiry),
        )
        for expiry, value in zip(held, chain.expiry_value, strict=False)
    ]


def _columns(snapshot: Snapshot, chain: Any) -> list[tuple[int, str, int]]:
    """Return place in the chain's answer, name and place in the market of each underlying."""
    ids = snapshot.market.underlyings.id.tolist()
    names = snapshot.market.underlyings.name
    return [
        (place, names[ids.index(greeks.underlying)], ids.index(greeks.underlying))
        for place, greeks in enumerate(chain.greeks)
    ]


def _greeks(snapshot: Snapshot, chain: Any, agreement: Agreement) -> list[Figure]:
    return [
        Figure(
            f"{name} {greek}",
            getattr(chain.greeks[place], greek),
            _ours(agreement, greek, 0, column),
        )
        for place, name, column in _columns(snapshot, chain)
        for greek in _GREEKS
    ]


def _losses(snapshot: Snapshot, chain: Any, agreement: Agreement) -> list[Figure]:
    if not len(chain.loss_up):
        return []
    titles = (("loss_up", "L+"), ("loss_down", "L-"), ("basis", "basis B"))
    return [
        Figure(
            f"{name} {title}",
            getattr(chain, field)[place],
            _ours(agreement, field, 0, column),
        )
        for place, name, column in _columns(snapshot, chain)
        for field, title in titles
    ]


def _charges(chain: Any, agreement: Agreement) -> list[Figure]:
    found = []
    for number, charge in enumerate(CHARGES):
        for place, where in enumerate(PLACES):
            # The chain keeps three places of a charge, and of the last, confidence, the third.
            at = 3 * number + place if charge != "confidence" else 15
            if charge == "confidence" and where != "initial":
                continue
            value = int(chain.charges[at]) if at < len(chain.charges) else 0
            figure = Figure(
                f"{charge.replace('_', ' ')}, {where}",
                value,
                _ours(agreement, "charges", 0, number, place),
            )
            if figure.chain or (figure.reference and not math.isnan(figure.reference)):
                found.append(figure)
    return found


def _scenarios(
    snapshot: Snapshot, chain: Any, agreement: Agreement, rulebook: Rulebook
) -> list[Scenario]:
    if not isinstance(rulebook, ScenarioRulebook) or not len(chain.scenario_pnl):
        return []
    rows = rulebook.scenarios
    found = []
    for place, name, column in _columns(snapshot, chain):
        sides = {"L+": chain.binding_up[place], "L-": chain.binding_down[place]}
        for index, scenario in enumerate(rows):
            vol = {VolMove.UP: ", vol up", VolMove.DOWN: ", vol down"}.get(scenario.vol, "")
            weight = f", weight {scenario.weight:g}" if scenario.weight != 1 else ""
            figure = Figure(
                f"{name} scenario {index}",
                chain.scenario_pnl[place * len(rows) + index],
                _ours(agreement, "scenario_pnl", 0, column, index),
            )
            binding = tuple(side for side, own in sides.items() if own == index)
            shock = f"spot × {scenario.spot:g}{vol}{weight}"
            found.append(Scenario(name, index, shock, figure, binding))
    return found


def _sentence(snapshot: Snapshot, agreement: Agreement, scenarios: tuple[Scenario, ...]) -> str:
    account = int(snapshot.accounts[0])
    equity, maintenance = snapshot.equity[0], snapshot.maintenance[0]
    phase, usable = int(snapshot.phase[0]), int(snapshot.usable[0])
    above = from_wad(equity - maintenance)
    amounts = (
        f"equity of {from_wad(equity):,.2f}",
        f"maintenance margin of {from_wad(maintenance):,.2f}",
    )
    if account == 0:
        return f"account 0 is the insurance fund: it has no margin gate; its {amounts[0]}"
    if equity < maintenance:
        state = "liquidatable" if phase == 0 else f"{PHASES[phase]}, still liquidatable,"
        text = f"{state} because its {amounts[0]} is {-above:,.2f} below its {amounts[1]}"
        if not usable & LIQUIDATION:
            text = (
                f"not liquidatable although its {amounts[0]} is {-above:,.2f} below its "
                f"{amounts[1]}, because its prices are too old"
            )
    elif not usable:
        text = "not assessed: a price that it depends on is missing"
    elif maintenance == 0:
        text = f"safe because it needs no margin; its {amounts[0]}"
    else:
        state = "safe" if phase == 0 else f"{PHASES[phase]}, and safe by now"
        ratio = equity / maintenance
        text = (
            f"{state} because its {amounts[0]} covers its {amounts[1]} {ratio:.2f} times, "
            f"{above:,.2f} to spare"
        )
    worst = _worst(scenarios)
    if worst is not None:
        text += (
            f"; worst for it is {worst.underlying} {worst.shock}, a loss of "
            f"{-from_wad(worst.pnl.chain):,.2f}"
        )
    health = float(agreement.equity[0] - agreement.maintenance[0])
    if not agreement.verified:
        text += ". No reference verifies this engine here"
    elif agreement.flip[0]:
        text += f". The reference DISAGREES: it finds {health:,.9f} of health"
    elif usable:
        text += f". The reference agrees to {agreement.error[0]:.1e} of {agreement.budget[0]:.1e}"
    return f"account {account} is {text}"


def _worst(scenarios: tuple[Scenario, ...]) -> Scenario | None:
    losing = [s for s in scenarios if s.binding and s.pnl.chain < 0]
    return min(losing, key=lambda s: s.pnl.chain, default=None)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: str(part) if key == "chain" else _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
