"""The summary of a run on the terminal."""

from __future__ import annotations

from typing import Any, Iterator

from rich.console import Console

from sim import units
from sim.results import Run
from sim.results.summary import counted, quote_of

_ACTIONS_SHOWN = 8


def show(run: Run, console: Console) -> None:
    """Print the verdict, the figures behind it and where the report lies."""
    manifest = run.manifest
    outcome = manifest["outcome"]
    summary = outcome["summary"]
    quote = quote_of(manifest)
    console.print(
        outcome["verdict"], style="bold green" if outcome["held"] else "bold red", highlight=False
    )
    console.print()
    rows = [
        *_market(summary),
        *_losses(summary, quote),
        *_verification(summary),
        *_chain(run, summary),
        *_expectations(outcome["expectations"]),
        ("time", f"{manifest['timings']['seconds']:.1f} s on {manifest['backend']}"),
        ("fingerprint", manifest["fingerprint"]),
        ("report", str(run.report)),
    ]
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        console.print(f"[dim]{label:<{width}}[/]  {text}", highlight=False, soft_wrap=True)


Row = tuple[str, str]


def _market(summary: dict[str, Any]) -> Iterator[Row]:
    for move in summary["prices"]:
        low = move["lowest"] / move["first"] - 1
        yield (
            f"{move['factor']} path",
            f"{move['first']:,.6g} → low {move['lowest']:,.6g} ({units.percent(low)}) → "
            f"{move['last']:,.6g}",
        )


def _losses(summary: dict[str, Any], quote: str) -> Iterator[Row]:
    yield (
        "liquidations",
        f"{summary['liquidations']} of {summary['accounts']} accounts, {summary['bids']} bids, "
        f"{summary['insolvencies']} insolvent; at most {summary['worst_underwater']} below "
        "maintenance at once",
    )
    yield (
        "bad debt",
        f"{units.money(summary['bad_debt'], quote)}: "
        f"fees {units.money(summary['fees_used'])}, "
        f"fund {units.money(summary['insurance_used'])}, "
        f"deleveraging {units.money(summary['deleveraged'])}, "
        f"mutualised {units.money(summary['mutualised'])}, "
        f"deficit {units.money(summary['deficit'])}",
    )
    if summary["negative_accounts"]:
        yield (
            "deepest equity",
            f"{units.money(-summary['negative_equity'], quote)} in "
            f"{counted(summary['negative_accounts'], 'account')} at step "
            f"{summary['negative_step']}",
        )
    yield (
        "insurance fund",
        f"{units.money(summary['fund_start'])} → {units.money(summary['fund_end'], quote)}",
    )
    if summary["keepers"]:
        yield (
            "keepers",
            f"{summary['keepers']}: profit {units.money(summary['keeper_profit'], quote)}, "
            f"gas {units.money(summary['keeper_gas_fees'])}, "
            f"after gas {units.money(summary['keeper_profit_after_gas'])}",
        )
    yield "gas fees", f"{units.money(summary['gas_fees'], quote)} of all agents"


def _verification(summary: dict[str, Any]) -> Iterator[Row]:
    if summary["decision_flips"] is None:
        yield "chain vs reference", "[red]not verified[/]: the engine has no reference"
    else:
        greeks = summary["largest_greek_error"]
        yield (
            "chain vs reference",
            f"{summary['verified']:,} accounts verified, "
            f"{summary['decision_flips']} decision flips, "
            f"largest error {summary['largest_error']:.2g} of the budget, greeks "
            + ("not compared" if greeks is None else f"{greeks:.1g} relative"),
        )
    yield "conservation", f"{summary['conservation']:.0f} wei off at the worst block"


def _chain(run: Run, summary: dict[str, Any]) -> Iterator[Row]:
    yield (
        "chain",
        f"{summary['transactions']:,} transactions in {summary['steps']:,} blocks, "
        f"{summary['failed']:,} reverted, {summary['dropped']:,} left out, "
        f"{summary['gas_used'] / 1e6:,.0f} M gas",
    )
    if summary["withheld"]:
        yield "  not sent", f"{summary['withheld']:,} that simulation showed to revert"
    for revert in summary["reverts"]:
        yield f"  reverted, {revert['action']}", f"{revert['count']:,} × {revert['reason']}"
    for action, count, median in _gas(run):
        yield f"  gas, {action}", f"median {median:,.0f} over {count:,}"


def _expectations(rows: list[dict[str, Any]]) -> Iterator[Row]:
    for row in rows:
        mark = "[green]held[/]" if row["held"] else "[red]broken[/]"
        yield f"expect {row['name']}", f"{mark}: {row['found']} (allowed {row['allowed']})"


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
