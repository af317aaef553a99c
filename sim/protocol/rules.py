"""Constructor arguments of liquidation rules, with defaults for those that are shipped."""

from __future__ import annotations

from typing import Any, Mapping

from sim.errors import InputError, unknown
from sim.protocol.artifacts import artifact
from sim.units import parse_duration, parse_ratio, to_wad

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "DutchAuction": {
        "start": "98%",
        "cutoff": "70%",
        "fast": "15m",
        "slow": "2h",
        "insolvent": "1h",
        "reward": "0.5%",
    },
    "PartialStep": {
        "close_factor": "50%",
        "whole_below": "90%",
        "bonus": "5%",
        "solvent": "2h",
        "insolvent": "1h",
        "reward": "0.5%",
    },
    "FixedPenalty": {"penalty": "10%", "solvent": "30m", "insolvent": "30m", "reward": "0.5%"},
}


def arguments(contract: str, params: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the arguments of a rule's constructor in order.

    Parameters
    ----------
    contract : str
        A shipped contract's name or the path of a Vyper file.
    params : mapping
        By the constructor's own names: ratios (`5%` or a float) become WAD, durations (`15m`)
        seconds, whole numbers stay.

    Raises
    ------
    InputError
        A name that the constructor does not have, or one without a value.
    """
    entries = artifact(contract).abi
    names = [item["name"] for e in entries if e["type"] == "constructor" for item in e["inputs"]]
    for name in params:
        if name not in names:
            raise unknown(f"parameter of {contract}", name, names)
    values = {**DEFAULTS.get(contract, {}), **params}
    missing = [name for name in names if name not in values]
    if missing:
        raise InputError(f"{contract} needs {', '.join(missing)} under liquidation.params")
    return tuple(_integer(f"{contract}.{name}", values[name]) for name in names)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    for parse in (parse_duration, lambda text: to_wad(parse_ratio(text))):
        try:
            return int(parse(value))
        except ValueError:
            continue
    raise InputError(f"{name}: {value!r} is neither a ratio (5%) nor a duration (15m)")
