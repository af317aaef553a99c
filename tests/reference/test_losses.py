"""Losses: conservation to the wei, pro rata within a wei, published clearing vectors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sim.errors import InputError
from sim.reference.losses import (
    INDEX_LEAST,
    INDEX_START,
    Layer,
    Mark,
    Mutualisation,
    clearing_vector,
    default_waterfall,
    mutualise,
)

amounts = st.lists(st.integers(-(10**24), 10**27), min_size=1, max_size=12)


def test_waterfall_skips_no_layer() -> None:
    layers = [Layer("fees", 3), Layer("fund", 10), Layer("empty", -5), Layer("everyone", None)]
    assert default_waterfall(2, layers).paid == (
        ("fees", 2),
        ("fund", 0),
        ("empty", 0),
        ("everyone", 0),
    )
    result = default_waterfall(20, layers)
    assert dict(result.paid) == {"fees": 3, "fund": 10, "empty": 0, "everyone": 7}
    assert result.unpaid == 0
    assert default_waterfall(20, layers[:2]).unpaid == 7


@settings(max_examples=150, deadline=None)
@given(amounts, st.integers(0, 10**28))
def test_mutualisation_is_pro_rata_and_conserves(cash: list[int], loss: int) -> None:
    result = mutualise(cash, loss)
    positive = sum(max(c, 0) for c in cash)
    borne = min(loss, positive)
    assert result.deficit == loss - borne
    assert sum(result.haircuts) == borne + result.leftover
    assert 0 <= result.leftover <= len(cash)
    for before, after, haircut in zip(cash, result.cash, result.haircuts, strict=True):
        assert after == before - haircut
        if before <= 0:
            assert haircut == 0
            continue
        assert after >= 0
        exact = Fraction(before) * borne / positive
        # A wei, and what the index itself is rounded by.
        assert 0 <= haircut - exact <= 1 + Fraction(before, INDEX_START)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 10**26), min_size=1, max_size=6),
    st.lists(
        st.tuples(
            st.sampled_from(["loss", "most", "touch", "deposit", "withdraw", "fees"]),
            st.integers(0, 10**27),
        ),
        max_size=25,
    ),
)
def test_many_losses_and_movements_conserve(
    start: list[int], actions: list[tuple[str, int]]
) -> None:
    """Stored cash + pool - deficit changes by what comes in and goes out, and by nothing else."""
    cash = list(start)
    marks = [Mark()] * len(cash)
    books = Mutualisation(sum(cash))
    booked = sum(cash)
    for number, (action, amount) in enumerate(actions):
        who = number % len(cash)
        if action in ("loss", "most"):
            # What is lost was paid out to someone outside.
            loss = amount if action == "loss" else max(books.positive - amount % 1000, 0)
            books = books.absorb(loss)
            booked -= loss
        elif action == "fees":
            books, rest = books.repay(amount)
            booked += amount - rest
        else:
            books, settled = books.settle(cash[who], marks[who])
            moved = {"touch": 0, "deposit": amount, "withdraw": -min(amount, settled)}[action]
            books = books.change(settled, settled + moved)
            cash[who], marks[who] = settled + moved, books.mark
            booked += moved
        assert sum(cash) + books.pool - books.deficit == booked
        assert books.mark.index >= INDEX_LEAST
        worth = [books.worth(c, m) for c, m in zip(cash, marks, strict=True)]
        assert sum(worth) <= books.positive
        assert all(w >= 0 for w in worth)
    for who in range(len(cash)):
        books, cash[who] = books.settle(cash[who], marks[who])
    assert books.pool >= 0
    books, leftover = books.release()
    assert books.positive == sum(cash)
    assert leftover <= len(cash) * (len(actions) + 1)
    assert sum(cash) + leftover - books.deficit == booked


def test_several_losses_are_one_after_the_other() -> None:
    books = Mutualisation(400)
    for loss in (100, 150):
        books = books.absorb(loss)
    assert books.worth(200, Mark()) == 75
    assert books.worth(200, books.mark) == 200


def test_a_loss_of_almost_everything_keeps_shares() -> None:
    cash = 10**27
    books = Mutualisation(2 * cash).absorb(2 * cash - 4)
    assert books.mark.scale > 0
    assert books.worth(cash, Mark()) == 2
    books = books.change(0, cash)
    later = books.mark
    books = books.absorb(books.positive // 2)
    assert abs(books.worth(cash, later) - cash // 2) <= 3


def test_a_loss_of_everything_starts_anew() -> None:
    books = Mutualisation(100).absorb(130)
    assert (books.positive, books.pool, books.deficit) == (0, -100, 30)
    assert books.worth(100, Mark()) == 0
    books, settled = books.settle(100, Mark())
    assert (books.pool, settled) == (0, 0)
    books, rest = books.repay(50)
    assert (books.deficit, rest) == (0, 20)
    assert Mutualisation(0).absorb(5).deficit == 5


def test_debt_bears_nothing() -> None:
    assert mutualise([-50, 100], 30).cash == (-50, 70)
    assert Mutualisation(0).worth(-7, Mark()) == -7


def test_eisenberg_noe_chain() -> None:
    """A owes B 10 and has 4; B owes C 8 and has 1; C has nothing to lose but its claim."""
    found = clearing_vector([[0, 10, 0], [0, 0, 8], [0, 0, 0]], [4, 1, 2])
    np.testing.assert_allclose(found.payments, [4, 5, 0])
    np.testing.assert_allclose(found.equity, [0, 0, 7])
    np.testing.assert_array_equal(found.rounds, [1, 2, 0])
    np.testing.assert_allclose(found.received[0], [0, 4, 0])


def test_cycle_without_outside_assets_nets_to_zero() -> None:
    found = clearing_vector([[0, 5, 0], [0, 0, 5], [5, 0, 0]], [0, 0, 0])
    np.testing.assert_allclose(found.payments, [5, 5, 5])
    assert not found.defaulted.any()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_clearing_is_the_greatest_fixed_point(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    owed = rng.integers(0, 10, (n, n)) * (rng.random((n, n)) < 0.6) * 1.0
    np.fill_diagonal(owed, 0)
    assets = rng.integers(0, 8, n) * 1.0
    found = clearing_vector(owed, assets)
    total = owed.sum(axis=1)
    share = np.divide(owed, total[:, None], out=np.zeros_like(owed), where=total[:, None] > 0)
    has = assets + share.T @ found.payments
    np.testing.assert_allclose(found.payments, np.minimum(total, has), atol=1e-9)
    assert (found.payments[found.defaulted] < total[found.defaulted]).all()
    # No money appears: what is left is what was outside.
    assert found.equity.sum() == pytest.approx(assets.sum(), abs=1e-9)
    # The greatest one maximises the sum of payments (Eisenberg and Noe, lemma 4).
    best = linprog(
        -np.ones(n),
        A_ub=np.eye(n) - share.T,
        b_ub=assets,
        bounds=list(zip(np.zeros(n), total, strict=True)),
    )
    np.testing.assert_allclose(found.payments.sum(), -best.fun, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mutualise([1.5], 1), r"cash\[0\] = 1.5"),
        (lambda: mutualise([1], -1), "loss = -1"),
        (lambda: default_waterfall(True, []), "loss"),
        (lambda: default_waterfall(5, [Layer("fund", 1.0)]), r"layers\[0\]"),
        (lambda: Mutualisation(5).repay(-1), "fees"),
        (lambda: clearing_vector([[0, -1], [0, 0]], [1, 1]), r"liabilities\[0, 1\]"),
        (lambda: clearing_vector([[1, 0], [0, 0]], [1, 1]), r"diagonal\[0\]"),
        (lambda: clearing_vector([[0, 1], [0, 0]], [1]), "shape"),
        (lambda: clearing_vector([[0]], [np.nan]), r"assets\[0\] = nan"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()
