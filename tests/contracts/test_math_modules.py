"""Logarithm, exponential, SVI, matrices and position words, at their stated bounds."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.chain_books import position, surface
from tests.evm import Contract, Evm, Reverted

Q96 = 2**96
WAD = 10**18
EVM = Evm()


@pytest.fixture(scope="module", params=[False, True], ids=["legacy", "venom"])
def probe(request: pytest.FixtureRequest) -> Contract:
    """Both code generators have to give the same, right answers."""
    return EVM.deploy("testing/MathProbe.vy", venom=request.param)


positive = st.one_of(
    st.integers(1, 2**144 - 1), st.integers(0, 143).map(lambda bits: 2**bits), st.integers(1, 1000)
)


@given(a=positive, b=positive)
@settings(max_examples=150, deadline=None)
def test_logarithm(probe: Contract, a: int, b: int) -> None:
    with mp.workdps(60):
        error = abs(mp.mpf(probe.ln_ratio(a, b)) / Q96 - mp.log(mp.mpf(a) / b))
    assert error < mp.mpf("4e-19") + mp.mpf(150) / Q96


@given(x=st.one_of(st.integers(-(2**103), 2**102), st.integers(-Q96, Q96)))
@settings(max_examples=150, deadline=None)
def test_exponential(probe: Contract, x: int) -> None:
    with mp.workdps(60):
        want = mp.exp(mp.mpf(x) / Q96)
        error = abs(mp.mpf(probe.exp(x)) / Q96 - want)
    assert error <= want * mp.mpf("2.7e-19") + mp.mpf(2) / Q96


def test_exponential_far_below_is_zero(probe: Contract) -> None:
    for x in (-(2**103), -(2**120), -(2**150) + 1):
        assert probe.exp(x) == 0


SEEDS = [0, 1, *(2**k + d for k in (8, 16, 24) for d in (-1, 0, 1)), 2**32 - 1]


@given(seconds=st.one_of(st.sampled_from(SEEDS), st.integers(0, 2**32 - 1)))
@settings(max_examples=150, deadline=None)
def test_root_of_years(probe: Contract, seconds: int) -> None:
    with mp.workdps(60):
        want = mp.sqrt(mp.mpf(seconds) / 31_536_000)
        error = abs(mp.mpf(probe.root_years(seconds)) / Q96 - want)
    assert error <= want * mp.mpf("1.1e-23") + mp.mpf(2) / Q96


@given(a=st.one_of(st.integers(0, 9 * Q96), st.integers(0, 834 * Q96)))
@settings(max_examples=150, deadline=None)
def test_mills_ratio(probe: Contract, a: int) -> None:
    """N(-a) is right to 2.3e-17, beyond the fitted range too, where R itself is right to 1 %."""
    with mp.workdps(60):
        x = mp.mpf(a) / Q96
        want = mp.erfc(x / mp.sqrt(2)) / 2 * mp.exp(x * x / 2)
        error = abs(mp.mpf(probe.mills(a)) / Q96 - want)
        assert error * mp.exp(-x * x / 2) < mp.mpf("2.3e-17")
        assert error < want / 100


@given(
    a=st.integers(-(10**10), 10**12),
    b=st.integers(0, 2**47),
    rho=st.integers(-(10**9) + 1, 10**9 - 1),
    m=st.integers(-5 * 10**9, 5 * 10**9),
    sigma=st.integers(1, 5 * 10**9),
    tau=st.integers(1, 2**32 - 1),
    k=st.integers(-20 * Q96, 20 * Q96),
    seconds=st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_svi(probe: Contract, k: int, seconds: int, **parameters: int) -> None:
    a, b, rho, m, sigma, tau = (parameters[n] for n in ("a", "b", "rho", "m", "sigma", "tau"))
    word = (
        tau | sigma << 32 | (m % 2**40) << 72 | (rho % 2**32) << 112 | b << 144 | (a % 2**48) << 192
    )
    with mp.workdps(60):
        y = mp.mpf(k) / Q96 - mp.mpf(m) / 10**9
        s = mp.mpf(sigma) / 10**9
        want = mp.mpf(a) / 10**12 + mp.mpf(b) / 10**12 * (
            mp.mpf(rho) / 10**9 * y + mp.sqrt(y * y + s * s)
        )
        got = mp.mpf(probe.total_variance(word, k)) / Q96
        assert abs(got - max(want, 0)) < mp.mpf("1e-26") * (1 + b)
        deviation = mp.mpf(probe.deviation(word, k, seconds)) / Q96
        assert abs(deviation - mp.sqrt(got * seconds / tau)) < mp.mpf("1e-13")


def test_surface_fields(probe: Contract) -> None:
    word = surface(0.01, 0.1, -0.3, 0.05, 0.3, 86_400)
    want = 0.01 + 0.1 * (-0.3 * (0.2 - 0.05) + np.hypot(0.2 - 0.05, 0.3))
    assert probe.total_variance(word, int(0.2 * Q96)) / Q96 == pytest.approx(want, rel=1e-15)


@given(
    underlying=st.integers(0, 255),
    expiry=st.integers(0, 2**32 - 1),
    strike=st.integers(0, 2**88 - 1),
    kind=st.integers(0, 255),
    size=st.integers(-(2**95), 2**95 - 1),
)
@settings(max_examples=60, deadline=None)
def test_position_words(probe: Contract, **fields: int) -> None:
    word = probe.pack(*fields.values())
    assert word == position(*fields.values())
    assert probe.unpack(word) == (*fields.values(), word % 2**160)


@pytest.mark.parametrize(
    "fields",
    [
        (256, 0, 0, 1, 1), (0, 2**32, 0, 1, 1), (0, 0, 2**88, 1, 1), (0, 0, 0, 256, 1),
        (0, 0, 0, 1, 2**95), (0, 0, 0, 1, -(2**95) - 1),
    ],
)  # fmt: skip
def test_position_fields_that_do_not_fit(probe: Contract, fields: tuple[int, ...]) -> None:
    with pytest.raises(Reverted, match="position: "):
        probe.pack(*fields)


@given(data=st.data(), size=st.integers(1, 8), rank=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_semidefinite_matrices_pass_at_any_rank(
    probe: Contract, data: st.DataObject, size: int, rank: int
) -> None:
    rows = data.draw(
        st.lists(
            st.lists(st.integers(-9, 9), min_size=rank, max_size=rank), min_size=size, max_size=size
        )
    )
    factor = np.array(rows, dtype=object)
    product = factor @ factor.T
    largest = max(1, max(product.diagonal()))
    entries: list[Any] = [int(x * WAD // largest) for x in product.ravel()]
    probe.check_matrix(entries, size)


@given(size=st.integers(2, 8), bad=st.integers(0, 6), depth=st.integers(1, 10**6))
@settings(max_examples=40, deadline=None)
def test_indefinite_matrices_fail(probe: Contract, size: int, bad: int, depth: int) -> None:
    """An eigenvalue of -2e-6 or less, in any 2 x 2 block, is found."""
    i = min(bad, size - 2)
    entries = [WAD * (row == column) for row in range(size) for column in range(size)]
    entries[i * size + i + 1] = entries[(i + 1) * size + i] = WAD + 2 * depth * 10**12
    with pytest.raises(Reverted, match="not positive semidefinite"):
        probe.check_matrix(entries, size)


def test_a_zero_pivot_needs_a_zero_column(probe: Contract) -> None:
    probe.check_matrix([0, 0, 0, WAD], 2)
    with pytest.raises(Reverted, match="not positive semidefinite"):
        probe.check_matrix([0, WAD // 10, WAD // 10, WAD], 2)
    with pytest.raises(Reverted, match="not symmetric"):
        probe.check_matrix([WAD, 1, 0, WAD], 2)
    with pytest.raises(Reverted, match="entry too large"):
        probe.check_matrix([101 * WAD], 1)
    with pytest.raises(Reverted, match="matrix: size"):
        probe.check_matrix([WAD], 2)
