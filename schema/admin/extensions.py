"""The declared extensions, made by the administrator in the product's database, and in one that others are cloned from.

Few extensions may be made by a database's owner, and generate, check and tests make databases as the owner. They clone
one that has the extensions already.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from infra.config.extensions import TEMPLATE
from infra.config.settings import AppEnv, Settings, database_name
from infra.config.urls import DatabaseUrl
from schema.admin.desired_state import DesiredState, converge, otherwise
from schema.client.connection import BoundedConnection, connect
from schema.errors import ExtensionError

_IN_PUBLIC = {"search_path": "public", "lock_timeout": "30s"}
_PROVIDERS = "managed servers keep a list of those that they allow, such as azure.extensions or rds.allowed_extensions"


def extension_requirements(extensions: Sequence[str]) -> tuple[DesiredState, ...]:
    """Return what must hold in a database that has the extensions, for an administrator to make."""
    return tuple(
        DesiredState(
            f"there is no extension {name}",
            otherwise(
                SQL("EXISTS (SELECT FROM pg_extension WHERE extname = {})").format(Literal(name)),
                SQL("CREATE EXTENSION {} CASCADE").format(Identifier(name)),
            ),
        )
        for name in extensions
    )


def missing_extensions(connection: BoundedConnection, extensions: Sequence[str]) -> tuple[str, ...]:
    """Return those of the extensions that the database does not have."""
    if not extensions:
        return ()
    question = "SELECT array_agg(extname::text) FROM pg_extension WHERE extname = ANY (%s)"
    row = connection.execute(question, [list(extensions)]).fetchone()
    present = (row and row[0]) or ()
    return tuple(name for name in extensions if name not in present)


def ensure_extensions(
    administrator: BoundedConnection, admin: DatabaseUrl, settings: Settings, extensions: Sequence[str]
) -> tuple[str, ...]:
    """Make the extensions in the product's database and, but in production, the database to clone; return what was run.

    Raises:
        DatabaseUnavailable: the server is away.
        ExtensionError: the server has no such extension, or refuses it to the administrator.
    """
    made = _make_in(database_name(), admin, settings, extensions) if extensions else ()
    if settings.app_env is not AppEnv.PRODUCTION:
        made += _ensure_template(administrator, admin, settings, extensions)
    return made


def template_note(extensions: Sequence[str], begun: str = "") -> str:
    """Return the comment that marks the database to clone as complete for these extensions, or as `begun`."""
    return f"for shadow databases{begun}; extensions: {', '.join(extensions)}"


def template_comment(name: str) -> Composed:
    """Return the query for that comment; it yields no row where there is no such database."""
    return SQL("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}").format(Literal(name))


def template_creation() -> Composed:
    """Return the statement that makes the database to clone."""
    return SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' IS_TEMPLATE true").format(Identifier(TEMPLATE))


def template_mark(note: str) -> Composed:
    """Return the statement that writes its comment."""
    return SQL("COMMENT ON DATABASE {} IS {}").format(Identifier(TEMPLATE), Literal(note))


def _ensure_template(
    administrator: BoundedConnection, admin: DatabaseUrl, settings: Settings, extensions: Sequence[str]
) -> tuple[str, ...]:
    found = administrator.execute(template_comment(TEMPLATE)).fetchone()
    complete, begun = template_note(extensions), template_note(extensions, begun=", unfinished")
    if found == ((complete,) if extensions else None):
        return ()
    made: list[str] = []
    # Only one that was begun for the same list is finished: another may have what is not declared any more.
    if found and found != (begun,):
        made += [f'ALTER DATABASE "{TEMPLATE}" IS_TEMPLATE false', f'DROP DATABASE "{TEMPLATE}" WITH (FORCE)']
    if extensions and found != (begun,):
        made += [template_creation().as_string(), template_mark(begun).as_string()]
    for statement in made:
        administrator.execute(statement.encode())
    if extensions:
        made += _make_in(TEMPLATE, admin, settings, extensions)
        administrator.execute(template_mark(complete))
    return tuple(made)


def _make_in(database: str, admin: DatabaseUrl, settings: Settings, extensions: Sequence[str]) -> tuple[str, ...]:
    with (
        connect(admin.on(database), settings, autocommit=True, parameters=_IN_PUBLIC) as connection,
        _explained(connection, admin, extensions),
    ):
        return converge(connection, extension_requirements(extensions)).made


@contextmanager
def _explained(connection: BoundedConnection, admin: DatabaseUrl, extensions: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if connection.closed:
            raise
        refused = next(iter(missing_extensions(connection, extensions)), "")
        where = f"at {admin.host}:{admin.port}"
        if isinstance(error, psycopg.errors.UndefinedFile | psycopg.errors.FeatureNotSupported):
            reason = f"The server {where} has no extension {refused}, which pyproject.toml declares"
            then = "Install it there, take another server or image, or take it off the list"
        elif isinstance(error, psycopg.errors.InsufficientPrivilege):
            reason = f"{admin.user} may not make the extension {refused} {where}"
            then = (
                f'Have a superuser run CREATE EXTENSION "{refused}" CASCADE in database {connection.info.dbname}; '
                f"{_PROVIDERS}"
            )
        else:
            reason = f"The extension {refused} cannot be made {where}"
            then = "See to that and run the command again"
        said = error.diag.message_primary or error
        raise ExtensionError(
            f"{reason}: {said} ({error.sqlstate}). {then}.", extension=refused, sqlstate=error.sqlstate
        ) from error
