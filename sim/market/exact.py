"""Elementary functions that give the same bits on every machine.

The C library's and numpy's ``exp``, ``log`` and ``pow`` differ between processors in the last bit,
and so do reductions by BLAS. Everything that can reach the chain is computed here instead, from
IEEE 754 ``+ - * /`` and ``sqrt`` alone, which are correctly rounded everywhere, in a fixed order.

Functions take float64 arrays of any shape (or floats) and return float64 arrays of that shape.
Errors are a few units in the last place: deterministic, not correctly rounded.
"""

from __future__ import annotations

from math import factorial

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.ArrayLike

_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # 32 bits: k * _LN2_HIGH is exact for |k| < 2**20
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_INV_LN2 = float.fromhex("0x1.71547652b82fep+0")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")

_EXP_SERIES = tuple(1.0 / factorial(n) for n in range(14, 1, -1))
_LOG_SERIES = tuple(2.0 / (2 * n + 1) for n in range(11, 0, -1))


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Horner's rule, highest power first."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def exp(x: Floats) -> Array:
    """e to the power x; relative error below 2 units in the last place, +inf above 709.78."""
    x = np.asarray(x, dtype=np.float64)
    clipped = np.minimum(np.maximum(x, -746.0), 710.0)
    k = np.rint(clipped * _INV_LN2)
    r = (clipped - k * _LN2_HIGH) - k * _LN2_LOW
    value = 1.0 + (r + r * r * _polynomial(_EXP_SERIES, r))
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(value, k.astype(np.int32)))


def log(x: Floats) -> Array:
    """Natural logarithm of x > 0; relative error below 2 units in the last place.

    Raises
    ------
    ValueError
        An element is not a positive finite number.
    """
    x = np.asarray(x, dtype=np.float64)
    if not np.all((x > 0.0) & (x < np.inf)):
        raise ValueError("logarithm of a number that is not positive and finite")
    mantissa, exponent = np.frexp(x)
    low = mantissa < _SQRT_HALF
    mantissa = np.where(low, 2.0 * mantissa, mantissa)
    k = np.where(low, exponent - 1, exponent).astype(np.float64)
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = np.asarray(s * s, dtype=np.float64)
    # log(1 + f) = 2 atanh(s) = f - s (f - series), and f is exact.
    small = k * _LN2_LOW - s * (f - z * _polynomial(_LOG_SERIES, z))
    return np.asarray(k * _LN2_HIGH + (f + small))


# Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics
# 37 (1988), PPND16; highest power first.
_CENTRE = (
    (
        2509.0809287301226727,
        33430.575583588128105,
        67265.770927008700853,
        45921.953931549871457,
        13731.693765509461125,
        1971.5909503065514427,
        133.14166789178437745,
        3.387132872796366608,
    ),
    (
        5226.495278852545925,
        28729.085735721942674,
        39307.89580009271061,
        21213.794301586595867,
        5394.1960214247511077,
        687.1870074920579083,
        42.313330701600911252,
        1.0,
    ),
)
_MIDDLE = (
    (
        7.7454501427834140764e-4,
        0.0227238449892691845833,
        0.24178072517745061177,
        1.27045825245236838258,
        3.64784832476320460504,
        5.7694972214606914055,
        4.6303378461565452959,
        1.42343711074968357734,
    ),
    (
        1.05075007164441684324e-9,
        5.475938084995344946e-4,
        0.0151986665636164571966,
        0.14810397642748007459,
        0.68976733498510000455,
        1.6763848301838038494,
        2.05319162663775882187,
        1.0,
    ),
)
_TAIL = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        0.0012426609473880784386,
        0.026532189526576123093,
        0.29656057182850489123,
        1.7848265399172913358,
        5.4637849111641143699,
        6.6579046435011037772,
    ),
    (
        2.04426310338993978564e-15,
        1.4215117583164458887e-7,
        1.8463183175100546818e-5,
        7.868691311456132591e-4,
        0.0148753612908506148525,
        0.13692988092273580531,
        0.59983220655588793769,
        1.0,
    ),
)


