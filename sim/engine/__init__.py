"""Runs: a scenario on a chain, from its name to a finished folder."""

from sim.engine.runner import run

__all__ = ["run"]
