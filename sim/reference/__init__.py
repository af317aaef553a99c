"""The off-chain aggregator: prices, greeks, margin, VaR and ES, dependence, backtests.

Pure functions over arrays, written from the published mathematics and PROTOCOL.md; no chain, no
files. Public names are imported on first use, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "book": "Assets Book CALL Expiries Market NO_UNDERLYING PERP PUT Underlyings YEAR locate",
    "rulebook": "LtvRulebook Rulebook ScenarioRulebook SensitivityRulebook",
    "black": "Greeks black76 black_scholes implied_vol",
    "jumps": "merton",
    "svi": "Svi",
    "perp": "accrued_index funding_rate perp_pnl",
    "margin": "Assessment assess assess_each",
    "aggregation": "concentration exposures what_if",
    "hedge": "candidates least_cost suggest_hedge",
    "risk_measures": "cornish_fisher_quantile expected_shortfall tail_risk value_at_risk",
    "parametric": "delta_gamma delta_normal",
    "revaluation": "monte_carlo revalue",
    "horizon": "horizon_losses simulate_shocks",
    "attribution": "attribute",
    "covariance": (
        "Garch11 ewma_covariance ledoit_wolf principal_components repair_correlation "
        "sample_covariance stressed_correlation"
    ),
    "backtests": "acerbi_szekely_z2 christoffersen kupiec_pof traffic_light",
    "dependence": "ClaytonCopula FrankCopula GaussianCopula GumbelCopula StudentTCopula",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE])
