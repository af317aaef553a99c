"""YAML 1.2 files that remember where each value stood, and errors that say file:line:column."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Mapping, Sequence, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sim.errors import InputError
from sim.model import SettingError

Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]

PROBLEMS_MAX = 8
_NODES_MAX = 1_000_000  # a few lines of aliases of aliases can say more than memory holds
_DISCRIMINATORS = ("kind", "dist")


@dataclass(frozen=True)
class Mark:
    """Where something was written; line and column from 1, or 0 where a line says nothing."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass
class Document:
    """Plain data, and where each part of it was written.

    Attributes
    ----------
    data : plain dicts, lists and scalars
    source : what errors call the file
    marks : path of keys and indices → where its key (of an element: its value) stands
    """

    data: Any
    source: str
    marks: dict[Path_, Mark] = field(default_factory=dict)

    def where(self, path: Path_) -> Mark:
        """Return the mark of the value at `path`, or of the nearest part of it that was written."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.marks:
                return self.marks[path[:end]]
        return Mark(self.source)

    def error(self, path: Path_, message: str) -> InputError:
        """Return an `InputError` that begins with the position of `path`."""
        return InputError(f"{self.where(path)}: {message}")

    def build(
        self,
        model: type[Model],
        data: Any = None,
        at: Path_ = (),
        context: Mapping[str, Any] | None = None,
    ) -> Model:
        """Validate `data` (default: the whole document) as `model`.

        Raises
        ------
        InputError
            With one line for each thing that is wrong.
        """
        try:
            return model.model_validate(self.data if data is None else data, context=context)
        except ValidationError as failure:
            raise self.explained(failure, model, at) from None

    def explained(
        self, failure: ValidationError, model: type[BaseModel], at: Path_ = ()
    ) -> InputError:
        """Return what pydantic found wrong with the part of the document at `at`."""
        problems = failure.errors()
        lines = []
        for problem in problems[:PROBLEMS_MAX]:
            cause = problem.get("ctx", {}).get("error")
            inner: Path_ = cause.path if isinstance(cause, SettingError) else ()
            if problem["type"] == "union_tag_invalid":
                inner = (problem["ctx"]["discriminator"].strip("'"),)
            path, absent = self._written(at, (*problem["loc"], *inner))
            name = format_path((*path, *absent))
            message = _message(problem, _allowed(model, problem["loc"][:-1]))
            lines.append(f"{self.where(path)}: {name}: {message}".replace(": : ", ": "))
        if len(problems) > PROBLEMS_MAX:
            lines.append(f"and {len(problems) - PROBLEMS_MAX} more")
        return InputError("\n".join(lines))

    def _written(self, at: Path_, location: tuple[str | int, ...]) -> tuple[Path_, Path_]:
        """Split pydantic's location into what stands in the data and the key missing from it.

        Names of union members, which pydantic puts in between, are left out.
        """
        place = self.data
        for key in at:
            place = place[key]
        path = list(at)
        for i, key in enumerate(location):
            below = place if isinstance(place, dict) else {}
            if isinstance(place, list):
                below = dict(enumerate(place))
            if key in below:
                place = below[key]
                path.append(key)
            elif i == len(location) - 1 and key not in (below.get(d) for d in _DISCRIMINATORS):
                return tuple(path), (key,) if isinstance(place, dict) else ()
        return tuple(path), ()


def read(path: Path, source: str | None = None) -> Document:
    """Read a YAML file; `InputError` if it cannot be read or parsed."""
    name = source or shown(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not a text file: {error.reason}") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    return parse(text, name)


def parse(text: str, source: str) -> Document:
    """Parse YAML text; a key that appears twice is an error."""
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(source, at.line + 1, at.column + 1) if at else Mark(source)
        raise InputError(f"{mark}: broken YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise InputError(f"{source}: broken YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InputError(f"{source}: broken YAML: nested too deeply") from None
    document = Document(None, source, {(): Mark(source, 1, 1)})
    if node is not None:
        document.data = _Reader(document).plain(node, ())
    return document


def shown(path: Path) -> str:
    """Print a path as a person would write it from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


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


