"""The application's engines on the one connection of a test: what they promise of a transaction, a savepoint keeps.

Importing this module registers the dialect with SQLAlchemy as `postgresql+groundwork_test`.
"""

from contextlib import suppress
from typing import Any, Final

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, NullPool, PoolProxiedConnection, event
from sqlalchemy.dialects import registry
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import create_async_engine as sqlalchemy_create_async_engine

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.dialect import AsyncTenantDialect, TenantDialect
from schema.client.engine import common_options, explain_disconnects
from tests.kit.one_connection import OneConnection, OneConnectionError

DRIVER: Final = "postgresql+groundwork_test"


class _OnOneConnection:
    """What both dialects do alike."""

    shared: OneConnection

    def on_connect(self) -> None:
        """Do nothing: each checkout would do it again to the same connection."""

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin a savepoint with the tenant that this checkout is for."""
        self.shared.begin(dbapi_connection.info)

    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Release the savepoint, after all checks that a COMMIT would make."""
        self.shared.commit(dbapi_connection.info)

    def do_rollback(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Roll back to the savepoint, where the checkout began one."""
        with suppress(NotImplementedError):  # SQLAlchemy's first questions to a server are none of a checkout
            self.shared.rollback(dbapi_connection.info)

    def do_close(self, dbapi_connection: DBAPIConnection) -> None:
        """Keep the connection, which is the test's."""

    def do_terminate(self, dbapi_connection: DBAPIConnection) -> None:
        """Keep the connection, which is the test's."""

    def set_isolation_level(self, _connection: DBAPIConnection, level: str) -> None:
        """Refuse another isolation level: it is a whole transaction's, and the test is one."""
        if level.replace("_", " ") != "READ COMMITTED":
            raise OneConnectionError(f"A transaction cannot be {level} inside the test's, which has begun.")

    def set_readonly(self, _connection: DBAPIConnection, value: bool) -> None:
        """Refuse a transaction that only reads: it is a whole transaction's."""
        if value:
            raise OneConnectionError("A transaction cannot be READ ONLY inside the test's, which has begun.")

    def get_readonly(self, _connection: DBAPIConnection) -> bool:
        """Return that transactions write."""
        return False

    def set_deferrable(self, _connection: DBAPIConnection, value: bool) -> None:
        """Refuse a deferrable transaction: it is a whole transaction's."""
        if value:
            raise OneConnectionError("A transaction cannot be DEFERRABLE inside the test's, which has begun.")

    def get_deferrable(self, _connection: DBAPIConnection) -> bool:
        """Return that transactions wait for no snapshot."""
        return False


class OneConnectionDialect(_OnOneConnection, TenantDialect):
    """The application's dialect on the one connection of a test."""

    supports_statement_cache = True

    @classmethod
    def get_async_dialect_cls(cls, _url: URL) -> "type[AsyncOneConnectionDialect]":
        """Return the dialect of `create_async_engine`."""
        return AsyncOneConnectionDialect


class AsyncOneConnectionDialect(_OnOneConnection, AsyncTenantDialect):
    """The same under asyncio."""

    supports_statement_cache = True


registry.register("postgresql.groundwork_test", __name__, OneConnectionDialect.__name__)


def engine_on(shared: OneConnection, url: DatabaseUrl, settings: Settings) -> Engine:
    """Return the application's engine on the one connection; `url` is what it shows."""
    options = common_options(url, settings, DRIVER)
    engine = sqlalchemy.create_engine(creator=shared.take, poolclass=NullPool, **options)
    _equip(engine, shared, url)
    return engine


def async_engine_on(shared: OneConnection, url: DatabaseUrl, settings: Settings) -> AsyncEngine:
    """Return the application's engine for asyncio on the same connection."""
    options = common_options(url, settings, DRIVER)
    engine = sqlalchemy_create_async_engine(async_creator=shared.take_async, poolclass=NullPool, **options)
    _equip(engine.sync_engine, shared, url)
    return engine


def _equip(engine: Engine, shared: OneConnection, url: DatabaseUrl) -> None:
    dialect: Any = engine.dialect
    dialect.shared = shared
    explain_disconnects(engine, url)

    def refuse(connection: Connection, *_: Any) -> None:
        shared.refuse_but_last(connection.connection.info)

    # Before a statement, since it would be another tenant's; and after it, since another thread may have begun.
    event.listen(engine, "before_cursor_execute", refuse)
    event.listen(engine, "after_cursor_execute", refuse)
    # SQLAlchemy gives up a connection on which a task was cancelled; the test's goes on without that transaction.
    event.listen(engine, "invalidate", lambda _connection, record, _error: shared.rollback(record.info))
