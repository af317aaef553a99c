"""Black-76 and generalised Black-Scholes prices, their greeks, and implied vol.

Sources: Black (1976) for options on forwards; Haug, "The Complete Guide to Option Pricing
Formulas", for the cost-of-carry form and the greeks; Jäckel, "Let's Be Rational" (2015), for the
normalised price and the objective functions of the implied vol.

Conventions: vols annualised (1.0 = 100 %), vega per 1.00 of vol, theta = -∂V/∂T per year, rates
continuously compounded, rho per 1.00 of rate.

A price is computed on its out-of-the-money side and carried to the other by parity, so that parity
holds to rounding and no price is below intrinsic.

Limits. Everything is finite but theta, which overflows where years are below some 1e-270. Where
vol·√years = 0 (or strike or price of the underlying is 0) the price is the discounted intrinsic
value, delta its slope (half of it at the money), and gamma, vega, theta's vol part, vanna and volga
are their limits where these are finite, else 0: gamma at the money is a spike and reported as 0,
and so is theta's vol part at expiry. At years = 0 the rate cannot be read from a discount and
counts as 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx, erfinv, ndtr, ndtri, roots_legendre

from sim.reference.validation import (
    Floats,
    broadcast,
    finite,
    floats,
    non_negative,
    positive,
    require,
)

WORTHWHILE = 4096  # elements from which the compiled kernels of `fast` beat numpy
_ROOT_TWO_PI = np.sqrt(2 * np.pi)
_CANCELLATION = 8.0  # how many times rounding may be amplified before a price is integrated
_LARGE = 1e100  # beyond it a d is infinite for every purpose, and its square still finite


class Greeks(NamedTuple):
    """Price and greeks of options, arrays of one shape.

    `delta`, `gamma` and `vanna` are against the forward (Black-76) or the spot (Black-Scholes).
    """

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats
    vanna: Floats
    volga: Floats


def black76(
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    discount: ArrayLike = 1.0,
) -> Greeks:
    """Price European options on a forward (Black 1976).

    Parameters
    ----------
    forward, strike, years, vol : array_like
        Finite, at least 0; all arguments broadcast.
    is_call : array_like of bool
        True for a call, False for a put.
    discount : array_like
        Discount factor to expiry, above 0.

    Returns
    -------
    Greeks
        Against the forward; r = -ln(discount)/years is held in theta, rho = -years · price.

    Raises
    ------
    InputError
        Naming the argument and the element; or the shapes that do not broadcast.
    """
    inputs = broadcast(
        forward=floats("forward", forward),
        strike=floats("strike", strike),
        years=floats("years", years),
        vol=floats("vol", vol),
        is_call=floats("is_call", is_call),
        discount=floats("discount", discount),
    )
    return _evaluate("black76", _check_forward, _black76, inputs)


def _check_forward(*inputs: Floats) -> None:
    for name, values in zip(("forward", "strike", "years", "vol"), inputs, strict=False):
        non_negative(name, values)
    _truth(inputs[4])
    positive("discount", inputs[5])


def black_scholes(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    vol: ArrayLike,
    is_call: ArrayLike,
    rate: ArrayLike = 0.0,
    carry: ArrayLike | None = None,
) -> Greeks:
    """Price European options on a spot with a cost of carry (generalised Black-Scholes).

    Parameters
    ----------
    spot, strike, years, vol : array_like
        Finite, at least 0; all arguments broadcast.
    is_call : array_like of bool
        True for a call, False for a put.
    rate : array_like
        Discount rate.
    carry : array_like, optional
        Growth rate b of the forward, F = S·exp(b·T): the rate for an asset without yield (the
        default), rate - yield for one with, 0 for a future.

    Returns
    -------
    Greeks
        Against the spot. In theta rate and carry are held; in rho the yield q = rate - carry is
        held, so that the carry moves with the rate.

    Raises
    ------
    InputError
        Naming the argument and the element; or the shapes that do not broadcast.
    """
    r = floats("rate", rate)
    inputs = broadcast(
        spot=floats("spot", spot),
        strike=floats("strike", strike),
        years=floats("years", years),
        vol=floats("vol", vol),
        is_call=floats("is_call", is_call),
        rate=r,
        carry=r if carry is None else floats("carry", carry),
    )
    return _evaluate("black_scholes", _check_spot, _black_scholes, inputs)


def _check_spot(*inputs: Floats) -> None:
    for name, values in zip(("spot", "strike", "years", "vol"), inputs, strict=False):
        non_negative(name, values)
    _truth(inputs[4])
    for name, values in zip(("rate", "carry"), inputs[5:], strict=True):
        finite(name, values)
        require(np.abs(values * inputs[2]) < 700, name, values, f"|{name} · years| below 700")


def _truth(values: Floats) -> None:
    good = (values == 0) | (values == 1)
    require(good, "is_call", values, "True for a call and False for a put")


def _evaluate(
    kernel: str,
    check: Callable[..., None],
    exact: Callable[..., Greeks],
    inputs: tuple[Floats, ...],
) -> Greeks:
    """Take the kernel for large arrays, and the exact path for small ones and odd elements."""
    if inputs[0].size < WORTHWHILE:
        check(*inputs)
        # Numbers for numbers, as numpy's own functions do: some of the figures are 0-d arrays.
        return Greeks(*(figure[()] for figure in exact(*inputs)))
    from sim.reference import fast  # compiled code takes half a second to load

    result = Greeks(*getattr(fast, kernel)(*inputs))
    odd = np.isnan(result.price)
    if odd.any():
        check(*inputs)
        for column, values in zip(result, exact(*(array[odd] for array in inputs)), strict=True):
            column[odd] = values
    return result


def log_ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return ln(numerator/denominator) of numbers ≥ 0, exact near 1; anything over 0 is ∞."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        excess = (numerator - denominator) / denominator
        near = np.abs(excess) < 0.5
        result = np.where(
            near,
            np.log1p(np.where(near, excess, 0.0)),
            np.log(numerator) - np.log(denominator),
        )
    return np.where(denominator == 0, np.inf, result)


def _divided(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with 0 where the denominator is 0."""
    with np.errstate(over="ignore"):
        return np.divide(
            numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0
        )


