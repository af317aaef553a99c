"""What a run comes to: the figures of the summary, the verdict in one sentence."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from sim import units
from sim.results.folder import Run

LOSS_LAYERS = ("fees", "fund", "deleveraging", "mutualisation", "deficit")


@dataclass(frozen=True)
class PriceMove:
    """How far one factor went."""

    factor: str
    first: float
    lowest: float
    highest: float
    last: float


@dataclass(frozen=True)
class Revert:
    """How many transactions of a kind reverted for one reason."""

    action: str
    reason: str
    count: int


@dataclass(frozen=True)
class Summary:
    """Figures of a run; money in the quote currency.

    Attributes
    ----------
    liquidations
        Accounts that were flagged for liquidation at least once.
    bad_debt
        Losses beyond the accounts' own equity: borne by liquidation fees collected so far, fund,
        deleveraging, mutualisation, or left as a deficit.
    negative_equity, negative_accounts, negative_step
        Deepest sum of negative equities after any block, as a positive number; the accounts that it
        is of, the fund left out; and the step. 0, 0 and -1 if there never was any. What prices or
        bids bring back is no bad debt, but was a risk.
    verified
        Accounts and steps that were compared with the reference.
    decision_flips
        Of them, those at which the chain's solvency decision differs from the reference's outside
        the error budget. None if the engine has no reference: then nothing was verified.
    largest_error
        Largest difference of equity or margin between chain and reference, as a share of its
        budget; None likewise.
    largest_greek_error
        Largest difference of a greek in money, over gross notional; None if the reference gives
        none.
    withheld
        Transactions that their senders' simulation showed to revert, and that were never sent.
    gas_fees
        What all agents paid for gas, at the scenario's gas price.
    keepers, keeper_profit, keeper_gas_fees, keeper_profit_after_gas
        Agents that took part in a liquidation, and what they came to; nan where a price is missing.
    conservation
        Largest absolute value of the conservation identity, in wei.
    """

    steps: int
    accounts: int
    transactions: int
    failed: int
    dropped: int
    withheld: int
    gas_used: int
    gas_fees: float
    keepers: int
    keeper_profit: float
    keeper_gas_fees: float
    keeper_profit_after_gas: float
    verified: int
    liquidations: int
    insolvencies: int
    bids: int
    bad_debt: float
    fees_used: float
    insurance_used: float
    deleveraged: float
    mutualised: float
    deficit: float
    worst_underwater: int
    negative_equity: float
    negative_accounts: int
    negative_step: int
    decision_flips: int | None
    largest_error: float | None
    largest_greek_error: float | None
    conservation: float
    fund_start: float
    fund_end: float
    prices: tuple[PriceMove, ...] = field(default=())
    reverts: tuple[Revert, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarise(run: Run) -> Summary:
    """Compute the summary from the tables of a run."""
    steps, accounts = run.table("steps"), run.table("accounts")
    liquidations, waterfall = run.table("liquidations"), run.table("waterfall")
    borne = waterfall.groupby("layer")["amount"].sum()
    layers = {layer: float(borne.get(layer, 0.0)) for layer in LOSS_LAYERS}
    clients = accounts[accounts["account"] != 0]
    scale = accounts["budget"].where(accounts["budget"] > 0)
    relative = (accounts["error"] / scale).max()
    checks = set(run.table("checks")["check"])
    verified = "decisions" in checks
    agents = run.table("agents")
    keepers = agents[agents["liquidating"] > 0]
    flagged = liquidations[liquidations["what"] == "flagged"]
    depth, count, when = deepest(clients)
    return Summary(
        steps=int((steps["step"] >= 0).sum()),
        accounts=int(clients["account"].nunique()),
        transactions=int(steps["transactions"].sum()),
        failed=int(steps["failed"].sum()),
        dropped=int(steps["dropped"].sum()),
        withheld=int(steps["withheld"].sum()),
        gas_used=int(steps["gas_used"].sum()),
        gas_fees=float(agents["gas_fees"].sum()),
        keepers=len(keepers),
        keeper_profit=float(keepers["profit"].sum(skipna=False)),
        keeper_gas_fees=float(keepers["gas_fees"].sum()),
        keeper_profit_after_gas=float(keepers["profit_after_gas"].sum(skipna=False)),
        verified=int(steps["compared"].sum()),
        liquidations=int(flagged["account"].nunique()),
        insolvencies=int(
            liquidations.loc[liquidations["what"] == "insolvent", "account"].nunique()
        ),
        bids=int((liquidations["what"] == "bid").sum()),
        bad_debt=sum(layers.values()),
        fees_used=layers["fees"],
        insurance_used=layers["fund"],
        deleveraged=layers["deleveraging"],
        mutualised=layers["mutualisation"],
        deficit=layers["deficit"],
        worst_underwater=int(steps["underwater"].max()),
        negative_equity=depth,
        negative_accounts=count,
        negative_step=when,
        decision_flips=int(accounts["flip"].sum()) if verified else None,
        largest_error=(0.0 if pd.isna(relative) else float(relative)) if verified else None,
        largest_greek_error=float(accounts["greek_error"].max()) if "greeks" in checks else None,
        conservation=float(steps["conservation"].abs().max()) * units.WAD,
        fund_start=float(steps["fund"].iloc[0]),
        fund_end=float(steps["fund"].iloc[-1]),
        prices=tuple(_moves(run.table("prices"))),
        reverts=tuple(_reverts(run.table("transactions"))),
    )


def deepest(accounts: pd.DataFrame) -> tuple[float, int, int]:
    """Return the deepest sum of negative equities, of how many accounts, and the step."""
    below = accounts[accounts["equity"] < 0.0]
    if below.empty:
        return 0.0, 0, -1
    sums = below.groupby("step")["equity"].sum()
    step = int(sums.index[int(sums.argmin())])
    return -float(sums.min()), int((below["step"] == step).sum()), step


def _reverts(transactions: pd.DataFrame) -> list[Revert]:
    """Return what reverted and why, the most frequent first."""
    failed = transactions[transactions["included"] & ~transactions["succeeded"]]
    counts = Counter(zip(failed["action"], failed["reason"], strict=True))
    rows = [Revert(action, reason, count) for (action, reason), count in counts.items()]
    return sorted(rows, key=lambda row: (-row.count, row.action, row.reason))


def _moves(prices: pd.DataFrame) -> list[PriceMove]:
    return [
        PriceMove(
            str(factor),
            float(path["spot"].iloc[0]),
            float(path["spot"].min()),
            float(path["spot"].max()),
            float(path["spot"].iloc[-1]),
        )
        for factor, path in prices.groupby("factor", sort=True)
    ]


def verdict(summary: Summary, failures: list[str], quote: str) -> str:
    """Return the verdict in one sentence, money in the quote currency of that name."""
    liquidated = (
        f"{summary.liquidations} of {summary.accounts} accounts were liquidated, "
        f"bad debt {units.money(summary.bad_debt, quote)}"
    )
    if summary.negative_accounts:
        liquidated += (
            f", equity at its deepest {units.money(summary.negative_equity, quote)} below zero "
            f"({counted(summary.negative_accounts, 'account')} at step {summary.negative_step})"
        )
    if summary.decision_flips is None:
        agreement = "the engine has no reference: no solvency decision was verified"
    elif summary.decision_flips:
        agreement = (
            f"chain and reference disagree on {summary.decision_flips} of "
            f"{summary.verified:,} solvency decisions"
        )
    else:
        agreement = f"chain and reference agree on all {summary.verified:,} solvency decisions"
    if summary.conservation:
        agreement += f", conservation is off by {summary.conservation:.0f} wei"
    else:
        agreement += " and money is conserved to the wei"
    if failures:
        return f"FAILED ({'; '.join(failures)}): {liquidated}; {agreement}."
    held = "HELD" if summary.decision_flips is not None else "HELD, BUT NOT VERIFIED"
    return f"{held}: {liquidated}; {agreement}."


def counted(number: int, what: str) -> str:
    """Return `1 account`, `2 accounts`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def quote_of(manifest: dict[str, Any]) -> str:
    """Return the name of a run's quote currency."""
    return str(manifest["scenario"]["canonical"]["protocol"]["quote"])
