"""`plimsoll doctor`: what is installed, what is wrong, and how to mend it."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import orjson

from sim import __version__
from sim import cache as disk
from sim.errors import PlimsollError
from sim.report.terminal import terminal

PACKAGES = {
    "vyper": "0.4.3",
    "pyrevm": "0.3.7",
    "numpy": "1.26.4",
    "web3": None,
    "eth-ape": "0.8.51",
    "ape-foundry": "0.8.12",
    "ape-vyper": "0.8.12",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `problem` is None if all is well, else it says how to mend it."""

    what: str
    state: str
    problem: str | None = None


@click.command()
@click.option("--fix", is_flag=True, help="Get Anvil into the user's cache if none is usable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(fix: bool, as_json: bool) -> int:
    """Say what is installed, what is wrong and how to mend it.

    The exit status is 0 if a scenario can run here, else 2.

    \b
    Examples:
      plimsoll doctor
      plimsoll doctor --fix
    """
    if fix:
        _get_anvil()
    findings = [
        Finding("plimsoll", f"{__version__} in {Path(__file__).resolve().parents[1]}"),
        _python(),
        *(_package(name, wanted) for name, wanted in PACKAGES.items()),
        _contracts(),
        _anvil(),
        _cache(),
        Finding("npm", shutil.which("npm") or "none on PATH: fetched from PyPI when needed"),
    ]
    sound = all(finding.problem is None for finding in findings)
    if as_json:
        found = [asdict(finding) for finding in findings]
        click.echo(orjson.dumps({"sound": sound, "findings": found}))
    else:
        console = terminal()
        for finding in findings:
            mark = "[green]ok[/]  " if finding.problem is None else "[red]no[/]  "
            console.print(f"{mark}{finding.what:<12} {finding.state}")
            if finding.problem:
                console.print(f"    {'':<12} → {finding.problem}")
        console.print("ready to run" if sound else "not ready: see the lines with an arrow")
    return 0 if sound else 2


def _get_anvil() -> None:
    from sim.chain.binary import cache_folder, find_anvil
    from sim.chain.install import install_anvil
    from sim.errors import EnvironmentFault

    try:
        find_anvil()
    except EnvironmentFault:
        install_anvil(cache_folder())


def _python() -> Finding:
    state = f"{platform.python_version()} at {sys.executable}"
    fits = (3, 11) <= sys.version_info < (3, 13)
    return Finding("python", state, None if fits else "install Plimsoll on Python 3.11 or 3.12")


def _package(name: str, wanted: str | None) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "missing", f"install {name}{f'=={wanted}' if wanted else ''}")
    if wanted is not None and found != wanted:
        return Finding(name, f"{found}, not {wanted}", f"install {name}=={wanted}")
    return Finding(name, found)


def _contracts() -> Finding:
    from sim.protocol.artifacts import contracts_folder, deployables

    try:
        return Finding("contracts", f"{len(deployables())} in {contracts_folder()}")
    except PlimsollError as error:
        return Finding("contracts", "missing", str(error))


def _anvil() -> Finding:
    from sim.chain.anvil import AnvilBackend
    from sim.chain.binary import TESTED_VERSION

    try:
        with AnvilBackend(timestamp=1) as chain:
            chain.mine([], 2)
            anvil = chain.anvil
    except PlimsollError as error:
        hint = "unset it" if "$PLIMSOLL_ANVIL" in str(error) else "plimsoll doctor --fix"
        return Finding("anvil", str(error), hint)
    near = "" if anvil.version == TESTED_VERSION else f", near the tested {TESTED_VERSION}"
    return Finding("anvil", f"{anvil.version}{near} at {anvil.path} ({anvil.origin})")


def _cache() -> Finding:
    folder = disk.folder("contracts")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        return Finding("cache", f"{folder}: {error.strerror}", "set PLIMSOLL_CACHE to a folder")
    return Finding("cache", str(folder))
