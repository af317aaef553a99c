"""Rows of a run's tables, from blocks and snapshots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

import numpy as np
import orjson

from sim.agents.book_owner import Undone
from sim.chain import Block
from sim.checks.conformance import Agreement
from sim.checks.conservation import Conservation
from sim.engine.ledger import Account
from sim.engine.world import Action
from sim.protocol import words
from sim.protocol.abi import Event, revert_reason
from sim.protocol.client import Snapshot
from sim.reference.book import KIND_NAMES, Market
from sim.results import RunWriter
from sim.units import YEAR

_THIRTY_DAYS = 30 * 86_400 / YEAR
_FUND = 0
_SOLVENT = 1
_LIQUIDATIONS = {
    "Flagged": "flagged",
    "Bid": "bid",
    "Restarted": "restarted",
    "TurnedInsolvent": "insolvent",
    "Resolved": "resolved",
    "Closed": "closed",
}


@dataclass(frozen=True)
class Left:
    """What is not in the block of a step: simulated and not sent, and sent without room."""

    withheld: int
    dropped: int


@dataclass(frozen=True)
class Result:
    """What an agent has come to, in quote currency; `worth` is nan where a price is missing."""

    agent: str
    accounts: int
    endowed: float
    worth: float
    charged: Account


class Recorder:
    """Writes what happened, one block at a time."""

    def __init__(self, writer: RunWriter, owners: Mapping[int, str]) -> None:
        self._writer = writer
        self._owners = owners
        self._positions: dict[int, bytes] = {}
        self._mutualised = 0

    def transactions(
        self,
        step: int,
        actions: Sequence[Action],
        block: Block,
        events: Sequence[Sequence[Event]],
        fees: Sequence[float],
    ) -> None:
        """Record the transactions and events of a block, with what each cost its sender."""
        self._writer.add(
            "transactions",
            [
                {
                    "block": block.number,
                    "step": step,
                    "index": index,
                    "agent": action.agent,
                    "action": action.name,
                    "account": action.account,
                    "succeeded": receipt.succeeded,
                    "included": receipt.included,
                    "gas_used": receipt.gas_used,
                    "tip": action.tip,
                    "fee": fee,
                    "reason": "" if receipt.succeeded else failure(receipt),
                }
                for index, (action, receipt, fee) in enumerate(
                    zip(actions, block.receipts, fees, strict=True)
                )
            ],
        )
        numbered = list(_numbered(events))
        self._writer.add(
            "events",
            [
                {
                    "block": block.number,
                    "step": step,
                    "index": index,
                    "log": log,
                    "contract": event.address,
                    "event": event.name,
                    "arguments": orjson.dumps(_json(event.args)).decode(),
                }
                for index, log, event in numbered
            ],
        )
        self._writer.add(
            "waterfall",
            [
                {"block": block.number, "step": step, "index": index, "log": log, **row}
                for index, log, event in numbered
                for row in _losses(event, events[index])
            ],
        )
        self._mutualised += sum(
            event.args["mutualised"] for _, _, event in numbered if event.name == "Covered"
        )

    def state(
        self,
        step: int,
        block: Block,
        left: Left,
        events: Sequence[Sequence[Event]],
        snapshot: Snapshot,
        truth: Market,
        agreement: Agreement,
        money: Conservation,
    ) -> None:
        """Record the state after a block and what was verified of it."""
        self._steps(step, block, left, snapshot, agreement, money)
        self._prices(step, snapshot, truth)
        self._accounts(step, snapshot, agreement)
        self._changed_positions(step, snapshot)
        self._liquidations(step, block, events, snapshot)
        self._checks(step, snapshot, agreement, money)

    def agents(self, results: Sequence[Result]) -> None:
        """Record what the agents have come to."""
        rows = []
        for result in results:
            gain, own = result.worth - result.endowed, result.charged
            rows.append(
                {
                    "agent": result.agent,
                    "accounts": result.accounts,
                    "transactions": own.sent,
                    "failed": own.reverted,
                    "liquidating": own.liquidating,
                    "gas_used": own.gas,
                    "gas_fees": own.fees,
                    "endowed": result.endowed,
                    "worth": result.worth,
                    "profit": gain,
                    "profit_after_gas": gain - own.fees,
                }
            )
        self._writer.add("agents", rows)

    def book(self, step: int, undone: Sequence[Undone], accounts: int) -> None:
        """Record whether the user's own book is on chain, after the last step."""
        first = undone[0].account if undone else -1
        self._writer.add(
            "checks",
            [
                {
                    "step": step,
                    "check": "book on chain",
                    "held": not undone,
                    "account": first,
                    "worst": float(len(undone)),
                    "allowed": 0.0,
                    "unit": "accounts missing",
                    "compared": accounts,
                    "reason": "; ".join(f"{own.label}: {own.reason}" for own in undone),
                }
            ],
        )

    def _steps(
        self,
        step: int,
        block: Block,
        left: Left,
        snapshot: Snapshot,
        agreement: Agreement,
        money: Conservation,
    ) -> None:
        included = [receipt for receipt in block.receipts if receipt.included]
        fund = snapshot.accounts.tolist().index(_FUND)
        self._writer.add(
            "steps",
            [
                {
                    "step": step,
                    "time": block.timestamp,
                    "block": block.number,
                    "block_hash": block.hash or "",
                    "transactions": len(included),
                    "failed": sum(not receipt.succeeded for receipt in included),
                    "dropped": left.dropped,
                    "withheld": left.withheld,
                    "gas_used": sum(receipt.gas_used for receipt in included),
                    "accounts": len(snapshot.accounts) - 1,
                    "compared": int(agreement.compared.sum()),
                    "unpriced": len(snapshot.unpriced),
                    "underwater": int(snapshot.underwater.sum()),
                    "liquidating": int((snapshot.phase > 0).sum()),
                    "equity_wad": sum(snapshot.equity),
                    "fund_wad": snapshot.equity[fund] or snapshot.cash[fund],
                    "deficit_wad": -sum(min(equity, 0) for equity in snapshot.equity),
                    "mutualised_wad": self._mutualised,
                    "conservation_wad": money.worst,
                }
            ],
        )

    def _prices(self, step: int, snapshot: Snapshot, truth: Market) -> None:
        told = snapshot.market.underlyings
        place = {int(number): row for row, number in enumerate(told.id)}
        rows = []
        believed = {
            "oracle_spot": np.asarray(told.spot),
            "oracle_mark": np.asarray(told.mark),
            "funding_index": np.asarray(told.funding_index),
        }
        for number, name, spot in zip(
            truth.underlyings.id, truth.underlyings.name, truth.underlyings.spot, strict=True
        ):
            row = place.get(int(number))
            rows.append(
                {
                    "step": step,
                    "time": truth.time,
                    "factor": name,
                    "spot": float(spot),
                    "vol": atm_vol(truth, int(number), _THIRTY_DAYS),
                    **{
                        key: math.nan if row is None else float(values[row])
                        for key, values in believed.items()
                    },
                }
            )
        self._writer.add("prices", rows)

    def _accounts(self, step: int, snapshot: Snapshot, agreement: Agreement) -> None:
        spot = np.asarray(snapshot.market.underlyings.spot)
        delta, gamma, vega, theta = (snapshot.greeks[:, :, greek] for greek in range(4))
        columns = {
            "reference_equity": agreement.equity,
            "reference_initial": agreement.initial,
            "reference_maintenance": agreement.maintenance,
            "error": agreement.error,
            "budget": agreement.budget,
            "greek_error": agreement.greek_error,
            "flip": agreement.flip,
            # Sums in a fixed order: a matrix product's depends on the BLAS.
            "delta": (delta * spot).sum(axis=1),
            "gamma": (gamma * spot * spot).sum(axis=1),
            "vega": vega.sum(axis=1),
            "theta": theta.sum(axis=1),
        }
        listed = {name: np.asarray(values).tolist() for name, values in columns.items()}
        self._writer.add(
            "accounts",
            [
                {
                    "step": step,
                    "account": account,
                    "agent": self._owners[account],
                    "phase": int(snapshot.phase[row]),
                    "usable": int(snapshot.usable[row]),
                    "cash_wad": snapshot.cash[row],
                    "stored_cash_wad": snapshot.stored_cash[row],
                    "equity_wad": snapshot.equity[row],
                    "initial_wad": snapshot.initial[row],
                    "maintenance_wad": snapshot.maintenance[row],
                    **{name: values[row] for name, values in listed.items()},
                }
                for row, account in enumerate(snapshot.accounts.tolist())
            ],
        )

    def _changed_positions(self, step: int, snapshot: Snapshot) -> None:
        names = dict(
            zip(snapshot.market.underlyings.id, snapshot.market.underlyings.name, strict=True)
        )
        rows: list[dict[str, Any]] = []
        for account, packed in snapshot.words.items():
            if self._positions.get(account, b"") == packed:
                continue
            self._positions[account] = packed
            held = words.decode_positions(words.limbs(packed))
            for place in range(len(held.size)):
                rows.append(
                    {
                        "step": step,
                        "account": account,
                        "underlying": names[int(held.underlying[place])],
                        "kind": KIND_NAMES[int(held.kind[place])],
                        "expiry": int(held.expiry[place]),
                        "strike": float(held.strike[place]),
                        "size": float(held.size[place]),
                        "word": "0x" + packed[32 * place : 32 * place + 32].hex(),
                    }
                )
            if not packed:
                nothing = {"underlying": "", "kind": "", "expiry": 0, "strike": 0.0, "size": 0.0}
                rows.append({"step": step, "account": account, **nothing, "word": ""})
        self._writer.add("positions", rows)

    def _liquidations(
        self, step: int, block: Block, events: Sequence[Sequence[Event]], snapshot: Snapshot
    ) -> None:
        row_of = {account: row for row, account in enumerate(snapshot.accounts.tolist())}
        rows = []
        for index, log, event in _numbered(events):
            what = _LIQUIDATIONS.get(event.name)
            if what is None or event.address != "liquidator":
                continue
            args = event.args
            row = row_of[args["account"]]
            entry = {
                "block": block.number,
                "step": step,
                "index": index,
                "log": log,
                "account": args["account"],
                "what": what,
                "bidder": args.get("bidder", -1),
                "fraction": args.get("fraction", 0) / 10**18,
                "paid_wad": args.get("price", 0),
                "equity_wad": snapshot.equity[row],
                "maintenance_wad": snapshot.maintenance[row],
            }
            rows.append(entry)
            if what == "flagged" and args["phase"] == 2:
                rows.append({**entry, "what": "insolvent"})
        self._writer.add("liquidations", rows)

    def _checks(
        self, step: int, snapshot: Snapshot, agreement: Agreement, money: Conservation
    ) -> None:
        accounts = snapshot.accounts
        gap = [m - i for i, m in zip(snapshot.initial, snapshot.maintenance, strict=True)]
        loosest = gap.index(max(gap))
        rows = [
            # PROTOCOL 5.8, of every engine: in quote currency.
            (
                "order of margins",
                loosest,
                max(gap[loosest], 0) / 10**18,
                0.0,
                "quote currency",
                len(accounts),
            )
        ]
        compared = int(agreement.compared.sum())
        if agreement.verified:
            share = agreement.error / np.maximum(agreement.budget, 1e-18)
            worst, flipped = int(np.argmax(share)), int(np.argmax(agreement.flip))
            flips = float(agreement.flip.sum())
            rows += [
                ("margin", worst, float(share[worst]), 1.0, "of its error budget", 3 * compared),
                ("decisions", flipped if flips else -1, flips, 0.0, "flips", 2 * compared),
            ]
        if agreement.assessment is not None:
            worst = int(np.argmax(agreement.greek_error))
            error = float(agreement.greek_error[worst])
            figures = 4 * compared
            rows.append(("greeks", worst, error, GREEK_TOLERANCE, "of gross notional", figures))
        entries = [
            {
                "step": step,
                "check": name,
                "held": figure <= allowed,
                "account": -1 if row < 0 else int(accounts[row]),
                "worst": figure,
                "allowed": allowed,
                "unit": unit,
                "compared": figures,
                "reason": "",
            }
            for name, row, figure, allowed, unit, figures in rows
        ]
        for name in ("identity", "accounts", "holdings", "tokens", "positions"):
            off = getattr(money, name)
            entries.append(
                {
                    "step": step,
                    "check": f"conservation of {name}",
                    "held": off == 0,
                    "account": -1,
                    "worst": float(off),
                    "allowed": 0.0,
                    "unit": "units of 1e-9" if name == "positions" else "wei",
                    "compared": len(accounts),
                    "reason": "",
                }
            )
        self._writer.add("checks", entries)