def normal_quantile(p: Floats) -> Array:
    """Inverse of the standard normal distribution function; p strictly between 0 and 1.

    Relative error about 1e-15 (AS 241, PPND16).
    """
    p = np.asarray(p, dtype=np.float64)
    if not np.all((p > 0.0) & (p < 1.0)):
        raise ValueError("normal quantile of a probability that is not strictly between 0 and 1")
    q = p - 0.5
    r = 0.180625 - q * q
    centre = q * _polynomial(_CENTRE[0], r) / _polynomial(_CENTRE[1], r)
    tail = np.sqrt(-log(np.minimum(p, 1.0 - p)))
    middle = _polynomial(_MIDDLE[0], tail - 1.6) / _polynomial(_MIDDLE[1], tail - 1.6)
    far = _polynomial(_TAIL[0], tail - 5.0) / _polynomial(_TAIL[1], tail - 5.0)
    outer = np.where(tail <= 5.0, middle, far)
    return np.asarray(np.where(np.abs(q) <= 0.425, centre, np.where(q < 0.0, -outer, outer)))


def uniforms(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Array:
    """Uniform draws strictly between 0 and 1: odd multiples of 2**-53."""
    words = rng.integers(0, 2**52, size=shape, dtype=np.uint64)
    return np.asarray((words.astype(np.float64) + 0.5) * 2.0**-52)


def normals(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Array:
    """Standard normal draws by inversion, one uniform each."""
    return normal_quantile(uniforms(rng, shape))


_GAMMA_TRIES = 24  # of which each is taken with a probability above 0.95


def chi_squares(rng: np.random.Generator, dof: float, count: int) -> Array:
    """Draws of chi-square with any `dof` > 0, (count,), each from the same number of uniforms.

    Twice a gamma variate of shape dof/2: Marsaglia and Tsang, "A simple method for generating gamma
    variables", ACM Transactions on Mathematical Software 26 (2000), with their power of a uniform
    where the shape is below 1. That no try is taken has a probability below 1e-31.
    """
    shape = 0.5 * dof
    boosted = shape if shape >= 1.0 else shape + 1.0
    draws = uniforms(rng, (count, 2 * _GAMMA_TRIES + 1))
    d = boosted - 1.0 / 3.0
    x = normal_quantile(draws[:, :_GAMMA_TRIES])
    root = 1.0 + x / np.sqrt(9.0 * d)
    v = np.where(root > 0.0, root * root * root, 1.0)
    bound = 0.5 * x * x + d * (1.0 - v + log(v))
    taken = (root > 0.0) & (log(draws[:, _GAMMA_TRIES:-1]) < bound)
    first = np.argmax(taken, axis=1)
    gamma = d * v[np.arange(count), first]
    if shape < 1.0:
        gamma = gamma * exp(log(draws[:, -1]) / shape)
    return np.asarray(2.0 * gamma)


def normal_cdf(x: Floats) -> Array:
    """Standard normal distribution function; absolute error below 1e-15, relative 1e-13 to x = −8.

    Series about 0 inside |x| < 3.5, Laplace's continued fraction outside (Abramowitz and Stegun
    26.2.10 and 26.2.14).
    """
    x = np.asarray(x, dtype=np.float64)
    size = np.minimum(np.abs(x), 40.0)
    density = exp(-0.5 * size * size) * 0.3989422804014327
    inner = np.minimum(size, 3.5)
    term = inner.copy()
    series = inner.copy()
    for n in range(1, 60):
        term = term * (inner * inner) / (2 * n + 1)
        series = series + term
    outer = np.maximum(size, 3.5)
    fraction = outer
    for n in range(60, 0, -1):
        fraction = outer + n / fraction
    upper = np.where(size < 3.5, 0.5 - density * series, density / fraction)
    return np.asarray(np.where(x > 0.0, 1.0 - upper, upper))


def log_gamma(x: float) -> float:
    """Logarithm of the gamma function for x > 0: Stirling's series after a shift to x ≥ 12."""
    shift = 0.0
    while x < 12.0:
        shift += float(log(x))
        x += 1.0
    inverse = 1.0 / x
    square = inverse * inverse
    series = inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    )
    return (x - 0.5) * float(log(x)) - x + 0.9189385332046727 + series - shift


def student_density(x: Floats, dof: float) -> Array:
    """Density of Student's t with `dof` degrees of freedom."""
    x = np.asarray(x, dtype=np.float64)
    constant = log_gamma(0.5 * dof + 0.5) - log_gamma(0.5 * dof) - 0.5 * float(log(dof * np.pi))
    return exp(constant - 0.5 * (dof + 1.0) * log(1.0 + x * x / dof))


def student_cdf(x: Floats, dof: float) -> Array:
    """Student's t distribution function; relative error of either tail about 1e-12.

    Half the regularised incomplete beta function I_{ν/(ν+x²)}(ν/2, 1/2), by the continued fraction
    of Abramowitz and Stegun 26.5.8 on whichever side it converges fast.
    """
    x = np.asarray(x, dtype=np.float64)
    square = x * x
    share = dof / (dof + square)
    rest = square / (dof + square)
    a, b = 0.5 * dof, 0.5
    # The prefactor x^a (1−x)^b / B(a, b) of both fractions.
    scale = log_gamma(a + b) - log_gamma(a) - log_gamma(b)
    front = exp(scale + a * log(np.maximum(share, 1e-300))) * np.sqrt(rest)
    direct = share < (a + 1.0) / (a + b + 2.0)
    tail = np.where(
        direct,
        0.5 * front * _beta_fraction(a, b, np.where(direct, share, 0.0)) / a,
        0.5 - 0.5 * front * _beta_fraction(b, a, np.where(direct, 0.0, rest)) / b,
    )
    return np.asarray(np.where(x > 0.0, 1.0 - tail, tail))


def _beta_fraction(a: float, b: float, x: Array) -> Array:
    """Continued fraction of the incomplete beta function, from the far end backwards."""
    terms = 120
    value = np.ones_like(x)
    for m in range(terms, 0, -1):
        even = m * (b - m) / ((a + 2 * m - 1.0) * (a + 2 * m)) * x
        odd = -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1.0)) * x
        value = 1.0 + even / (1.0 + odd / value)
    return 1.0 / (1.0 - (a + b) / (a + 1.0) * x / value)


def student_quantile(p: Floats, dof: float) -> Array:
    """Inverse of `student_cdf`; p strictly between 0 and 1.

    Newton's method on the smaller tail. Near the centre it starts at 0, where the tail is convex;
    far out at the Pareto bound of the tail, where its log is concave in log x: both are monotone.
    """
    p = np.asarray(p, dtype=np.float64)
    if not np.all((p > 0.0) & (p < 1.0)):
        raise ValueError("quantile of a probability that is not strictly between 0 and 1")
    tail = np.minimum(p, 1.0 - p)
    near = tail > 0.2
    bound = log_gamma(0.5 * dof + 0.5) - log_gamma(0.5 * dof) - 0.5 * float(log(dof * np.pi))
    bound += 0.5 * (dof + 1.0) * float(log(dof)) - float(log(dof))
    target = log(tail)
    x = np.where(near, 0.0, exp((bound - target) / dof))
    for _ in range(12):
        value, density = student_cdf(-x, dof), student_density(x, dof)
        centre = x + (value - tail) / density
        outer = np.where(near, 1.0, x)
        far = outer * exp((log(np.maximum(value, 1e-300)) - target) * value / (density * outer))
        x = np.where(near, centre, far)
    return np.asarray(np.where(p < 0.5, -x, x))
