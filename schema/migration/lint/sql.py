"""The SQL that a migration runs, statement by statement, each with the line of the file that it comes from.

There is no database. A statement that asks one gets the answer that an empty table gives, one tenant stands for all of
them, and what cannot go on from there is left out by itself: the statements after it are read all the same.
"""

import ast
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, Executable
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from schema.migration.offline import offline

_ANYBODY = UUID(int=0)
_MOST = 10_000
"""More statements than any file writes; a loop that waits for an answer which never comes ends there."""
_PARAMETER = re.compile(r"(?<!:):[a-zA-Z_]\w*")


@dataclass(frozen=True, slots=True)
class SourceStatement:
    """A statement, and the line of the migration that runs it."""

    line: int
    sql: str


class _Endless(BaseException):
    """A migration goes on for ever where nothing answers; no migration may take this for an error of its own."""


class _Lines:
    """A text stream that asks, for whatever is written, which line of a file is being run."""

    def __init__(self, path: Path) -> None:
        self._file = str(path)
        self.written: list[SourceStatement] = []

    def write(self, text: str) -> None:
        """Keep a statement with the innermost line of the file that is being run."""
        if len(self.written) >= _MOST:
            raise _Endless
        frame = sys._getframe()  # noqa: SLF001 - the interpreter's own way to ask (Python manual, sys)
        while frame.f_back is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        if text.strip() and frame.f_code.co_filename == self._file:
            self.written.append(SourceStatement(frame.f_lineno, text.strip()))

    def flush(self) -> None:
        """Do nothing: nothing is held back."""


class _Nothing(IteratorResult[Any]):
    """What a statement returns on an empty table."""

    rowcount = 0

    def __init__(self) -> None:
        super().__init__(SimpleResultMetaData([]), iter(()))


class _NoConnection:
    """What `op.get_bind()` gives: a connection that writes statements down, and answers nothing."""

    def __init__(self, lines: _Lines, dialect: Dialect) -> None:
        self._lines = lines
        self.dialect = dialect

    def execute(self, statement: Executable, *_: Any, **__: Any) -> _Nothing:
        """Write a statement down; a parameter becomes NULL, which is read as well as any value."""
        self.exec_driver_sql(_PARAMETER.sub("NULL", str(statement.compile(dialect=self.dialect))))  # type: ignore[attr-defined]  # whatever is executed can be compiled
        return _Nothing()

    def exec_driver_sql(self, statement: str, *_: Any, **__: Any) -> _Nothing:
        """Write a statement down as it is."""
        self._lines.write(f"{statement.strip().rstrip(';')};")
        return _Nothing()

    def scalar(self, statement: Executable, *_: Any, **__: Any) -> Any:
        """Write a statement down, and answer that there is nothing."""
        return self.execute(statement).scalar()

    def scalars(self, statement: Executable, *_: Any, **__: Any) -> Any:
        """Write a statement down, and answer that there are none."""
        return self.execute(statement).scalars()

    def begin_nested(self) -> AbstractContextManager[None]:
        """Give a block."""
        return nullcontext()

    begin = begin_nested


def upgrade_sql(path: Path) -> tuple[SourceStatement, ...]:
    """Return what the upgrade of a migration runs, in order, without a database.

    Raises:
        Exception: whatever the file raises when it is imported.
    """
    path = path.absolute()
    module = _imported(path)
    written, ended = _run(module, path)
    # Where nothing fails, nothing has to be left out; where a failure is caught in `upgrade` itself, it is not seen.
    if ended and not module.upgrade.__code__.co_exceptiontable:
        return written
    return _run(_load_apart(path), path)[0]


def _run(module: ModuleType, path: Path) -> tuple[tuple[SourceStatement, ...], bool]:
    """Return what the upgrade of a module runs, and whether it came to its end."""
    lines = _Lines(path)
    ended = False
    with offline(lines, transactions=False) as context:
        connection: Any = _NoConnection(lines, context.dialect)
        context.impl.connection = context.connection = connection
        _put_stand_ins(module, connection)
        # A migration is anybody's Python, and without a database it may raise anything.
        with suppress(Exception, _Endless):
            module.upgrade()
            ended = True
    return tuple(lines.written), ended


def numbered(statements: tuple[SourceStatement, ...]) -> Iterator[int]:
    """Yield, for each line of the statements in a row, the line of the file that it comes from."""
    for statement in statements:
        yield from (statement.line for _ in statement.sql.splitlines())


def _imported(path: Path) -> ModuleType:
    """Run a migration's file as importing it does, from what Alembic compiled of it just now where it did."""
    module = ModuleType(f"migration_{path.stem}")
    module.__file__ = str(path)
    loader = SourceFileLoader(module.__name__, str(path))
    code = loader.get_code(module.__name__) if _is_compiled(path) else compile(path.read_bytes(), str(path), "exec")
    exec(code, module.__dict__)  # type: ignore[arg-type]  # noqa: S102 - a file of source has code, and it is run as such
    return module


def _is_compiled(path: Path) -> bool:
    """Return whether there is bytecode that is newer than the file.

    Python itself looks at whole seconds and the size (manual, py_compile), and would take what an edit left unchanged
    in both for the file.
    """
    compiled = Path(cache_from_source(path))
    return compiled.is_file() and compiled.stat().st_mtime_ns > path.stat().st_mtime_ns


def _load_apart(path: Path) -> ModuleType:
    """Run a migration's file so that each statement of its upgrade can fail by itself."""
    module = ModuleType(f"migration_{path.stem}")
    module.__file__ = str(path)
    tree = ast.fix_missing_locations(_Apart().visit(ast.parse(path.read_text(encoding="utf-8"))))
    exec(compile(tree, str(path), "exec"), module.__dict__)  # noqa: S102 - as importing it does
    return module


def _put_stand_ins(module: ModuleType, connection: _NoConnection) -> None:
    """Put what stands for tenants in the place of what asks for them."""

    def for_each_tenant(_: Any, statement: str, **__: Any) -> int:
        connection.exec_driver_sql(_PARAMETER.sub("NULL", statement))
        return 0

    instead = {
        "for_each_tenant": for_each_tenant,
        "as_tenant": lambda *_: nullcontext(),
        "tenant_ids": lambda _: (_ANYBODY,),
    }
    vars(module).update({name: replacement for name, replacement in instead.items() if name in vars(module)})


class _Apart(ast.NodeTransformer):
    """Let each statement of `upgrade` fail by itself; a loop that waits for something fails as a whole, and ends."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Change the function `upgrade` alone."""
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "upgrade":
                self._part(part)
        return node

    def _part(self, node: ast.AST) -> None:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                setattr(node, name, [self._alone(statement) for statement in block])

    def _alone(self, statement: ast.stmt) -> ast.stmt:
        if isinstance(statement, ast.If | ast.For | ast.With | ast.Try):
            self._part(statement)
        handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
        return ast.copy_location(ast.Try([statement], [handler], [], []), statement)
