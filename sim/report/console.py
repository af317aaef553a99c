"""The summary of a run on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from sim import units
from sim.results import Run

_ACTIONS_SHOWN = 8


def show(run: Run, console: Console) -> None:
    """Print the verdict, the figures behind it and where the report lies."""
    manifest = run.manifest
    outcome = manifest["outcome"]
    summary = outcome["summary"]
    console.print(
        outcome["verdict"], style="bold green" if outcome["held"] else "bold red", highlight=False
    )
    console.print()
    rows: list[tuple[str, str]] = []
    for move in summary["prices"]:
        low = move["lowest"] / move["first"] - 1
        rows.append(
            (
                f"{move['factor']} path",
                f"{move['first']:,.6g} → low {move['lowest']:,.6g} ({units.percent(low)}) → "
                f"{move['last']:,.6g}",
            )
        )
    rows.append(
        (
            "liquidations",
            f"{summary['liquidations']} of {summary['accounts']} accounts, {summary['bids']} bids, "
            f"{summary['insolvencies']} insolvent; at most {summary['worst_underwater']} below "
            "maintenance at once",
        )
    )
    rows.append(
        (
            "bad debt",
            f"{units.money(summary['bad_debt'], 'USDC')}: "
            f"fund {units.money(summary['insurance_used'])}, "
            f"deleveraging {units.money(summary['deleveraged'])}, "
            f"mutualised {units.money(summary['mutualised'])}, "
            f"deficit {units.money(summary['deficit'])}",
        )
    )
    rows.append(
        (
            "insurance fund",
            f"{units.money(summary['fund_start'])} → {units.money(summary['fund_end'], 'USDC')}",
        )
    )
    rows.append(
        (
            "chain vs reference",
            f"{summary['verified']:,} accounts verified, "
            f"{summary['decision_flips']} decision flips, "
            f"largest error {summary['largest_error']:.2g} of the budget, greeks "
            f"{summary['largest_greek_error']:.1g} relative",
        )
    )
    rows.append(("conservation", f"{summary['conservation']:.0f} wei off at the worst block"))
    rows.append(
        (
            "chain",
            f"{summary['transactions']:,} transactions in {summary['steps']:,} blocks, "
            f"{summary['failed']:,} reverted, {summary['dropped']:,} left out, "
            f"{summary['gas_used'] / 1e6:,.0f} M gas",
        )
    )
    for action, count, median in _gas(run):
        rows.append((f"  gas, {action}", f"median {median:,.0f} over {count:,}"))
    for row in outcome["expectations"]:
        mark = "[green]held[/]" if row["held"] else "[red]broken[/]"
        rows.append((f"expect {row['name']}", f"{mark}: {row['found']} (allowed {row['allowed']})"))
    took = manifest["timings"]["seconds"]
    rows.append(("time", f"{took:.1f} s on {manifest['backend']}"))
    rows.append(("fingerprint", manifest["fingerprint"]))
    rows.append(("report", str(run.report)))
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        console.print(f"[dim]{label:<{width}}[/]  {text}", highlight=False, soft_wrap=True)


def facts(run: Run) -> dict[str, Any]:
    """Return what `--json` prints of a run."""
    manifest = run.manifest
    outcome = manifest["outcome"]
    return {
        "run": str(run.folder),
        "verdict": outcome["verdict"],
        "held": outcome["held"],
        "fingerprint": manifest["fingerprint"],
        "identity": manifest["identity"],
        **{key: value for key, value in outcome["summary"].items() if key != "prices"},
        "expectations": outcome["expectations"],
        "report": str(run.report),
    }


def _gas(run: Run) -> list[tuple[str, int, float]]:
    table = run.table("transactions").query("succeeded")
    groups = table.groupby("action")["gas_used"]
    rows = [(str(action), len(own), float(own.median())) for action, own in groups]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:_ACTIONS_SHOWN]
