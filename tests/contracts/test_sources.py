"""What holds of every contract: header, documentation, size, and the surface kept in a snapshot.

    python -m tests.contracts.test_sources

writes the snapshot anew, when a change of the surface is meant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vyper import ast as vy_ast
from vyper.ast.parse import parse_to_ast

from sim.protocol.artifacts import artifact, contracts_folder, deployables
from tests.contracts.feeds import WAD
from tests.contracts.harbour import Harbour
from tests.evm import Contract

SNAPSHOT = Path(__file__).parents[1] / "vectors" / "contracts.json"
ROOT = contracts_folder()
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.vy*"))
DEPLOYED = [path for path in SOURCES if path.endswith(".vy") and Path(path).stem[0].isupper()]
PRAGMAS = ("version 0.4.3", "nonreentrancy on", "evm-version cancun", "optimize gas")
LOCKLESS = ("testing/",)  # tokens that call back must not be protected from themselves


def header(path: str) -> str:
    return (ROOT / path).read_text().split("\nfrom ")[0]


@pytest.mark.parametrize("path", SOURCES)
def test_pragmas(path: str) -> None:
    needed = PRAGMAS if path in DEPLOYED else PRAGMAS[: 1 if path.endswith(".vyi") else 2]
    for pragma in needed:
        if pragma != "nonreentrancy on" or not path.startswith(LOCKLESS):
            assert f"# pragma {pragma}\n" in header(path)


@pytest.mark.parametrize("path", SOURCES)
def test_header(path: str) -> None:
    tags = ["@title", "@license Apache-2.0", "@notice"]
    if path in DEPLOYED:
        tags += ["@custom:kill"]
    for tag in tags:
        assert tag in header(path)


@pytest.mark.parametrize("path", [p for p in SOURCES if not p.startswith("testing/")])
def test_every_refusal_gives_its_reason(path: str) -> None:
    """Or asks a contract that does: a reason names the module or contract, then what is wrong."""
    if path.endswith(".vyi"):
        return
    tree = parse_to_ast((ROOT / path).read_text(), is_interface=False)
    for node in tree.get_descendants((vy_ast.Assert, vy_ast.Raise)):
        reason = node.msg if isinstance(node, vy_ast.Assert) else node.exc
        if reason is None and isinstance(node, vy_ast.Assert):
            reason = node.test if isinstance(node.test, vy_ast.StaticCall) else None
            assert reason is not None, f"{path}:{node.lineno}"
            assert reason.value.func.attr.startswith("check_"), f"{path}:{node.lineno}"
        else:
            assert isinstance(reason, vy_ast.Str), f"{path}:{node.lineno}"
            assert ": " in reason.value, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", [p for p in SOURCES if not p.startswith("testing/")])
def test_every_external_function_is_documented(path: str) -> None:
    if path.endswith(".vyi"):
        return
    tree = parse_to_ast((ROOT / path).read_text(), is_interface=False)
    for function in tree.get_children(vy_ast.FunctionDef):
        decorators = {node.id for node in function.decorator_list if isinstance(node, vy_ast.Name)}
        if "external" in decorators:
            text = function.doc_string.value if function.doc_string else ""
            assert "@notice" in text or "@return" in text, function.name


def test_every_contract_of_a_deployment_fits() -> None:
    """Immutables, which the compiler leaves out of its figure, included."""
    harbour = Harbour(rule=("DutchAuction", (WAD, WAD // 2, 60, 60, 60, 0)))
    contracts = [part for part in vars(harbour).values() if isinstance(part, Contract)]
    assert len(contracts) > 10
    for contract in contracts:
        assert harbour.evm.size(contract.address) <= 24_576


@pytest.mark.parametrize("path", deployables())
def test_the_surface_is_that_of_the_snapshot(path: str) -> None:
    assert surface(path) == json.loads(SNAPSHOT.read_text())[path], (
        "if this is meant: python -m tests.contracts.test_sources"
    )


def test_the_snapshot_knows_every_contract() -> None:
    assert sorted(json.loads(SNAPSHOT.read_text())) == sorted(deployables())


def surface(path: str) -> dict[str, Any]:
    """Signatures and storage slots of a contract."""
    built = artifact(path)
    return {
        "interface": sorted(_signature(entry) for entry in built.abi),
        "storage": _slots(built.layout.get("storage_layout", {})),
    }


def _signature(entry: dict[str, Any]) -> str:
    def types(items: list[dict[str, Any]]) -> str:
        return ",".join(_type(item) + (" indexed" * item.get("indexed", False)) for item in items)

    name, inputs = entry.get("name", ""), types(entry.get("inputs", []))
    if entry["type"] == "function":
        outputs = types(entry["outputs"])
        return f"function {name}({inputs}) {entry['stateMutability']} ({outputs})"
    return f"{entry['type']} {name}({inputs})"


def _type(item: dict[str, Any]) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    parts = ",".join(_type(part) for part in item["components"])
    return f"({parts}){item['type'].removeprefix('tuple')}"


def _slots(layout: dict[str, Any], prefix: str = "") -> list[str]:
    """List variables by slot, those of modules under the module's name."""
    found: list[tuple[int, str]] = []

    def walk(part: dict[str, Any], prefix: str) -> None:
        for name, entry in part.items():
            if "slot" in entry and "type" in entry:
                found.append((int(entry["slot"]), f"{prefix}{name}: {entry['type']}"))
            else:
                walk(entry, f"{prefix}{name}.")

    walk(layout, "")
    return [f"{slot} {name}" for slot, name in sorted(found)]


def main() -> None:
    surfaces = {path: surface(path) for path in deployables()}
    SNAPSHOT.write_text(json.dumps(surfaces, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
