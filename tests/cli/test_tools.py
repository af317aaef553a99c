"""`plimsoll doctor`, `init` and `bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.bench import Figure, Report, chain
from sim.chain.binary import find_anvil
from sim.cli import doctor, main_group
from sim.errors import EnvironmentFault, InputError


def plimsoll(*arguments: str) -> tuple[int, str]:
    """Return exit status and output; errors for people come through as they are."""
    result = CliRunner().invoke(main_group, list(arguments), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, result.output


def findings(*arguments: str) -> tuple[int, dict[str, dict[str, str | None]]]:
    status, output = plimsoll("doctor", "--json", *arguments)
    return status, {item["what"]: item for item in json.loads(output)["findings"]}


def test_doctor_is_content_here() -> None:
    try:
        find_anvil()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    status, found = findings()
    assert status == 0
    assert not [item for item in found.values() if item["problem"]]
    assert "ready to run" in plimsoll("doctor")[1]


def test_doctor_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLIMSOLL_ANVIL", str(tmp_path / "none"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLIMSOLL_CACHE", str(tmp_path / "file"))
    monkeypatch.setitem(doctor.PACKAGES, "no-such-package", "1.0")
    status, found = findings()
    assert status == 2
    assert found["anvil"]["problem"] == "unset it"
    assert found["no-such-package"]["problem"] == "install no-such-package==1.0"
    assert found["cache"]["problem"] == "set PLIMSOLL_CACHE to a folder"
    assert "not ready" in plimsoll("doctor")[1]


def test_doctor_does_not_fetch_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_anvil()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    monkeypatch.setattr("sim.chain.install.install_anvil", lambda folder: pytest.fail("fetched"))
    assert findings("--fix")[0] == 0


def test_init_makes_a_project_that_validates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plimsoll("init", "My Tests")
    assert sorted(path.name for path in (tmp_path / "My Tests").iterdir()) == [
        ".gitignore",
        "README.md",
        "my-tests.yaml",
    ]
    plimsoll("validate", "My Tests/my-tests.yaml")
    with pytest.raises(InputError, match="is not empty"):
        plimsoll("init", "My Tests")
    with pytest.raises(InputError, match="needs a name"):
        plimsoll("init", "///")


def test_bench_prints_figures_and_goals(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Report(
        name="chain",
        about="a test",
        figures=(Figure("speed", 34.5, "x web3.py", "at least 33", True),),
        machine="here",
    )
    monkeypatch.setattr(chain, "run", lambda quick: measured)
    shown = plimsoll("bench", "chain")[1]
    assert "34.5" in shown
    assert "at least 33 met" in shown
    [report] = json.loads(plimsoll("bench", "chain", "--json")[1])["reports"]
    assert report["figures"][0]["met"] is True
    with pytest.raises(InputError, match="did you mean 'chain'"):
        plimsoll("bench", "chian")


def test_routes_of_the_chain_benchmark_run() -> None:
    for route in (chain._backend("revm"), chain._bare_revm()):
        with route as send:
            send(3)
    assert 300_000 < chain._gas() < 700_000
