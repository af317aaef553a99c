"""Contracts compiled once, and kept for as long as none of their sources changes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Iterable, Sequence

import orjson

from sim import cache as disk
from sim.errors import EnvironmentFault, InputError, unknown

EVM_VERSION = "cancun"
_FORMAT = 1
_KEPT_VERSIONS = 20
_NOT_DEPLOYED = {"modules", "interfaces", "testing"}
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract.

    Attributes
    ----------
    name
        The contract's name, which is its file's stem.
    path
        The file, relative to the contracts folder where it lies inside.
    abi
        JSON ABI.
    bytecode
        Initialisation code; constructor arguments are appended to it.
    layout
        Storage layout as the compiler reports it.
    selectors
        Four-byte selector of every external function, by signature.
    """

    name: str
    path: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    layout: dict[str, Any]
    selectors: dict[str, bytes]

    @property
    def bytecode_hash(self) -> str:
        """SHA-256 of the initialisation code, in hex: part of a run's identity."""
        return hashlib.sha256(self.bytecode).hexdigest()


def contracts_folder() -> Path:
    """Return the folder of the Vyper sources: inside a wheel's package, else beside it."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_contracts", package.parent / "contracts"):
        if folder.is_dir():
            return folder
    raise EnvironmentFault(f"the contracts are missing: no _contracts in {package}, none beside it")


def deployables() -> tuple[str, ...]:
    """Return the contracts that stand alone: sorted paths inside the contracts folder."""
    root = contracts_folder()
    paths = (path.relative_to(root) for path in root.rglob("*.vy"))
    return tuple(sorted(p.as_posix() for p in paths if p.parts[0] not in _NOT_DEPLOYED))


def artifact(contract: str | Path, *, venom: bool = False) -> Artifact:
    """Return one compiled contract.

    Parameters
    ----------
    contract
        A name ("ClearingHouse"), a path inside the contracts folder ("engines/LtvEngine.vy"),
        or the path of a user's own `.vy` file, which may import from the contracts folder.
    venom
        Use the experimental code generation, for differential tests only.

    Raises
    ------
    InputError
        No such contract, or it does not compile.
    """
    source = _locate(contract)
    entry = _entry(source, venom)
    found = _read(entry)
    if found is None:
        found = _compile(source, venom)
        _write(entry, found)
    return found


def artifacts(contracts: Iterable[str | Path] | None = None) -> dict[str, Artifact]:
    """Return compiled contracts by name, compiling what is not cached in two processes.

    By default all that `deployables` lists.
    """
    chosen = deployables() if contracts is None else list(contracts)
    missing = [p for p in map(_locate, chosen) if not _entry(p, False).exists()]
    if len(missing) > 1:
        _compile_apart(missing)
    built = [artifact(contract) for contract in chosen]
    return {item.name: item for item in built}


def _locate(contract: str | Path) -> Path:
    root = contracts_folder()
    for path in (root / contract, Path(contract)):
        if path.suffix == ".vy" and path.is_file():
            return path.resolve()
    by_name = {path.stem: path for path in sorted(root.rglob("*.vy"))}
    if str(contract) in by_name:
        return by_name[str(contract)].resolve()
    if str(contract).endswith(".vy"):
        raise InputError(f"no Vyper file at {str(contract)!r}")
    raise unknown("contract", str(contract), by_name)


@cache
def _compiler_version() -> str:
    from vyper import __long_version__

    return str(__long_version__)


def _entry(source: Path, venom: bool) -> Path:
    """Return the cache file for the present contents of `source` and all that it may import.

    Imports are not resolved: every file whose stem is a word of the source counts as imported. That
    can only recompile too often, never too seldom.
    """
    root = contracts_folder().resolve()
    known: dict[str, list[Path]] = {}
    for base in dict.fromkeys((root, source.parent)):
        for path in sorted(base.rglob("*.vy*")):
            known.setdefault(path.stem, []).append(path)

    digest = hashlib.sha256(f"{_FORMAT} {_compiler_version()} {EVM_VERSION} {venom}".encode())
    waiting, seen = [source], {source}
    while waiting:
        path = waiting.pop()
        text = path.read_bytes()
        label = path.relative_to(root) if path.is_relative_to(root) else path
        digest.update(f"\n{label} {len(text)}\n".encode() + text)
        for word in sorted(set(_WORD.findall(text.decode()))):
            for imported in known.get(word, []):
                if imported not in seen:
                    seen.add(imported)
                    waiting.append(imported)
    return disk.folder("contracts") / f"{source.stem}-{digest.hexdigest()[:32]}.json"


def _compile(source: Path, venom: bool) -> Artifact:
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
    from vyper.compiler.settings import OptimizationLevel, Settings
    from vyper.exceptions import VyperException

    root = contracts_folder().resolve()
    label = source.relative_to(root) if source.is_relative_to(root) else source
    try:
        built = compile_from_file_input(
            FileInput(0, label, source, source.read_text()),
            input_bundle=FilesystemInputBundle([root]),
            settings=Settings(
                evm_version=EVM_VERSION,
                optimize=OptimizationLevel.GAS,
                experimental_codegen=venom or None,
            ),
            output_formats=("abi", "bytecode", "layout", "method_identifiers"),
        )
    except (VyperException, ValueError, SyntaxError) as error:
        raise InputError(f"{label} does not compile: {error}") from None
    return Artifact(
        name=source.stem,
        path=str(label),
        abi=built["abi"],
        bytecode=bytes.fromhex(built["bytecode"].removeprefix("0x")),
        layout=orjson.loads(orjson.dumps(built["layout"])),
        selectors={
            signature: int(selector, 16).to_bytes(4, "big")
            for signature, selector in built["method_identifiers"].items()
        },
    )


def _compile_apart(sources: Sequence[Path]) -> None:
    """Fill the cache from two fresh processes; whatever fails there is reported by `artifact`."""
    by_size = sorted(sources, key=lambda path: path.stat().st_size, reverse=True)
    search = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, share)],
            env={**os.environ, "PYTHONPATH": search},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for share in (by_size[0::2], by_size[1::2])
    ]
    for worker in workers:
        worker.wait()


def _read(entry: Path) -> Artifact | None:
    try:
        stored = orjson.loads(entry.read_bytes())
        stored["bytecode"] = bytes.fromhex(stored["bytecode"])
        stored["selectors"] = {k: bytes.fromhex(v) for k, v in stored["selectors"].items()}
        return Artifact(**stored)
    except OSError:
        return None
    except (ValueError, KeyError, TypeError):
        return None  # damaged: compiled again and replaced


def _write(entry: Path, built: Artifact) -> None:
    stored = {
        "name": built.name,
        "path": built.path,
        "abi": built.abi,
        "bytecode": built.bytecode.hex(),
        "layout": built.layout,
        "selectors": {k: v.hex() for k, v in built.selectors.items()},
    }
    part = entry.with_suffix(f".{os.getpid()}.tmp")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(orjson.dumps(stored))
        part.replace(entry)
        versions = entry.parent.glob(f"{built.name}-*.json")
        for old in sorted(versions, key=lambda path: path.stat().st_mtime)[:-_KEPT_VERSIONS]:
            old.unlink(missing_ok=True)
    except OSError:
        # A cache that cannot be written costs time, nothing else.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def main(contracts: Sequence[str]) -> None:
    """Compile these files into the cache, or all that `deployables` lists."""
    if not contracts:
        artifacts()
    for contract in contracts:
        artifact(Path(contract))


if __name__ == "__main__":
    main(sys.argv[1:])
