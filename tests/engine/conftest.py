"""One small run for all tests of this folder, and copies of it to spoil."""

import shutil
from pathlib import Path

import pytest

from sim.engine import run
from sim.results import Run

SMALL = Path(__file__).with_name("small.yaml")


@pytest.fixture(scope="session")
def crash(tmp_path_factory):
    """Five accounts are liquidated, which its `expect:` does not allow."""
    return run(SMALL, backend="revm", out=tmp_path_factory.mktemp("runs") / "crash")


@pytest.fixture
def spoilt(crash, tmp_path):
    """A copy of the run for a test to falsify."""
    return Run(Path(shutil.copytree(crash.folder, tmp_path / "spoilt")))