class _Forward(NamedTuple):
    """Figures against the forward that need no rate."""

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    decay: Floats  # the vol part of ∂V/∂T
    vanna: Floats
    volga: Floats
    in_the_money: Floats  # probability under the forward measure, N(±d2)


def _on_forward(
    f: Floats, k: Floats, t: Floats, v: Floats, call: Floats, discount: Floats
) -> _Forward:
    root = np.sqrt(t)
    deviation = v * root
    x = log_ratio(f, k)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        h = np.where(x == 0, 0.0, x / deviation)
    d1 = np.clip(h + deviation / 2, -_LARGE, _LARGE)
    d2 = np.clip(h - deviation / 2, -_LARGE, _LARGE)
    density = discount * np.exp(-0.5 * d1 * d1) / _ROOT_TWO_PI

    out = np.where(f < k, 1.0, -1.0)
    value = np.asarray(out * (f * ndtr(out * d1) - k * ndtr(out * d2)))
    cancels = (np.abs(h) > _CANCELLATION * deviation) | (deviation * _CANCELLATION < 0.4)
    cancels &= (deviation > 0) & (np.abs(h) < 40)
    if cancels.any():
        small = _log_normalised(-np.abs(x[cancels]), deviation[cancels])[0]
        value[cancels] = np.sqrt(f[cancels]) * np.sqrt(k[cancels]) * np.exp(small)
    side = 2 * call - 1
    intrinsic = np.maximum(side * (f - k), 0.0)
    price = intrinsic + np.clip(value, 0.0, np.minimum(f, k))

    vega = density * f * root
    with np.errstate(over="ignore"):
        gamma = np.minimum(_divided(_divided(density, f), deviation), np.finfo(float).max)
    return _Forward(
        price=discount * price,
        delta=discount * side * ndtr(side * d1),
        gamma=gamma,
        vega=vega,
        decay=_divided(density * f * v, 2.0 * root),
        vanna=np.where(v == 0, density * root / 2, -_divided(density * d2, v)),
        volga=_divided(vega * d1 * d2, v),
        in_the_money=ndtr(side * d2),
    )


