"""Runs that were interrupted: what they leave, and how they are finished.

A run is deterministic, so it is resumed by playing it again: what the tables held in memory and
what the agents had learnt is not on disk. Every block is verified against the journal that the
interrupted run left, whose last line may be torn.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

import orjson

from sim.engine import journal
from sim.errors import InputError
from sim.results.folder import JOURNAL

START = "start.json"


@dataclass(frozen=True)
class Start:
    """What a run was started with, kept in its `.partial` folder.

    Attributes
    ----------
    identity
        Of the run.
    command
        What resumes it.
    """

    identity: str
    command: str

    @classmethod
    def of(
        cls,
        identity: str,
        scenario: str,
        seed: int | None,
        overrides: Sequence[str],
        backend: str,
        out: str | Path | None,
    ) -> Start:
        words = ["plimsoll", "run", scenario]
        words += ["--seed", str(seed)] if seed is not None else []
        words += [word for text in overrides for word in ("--set", text)]
        words += ["--backend", backend] if backend != "anvil" else []
        words += ["--out", str(out)] if out is not None else []
        return cls(identity, shlex.join([*words, "--resume"]))

    def encoded(self) -> bytes:
        return orjson.dumps({"identity": self.identity, "command": self.command})


def partial(out: Path) -> Path:
    """Return the folder of a run that is to be `out` when it is finished."""
    return out.with_name(out.name + ".partial")


def earlier(out: Path, identity: str) -> list[bytes]:
    """Return the SHA-256 of each block that the interrupted run of `out` has journalled.

    Raises
    ------
    InputError
        There is none, or it is of another identity.
    """
    folder = partial(out)
    if not folder.is_dir():
        raise InputError(f"there is nothing to resume at {folder}; run without --resume")
    try:
        start = orjson.loads((folder / START).read_bytes())
        lines = journal.digests(folder / JOURNAL)
    except (FileNotFoundError, ValueError):
        return []  # killed before its first block
    if start["identity"] != identity:
        raise InputError(
            f"{folder} is of another identity: its scenario, the contracts or the tools have "
            "changed since; run without --resume to start afresh"
        )
    return lines


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a partial folder for this process alone, as long as it lives.

    Raises
    ------
    InputError
        Another process is writing it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder} is being written by another run") from None
        yield
    finally:
        os.close(handle)
