"""The report of a run: one self-contained HTML page, nothing to fetch."""

from __future__ import annotations

from html import escape
from typing import Any, Iterable

import pandas as pd

from sim import units
from sim.report import plots
from sim.results import Run
from sim.results.summary import counted, quote_of

_CSS = """
:root { --ink: #1f2933; --muted: #616e7c; --line: #e4e7eb; --held: #29875a; --failed: #c23030; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 32px 24px 64px; color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 15px; font-weight: 600; color: var(--muted); margin: 0 0 12px; }
h2 { font-size: 18px; margin: 44px 0 4px; }
p.note { color: var(--muted); margin: 0 0 10px; font-size: 14px; }
.verdict { font-size: 22px; line-height: 1.35; font-weight: 600; padding: 18px 22px;
           border-radius: 8px; border-left: 8px solid var(--held); background: #eef7f2; }
.verdict.failed { border-color: var(--failed); background: #fbeeee; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px;
           margin: 22px 0 8px; }
.figure { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.figure b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.figure span { color: var(--muted); font-size: 13px; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
        font-variant-numeric: tabular-nums; }
th { text-align: right; color: var(--muted); font-weight: 600;
     border-bottom: 2px solid var(--line); }
td { text-align: right; border-bottom: 1px solid var(--line); }
th, td { padding: 4px 8px; white-space: nowrap; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
td.text:not(:first-child) { white-space: normal; }
.scroll { overflow-x: auto; }
code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
.bad { color: var(--failed); font-weight: 600; } .good { color: var(--held); font-weight: 600; }
footer { margin-top: 48px; color: var(--muted); font-size: 13px; border-top: 1px solid var(--line);
         padding-top: 12px; }
"""

_MOST_LIQUIDATED = 40


def render(run: Run, manifest: dict[str, Any]) -> str:
    """Return the report of a run whose tables are written.

    Parameters
    ----------
    run : Run
        Its folder may still carry the ending `.partial`.
    manifest : dict
        As it will stand in the folder.
    """
    outcome, scenario = manifest["outcome"], manifest["scenario"]
    summary = outcome["summary"]
    title = f"Plimsoll · {scenario['name']}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="verdict {"" if outcome["held"] else "failed"}">'
        f"{escape(outcome['verdict'])}</div>",
        f'<p class="note" style="margin-top:14px">{escape(scenario.get("description", ""))}</p>',
        _figures(summary, quote_of(manifest)),
        _section("Expectations and checks", "", _expectations(outcome["expectations"])),
        _section(
            "Prices and implied vols",
            "Triangles: an account was flagged for liquidation. Dotted: the price the oracle held.",
            plots.prices(run),
        ),
        _section(
            "The accounts that came closest to ruin",
            "Red area: equity below maintenance margin. Orange band: liquidation under way.",
            plots.worst_accounts(run),
        ),
        _section(
            "Accounts liquidated",
            "Before: after the last block in which the account was not yet flagged; prices move on "
            "until it is. Insolvent: its liquidation came to the phase in which bidders are paid "
            "to take over. An account whose equity was negative only between those is not.",
            _liquidated(run),
        ),
        _section(
            "What liquidations cost",
            "Account: the discount that solvent accounts gave to bidders, who pay rewards and fees "
            "out of it. Below: who bore what the equity of accounts could not.",
            plots.waterfall(run),
        ),
        _section(
            "Health of all accounts",
            "Equity over maintenance margin, from -1 to 20; below 1 an account may be liquidated. "
            "The bands hold the middle 50 % and 80 % of the accounts that have positions.",
            plots.health(run),
        ),
        _section(
            "Chain against reference",
            "Largest difference of equity, initial and maintenance margin between contracts and "
            "reference, in units of the error budget of 1e-9 of gross notional.",
            None if summary["decision_flips"] is None else plots.agreement(run),
        ),
        _section("Gas", "", plots.gas(run)),
        _section(
            "What the agents came to",
            "Accounts at the oracle's prices and wallets at the market's, less what they began "
            "with; gas at the scenario's price, which the chain itself does not take.",
            _agents(run),
        ),
        _section("Transactions that reverted", "", _reverts(summary)),
        _section("What this run is", "", _identity(manifest)),
        "<footer>Plimsoll is unaudited software for testing: no real funds. Assumptions: "
        "docs/explanation/assumptions.md.</footer>",
    ]
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_CSS}</style></head><body>\n"
        + "\n".join(filter(None, body))
        + "\n</body></html>\n"
    )


def _section(title: str, note: str, content: str | None) -> str:
    if content is None:
        return ""
    notes = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{notes}{content}</section>"


def _figures(summary: dict[str, Any], quote: str) -> str:
    moves = [
        (f"{units.percent(p['lowest'] / p['first'] - 1)}", f"{p['factor']}, start to low")
        for p in summary["prices"]
    ]
    cells = [
        *moves,
        (f"{summary['liquidations']} of {summary['accounts']}", "accounts liquidated"),
        (units.money(summary["bad_debt"]), f"bad debt, {quote}"),
        *_deepest(summary),
        (units.money(summary["insurance_used"]), "paid by the fund"),
        (units.money(summary["mutualised"]), "mutualised"),
        (units.money(summary["deleveraged"]), "charged by deleveraging"),
        *_keepers(summary),
        *_verified(summary),
        (f"{summary['conservation']:.0f} wei", "conservation error"),
        (f"{summary['gas_used'] / 1e6:,.0f} M", "gas used"),
        (f"{summary['transactions']:,}", f"transactions in {summary['steps']:,} blocks"),
    ]
    inner = "".join(
        f'<div class="figure"><b>{escape(value)}</b><span>{escape(label)}</span></div>'
        for value, label in cells
    )
    return f'<div class="figures">{inner}</div>'


