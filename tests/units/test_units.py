"""Quantities in and out: parsed as people write them, rounded as the chain needs them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import units


@pytest.mark.parametrize(
    ("text", "value"),
    [("5%", 0.05), ("-35%", -0.35), ("30bp", 0.003), (0.8, 0.8), ("0.8", 0.8), ("1_000", 1000.0)],
)
def test_ratio(text, value):
    assert units.parse_ratio(text) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("15m", 900), ("2h", 7200), ("1.5h", 5400), ("3d", 259_200), (90, 90)],
)
def test_duration(text, seconds):
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500k USDC", 5e5), ("2.5m", 2.5e6), ("1bn USD", 1e9), ("0 USDC", 0.0), (12, 12.0)],
)
def test_money(text, amount):
    assert units.parse_money(text) == amount


def test_rate_and_time():
    assert units.parse_rate("12/y") == 12
    assert units.parse_rate("1/d") == 365
    assert units.parse_time("2020-03-11T00:00:00Z") == 1_583_884_800
    assert units.utc(1_583_884_800) == "2020-03-11 00:00:00"


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_ratio, "5 apples"),
        (units.parse_duration, "5%"),
        (units.parse_duration, "0.3s"),
        (units.parse_duration, True),
        (units.parse_money, "k500"),
        (units.parse_rate, "12/month"),
        (units.parse_time, "yesterday"),
        (units.parse_time, "2020-03-11T00:00:00.5Z"),
    ],
)
def test_what_is_not_a_quantity_is_refused_with_the_text(parse, text):
    with pytest.raises(ValueError, match=str(text).split(".")[0]):
        parse(text)


@pytest.mark.parametrize("text", ["98%", "0.3%", "0.1", "0.0007", "1e-18"])
def test_what_was_written_reaches_the_chain(text):
    scale = 100 if text.endswith("%") else 1
    assert units.to_wad(units.parse_ratio(text)) * scale == Fraction(text.rstrip("%")) * units.WAD


@given(st.floats(-1e12, 1e12))
def test_wad_is_the_nearest_integer_of_the_printed_float(value):
    exact = Fraction(repr(value)) * units.WAD
    assert abs(units.to_wad(value) - exact) <= Fraction(1, 2)
    assert units.to_quanta(value) % units.QUANTUM == 0
    assert abs(units.to_quanta(value) - exact) <= Fraction(units.QUANTUM, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_only_finite_numbers_reach_the_chain(value):
    with pytest.raises(ValueError, match="finite"):
        units.to_wad(value)


def test_tokens_are_rounded_toward_zero():
    assert units.to_token(1.9999999, 6) == 1_999_999
    assert units.to_token(-1.9999999, 6) == -1_999_999


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.5, "1,234.50"), (18_500.0, "18.5k"), (2.5e6, "2.5m"), (-3e9, "-3bn")],
)
def test_money_for_people(value, text):
    assert units.money(value) == text


@pytest.mark.parametrize("text", ["5 EUR", "500k ETH", "1m WBTC"])
def test_amounts_are_in_the_quote_currency(text):
    with pytest.raises(ValueError, match="amounts are in USDC"):
        units.parse_money(text)
    assert units.parse_money("5 EUR", "EUR") == 5


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_money, "1e400 USDC"),
        (units.parse_ratio, "1e400%"),
        (units.parse_rate, "1e400/y"),
        (units.parse_duration, "1e99999999s"),
    ],
)
def test_numbers_beyond_floats_are_refused(parse, text):
    with pytest.raises(ValueError, match=r"too large|not a duration"):
        parse(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999_999, "1m"),
        (99_950, "100k"),
        (1e15, "1,000,000bn"),
        (-54_321, "-54.3k"),
        (-0.0, "0"),
        (-0.001, "0"),
        (9_999.5, "9,999.50"),
    ],
)
def test_amounts_are_scaled_after_rounding(value, text):
    assert units.money(value) == text
