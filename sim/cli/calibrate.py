"""`plimsoll calibrate`: what a price history says about its process, and how sure one can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson

from sim.cli._prices import Prices, read_prices
from sim.cli._quantities import LEVEL
from sim.errors import InputError
from sim.report.terminal import grid, terminal

_PLOTS = (".png", ".svg", ".pdf")


@click.command()
@click.argument("file")
@click.option("--asset", "assets", multiple=True, help="Only these assets, in this order.")
@click.option("--level", type=LEVEL, default="99%", show_default=True, help="Of ES.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write a .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    file: str, assets: tuple[str, ...], level: float, plot: Path | None, as_json: bool
) -> None:
    """Fit volatility, fat tails, GARCH, jumps and dependence to the prices in FILE.

    FILE is a shipped recording or a CSV file with the columns time, close and, if several, asset.
    Every estimate comes with its standard error, every model with a test of its fit, and the end
    says what the choice of model decides.

    \b
    Examples:
      plimsoll calibrate 2022-11-ftx
      plimsoll calibrate prices.csv --asset BTC --asset ETH --plot fit.svg
    """
    from sim.reference.calibration import calibrate_asset, fit_copulas
    from sim.reference.covariance import principal_components

    check_plot(plot)
    prices = read_prices(file, assets)
    returns = prices.returns
    fits = {}
    for column, asset in enumerate(prices.assets):
        try:
            fits[asset] = calibrate_asset(returns[:, column], prices.years, level)
        except InputError as error:
            raise InputError(f"{asset}: {error}") from None
    copulas = fit_copulas(returns) if len(prices.assets) > 1 else []
    factors = principal_components(returns, standardise=True) if copulas else None
    if plot:
        _plot(prices, fits, plot)
    if as_json:
        out: dict[str, Any] = {
            "file": prices.name,
            "interval_seconds": prices.interval,
            "returns": returns.shape[0],
            "gaps": int((~prices.adjacent).sum()),
            "times_left_out": prices.left_out,
            "level": level,
            "assets": fits,
            "dependence": [_copula(fit) for fit in copulas],
        }
        if factors is not None:
            out["factors"] = {
                "assets": prices.assets,
                "explained": factors.explained,
                "loadings": factors.loadings,
            }
        click.echo(orjson.dumps(out, option=orjson.OPT_SERIALIZE_NUMPY))
        return
    _show(prices, fits, copulas, factors, level)


def check_plot(path: Path | None) -> None:
    """Refuse a plot file that cannot be written before the work begins."""
    if path is None:
        return
    if path.suffix not in _PLOTS:
        raise InputError(f"--plot {path}: allowed are names ending in {', '.join(_PLOTS)}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--plot {path}: the folder does not exist")


def _copula(fit: Any) -> dict[str, Any]:
    lower, upper = fit.copula.tail_dependence()
    return {
        "family": fit.family,
        "aic": fit.aic,
        "log_likelihood": fit.log_likelihood,
        "parameters": fit.parameters,
        "tail_dependence": {"lower": lower, "upper": upper},
    }


def _number(value: float) -> str:
    return "–" if value != value else f"{value:,.4g}"


def _show(prices: Prices, fits: Any, copulas: Any, factors: Any, level: float) -> None:
    console = terminal()
    gaps = int((~prices.adjacent).sum())
    console.print(
        f"[bold]{prices.name}[/]: {prices.returns.shape[0]} returns of {prices.interval:,} s"
        + (f", {gaps} across gaps left out" if gaps else "")
        + (f", {prices.left_out} times without every asset" if prices.left_out else "")
    )
    for asset, fit in fits.items():
        console.print(f"\n[bold]{asset}[/]")
        garch, jumps = fit.garch, fit.jumps
        table = grid("estimate", "value", "std. error")
        for name, estimate in (
            ("volatility, annual", fit.volatility.volatility),
            ("drift, annual", fit.volatility.drift),
            ("Student t: degrees of freedom", fit.student.dof),
            ("Student t: scale, one interval", fit.student.scale),
            ("GARCH: omega", garch.omega),
            ("GARCH: alpha", garch.alpha),
            ("GARCH: beta", garch.beta),
            ("GARCH: degrees of freedom", garch.shocks),
            ("jumps: diffusion volatility, annual", jumps.volatility),
            ("jumps: a year", jumps.jump_rate),
            ("jumps: mean size", jumps.jump_mean),
            ("jumps: deviation", jumps.jump_deviation),
        ):
            table.add_row(name, _number(estimate.value), _number(estimate.standard_error))
        console.print(table)
        table = grid("model", "log-likelihood", "fit: p-value", f"ES {level:g}")
        for name, model, key in (
            ("normal", fit.volatility, "normal"),
            ("Student t", fit.student, "student_t"),
            ("GARCH, Student t", garch, "garch_student_t"),
            ("jump diffusion", jumps, "jumps"),
        ):
            table.add_row(
                name,
                f"{model.log_likelihood:,.1f}",
                f"{model.goodness.p_value:.2g}",
                f"{fit.shortfalls[key]:.4f}",
            )
        table.add_row("historical", "", "", f"{fit.shortfalls['historical']:.4f}")
        console.print(table)
        for warning in fit.warnings:
            console.print(f"  [yellow]![/] {warning}")
    if not copulas:
        return
    console.print("\n[bold]dependence[/]")
    table = grid("copula", "AIC", "lower tail", "upper tail")
    for fit in copulas:
        lower, upper = fit.copula.tail_dependence()
        table.add_row(fit.family, f"{fit.aic:,.1f}", _range(lower), _range(upper))
    console.print(table)
    best = copulas[0]
    table = grid(f"best: {best.family}", "value", "std. error")
    for name, estimate in best.parameters.items():
        for position, asset in enumerate(prices.assets):
            name = name.replace(f"[{position},", f"[{asset},").replace(
                f" {position}]", f" {asset}]"
            )
        table.add_row(name, _number(estimate.value), _number(estimate.standard_error))
    console.print(table)
    table = grid("shared factor", "explained", *prices.assets)
    for position, share in enumerate(factors.explained):
        loadings = (f"{value:+.2f}" for value in factors.loadings[:, position])
        table.add_row(f"{position + 1}", f"{share:.1%}", *loadings)
    console.print(table)


def _range(value: Any) -> str:
    """Tail dependence of a pair, or the least and greatest of several pairs."""
    import numpy as np

    if np.ndim(value) == 0:
        return f"{value:.3f}"
    pairs = value[np.triu_indices(len(value), 1)]
    return f"{pairs.min():.3f} to {pairs.max():.3f}"


def _plot(prices: Prices, fits: Any, path: Path) -> None:
    """Draw, for each asset, the sample against the quantiles of the fitted models."""
    import numpy as np
    from matplotlib.figure import Figure
    from scipy.special import ndtri

    count = len(prices.assets)
    figure = Figure(figsize=(4.5 * count, 4.2), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for column, (axis, (asset, fit)) in enumerate(zip(axes, fits.items(), strict=True)):
        sample = np.sort(prices.returns[:, column])
        levels = (np.arange(sample.size) + 0.5) / sample.size
        normal = sample.mean() + sample.std(ddof=1) * ndtri(levels)
        axis.plot(normal, sample, ".", label="normal", color="#7b8794", markersize=4)
        student = fit.student.distribution.ppf(levels)
        axis.plot(student, sample, ".", label="Student t", color="#2563a8", markersize=4)
        ends = [sample[0], sample[-1]]
        axis.plot(ends, ends, "-", color="#c23030", linewidth=1)
        room = 0.1 * (ends[1] - ends[0])
        axis.set(xlim=(ends[0] - room, ends[1] + room), title=asset)
        axis.set(xlabel="model quantile", ylabel="observed log return")
        axis.legend(frameon=False)
    figure.savefig(path)
