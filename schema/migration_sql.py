"""The SQL that a migration runs, statement by statement, each with the line of the file that it comes from."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations


@dataclass(frozen=True, slots=True)
class SourceStatement:
    """A statement, and the line of the migration that runs it."""

    line: int
    sql: str


class _Lines:
    """A text stream that asks, for whatever is written, which line of a file is being run."""

    def __init__(self, path: Path) -> None:
        self._file = str(path)
        self.written: list[SourceStatement] = []

    def write(self, text: str) -> None:
        """Keep a statement with the innermost line of the file that is being run."""
        frame = sys._getframe()  # noqa: SLF001 - the interpreter's own way to ask (Python manual, sys)
        while frame.f_back is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        if text.strip() and frame.f_code.co_filename == self._file:
            self.written.append(SourceStatement(frame.f_lineno, text.strip()))

    def flush(self) -> None:
        """Do nothing: nothing is held back."""


def upgrade_sql(path: Path) -> tuple[SourceStatement, ...]:
    """Return what the upgrade of a migration runs, in order, without a database.

    What depends on a database's contents, as `for_each_tenant` does, cannot be run without one: there it ends.
    """
    specification = importlib.util.spec_from_file_location(f"migration_{path.stem}", path)
    if specification is None or specification.loader is None:
        return ()
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    lines = _Lines(path)
    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={"as_sql": True, "literal_binds": True, "output_buffer": lines, "transactional_ddl": False},
    )
    # A migration is anybody's Python, and without a database it may raise anything.
    with Operations.context(context), suppress(Exception):
        module.upgrade()
    return tuple(lines.written)


def numbered(statements: tuple[SourceStatement, ...]) -> Iterator[int]:
    """Yield, for each line of the statements in a row, the line of the file that it comes from."""
    for statement in statements:
        yield from (statement.line for _ in statement.sql.splitlines())
