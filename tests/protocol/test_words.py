"""Packed words decode to what was packed, here and on chain."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.protocol import words

SIZES = st.integers(-(10**15), 10**15).filter(bool).map(lambda n: n / 1e9)
STRIKES = st.integers(1, 10**15).map(lambda n: n / 1e9)


@settings(max_examples=200)
@given(st.integers(0, 7), st.sampled_from([2, 3]), st.integers(1, 2**32 - 1), STRIKES, SIZES)
def test_position_round_trip(underlying, kind, expiry, strike, size):
    instrument = words.instrument(underlying, kind, expiry, strike)
    decoded = words.decode_positions(words.of_integers([words.position(instrument, size)]))
    assert decoded.underlying[0] == underlying
    assert decoded.kind[0] == kind
    assert decoded.expiry[0] == expiry
    assert decoded.strike[0] == strike
    assert decoded.size[0] == size


def test_words_sort_by_underlying_expiry_strike_kind():
    series = [(u, k, e, s) for u in (0, 1) for e in (100, 200) for s in (1.0, 2.0) for k in (2, 3)]
    packed = [words.instrument(*item) for item in series]
    assert packed == sorted(packed)


def test_terms_and_surface_fields():
    terms = 5 | 7 << 72 | ((-3) & (1 << 40) - 1) << 144 | 10**9 << 184 | 1_600_000_000 << 216
    terms |= 4 << 248
    found = words.decode_terms([terms])
    assert found["underlying"][0] == 4
    assert found["time"][0] == 1_600_000_000
    assert found["forward_variable"][0] == 5e-9
    assert found["forward_fixed"][0] == 7e-9
    assert found["rate"][0] == -3e-10
    assert found["confidence"][0] == 1.0
    minus = (1 << 48) - 1
    surface = 60 | 11 << 32 | ((-9) & (1 << 40) - 1) << 72 | ((-5 * 10**8) & (1 << 32) - 1) << 112
    surface |= 13 << 144 | minus << 192
    found = words.decode_surfaces([surface])
    assert found["tau"][0] == 60
    assert found["sigma"][0] == 11e-9
    assert found["m"][0] == -9e-9
    assert found["rho"][0] == -0.5
    assert found["b"][0] == 13e-12
    assert found["a"][0] == -1e-12


def test_no_words():
    assert np.array_equal(words.decode_positions(words.limbs(b"")).size, np.zeros(0))
