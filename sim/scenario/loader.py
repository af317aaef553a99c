"""Scenario files: YAML 1.2 with line marks, `extends`, `--set`, errors that point at the line."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Sequence, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sim.errors import InputError, unknown
from sim.scenario.model import Scenario

SUFFIXES = (".yaml", ".yml")
EXTENDS_MAX = 16
ERRORS_MAX = 8

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """Where something was written."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


@dataclass
class Document:
    """Plain data, and where each value of it was written."""

    data: Any
    marks: dict[Path_, Mark] = field(default_factory=dict)

    def mark(self, path: Path_) -> Mark | None:
        """Return the mark of a path, or of the nearest part of it that was written."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.marks:
                return self.marks[path[:end]]
        return None


def shipped() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    folder = files("sim.scenario") / "library"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def locate(name: str, folder: Path | None = None) -> Path:
    """Return the file of a shipped scenario or of a path."""
    library = Path(str(files("sim.scenario") / "library"))
    candidate = (folder or Path.cwd()) / Path(name).expanduser()
    if candidate.suffix in SUFFIXES and candidate.is_file():
        return candidate
    for place in (library / f"{name}.yaml", library / name):
        if place.is_file() and place.resolve().is_relative_to(library.resolve()):
            return place
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
    document = read(path)
    for text in sets:
        override(document, text)
    if seed is not None:
        override(document, f"seed={seed}")
    return validate(document, path)


def read(path: Path, _depth: int = 0) -> Document:
    """Return a file's data with what it extends merged under it."""
    if _depth > EXTENDS_MAX:
        raise InputError(
            f"{path}: more than {EXTENDS_MAX} files extend one another; is it a circle?"
        )
    document = _parsed(_text(path), _shown(path))
    if not isinstance(document.data, dict):
        raise InputError(
            f"{_shown(path)}: a scenario is a map of keys, such as `name: my-scenario`"
        )
    bases = document.data.pop("extends", [])
    names = [bases] if isinstance(bases, str) else bases
    if not (isinstance(names, list) and all(isinstance(base, str) for base in names)):
        raise InputError(
            f"{document.mark(('extends',))}: extends: the name of a scenario, or a list"
        )
    base = Document({})
    for base_name in names:
        try:
            found = locate(base_name, path.parent)
        except InputError as error:
            raise InputError(f"{document.mark(('extends',))}: extends: {error}") from None
        _merge(base, read(found, _depth + 1))
    _merge(base, document)
    return base


def override(document: Document, text: str) -> None:
    """Apply one `path=value`; a list element is addressed by `[i]` or by its `name` (or `use`)."""
    target, equals, value = text.partition("=")
    if not equals or not target.strip():
        raise InputError(f"--set {text!r}: write path=value, such as market.factors.ETH.vol=90%")
    source = f"--set {target.strip()}"
    parsed = _parsed(value, source)
    path = parse_path(target.strip())
    place = document.data
    resolved: list[str | int] = []
    for i, key in enumerate(path):
        last = i == len(path) - 1
        if isinstance(place, list):
            index = _element(place, key, source)
            resolved.append(index)
            if last:
                place[index] = parsed.data
            else:
                place = place[index]
        elif isinstance(place, dict):
            resolved.append(key)
            if last:
                place[key] = parsed.data
            else:
                place = place.setdefault(key, {})
        else:
            raise InputError(
                f"{source}: {format_path(resolved)} holds {place!r}, nothing is below it"
            )
    prefix = tuple(resolved)
    for written in [old for old in document.marks if old[: len(prefix)] == prefix]:
        del document.marks[written]
    for written, mark in parsed.marks.items():
        document.marks[prefix + written] = mark


def validate(document: Document, path: Path) -> Scenario:
    """Return the scenario of a document; errors name file, line and column."""
    context = {"folder": path.parent.resolve()}
    try:
        scenario = Scenario.model_validate(document.data, context=context)
    except ValidationError as error:
        raise InputError(_explained(error, document, ())) from None
    for i, group in enumerate(scenario.agents):
        try:
            for _ in group.members(scenario.streams):
                pass
        except ValidationError as error:
            where = ("agents", i, "params")
            raise InputError(_explained(error, document, where, group.agent.Params)) from None
    return scenario


_TOKEN = re.compile(r'(?:^|\.)(?:"([^"]+)"|([^.\[\]"]+))|\[(\d+)\]')


def parse_path(text: str) -> Path_:
    """Parse `agents[0].params.tip`, `agents.keeper.count` or `oracle."ETH.vol".latency`."""
    found: list[str | int] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        found.append(int(match[3]) if match[3] is not None else match[1] or match[2])
    if end != len(text) or not found:
        raise InputError(
            f"{text!r} is not a path such as market.factors.ETH.vol or agents[0].count"
        )
    return tuple(found)


