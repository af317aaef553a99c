"""`plimsoll new`: a commented template of something of one's own, with a test."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path

import click

from sim.errors import InputError

# Template, and the name that it is written under.
_FILES = {
    "scenario": {"scenario.yaml": "{name}.yaml", "test_scenario.py": "test_{ident}.py"},
    "agent": {"agent.py": "{ident}.py", "test_agent.py": "test_{ident}.py"},
    "rule": {
        "rule.vy": "{Name}.vy",
        "rule.yaml": "{name}.yaml",
        "test_rule.py": "test_{ident}.py",
    },
    "engine": {
        "engine.vy": "{Name}.vy",
        "engine.py": "{ident}.py",
        "engine.yaml": "{name}.yaml",
        "test_engine.py": "test_{ident}.py",
    },
}


@click.command()
@click.argument("kind", type=click.Choice(list(_FILES)))
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("."),
    help="Where to write; here unless given.",
)
def command(kind: str, name: str, folder: Path) -> None:
    """Write a commented template of a scenario, agent, rule or engine called NAME, with a test.

    A rule or an engine is a Vyper contract with a scenario that runs it; an engine has its
    reference in Python too, which verifies it.

    \b
    Examples:
      plimsoll new scenario weekend-gap
      plimsoll new agent dip-buyer && pytest test_dip_buyer.py
      plimsoll new rule falling-price && plimsoll run falling-price.yaml
      plimsoll new engine my-margin --folder my-margin
    """
    names = _names(name)
    sources = list(_FILES[kind])
    targets = [folder / pattern.format(**names) for pattern in _FILES[kind].values()]
    for target in targets:
        if target.exists():
            raise InputError(f"{target} exists; choose another name or folder")
    folder.mkdir(parents=True, exist_ok=True)
    for source, target in zip(sources, targets, strict=True):
        text = (files("sim") / "templates" / f"{source}.in").read_text(encoding="utf-8")
        for key, value in names.items():
            text = text.replace(f"__{key}__", value)
        target.write_text(text, encoding="utf-8")
        click.echo(f"wrote {target}")


def _names(name: str) -> dict[str, str]:
    """Return the spellings of a name: as in a scenario, as a module, as a class."""
    if not re.fullmatch(r"[A-Za-z0-9 _-]*", name):
        raise InputError(f"{name!r} is not a name; --folder says where to write")
    words = re.findall(r"[A-Za-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name))
    ident = "_".join(word.lower() for word in words)
    if not ident or ident[0].isdigit() or keyword.iskeyword(ident) or len(name) > 60:
        raise InputError(f"{name!r} is not a name: letters and digits, beginning with a letter")
    return {
        "name": ident.replace("_", "-"),
        "ident": ident,
        "Name": "".join(word[0].upper() + word[1:] for word in words),
    }
