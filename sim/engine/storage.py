"""Storage slots by the names of the variables that hold them.

A compiled contract says at which slot each variable starts; where an element of a mapping lies is
a hash of its key. Hashes cannot be undone, so the keys are guessed: every number and address that
a transaction or an event mentioned.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

from eth_utils.crypto import keccak

_MAPPING = re.compile(r"HashMap\[(\w+), (.*)\]$")
_LONGEST_VALUE = 130  # slots of the largest value a mapping holds
_MOST_HASHES = 200_000


class Variable(NamedTuple):
    """A variable of a contract's layout."""

    name: str
    type: str
    slot: int
    slots: int


def variables(layout: Mapping[str, Any], prefix: str = "") -> Iterator[Variable]:
    """Yield the variables of a storage layout, those of modules as `module.variable`."""
    for name, entry in layout.items():
        if "slot" in entry:
            yield Variable(prefix + name, entry["type"], entry["slot"], entry["n_slots"])
        else:
            yield from variables(entry, f"{prefix}{name}.")


def mentioned(values: Iterable[Any]) -> Iterator[int | str]:
    """Yield every integer and address inside decoded arguments."""
    for value in values:
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int) or (isinstance(value, str) and re.fullmatch("0x.{40}", value)):
            yield value
        elif isinstance(value, Mapping):
            yield from mentioned(value.values())
        elif isinstance(value, (list, tuple)):
            yield from mentioned(value)


def named(
    slots: Sequence[int], layout: Mapping[str, Any], keys: Iterable[int | str]
) -> dict[int, str]:
    """Return the names of storage slots as far as they can be found.

    Parameters
    ----------
    slots
        Of one contract.
    layout
        Its storage layout, as the compiler reports it.
    keys
        Integers and addresses that may be keys of mappings, the likeliest first.
    """
    known = list(variables(layout))
    names: dict[int, str] = {}
    for variable in known:
        for slot in slots:
            offset = slot - variable.slot
            if not variable.type.startswith("HashMap") and 0 <= offset < variable.slots:
                names[slot] = variable.name + (f" + {offset}" if offset else "")
    missing = {slot for slot in slots if slot not in names}
    candidates = list(dict.fromkeys(keys))
    hashes = 0
    for variable in (v for v in known if v.type.startswith("HashMap")):
        for name, base in _elements(variable.name, variable.type, variable.slot, candidates):
            if not missing or hashes > _MOST_HASHES:
                return names
            hashes += 1
            for slot in [s for s in missing if 0 <= s - base < _LONGEST_VALUE]:
                names[slot] = name + (f" + {slot - base}" if slot > base else "")
                missing.remove(slot)
    return names


def _elements(
    name: str, kind: str, slot: int, keys: Sequence[int | str]
) -> Iterator[tuple[str, int]]:
    """Yield the names and slots of a mapping's elements under the keys, down to the values."""
    found = _MAPPING.match(kind)
    if found is None:
        yield name, slot
        return
    of_address = found[1] == "address"
    for key in keys:
        if isinstance(key, str) != of_address or (not of_address and not 0 <= int(key) < 2**256):
            continue
        word = int(key, 16) if isinstance(key, str) else key
        element = keccak(slot.to_bytes(32, "big") + word.to_bytes(32, "big"))
        place = int.from_bytes(element, "big")
        yield from _elements(f"{name}[{key}]", found[2], place, keys)
