"""`plimsoll backtest`: would VaR and expected shortfall have held on these prices?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson

from sim.cli._prices import Prices, read_prices
from sim.cli._quantities import LEVEL
from sim.cli.calibrate import check_plot
from sim.errors import InputError, unknown
from sim.report.terminal import grid, terminal

_REJECTED = 0.01
_FAT_TAIL = 3.0  # degrees of freedom of the second reading of Z2
_DEFAULT_MODELS = ("historical", "normal", "student_t", "filtered_historical", "ewma_student_t")


@click.command()
@click.argument("file")
@click.option("--asset", help="Which asset; by default the first.")
@click.option("--model", "models", multiple=True, help="Only these models, or all.")
@click.option("--level", type=LEVEL, default="99%", show_default=True, help="Of VaR and ES.")
@click.option(
    "--window", type=click.IntRange(1), help="Returns behind each forecast; 250, or half of a file."
)
@click.option(
    "--side", type=click.Choice(["long", "short"]), default="long", help="Of the position."
)
@click.option("--check", is_flag=True, help="Exit with 1 if a model is rejected at 1 %.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write a .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    file: str,
    asset: str | None,
    models: tuple[str, ...],
    level: float,
    window: int | None,
    side: str,
    check: bool,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Forecast VaR and ES of each return in FILE from those before it, and test the forecasts.

    Tests: Kupiec (rate), Christoffersen (clusters), Basel's traffic light, Acerbi-Székely Z2
    (size). With them comes their power: the chance to catch a model whose exceptions are truly
    twice as frequent as it claims. A test without power proves nothing by passing.

    \b
    Examples:
      plimsoll backtest 2022-05-luna --asset ETH --window 100
      plimsoll backtest prices.csv --model garch_student_t --level 0.975 --plot var.png
    """
    from sim.reference.backtests import MODELS, rolling_backtest

    check_plot(plot)
    for name in models:
        if name not in (*MODELS, "all"):
            raise unknown("model", name, (*MODELS, "all"))
    chosen = MODELS if "all" in models else tuple(dict.fromkeys(models)) or _DEFAULT_MODELS
    prices = read_prices(file, (asset,) if asset else (), only_first=True)
    returns = prices.returns[:, 0]
    if window is not None and returns.size < window + 2:
        raise InputError(
            f"--window {window}: at least {window + 2} returns are needed, {prices.name} has "
            f"{returns.size}"
        )
    behind = window or min(250, returns.size // 2)
    sign = -1 if side == "long" else 1
    results, unfit = {}, {}
    for name in chosen:
        try:
            results[name] = rolling_backtest(sign * returns, name, level, behind)
        except InputError as error:
            if "all" not in models:
                raise InputError(f"{prices.assets[0]}, model {name}: {error}") from None
            unfit[name] = str(error)
    if not results:
        raise InputError(f"{prices.assets[0]}: {next(iter(unfit.values()))}")
    if plot:
        _plot(prices, results, plot)
    facts = {name: _facts(result) for name, result in results.items()}
    if as_json:
        click.echo(
            orjson.dumps(
                {
                    "file": prices.name,
                    "asset": prices.assets[0],
                    "side": side,
                    "interval_seconds": prices.interval,
                    "level": level,
                    "window": behind,
                    "forecasts": returns.size - behind,
                    "models": facts,
                    "unfit": unfit,
                }
            )
        )
    else:
        _show(prices, facts, unfit, level, behind, side, returns.size - behind)
    return 1 if check and any(fact["rejected_by"] for fact in facts.values()) else 0


def _facts(result: Any) -> dict[str, Any]:
    coverage, zone, z2, fat = result.coverage, result.zone, result.z2(), result.z2(_FAT_TAIL)
    tests = {
        "kupiec": {
            "statistic": coverage.coverage.statistic,
            "p_value": coverage.coverage.p_value,
            "power": coverage.coverage.power(),
        },
        "christoffersen": {
            "statistic": coverage.statistic,
            "p_value": coverage.p_value,
            "independence_p_value": coverage.independence.p_value,
            "power": coverage.power(),
        },
        "acerbi_szekely_z2": {
            "statistic": z2.statistic,
            "p_value": z2.p_value,
            "p_value_fat_tail": fat.p_value,
            "critical_value": z2.critical_value(),
            "critical_value_fat_tail": fat.critical_value(),
            "power": z2.power(),
        },
    }
    rejected = [name for name, test in tests.items() if test["p_value"] < _REJECTED]
    return {
        "exceptions": int(result.exceptions.sum()),
        "expected": result.losses.size * (1 - result.level),
        **tests,
        "traffic_light": {
            "zone": zone.zone,
            "cumulative_probability": zone.cumulative_probability,
            "power": zone.power(),
        },
        "rejected_by": rejected,
        "mean_var": float(result.var.mean()),
        "mean_es": float(result.es.mean()),
    }


def _show(
    prices: Prices,
    facts: dict[str, Any],
    unfit: dict[str, str],
    level: float,
    window: int,
    side: str,
    count: int,
) -> None:
    console = terminal()
    console.print(
        f"[bold]{prices.name} {prices.assets[0]}[/], {side}: {count} forecasts at {level:g}, each "
        f"from the {window} returns of {prices.interval:,} s before it; "
        f"{count * (1 - level):.1f} exceptions expected"
    )
    table = grid(
        "model",
        "exceptions",
        "zone",
        "rate p",
        "clusters p",
        "Z2",
        "Z2 p",
        f"t{_FAT_TAIL:g} p",
        "VaR",
        "ES",
    )
    table.padding = (0, 1, 0, 0)
    for name, fact in facts.items():
        z2, zone = fact["acerbi_szekely_z2"], fact["traffic_light"]["zone"]
        table.add_row(
            name,
            str(fact["exceptions"]),
            f"[{zone}]{zone}[/]",
            _p(fact["kupiec"]["p_value"]),
            _p(fact["christoffersen"]["p_value"]),
            f"{z2['statistic']:+.2f}",
            _p(z2["p_value"]),
            _p(z2["p_value_fat_tail"]),
            f"{fact['mean_var']:.4f}",
            f"{fact['mean_es']:.4f}",
        )
    console.print(table)
    console.print(
        "! rejected at 1 %. Rate: Kupiec; clusters: Christoffersen's conditional coverage; Z2 p: "
        f"Acerbi-Székely under normal losses and under t with {_FAT_TAIL:g} degrees of freedom; "
        "VaR and ES: means."
    )
    for name, reason in unfit.items():
        console.print(f"{name}: {reason}")
    first = next(iter(facts.values()))
    console.print(
        "power against exceptions twice as frequent: "
        f"Kupiec {first['kupiec']['power']:.0%}, "
        f"Christoffersen {first['christoffersen']['power']:.0%}, "
        f"traffic light {first['traffic_light']['power']:.0%}, "
        f"Z2 {first['acerbi_szekely_z2']['power']:.0%}"
    )


def _p(value: float) -> str:
    return f"{value:.3f}" + ("!" if value < _REJECTED else " ")


def _plot(prices: Prices, results: dict[str, Any], path: Path) -> None:
    """Draw losses against the VaR and ES forecast for them, one panel a model."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), 1, sharex=True, squeeze=False)[:, 0]
    ends = prices.times[1:][prices.adjacent].astype("datetime64[s]")
    for axis, (name, result) in zip(axes, results.items(), strict=True):
        times, hit = ends[result.first :], result.exceptions
        axis.plot(times, result.losses, color="#7b8794", linewidth=0.7, label="loss")
        axis.plot(times, result.var, color="#2563a8", label=f"VaR {result.level:g}")
        axis.plot(times, result.es, color="#d9822b", linewidth=0.9, label="ES")
        axis.plot(np.asarray(times)[hit], result.losses[hit], "o", color="#c23030", markersize=4)
        axis.set_title(f"{name}, exceptions: {int(hit.sum())}", loc="left", fontsize=10)
    axes[0].legend(frameon=False, ncols=3, fontsize=8)
    figure.savefig(path)
