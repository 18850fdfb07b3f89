"""The login roles, the database and their rights, ensured idempotently. psycopg only.

The administrator makes roles, the database and its ownership; everything else the owner does (`schema.rights`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from infra.errors import ConfigError
from infra.settings import DATABASE_NAME, AppEnv, Role, Settings
from infra.urls import DatabaseUrl
from schema.connect import BoundedConnection, connect
from schema.errors import DatabaseUnavailable, RightsError
from schema.rights import grant_rights

_LOCK = 0x6777726F6C6573
_LOCK_TIMEOUT = {"lock_timeout": "30s"}
_READ_ALL = "pg_read_all_data"

# The columns of pg_roles and the keyword that sets each (PostgreSQL manual, CREATE ROLE).
_ATTRIBUTES: dict[LiteralString, LiteralString] = {
    "rolsuper": "SUPERUSER",
    "rolinherit": "INHERIT",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolcanlogin": "LOGIN",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}


def ensure(admin: DatabaseUrl, settings: Settings) -> None:
    """Make the roles, the database and their rights as they are declared; a second call changes nothing.

    `admin` is a superuser, or a managed server's administrator who may create roles and databases. Where that one
    may not give BYPASSRLS or the right to read all, app_maintenance goes without and a log line says so.

    Raises:
        ConfigError: a role has no password.
        DatabaseUnavailable: the server is away, or refuses the administrator or a role.
        RightsError: roles or rights cannot be made what they should be; names what.
    """
    for role in Role:
        if not settings.role_password(role):
            raise ConfigError(f"{role.upper()}_PASSWORD is not set. Write one into .env or the environment.")
    with connect(admin, settings, autocommit=True, parameters=_LOCK_TIMEOUT) as connection, _explained(admin):
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        for role in Role:
            _ensure_role(connection, role, settings)
        _ensure_database(connection)
        with _login(connection, admin, Role.OWNER, settings) as owner:
            grant_rights(owner)
        for role in (Role.USER, Role.MAINTENANCE):
            _login(connection, admin, role, settings).close()


@contextmanager
def _explained(admin: DatabaseUrl) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        raise RightsError(
            f"Roles and rights on {admin.host}:{admin.port} could not be ensured as {admin.user}: {reason} "
            f"({error.sqlstate}). Connect as a superuser, or as an administrator who may create roles and databases."
        ) from error


def _ensure_role(connection: BoundedConnection, role: Role, settings: Settings) -> None:
    if _actual(connection, role) is None:
        connection.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role)))
        _set_password(connection, role, settings)
    declared = _declared(role, settings)
    differing = (_actual(connection, role) or set()) ^ declared
    # BYPASSRLS alone may be refused, so it has a statement of its own.
    if plain := differing - {"BYPASSRLS"}:
        _alter(connection, role, plain, declared)
    if differing & {"BYPASSRLS"}:
        with _tolerated(role, "BYPASSRLS", settings):
            _alter(connection, role, {"BYPASSRLS"}, declared)
    _ensure_memberships(connection, role, settings)


def _declared(role: Role, settings: Settings) -> set[LiteralString]:
    words: set[LiteralString] = {"LOGIN", "INHERIT"}
    if role is Role.OWNER and settings.app_env is not AppEnv.PRODUCTION:
        words.add("CREATEDB")  # shadow and test databases
    if role is Role.MAINTENANCE:
        words.add("BYPASSRLS")
    return words


def _actual(connection: BoundedConnection, role: Role) -> set[LiteralString] | None:
    columns = SQL(", ").join(map(Identifier, _ATTRIBUTES))
    row = connection.execute(SQL("SELECT {} FROM pg_roles WHERE rolname = %s").format(columns), [role]).fetchone()
    if row is None:
        return None
    return {word for word, held in zip(_ATTRIBUTES.values(), row, strict=True) if held}


def _alter(connection: BoundedConnection, role: Role, words: set[LiteralString], declared: set[LiteralString]) -> None:
    clauses = [SQL(word if word in declared else "NO" + word) for word in sorted(words)]
    connection.execute(SQL("ALTER ROLE {} {}").format(Identifier(role), SQL(" ").join(clauses)))


def _ensure_memberships(connection: BoundedConnection, role: Role, settings: Settings) -> None:
    declared = {_READ_ALL} if role is Role.MAINTENANCE else set()
    actual = connection.execute(
        "SELECT roleid::regrole::text, grantor::regrole::text FROM pg_auth_members WHERE member = %s::regrole", [role]
    ).fetchall()
    for group, grantor in actual:
        if group not in declared:
            connection.execute(
                SQL("REVOKE {} FROM {} GRANTED BY {}").format(SQL(group), Identifier(role), SQL(grantor))
            )
    for group in declared - {group for group, _ in actual}:
        with _tolerated(role, group, settings):
            connection.execute(SQL("GRANT {} TO {}").format(Identifier(group), Identifier(role)))


@contextmanager
def _tolerated(role: Role, what: str, settings: Settings) -> Iterator[None]:
    """Go on where a managed server's administrator may not give app_maintenance what it reads with."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege:
        if role is not Role.MAINTENANCE:
            raise
        from schema.logs import logger  # structlog costs each `up` 15 ms, and few need it

        logger(settings).warning("not available on this server", role=role, right=what)


def _set_password(connection: BoundedConnection, role: Role, settings: Settings) -> None:
    # The server logs statements, so it is told a SCRAM verifier and never the password.
    password = settings.role_password(role).reveal().encode()
    verifier = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
    connection.execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), Literal(verifier)))


def _ensure_database(connection: BoundedConnection) -> None:
    row = connection.execute(
        "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s",
        [DATABASE_NAME],
    ).fetchone()
    if row == (Role.OWNER, "UTF8"):
        return
    if row and row[1] != "UTF8":
        raise RightsError(
            f"Database {DATABASE_NAME!r} on {connection.info.host}:{connection.info.port} has the encoding {row[1]}; "
            "it must be UTF8. Dump it, drop it and run the command again, then restore."
        )
    names = {"database": Identifier(DATABASE_NAME), "owner": Identifier(Role.OWNER)}
    # PostgreSQL 16 lets an administrator give ownership only to a role it may become; a superuser always may.
    if connection.execute("SELECT NOT pg_has_role(%s, 'SET')", [Role.OWNER]).fetchone() == (True,):
        connection.execute(SQL("GRANT {owner} TO CURRENT_USER WITH SET TRUE").format(**names))
    if row:
        connection.execute(SQL("ALTER DATABASE {database} OWNER TO {owner}").format(**names))
    else:
        # template0 brings no rights and no objects of the site, and the server's default locale.
        connection.execute(
            SQL("CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'").format(**names)
        )


def _login(administrator: BoundedConnection, admin: DatabaseUrl, role: Role, settings: Settings) -> BoundedConnection:
    """Connect as `role` to the application's database; where that is refused, set its password and try once more."""
    url = replace(admin, user=role, password=settings.role_password(role), database=DATABASE_NAME)
    try:
        return connect(url, settings, parameters=_LOCK_TIMEOUT)
    except DatabaseUnavailable as error:
        if error.transient:
            raise
        _set_password(administrator, role, settings)
        return connect(url, settings, parameters=_LOCK_TIMEOUT)
