"""Constructor arguments of liquidation rules and engines, given by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Mapping

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


class ArgumentError(InputError):
    """An argument does not fit.

    Parameters
    ----------
    key
        Where arguments stand.
    name
        Of the argument.
    problem
        What is wrong, and what is allowed.
    """

    def __init__(self, key: str, name: str, problem: object) -> None:
        super().__init__(f"{key}.{name}: {problem}")
        self.name = name
        self.problem = problem


def arguments(
    contract: str,
    params: Mapping[str, Any],
    key: str,
    address: Callable[[str, Any], Any] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a contract's constructor by name, in order.

    Parameters
    ----------
    contract : str
        A shipped contract's name or the path of a Vyper file.
    params : mapping
        By the constructor's own names: ratios (`5%` or a float) become WAD, durations (`15m`)
        seconds, whole numbers stay.
    key : str
        Where `params` stand in a scenario, for messages.
    address : callable, optional
        Returns an address from the argument's name and its value, which is None where not given;
        without it no address is allowed.

    Raises
    ------
    ArgumentError
        A name that the constructor does not have, or a value that is no quantity.
    InputError
        A name without a value, or a type that is neither an integer nor, if allowed, an address.
    """
    entries = artifact(contract).abi
    inputs = [item for e in entries if e["type"] == "constructor" for item in e["inputs"]]
    kinds = {item["name"]: item["type"] for item in inputs}
    for name in params:
        if name not in kinds:
            what = f"parameter of {Path(contract).stem}"
            raise ArgumentError(key, name, unknown(what, name, kinds))
    values = {**DEFAULTS.get(contract, {}), **params}
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        if kind == "address" and address is not None:
            found[name] = address(name, values.get(name))
        elif "int" not in kind or kind.endswith("]"):
            raise InputError(f"{contract}: the constructor's {name} is of type {kind}")
        elif name in values:
            try:
                found[name] = _integer(values[name])
            except ValueError as error:
                raise ArgumentError(key, name, error) from None
    missing = [name for name in kinds if name not in found]
    if missing:
        raise InputError(f"{contract} needs {', '.join(missing)} under {key}")
    return found


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    for parse in (parse_duration, lambda text: to_wad(parse_ratio(text))):
        try:
            return int(parse(value))
        except ValueError:
            continue
    raise ValueError(f"{value!r} is neither a ratio (5%) nor a duration (15m)")
