"""`plimsoll risk` and the book files it reads."""

import json

import click
import numpy as np
import pytest
from click.testing import CliRunner

from sim.cli.risk import command
from sim.errors import InputError
from sim.reference import CALL, PERP, PUT, black76
from sim.scenario.book_file import load, load_market

BOOK = """\
market:
  time: 2026-01-15T00:00:00Z
  underlyings:
    ETH: {spot: 3200, vol: 65%, rate: 4%}
    BTC: {spot: 91000, mark: 91100, vol: 50%, expiries: {30d: {forward: 91500, vol: 48%}}}
  collateral: {USDT: {price: 0.999}}
  correlation: {ETH-BTC: 0.85}
accounts:
  - account: 1
    cash: 50k USDC
    collateral: {ETH: 10, USDT: 1000}
    positions:
      - {kind: call, underlying: ETH, expiry: 30d, strike: 3500, size: -10}
      - {kind: put, underlying: ETH, expiry: 2026-02-14T00:00:00Z, strike: 2500, size: -5, vol: 80%}
      - {kind: perp, underlying: BTC, size: 0.5}
  - {account: 2, cash: 1m, positions: [{kind: perp, underlying: ETH, size: -100}]}
"""
HEADER = "account,kind,asset,expiry,strike,size,vol\n"
TABLE = (
    HEADER
    + """\
1,cash,,,,50000,
1,collateral,ETH,,,10,
1,collateral,USDT,,,1000,
1,call,ETH,30d,3500,-10,
1,put,ETH,2026-02-14T00:00:00Z,2500,-5,80%
1,perp,BTC,,,0.5,
2,cash,,,,1_000_000,
2,perp,ETH,,,-100,
"""
)


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.yaml"
    path.write_text(BOOK)
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text(TABLE)
    return path


def test_a_book_in_its_market(book):
    held, market = load(book).value()
    assert held.accounts.tolist() == [1, 2]
    assert held.cash.tolist() == [50_000, 1_000_000]
    assert held.kind.tolist() == [CALL, PUT, PERP, PERP]
    assert held.underlying.tolist() == [0, 0, 1, 0]
    assert held.expiry[0] == held.expiry[1] == market.time + 30 * 86_400
    np.testing.assert_array_equal(held.vol, [np.nan, 0.8, np.nan, np.nan])
    assert market.assets.name == ("ETH", "USDT")
    assert market.assets.id.tolist() == [0, 2]
    assert market.assets.underlying.tolist() == [0, -1]
    assert market.underlyings.mark.tolist() == [3200, 91100]
    years = 30 / 365
    np.testing.assert_allclose(market.expiries.forward, [3200 * np.exp(0.04 * years), 91500])
    from sim.reference import assess
    from sim.rulebooks import load as rulebook

    got = assess(held.only([1]), market, rulebook("derive-pmrm"))
    forward = market.expiries.forward[0]
    value = -10 * black76(forward, 3500, years, 0.65, True).price
    value -= 5 * black76(forward, 2500, years, 0.8, False).price
    assert got.equity[0] == pytest.approx(50_000 + 32_000 + 999 + value)


def test_a_csv_says_the_same(book, table):
    a, _ = load(book).value()
    b, _ = load(table).value(load_market(book))
    for name in a.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,cal,ETH,,,1,", ":2:3: unknown kind 'cal'; did you mean 'call'?"),
        ("1,call,ETH,30d,,1,", ":2:1: .*strike is missing: a call needs one"),
        ("1,call,ETH,,3000,1,", ":2:1: .*expiry is missing"),
        ("1,call,ETH,30x,3000,1,", r":2:12: .*expiry: '30x' is not a duration"),
        ("1,call,ETH,soon,3000,1,", ":2:12: .*'soon' is not a time"),
        ("1,call,ETH,2020-01-01,3000,1,", ":2:12: is not after the time of the market"),
        ("1,perp,ETC,,,1,", ":2:8: unknown underlying 'ETC'; did you mean 'ETH'?"),
        ("1,perp,,,,1,", "underlying: is missing"),
        ("1,perp,ETH,30d,,1,", ":2:12: .*a perp has no expiry"),
        ("1,cash,,,5,1,", ":2:10: cash has no strike"),
        ("1,call,ETH,30d,-3000,1,", ":2:16: .*strike: must be above 0"),
        ("1,call,ETH,30d,3000,one,", ":2:21: 'one' is not a number"),
        ("1,call,ETH,30d,3000,nan,", "'nan' is not a finite number"),
        ("1,call,ETH,30d,3000,1,-5%", ":2:23: .*vol: must be at least 0"),
        ("x,cash,,,,1,", ":2:1: 'x' is not a number"),
        ("1,cash,,,,,", ":2:11: size is empty"),
        ("1,collateral,ETHH,,,1,", ":2:14: unknown collateral asset 'ETHH'"),
        ("1,collateral,ETH,,,-1,", ":2:14: .*must be at least 0"),
        ("1,collateral,,,,1,", ":2:1: asset is missing"),
        ("1,perp,ETH,,", ":2:1: 5 cells, the header has 7"),
        ("", "a book has at least one account"),
    ],
)
def test_errors_of_a_csv_name_the_cell(book, tmp_path, row, message):
    path = tmp_path / "bad.csv"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(InputError, match=message):
        load(path).value(load_market(book))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cash: 50k USDC", "cash: 50 k USDC!", ":10:5: .*is not an amount"),
        ("size: 0.5", "sise: 0.5", "unknown key 'sise'; did you mean 'size'?"),
        ("account: 2", "account: 1", "1 appears twice"),
        ("spot: 3200", "spot: 0", "must be above 0"),
        ("ETH-BTC", "ETH-XRP", "write a pair of underlyings"),
        ("vol: 65%, ", "", ":13:9: neither it nor ETH has a vol"),
        ("collateral: {USDT: {price", "collateral: {USDT: {prise", "did you mean 'price'"),
    ],
)
def test_errors_of_a_yaml_name_the_place(tmp_path, old, new, message):
    path = tmp_path / "bad.yaml"
    assert old in BOOK
    path.write_text(BOOK.replace(old, new))
    with pytest.raises(InputError, match=message):
        load(path).value()


