"""`plimsoll risk`: a book under every rulebook and every measure of risk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import click
import numpy as np
import orjson

from sim.cli._book import book_options, margins_under, read_book, simulated
from sim.cli._quantities import LEVEL, SPAN
from sim.errors import InputError
from sim.units import duration, utc

if TYPE_CHECKING:
    from sim.reference.aggregation import Exposures
    from sim.reference.book import Book, Market
    from sim.reference.hedge import Hedge
    from sim.reference.margin import Assessment
    from sim.scenario.book_file import MarketEntry

_PLOTS = (".png", ".svg", ".pdf")


@click.command()
@book_options
@click.option("--level", type=LEVEL, default="99%", show_default=True, help="Of VaR and ES.")
@click.option("--horizon", type=SPAN, default="1d", show_default=True, help="Of VaR and ES.")
@click.option(
    "--history", metavar="FILE", help="Prices for historical VaR: a shipped recording or a CSV."
)
@click.option("--delta-limit", type=float, help="Hedge to at most this dollar delta.")
@click.option("--gamma-limit", type=float, help="Hedge to at most this dollar gamma per 1 %.")
@click.option("--vega-limit", type=float, help="Hedge to at most this vega per vol point.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the book to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    book: Path,
    market_file: Path | None,
    rulebooks: Sequence[str],
    level: float,
    horizon: int,
    scenarios: int,
    seed: int,
    history: str | None,
    delta_limit: float | None,
    gamma_limit: float | None,
    vega_limit: float | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Greeks, margin under every rulebook, VaR and ES by every method, concentration and hedge.

    BOOK is a CSV or YAML file of accounts, balances and positions; a CSV needs --market. VaR uses
    `realised_vol` and `correlation` of the market and a Student t with 4 degrees of freedom. A
    hedge is suggested for the whole book, by default to a tenth of its dollar delta.

    \b
    Examples:
      plimsoll risk book.yaml
      plimsoll risk book.csv --market market.yaml --rulebook house --json
      plimsoll risk book.yaml --vega-limit 500 --plot risk.png
      plimsoll risk book.yaml --history 2022-11-ftx --horizon 4h
    """
    from sim.reference import exposures
    from sim.report.risk import draw, show
    from sim.report.terminal import terminal

    for name, value in (
        ("--delta-limit", delta_limit),
        ("--gamma-limit", gamma_limit),
        ("--vega-limit", vega_limit),
    ):
        if value is not None and not 0 <= value < float("inf"):
            raise InputError(f"{name}: must be a number of at least 0, got {value:g}")
    if plot is not None and plot.suffix.lower() not in _PLOTS:
        raise InputError(f"--plot {plot}: the name must end in {', '.join(_PLOTS)}")
    held, market, entry = read_book(book, market_file)
    margins, skipped = margins_under(rulebooks, held, market)
    found = exposures(held, market)
    risk, losses = _tail_figures(held, market, entry, level, horizon, scenarios, seed)
    if history is not None:
        risk += _historical_figures(held, market, history, level, horizon)
    try:
        hedge = _hedge_report(
            _hedge(held, market, found, delta_limit, gamma_limit, vega_limit), market
        )
    except InputError as error:
        hedge = {"skipped": str(error)}
    if plot is not None:
        draw(plot, held, market, margins, losses, level)
    report = {
        "book": str(book),
        "time": utc(market.time),
        "accounts": _accounts(held, market),
        "greeks": _greeks(found, market),
        "margin": _margins_report(margins, skipped),
        "risk": {"level": level, "horizon_seconds": horizon, "seed": seed, "methods": risk},
        "concentration": _concentration(held, found, market),
        "hedge": hedge,
    }
    if as_json:
        click.echo(orjson.dumps(report, option=orjson.OPT_SERIALIZE_NUMPY))
    else:
        show(report, terminal())


def _accounts(book: Book, market: Market) -> dict[str, Any]:
    return {
        "count": book.accounts.size,
        "positions": book.size.size,
        "cash": float(book.cash.sum()),
        "underlyings": {
            name: float(spot)
            for name, spot in zip(market.underlyings.name, market.underlyings.spot, strict=True)
        },
    }


