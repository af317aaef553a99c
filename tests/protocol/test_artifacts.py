"""Compiled contracts: right, kept while right, and never kept longer."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sim.errors import EnvironmentFault, InputError
from sim.protocol import artifacts as compiler
from sim.protocol.artifacts import artifact, artifacts, contracts_folder, deployables

HEAD = "# pragma version 0.4.3\n# pragma evm-version cancun\n# pragma optimize gas\n"
LIBRARY = HEAD + "@internal\n@pure\ndef _answer() -> uint256:\n    return {answer}\n"
CONTRACT = HEAD + "import library\n\n@external\n@pure\ndef f() -> uint256:\n    return {call}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLIMSOLL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "library.vy").write_text(LIBRARY.format(answer=42))
    (folder / "Mine.vy").write_text(CONTRACT.format(call="library._answer()"))
    return folder


def entries(project: Path) -> list[Path]:
    return sorted((project.parent / "cache" / "contracts").glob("*"))


def test_compiles_what_the_vyper_command_compiles() -> None:
    path = contracts_folder() / "rules" / "DutchAuction.vy"
    command = [str(Path(sys.executable).parent / "vyper"), "-p", str(contracts_folder())]
    done = subprocess.run(
        [*command, "-f", "bytecode", str(path)], capture_output=True, text=True, check=True
    )
    assert artifact("DutchAuction").bytecode.hex() == done.stdout.strip().removeprefix("0x")


def test_names_and_paths_are_the_same_contract() -> None:
    by_name = artifact("Oracle")
    assert by_name == artifact("Oracle.vy") == artifact(contracts_folder() / "Oracle.vy")
    assert by_name.path == "Oracle.vy"
    assert all(len(selector) == 4 for selector in by_name.selectors.values())


def test_deployables_leave_modules_interfaces_and_tests_out() -> None:
    assert "Oracle.vy" in deployables()
    assert not {path.partition("/")[0] for path in deployables()} & {
        "modules",
        "interfaces",
        "testing",
    }


def test_unknown_contract_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'ClearingHouse'"):
        artifact("ClearingHose")


def test_users_contract_may_import_the_shipped_interfaces(project: Path) -> None:
    mine = project / "MyRule.vy"
    mine.write_text(HEAD + "from interfaces import ILiquidationRule\nx: public(uint256)\n")
    assert artifact(mine).selectors.keys() == {"x()"}


def test_change_of_an_imported_file_compiles_again(project: Path) -> None:
    first = artifact(project / "Mine.vy")
    assert artifact(project / "Mine.vy") == first
    assert len(entries(project)) == 1
    (project / "library.vy").write_text(LIBRARY.format(answer=43))
    second = artifact(project / "Mine.vy")
    assert second.bytecode != first.bytecode
    (project / "library.vy").write_text(LIBRARY.format(answer=42))
    assert artifact(project / "Mine.vy") == first
    assert len(entries(project)) == 2


def test_unrelated_change_does_not(project: Path) -> None:
    artifact(project / "Mine.vy")
    (project / "other.vy").write_text(HEAD)
    artifact(project / "Mine.vy")
    assert len(entries(project)) == 1


def test_cache_keeps_few_versions_of_a_contract(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "_KEPT_VERSIONS", 2)
    for answer in range(4):
        (project / "library.vy").write_text(LIBRARY.format(answer=answer))
        artifact(project / "Mine.vy")
    assert len(entries(project)) == 2


def test_damaged_cache_is_mended(project: Path) -> None:
    good = artifact(project / "Mine.vy")
    [entry] = entries(project)
    for damage in (b"", b"{}", entry.read_bytes()[:-20]):
        entry.write_bytes(damage)
        assert artifact(project / "Mine.vy") == good


def test_cache_that_cannot_be_written_is_done_without(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file where the folder should be: works for root as well, unlike permissions.
    (project.parent / "cache").write_text("in the way")
    assert artifact(project / "Mine.vy").name == "Mine"


def test_cold_cache_is_filled_by_two_processes(project: Path) -> None:
    for n in range(3):
        (project / f"C{n}.vy").write_text(CONTRACT.format(call=f"library._answer() + {n}"))
    built = artifacts([project / f"C{n}.vy" for n in range(3)])
    assert list(built) == ["C0", "C1", "C2"]
    assert len({item.bytecode for item in built.values()}) == 3


def test_many_may_compile_the_same_at_once(project: Path) -> None:
    script = "import sys; from sim.protocol.artifacts import artifact; artifact(sys.argv[1])"

    def compile_apart(_: int) -> None:
        command = [sys.executable, "-c", script, str(project / "Mine.vy")]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_apart, range(2)))
    assert [entry.suffix for entry in entries(project)] == [".json"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("# pragma version 0.3.10\n", "Mine.vy does not compile"),
        (HEAD + "x: uint256 = \n", "line 4"),
        (HEAD + "from interfaces import INothing\n", "INothing"),
        (HEAD.replace("cancun", "london"), "conflict"),
    ],
)
def test_errors_name_file_and_reason(project: Path, source: str, said: str) -> None:
    (project / "Mine.vy").write_text(source)
    with pytest.raises(InputError, match=said):
        artifact(project / "Mine.vy")


def test_error_in_one_of_many_is_reported(project: Path) -> None:
    (project / "Bad.vy").write_text(HEAD + "x: nonsense\n")
    with pytest.raises(InputError, match=r"Bad\.vy does not compile"):
        artifacts([project / "Mine.vy", project / "Bad.vy"])


def test_missing_contracts_folder_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "__file__", str(tmp_path / "sim" / "protocol" / "artifacts.py"))
    with pytest.raises(EnvironmentFault, match="contracts are missing"):
        contracts_folder()
