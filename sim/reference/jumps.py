"""European options on a spot that jumps: Merton (1976)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, ndtr, xlogy

from sim.errors import InputError
from sim.reference.black import Greeks, log_ratio
from sim.reference.validation import (
    Floats,
    broadcast,
    finite,
    floats,
    non_negative,
    require,
)

_MOST_JUMPS = 10_000


def merton(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    rate: ArrayLike = 0.0,
    carry: ArrayLike | None = None,
    *,
    intensity: ArrayLike,
    jump_mean: ArrayLike,
    jump_vol: ArrayLike,
) -> Greeks:
    """Price options under a jump diffusion as a Poisson mixture of Black-Scholes prices.

    Given n jumps the spot at expiry is lognormal with variance vol²·T + n·jump_vol² and mean
    S·exp((b - λκ)·T + n·ln(1 + κ)), κ = exp(jump_mean + jump_vol²/2) - 1. The series runs until
    what is left of the Poisson weights is below 1e-17.

    Parameters
    ----------
    spot, strike, years, vol, is_call, rate, carry : array_like
        As for `black_scholes`; `vol` is of the diffusion alone.
    intensity : array_like
        Jumps per year λ, at least 0; λ·years up to 8,000.
    jump_mean, jump_vol : array_like
        Mean and standard deviation of the logarithm of a jump. A mean relative jump κ of 0 is
        jump_mean = -jump_vol²/2.

    Returns
    -------
    Greeks
        With the conventions of `black_scholes`; vega, vanna and volga are for `vol`, and the jumps
        are held. Where a mixture has no variance at all (vol or years 0 and no jump), each term has
        the limits stated in `black`.

    Raises
    ------
    InputError
        Naming the argument and the element; or the shapes that do not broadcast.
    """
    r = finite("rate", rate)
    s, k, t, v, call, r, b, lam, mu, delta = broadcast(
        spot=non_negative("spot", spot),
        strike=non_negative("strike", strike),
        years=non_negative("years", years),
        vol=non_negative("vol", vol),
        is_call=floats("is_call", is_call),
        rate=r,
        carry=r if carry is None else finite("carry", carry),
        intensity=non_negative("intensity", intensity),
        jump_mean=finite("jump_mean", jump_mean),
        jump_vol=non_negative("jump_vol", jump_vol),
    )
    require((call == 0) | (call == 1), "is_call", call, "True for a call and False for a put")
    expected = lam * t
    require(expected <= 8_000, "intensity", lam, "intensity · years up to 8,000")
    most = float(expected.max(initial=0.0))
    terms = int(np.ceil(most + 12 * np.sqrt(most) + 25))
    if terms > _MOST_JUMPS:
        raise InputError(f"intensity: the series needs {terms} terms")

    n = np.arange(terms, dtype=np.float64)
    s, k, t, v, call, r, b, lam, mu, delta, expected = (
        x[..., None] for x in (s, k, t, v, call, r, b, lam, mu, delta, expected)
    )
    weight = np.exp(xlogy(n, expected) - expected - gammaln(n + 1))
    log_mean = mu + delta * delta / 2
    kappa = np.expm1(log_mean)
    growth = np.exp((b - lam * kappa) * t + n * log_mean)
    variance = v * v * t + n * delta * delta
    return _mixture(s, k, t, v, call, r, b, lam, weight, n, growth, variance, kappa)


def _mixture(
    s: Floats,
    k: Floats,
    t: Floats,
    v: Floats,
    call: Floats,
    r: Floats,
    b: Floats,
    lam: Floats,
    weight: Floats,
    n: Floats,
    growth: Floats,
    variance: Floats,
    kappa: Floats,
) -> Greeks:
    """Sum the terms: Black prices of forward s·growth and standard deviation √variance."""
    side = 2 * call - 1
    forward = s * growth
    deviation = np.sqrt(variance)
    x = log_ratio(forward, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        h = np.where(x == 0, 0.0, x / deviation)
        inverse = np.where(deviation > 0, 1 / deviation, 0.0)
    d1 = np.clip(h + deviation / 2, -1e100, 1e100)
    d2 = np.clip(h - deviation / 2, -1e100, 1e100)
    density = np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi)
    out = np.where(forward < k, 1.0, -1.0)
    value = np.maximum(out * (forward * ndtr(out * d1) - k * ndtr(out * d2)), 0.0)
    value = value + np.maximum(side * (forward - k), 0.0)
    in_the_money = ndtr(side * d2)
    slope = side * ndtr(side * d1)
    discount = np.exp(-r * t)

    # of the standard deviation e = √(v²T + nδ²): ∂e/∂v = vT/e and ∂²e/∂v² = T/e - (vT)²/e³
    money = forward * density
    e_v = np.where(deviation > 0, v * t * inverse, np.sqrt(t))
    e_vv = t * inverse - (v * t) ** 2 * inverse**3
    e_t = v * v * inverse / 2
    value_ee = money * d1 * d2 * inverse
    # ∂weight/∂T is λ·(weight of n - 1, less weight of n)
    before = np.concatenate((np.zeros_like(weight[..., :1]), weight[..., :-1]), axis=-1)

    def total(term: Floats) -> Floats:
        return np.asarray((weight * discount * term).sum(axis=-1))

    price = total(value)
    drift = slope * forward * (b - lam * kappa)
    flow = (discount * lam * (before - weight) * value).sum(axis=-1)
    return Greeks(
        price=price,
        delta=total(slope * growth),
        gamma=total(growth**2 * density * inverse / np.where(forward > 0, forward, 1.0)),
        vega=total(money * e_v),
        theta=r[..., 0] * price - flow - total(drift + money * e_t),
        rho=t[..., 0] * total(side * k * in_the_money),
        vanna=total(-growth * density * d2 * inverse * e_v),
        volga=total(value_ee * e_v**2 + money * e_vv),
    )
