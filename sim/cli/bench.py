"""`plimsoll bench`: the stated figures, measured here."""

from __future__ import annotations

import pkgutil
from dataclasses import asdict
from importlib import import_module
from inspect import signature
from typing import Any, Callable

import click
import orjson
from rich.console import Console
from rich.table import Table

import sim.bench
from sim.bench import Report
from sim.errors import InputError, unknown
from sim.report.terminal import terminal


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--quick", is_flag=True, help="A smoke test: its numbers mean nothing.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A size of a benchmark."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(names: tuple[str, ...], quick: bool, settings: tuple[str, ...], as_json: bool) -> None:
    """Measure the benchmarks NAMES (chain, gas, reference, ... or all).

    Figures are ratios of things measured side by side in one run, because absolute figures say
    more about the machine.

    \b
    Examples:
      plimsoll bench chain
      plimsoll bench verification --set accounts=200 --set steps=100
      plimsoll bench all --json
    """
    known = sorted(module.name for module in pkgutil.iter_modules(sim.bench.__path__))
    for name in names:
        if name != "all" and name not in known:
            raise unknown("benchmark", name, [*known, "all"])
    chosen = known if "all" in names else list(dict.fromkeys(names))
    reports = []
    console = terminal()
    for name in chosen:
        run: Callable[..., Report] = import_module(f"sim.bench.{name}").run
        report = run(quick=quick, **_sizes(name, run, settings))
        reports.append(report)
        if not as_json:
            _show(report, console)
    if as_json:
        click.echo(orjson.dumps({"reports": [asdict(report) for report in reports]}))


def _sizes(name: str, run: Callable[..., Report], settings: tuple[str, ...]) -> dict[str, Any]:
    """Read settings as arguments of a benchmark, by the types of its defaults."""
    known = {p.name: p.default for p in signature(run).parameters.values() if p.name != "quick"}
    sizes: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key not in known:
            raise unknown(f"size of benchmark {name}", key, known)
        default = known[key]
        if not equals or (isinstance(default, int) and not (value.isdigit() and int(value))):
            raise InputError(f"--set {setting}: expected {key}=VALUE, such as {key}={default}")
        sizes[key] = type(default)(value)
    return sizes


def _show(report: Report, console: Console) -> None:
    console.print(f"\n[bold]{report.name}[/]: {report.about}\n{report.machine}", style="none")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in (("", "left"), ("measured", "right"), ("", "left"), ("goal", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for figure in report.figures:
        met = {True: " [green]met[/]", False: " [red]missed[/]", None: ""}[figure.met]
        digits = ",.0f" if figure.value >= 1_000 else ".4g"
        table.add_row(figure.what, f"{figure.value:{digits}}", figure.unit, figure.goal + met)
    console.print(table)
