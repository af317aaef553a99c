"""Scenario files: shipped names and paths, `extends`, `--set`, errors that point at the line."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any, Iterator, Sequence

from pydantic import ValidationError

from sim import rulebooks
from sim.errors import InputError, unknown
from sim.marked import Document, Mark, Path_, format_path, parse, parse_path, read, shown
from sim.model import SettingError
from sim.protocol import deploy
from sim.protocol.arguments import ArgumentError
from sim.protocol.settings import ENGINES, RULES
from sim.scenario.model import Scenario
from sim.units import QUOTE, duration

SUFFIXES = (".yaml", ".yml")
EXTENDS_MAX = 16


def shipped() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    names = (entry.name for entry in _library().iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def locate(name: str, folder: Path | None = None) -> Path:
    """Return the file of a shipped scenario, or of a path that may be relative to `folder`.

    Raises
    ------
    InputError
        There is none; with the nearest shipped name.
    """
    candidate = (folder or Path.cwd()) / Path(name).expanduser()
    if candidate.suffix in SUFFIXES and candidate.is_file():
        return candidate
    for place in (_library() / f"{name}.yaml", _library() / name):
        if place.is_file() and place.resolve().is_relative_to(_library().resolve()):
            return place
    if candidate.suffix in SUFFIXES and candidate.is_dir():
        raise InputError(f"no scenario file {name!r}: {candidate} is a folder")
    if candidate.suffix in SUFFIXES or "/" in name:
        raise InputError(f"no scenario file {name!r}: {candidate} does not exist")
    raise unknown("scenario", name, shipped())


def load(name: str, sets: Sequence[str] = (), seed: int | None = None) -> Scenario:
    """Return the scenario of a shipped name or a path.

    Parameters
    ----------
    name
        Shipped name, or path of a YAML file.
    sets
        `path=value` overrides in order, as of `--set`.
    seed
        Overrides the scenario's own.

    Raises
    ------
    InputError
        Naming file, line, column and what is allowed.
    """
    path = locate(name)
    document = assemble(path)
    for text in sets:
        override(document, text)
    if seed is not None:
        override(document, f"seed={seed}")
    return validate(document, path.parent.resolve())


def assemble(path: Path) -> Document:
    """Return a file's data with what it extends merged under it.

    Maps merge, everything else replaces, and null takes a key away.
    """
    return _assembled(path, ())


def override(document: Document, text: str) -> None:
    """Apply one `path=value`; a list element is addressed by `[i]` or by its `name` (or `use`)."""
    target, equals, value = text.partition("=")
    target = target.strip()
    if not equals or not target:
        raise InputError(f"--set {text!r}: write path=value, such as market.factors.ETH.vol=90%")
    source = f"--set {target}"
    new = parse(value, source)
    new.marks = dict.fromkeys(new.marks, Mark("--set"))
    place: Any = document.data
    resolved: list[str | int] = []
    path = parse_path(target)
    for i, key in enumerate(path):
        if isinstance(place, list):
            key = _element(place, key, source)
        elif not isinstance(place, dict):
            where = format_path(resolved)
            raise InputError(f"{source}: {where} holds {place!r}, nothing is below it")
        resolved.append(key)
        if i == len(path) - 1:
            place[key] = new.data
        elif isinstance(place, dict) and key not in place:
            document.marks[tuple(resolved)] = Mark("--set")
            place[key] = {}
            place = place[key]
        else:
            place = place[key]
    _remark(document, new, tuple(resolved), ())


def validate(document: Document, folder: Path) -> Scenario:
    """Return the scenario of a document whose relative paths start at `folder`.

    Raises
    ------
    InputError
        One line for each thing that is wrong, with file, line and column.
    """
    protocol = document.data.get("protocol") if isinstance(document.data, dict) else None
    quote = protocol.get("quote", QUOTE) if isinstance(protocol, dict) else QUOTE
    context = {"folder": folder, "document": document, "quote": quote}
    scenario = document.build(Scenario, context=context)
    for i, group in enumerate(scenario.agents):
        # Of what was drawn, only the distribution stands in the file.
        where: Path_ = ("agents", i, "params")
        try:
            for _, params in group.members(scenario.streams):
                scenario.check_names(params)
        except ValidationError as failure:
            raise document.explained(failure, group.agent.Params, where) from None
        except SettingError as error:
            raise scenario.error((*where, *error.path), error) from None
    _check_protocol(scenario)
    # Who cuts a run short with --set means to leave out what comes later.
    horizon = (("horizon", key) for key in ("steps", "step"))
    if not any(document.where(path).source == "--set" for path in horizon):
        _check_times(scenario)
    return scenario


_NOBODY = "0x" + 40 * "0"


def _check_protocol(scenario: Scenario) -> None:
    """Refuse what the protocol cannot be set up with."""
    settings = scenario.setup
    with _placed(scenario, "rulebook"):
        rulebook = rulebooks.load(settings.rulebook)
    with _placed(scenario, "engine"):
        deploy.check_engine(settings, rulebook)
    if settings.engine not in ENGINES:
        with _placed(scenario, "engine_params"):
            deploy.engine_arguments(settings, _NOBODY)
    with _placed(scenario, "liquidation", "rule"):
        deploy.rule_contract(settings)
    # What is shipped fits without parameters; what is not must be compiled.
    if settings.liquidation.params or settings.liquidation.rule not in RULES:
        with _placed(scenario, "liquidation", "params"):
            deploy.rule_arguments(settings)


def _check_times(scenario: Scenario) -> None:
    """Refuse what is to happen after the last block."""
    end = scenario.horizon.length
    times: list[tuple[Path_, int]] = [
        (("market", "shocks", i, "at"), shock.at) for i, shock in enumerate(scenario.market.shocks)
    ]
    times += [
        (("oracle", "faults", i, "from"), fault.start)
        for i, fault in enumerate(scenario.oracle.faults)
    ]
    for path, time in times:
        if time > end:
            last = f"the last block is {duration(end)} from the start"
            raise scenario.error(path, f"{duration(time)} is never reached, {last}")


@contextmanager
def _placed(scenario: Scenario, *path: str) -> Iterator[None]:
    """Give an `InputError` the place in the file of what is at `path` below `protocol`."""
    try:
        yield
    except ArgumentError as error:
        raise scenario.error(("protocol", *path, error.name), error.problem) from None
    except InputError as error:
        raise scenario.error(("protocol", *path), error) from None


def _library() -> Path:
    return Path(str(files("sim.scenario") / "library"))


def _assembled(path: Path, chain: tuple[Path, ...]) -> Document:
    if path.resolve() in chain:
        circle = " → ".join(shown(p) for p in (*chain, path))
        raise InputError(f"{shown(path)}: extends itself: {circle}")
    document = read(path)
    if not isinstance(document.data, dict):
        raise document.error((), "a scenario is a map of keys, such as `name: my-scenario`")
    bases = document.data.pop("extends", [])
    names = [bases] if isinstance(bases, str) else bases
    if not (isinstance(names, list) and all(isinstance(base, str) for base in names)):
        raise document.error(("extends",), "extends: the name of a scenario, or a list of them")
    whole = Document({}, document.source)
    for name in names:
        try:
            base = locate(name, path.parent)
        except InputError as error:
            raise document.error(("extends",), f"extends: {error}") from None
        _lay(whole, _assembled(base, (*chain, path.resolve())), whole.data, ())
    _lay(whole, document, whole.data, ())
    return whole


def _lay(under: Document, over: Document, place: dict[str, Any], path: Path_) -> None:
    """Lay the map of `over` at `path` on that of `under`, which is `place`."""
    above = over.data
    for key in path:
        above = above[key]
    for key, value in above.items():
        here = (*path, key)
        if value is None:
            place.pop(key, None)
        elif isinstance(value, dict) and isinstance(place.get(key), dict):
            under.marks[here] = over.marks[here]
            _lay(under, over, place[key], here)
        else:
            place[key] = deepcopy(value)
            _remark(under, over, here, here)


def _remark(document: Document, new: Document, at: Path_, origin: Path_) -> None:
    """Take the marks below `at` from those of `new` below `origin`."""
    for old in [path for path in document.marks if path[: len(at)] == at]:
        del document.marks[old]
    for path, mark in new.marks.items():
        if path[: len(origin)] == origin:
            document.marks[(*at, *path[len(origin) :])] = mark


def _element(elements: list[Any], key: str | int, source: str) -> int:
    if isinstance(key, int):
        if key < len(elements):
            return key
        raise InputError(f"{source}: there is no element [{key}], the list has {len(elements)}")
    names = [
        str(element.get("name") or element.get("use")) if isinstance(element, dict) else ""
        for element in elements
    ]
    if key not in names:
        raise InputError(f"{source}: {unknown('element', key, filter(None, names))}")
    return names.index(key)
