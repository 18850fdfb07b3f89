"""The SQLAlchemy engine of a role: pool within the budget, timeouts, TLS, retries, log lines, clear errors."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import psycopg
import sqlalchemy
from sqlalchemy import URL, Engine, ExceptionContext, NullPool, event
from sqlalchemy.pool import ConnectionPoolEntry

from infra.config.settings import AppEnv, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect, unavailable
from schema.client.dialect import DRIVER, clean_returned, forget_tenants
from schema.client.forks import renew_in_children
from schema.client.logs import echo_to_stderr, log
from schema.client.pool import BoundedPool
from schema.client.role_check import refuse_bypass
from schema.errors import DatabaseUnavailable

PLAIN_DRIVER = "postgresql+psycopg"


def create_engine(url: DatabaseUrl, settings: Settings) -> Engine:
    """Return the application's engine, with this process's share of DATABASE_POOL_BUDGET; it connects when it is used.

    Each of its transactions belongs to a tenant: open them with `schema.client.session`. `raw_connection()` is
    psycopg's own connection, which has no tenant: tenant tables refuse it, or show it nothing.

    A statement ends after DATABASE_STATEMENT_TIMEOUT; a session may shorten that, not lengthen it, because an answer
    is waited for no longer than that and one DATABASE_CONNECT_TIMEOUT. A free connection is waited for as long as a
    new one, DATABASE_CONNECT_TIMEOUT. After the server was away the pool connects again.

    Raises:
        DatabaseUnavailable: (from the engine, when used) the server is away, went away, or refuses.
        RoleBypassesIsolation: (from the engine, when it connects) row level security does not hold the URL's role.
        TenantContextError: (from the engine, when a transaction begins) it has no tenant.
    """
    parameters = timeouts(settings)
    engine = sqlalchemy.create_engine(
        creator=partial(_connect_checked, url, settings, parameters),
        poolclass=BoundedPool,
        **pool_options(settings),
        **common_options(url, settings, DRIVER),
    )
    equip_application(engine, url, settings)
    return engine


def maintenance_engine(url: DatabaseUrl, settings: Settings) -> Engine:
    """Return the engine of the maintenance role, which sees every tenant: for `maintenance_session` alone.

    Statements end after DATABASE_STATEMENT_TIMEOUT, and no connection is kept.
    """
    engine = unpooled(url, settings, timeouts(settings))
    equip_maintenance(engine, url)
    return engine


def unpooled(
    url: DatabaseUrl,
    settings: Settings,
    parameters: Mapping[str, str],
    kind: type[BoundedConnection] = BoundedConnection,
) -> Engine:
    """Return an engine that keeps no connection, each of `kind` and with the server settings of `parameters`."""
    creator = partial(connect, url, settings, parameters=parameters, kind=kind)
    options = common_options(url, settings, PLAIN_DRIVER)
    return sqlalchemy.create_engine(creator=creator, poolclass=NullPool, **options)


def _connect_checked(url: DatabaseUrl, settings: Settings, parameters: Mapping[str, str]) -> BoundedConnection:
    """Connect as a role that row level security holds."""
    connection = connect(url, settings, autocommit=True, parameters=parameters)
    try:
        refuse_bypass(connection, url)
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def timeouts(settings: Settings) -> dict[str, str]:
    """Return the server settings of an application's session."""
    return {"statement_timeout": f"{settings.database_statement_timeout.total_seconds() * 1000:.0f}ms"}


def pool_options(settings: Settings) -> dict[str, Any]:
    """Return SQLAlchemy's options for a pool of this process's share of the budget."""
    return {
        "pool_size": max(1, settings.database_pool_budget // settings.database_processes),
        "max_overflow": 0,
        "pool_pre_ping": True,
        "pool_timeout": settings.database_connect_timeout.total_seconds(),
    }


def common_options(url: DatabaseUrl, settings: Settings, driver: str) -> dict[str, Any]:
    """Return SQLAlchemy's options that every engine has."""
    echo = settings.database_echo and settings.app_env is AppEnv.DEVELOPMENT
    if echo:
        echo_to_stderr()
    return {
        # The engine's own URL holds no password: only the creator knows it.
        "url": URL.create(driver, username=url.user, host=url.host, port=url.port, database=url.database),
        "echo": echo,
        "hide_parameters": settings.app_env is AppEnv.PRODUCTION,
    }


def equip_application(engine: Engine, url: DatabaseUrl, settings: Settings) -> None:
    """Make an engine the application's: its checkouts begin with no tenant, and its waits are bounded."""
    cast(BoundedPool, engine.pool).url = url
    forget_tenants(engine)
    equip(engine, url)
    bound_waits(engine, settings)
    clean_returned(engine)
    renew_in_children(engine)


def equip_maintenance(engine: Engine, url: DatabaseUrl) -> None:
    """Make an engine that of maintenance, whose connections are many and short: they are logged at debug."""
    _log_events(engine, url, logging.DEBUG)
    explain_disconnects(engine, url)
    renew_in_children(engine)


def equip(engine: Engine, url: DatabaseUrl) -> None:
    """Have an engine log its connections and explain what it lost."""
    _log_events(engine, url, logging.INFO)
    explain_disconnects(engine, url)


def _log_events(engine: Engine, url: DatabaseUrl, level: int) -> None:
    where = {"host": url.host, "database": url.database, "role": url.user}

    @event.listens_for(engine, "connect")
    def connected(*_: Any) -> None:
        log(level, "database connected", **where)

    @event.listens_for(engine, "close")
    def closed(*_: Any) -> None:
        log(logging.DEBUG, "database connection closed", **where)

    @event.listens_for(engine, "invalidate")
    def invalidated(_connection: Any, record: ConnectionPoolEntry, error: BaseException | None) -> None:
        # An interrupted program lost nothing: it stops. Nor did a child, whose parent has the connection.
        inherited = getattr(record.driver_connection, "inherited", False)
        if not isinstance(error, KeyboardInterrupt) and not inherited:
            cause = type(error).__name__ if error else "invalidated by the program"
            log(logging.WARNING, "database connection lost", **where, cause=cause)


def explain_disconnects(engine: Engine, url: DatabaseUrl) -> None:
    """Have an engine say what became of a connection that was lost while it was used."""

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> DatabaseUnavailable | None:
        # A failed pre-ping is the pool's to handle: it connects again. An interrupted program lost nothing: it stops.
        lost = context.is_disconnect and isinstance(context.original_exception, psycopg.Error)
        if not lost or context.is_pre_ping:
            return None
        return unavailable(url, context.original_exception, lost=True)


def bound_waits(engine: Engine, settings: Settings) -> None:
    """Bound every wait for an answer, in seconds: an idle connection only ever answers a rollback or a ping."""
    idle = settings.database_connect_timeout.total_seconds()
    in_use = settings.database_statement_timeout.total_seconds() + idle

    def bound(limit: float, _connection: Any, record: ConnectionPoolEntry | None, *_: Any) -> None:
        if record is not None:  # a detached connection returns to no pool
            cast(BoundedConnection, record.driver_connection).answer_timeout = limit

    event.listen(engine, "checkout", partial(bound, in_use))
    event.listen(engine, "reset", partial(bound, idle))
