"""The generated constants are current, and as accurate as the contracts say they are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import mpmath as mp
import pytest

ROOT = Path(__file__).parents[2]
ONE = 2**45  # scale of the table
ERROR = 20_000_000  # of Σ|size|·(F + K) in WAD, kernel.vy


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "scripts" / "generate_tables.py"
    spec = importlib.util.spec_from_file_location("generate_tables", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def blocks(generator: ModuleType) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = generator.blocks()
    return found


def test_blocks_are_what_the_generator_writes(
    generator: ModuleType, blocks: dict[tuple[str, str], list[str]]
) -> None:
    for (file, name), lines in blocks.items():
        text = (generator.MODULES / file).read_text()
        assert generator.rewrite(text, name, lines) == text, f"{file}: {name} is stale"


def constants(lines: list[str], prefix: str) -> list[int]:
    pattern = re.compile(rf"{prefix}_\d+: constant\(int256\) = (-?\d+)")
    return [int(match[1]) for line in lines if (match := pattern.match(line))]


def test_logarithm(generator: ModuleType, blocks: dict[tuple[str, str], list[str]]) -> None:
    """Worst error of the fit over the reduced range: 4e-19."""
    fitted = constants(blocks["fixed_point.vy", "ln"], "LN")
    with mp.workdps(40):
        limit = mp.mpf(1393 - 985) / (1393 + 985)
        worst = 0
        for step in range(201):
            z = limit * step / 200
            value = z * generator.evaluate([mp.mpf(c) / 2**96 for c in fitted], z * z)
            worst = max(worst, abs(value - 2 * mp.atanh(z)))
        assert worst < mp.mpf("4e-19")


def test_exponential(generator: ModuleType, blocks: dict[tuple[str, str], list[str]]) -> None:
    """Worst relative error of the fit over one octave: 2.7e-19."""
    fitted = constants(blocks["fixed_point.vy", "exp"], "EXP")
    with mp.workdps(40):
        worst = 0
        for step in range(-100, 101):
            r = mp.log(2) / 2 * step / 100
            t = generator.evaluate([mp.mpf(c) / 2**96 for c in fitted], r * r)
            worst = max(worst, abs((t + r) / (t - r) / mp.exp(r) - 1))
        assert worst < mp.mpf("2.7e-19")


def test_mills_ratio(generator: ModuleType, blocks: dict[tuple[str, str], list[str]]) -> None:
    """Worst error of N(-a) = R(a)·exp(-a²/2): 2.2e-17."""
    lines = blocks["black76.vy", "mills"]
    top, bottom = constants(lines, "MILLS_P"), constants(lines, "MILLS_Q")
    with mp.workdps(40):
        worst = 0
        for step in range(401):
            a = generator.MILLS_LIMIT * step / 400
            fraction = generator.evaluate(top, a) / generator.evaluate(bottom, a)
            worst = max(worst, abs(fraction * mp.exp(-a * a / 2) - mp.ncdf(-a)))
        assert worst < mp.mpf("2.2e-17")


def field(word: int, bits: int) -> int:
    """The low bits as a signed number: (word << 256 - bits) >> 256 - bits on int256."""
    low = word % 2**bits
    return low - 2**bits if low >= 2 ** (bits - 1) else low


def piece(word: int, u: int) -> int:
    """The kernel's Horner scheme, integer by integer; u in Q40."""
    value = field(word, 40) * u + field(word, 80)
    value = value * u + field(word, 120)
    value = value * u + word % 2**160
    return (value * u + word) >> 160


def test_table_is_within_the_error_that_callers_subtract(
    blocks: dict[tuple[str, str], list[str]],
) -> None:
    """The proof behind kernel.ERROR.

    The error of a quartic that interpolates at five nodes swings at most six times over its piece,
    so 65 samples see its maximum to better than 1 %; ERROR leaves 5 %. To it come
    - the resolution of both arguments, 2**-40 of a piece each, and of the sums, 2**-45;
    - N beyond the table, where the least width matters too;
    - logarithms: x and the move, off by less than 2**-59 together, shift both arguments of N by
      δ = 2**-59/v. F·φ(d1) = K·φ(d2), so the value changes by less than ½·δ²·F·φ(0)·v;
    - v, off by less than 1e-13 (test_math_modules.py) and its own 2**-64, times vega over F.
    """
    table = [int(line.strip().rstrip(",")) for line in blocks["kernel.vy", "normal"]]
    assert len(table) == 256
    with mp.workdps(30):
        worst = mp.mpf(0)
        for i, word in enumerate(table):
            # The outer pieces, where N is all but constant, need no more than a few.
            for step in range(0, 65, 1 if 64 <= i < 192 else 8):
                u = min(step * 2**34, 2**40 - 1)
                exact = mp.ncdf(mp.mpf(i * 2**40 + u) / 2**44 - 8)
                worst = max(worst, abs(mp.mpf(piece(word, u)) / ONE - exact))
        assert worst < mp.mpf("1.88e-11")
        arithmetic = mp.npdf(0) / 16 / 2**40 * 2 + mp.mpf(1) / ONE
        least_width = mp.mpf(2) ** -40
        logarithms = (mp.mpf(2) ** -59 / least_width) ** 2 / 2 * mp.npdf(0) * least_width
        deviation = (mp.mpf("1e-13") + mp.mpf(2) ** -64) * mp.npdf(0)
        inherited = logarithms + deviation
        assert inherited < mp.mpf("1e-13")
        # At the least width an option is off by what it would be worth at the money.
        total = worst * mp.mpf("1.01") + arithmetic + inherited + least_width * mp.npdf(0)
        assert total + mp.ncdf(-8) < mp.mpf(ERROR) / 10**18
