"""Run folders: written beside their place, renamed at the end, read back as tables.

A run writes to `OUT.partial/` and becomes `OUT/` in one rename, so that a folder of the final name
is always whole. What a run is, is its identity: a hash over the canonical scenario, the bytecode of
the contracts and the versions of the tools. What it did, is its fingerprint: the hash of its
journal.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator, Mapping

import orjson
import pandas as pd
import pyarrow as pa

from sim.errors import EnvironmentFault, InputError
from sim.results.tables import TABLES, TableWriter, read_table

SCHEMA_VERSION = 3
MANIFEST = "manifest.json"
_PARTS: Mapping[str, tuple[str, ...]] = {
    "identity": (),
    "fingerprint": (),
    "scenario": ("name", "seed", "canonical"),
    "backend": (),
    "versions": (),
    "paths": (),
    "outcome": ("held", "verdict", "summary", "expectations"),
    "timings": ("seconds",),
}
"""What every manifest has."""
JOURNAL = "journal.jsonl"
REPORT = "report.html"


class RunWriter:
    """Writes one run: tables row by row, then the manifest, then the rename.

    Parameters
    ----------
    out : Path
        Final place of the folder; it must not exist.

    Raises
    ------
    EnvironmentFault
        The folder cannot be written.
    InputError
        The final place exists already.
    """

    def __init__(self, out: Path) -> None:
        if out.exists():
            raise InputError(f"{out} exists already; choose another place with --out")
        self.out = out
        self.folder = out.with_name(out.name + ".partial")
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True)
            self._writers = {
                name: TableWriter(table, self.folder) for name, table in TABLES.items()
            }
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Append rows to a table."""
        try:
            self._writers[table].add(rows)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def close_tables(self) -> None:
        """Write what is still in memory; the tables can be read from the partial folder then."""
        try:
            for writer in self._writers.values():
                writer.close()
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def write(self, name: str, content: bytes) -> None:
        """Write another file of the folder."""
        try:
            (self.folder / name).write_bytes(content)
        except OSError as error:
            raise cannot_write(self.folder / name, error) from error

    def finish(self, manifest: Mapping[str, Any]) -> Run:
        """Write the manifest and give the folder its final name."""
        self.write(MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        try:
            os.rename(self.folder, self.out)
        except OSError as error:
            raise cannot_write(self.out, error) from error
        return Run(self.out)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Refuse a table that is missing or damaged: `InputError` with its path."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} is missing or damaged: {reason}") from error


def cannot_write(path: Path, error: OSError) -> EnvironmentFault:
    """Return the fault for a path that cannot be written."""
    return EnvironmentFault(f"cannot write {path}: {error.strerror or error}")


@dataclass(frozen=True)
class Run:
    """A finished run: `run.accounts`, `run.steps`, ... are its tables as pandas frames."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run folder, by its path or by its name in `runs/`.

        Raises
        ------
        InputError
            No run is there, or it never finished.
        """
        for folder in (Path(path), Path("runs") / path):
            if (folder / MANIFEST).is_file():
                return cls(folder)
            partial = folder.with_name(folder.name + ".partial")
            if folder.name.endswith(".partial") and folder.is_dir():
                partial = folder
            if partial.is_dir():
                raise InputError(
                    f"{partial} is a run that did not finish; run its scenario again with --resume"
                )
        raise InputError(f"no run at {path}; `plimsoll runs` lists those that are there")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the run is and how it ended."""
        try:
            content: dict[str, Any] = orjson.loads((self.folder / MANIFEST).read_bytes())
        except ValueError as error:
            raise InputError(f"{self.folder / MANIFEST}: {error}") from error
        place = self.folder / MANIFEST
        if not isinstance(content, dict):
            raise InputError(f"{place}: not a manifest")
        if content.get("schema") != SCHEMA_VERSION:
            raise InputError(
                f"{place}: schema {content.get('schema')}, this version reads {SCHEMA_VERSION}"
            )
        for key, parts in _PARTS.items():
            if key not in content:
                raise InputError(f"{place}: {key} is missing")
            for part in parts:
                if not isinstance(content[key], dict) or part not in content[key]:
                    raise InputError(f"{place}: {key}.{part} is missing")
        return content

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def held(self) -> bool:
        """Whether every expectation and check held."""
        return bool(self.manifest["outcome"]["held"])

    @property
    def journal(self) -> Path:
        return self.folder / JOURNAL

    @property
    def report(self) -> Path:
        return self.folder / REPORT

    def table(self, name: str) -> pd.DataFrame:
        """Return a table; exact columns are left out, read the parquet file for them."""
        if name not in TABLES:
            raise AttributeError(f"a run has no table {name!r}; it has {', '.join(TABLES)}")
        columns = [c.name for c in TABLES[name].columns if not c.name.endswith("_wad")]
        path = self.folder / f"{name}.parquet"
        with readable(path):
            return read_table(path, columns)

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.table(name)


def existing_runs(root: Path) -> list[Run]:
    """Return the finished runs in a folder, by name."""
    if not root.is_dir():
        return []
    return [Run(path.parent) for path in sorted(root.glob(f"*/{MANIFEST}"))]
