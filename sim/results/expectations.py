"""What a run must come to: the scenario's own expectations, and the checks that always apply.

An expectation names a figure of the summary (`bad_debt`) or a column of a table with an aggregate
(`steps.failed.max`, `accounts.equity.min`): min, max, sum, mean, first or last.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Mapping

import pandas as pd
import pyarrow as pa

from sim.errors import InputError, unknown
from sim.results.folder import Run
from sim.results.summary import Summary
from sim.results.tables import TABLES
from sim.scenario.model import Bound, Scenario

_OF_TEXT = ("first", "last")
_AGGREGATES = ("min", "max", "sum", "mean", *_OF_TEXT)


def names() -> list[str]:
    """Return the figures of the summary that can be expected by name."""
    return sorted(item.name for item in fields(Summary) if item.name not in ("prices", "reverts"))


def check(scenario: Scenario) -> None:
    """Refuse what a scenario expects of figures that no run has; InputError with its place."""
    for name, bound in scenario.expect.items():
        try:
            check_names({name: bound})
        except InputError as error:
            raise scenario.error(("expect", name), error) from None


def check_names(expect: Mapping[str, Bound]) -> None:
    """Refuse expectations of figures that no run has, and of numbers that are texts.

    Raises
    ------
    InputError
        Naming the figure, with the nearest that exists.
    """
    for name, bound in expect.items():
        table, dot, rest = name.partition(".")
        if not dot:
            if name not in names():
                raise unknown("figure in expect:", name, names())
            _check_kind(bound, False)
            continue
        column, _, aggregate = rest.partition(".")
        if table not in TABLES:
            raise unknown("table in expect:", table, TABLES)
        columns = {c.name: c.kind for c in TABLES[table].columns if not c.name.endswith("_wad")}
        if column not in columns:
            raise unknown(f"column of {table} in expect:", column, columns)
        if aggregate not in _AGGREGATES:
            raise unknown("aggregate in expect:", aggregate, _AGGREGATES)
        text = pa.types.is_string(columns[column])
        if text and aggregate not in _OF_TEXT:
            allowed = ", ".join(_OF_TEXT)
            raise InputError(f"{column} is text: it has no {aggregate} (allowed: {allowed})")
        _check_kind(bound, text)


def _check_kind(bound: Bound, text: bool) -> None:
    """Refuse a number where a text is compared, and the other way round."""
    if text and not isinstance(bound.equal, str):
        raise InputError("it is text: write the text that it must be")
    if not text and isinstance(bound.equal, str):
        raise InputError(f"{bound.equal!r} is not a number")


def judge(run: Run, summary: Summary, expect: Mapping[str, Bound]) -> list[dict[str, Any]]:
    """Return every check and expectation: what was found, what is allowed, whether it held."""
    checks = run.table("checks")
    rows: list[dict[str, Any]] = []
    for name, own in checks.groupby("check", sort=True):
        broken = own[~own["held"]]
        worst = own.iloc[int(own["worst"].abs().argmax())]
        found = f"{worst['worst']:.3g} {worst['unit']}"
        if len(broken):
            first = broken.iloc[0]
            found += f", broken first at step {first['step']}"
            if first["account"] >= 0:
                found += f" by account {first['account']}"
            if first["reason"]:
                found += f": {first['reason']}"
        rows.append(_row(str(name), found, f"at most {worst['allowed']:.3g}", broken.empty))
    for name, bound in expect.items():
        value = value_of(run, summary, name)
        if value is None:
            table = name.partition(".")[0] if "." in name else ""
            why = f"no rows in {table}" if table else "not verified: the engine has no reference"
            rows.append(_row(name, why, str(bound), False))
        else:
            rows.append(_row(name, _shown(value), str(bound), bound.holds(value)))
    return rows


def _row(name: str, found: str, allowed: str, held: bool) -> dict[str, Any]:
    return {"name": name, "found": found, "allowed": allowed, "held": bool(held)}


def value_of(run: Run, summary: Summary, name: str) -> Any:
    """Return what an expectation is about.

    None where there is nothing: of a table without rows (whose sum is 0), and of what a run without
    a reference cannot tell.
    """
    table, dot, rest = name.partition(".")
    if not dot:
        return getattr(summary, name)
    column, _, aggregate = rest.partition(".")
    values: pd.Series[Any] = run.table(table)[column]
    if values.empty:
        return 0.0 if aggregate == "sum" else None
    match aggregate:
        case "first":
            return values.iloc[0]
        case "last":
            return values.iloc[-1]
        case _:
            return getattr(values, aggregate)()


def _shown(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
