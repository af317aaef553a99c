"""Errors meant for people: what is wrong, where, and what is allowed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Iterable


class PlimsollError(Exception):
    """An error whose message is all that a user needs; the command line exits with 2."""


class InputError(PlimsollError):
    """Something the user wrote or passed is not allowed."""


class EnvironmentFault(PlimsollError):
    """Something the machine lacks: a node, a disk, a compiler, a network."""


def unknown(what: str, name: str, allowed: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with the nearest allowed one."""
    names = sorted(allowed)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {what} {name!r}{hint} (allowed: {', '.join(names)})")
