"""The migrations of a checkout, and where a database stands among them."""

import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from alembic.config import Config, PostWriteHookConfig
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory, write_hooks
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from infra.settings import FUNCTION_SCHEMA
from schema.errors import MigrationError, SchemaError

_FORMAT = "groundwork.format"
_SETTLED = 2  # seconds


class _Config(Config):
    """The checkout's configuration of Alembic; what is written is formatted before Alembic compiles it."""

    def get_hooks_list(self) -> list[PostWriteHookConfig]:
        """Return what is run on a new migration (Alembic manual: post write hooks)."""
        return [*super().get_hooks_list(), {"_hook_name": _FORMAT, "type": _FORMAT}]


@write_hooks.register(_FORMAT)
def _format(path: str, _options: object) -> None:
    """Lay a file out as the project's other code, where ruff is installed; what it holds is the same without."""
    _keep_new_from_bytecode(Path(path).parent)
    # The program itself, where it stands beside Python: it is done before another Python has started.
    beside = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if beside or find_spec("ruff"):
        words = [beside] if beside else [sys.executable, "-m", "ruff"]
        subprocess.run([*words, "format", "--quiet", path], check=False, capture_output=True)


@dataclass(frozen=True, slots=True)
class Migrations:
    """A checkout's migrations: readable, numbered once each, ending in one head."""

    checkout: Path
    config: Config
    scripts: ScriptDirectory
    head: str | None

    @classmethod
    def load(cls, checkout: Path) -> "Migrations":
        """Read the migrations that the checkout's pyproject.toml names.

        Raises:
            MigrationError: a file cannot be read, two have one number, or they end in several heads; names files.
        """
        config, scripts = open_scripts(checkout)
        with explained(lambda reason: f"The migrations of {checkout} cannot be read: {reason}"):
            return cls(checkout, config, scripts, _single_head(scripts))

    @property
    def next_revision(self) -> str:
        """Return the number of the next migration."""
        numbers = [int(script.revision) for script in self.scripts.walk_revisions() if script.revision.isdigit()]
        return f"{max(numbers, default=0) + 1:04d}"

    @property
    def folder(self) -> Path:
        """The folder that a new migration is written to."""
        return Path(self.scripts.versions)

    @property
    def in_order(self) -> list[Script]:
        """Every migration, each behind those that it follows."""
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


def open_scripts(checkout: Path, *, readable: bool = True) -> tuple[Config, ScriptDirectory]:
    """Open the folder of migrations that the checkout's pyproject.toml names; where they end is not looked at.

    Raises:
        MigrationError: there is none or, unless they need not be `readable`, two files have one number; names them.
    """
    pyproject = checkout / "pyproject.toml"
    if not pyproject.is_file():
        raise MigrationError(f"{checkout} holds no pyproject.toml, so no migrations. Run the command in a checkout.")
    config = _Config(toml_file=pyproject, cmd_opts=Namespace(quiet=True))
    with explained(lambda reason: f"The migrations of {checkout} cannot be read: {reason}"):
        scripts = ScriptDirectory.from_config(config)
        _keep_new_from_bytecode(Path(scripts.versions))
        if readable:
            _refuse_doubles(Path(scripts.versions))
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
    context = MigrationContext.configure(connection, opts={"version_table_schema": FUNCTION_SCHEMA})
    heads = context.get_current_heads()
    # Alembic takes a connection that is in a transaction for one whose transactions are not its own.
    connection.rollback()
    return heads


def applied_revisions(connection: "psycopg.Connection[Any]") -> tuple[str, ...]:
    """Return the same by a connection of psycopg in autocommit."""
    try:
        rows = connection.execute(
            SQL("SELECT version_num FROM {}").format(Identifier(FUNCTION_SCHEMA, "alembic_version"))
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
        raise MigrationError(message(reason_of(error))) from error


def reason_of(error: Exception) -> str:
    """Return what an exception says, in one line: of the server's its own words, without the statement."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.Error) and original.sqlstate:
        return f"{original.diag.message_primary} (SQLSTATE {original.sqlstate})"
    lines = str(original).strip().splitlines() or [""]
    return f"{type(original).__name__}: {lines[0]}"


def _refuse_doubles(versions: Path) -> None:
    seen: dict[str, str] = {}
    for path in sorted(versions.glob("[0-9]*_*.py")):
        other = seen.setdefault(path.name.partition("_")[0], path.name)
        if other != path.name:
            raise MigrationError(
                f"{other} and {path.name} in {versions} have one number. Put the one that nobody has applied behind "
                f"the other: `invoke generate --rebase {path.name}`."
            )


def _single_head(scripts: ScriptDirectory) -> str | None:
    heads = scripts.get_heads()
    if len(heads) > 1:
        names = [Path(scripts.get_revision(head).path).name for head in sorted(heads)]
        raise MigrationError(
            f"The migrations end in {' and '.join(names)}. Put a branch that nobody has applied behind the other, from "
            f"its first file on: `invoke generate --rebase {names[-1]}`, or join them: `invoke generate --merge`."
        )
    return heads[0] if heads else None


def title_of(script: Script) -> str:
    """Return the first line of a migration's docstring, without its full stop."""
    return (script.doc or "").partition("\n")[0].rstrip(".")
