"""Getting Anvil, with an npm that only pretends."""

from __future__ import annotations

import platform
import stat
from pathlib import Path

import pytest

from sim.chain.binary import IN_MODULES
from sim.chain.install import install_anvil
from sim.errors import EnvironmentFault

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="there is no packaged Anvil for this platform"
)
WORKS = f"""
[ "$1" = ci ] && [ -f package-lock.json ] && [ -f .npmrc ] || exit 9
mkdir -p {IN_MODULES.parent}
echo binary > {IN_MODULES}
"""


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("npm", "node"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return tools / "npm"


def pretend(npm: Path, text: str) -> None:
    npm.write_text(f"#!/bin/sh\n{text}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)


def test_installs_and_replaces_what_was_there(npm: Path, tmp_path: Path) -> None:
    pretend(npm, WORKS)
    folder = tmp_path / "cache" / "anvil"
    path = install_anvil(folder)
    assert path.read_text() == "binary\n"
    path.write_text("old")
    assert install_anvil(folder).read_text() == "binary\n"
    assert [entry.name for entry in folder.iterdir()] == ["node_modules"]


def test_failure_tells_why_and_leaves_nothing_half_done(npm: Path, tmp_path: Path) -> None:
    pretend(npm, "echo 'npm error: no such host' >&2; exit 1")
    with pytest.raises(EnvironmentFault, match=r"npm failed while getting Anvil: .*no such host"):
        install_anvil(tmp_path / "anvil")
    assert list((tmp_path / "anvil").iterdir()) == []


def test_npm_that_installs_nothing_is_a_fault(npm: Path, tmp_path: Path) -> None:
    pretend(npm, "exit 0")
    with pytest.raises(EnvironmentFault, match="without installing Anvil"):
        install_anvil(tmp_path / "anvil")


def test_folder_that_cannot_be_made(npm: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="Not a directory"):
        install_anvil(tmp_path / "file" / "anvil")


def test_other_platform_is_told_to_install_foundry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(EnvironmentFault, match="install Foundry"):
        install_anvil(tmp_path)
