"""Books and markets: what they refuse, and what they can be turned into."""

import subprocess
import sys

import numpy as np
import pytest

from sim.errors import InputError
from sim.reference import CALL, PERP, Assets, Book, Expiries, Market, Underlyings


def test_a_book_of_lists():
    book = Book.of([3, 1], cash=[1, 2], account=[1, 3, 3], kind=[PERP, CALL, CALL],
                   expiry=[0, 100, 100], strike=[0, 10, 20], size=[1, -2, 3])  # fmt: skip
    assert book.row.tolist() == [1, 0, 0]
    assert book.cash.dtype == np.float64
    assert book.only([1]).size.tolist() == [1]
    assert book.positions(book.is_option).size.tolist() == [-2, 3]
    assert book.merged(9).cash.tolist() == [3]
    after = book.traded(account=[1], underlying=0, kind=PERP, size=[2.0], price=3.0)
    assert after.cash.tolist() == [1, -4]
    assert after.size.tolist() == [1, -2, 3, 2]
    with pytest.raises(ValueError, match="read-only"):
        book.cash[0] = 5


def test_rows_of_one_series_net():
    book = Book.of(
        [1, 2],
        account=[1, 1, 2, 1, 1, 1],
        kind=[CALL, CALL, CALL, PERP, PERP, CALL],
        expiry=[9, 9, 9, 0, 0, 9],
        strike=[5, 5, 5, 100, 110, 5],
        size=[5, -2, 7, 1, 1.5, 1],
        vol=[np.nan, np.nan, np.nan, np.nan, np.nan, 0.5],
    )
    net = book.netted()
    rows = sorted(zip(net.account, net.kind, net.vol, net.size, strict=True), key=str)
    assert len(rows) == 4
    assert sorted(net.size) == [1, 2.5, 3, 7]
    assert net.netted() is net


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accounts": [1, 1]}, r"Book.accounts\[1\] = 1: an id appears twice"),
        ({"cash": [np.nan]}, r"Book.cash\[0\] = nan"),
        ({"size": [1.0, np.inf]}, r"Book.size\[1\] = inf"),
        ({"account": [0, 5], "size": [1, 1]}, r"Book.account\[1\] = 5"),
        ({"kind": [1, 4], "size": [1, 1]}, r"Book.kind\[1\] = 4: allowed are 1 perp, 2 call"),
        ({"kind": 2, "size": [1]}, r"Book.expiry\[0\] = 0"),
        ({"kind": 1, "expiry": 5, "size": [1]}, r"Book.expiry\[0\] = 5: allowed are 0 for a perp"),
        ({"strike": [-1], "size": [1]}, r"Book.strike\[0\] = -1"),
        ({"vol": [-0.1], "size": [1]}, r"Book.vol\[0\] = -0.1"),
        ({"underlying": [0.5], "size": [1]}, r"Book.underlying\[0\] = 0.5: .* whole numbers"),
        ({"strike": [1, 2], "size": [1]}, r"Book.strike: shape \(2,\), expected \(1,\)"),
        ({"assets": [1, 0], "holdings": [[1, 1]]}, r"Book.assets\[1\]: .* ascending"),
        ({"assets": [0], "holdings": [[1, 1]]}, r"Book.holdings: shape \(1, 2\)"),
        ({"assets": [0], "holdings": [[-1]]}, r"Book.holdings\[0, 0\] = -1"),
    ],
)
def test_a_book_refuses(change, message):
    with pytest.raises(InputError, match=message):
        Book.of(**change)


def test_a_market_refuses():
    with pytest.raises(InputError, match=r"underlyings.spot\[1\] = 0"):
        Underlyings([0, 1], [1.0, 0.0])
    with pytest.raises(InputError, match=r"underlyings.id\[1\]"):
        Underlyings([1, 0], [1.0, 1.0])
    with pytest.raises(InputError, match=r"spot_confidence = 1\.5"):
        Underlyings([0], [1.0], spot_confidence=1.5)
    with pytest.raises(InputError, match=r"expiries\[1\]"):
        Expiries([0, 0], [5, 5], [1.0, 1.0])
    with pytest.raises(InputError, match=r"expiries.a\[0\]"):
        Expiries([0], [5], [1.0], a=-1.0, b=0.1, rho=0.0, m=0.0, sigma=0.1)
    with pytest.raises(InputError, match=r"expiries.sigma\[0\] = nan"):
        Expiries([0], [5], [1.0], a=0.1, b=0.1, rho=0.0, m=0.0)
    with pytest.raises(InputError, match=r"expiries.forward_variable\[0\]"):
        Expiries([0], [5], [0.0])
    with pytest.raises(InputError, match=r"assets.underlying\[0\] = 3"):
        Market.of(1, Underlyings([0], [1.0]), assets=Assets([0], [1.0], 3))
    with pytest.raises(InputError, match=r"Market\.stable = 0"):
        Market.of(1, Underlyings([0], [1.0]), stable=0.0)


def test_mark_and_name_have_defaults():
    u = Underlyings([4], [7.0])
    assert u.mark.tolist() == [7.0]
    assert u.name == ("#4",)


def test_the_package_is_light():
    """`import sim.reference` loads no chain, no compiler and no compiled kernels."""
    code = (
        "import sys, sim.reference as r; r.Book; r.black76; r.assess;"
        "heavy = {'web3', 'ape', 'vyper', 'numba', 'pandas', 'pyrevm'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves():
    import sim.reference as reference

    for name in reference._MODULE:
        assert getattr(reference, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'blck76'"):
        reference.blck76  # noqa: B018
