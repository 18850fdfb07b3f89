"""Where the source of a model stands: the file and line of its class, and of a text that it declares."""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from infra.config.settings import CHECKOUT
from schema.migration.own_files import is_own


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, and the model that it is part of, if any."""

    path: Path
    line: int
    model: str = ""

    def __str__(self) -> str:
        shown = self.path.relative_to(CHECKOUT) if self.path.is_relative_to(CHECKOUT) else self.path
        return f"{shown}, line {self.line}"


def place_of(table: Table, said: str) -> Place | None:
    """Return the line of what a table declares: of its longest word that `said` holds, or else where it begins.

    A mapped table is declared by its class and the classes above it, any other by the call that is given its name.
    None where that is in no file of the checkout.
    """
    found: list[tuple[int, Place]] = []
    for path, node, is_own_class in _declarations(table):
        words = [(len(word), line) for word, line in _words(node) if word in said and word != table.name]
        length, line = max(words, key=lambda pair: pair[0], default=(0, node.lineno))
        if length or is_own_class:
            found.append((length, Place(path, line, getattr(node, "name", ""))))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _declarations(table: Table) -> Iterator[tuple[Path, ast.ClassDef | ast.Call, bool]]:
    """Yield what may declare a part of a table, and whether it is what declares the table itself."""
    model = next((mapper.class_ for mapper in _mappers() if mapper.local_table is table), None)
    if model is None:
        for path, module in _own_modules():
            calls = (node for node in ast.walk(module) if isinstance(node, ast.Call))
            yield from ((path, call, True) for call in calls if table.name in _strings(call.args))
        return
    for base in model.__mro__:
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if file and is_own(file, str(CHECKOUT)):
            classes = (node for node in ast.walk(_parse(file)) if isinstance(node, ast.ClassDef))
            yield from ((Path(file), node, base is model) for node in classes if node.name == base.__name__)


def _mappers() -> Iterator[Mapper[object]]:
    from schema.tenancy.base import Base  # a model that is wrong is explained where it is imported

    yield from Base.registry.mappers


def _own_modules() -> Iterator[tuple[Path, ast.Module]]:
    files = {file for module in [*sys.modules.values()] if (file := getattr(module, "__file__", None))}
    for file in sorted(files):
        if is_own(file, str(CHECKOUT)) and file.endswith(".py"):
            yield Path(file), _parse(file)


def _parse(file: str) -> ast.Module:
    try:
        return ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):  # it was changed since it was imported
        return ast.Module(body=[], type_ignores=[])


def _strings(nodes: Iterable[ast.expr]) -> list[object]:
    return [node.value for node in nodes if isinstance(node, ast.Constant)]


def _words(declaration: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield strings as SQL has them, and the names that are given a value, each with its line."""
    for node in ast.walk(declaration):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.replace("\\:", ":"), node.lineno  # `text` has a backslash there
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
