"""Which Anvil to run: where it may be, and whether it is one that was tested."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Iterator

from sim import cache as disk
from sim.errors import EnvironmentFault

TESTED_VERSION = "1.7.1"
PACKAGE = "@foundry-rs/anvil-linux-amd64"
IN_MODULES = Path("node_modules", PACKAGE, "bin", "anvil")
_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Anvil:
    """A native Anvil: its path, its version, and where it was found."""

    path: Path
    version: str
    origin: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where an Anvil may be, and why it is not used if it is not."""

    path: Path
    origin: str
    version: str | None
    problem: str | None


def find_anvil() -> Anvil:
    """Return the Anvil to run.

    Looked for in this order: `$PLIMSOLL_ANVIL`; `anvil` of this environment or on PATH, if it is
    native and of a tested version; `node_modules` of the project; the user's cache.

    Raises
    ------
    EnvironmentFault
        None is usable, or `$PLIMSOLL_ANVIL` is not.
    """
    return _find(os.environ.get("PLIMSOLL_ANVIL"), os.environ.get("PATH"), str(Path.cwd()))


@cache
def _find(chosen: str | None, path: str | None, project: str) -> Anvil:
    seen = []
    for candidate in candidates():
        if candidate.problem is None and candidate.version is not None:
            if candidate.version != TESTED_VERSION:
                _log.warning(
                    "Anvil %s of %s is near the tested %s, but is not it",
                    candidate.version,
                    candidate.path,
                    TESTED_VERSION,
                )
            return Anvil(candidate.path, candidate.version, candidate.origin)
        if candidate.origin == "$PLIMSOLL_ANVIL":
            raise EnvironmentFault(
                f"$PLIMSOLL_ANVIL is {candidate.path}, which {candidate.problem}"
                f" (wanted: the native Anvil {TESTED_VERSION})"
            )
        seen.append(f"{candidate.path} {candidate.problem}")
    found = f" ({'; '.join(seen)})" if seen else ""
    raise EnvironmentFault(f"no usable Anvil {TESTED_VERSION}{found}: run `plimsoll doctor --fix`")


def candidates() -> Iterator[Candidate]:
    """Yield every place where an `anvil` is, best first."""
    chosen = os.environ.get("PLIMSOLL_ANVIL")
    if chosen:
        yield _examine(Path(chosen).expanduser(), "$PLIMSOLL_ANVIL")
    search = os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ.get("PATH", "")])
    on_path = shutil.which("anvil", path=search)
    repository = Path(__file__).resolve().parents[2]
    places = [
        (Path(on_path) if on_path else None, "PATH"),
        (Path.cwd() / IN_MODULES, "node_modules"),
        (repository / IN_MODULES, "node_modules"),
        (cache_folder() / IN_MODULES, "cache"),
    ]
    for path, origin in places:
        if path is not None and path.exists():
            yield _examine(path, origin)


def cache_folder() -> Path:
    """Return the folder into which `plimsoll doctor --fix` installs Anvil."""
    return disk.folder("anvil")


def _examine(path: Path, origin: str) -> Candidate:
    version = None
    try:
        with path.open("rb") as file:
            native = file.read(4).startswith(_NATIVE)
        if not native:
            problem: str | None = "is not the native binary but a wrapper"
        else:
            version = _version(path.resolve())
            problem = _objection(version)
    except (OSError, subprocess.SubprocessError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        problem = f"cannot be run: {reason}"
    return Candidate(path, origin, version, problem)


def _objection(version: str | None) -> str | None:
    if version is None:
        return "does not say its version"
    if version.split(".")[:2] != TESTED_VERSION.split(".")[:2]:
        return f"is Anvil {version}, not {TESTED_VERSION}"
    return None


def _version(path: Path) -> str | None:
    done = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    match = re.search(r"anvil\D*(\d+\.\d+\.\d+)", done.stdout, re.IGNORECASE)
    return match[1] if match else None
