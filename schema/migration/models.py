"""Import every model, and explain what is wrong with one: its file and line, what, and what to write."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import TracebackType

from sqlalchemy import MetaData
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import configure_mappers

from infra.config.ground import ground, models_folder
from infra.config.settings import CHECKOUT
from schema.errors import ModelError, SchemaError, TenancyError
from schema.migration.model_source import Place
from schema.migration.own_files import is_own

_NAMED = re.compile(r"""['"](\w[\w.]*)['"]""")
_MAPPER = re.compile(r"""[Mm]apper\[(\w+)\(|'(\w+)\.\w+'|table '(\w+)'|^(\w+): """)
_BACKGROUND = re.compile(r"\s*\(Background on this error at: \S+\)")
_UNNAMED = "requires that constraint is explicitly named"


def load_models() -> MetaData:
    """Return what the models declare, every relationship and foreign key resolved.

    Raises:
        ConfigError: there is no such package as pyproject.toml names.
        ModelError: a model, or a module that declares one, cannot be read.
        TenancyError: a model declares what would not keep tenants apart.
    """
    package = ground().models
    models_folder()
    try:
        metadata: MetaData = import_module(package).metadata  # a model that is wrong is explained here

        configure_mappers()
        _resolve(metadata)
    except TenancyError as error:
        place = _place(error)
        raise TenancyError(f"{place}: {error}" if place else str(error), tables=error.tables) from error
    except SchemaError:
        raise
    except (Exception, SystemExit) as error:
        raise _explained(error) from error
    return metadata


def _resolve(metadata: MetaData) -> None:
    """Find the column of every foreign key; SQLAlchemy looks for it when it is needed."""
    for table in metadata.tables.values():
        for key in table.foreign_keys:
            _ = key.column


def _explained(error: BaseException) -> ModelError:
    place = _place(error)
    where = f"{place}: " if place else f"{ground().models}: "
    what = f"model {place.model} cannot be read" if place and place.model else "the models cannot be read"
    return ModelError(
        f"{where}{what}: {_reason(error)} Nothing was changed.",
        file=place.path if place else None,
        line=place.line if place else None,
    )


def _reason(error: BaseException) -> str:
    text = _BACKGROUND.sub("", str(error).strip().splitlines()[0] if str(error).strip() else "").rstrip(".")
    if _UNNAMED in text:
        return 'a constraint has no name. Give it one, such as name="positive": its name in the database is made of it.'
    if isinstance(error, InvalidRequestError) and "already defined for this MetaData" in text:
        return f"{text.partition('.')[0]}. Two models have one __tablename__: give one of them another."
    if isinstance(error, SyntaxError):
        text = error.msg
    return f"{type(error).__name__}: {text}. Correct it and run the command again."


def _place(error: BaseException) -> Place | None:
    if isinstance(error, SyntaxError) and error.filename:
        return Place(Path(error.filename), error.lineno or 1)
    place = _raised(error.__traceback__) or _mapped(str(error))
    return _within(place, error) if place else None


def _raised(traceback: TracebackType | None) -> Place | None:
    """Return where a module or the body of a class of the checkout failed: the innermost of these."""
    found = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        # The body of a module or a class is no function, so the interpreter does not optimise its variables.
        is_body = not code.co_flags & inspect.CO_OPTIMIZED
        if is_body and is_own(code.co_filename, str(CHECKOUT)):
            found = Place(Path(code.co_filename), traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def _mapped(message: str) -> Place | None:
    """Return the model that a message names, by its class or its table."""
    from schema.tenancy.base import Base  # if it cannot be imported, the traceback says so

    names = {name for found in _MAPPER.finditer(message) for name in found.groups() if name}
    for mapper in Base.registry.mappers:
        if names & {mapper.class_.__name__, mapper.class_.__dict__.get("__tablename__")}:
            file = sys.modules[mapper.class_.__module__].__file__
            return Place(Path(file), 1, mapper.class_.__name__) if file else None
    return None


def _within(place: Place, error: BaseException) -> Place:
    """Return the line of the model's class that the message is about; the line where it begins where none is."""
    try:
        module = ast.parse(place.path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return place
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and _is(node, place):
            line = next(_lines(node, str(error)), max(place.line, node.lineno))
            return Place(place.path, line, node.name)
    return place


def _is(node: ast.ClassDef, place: Place) -> bool:
    if place.model:
        return node.name == place.model
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first <= place.line <= (node.end_lineno or node.lineno)


def _lines(model: ast.ClassDef, message: str) -> Iterator[int]:
    """Yield the lines of a class that hold what a message puts in quotes, but for the table's own name."""
    parts = [node for node in ast.walk(model) if isinstance(node, ast.expr)]
    if _UNNAMED in message:
        yield from sorted(node.lineno for node in parts if _is_unnamed(node))
    own = next((name for statement in model.body for name in _tablename(statement)), "")
    for name in _NAMED.findall(message):
        first, _, last = name.partition(".")
        if first != own:
            wanted = last if first == model.name else name
            yield from sorted(node.lineno for node in parts if _mentions(node, wanted))


def _is_unnamed(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or any(keyword.arg == "name" for keyword in node.keywords):
        return False
    return ast.unparse(node.func).rpartition(".")[2] in {"CheckConstraint", "ExcludeConstraint"}


def _tablename(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        yield from [str(statement.value.value)] if "__tablename__" in names else []


def _mentions(node: ast.expr, name: str) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and (node.value == name or node.value.startswith(f"{name}."))
    return isinstance(node, ast.Name) and node.id == name
