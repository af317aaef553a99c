"""YAML 1.2 files that remember where each value stood, for errors with file:line:column."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from sim.errors import InputError, unknown

Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed YAML file and the position of everything in it.

    Attributes
    ----------
    data : plain dicts, lists and scalars
    source : what errors call the file
    marks : path of keys and indices → (line, column), both from 1
    """

    data: Any
    source: str
    marks: dict[Path_, tuple[int, int]]

    def where(self, path: Path_) -> str:
        """Return `file:line:column` of the value at `path`, or of its nearest parent."""
        while path and path not in self.marks:
            path = path[:-1]
        line, column = self.marks.get(path, (1, 1))
        return f"{self.source}:{line}:{column}"

    def error(self, path: Path_, message: str) -> InputError:
        """Return an `InputError` that begins with the position of `path`."""
        return InputError(f"{self.where(path)}: {message}")

    def build(self, model: type[Model], data: Any = None, at: Path_ = ()) -> Model:
        """Validate `data` (default: the whole document) as `model`.

        Raises
        ------
        InputError
            With one line for each thing that is wrong.
        """
        try:
            return model.model_validate(self.data if data is None else data)
        except ValidationError as failure:
            lines = [self._explain(model, at, problem) for problem in failure.errors()]
            raise InputError("\n".join(lines)) from None

    def _explain(self, model: type[BaseModel], at: Path_, problem: Any) -> str:
        path = (*at, *problem["loc"])
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            allowed = _allowed(model, problem["loc"][:-1])
            message = str(unknown("key", str(problem["loc"][-1]), allowed)) if allowed else ""
            return f"{self.where(path)}: {message or f'unknown key {name!r}'}"
        message = problem["msg"].removeprefix("Value error, ")
        return (
            f"{self.where(path)}: {name}: {message}" if name else f"{self.where(path)}: {message}"
        )


def _allowed(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the keys of the model found by following `path` through annotations."""
    for step in path:
        if isinstance(step, int):
            continue
        inner = (
            model.model_fields[str(step)].annotation if str(step) in model.model_fields else None
        )
        found = _model_in(inner)
        if found is None:
            return []
        model = found
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found:
            return found
    return None


def read(path: Path, source: str | None = None) -> Document:
    """Read a YAML file; `InputError` if it cannot be read or parsed."""
    name = source or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read ({error})") from None
    return parse(text, name)


def parse(text: str, source: str) -> Document:
    """Parse YAML text; a key that appears twice is an error."""
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise InputError(f"{source}:{at}: not valid YAML: {error.problem}") from None
    marks: dict[Path_, tuple[int, int]] = {(): (1, 1)}
    return Document(_plain(tree, (), marks), source, marks)


def _plain(node: Any, path: Path_, marks: dict[Path_, tuple[int, int]]) -> Any:
    if isinstance(node, CommentedMap):
        result = {}
        for key, value in node.items():
            line, column = node.lc.value(key) if value is not None else node.lc.key(key)
            marks[*path, key] = (line + 1, column + 1)
            result[key] = _plain(value, (*path, key), marks)
        return result
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            line, column = node.lc.item(index)
            marks[*path, index] = (line + 1, column + 1)
        return [_plain(value, (*path, index), marks) for index, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
