"""The plots of a run, each as SVG text.

Every function takes a run and returns SVG, or None when the run has nothing to show for it.
"""

from __future__ import annotations

import io
from typing import Any, Callable

import matplotlib

matplotlib.use("svg")

import matplotlib.dates as dates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim import units
from sim.results import Run
from sim.results.summary import LOSS_LAYERS

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, RED, GREEN, PURPLE = "#2563a8", "#d9822b", "#c23030", "#29875a", "#7157a6"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, RED, "#5c7080")

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "plimsoll",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "figure.constrained_layout.use": True,
}

_WORST_SHOWN = 6


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _drawn(draw: Callable[[Run], Figure | None]) -> Callable[[Run], str | None]:
    def wrapped(run: Run) -> str | None:
        with plt.rc_context(_STYLE):
            figure = draw(run)
            return None if figure is None else _svg(figure)

    wrapped.__doc__ = draw.__doc__
    return wrapped


def _clock(times: pd.Series[int] | Any) -> Any:
    return pd.to_datetime(times, unit="s")


def _time_axis(axes: Axes) -> None:
    locator = dates.AutoDateLocator(  # type: ignore[no-untyped-call]
        minticks=4, maxticks=9
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    )


def _step_times(run: Run) -> pd.Series[int]:
    return run.table("steps").set_index("step")["time"]


@_drawn
def prices(run: Run) -> Figure:
    """Market and oracle prices and implied vols, liquidations marked where they were flagged."""
    table = run.table("prices")
    flagged = run.table("liquidations").query("what == 'flagged'")["step"]
    times = _step_times(run)
    factors = list(dict.fromkeys(table["factor"]))
    figure, rows = plt.subplots(
        len(factors) + 1,
        1,
        sharex=True,
        squeeze=False,
        figsize=(9.6, 1.9 * len(factors) + 1.9),
    )
    for axes, factor, colour in zip(rows[:, 0], factors, _colours(len(factors)), strict=False):
        path = table[table["factor"] == factor]
        clock = _clock(path["time"])
        axes.plot(clock, path["spot"], color=colour, label="market")
        axes.step(
            clock, path["oracle_spot"], where="post", color=INK, lw=0.8, ls=":", label="oracle"
        )
        marks = path.set_index("step")["spot"].reindex(flagged.unique()).dropna()
        axes.plot(
            _clock(times.reindex(marks.index)),
            marks,
            ls="",
            marker="v",
            ms=6,
            color=RED,
            mec="white",
            mew=0.6,
            label="account flagged",
        )
        axes.set_title(f"{factor}, USD")
        axes.legend(loc="upper right", ncols=3)
        bottom = rows[-1, 0]
        bottom.plot(clock, 100 * path["vol"], color=colour, label=factor)
    rows[-1, 0].set_title("Implied vol, 30 days at the money, %")
    rows[-1, 0].legend(loc="upper left", ncols=4)
    _time_axis(rows[-1, 0])
    return figure


@_drawn
def worst_accounts(run: Run) -> Figure | None:
    """Equity against margin of the accounts that came closest to ruin."""
    table = run.table("accounts").query("account != 0")
    if table.empty:
        return None
    scale = table["maintenance"].groupby(table["account"]).max().replace(0, np.nan)
    health = (table["equity"] - table["maintenance"]).groupby(table["account"]).min() / scale
    worst = health.dropna().sort_values(kind="stable").index[:_WORST_SHOWN]
    if not len(worst):
        return None
    figure, grid = plt.subplots(
        -(-len(worst) // 2), 2, sharex=True, squeeze=False, figsize=(9.6, 2.0 * -(-len(worst) // 2))
    )
    times = _step_times(run)
    for axes, account in zip(grid.flat, worst, strict=False):
        path = table[table["account"] == account].set_index("step")
        clock = _clock(times.reindex(path.index))
        axes.plot(clock, path["equity"], color=BLUE, label="equity")
        axes.plot(clock, path["initial"], color=MUTED, lw=0.9, ls="--", label="initial")
        axes.plot(clock, path["maintenance"], color=RED, lw=1.1, label="maintenance")
        axes.fill_between(
            clock,
            path["equity"],
            path["maintenance"],
            where=path["equity"] < path["maintenance"],
            color=RED,
            alpha=0.18,
            lw=0,
        )
        busy = path["phase"].to_numpy() > 0
        if busy.any():
            low, high = axes.get_ylim()
            axes.fill_between(clock, low, high, where=busy, color=ORANGE, alpha=0.10, lw=0)
            axes.set_ylim(low, high)
        axes.axhline(0, color=INK, lw=0.6)
        axes.set_title(f"account {account} ({path['agent'].iloc[0]})")
        axes.yaxis.set_major_formatter(lambda value, _: units.money(value))
        _time_axis(axes)
    for axes in list(grid.flat)[len(worst) :]:
        axes.set_visible(False)
    grid[0, 0].legend(loc="best", fontsize=8)
    return figure


@_drawn
def waterfall(run: Run) -> Figure | None:
    """Who bore the losses, layer by layer."""
    table = run.table("waterfall")
    layers = ("account", *LOSS_LAYERS)
    borne = table.groupby("layer")["amount"].sum().reindex(layers).fillna(0.0)
    if not borne.abs().sum():
        return None
    figure, axes = plt.subplots(figsize=(9.6, 2.6))
    start = 0.0
    for place, amount in enumerate(borne):
        axes.barh(place, amount, left=start, color=CYCLE[place % len(CYCLE)], height=0.62)
        axes.text(
            start + amount,
            place,
            f"  {units.money(float(amount))}",
            va="center",
            color=INK,
            fontsize=9,
        )
        start += float(amount)
    axes.set_yticks(range(len(borne)), [str(layer) for layer in borne.index])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: units.money(value))
    axes.set_xlabel("cost of liquidations by who bore it, quote currency")
    return figure