GREEK_TOLERANCE = 1e-9
"""Largest difference of a greek in money between chain and reference, over gross notional."""


def atm_vol(market: Market, underlying: int, years: float) -> float:
    """Return the at-the-money vol `years` from now, linear in total variance between expiries."""
    table = market.expiries
    rows = np.flatnonzero(np.asarray(table.underlying) == underlying)
    if not rows.size:
        return float("nan")
    m, sigma, tau = (np.asarray(getattr(table, key))[rows] for key in ("m", "sigma", "tau"))
    a, b, rho = (np.asarray(getattr(table, key))[rows] for key in ("a", "b", "rho"))
    left = (np.asarray(table.time)[rows] - market.time) / YEAR
    variance = (a + b * (np.sqrt(m * m + sigma * sigma) - rho * m)) * left / (tau / YEAR)
    at = min(max(years, float(left[0])), float(left[-1]))
    return float(np.sqrt(np.interp(at, left, variance) / at))


def failure(receipt: Any) -> str:
    """Return why a transaction failed, for people."""
    if not receipt.included:
        return "no gas left in the block"
    return revert_reason(receipt.output) or "reverted"


def _numbered(events: Sequence[Sequence[Event]]) -> Iterable[tuple[int, int, Event]]:
    log = 0
    for index, own in enumerate(events):
        for event in own:
            yield index, log, event
            log += 1


