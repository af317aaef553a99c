"""`plimsoll init`: a project folder to start from."""

from __future__ import annotations

from pathlib import Path

import click

from sim.errors import InputError

_SCENARIO = """\
schema: 1
name: {name}
description: Black Thursday, with a seed of our own.
extends: black-thursday
seed: 1

# Everything that is not said here comes from the scenario above. Try, for example:
#   protocol: {{liquidation: {{rule: partial_step}}}}
# or, without editing:  plimsoll run {name}.yaml --set protocol.liquidation.rule=partial_step

expect:
  decision_flips: 0
"""

_README = """\
# {name}

A Plimsoll project: scenarios that put margin and liquidation rules through a crash.

    plimsoll doctor --fix            get Anvil, once
    plimsoll validate {name}.yaml
    plimsoll run {name}.yaml         runs/… holds the tables and report.html
    plimsoll list scenarios          what is shipped to start from

A scenario is a test: if an expectation under `expect:` is broken, `plimsoll run` exits with 1.
"""

_IGNORED = "runs/\n*.partial/\n"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def command(folder: Path) -> None:
    """Make FOLDER a project with a scenario and a README.

    \b
    Example:
      plimsoll init my-margin-tests
    """
    name = "".join(c if c.isalnum() else "-" for c in folder.resolve().name.lower()).strip("-")
    if not name:
        raise InputError(f"{folder}: a project's folder needs a name of letters or digits")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; choose a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        f"{name}.yaml": _SCENARIO.format(name=name),
        "README.md": _README.format(name=name),
        ".gitignore": _IGNORED,
    }
    for file, text in files.items():
        (folder / file).write_text(text)
    click.echo(f"made {folder} with {', '.join(files)}; next: cd {folder} && plimsoll doctor --fix")