def forward_values(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, vol: ArrayLike, is_call: ArrayLike
) -> Floats:
    """Undiscounted prices alone, of valid numbers that broadcast."""
    inputs = broadcast(
        forward=floats("forward", forward),
        strike=floats("strike", strike),
        years=floats("years", years),
        vol=floats("vol", vol),
        is_call=floats("is_call", is_call),
    )
    if inputs[0].size < WORTHWHILE:
        return _undiscounted(*inputs)
    from sim.reference import fast

    values = fast.forward_values(*inputs)
    odd = np.isnan(values)
    if odd.any():
        values[odd] = _undiscounted(*(array[odd] for array in inputs))
    return values


def _undiscounted(f: Floats, k: Floats, t: Floats, v: Floats, call: Floats) -> Floats:
    return _on_forward(f, k, t, v, call, np.ones(())).price


def _black76(f: Floats, k: Floats, t: Floats, v: Floats, call: Floats, discount: Floats) -> Greeks:
    g = _on_forward(f, k, t, v, call, discount)
    rate = -_divided(np.log(discount), t)
    return Greeks(
        g.price,
        g.delta,
        g.gamma,
        g.vega,
        rate * g.price - g.decay,
        -t * g.price,
        g.vanna,
        g.volga,
    )


def _black_scholes(
    s: Floats, k: Floats, t: Floats, v: Floats, call: Floats, r: Floats, b: Floats
) -> Greeks:
    growth = np.exp(b * t)
    discount = np.exp(-r * t)
    g = _on_forward(s * growth, k, t, v, call, discount)
    delta = g.delta * growth
    return Greeks(
        g.price,
        delta,
        g.gamma * growth * growth,
        g.vega,
        r * g.price - b * s * delta - g.decay,
        (2 * call - 1) * t * k * discount * g.in_the_money,
        g.vanna * growth,
        g.volga,
    )


