"""Listing, parameters and pause."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.feeds import BTC, DAY, ETH, HOUR, WAD, option, perpetual
from tests.contracts.harbour import INSTRUMENT, SCHEME, Harbour
from tests.evm import OWNER, Reverted

ZERO = "0x" + "0" * 40


def test_ownership_passes_in_two_steps(harbour: Harbour) -> None:
    heir = harbour.evm.address("heir")
    harbour.registry.transfer_ownership(heir)
    assert harbour.registry.owner() == OWNER
    with pytest.raises(Reverted, match="ownable: not pending owner"):
        harbour.registry.accept_ownership(sender=harbour.matcher)
    harbour.registry.accept_ownership(sender=heir)
    assert harbour.registry.owner() == heir
    harbour.liquidator.set_rule(ZERO, sender=heir)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("set_guardian", (ZERO,)),
        ("set_contracts", ((ZERO,) * 5,)),
        ("set_venue", (ZERO, False)),
        ("set_scheme", (9, ZERO, 1)),
        ("add_asset", (ZERO, 0)),
        ("set_cap", (0, 0)),
        ("list_perp", (0,)),
        ("list_series", (0, 0, [])),
        ("delist", (0,)),
        ("set_fees", ((0, 0),)),
        ("set_interest", ((0, 0, 1, 0),)),
        ("transfer_ownership", (ZERO,)),
    ],
)
def test_only_the_owner_sets(harbour: Harbour, function: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(Reverted, match="ownable: not owner"):
        getattr(harbour.registry, function)(*args, sender=harbour.matcher)


def test_the_guardian_pauses_and_only_the_owner_resumes(harbour: Harbour) -> None:
    guardian = harbour.evm.address("guardian")
    with pytest.raises(Reverted, match="registry: not allowed to pause"):
        harbour.registry.set_pause(1, sender=guardian)
    harbour.registry.set_guardian(guardian)
    assert harbour.logged("GuardianSet") == [{"guardian": guardian}]
    harbour.registry.set_pause(1, sender=guardian)
    assert harbour.logged("Paused") == [{"actor": guardian, "pause": 1}]
    harbour.registry.set_pause(3, sender=guardian)
    with pytest.raises(Reverted, match="registry: not allowed to pause"):
        harbour.registry.set_pause(1, sender=guardian)
    with pytest.raises(Reverted, match="registry: not allowed to pause"):
        harbour.registry.set_pause(0, sender=guardian)
    harbour.registry.set_pause(0)
    assert harbour.registry.paused() == 0
    assert harbour.registry.guardian() == guardian


def test_contracts_are_contracts_and_the_house_stays(harbour: Harbour) -> None:
    names = ("clearing_house", "gate", "oracle", "liquidator", "backstop")
    known = {name: getattr(harbour.registry, name)() for name in names}
    harbour.registry.set_contracts(known)
    assert harbour.logged("ContractsSet") == [known]
    for name in names:
        with pytest.raises(Reverted, match="is no contract"):
            harbour.registry.set_contracts({**known, name: harbour.matcher})
    with pytest.raises(Reverted, match="registry: clearing house is set"):
        harbour.registry.set_contracts({**known, "clearing_house": harbour.lens.address})
    harbour.registry.set_contracts({**known, "gate": harbour.lens.address})
    assert harbour.registry.gate() == harbour.lens.address


def test_venues_come_and_go(harbour: Harbour) -> None:
    assert harbour.registry.is_venue(harbour.direct.address)
    harbour.registry.set_venue(harbour.direct.address, False)
    assert not harbour.registry.is_venue(harbour.direct.address)
    assert harbour.logged("VenueSet") == [{"venue": harbour.direct.address, "allowed": False}]
    with pytest.raises(Reverted, match="registry: venue is no contract"):
        harbour.registry.set_venue(harbour.matcher, True)


def test_schemes_are_set_once(harbour: Harbour) -> None:
    engine = harbour.engine.address
    assert harbour.registry.scheme(SCHEME) == (engine, 1)
    assert harbour.registry.scheme(0) == (engine, 1)
    assert harbour.registry.scheme(5) == (ZERO, 0)
    assert harbour.registry.terms(SCHEME) == (engine, 1, harbour.oracle.address)
    harbour.registry.set_scheme(5, engine, 2)
    assert harbour.logged("SchemeSet") == [{"scheme": 5, "engine": engine, "rulebook": 2}]
    assert harbour.registry.check_scheme(5)
    assert harbour.registry.check_switch(5)
    with pytest.raises(Reverted, match="registry: scheme is set"):
        harbour.registry.set_scheme(5, engine, 3)
    with pytest.raises(Reverted, match="registry: scheme is set"):
        harbour.registry.set_scheme(0, engine, 3)
    with pytest.raises(Reverted, match="registry: scheme out of range"):
        harbour.registry.set_scheme(2**16, engine, 1)
    with pytest.raises(Reverted, match="registry: engine is no contract"):
        harbour.registry.set_scheme(6, harbour.matcher, 1)
    with pytest.raises(Reverted, match="registry: rulebook out of range"):
        harbour.registry.set_scheme(6, engine, 2**96)


def test_assets(harbour: Harbour) -> None:
    quote, weth = harbour.registry.assets()
    assert (quote.token, quote.unit) == (harbour.quote.address, 10**12)
    assert (weth.token, weth.unit, weth.cap) == (harbour.weth.address, 1, 10**6 * WAD)
    assert harbour.registry.asset(1) == weth
    token = harbour.evm.deploy("testing/MockToken.vy", "T", 8)
    harbour.registry.add_asset(token.address, WAD)
    assert harbour.logged("AssetAdded") == [
        {"asset": 2, "token": token.address, "unit": 10**10, "cap": WAD}
    ]
    harbour.registry.set_cap(2, 5)
    assert harbour.logged("CapSet") == [{"asset": 2, "cap": 5}]
    with pytest.raises(Reverted, match="registry: asset is known"):
        harbour.registry.add_asset(token.address, WAD)
    with pytest.raises(Reverted, match="registry: no such asset"):
        harbour.registry.set_cap(3, 5)
    with pytest.raises(Reverted, match="registry: no such asset"):
        harbour.registry.asset(3)
    for function, args in (
        ("set_cap", (2, 10**30 + 1)),
        ("add_asset", (harbour.lens.address, 10**30 + 1)),
    ):
        with pytest.raises(Reverted, match="registry: cap out of range"):
            getattr(harbour.registry, function)(*args)
    with pytest.raises(Reverted, match="registry: too few decimals"):
        harbour.registry.add_asset(harbour.evm.deploy("testing/MockToken.vy", "T", 5).address, WAD)
    with pytest.raises(Reverted, match="registry: too many decimals"):
        harbour.registry.add_asset(harbour.evm.deploy("testing/MockAggregator.vy", 19).address, WAD)
    for number in range(3, 8):
        token = harbour.evm.deploy("testing/MockToken.vy", "T", 18)
        assert harbour.registry.add_asset(token.address, 0) == number
    token = harbour.evm.deploy("testing/MockToken.vy", "T", 18)
    with pytest.raises(Reverted, match="registry: too many assets"):
        harbour.registry.add_asset(token.address, 0)


def test_perpetuals_are_listed_and_delisted(harbour: Harbour) -> None:
    perp = perpetual(BTC) & INSTRUMENT
    assert not harbour.registry.is_listed(perp)
    with pytest.raises(Reverted, match="registry: underlying is not listed"):
        harbour.registry.delist(BTC)
    harbour.registry.list_perp(BTC)
    assert harbour.logged("PerpListed") == [{"underlying": BTC}]
    assert harbour.registry.is_listed(perp)
    assert not harbour.registry.is_listed(perp | 5 << 8)
    assert harbour.registry.underlyings() == [ETH, BTC]
    harbour.registry.delist(BTC)
    assert harbour.logged("Delisted") == [{"underlying": BTC}]
    assert not harbour.registry.is_listed(perp)
    assert harbour.registry.underlyings() == [ETH, BTC]
    for underlying in (8, 255):
        assert not harbour.registry.is_listed(perpetual(underlying) & INSTRUMENT)
        with pytest.raises(Reverted, match="registry: underlying out of range"):
            harbour.registry.list_perp(underlying)
        with pytest.raises(Reverted, match="registry: underlying is not listed"):
            harbour.registry.delist(underlying)


def test_series_are_listed_for_both_kinds(harbour: Harbour) -> None:
    expiry = harbour.expiry + DAY
    harbour.registry.list_series(ETH, expiry, [WAD, 2 * WAD])
    harbour.registry.list_series(ETH, expiry, [2 * WAD, 3 * WAD])
    assert harbour.logged("SeriesListed") == [
        {"underlying": ETH, "expiry": expiry, "strikes": [2 * WAD, 3 * WAD]}
    ]
    assert harbour.registry.strikes(ETH, expiry) == [WAD, 2 * WAD, 3 * WAD]
    for kind in (2, 3):
        assert harbour.registry.is_listed(option(ETH, expiry, WAD, kind=kind) & INSTRUMENT)
    assert not harbour.registry.is_listed(option(ETH, expiry, 4 * WAD, kind=2) & INSTRUMENT)
    assert harbour.registry.expiries() == [harbour.expiry, expiry]
    harbour.evm.time = harbour.expiry
    assert harbour.registry.expiries() == [expiry]
    assert not harbour.registry.is_listed(harbour.call(3000))


def test_expiries_keep_their_order_and_their_number(harbour: Harbour) -> None:
    harbour.registry.list_perp(BTC)
    first = harbour.evm.time // HOUR * HOUR + HOUR
    expected = [harbour.expiry]
    for number in (5, 1, 3, 2, 4):
        harbour.registry.list_series(ETH, first + number * HOUR, [WAD])
        expected.append(first + number * HOUR)
    harbour.registry.list_series(BTC, first, [WAD])
    expected.append(BTC << 32 | first)
    assert harbour.registry.expiries() == sorted(expected)
    for number in range(6, 63):
        harbour.registry.list_series(ETH, first + number * HOUR, [WAD])
    assert len(harbour.registry.expiries()) == 64
    with pytest.raises(Reverted, match="registry: too many expiries"):
        harbour.registry.list_series(ETH, first + 100 * HOUR, [WAD])
    harbour.registry.list_series(ETH, first + HOUR, [5 * WAD])
    harbour.evm.time = first
    harbour.registry.list_series(ETH, first + 100 * HOUR, [WAD])
    assert len(harbour.registry.expiries()) == 64


def test_series_that_are_refused(harbour: Harbour) -> None:
    def list_series(**change: Any) -> None:
        series = {"underlying": ETH, "expiry": harbour.expiry, "strikes": [WAD], **change}
        harbour.registry.list_series(*series.values())

    with pytest.raises(Reverted, match="registry: underlying is not listed"):
        list_series(underlying=BTC)
    with pytest.raises(Reverted, match="registry: expiry is not a whole hour"):
        list_series(expiry=harbour.expiry + 1)
    for expiry in (harbour.evm.time // HOUR * HOUR, harbour.expiry + 3 * 365 * DAY):
        with pytest.raises(Reverted, match="registry: expiry out of range"):
            list_series(expiry=expiry)
    for strike in (0, WAD + 1):
        with pytest.raises(Reverted, match="registry: strike is not a multiple of 1e-9"):
            list_series(strikes=[strike])
    with pytest.raises(Reverted, match="registry: strike out of range"):
        list_series(strikes=[2**70 * 10**9])
    for start in range(0, 128, 32):
        list_series(expiry=harbour.expiry + DAY, strikes=[(start + i + 1) * WAD for i in range(32)])
    with pytest.raises(Reverted, match="registry: too many strikes"):
        list_series(expiry=harbour.expiry + DAY, strikes=[500 * WAD])


def test_fees_and_interest_have_bounds(harbour: Harbour) -> None:
    harbour.registry.set_fees((WAD // 100, WAD // 1000))
    assert harbour.registry.fees() == (WAD // 100, WAD // 1000)
    assert harbour.logged("FeesSet")
    for fees in ((WAD // 100 + 1, 0), (0, WAD // 1000 + 1)):
        with pytest.raises(Reverted, match="registry: fee out of range"):
            harbour.registry.set_fees(fees)
    curve = (WAD, 2 * WAD, WAD // 2, 10 * WAD)
    harbour.registry.set_interest(curve)
    assert harbour.registry.interest() == curve
    assert harbour.logged("InterestSet")
    for place in (0, 1, 3):
        with pytest.raises(Reverted, match="registry: rate out of range"):
            harbour.registry.set_interest(
                tuple(10 * WAD + 1 if i == place else x for i, x in enumerate(curve))
            )
    for kink in (0, WAD + 1):
        with pytest.raises(Reverted, match="registry: kink out of range"):
            harbour.registry.set_interest((0, 0, kink, 0))


def test_what_the_house_asks(harbour: Harbour) -> None:
    registry = harbour.registry
    assert registry.check_withdrawal()
    assert registry.check_transfer()
    assert registry.check_workout(harbour.liquidator.address)
    assert registry.check_workout(harbour.backstop.address)
    legs = [(1, harbour.perp, WAD, -WAD), (2, harbour.perp, -WAD, WAD)]
    registry.set_fees((3, 4))
    assert registry.clearance(harbour.direct.address, legs) == (True, (3, 4))
    assert registry.clearance(harbour.direct.address, []) == (True, (3, 4))
    registry.set_pause(1)
    assert registry.clearance(harbour.direct.address, legs) == (False, (3, 4))
