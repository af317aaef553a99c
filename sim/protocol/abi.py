"""Calls, results and events of a contract between Python values and bytes.

Structs come back as named tuples whose fields are the struct's own; arguments may be named tuples,
plain tuples or mappings. Addresses are lowercase hex strings.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from eth_abi import abi as codec
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from sim.errors import InputError

_ERROR_STRING = keccak(text="Error(string)")[:4]
_PANIC = keccak(text="Panic(uint256)")[:4]


class Event(NamedTuple):
    """A decoded log."""

    address: str
    name: str
    args: dict[str, Any]


@dataclass(frozen=True)
class Function:
    """One external function of a contract."""

    name: str
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    mutability: str

    @cached_property
    def input_types(self) -> list[str]:
        return [_type(item) for item in self.inputs]

    @cached_property
    def output_types(self) -> list[str]:
        return [_type(item) for item in self.outputs]

    @cached_property
    def selector(self) -> bytes:
        return keccak(text=f"{self.name}({','.join(self.input_types)})")[:4]

    @cached_property
    def _shapers(self) -> list[Callable[[Any], Any]]:
        return [_shaper(item) for item in self.outputs]

    @property
    def is_view(self) -> bool:
        return self.mutability in ("view", "pure")

    def encode(self, *args: Any) -> bytes:
        """Return the calldata of a call."""
        if len(args) != len(self.inputs):
            raise InputError(f"{self.name} takes {len(self.inputs)} arguments, got {len(args)}")
        values = [_plain(value, item) for value, item in zip(args, self.inputs, strict=True)]
        return self.selector + codec.encode(self.input_types, values)

    def decode(self, data: bytes) -> Any:
        """Return what a call returned: nothing, one value, or a tuple of values."""
        if not self.outputs:
            return None
        values = codec.decode(self.output_types, data)
        shaped = [shape(value) for shape, value in zip(self._shapers, values, strict=True)]
        return shaped[0] if len(shaped) == 1 else tuple(shaped)


class Abi:
    """The functions and events of one contract.

    Parameters
    ----------
    entries : list
        JSON ABI.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._functions: dict[tuple[str, int], Function] = {}
        self._events: dict[bytes, Mapping[str, Any]] = {}
        self._constructor: Sequence[Mapping[str, Any]] = ()
        for entry in entries:
            if entry["type"] == "function":
                inputs = tuple(entry["inputs"])
                self._functions[entry["name"], len(inputs)] = Function(
                    entry["name"], inputs, tuple(entry["outputs"]), entry["stateMutability"]
                )
            elif entry["type"] == "event":
                types = ",".join(_type(item) for item in entry["inputs"])
                self._events[keccak(text=f"{entry['name']}({types})")] = entry
            elif entry["type"] == "constructor":
                self._constructor = entry["inputs"]
        self._arities: dict[str, list[int]] = {}
        for name, arity in self._functions:
            self._arities.setdefault(name, []).append(arity)

    def __contains__(self, name: str) -> bool:
        return name in self._arities

    @property
    def names(self) -> list[str]:
        return sorted(self._arities)

    def function(self, name: str, arity: int | None = None) -> Function:
        """Return a function by name; `arity` chooses among those with optional arguments."""
        arities = self._arities.get(name)
        if arities is None:
            raise InputError(f"the contract has no function {name!r}")
        chosen = arity if arity in arities else max(arities)
        return self._functions[name, chosen]

    def constructor(self, *args: Any) -> bytes:
        """Return constructor arguments, to be appended to the initialisation code."""
        if len(args) != len(self._constructor):
            raise InputError(
                f"the constructor takes {len(self._constructor)} arguments, got {len(args)}"
            )
        values = [_plain(value, item) for value, item in zip(args, self._constructor, strict=True)]
        return bytes(codec.encode([_type(item) for item in self._constructor], values))

    def decode_call(self, data: bytes) -> tuple[str, dict[str, Any]] | None:
        """Return the function and the arguments by name of calldata, or None if it is none of
        this contract's."""
        for function in self._functions.values():
            if function.selector == data[:4]:
                try:
                    return function.name, _named(function.inputs, data[4:])
                except DecodingError:
                    return None
        return None

    def decode_constructor(self, data: bytes) -> dict[str, Any]:
        """Return constructor arguments by name."""
        return _named(self._constructor, data)

    def event(self, address: str, topics: Sequence[bytes], data: bytes) -> Event | None:
        """Decode a log, or return None if it is not of this contract's interface."""
        entry = self._events.get(topics[0]) if topics else None
        if entry is None:
            return None
        plain = [item for item in entry["inputs"] if not item["indexed"]]
        values = dict(
            zip(
                (item["name"] for item in plain),
                codec.decode([_type(item) for item in plain], data),
                strict=True,
            )
        )
        indexed = (item for item in entry["inputs"] if item["indexed"])
        for item, topic in zip(indexed, topics[1:], strict=True):
            values[item["name"]] = codec.decode([_type(item)], topic)[0]
        args = {item["name"]: _shaper(item)(values[item["name"]]) for item in entry["inputs"]}
        return Event(address, entry["name"], args)


def revert_reason(data: bytes) -> str:
    """Return what a revert says, or its raw bytes in hex."""
    if data[:4] == _ERROR_STRING:
        return str(codec.decode(["string"], data[4:])[0])
    if data[:4] == _PANIC:
        return f"panic 0x{int.from_bytes(data[4:], 'big'):02x}"
    return f"0x{data.hex()}" if data else ""


def _named(inputs: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, Any]:
    values = codec.decode([_type(item) for item in inputs], data)
    return {item["name"]: _shaper(item)(value) for item, value in zip(inputs, values, strict=True)}


def _type(item: Mapping[str, Any]) -> str:
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(part) for part in item['components'])}){kind.removeprefix('tuple')}"


def _plain(value: Any, item: Mapping[str, Any]) -> Any:
    """Turn mappings and named tuples into the tuples that the codec takes."""
    kind: str = item["type"]
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [_plain(part, inner) for part in value]
    if kind == "tuple":
        parts = item["components"]
        if isinstance(value, Mapping):
            value = [value[part["name"]] for part in parts]
        return tuple(_plain(v, part) for v, part in zip(value, parts, strict=True))
    return value


def _shaper(item: Mapping[str, Any]) -> Callable[[Any], Any]:
    kind: str = item["type"]
    if kind.endswith("]"):
        inner = _shaper({**item, "type": kind[: kind.rindex("[")]})
        return lambda value: [inner(part) for part in value]
    if kind == "tuple":
        parts = item["components"]
        struct = item.get("internalType", "").removeprefix("struct ").rpartition(".")[2] or "Struct"
        make = namedtuple(struct, [part["name"] for part in parts])  # type: ignore[misc]
        shapers = [_shaper(part) for part in parts]
        return lambda value: make(*(s(v) for s, v in zip(shapers, value, strict=True)))
    if kind == "address":
        return lambda value: value.lower()
    return lambda value: value
