"""Change the password of a role while the former one still works.

PostgreSQL knows one password for each login. So a role has two logins that take turns: the one that is not in use gets
the new password, and the other one keeps the former until it is retired.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
from psycopg.sql import SQL, Identifier

from infra.config.errors import ConfigError
from infra.config.secret import Secret
from infra.config.settings import Role, Settings, logins
from infra.config.urls import DatabaseUrl
from schema.admin.desired_state import converge
from schema.admin.roles import LOCK, LOCK_TIMEOUT, login_statement, on_alternate_login
from schema.client.connection import BoundedConnection, connect
from schema.errors import RightsError

_SESSIONS = """
    SELECT count(*), string_agg(DISTINCT concat_ws(' from ', nullif(application_name, ''), client_addr::text), ', ')
    FROM pg_stat_activity WHERE usename = %s
"""


def rotate(admin: DatabaseUrl, role: Role, current: DatabaseUrl, settings: Settings) -> DatabaseUrl:
    """Give the login of `role` that is not in use a new password, and return its URL once it is proven to work.

    `current` is the URL in use. Its login and password go on working; nobody knows the new password if this fails.

    Raises:
        ConfigError: `current` names neither login of the role.
        DatabaseUnavailable: the server is away, or refuses the administrator or the new login.
        RightsError: the former password of the rotation before still works, or the administrator may not do this.
    """
    login = other_login(role, current.user)
    new = replace(current, user=login, password=Secret(secrets.token_urlsafe(24)))
    with _administrator(admin, role, settings) as connection:
        if _may_log_in(connection, login):
            retire_it = f"invoke rotate {role.name.lower()} --retire {login}"
            raise RightsError(
                f"{login} may still log in at {admin.host}:{admin.port}, with the password of the rotation before. "
                f"When nothing uses it, run `{retire_it}`, then this command again. Nothing was changed.",
                violations=(f"{login} may log in",),
            )
        met = converge(connection, tuple(on_alternate_login(role, settings)))
        if met.missing:
            raise RightsError(
                f"{login} cannot stand in for {role} at {admin.host}:{admin.port}: "
                f"{'; '.join(each.violation for each in met.missing)}. A superuser can put that right.",
                violations=tuple(each.violation for each in met.missing),
            )
        connection.execute(login_statement(login, new.password).encode())
        try:
            _prove(new, role, settings)
        except BaseException:
            _shut(connection, login)
            raise
    return new


def retire(admin: DatabaseUrl, role: Role, login: str, current: DatabaseUrl, settings: Settings) -> None:
    """Let a login of `role` in no longer, by any password; `current` is the URL in use, which is another's.

    Raises:
        ConfigError: `login` is the one in use, or none of the role.
        DatabaseUnavailable: the server is away, or refuses the administrator.
        RightsError: the login has open sessions, or the administrator may not do this.
    """
    if login != other_login(role, current.user):
        raise ConfigError(
            f"{login} is not the login to retire: the settings use {current.user} for {role}. Give this command the "
            f"settings of the new password; it retires {other_login(role, current.user)} then."
        )
    with _administrator(admin, role, settings) as connection:
        count, clients = connection.execute(_SESSIONS, [login]).fetchone() or (0, "")
        if count:
            raise RightsError(
                f"{login} has {count} open connections at {admin.host}:{admin.port} ({clients}). Give the new password "
                "to what holds them and start it again, then run this command again. Nothing was changed.",
                violations=(f"{login} has open connections",),
            )
        _shut(connection, login)


def other_login(role: Role, login: str) -> str:
    """Return the login that takes turns with `login`.

    Raises:
        ConfigError: it is no login of the role.
    """
    own, alternate = logins(role)
    if login not in {own, alternate}:
        raise ConfigError(
            f"{login} is no login of {role}: those are {own} and {alternate}. Correct the URL or the login."
        )
    return alternate if login == own else own


@contextmanager
def _administrator(admin: DatabaseUrl, role: Role, settings: Settings) -> Iterator[BoundedConnection]:
    """Connect as the administrator, under the lock of all that changes roles."""
    with connect(admin, settings, autocommit=True, parameters=LOCK_TIMEOUT) as connection:
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            yield connection
        except psycopg.Error as error:
            raise RightsError(
                f"The logins of {role} at {admin.host}:{admin.port} could not be changed as {admin.user}: "
                f"{error.diag.message_primary or error} ({error.sqlstate}). Connect as a superuser, or as the "
                "administrator who made the roles.",
                sqlstate=error.sqlstate,
            ) from error


def _may_log_in(connection: BoundedConnection, login: str) -> bool:
    return bool(connection.execute("SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin", [login]).rowcount)


def _shut(connection: BoundedConnection, login: str) -> None:
    connection.execute(SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(Identifier(login)))


def _prove(url: DatabaseUrl, role: Role, settings: Settings) -> None:
    """See that the login is let in and has what the role has; what the owner makes is the role's own."""
    question = "SELECT current_user = %(role)s OR %(shared)s AND pg_has_role(current_user, %(role)s, 'USAGE')"
    with connect(url, settings) as connection:
        named = {"role": str(role), "shared": role is not Role.OWNER}
        (holds,) = connection.execute(question, named).fetchone() or (False,)
    if not holds:
        raise RightsError(
            f"{url.user} is let in at {url.host}:{url.port}, and does not have what {role} has. The password in use "
            f"goes on working. A pooler in between may serve it as another role.",
            violations=(f"{url.user} does not have what {role} has",),
        )
