"""The figures of a run, and what the verdict says of them."""

from dataclasses import fields

import pandas as pd
import pytest

from sim.report.console import show
from sim.report.html import render
from sim.report.terminal import terminal
from sim.results.summary import Summary, deepest, verdict

FINE = {item.name: 0 for item in fields(Summary)} | {"negative_step": -1, "accounts": 9}


def accounts(*rows):
    return pd.DataFrame(rows, columns=["step", "account", "equity"])


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([(0, 1, 5.0), (1, 1, 0.0)], (0.0, 0, -1)),
        ([(0, 1, -5.0), (1, 1, -3.0), (1, 2, -4.0), (1, 3, 90.0), (2, 1, 2.0)], (7.0, 2, 1)),
    ],
)
def test_the_deepest_negative_equity_is_a_sum_over_accounts(rows, found):
    assert deepest(accounts(*rows)) == found


def test_the_verdict_says_how_deep_it_was_although_nothing_was_lost():
    deep = {"negative_equity": 24_079.0, "negative_accounts": 1, "negative_step": 138}
    said = verdict(Summary(**{**FINE, **deep}), [], "DAI")
    assert (
        "bad debt 0 DAI, equity at its deepest 24.1k DAI below zero (1 account at step 138)" in said
    )
    assert "below zero" not in verdict(Summary(**FINE), [], "DAI")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A short crash whose quote currency is called DAI: its summary and its page."""
    import sim

    folder = tmp_path_factory.mktemp("dai")
    (folder / "dai.yaml").write_text(SCENARIO)
    run = sim.run(folder / "dai.yaml", backend="revm", out=folder / "run")
    console = terminal()
    with console.capture() as text:
        show(run, console)
    return text.get(), run.report.read_text(), run


SCENARIO = """\
name: dai
horizon: {steps: 6, step: 5m, start: 2026-01-15T00:00:00Z}
market:
  factors: {ETH: {kind: constant, spot: 3200, vol: 60%}}
  shocks: [{at: 15m, kind: gap, factor: ETH, size: -40%}]
protocol: {quote: DAI}
agents:
  - {use: market_maker, params: {capital: 8m DAI, collateral: DAI}}
  - use: perp_trader
    params: {capital: 100k DAI, collateral: DAI, underlying: ETH, leverage: 6, side: long}
  - {use: liquidator, params: {capital: 2m DAI, collateral: DAI}}
"""


def test_the_quote_currency_has_the_name_that_the_scenario_gives_it(shown):
    text, page, _ = shown
    assert "USDC" not in text + page
    assert "DAI" in text
    assert "bad debt, DAI" in page


def test_negative_equity_is_shown(shown):
    text, page, run = shown
    summary = run.manifest["outcome"]["summary"]
    assert summary["negative_accounts"] == 1
    assert summary["negative_equity"] == pytest.approx(run.steps["deficit"].max())
    assert "below zero" in text.splitlines()[0]
    assert "deepest equity" in text
    assert "deepest negative equity, 1 account at step" in page


def test_checks_say_in_which_unit_they_are(shown):
    text, _, run = shown
    assert (run.checks["unit"] != "").all()
    assert "of its error budget (allowed at most 1)" in text


def test_the_page_is_made_of_tables_and_manifest_alone(shown):
    _, page, run = shown
    assert render(run, run.manifest) == page
