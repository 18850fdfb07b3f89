"""The SQLAlchemy engine of a role: pool within the budget, timeouts, TLS, retries, log lines, clear errors."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import URL, Engine, ExceptionContext, NullPool, QueuePool, event

from infra.settings import AppEnv, Settings
from infra.urls import DatabaseUrl
from schema import logs
from schema.connect import BoundedConnection, connect, unavailable
from schema.errors import DatabaseUnavailable


def create_engine(url: DatabaseUrl, settings: Settings) -> Engine:
    """Return an engine with this process's share of DATABASE_POOL_BUDGET; nothing connects before it is used.

    A statement ends after DATABASE_STATEMENT_TIMEOUT; a session may shorten that, not lengthen it, because an answer
    is waited for no longer than that and one DATABASE_CONNECT_TIMEOUT. A free connection is waited for as long as a
    new one, DATABASE_CONNECT_TIMEOUT. After the server was away the pool connects anew.

    Raises:
        ConfigError: LOG_LEVEL names no level.
        DatabaseUnavailable: (from the engine, when used) the server is away, went away, or refuses.
    """
    statement = settings.database_statement_timeout.total_seconds()
    patience = settings.database_connect_timeout.total_seconds()
    engine = _build(
        url,
        settings,
        {"statement_timeout": f"{statement * 1000:.0f}ms"},
        poolclass=QueuePool,
        pool_size=max(1, settings.database_pool_budget // settings.database_processes),
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=patience,
    )
    _bound_waits(engine, in_use=statement + patience, idle=patience)
    return engine


def owner_engine(url: DatabaseUrl, settings: Settings) -> Engine:
    """Return an engine for migrations: one connection at a time, statements of any length, short waits for locks.

    A lock that is waited for blocks every later query on that table, and a server whose client died should not go
    on holding locks (PostgreSQL manual, 20.3.3: client_connection_check_interval).
    """
    parameters = {"statement_timeout": "0", "lock_timeout": "5s", "client_connection_check_interval": "250ms"}
    return _build(url, settings, parameters, poolclass=NullPool)


def _build(url: DatabaseUrl, settings: Settings, parameters: Mapping[str, str], **pool: Any) -> Engine:
    echo = settings.database_echo and settings.app_env is AppEnv.DEVELOPMENT
    if echo:
        logs.echo_to_stderr()
    engine = sqlalchemy.create_engine(
        # The engine's own URL holds no password: only the creator knows it.
        URL.create("postgresql+psycopg", username=url.user, host=url.host, port=url.port, database=url.database),
        creator=partial(connect, url, settings, parameters=parameters),
        echo=echo,
        hide_parameters=settings.app_env is AppEnv.PRODUCTION,
        **pool,
    )
    _log_events(engine, url, settings, "debug" if pool["poolclass"] is NullPool else "info")
    _explain_disconnects(engine, url)
    return engine


def _log_events(engine: Engine, url: DatabaseUrl, settings: Settings, level: str) -> None:
    log = logs.logger(settings).bind(host=url.host, database=url.database, role=url.user)

    @event.listens_for(engine, "connect")
    def connected(*_: Any) -> None:
        getattr(log, level)("database connected")

    @event.listens_for(engine, "close")
    def closed(*_: Any) -> None:
        log.debug("database connection closed")

    @event.listens_for(engine, "invalidate")
    def invalidated(_connection: Any, _record: Any, error: BaseException | None) -> None:
        log.warning("database connection lost", cause=type(error).__name__ if error else "invalidated by the program")


def _explain_disconnects(engine: Engine, url: DatabaseUrl) -> None:
    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> DatabaseUnavailable | None:
        # A failed pre-ping is the pool's to handle: it connects anew. An interrupted program lost nothing: it stops.
        lost = context.is_disconnect and isinstance(context.original_exception, psycopg.Error)
        if not lost or context.is_pre_ping:
            return None
        return unavailable(url, context.original_exception, lost=True)


def _bound_waits(engine: Engine, *, in_use: float, idle: float) -> None:
    """Bound every wait for an answer, in seconds: an idle connection only ever answers a rollback or a ping."""

    def bound(limit: float, connection: BoundedConnection, *_: Any) -> None:
        connection.answer_timeout = limit

    event.listen(engine, "checkout", partial(bound, in_use))
    event.listen(engine, "reset", partial(bound, idle))
