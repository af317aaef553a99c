"""Which position brings the risk: component, marginal and incremental VaR and ES."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import InputError, unknown
from sim.reference.risk_measures import expected_shortfall, tail_weights, value_at_risk
from sim.reference.samples import confidence, series, table
from sim.reference.validation import Floats, require


@dataclass(frozen=True, eq=False)
class Attribution:
    """A risk measure of a portfolio divided among its m positions.

    Attributes
    ----------
    total : float
        VaR or ES of the whole.
    component : (m,)
        Euler contributions; they sum to the total.
    marginal : (m,)
        Change of the total per unit of exposure: component / exposure.
    incremental : (m,)
        Total less the measure of the portfolio without the position; these do not sum to it.
    """

    total: float
    component: Floats
    marginal: Floats
    incremental: Floats


def attribute(
    losses: ArrayLike,
    level: float,
    measure: str = "expected_shortfall",
    exposures: ArrayLike | None = None,
    neighbours: int | None = None,
) -> Attribution:
    """Divide the historical or simulated VaR or ES of a portfolio among its positions.

    Parameters
    ----------
    losses : (n, m)
        Losses of m positions in n scenarios, of equal weight.
    level : float
        From 0.5 to below 1.
    measure : {"expected_shortfall", "value_at_risk"}
    exposures : (m,), optional
        Not zero; what `marginal` is per unit of. By default one: the position as it is.
    neighbours : int, optional
        For VaR: how many scenarios on each side of the VaR scenario are averaged, by default a
        quarter of the tail. One scenario alone (0) is exact in the sample and very noisy; the
        averages are scaled so that they still sum to the total.

    Returns
    -------
    Attribution

    Raises
    ------
    InputError

    Notes
    -----
    The contribution of a position is its mean loss given that the portfolio is in its tail, or at
    its VaR (Tasche 1999). The total is that of `value_at_risk` or `expected_shortfall` with
    estimator "inverted_cdf".
    """
    values = table("losses", losses)
    level = confidence(level)
    n, m = values.shape
    measures = {"expected_shortfall": expected_shortfall, "value_at_risk": value_at_risk}
    if measure not in measures:
        raise unknown("measure", measure, measures)
    units = np.ones(m) if exposures is None else series("exposures", exposures)
    if units.shape != (m,):
        raise InputError(f"exposures: shape {units.shape}, expected {(m,)}")
    require(units != 0, "exposures", units, "numbers other than 0")
    of = measures[measure]
    whole = values.sum(axis=1)
    total = of(whole, level)
    worst_first = np.argsort(-whole, kind="stable")
    weights, worse = tail_weights(n, level)
    if measure == "expected_shortfall":
        component = weights @ values[worst_first[: weights.size]]
    else:
        reach = worse // 4 if neighbours is None else neighbours
        require(0 <= reach <= min(worse, n - 1 - worse), "neighbours", reach, "0 to the tail")
        component = values[worst_first[worse - reach : worse + reach + 1]].mean(axis=0)
        if (around := component.sum()) != 0:
            component = component * (total / around)
    incremental = np.array([total - of(whole - values[:, i], level) for i in range(m)])
    return Attribution(total, component, component / units, incremental)
