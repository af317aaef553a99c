"""The commands of the guides run, and print what the guides say they print.

A guide's YAML block that begins with `# NAME` is the file of that name; its console blocks are run
in order. In what they print, … stands for anything, on a line of its own for any lines; of integers
in WAD and figures with six decimals the last digits are the kernel's own, and are not compared.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Iterator

import pytest

from sim.cli import main
from tests.e2e.runs import needs_anvil

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with the lines that it should print."""
    for block in blocks(text, "console"):
        for part in block.split("$ ")[1:]:
            command, *printed = part.splitlines()
            yield command, printed


def rounded(line: str) -> str:
    line = re.sub(r"\d{12,}", "#", " ".join(line.split()))
    return re.sub(r"\d[\d,]*\.\d{6}", lambda m: f"{float(m[0].replace(',', '')):.1f}", line)


def matches(printed: str, expected: list[str]) -> object:
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else rf"{re.escape(rounded(line)).replace('…', '.*')}\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{rounded(line)}\n" for line in printed.splitlines()))


def test_what_is_printed_is_compared():
    assert matches("one\ntwo  \nthree 3\n", ["one", "…", "three …"])
    assert not matches("one\ntwo\nthree 3\n", ["one", "three …"])
    assert not matches("one\ntwo\n", ["one"])
    assert matches("a  1234567890123  1,234.000004\n", ["a 12345678901234 1,234.000000"])
    assert not matches("a  1,234.100000\n", ["a 1,234.000000"])


@needs_anvil
@pytest.mark.parametrize("guide", ["audit-a-run", "your-own-rule"])
def test_the_commands_of_a_guide_print_what_it_says(guide, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (GUIDES / f"{guide}.md").read_text(encoding="utf-8")
    for block in blocks(text, "yaml"):
        named = re.match(r"# (\S+\.yaml)\n", block)
        if named:
            (tmp_path / named[1]).write_text(block)
    found = list(commands(text))
    assert len(found) >= 5
    for command, expected in found:
        program, *arguments = shlex.split(command)
        assert program == "plimsoll"
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        assert ended.value.code in (0, 1), printed.err
        assert matches(printed.out, expected), f"{command}\n{printed.out}"
