"""Runs: a scenario on a chain, from its name to a finished folder, and played again from there."""

from sim.engine.replica import replay
from sim.engine.runner import run

__all__ = ["replay", "run"]