def _deepest(summary: dict[str, Any]) -> list[tuple[str, str]]:
    if not summary["negative_accounts"]:
        return []
    of = counted(summary["negative_accounts"], "account")
    note = f"deepest negative equity, {of} at step {summary['negative_step']}"
    return [(units.money(-summary["negative_equity"]), note)]


def _keepers(summary: dict[str, Any]) -> list[tuple[str, str]]:
    if not summary["keepers"]:
        return []
    profit, fees = summary["keeper_profit_after_gas"], summary["keeper_gas_fees"]
    note = f"profit of {summary['keepers']} keepers after {units.money(fees)} of gas"
    return [(units.money(profit), note)]


def _reverts(summary: dict[str, Any]) -> str | None:
    if not (summary["reverts"] or summary["withheld"]):
        return None
    rows = [(row["action"], row["reason"], row["count"]) for row in summary["reverts"]]
    if summary["withheld"]:
        rows.append(("not sent", "its sender's simulation showed a revert", summary["withheld"]))
    return _table(("action", "reason", "transactions"), rows, text=(0, 1))


def _agents(run: Run) -> str | None:
    """Return what groups of agents came to, gas included."""
    table = run.table("agents")
    if table.empty:
        return None
    groups = table.groupby(table["agent"].str.partition("#")[0], sort=True)
    rows = [
        (
            f"{name} ({len(own)})",
            int(own["transactions"].sum()),
            int(own["failed"].sum()),
            units.money(float(own["gas_fees"].sum())),
            units.money(float(own["profit"].sum(skipna=False))),
            units.money(float(own["profit_after_gas"].sum(skipna=False))),
        )
        for name, own in groups
    ]
    header = ("agents", "transactions", "reverted", "gas fees", "profit", "profit after gas")
    return _table(header, rows, text=(0,))


def _verified(summary: dict[str, Any]) -> list[tuple[str, str]]:
    if summary["decision_flips"] is None:
        return [("none", "decisions verified: the engine has no reference")]
    return [
        (f"{summary['decision_flips']}", "decision flips"),
        (f"{summary['largest_error']:.2g}", "largest error ÷ budget"),
    ]


def _expectations(rows: list[dict[str, Any]]) -> str:
    return _table(
        ("what", "found", "allowed", "held"),
        (
            (
                row["name"],
                row["found"],
                row["allowed"],
                _Raw(
                    '<span class="good">yes</span>'
                    if row["held"]
                    else '<span class="bad">no</span>'
                ),
            )
            for row in rows
        ),
        text=(0, 2),
    )


def _liquidated(run: Run) -> str | None:
    events = run.table("liquidations")
    if events.empty:
        return None
    accounts = run.table("accounts").set_index(["account", "step"])
    times = run.table("steps").set_index("step")["time"]
    rows = []
    for account, own in events.groupby("account", sort=True):
        flags = own[own["what"] == "flagged"]
        if flags.empty:
            continue
        first = int(flags["step"].iloc[0])
        history = accounts.loc[account]
        before = history.iloc[max(int(history.index.searchsorted(first)) - 1, 0)]
        after = history.iloc[-1]
        rows.append(
            (
                f"{account} ({before['agent']})",
                units.utc(int(times[first])),
                units.money(before["equity"]),
                units.money(before["maintenance"]),
                int((own["what"] == "bid").sum()),
                units.money(float(own.loc[own["what"] == "bid", "paid"].sum())),
                "yes" if (own["what"] == "insolvent").any() else "no",
                units.money(float(after["equity"])),
            )
        )
    note = ""
    if len(rows) > _MOST_LIQUIDATED:
        note = f'<p class="note">The first {_MOST_LIQUIDATED} of {len(rows)}.</p>'
    header = (
        "account",
        "first flagged (UTC)",
        "equity before",
        "maintenance before",
        "bids",
        "paid by bidders",
        "insolvent",
        "equity at the end",
    )
    return note + _table(header, rows[:_MOST_LIQUIDATED], text=(0,))


def _identity(manifest: dict[str, Any]) -> str:
    rows = [
        ("identity", manifest["identity"]),
        ("fingerprint", manifest["fingerprint"]),
        ("scenario", f"{manifest['scenario']['name']}, seed {manifest['scenario']['seed']}"),
        ("backend", manifest["backend"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in manifest["versions"].items())),
        ("price paths", manifest["paths"]),
    ]
    return _table(
        ("", ""),
        ((key, _Raw(f"<code>{escape(str(value))}</code>")) for key, value in rows),
        text=(0, 1),
    )


class _Raw(str):
    """Markup that is not escaped again."""


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]], text: tuple[int, ...]) -> str:
    def cell(tag: str, place: int, value: Any) -> str:
        mark = ' class="text"' if place in text else ""
        if isinstance(value, float) and not pd.isna(value):
            value = f"{value:,.6g}"
        content = value if isinstance(value, _Raw) else escape(str(value))
        return f"<{tag}{mark}>{content}</{tag}>"

    head = "".join(cell("th", place, name) for place, name in enumerate(header))
    lines = [
        "<tr>" + "".join(cell("td", place, value) for place, value in enumerate(row)) + "</tr>"
        for row in rows
    ]
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