def implied_vol(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    is_call: ArrayLike,
    discount: ArrayLike = 1.0,
) -> Floats:
    """Return the vol at which `black76` gives these prices.

    Parameters
    ----------
    price : array_like
        Finite; all arguments broadcast.
    forward, strike, years : array_like
        Finite and above 0.
    is_call, discount : array_like
        As for `black76`.

    Returns
    -------
    ndarray
        To about 1e-15 relative, beyond what rounding of the price itself allows for prices near
        intrinsic or near their upper bound (discounted forward of a call, strike of a put).
        0 where the price is intrinsic, inf where it is the upper bound, nan outside the two.

    Raises
    ------
    InputError
        Naming the argument and the element.
    """
    p, f, k, t, call, d = broadcast(
        price=finite("price", price),
        forward=positive("forward", forward),
        strike=positive("strike", strike),
        years=positive("years", years),
        is_call=floats("is_call", is_call),
        discount=positive("discount", discount),
    )
    _truth(call)
    # The out-of-the-money price in units of √(F·K): a function of x = -|ln(F/K)| and σ√T alone.
    intrinsic = np.maximum((2 * call - 1) * (f - k), 0.0)
    most = np.where(call != 0, f, k)
    deviation = np.full(p.shape, np.nan)
    deviation[np.isclose(p, d * most, rtol=4e-16, atol=0.0)] = np.inf
    deviation[np.isclose(p, d * intrinsic, rtol=4e-16, atol=0.0)] = 0.0
    inside = np.flatnonzero(np.isnan(deviation) & (p > d * intrinsic) & (p < d * most))
    for rows in np.array_split(inside, inside.size // 8192 + 1):
        p_, f_, k_, d_, floor = (a.reshape(-1)[rows] for a in (p, f, k, d, intrinsic))
        normal = (p_ / d_ - floor) / np.sqrt(f_) / np.sqrt(k_)
        deviation.reshape(-1)[rows] = _implied_deviation(normal, -np.abs(log_ratio(f_, k_)))
    return np.asarray(deviation / np.sqrt(t))[()]


def _implied_deviation(normal: Floats, x: Floats) -> Floats:
    """Solve for σ√T: Newton from Jäckel's two objectives, kept inside a bracket.

    Below the point of inflection √(2|x|) the logarithm of the price is nearly linear in 1/s², above
    it the logarithm of its distance to the upper bound e^(x/2) is nearly linear in s².
    """
    turn = np.sqrt(-2 * x)
    bound = np.exp(x / 2)
    with np.errstate(divide="ignore"):
        log_normal = np.log(normal)
        log_gap = np.log(np.maximum(bound - normal, np.finfo(float).tiny))
        low = normal < np.exp(_log_normalised(x, turn)[0])
        guess = np.where(
            low, -x / np.sqrt(-2 * log_normal), -2 * ndtri(np.exp(log_gap) / (1 + bound))
        )
    s = np.where(low, np.minimum(guess, turn), np.maximum(guess, turn))
    s = np.where(x == 0, 2 * np.sqrt(2) * erfinv(normal), s)
    least, most = np.where(low, 0.0, turn), np.where(low, turn, np.inf)
    active = np.flatnonzero((x != 0) & (normal > 0))
    for _ in range(100):
        if active.size == 0:
            break
        now, is_low, x_ = s[active], low[active], x[active]
        log_price, ratio, log_vega = _log_normalised(x_, now)
        gap = np.exp(x_ / 2) * ndtr(-x_ / now - now / 2) + np.exp(-x_ / 2) * ndtr(
            x_ / now - now / 2
        )
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            error = np.where(is_low, log_price - log_normal[active], log_gap[active] - np.log(gap))
            # d(1/s²) = error·ratio for the low branch, d(s²) = error·gap/vega for the high one
            below = now / np.sqrt(np.maximum(1 + 2 * error * ratio / now, 0.0))
            above = np.sqrt(np.maximum(1 - 2 * error * gap * np.exp(-log_vega) / now, 0.0)) * now
            step = np.where(is_low, below, above)
        least[active] = np.where(error < 0, now, least[active])
        most[active] = np.where(error > 0, now, most[active])
        inside = (step > least[active]) & (step < most[active])
        between = np.where(np.isinf(most[active]), 2 * now, (least[active] + most[active]) / 2)
        s[active] = np.where(inside | (error == 0), np.where(error == 0, now, step), between)
        done = (np.abs(s[active] - now) <= 2e-16 * now) | (error == 0)
        active = active[~done]
    return s


@lru_cache(maxsize=1)
def _gauss_legendre() -> tuple[Floats, Floats]:
    return roots_legendre(40)


def _log_normalised(x: Floats, s: Floats) -> tuple[Floats, Floats, Floats]:
    """Return log price, price/vega and log vega of e^(x/2)·N(x/s + s/2) - e^(-x/2)·N(x/s - s/2).

    For x ≤ 0. Price over vega is Y(h + t) - Y(h - t) with Y = N/φ, h = x/s, t = s/2. Where the two
    cancel it is integrated as ∫ e^(hu - u²/2)·2·sinh(tu) du over u > 0, of which every part is
    positive.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        h, t = np.where(x == 0, 0.0, x / s), s / 2
    log_vega = -0.5 * (h * h + t * t) - np.log(_ROOT_TWO_PI)
    up, down = h + t, h - t
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ratio = np.sqrt(np.pi / 2) * (erfcx(-up / np.sqrt(2)) - erfcx(-down / np.sqrt(2)))
        high = np.exp(x / 2) * ndtr(up) - np.exp(-x / 2) * ndtr(down)
        ratio = np.where(up > 5, high * np.exp(-log_vega), ratio)
        cancels = (up < 5) & (np.maximum(-h, 0.4) > _CANCELLATION * s)
    if cancels.any():
        up, t = up[cancels, None], t[cancels, None]
        reach = up + np.sqrt(up * up + 80)  # where the integrand has fallen to e^-40
        nodes, weights = _gauss_legendre()
        u = reach * (nodes + 1) / 2
        parts = np.exp(up * u - u * u / 2) * -np.expm1(-2 * t * u)
        ratio[cancels] = (parts @ weights) * reach[:, 0] / 2
    with np.errstate(divide="ignore"):
        log_price = np.where(
            (h + s / 2) > 5, np.log(np.maximum(high, 0.0)), log_vega + np.log(ratio)
        )
    return log_price, ratio, log_vega
