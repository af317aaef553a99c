"""Margins are proportional, as IRiskEngine says and the liquidator relies on.

A bid asks the engine once, about the account before it. What the bid leaves and what it takes must
then be worth at least, and be asked for at most, their part of these figures, up to what rounding
sizes to whole units may come to.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from sim import rulebooks
from tests.contracts.chain_books import T0, WAD, long_only, random_case
from tests.contracts.test_scenario_engine import on_chain
from tests.evm import OWNER, Contract, Evm

EVM = Evm(T0)


def _engine(path: str, *helpers: str) -> Contract:
    return EVM.deploy(path, OWNER, *(EVM.deploy(helper).address for helper in helpers))


SCENARIO = _engine(
    "engines/ScenarioEngine.vy", "engines/ScenarioKernel.vy", "engines/ScenarioRules.vy"
)
ENGINES = {
    "house": SCENARIO,
    "derive-pmrm": SCENARIO,
    "sensitivity": _engine("engines/SensitivityEngine.vy", "engines/SensitivityKernel.vy"),
    "ltv": _engine("engines/LtvEngine.vy"),
}
NUMBERS = {name: number for number, name in enumerate(ENGINES, start=1)}
for _name, _contract in ENGINES.items():
    _contract.publish(NUMBERS[_name], rulebooks.load(_name).as_wad(), T0, 0)


def size(word: int) -> int:
    return (word >> 160) - (2**96 if word >> 255 else 0)


def resized(word: int, units: int) -> int:
    return word & (2**160 - 1) | units % 2**96 << 160


def toward_zero(amount: int, fraction: int) -> int:
    part = abs(amount) * fraction // WAD
    return part if amount >= 0 else -part


def split(book: Any, fraction: int) -> tuple[Any, Any]:
    """The part that a bid takes of a book, and the rest."""
    cash, unsettled, holdings, words = book
    taken = [resized(word, toward_zero(size(word), fraction)) for word in words]
    assert all(map(size, taken))
    left = [resized(w, size(w) - size(t)) for w, t in zip(words, taken, strict=True)]
    money = toward_zero(cash + unsettled, fraction)
    tokens = [(asset, amount * fraction // WAD) for asset, amount in holdings]
    kept = [(a, all_of - t) for (a, all_of), (_, t) in zip(holdings, tokens, strict=True)]
    return (money, 0, tokens, taken), (cash + unsettled - money, 0, kept, left)


def dust(book: Any, market: Any) -> int:
    """What `Gate.appraise` allows for the rounding of a book of tokens of 18 decimals."""
    _, _, holdings, words = book
    _, _, stable, underlyings, expiries, assets, _ = market
    marks = {each[0]: each[3] for each in underlyings}
    forwards = {
        terms >> 216: ((terms & 2**72 - 1) + (terms >> 72 & 2**72 - 1)) * 10**9
        for terms, _ in expiries
    }
    price = {each[0]: each[2] for each in assets}
    total = 0
    for word in words:
        if word & 255 == 1:
            total += marks[word >> 128 & 255]
        else:
            total += forwards[word >> 96 & 2**40 - 1] + (word >> 8 & 2**88 - 1) * 10**9
    tokens = sum(price[asset] // stable + 1 for asset, _ in holdings)
    return 2 * total // 10**9 + len(words) + 4 + int(tokens)


@pytest.mark.parametrize("name", ENGINES)
def test_a_part_of_an_account_is_that_part_of_its_margins(name: str) -> None:
    rng = random.Random(name)
    engine, number = ENGINES[name], NUMBERS[name]
    for _ in range(60):
        case, prices = random_case(
            rng, rng.choice([1, 3, 8, 16]), rng.choice([1, 1, 2, 4]), rng.choice([1, 3])
        )
        book, market = on_chain(long_only(case) if rng.random() < 0.2 else case, prices)
        if not book[3]:
            continue
        equity, initial, maintenance = engine.margins(book, market, number)
        fraction = rng.randrange(WAD // 100, WAD)
        part, rest = split(book, fraction)
        spare = dust(book, market)
        for piece, share in ((part, fraction), (rest, WAD - fraction)):
            worth, wanted, needed = engine.margins(piece, market, number)
            assert abs(worth - equity * share // WAD) <= spare
            assert wanted <= initial * share // WAD + 1 + spare
            assert needed <= maintenance * share // WAD + 1 + spare
