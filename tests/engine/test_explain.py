"""What an explanation shows is what the run recorded, and its parts add up."""

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sim.cli import main_group
from sim.cli.explain import _row
from sim.engine import run
from sim.engine.explain import Figure, explain
from sim.errors import InputError
from tests.engine.conftest import SMALL

GAP = 6  # the step at which the market falls


@pytest.fixture(scope="module")
def writer(crash):
    return explain(crash, 2, GAP)


def recorded(crash, step, account, column):
    table = pq.read_table(crash.folder / "accounts.parquet").to_pylist()
    return next(
        int(row[column]) for row in table if (row["step"], row["account"]) == (step, account)
    )


def chain(found, name):
    return next(figure.chain for figure in found.figures if figure.name == name)


def test_an_account_under_water_is_liquidatable(writer):
    assert writer.sentence.startswith(
        "account 2 is liquidatable because its equity of 20,813.70 is 1,717.40 below its "
        "maintenance margin of 22,531.10; worst for it is ETH spot × 0.82, vol up, a loss of "
        "22,155.50. The reference agrees to "
    )
    assert not writer.flip
    assert writer.error <= writer.budget


def test_the_integers_are_those_of_the_run(crash, writer):
    assert chain(writer, "equity") == recorded(crash, GAP, 2, "equity_wad")
    assert chain(writer, "maintenance margin") == recorded(crash, GAP, 2, "maintenance_wad")
    assert chain(writer, "initial margin") == recorded(crash, GAP, 2, "initial_wad")


def test_the_parts_add_up(writer):
    (put,) = writer.positions
    assert put.instrument == "ETH 2026-01-31 00:00 2900 put"
    assert put.value == pytest.approx(put.size * put.mark)
    assert writer.cash + put.value == pytest.approx(chain(writer, "equity") / 1e18)
    deltas = [figure.chain for figure in writer.greeks if figure.name == "ETH delta"]
    assert [put.delta] == pytest.approx([delta / 1e18 for delta in deltas])
    worst = min(writer.scenarios, key=lambda scenario: scenario.pnl.chain)
    assert worst.binding == ("L-",)
    losses = {figure.name: figure.chain for figure in writer.losses}
    assert losses["ETH L-"] == -worst.pnl.chain == chain(writer, "core requirement R")
    outside = sum(figure.chain for figure in writer.charges if figure.name.endswith("outside"))
    assert outside == chain(writer, "charges outside")


def test_every_figure_stands_beside_the_reference(writer):
    everything = (
        *writer.figures,
        *writer.greeks,
        *writer.losses,
        *writer.charges,
        *writer.expiries,
        *(scenario.pnl for scenario in writer.scenarios),
    )
    assert len(writer.scenarios) == 23
    for figure in everything:
        assert abs(figure.error) <= writer.budget, figure.name


def test_a_perp_before_the_fall_is_safe(crash):
    found = explain(crash, 4, GAP - 1)
    assert found.sentence.startswith("account 4 is safe because its equity of 29,8")
    assert [p.instrument for p in found.positions] == ["ETH perp"]


def test_phases_and_the_fund_are_said(crash):
    phases = crash.accounts.query("phase == 1 and account != 0")
    step, account = (int(phases[key].iloc[0]) for key in ("step", "account"))
    assert "in the solvent phase of a liquidation" in explain(crash, account, step).sentence
    assert "insurance fund" in explain(crash, 0).sentence


@pytest.mark.parametrize("engine", ["ltv", "sensitivity"])
def test_the_other_engines_have_no_scenarios(tmp_path, engine):
    settings = [f"protocol.engine={engine}", f"protocol.rulebook={engine}", "horizon.steps=3"]
    short = run(SMALL, overrides=settings, backend="revm", out=tmp_path / engine)
    found = explain(short, 2)
    assert found.scenarios == ()
    assert chain(found, "maintenance margin") > 0
    assert "because its equity of" in found.sentence


def test_the_command_prints_tables_and_json(crash, writer):
    command = ["explain", str(crash.folder), "2", "--step", str(GAP)]
    done = CliRunner().invoke(main_group, command, catch_exceptions=False)
    assert "liquidatable because" in done.output
    assert "20813698" in done.output  # the integer, digit by digit
    facts = json.loads(
        CliRunner().invoke(main_group, [*command, "--json"], catch_exceptions=False).output
    )
    assert facts["sentence"] == writer.sentence
    assert int(facts["figures"][0]["chain"]) == chain(writer, "equity")


def test_what_is_not_there_is_named(crash):
    with pytest.raises(InputError, match="no account 99 at step 6; it has 0 to 7"):
        explain(crash, 99, GAP)
    with pytest.raises(InputError, match="no step 77"):
        explain(crash, 2, 77)


def test_nothing_is_printed_as_a_negative_zero():
    assert _row(Figure("x", -1, -1e-9))[1:3] == ("0.000000", "0.000000")
