"""Throw-away databases that hold what the migrations make, and never a tenant's data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg.sql import SQL, Identifier

from infra.config.extensions import TEMPLATE, declared_extensions
from infra.config.settings import Settings, database_name
from infra.config.urls import DatabaseUrl
from schema.admin.extensions import template_comment, template_note
from schema.admin.grants import grant_rights
from schema.client.connection import BoundedConnection, connect
from schema.errors import MigrationError

PREFIX = f"groundwork_shadow_{database_name()}_"
"""Products that share a server make databases of different names, and each drops its own."""
_APPLICATION = "groundwork shadow"

# A shadow database is named after the server process that made it: it is left over once that one is gone.
_LEFT_OVER = """
    SELECT datname FROM pg_database
    WHERE datname ~ %(pattern)s AND datdba = current_user::regrole AND NOT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND application_name = %(application)s
          AND pid = substring(pg_database.datname FROM %(pattern)s)::int
    )
"""


@contextmanager
def shadow_database(
    owner: DatabaseUrl, settings: Settings, template: str | None = None, extensions: Sequence[str] | None = None
) -> Iterator[DatabaseUrl]:
    """Make a database with the declared rights on the owner's server; drop it when the block ends.

    It is a clone of `template` or has nothing but the extensions: those of pyproject.toml unless given. Drops those
    that interrupted runs left as well.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: the owner may not create databases, or the server was not prepared for the extensions.
    """
    extensions = declared_extensions() if extensions is None else extensions
    with connect(owner, settings, autocommit=True) as connection:
        connection.execute(SQL("SET application_name = {}").format(_APPLICATION))
        _drop_left_over(connection)
        name = f"{PREFIX}{connection.info.backend_pid}"
        _create(connection, name, template or _empty(connection, extensions))
        try:
            shadow = owner.on(name)
            with connect(shadow, settings) as inside:
                grant_rights(inside)
            yield shadow
        finally:
            # A server that went away is reported by what was using it; the next run drops what is left over.
            with suppress(psycopg.OperationalError):
                drop_database(connection, name)


def _empty(connection: BoundedConnection, extensions: Sequence[str]) -> str:
    """Return the database to clone for one with nothing but the extensions."""
    if not extensions:
        return "template0"
    if connection.execute(template_comment(TEMPLATE)).fetchone() == (template_note(extensions),):
        return TEMPLATE
    raise MigrationError(
        f"The server at {connection.info.host}:{connection.info.port} is not prepared for the extensions that "
        f"pyproject.toml declares ({', '.join(extensions)}). Run `invoke up` for the local stack, or `invoke "
        "bootstrap` for another development server, then the command again."
    )


def _create(connection: BoundedConnection, name: str, template: str) -> None:
    try:
        names = Identifier(name), Identifier(template)
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(*names))
    except psycopg.errors.InsufficientPrivilege:
        raise MigrationError(
            f"{connection.info.user} may not create databases at {connection.info.host}:{connection.info.port}, and "
            "generate needs one for a moment. Run it against a development server."
        ) from None
    except psycopg.Error as error:
        raise MigrationError(
            f"No shadow database could be made at {connection.info.host}:{connection.info.port}: "
            f"{error.diag.message_primary or error} ({error.sqlstate}). See to that and run the command again.",
            sqlstate=error.sqlstate,
        ) from error


def _drop_left_over(connection: BoundedConnection) -> None:
    question = {"pattern": f"^{PREFIX}([0-9]{{1,9}})$", "application": _APPLICATION}
    for (name,) in connection.execute(_LEFT_OVER, question).fetchall():
        drop_database(connection, name)


def drop_database(connection: BoundedConnection, name: str) -> None:
    """Drop a shadow database or a template; while somebody stays in it, it is left to the next run."""
    drop = SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name))
    try:
        connection.execute(drop + SQL(" WITH (FORCE)"))
    except psycopg.errors.InsufficientPrivilege:
        # FORCE is refused over processes of other roles, autovacuum's among them; without it the server ends
        # autovacuum's and gives the others five seconds to leave.
        with suppress(psycopg.errors.ObjectInUse):
            connection.execute(drop)
