"""The migrations of a checkout, and where a database stands among them."""

import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from alembic.config import Config, PostWriteHookConfig
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory, write_hooks
from alembic.util import CommandError
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from infra.config.settings import function_schema
from schema.errors import MigrationError, SchemaError
from schema.migration.branches import Applied, Branches, branched
from schema.migration.file_order import read_files
from schema.migration.written_name import require_written_name

_FORMAT = "groundwork.format"
_SETTLED = 2  # seconds
_SHOWN = 200
"""Longest part of a statement in characters that a message shows."""


class _Config(Config):
    """The checkout's configuration of Alembic; what is written is formatted before Alembic compiles it."""

    def get_hooks_list(self) -> list[PostWriteHookConfig]:
        """Return what is run on a new migration (Alembic manual: post write hooks)."""
        return [*super().get_hooks_list(), {"_hook_name": _FORMAT, "type": _FORMAT}]


@write_hooks.register(_FORMAT)
def _format(path: str, _options: object) -> None:
    """Lay a file out as the project's other code, where ruff is installed; what it holds is the same without."""
    _keep_new_from_bytecode(Path(path).parent)
    from schema.migration.layout import laid_out

    file = Path(path)
    file.write_text(laid_out(file.read_text(encoding="utf-8"), file), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Migrations:
    """A checkout's migrations: readable, numbered once each, ending in one head."""

    checkout: Path
    config: Config
    scripts: ScriptDirectory
    head: str | None

    @classmethod
    def load(cls, checkout: Path, applied: Callable[[], Applied | None] = lambda: None) -> "Migrations":
        """Read the migrations that the checkout's pyproject.toml names.

        `applied` asks a database what it has applied; only the advice on branches needs it.

        Raises:
            ConfigError: they were written for another name than pyproject.toml has.
            MigrationError: a file cannot be read, two have one number, or they end in several heads; names files.
        """
        config, scripts = open_scripts(checkout)
        require_written_name(checkout)
        with explained(lambda reason: f"The migrations of {checkout} cannot be read: {reason}"):
            return cls(checkout, config, scripts, _single_head(checkout, scripts, applied))

    @property
    def next_revision(self) -> str:
        """Return the number of the next migration."""
        return self.next_above(0)

    def next_above(self, number: int) -> str:
        """Return the number of the next migration: above this one, every revision and every file's name."""
        names = (path.name.partition("_")[0] for path in self.folder.glob("*.py"))
        revisions = (script.revision for script in self.scripts.walk_revisions())
        return f"{max([number, *(int(name) for name in (*names, *revisions) if name.isdecimal())]) + 1:04d}"

    @property
    def folder(self) -> Path:
        """The folder that a new migration is written to."""
        return Path(self.scripts.versions)

    @property
    def in_order(self) -> list[Script]:
        """Every migration, each after those that it follows."""
        return list(self.scripts.walk_revisions())[::-1]

    def path_of(self, name: str) -> Path:
        """Return where a migration's file is, as seen from the checkout where it is inside."""
        path = self.folder / name
        return path.relative_to(self.checkout) if path.is_relative_to(self.checkout) else path

    def up_to(self, revisions: Iterable[str]) -> list[Script]:
        """Return these migrations and all that they follow, in the order of application."""
        upper = tuple(revisions)
        return list(self.scripts.iterate_revisions(upper, "base"))[::-1] if upper else []

    def pending(self, at: Sequence[str]) -> list[Script]:
        """Return what a database lacks that is at these revisions, the next one first."""
        done = self.up_to(at)
        return [script for script in self.in_order if script not in done]


def open_scripts(checkout: Path) -> tuple[Config, ScriptDirectory]:
    """Open the folder of migrations that the checkout's pyproject.toml names; none of them is read.

    Raises:
        MigrationError: there is none.
    """
    pyproject = checkout / "pyproject.toml"
    if not pyproject.is_file():
        raise MigrationError(f"{checkout} holds no pyproject.toml, so no migrations. Run the command in a checkout.")
    config = _Config(toml_file=pyproject, cmd_opts=Namespace(quiet=True))
    with explained(lambda reason: f"The migrations of {checkout} cannot be read: {reason}"):
        scripts = ScriptDirectory.from_config(config)
        _keep_new_from_bytecode(Path(scripts.versions))
    # A new migration names the files that it follows: after a merge of git two may have one number.
    config.attributes["file_of"] = lambda revision: Path(scripts.get_revision(revision).path).name
    return config, scripts


def _keep_new_from_bytecode(versions: Path) -> None:
    """Write no bytecode in this process where a file has just been changed: the next change could go unseen.

    Bytecode knows its source by its size and the second of its change (Python manual, Cached bytecode invalidation).
    """
    changed = (file.stat().st_mtime for file in versions.glob("*.py") if file.is_file())
    if max(changed, default=0) > time.time() - _SETTLED:
        sys.dont_write_bytecode = True


def applied(connection: Connection) -> tuple[str, ...]:
    """Return the revisions the database is at: none, one, or several where its history branched."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": function_schema()})
    heads = context.get_current_heads()
    # Alembic takes a connection that is in a transaction for one whose transactions are not its own.
    connection.rollback()
    return heads


def applied_revisions(connection: "psycopg.Connection[Any]") -> tuple[str, ...]:
    """Return the same by a connection of psycopg in autocommit."""
    try:
        rows = connection.execute(
            SQL("SELECT version_num FROM {}").format(Identifier(function_schema(), "alembic_version"))
        ).fetchall()
    except psycopg.errors.UndefinedTable:
        return ()
    return tuple(revision for (revision,) in rows)


@contextmanager
def explained(message: Callable[[str], str]) -> Iterator[None]:
    """Turn whatever a migration or Alembic raises into a MigrationError: `message` of the reason.

    Migrations are anybody's Python and SQL, so any exception may come of one; the original stays the cause.
    """
    try:
        yield
    except SchemaError:
        raise
    except Exception as error:
        raise MigrationError(message(reason_of(error)), sqlstate=sqlstate_of(error)) from error


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of what the server refused; None of any other exception."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return original.sqlstate if isinstance(original, psycopg.Error) else None


@contextmanager
def whole_file(scripts: ScriptDirectory, title: str, revision: Callable[[], str]) -> Iterator[None]:
    """Remove the file of a new migration where the block that writes it fails, or is interrupted.

    `revision` returns its number, which may only be known when it is written.
    """
    try:
        yield
    except BaseException:
        # Alembic tells where it writes only once it has written.
        path = scripts._rev_path(scripts.versions, revision(), title, datetime.now(UTC))  # noqa: SLF001 - see above
        path.unlink(missing_ok=True)
        raise


def reason_of(error: Exception) -> str:
    """Return what an exception says, in one line: of the server's its own words, without the statement."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.Error) and original.sqlstate:
        return f"{original.diag.message_primary} (SQLSTATE {original.sqlstate})"
    lines = str(original).strip().splitlines() or [""]
    return f"{type(original).__name__}: {lines[0]}"


def shortened(statement: str) -> str:
    """Return a statement as a message shows it, in one line."""
    said = " ".join(statement.split())
    return f"{said[:_SHOWN]}{'…' if len(said) > _SHOWN else ''}"


def _single_head(checkout: Path, scripts: ScriptDirectory, applied: Callable[[], Applied | None]) -> str | None:
    """Return where the migrations end; their files are read apart from Alembic only where that may be several."""
    folder = Path(scripts.versions)
    numbers = [path.name.partition("_")[0] for path in folder.glob("[0-9]*_*.py")]
    with warnings.catch_warnings():
        # A number that two files have, or a migration that is not there: Alembic warns, and goes on with some of them.
        warnings.filterwarnings("error", r"Revision \S+ (is present more|referenced from)", UserWarning)
        try:
            if len(numbers) > len(set(numbers)):
                _refuse_branches(checkout, folder, applied)
            heads = scripts.get_heads()
        except UserWarning:
            _refuse_branches(checkout, folder, applied)
            raise
        except CommandError:
            read_files(folder)  # names the file and what to do, where it is one that states no revision
            raise
    if len(heads) > 1:
        _refuse_branches(checkout, folder, applied)
    return heads[0] if heads else None


def _refuse_branches(checkout: Path, folder: Path, applied: Callable[[], Applied | None]) -> None:
    branches = Branches(read_files(folder), applied())
    branches.require_clear()
    if branches.parted:
        raise branched(branches, str(folder.relative_to(checkout) if folder.is_relative_to(checkout) else folder))


def title_of(script: Script) -> str:
    """Return the first line of a migration's docstring, without its full stop."""
    return (script.doc or "").partition("\n")[0].rstrip(".")