class _Reader:
    """Turns the nodes of a file into plain data, and marks where each stood."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()  # what the present node is part of
        self._left = _NODES_MAX

    def plain(self, node: Node, path: Path_) -> Any:
        """Return the data of a node at a path."""
        here = self._mark(node)
        self._left -= 1
        if self._left < 0:
            raise InputError(f"{here}: more than {_NODES_MAX:,} values, aliases written out")
        self._document.marks.setdefault(path, here)
        if isinstance(node, ScalarNode):
            return _scalar(node, here)
        if id(node) in self._open:
            raise InputError(f"{here}: an alias stands inside of what it is an alias of")
        self._open.add(id(node))
        data = self._map(node, path) if isinstance(node, MappingNode) else self._list(node, path)
        self._open.remove(id(node))
        return data

    def _list(self, node: Node, path: Path_) -> list[Any]:
        assert isinstance(node, SequenceNode)
        return [self.plain(child, (*path, i)) for i, child in enumerate(node.value)]

    def _map(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            if not isinstance(key_node, ScalarNode) or str(key_node.tag).endswith(":merge"):
                raise InputError(f"{mark}: a key is a plain word; to build on a file use extends")
            key = str(key_node.value)
            if key in built:
                raise InputError(f"{mark}: {format_path((*path, key))} is written twice")
            self._document.marks[*path, key] = mark
            built[key] = self.plain(value_node, (*path, key))
        return built

    def _mark(self, node: Node) -> Mark:
        at = node.start_mark
        return Mark(self._document.source, at.line + 1, at.column + 1)


def _scalar(node: ScalarNode, here: Mark) -> Any:
    """Return a number, a boolean, None, or the text: models read times and quantities."""
    text = str(node.value)
    match str(node.tag).rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            digits = text.replace("_", "")
            try:
                return int(digits, 10 if digits.lstrip("+-").isdigit() else 0)
            except ValueError:  # of thousands of digits
                raise InputError(f"{here}: {text[:20]}… is too large a number") from None
        case "float":
            special = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
            return float(special.get(text.lower(), text.replace("_", "")))
    return text


_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _message(problem: Any, allowed: list[str]) -> str:
    kind, context, got = problem["type"], problem.get("ctx", {}), problem.get("input")
    if kind == "extra_forbidden":
        return _refused(str(problem["loc"][-1]), allowed, "unknown key")
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", problem["msg"]))
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        bound = context[key]
        shown_bound = f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
        return f"must be {word} {shown_bound}, got {got}"
    if kind == "literal_error":
        return _refused(str(got), _literals(context["expected"]))
    if kind == "union_tag_invalid":
        return _refused(str(context["tag"]), _literals(context["expected_tags"]))
    if kind == "union_tag_not_found":
        return f"needs {context['discriminator']}, which says of what kind it is"
    return f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {str(got)[:60]!r}"


def _literals(text: str) -> list[str]:
    """Return the values of `'a', 'b' or 3`, as pydantic lists what it expects."""
    return [quoted or plain for quoted, plain in re.findall(r"'([^']*)'|(-?\d+|True|False)", text)]


def _refused(got: str, allowed: list[str], what: str = "unknown") -> str:
    near = get_close_matches(got, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{what} {got!r}{hint} (allowed: {', '.join(sorted(allowed))})"


def _allowed(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that are allowed at a location of a model."""
    candidates = _models(model)
    for key in location:
        below: list[type[BaseModel]] = []
        for candidate in candidates:
            for name, info in candidate.model_fields.items():
                if key in (name, info.alias):
                    below += _models(info.annotation)
            if key in _tags(candidate):
                below = [candidate]
                break
        candidates = below or candidates
    return sorted(
        {
            info.alias or name
            for candidate in candidates
            for name, info in candidate.model_fields.items()
        }
    )


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation: itself, or inside unions, maps and sequences."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated, dict, tuple, list):
        return [model for inner in get_args(annotation) for model in _models(inner)]
    return []


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """Return the values by which a discriminated union knows a model."""
    for key in _DISCRIMINATORS:
        if key in model.model_fields:
            return get_args(model.model_fields[key].annotation)
    return ()
