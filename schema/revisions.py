"""The migrations of a checkout, and where a database stands among them."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from infra.settings import FUNCTION_SCHEMA
from schema.errors import MigrationError, SchemaError


@dataclass(frozen=True, slots=True)
class Migrations:
    """A checkout's migrations: readable, numbered once each, ending in one head."""

    config: Config
    scripts: ScriptDirectory
    head: str | None

    @classmethod
    def load(cls, checkout: Path) -> "Migrations":
        """Read the migrations that the checkout's pyproject.toml names.

        Raises:
            MigrationError: a file cannot be read, two have one number, or they end in several heads; names files.
        """
        pyproject = checkout / "pyproject.toml"
        if not pyproject.is_file():
            raise MigrationError(
                f"{checkout} holds no pyproject.toml, so no migrations. Run the command in a checkout."
            )
        config = Config(toml_file=pyproject, cmd_opts=Namespace(quiet=True))
        with explained(lambda reason: f"The migrations of {checkout} cannot be read: {reason}"):
            scripts = ScriptDirectory.from_config(config)
            _refuse_doubles(Path(scripts.versions))
            return cls(config, scripts, _single_head(scripts))

    @property
    def next_revision(self) -> str:
        """Return the number of the next migration."""
        numbers = [int(script.revision) for script in self.scripts.walk_revisions() if script.revision.isdigit()]
        return f"{max(numbers, default=0) + 1:04d}"

    def pending(self, connection: Connection) -> list[Script]:
        """Return what the database lacks, the next one first.

        Raises:
            MigrationError: the database is at a revision that is not among these.
        """
        at = applied(connection)
        known = {script.revision for script in self.scripts.walk_revisions()}
        if unknown := set(at) - known:
            url = connection.engine.url
            raise MigrationError(
                f"Database {url.database!r} at {url.host}:{url.port} is at revision {min(unknown)!r}, which "
                f"{self.scripts.versions} does not hold. Check out the branch that has it, and migrate from there."
            )
        steps = self.scripts.iterate_revisions("heads", at or "base")
        return [step for step in steps if step.revision not in at][::-1]


def applied(connection: Connection) -> tuple[str, ...]:
    """Return the revisions the database is at: none, one, or several where its history branched."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": FUNCTION_SCHEMA})
    heads = context.get_current_heads()
    # Alembic takes a connection that is in a transaction for one whose transactions are not its own.
    connection.rollback()
    return heads


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
        raise MigrationError(message(_reason(error))) from error


def _reason(error: Exception) -> str:
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
                f"{other} and {path.name} in {versions} have one number. Give the one that nobody has applied the next "
                "free number, in its name and inside it, and let it follow the other."
            )


def _single_head(scripts: ScriptDirectory) -> str | None:
    heads = scripts.get_heads()
    if len(heads) > 1:
        files = " and ".join(Path(scripts.get_revision(head).path).name for head in heads)
        raise MigrationError(
            f"The migrations end in {files}. Let one follow the other, or join them: alembic merge heads."
        )
    return heads[0] if heads else None