def _greeks(found: Exposures, market: Market) -> dict[str, Any]:
    """Money: delta per 100 % move, gamma what that adds, vega per 1.00 of vol, theta per year."""

    def row(table: Any, *index: int) -> dict[str, float]:
        return {
            name: float(column[index]) for name, column in zip(table._fields, table, strict=True)
        }

    names = market.underlyings.name
    e = market.expiries
    label = {int(i): name for i, name in zip(market.underlyings.id, names, strict=True)}
    return {
        "by_underlying": {name: row(found.by_underlying, u) for u, name in enumerate(names)},
        "by_expiry": {
            f"{label[int(e.underlying[i])]} {utc(int(e.time[i]))}": row(found.by_expiry, i)
            for i in range(e.time.size)
        },
        "total": row(found.total),
    }


def _margins_report(
    margins: dict[str, Assessment], skipped: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Totals of the book and every account under each rulebook."""
    report: dict[str, dict[str, Any]] = {}
    for name, a in margins.items():
        report[name] = {
            "equity": float(a.equity.sum()),
            "initial": float(a.initial.sum()),
            "maintenance": float(a.maintenance.sum()),
            "below_initial": int((a.equity < a.initial).sum()),
            "below_maintenance": int(a.flagged.sum()),
            "accounts": [
                {
                    "account": int(account),
                    "equity": float(a.equity[i]),
                    "initial": float(a.initial[i]),
                    "maintenance": float(a.maintenance[i]),
                    "core": float(a.risk[i]),
                    "binding_up": a.binding_up[i].tolist(),
                    "binding_down": a.binding_down[i].tolist(),
                }
                for i, account in enumerate(a.accounts)
            ],
        }
    return report | {name: {"skipped": why} for name, why in skipped.items()}


def _tail_figures(
    book: Book,
    market: Market,
    entry: MarketEntry,
    level: float,
    horizon: int,
    scenarios: int,
    seed: int,
) -> tuple[list[dict[str, Any]], Any]:
    """VaR and ES of the whole book by every method, and the simulated losses."""
    from sim.reference.aggregation import exposures
    from sim.reference.book import YEAR
    from sim.reference.horizon import horizon_losses
    from sim.reference.parametric import delta_gamma, delta_normal
    from sim.reference.risk_measures import tail_risk

    vols, corr = entry.volatilities(), entry.correlations()
    whole = book.merged()
    total = exposures(whole, market).by_underlying
    years = horizon / YEAR
    deviations = vols * np.sqrt(years)
    covariance = corr * np.outer(deviations, deviations)
    theta = float(total.theta.sum()) * years
    gamma = np.diag(total.dollar_gamma)
    found = [
        delta_normal(total.dollar_delta, covariance, level)[0],
        delta_normal(total.dollar_delta, covariance, level, dof=4.0)[0],
        delta_gamma(total.dollar_delta, gamma, covariance, level, theta, "cornish_fisher"),
        delta_gamma(total.dollar_delta, gamma, covariance, level, theta),
    ]
    shocks = simulated(entry, horizon, scenarios, seed)
    losses = horizon_losses(whole, market, shocks)[0]
    rows = [_tail(x) for x in found]
    for method in ("historical", "normal", "student_t", "cornish_fisher"):
        try:
            rows.append(_tail(tail_risk(losses, level, method), _SIMULATED[method]))
        except InputError as error:
            rows.append({"method": _SIMULATED[method], "skipped": str(error)})
    return rows, losses


_SIMULATED = {
    "historical": "Monte Carlo, full revaluation",
    "normal": "Monte Carlo, normal fit",
    "student_t": "Monte Carlo, Student t fit",
    "cornish_fisher": "Monte Carlo, Cornish-Fisher",
}


def _historical_figures(
    book: Book, market: Market, history: str, level: float, horizon: int
) -> list[dict[str, Any]]:
    """VaR and ES of the whole book under the moves of recorded prices, repriced in full.

    Moves over several intervals overlap; vols do not move, because a price file has none.
    """
    from sim.cli._prices import read_prices
    from sim.reference.horizon import Shocks, horizon_losses
    from sim.reference.risk_measures import tail_risk

    prices = read_prices(history, tuple(market.underlyings.name))
    steps = round(horizon / prices.interval)
    if steps < 1:
        raise InputError(
            f"--horizon: must be at least the interval of {prices.name}, "
            f"{duration(prices.interval)}"
        )
    returns = prices.returns
    if returns.shape[0] < steps:
        raise InputError(f"--history {history}: {returns.shape[0]} returns, the horizon is {steps}")
    moves = np.lib.stride_tricks.sliding_window_view(returns, steps, axis=0).sum(axis=2)
    spot = np.exp(moves)
    losses = horizon_losses(book.merged(), market, Shocks(spot, np.ones_like(spot), horizon))[0]
    rows: list[dict[str, Any]] = []
    for method, name in (
        ("historical", f"historical, {prices.name}"),
        ("filtered_historical", f"filtered historical, {prices.name}"),
    ):
        try:
            rows.append(_tail(tail_risk(losses, level, method), name))
        except InputError as error:
            rows.append({"method": name, "skipped": str(error)})
    note = f"{losses.size} moves of {duration(steps * prices.interval)}"
    rows[0]["note"] = f"{note}, overlapping" if steps > 1 else note
    return rows


def _tail(measured: Any, name: str | None = None) -> dict[str, Any]:
    error = measured.es_standard_error
    return {
        "method": name or measured.method,
        "value_at_risk": measured.value_at_risk,
        "expected_shortfall": measured.expected_shortfall,
        "es_standard_error": None if error != error else error,
        "note": measured.note,
    }


def _concentration(book: Book, found: Exposures, market: Market) -> dict[str, Any]:
    from sim.reference.aggregation import concentration

    def row(amounts: Any, labels: Sequence[Any]) -> dict[str, Any]:
        c = concentration(amounts)
        return {
            "herfindahl": c.herfindahl,
            "effective": c.effective,
            "largest": str(labels[c.largest]),
            "largest_share": float(c.shares[c.largest]),
        }

    names = list(market.underlyings.name)
    ids = book.accounts.tolist()
    return {
        "dollar delta by underlying": row(found.by_underlying.dollar_delta, names),
        "dollar delta by account": row(found.by_account.dollar_delta, ids),
        "vega by underlying": row(found.by_underlying.vega, names),
        "vega by account": row(found.by_account.vega, ids),
    }


def _hedge(
    book: Book,
    market: Market,
    found: Exposures,
    delta_limit: float | None,
    gamma_limit: float | None,
    vega_limit: float | None,
) -> Hedge:
    """Suggest a hedge inside limits in the units of people: gamma per 1 %, vega per point."""
    from sim.reference.hedge import suggest_hedge

    delta = np.abs(found.by_underlying.dollar_delta)
    return suggest_hedge(
        book,
        market,
        delta.sum() / (10 * delta.size) if delta_limit is None else delta_limit,
        np.inf if gamma_limit is None else gamma_limit * 100,
        np.inf if vega_limit is None else vega_limit * 100,
    )


def _hedge_report(hedge: Hedge, market: Market) -> dict[str, Any]:
    from sim.reference.book import KIND_NAMES, PERP

    offered, solution = hedge.instruments, hedge.solution
    names = dict(zip(market.underlyings.id.tolist(), market.underlyings.name, strict=True))
    trades = []
    for i in np.flatnonzero(solution.trades):
        kind = int(offered.kind[i])
        trades.append(
            {
                "underlying": names[int(offered.underlying[i])],
                "kind": KIND_NAMES[kind],
                "expiry": None if kind == PERP else utc(int(offered.expiry[i])),
                "strike": None if kind == PERP else float(offered.strike[i]),
                "size": float(solution.trades[i]),
            }
        )
    residual = solution.residual.reshape(-1, 3)
    return {
        "trades": trades,
        "cost": solution.cost,
        "within_limits": solution.within_limits,
        "left": {
            name: dict(zip(("dollar_delta", "dollar_gamma", "vega"), row.tolist(), strict=True))
            for name, row in zip(market.underlyings.name, residual, strict=True)
        },
    }
