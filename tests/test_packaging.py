"""What is shipped: a wheel that carries its contracts and data, and locks that can be trusted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import sim
from sim.chain.binary import PACKAGE, TESTED_VERSION
from sim.protocol.artifacts import contracts_folder

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "sim" / "chain" / "node"
LOCKS = [*sorted((ROOT / "setup").glob("*.txt")), NODE / "nodejs.txt"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_by_hash_and_name_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_lock_holds_every_dependency_at_its_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    lock = (ROOT / "setup" / "requirements.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.MULTILINE))
    for requirement in wanted:
        match = re.match(r"([A-Za-z0-9._-]+)(?:==(\S+))?", requirement)
        assert match is not None
        name = re.sub(r"[._]", "-", match[1]).lower()
        assert name in locked, requirement
        assert match[2] in (None, locked[name]), requirement


def test_node_lock_is_of_the_tested_anvil_and_runs_no_scripts() -> None:
    lock = json.loads((NODE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert list(packages) == [f"node_modules/{PACKAGE}"]
    [entry] = packages.values()
    assert entry["version"] == TESTED_VERSION
    assert entry["integrity"].startswith("sha512-")
    assert "resolved" not in entry
    assert "hasInstallScript" not in entry


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == sim.__version__


def test_the_reference_loads_neither_chain_nor_compiler() -> None:
    script = (
        "import sys, sim, sim.reference\n"
        "heavy = {'web3', 'ape', 'vyper', 'pyrevm', 'eth_abi', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from what setting up has left in uv's cache."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("uv is not installed, and pip cannot build without a network")
    folder = tmp_path_factory.mktemp("wheel")
    constraints = ["--build-constraints", str(ROOT / "setup" / "build.txt")]
    done = subprocess.run(
        [uv, "build", "--quiet", "--offline", "--wheel", *constraints, "--out-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the build tools are not in uv's cache: {done.stderr.strip()[-200:]}")
    [built] = folder.glob("*.whl")
    return built


def test_wheel_carries_contracts_and_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    root = contracts_folder()
    for source in root.rglob("*.vy*"):
        assert f"sim/_contracts/{source.relative_to(root).as_posix()}" in names
    for data in ("sim/rulebooks/house.yaml", "sim/chain/node/.npmrc", "sim/chain/node/nodejs.txt"):
        assert data in names
    for folder in ("history", "scenario/library"):
        assert any(name.startswith(f"sim/{folder}/") for name in names), folder
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"sim", f"plimsoll-{sim.__version__}.dist-info"}


def test_wheel_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "PLIMSOLL_CACHE": str(tmp_path / "cache"),
    }

    def plimsoll(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "import sim.cli; sim.cli.main()", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    found = json.loads(plimsoll("doctor", "--json").stdout)
    by_name = {finding["what"]: finding["state"] for finding in found["findings"]}
    assert str(site) in by_name["plimsoll"]
    assert by_name["contracts"].endswith(str(site / "sim" / "_contracts"))
    made = plimsoll("init", "my-project")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "my-project" / "my-project.yaml").is_file()
    checked = plimsoll("validate", "my-project/my-project.yaml")
    assert checked.returncode == 0, checked.stderr
    again = plimsoll("init", "my-project")
    assert again.returncode == 2
    assert "is not empty" in again.stderr