def test_headers_and_missing_markets(tmp_path, table):
    bad = tmp_path / "bad.csv"
    bad.write_text("account,knd,size\n")
    with pytest.raises(InputError, match=r":1:9: unknown column 'knd'; did you mean 'kind'"):
        load(bad)
    bad.write_text("account,size\n")
    with pytest.raises(InputError, match="column 'kind' is missing"):
        load(bad)
    with pytest.raises(InputError, match="there is no market in it"):
        load(table).value()
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "absent.csv")


def risk(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


QUICK = ("--scenarios", 500, "--rulebook", "house", "--rulebook", "span-16")


def test_json(book, table):
    done = risk(book, "--json", *QUICK)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert set(report["margin"]) == {"house", "span-16"}
    house = report["margin"]["house"]
    assert house["initial"] == pytest.approx(sum(a["initial"] for a in house["accounts"]))
    assert report["risk"]["methods"][0]["method"] == "delta-normal"
    assert all(m.get("value_at_risk", 1) > 0 for m in report["risk"]["methods"])
    assert report["hedge"]["within_limits"]
    assert report["greeks"]["total"]["dollar_delta"] < 0
    again = risk(table, "--market", book, "--json", *QUICK)
    other = json.loads(again.stdout)
    assert {k: v for k, v in other.items() if k != "book"} == {
        k: v for k, v in report.items() if k != "book"
    }


def test_tables_and_plot(book, tmp_path):
    picture = tmp_path / "risk.png"
    done = risk(book, "--plot", picture, "--vega-limit", 10, *QUICK)
    assert done.exit_code == 0, done.output
    for part in ("Greeks", "Margin", "house", "Monte Carlo", "Herfindahl", "Hedge", "ETH perp"):
        assert part in done.output, part
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_history(book):
    done = risk(book, "--history", "2022-11-ftx", "--horizon", "4h", "--json", *QUICK)
    assert done.exit_code == 0, done.output
    rows = {m["method"]: m for m in json.loads(done.stdout)["risk"]["methods"]}
    plain, filtered = (rows[f"{x}istorical, 2022-11-ftx"] for x in ("h", "filtered h"))
    assert plain["expected_shortfall"] >= plain["value_at_risk"] > 0
    assert filtered["value_at_risk"] > 0
    assert "moves of 4 h, overlapping" in plain["note"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--history", "2022-11-ftx", "--horizon", "5m"), "at least the interval"),
        (("--level", "1%"), "must be from 50%"),
        (("--horizon", "0s"), "must be at least 1s"),
        (("--plot", "x.foo"), "must end in .png"),
        (("--delta-limit", "-1"), "--delta-limit: must be a number of at least 0"),
        (("--rulebook", "hous"), "did you mean 'house'"),
    ],
)
def test_bad_options(book, arguments, message):
    done = CliRunner().invoke(command, [str(book), *arguments], standalone_mode=False)
    assert isinstance(done.exception, (InputError, click.BadParameter))
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,cash,EUR,,,7,", ":2:8: cash has no asset"),
        ("1,call,ETH,30d,3500,-1,80", "at most 20, got 80"),
    ],
)
def test_rows_that_would_be_misread(tmp_path, row, message):
    path = tmp_path / "book.csv"
    path.write_text(f"account,kind,asset,expiry,strike,size,vol\n{row}\n")
    with pytest.raises(InputError, match=message):
        load(path)


def test_a_column_cannot_appear_twice(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text("account,kind,size,account\n")
    with pytest.raises(InputError, match="column 'account' appears twice"):
        load(path)
