"""The measurements behind the stated figures: ratios, side by side in one run.

A module of this package is one benchmark, `plimsoll bench NAME`, and has one function
`run(quick: bool = False) -> Report`; quick means a smoke test of the benchmark itself.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    what
        What was measured.
    value, unit
        The number, e.g. 34.1 and "x web3.py".
    goal
        What is to be reached, in words; empty if nothing is.
    met
        Whether it was; None without a goal.
    """

    what: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark found."""

    name: str
    about: str
    figures: tuple[Figure, ...]
    machine: str = field(default_factory=lambda: machine())


def machine() -> str:
    """Name the machine: processor, usable cores, system, Python."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{model}, {cores} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