def _losses(event: Event, own: Sequence[Event]) -> list[dict[str, Any]]:
    """Return who bore what of a loss, as rows of the waterfall.

    `own` are the events of the same transaction: they say whose loss it is.
    """
    args = event.args
    lost = next((other for other in own if other.name in ("TakenOver", "Bid")), event)
    match event.name:
        case "Bid" if args["phase"] == _SOLVENT:
            rows = [("account", args["account"], args["equity"] - args["equity_after"])]
        case "Covered":
            rows = [
                (layer, lost.args.get("account", -1), args[name])
                for layer, name in (
                    ("fees", "fees"),
                    ("fund", "fund"),
                    ("mutualisation", "mutualised"),
                    ("deficit", "deficit"),
                )
            ]
        case "TakenOver":
            # What nobody else covers, the fund bears by taking the account as it is.
            rows = [("fund", args["account"], args["loss"] - args["covered"])]
        case "Deleveraged":
            rows = [("deleveraging", args["counterparty"], args["charge"])]
        case _:
            rows = []
    return [_layer(*row) for row in rows if row[2] > 0]


def _layer(layer: str, account: int, amount: int) -> dict[str, Any]:
    return {"layer": layer, "account": account, "amount_wad": amount}


def _json(value: Any) -> Any:
    """Return a value for JSON; integers as decimal strings, so that no reader rounds them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if hasattr(value, "_asdict"):
        return _json(value._asdict())
    if isinstance(value, dict):
        return {key: _json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(part) for part in value]
    return value
