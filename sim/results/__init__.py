"""Run folders and their tables."""

from sim.results.folder import Run, RunWriter, existing_runs
from sim.results.tables import TABLES, Table, dictionary

__all__ = ["TABLES", "Run", "RunWriter", "Table", "dictionary", "existing_runs"]