@_drawn
def health(run: Run) -> Figure | None:
    """Distribution over accounts of equity over maintenance margin, through time."""
    table = run.table("accounts").query("account != 0 and maintenance > 0")
    if table.empty:
        return None
    ratio = (table["equity"] / table["maintenance"]).clip(-1, 20)
    by_step = ratio.groupby(table["step"])
    times = _step_times(run)
    figure, axes = plt.subplots(figsize=(9.6, 2.8))
    levels = by_step.quantile(np.array([0.0, 0.1, 0.25, 0.5, 0.75, 0.9])).unstack()
    clock = _clock(times.reindex(levels.index))
    axes.fill_between(
        clock, levels[0.1], levels[0.9], color=BLUE, alpha=0.12, lw=0, label="middle 80 %"
    )
    axes.fill_between(
        clock, levels[0.25], levels[0.75], color=BLUE, alpha=0.18, lw=0, label="middle 50 %"
    )
    axes.plot(clock, levels[0.5], color=BLUE, label="median")
    axes.plot(clock, levels[0.0], color=RED, lw=1.0, label="worst account")
    axes.axhline(1.0, color=INK, lw=0.8)
    axes.set_yscale("symlog", linthresh=2)
    axes.set_yticks([-1, 0, 1, 2, 5, 10, 20], ["≤ −1", "0", "1", "2", "5", "10", "≥ 20"])
    axes.set_ylabel("equity ÷ maintenance")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, fontsize=9)
    _time_axis(axes)
    return figure


@_drawn
def agreement(run: Run) -> Figure:
    """Error of the chain against the reference, as a share of the error budget."""
    table = run.table("accounts")
    share = (table["error"] / table["budget"].where(table["budget"] > 0)).fillna(0.0)
    figure, axes = plt.subplots(figsize=(9.6, 2.6))
    by_step = share.groupby(table["step"])
    times = _step_times(run)
    clock = _clock(times.reindex(by_step.max().index))
    floor = 1e-9
    axes.plot(clock, by_step.max().clip(lower=floor), color=BLUE, lw=1.0, label="worst account")
    axes.plot(clock, by_step.median().clip(lower=floor), color=MUTED, lw=0.9, label="median")
    axes.axhline(1.0, color=RED, lw=1.0, ls="--", label="budget")
    flips = table[table["flip"]]
    axes.plot(
        _clock(times.reindex(flips["step"])),
        np.ones(len(flips)),
        ls="",
        marker="x",
        color=RED,
        label=f"decision flips: {len(flips)}",
    )
    axes.set_yscale("log")
    axes.set_ylabel("error ÷ budget")
    axes.legend(loc="center right", ncols=4, fontsize=9)
    _time_axis(axes)
    return figure


@_drawn
def gas(run: Run) -> Figure | None:
    """Gas of each kind of transaction."""
    table = run.table("transactions").query("succeeded")
    if table.empty:
        return None
    order = table.groupby("action")["gas_used"].median().sort_values(kind="stable").index
    figure, axes = plt.subplots(figsize=(9.6, 0.42 * len(order) + 1.0))
    values = [table.loc[table["action"] == action, "gas_used"].to_numpy() for action in order]
    boxes = axes.boxplot(
        values,
        orientation="horizontal",
        widths=0.55,
        patch_artist=True,
        showfliers=True,
        whis=(5, 95),
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": MUTED},
        medianprops={"color": INK},
    )
    for box in boxes["boxes"]:
        box.set(facecolor="#c8daee", edgecolor=BLUE, linewidth=0.8)
    axes.set_yticks(
        range(1, len(order) + 1),
        [f"{action} ({len(v):,})" for action, v in zip(order, values, strict=True)],
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e3:,.0f}k")
    axes.set_xlabel("gas a transaction (box: quartiles, whiskers: 5–95 %)")
    return figure


def _colours(count: int) -> list[str]:
    return [CYCLE[i % len(CYCLE)] for i in range(count)]