def format_path(path: Sequence[str | int]) -> str:
    """Print a path as `parse_path` reads it."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (f'"{key}"' if "." in key else key)
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{_shown(path)}: not a text file: {error.reason}") from None
    except OSError as error:
        raise InputError(f"{_shown(path)}: {error.strerror}") from None


def _shown(path: Path) -> str:
    """Print a path as a person would write it from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _parsed(text: str, source: str) -> Document:
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise InputError(f"{place}: broken YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise InputError(f"{source}: broken YAML: {str(error).strip().splitlines()[0]}") from None
    document = Document(None)
    document.data = None if node is None else _built(node, (), document.marks, source)
    return document


def _built(node: Node, path: Path_, marks: dict[Path_, Mark], source: str) -> Any:
    here = Mark(source, node.start_mark.line + 1, node.start_mark.column + 1)
    marks.setdefault(path, here)
    if isinstance(node, MappingNode):
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = Mark(source, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, ScalarNode) or str(key_node.tag).endswith(":merge"):
                raise InputError(f"{mark}: a key is a word (to build on another file, use extends)")
            key = str(key_node.value)
            if key in built:
                raise InputError(f"{mark}: {format_path((*path, key))} is written twice")
            marks[(*path, key)] = mark
            built[key] = _built(value_node, (*path, key), marks, source)
        return built
    if isinstance(node, SequenceNode):
        return [_built(child, (*path, i), marks, source) for i, child in enumerate(node.value)]
    assert isinstance(node, ScalarNode)
    return _scalar(node, here)


def _scalar(node: ScalarNode, mark: Mark) -> Any:
    text = str(node.value)
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text.replace("_", ""), 0) if not text.lstrip("+-0").isdigit() else int(text)
    if kind == "float":
        try:
            return float(text.replace("_", ""))
        except ValueError:
            raise InputError(f"{mark}: {text} is not a finite number") from None
    return text


def _merge(under: Document, over: Document) -> None:
    """Lay `over` on `under`: maps merge, everything else replaces, null takes a key away."""

    def lay(below: dict[str, Any], above: dict[str, Any], path: Path_) -> None:
        for key, value in above.items():
            here = (*path, key)
            if value is None:
                below.pop(key, None)
                continue
            if isinstance(value, dict) and isinstance(below.get(key), dict):
                under.marks[here] = over.marks[here]
                lay(below[key], value, here)
                continue
            below[key] = deepcopy(value)
            for old in [mark for mark in under.marks if mark[: len(here)] == here]:
                del under.marks[old]
            for new, mark in over.marks.items():
                if new[: len(here)] == here:
                    under.marks[new] = mark

    lay(under.data, over.data, ())
    if () in over.marks:
        under.marks[()] = over.marks[()]


def _element(elements: list[Any], key: str | int, source: str) -> int:
    if isinstance(key, int):
        if key < len(elements):
            return key
        raise InputError(f"{source}: there is no element [{key}], the list has {len(elements)}")
    names = [
        str(element.get("name") or element.get("use"))
        for element in elements
        if isinstance(element, dict)
    ]
    if key not in names:
        raise InputError(f"{source}: {unknown('element', key, names)}")
    return names.index(key)


def _explained(
    error: ValidationError, document: Document, prefix: Path_, model: type[BaseModel] = Scenario
) -> str:
    """Return what is wrong, one line a problem."""
    lines = []
    for problem in error.errors()[:ERRORS_MAX]:
        path, inside = _written(document.data, prefix, problem["loc"])
        mark = document.mark(path)
        message = _message(problem, _allowed(model, problem["loc"][:-1]))
        name = format_path((*path, *inside))
        lines.append(f"{mark}: {name}: {message}" if name else f"{mark}: {message}")
    more = len(error.errors()) - ERRORS_MAX
    if more > 0:
        lines.append(f"and {more} more")
    return "\n".join(lines)


def _written(data: Any, prefix: Path_, loc: tuple[str | int, ...]) -> tuple[Path_, Path_]:
    """Split pydantic's location into what stands in the data and what is missing from it.

    Names of union members, which pydantic adds, are left out.
    """
    place = data
    for key in prefix:
        place = place[key]
    path: list[str | int] = list(prefix)
    for i, key in enumerate(loc):
        below = place if isinstance(place, dict) else {}
        if isinstance(place, list):
            below = dict(enumerate(place))
        if key in below:
            place = below[key]
            path.append(key)
        elif isinstance(place, dict) and (i == len(loc) - 1) and place.get("kind") != key:
            return tuple(path), (key,)
    return tuple(path), ()


def _message(problem: Any, allowed: list[str]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    got = problem.get("input")
    if kind == "extra_forbidden":
        key = str(problem["loc"][-1])
        near = get_close_matches(key, allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown key{hint} (allowed: {', '.join(sorted(allowed))})"
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", problem["msg"]))
    bounds = {
        "greater_than": ("above", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("below", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if kind in bounds:
        word, key = bounds[kind]
        return f"must be {word} {context[key]:g}, got {got}"
    if kind == "literal_error":
        return _nearest(str(got), re.findall(r"'([^']*)'", context["expected"]))
    if kind == "union_tag_invalid":
        return _nearest(str(context["tag"]), re.findall(r"'([^']*)'", context["expected_tags"]))
    if kind == "union_tag_not_found":
        return f"needs {context['discriminator']}, which says of what kind it is"
    shown = repr(got)
    return f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {shown[:60]}"


def _nearest(got: str, allowed: list[str]) -> str:
    return (
        str(unknown("value", got, allowed)).removeprefix("unknown value ") + " is not one of these"
    )


def _allowed(model: Any, loc: tuple[str | int, ...]) -> list[str]:
    """Return the keys that are allowed at a location of a model."""
    candidates = _models(model)
    for key in loc:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                for name, info in candidate.model_fields.items():
                    if key in (name, info.alias):
                        following += _models(info.annotation)
                if _tag(candidate) == key:
                    following.append(candidate)
        candidates = following or candidates
    tagged = [c for c in candidates if loc and _tag(c) == loc[-1]]
    return sorted(
        {
            info.alias or name
            for candidate in tagged or candidates
            for name, info in candidate.model_fields.items()
        }
    )


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models inside an annotation: of unions, optionals, maps and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated, dict, tuple, list):
        return [model for inner in get_args(annotation) for model in _models(inner)]
    return []


def _tag(model: type[BaseModel]) -> str | None:
    for key in ("kind", "dist"):
        info = model.model_fields.get(key)
        if info is not None:
            return str(get_args(info.annotation)[0])
    return None
