"""The login roles, the database and their rights, ensured idempotently.

The administrator makes roles, the database and its ownership; everything else the owner does (`schema.admin.grants`).
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from infra.config.errors import ConfigError
from infra.config.extensions import declared_extensions
from infra.config.scram import scram_verifier
from infra.config.secret import Secret
from infra.config.settings import AppEnv, Role, Settings, database_name, logins
from infra.config.urls import DatabaseUrl
from schema.admin.desired_state import DesiredState, Met, converge, otherwise
from schema.admin.extensions import ensure_extensions
from schema.admin.grants import grant_rights
from schema.client.connection import BoundedConnection, connect
from schema.client.logs import log
from schema.errors import DatabaseUnavailable, RightsError

LOCK = 0x6777726F6C6573
LOCK_TIMEOUT = {"lock_timeout": "30s"}
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
_WITHOUT_BYPASS = (
    f"{Role.MAINTENANCE} sees no tenant's rows here: back up with the provider's own snapshots, and make reports "
    "tenant by tenant"
)
_WITHOUT_READ_ALL = (
    f"{Role.MAINTENANCE} may read nothing here: ask the provider for that membership, or back up with its own snapshots"
)


def ensure(admin: DatabaseUrl, settings: Settings, extensions: Sequence[str] | None = None) -> Met:
    """Make the roles, the database, its extensions and their rights as declared; a second call changes nothing.

    The extensions are those of pyproject.toml unless given.

    `admin` is a superuser, or a managed server's administrator who may create roles and databases. Where that one
    may not give BYPASSRLS or the right to read all, the maintenance role goes without and a log line says so.

    Raises:
        ConfigError: a role has no password.
        DatabaseUnavailable: the server is away, or refuses the administrator or a role.
        ExtensionError: the server has no such extension, or refuses it.
        RightsError: roles or rights cannot be made what they should be; names what.
    """
    extensions = declared_extensions() if extensions is None else extensions
    for role in Role:
        if not settings.role_password(role):
            raise ConfigError(
                f"APP_{role.name}_PASSWORD is not set. Write one into .env or the environment.",
                setting=f"APP_{role.name}_PASSWORD",
            )
    requirements = administrators_requirements(settings)
    with connect(admin, settings, autocommit=True, parameters=LOCK_TIMEOUT) as connection, _explained(admin):
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        _refuse_other_encoding(connection)
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        met = converge(connection, requirements)
        for role in Role:
            if settings.role_login(role) not in known:
                _set_password(connection, role, settings)
        _refuse_missing(connection, met.missing)
        made = ensure_extensions(connection, admin, settings, extensions)
        with _login(connection, admin, Role.OWNER, settings) as owner:
            granted = grant_rights(owner)
        for role in (Role.USER, Role.MAINTENANCE):
            _login(connection, admin, role, settings).close()
    _log_refused(met.refused)
    return Met((*met.made, *made, *granted), met.refused)


def administrators_requirements(settings: Settings) -> tuple[DesiredState, ...]:
    """Return what must hold on the server, for its administrator to make."""
    return (*_on_roles(settings), _administrators_membership(), *_on_database())


def lasting_requirements(settings: Settings) -> tuple[DesiredState, ...]:
    """Return what must hold on the server whoever looks; what only its administrator needs is not among it."""
    return (*_on_roles(settings), *_on_database())


def _on_roles(settings: Settings) -> Iterator[DesiredState]:
    for role in Role:
        yield from _on_role(role, settings)
    for role in Role:
        if settings.has_alternate_login(role):
            yield from on_alternate_login(role, settings)


def _on_role(role: Role, settings: Settings) -> Iterator[DesiredState]:
    declared = _declared_words(role, settings)
    yield DesiredState(
        f"there is no role {role}",
        otherwise(
            SQL("to_regrole({}) IS NOT NULL").format(Literal(str(role))),
            SQL("CREATE ROLE {}" if settings.has_alternate_login(role) else "CREATE ROLE {} LOGIN").format(
                Identifier(str(role))
            ),
        ),
    )
    # While it is the turn of the alternate, a login that is not to be used any longer stays as it is.
    yield from _attributes(str(role), declared, but="rolcanlogin" if settings.has_alternate_login(role) else "")
    yield DesiredState(
        f"{role} may not log in: its password has expired, or its connections are limited to none",
        SQL(
            "SELECT {alter} || CASE rolconnlimit WHEN 0 THEN 'CONNECTION LIMIT -1' ELSE {unlimited} END FROM pg_roles"
            " WHERE rolname = {role} AND (rolconnlimit = 0 OR rolvaliduntil <= now())"
        ).format(
            alter=Literal(f'ALTER ROLE "{role}" '), unlimited=Literal("VALID UNTIL 'infinity'"), role=Literal(str(role))
        ),
    )
    yield from _memberships(role)


def on_alternate_login(role: Role, settings: Settings) -> Iterator[DesiredState]:
    """Yield what makes the alternate login of a role as good as the role: its attributes, and membership.

    What the owner makes is to belong to the role itself, so that one begins its sessions as the role.
    """
    own, alternate = logins(role)
    names = {"own": Literal(own), "alternate": Literal(alternate)}
    yield DesiredState(
        f"there is no role {alternate}",
        otherwise(
            SQL("to_regrole({alternate}) IS NOT NULL").format(**names),
            SQL("CREATE ROLE {}").format(Identifier(alternate)),
        ),
    )
    yield from _attributes(alternate, _declared_words(role, settings), but="rolcanlogin")
    yield DesiredState(
        f"{alternate} is a member of another role than {own}",
        SQL(
            "SELECT format('REVOKE %s FROM %I GRANTED BY %s', roleid::regrole, {alternate}::text, grantor::regrole)"
            " FROM pg_auth_members WHERE member = to_regrole({alternate}) AND roleid <> to_regrole({own})"
        ).format(**names),
    )
    yield DesiredState(
        f"{alternate} is no member of {own}",
        otherwise(
            SQL(
                "(SELECT bool_or(inherit_option) AND bool_or(set_option) FROM pg_auth_members"
                " WHERE member = to_regrole({alternate}) AND roleid = to_regrole({own}))"
            ).format(**names),
            SQL("GRANT {} TO {} WITH INHERIT TRUE, SET TRUE").format(Identifier(own), Identifier(alternate)),
        ),
    )
    if role is Role.OWNER:
        yield DesiredState(
            f"{alternate} does not begin its sessions as {own}",
            otherwise(
                SQL(
                    "EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = to_regrole({alternate}) AND setdatabase = 0"
                    " AND 'role=' || {own} = ANY (setconfig))"
                ).format(**names),
                SQL("ALTER ROLE {} SET role TO {}").format(Identifier(alternate), Literal(own)),
            ),
        )


def _attributes(login: str, declared: set[LiteralString], *, but: LiteralString) -> Iterator[DesiredState]:
    plain = [column for column in _ATTRIBUTES if column not in {"rolbypassrls", but}]
    yield DesiredState(
        f"the attributes of {login} are not {' '.join(sorted(declared))}", _changes(login, plain, declared)
    )
    # It alone may be refused, so it has a statement of its own.
    bypasses = "BYPASSRLS" in declared
    yield DesiredState(
        f"{login} {'lacks' if bypasses else 'has'} BYPASSRLS",
        _changes(login, ["rolbypassrls"], declared),
        fallback=_WITHOUT_BYPASS if bypasses else "",
    )


def _declared_words(role: Role, settings: Settings) -> set[LiteralString]:
    words: set[LiteralString] = {"LOGIN", "INHERIT"}
    if role is Role.OWNER and settings.app_env is not AppEnv.PRODUCTION:
        words.add("CREATEDB")  # shadow and test databases
    if role is Role.MAINTENANCE:
        words.add("BYPASSRLS")
    return words


def _changes(login: str, columns: Sequence[LiteralString], declared: set[LiteralString]) -> Composed:
    """Return the query that yields one ALTER ROLE for those attributes of `login` that differ."""
    rows = SQL(", ").join(
        SQL("({} <> {}, {})").format(
            Identifier(column), Literal(word in declared), Literal(word if word in declared else f"NO{word}")
        )
        for column, word in _ATTRIBUTES.items()
        if column in columns
    )
    return SQL(
        "SELECT {alter} || string_agg(word, ' ') FROM pg_roles, LATERAL (VALUES {rows}) AS attribute (differs, word)"
        " WHERE rolname = {role} AND differs HAVING count(*) > 0"
    ).format(alter=Literal(f'ALTER ROLE "{login}" '), rows=rows, role=Literal(login))


def _memberships(role: Role) -> Iterator[DesiredState]:
    declared = [_READ_ALL] if role is Role.MAINTENANCE else []
    yield DesiredState(
        f"{role} is a member of another role than {' or '.join(declared) or 'none'}",
        SQL(
            "SELECT format('REVOKE %s FROM %I GRANTED BY %s', roleid::regrole, {role}::text, grantor::regrole)"
            " FROM pg_auth_members WHERE member = to_regrole({role})"
            " AND roleid::regrole::text <> ALL ({declared}::text[])"
        ).format(role=Literal(str(role)), declared=Literal(declared)),
    )
    for group in declared:
        yield DesiredState(
            f"{role} is no member of {group}",
            SQL(
                "SELECT {grant}::text WHERE NOT EXISTS (SELECT FROM pg_auth_members"
                " WHERE member = to_regrole({role}) AND roleid = to_regrole({group}))"
            ).format(grant=Literal(f'GRANT {group} TO "{role}"'), role=Literal(str(role)), group=Literal(group)),
            fallback=_WITHOUT_READ_ALL,
        )


def _administrators_membership() -> DesiredState:
    # PostgreSQL 16 lets an administrator give ownership only to a role it may become; a superuser always may.
    return DesiredState(
        f"the administrator may not become {Role.OWNER}",
        otherwise(
            SQL("pg_has_role(to_regrole({}), 'SET')").format(Literal(str(Role.OWNER))),
            SQL("GRANT {} TO CURRENT_USER WITH SET TRUE").format(Identifier(str(Role.OWNER))),
        ),
    )


def _on_database() -> Iterator[DesiredState]:
    names = {"database": Identifier(database_name()), "owner": Identifier(str(Role.OWNER))}
    theirs = {"name": Literal(database_name()), "role": Literal(str(Role.OWNER))}
    # template0 brings no rights and no objects of the site, and the server's default locale.
    yield DesiredState(
        f"there is no database {database_name()}",
        otherwise(
            SQL("EXISTS (SELECT FROM pg_database WHERE datname = {name})").format(**theirs),
            SQL("CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'").format(**names),
        ),
    )
    yield DesiredState(
        f"database {database_name()} does not belong to {Role.OWNER}",
        SQL("SELECT {statement}::text FROM pg_database WHERE datname = {name} AND datdba <> to_regrole({role})").format(
            statement=Literal(SQL("ALTER DATABASE {database} OWNER TO {owner}").format(**names).as_string()), **theirs
        ),
    )
    yield DesiredState(
        f"database {database_name()} takes no connections",
        SQL(
            "SELECT {alter}::text || CASE datconnlimit WHEN 0 THEN 'CONNECTION LIMIT -1'"
            " ELSE 'ALLOW_CONNECTIONS true' END"
            " FROM pg_database WHERE datname = {name} AND (datconnlimit = 0 OR NOT datallowconn)"
        ).format(alter=Literal(SQL("ALTER DATABASE {database} ").format(**names).as_string()), **theirs),
    )


def _refuse_other_encoding(connection: BoundedConnection) -> None:
    row = connection.execute(
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s", [database_name()]
    ).fetchone()
    if row and row[0] != "UTF8":
        raise RightsError(
            f"Database {database_name()!r} on {connection.info.host}:{connection.info.port} has the encoding {row[0]}; "
            "it must be UTF8. Dump it, drop it and run the command again, then restore."
        )


def _refuse_missing(connection: BoundedConnection, missing: Sequence[DesiredState]) -> None:
    if missing:
        where = f"{connection.info.host}:{connection.info.port}"
        raise RightsError(
            f"Roles and rights at {where} are not as declared: {'; '.join(each.violation for each in missing)}. "
            "A superuser can put that right; `invoke bootstrap --sql` prints the statements.",
            violations=tuple(each.violation for each in missing),
        )


def _log_refused(refused: Sequence[DesiredState]) -> None:
    for state in refused:
        log(logging.WARNING, "not available on this server", right=state.violation, instead=state.fallback)


@contextmanager
def _explained(admin: DatabaseUrl) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        detail = f" {error.diag.message_detail}" if error.diag.message_detail else ""
        raise RightsError(
            f"Roles and rights on {admin.host}:{admin.port} could not be ensured as {admin.user}: {reason} "
            f"({error.sqlstate}).{detail} Connect as a superuser, or as an administrator who may create roles and "
            "databases; if the roles are there already, as the one who made them.",
            sqlstate=error.sqlstate,
        ) from error


def _set_password(connection: BoundedConnection, role: Role, settings: Settings) -> None:
    connection.execute(password_statement(role, settings).encode())


def password_statement(role: Role, settings: Settings) -> str:
    """Return the statement that gives the login of `role` its password."""
    return login_statement(settings.role_login(role), settings.role_password(role))


def login_statement(login: str, password: Secret) -> str:
    """Return the statement that lets `login` in by a password: as a verifier, since the server logs statements."""
    verifier = scram_verifier(login, password)
    return SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(Identifier(login), Literal(verifier)).as_string()


def _login(administrator: BoundedConnection, admin: DatabaseUrl, role: Role, settings: Settings) -> BoundedConnection:
    """Connect as `role` to the application's database; where that is refused, set its password and try once more."""
    url = replace(
        admin, user=settings.role_login(role), password=settings.role_password(role), database=database_name()
    )
    try:
        return connect(url, settings, parameters=LOCK_TIMEOUT)
    except DatabaseUnavailable as error:
        if error.transient:
            raise
        _set_password(administrator, role, settings)
        return connect(url, settings, parameters=LOCK_TIMEOUT)
