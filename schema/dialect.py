"""The dialect of the application's engine: every transaction begins with its tenant, or not at all.

Importing this module registers it with SQLAlchemy as `postgresql+groundwork` (manual: Registering New Dialects).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, cast
from uuid import UUID

from psycopg import AsyncConnection, Connection, IsolationLevel, errors
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import URL, Engine, PoolProxiedConnection, event
from sqlalchemy import Connection as SqlConnection
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGDialectAsync_psycopg
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_

from schema.connect import known_to_serve
from schema.context import NoTenant, tenant_id
from schema.errors import TenantContextError

DRIVER: Final = "postgresql+groundwork"

_TENANT: Final = "tenant"

# What is neither idle nor broken; a broken connection is for libpq to refuse.
_OPEN = frozenset({TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR})


def begin_transaction(connection: Connection[Any], tenant: object) -> None:
    """Begin a transaction of `tenant` on a psycopg connection, with its isolation level, read-only and deferrable.

    BEGIN and the context are one message. The context ends with the transaction.

    Raises:
        TenantContextError: `tenant` is none, or the connection is in autocommit or in a transaction.
        psycopg.Error: the server refused, or is gone.
    """
    with connection.lock:
        _send(connection, tenant)
        _check(connection.wait(execute(connection.pgconn)), connection)


async def begin_transaction_async(connection: AsyncConnection[Any], tenant: object) -> None:
    """Begin a transaction as `begin_transaction` does, without blocking the event loop."""
    async with connection.lock:
        _send(connection, tenant)
        _check(await connection.wait(execute(connection.pgconn)), connection)


def _send(connection: Connection[Any] | AsyncConnection[Any], tenant: object) -> None:
    """Hand the message to libpq, which does not wait: psycopg's connections are non-blocking."""
    pgconn = connection.pgconn
    if tenant is None or connection.autocommit or pgconn.transaction_status in _OPEN:
        raise _refusal(connection, tenant)
    pgconn.send_query(_message(connection.isolation_level, connection.read_only, connection.deferrable, tenant))


def _refusal(connection: Connection[Any] | AsyncConnection[Any], tenant: object) -> TenantContextError:
    if connection.autocommit:
        return TenantContextError(
            "An AUTOCOMMIT connection has no transaction that a tenant could be set for, and none is begun here. Leave "
            "the isolation level at a transactional one; statements that need AUTOCOMMIT are the owner's."
        )
    if tenant is None:
        return TenantContextError(
            "No tenant: a transaction of the application belongs to one. Open it with tenant_session(engine, tenant) "
            "or tenant_connection(engine, tenant); what has no tenant says so with tenantless_connection(engine)."
        )
    return TenantContextError(
        "A transaction is open already, begun beside SQLAlchemy, and its tenant cannot be known. Commit it or roll "
        "it back before this connection begins one of a tenant."
    )


@functools.lru_cache(maxsize=1024)
def _message(
    isolation: IsolationLevel | None, read_only: bool | None, deferrable: bool | None, tenant: object
) -> bytes:
    """Return what psycopg itself would begin with (PostgreSQL manual, BEGIN), and the context."""
    begin = "BEGIN"
    if isolation is not None:
        begin += f" ISOLATION LEVEL {isolation.name.replace('_', ' ')}"
    if read_only is not None:
        begin += " READ ONLY" if read_only else " READ WRITE"
    if deferrable is not None:
        begin += " DEFERRABLE" if deferrable else " NOT DEFERRABLE"
    # SET takes no bound parameter, so the text is that of a parsed uuid. CLOSE ALL ends cursors WITH HOLD, which
    # outlive a transaction and would show the next one its rows.
    text = tenant.value if isinstance(tenant, NoTenant) else tenant_id(tenant)
    return f"{begin};SET LOCAL app.tenant_id='{text}';CLOSE ALL".encode()


def _check(results: Sequence[PGresult], connection: Connection[Any] | AsyncConnection[Any]) -> None:
    # Whatever follows a statement that failed is not run, so the last result tells.
    if results[-1].status != ExecStatus.COMMAND_OK:
        raise errors.error_from_result(results[-1], connection.info.encoding)


class TenantEngine(OptionEngine):
    """An engine that shares the pool and all else of the application's, and whose every transaction is of one tenant.

    The tenant goes with the checkout and not with an event of SQLAlchemy's, which would cost each statement.
    """

    def __init__(self, engine: Engine, tenant: UUID | NoTenant) -> None:
        super().__init__(engine, {})
        self.tenant: UUID | NoTenant = tenant

    def raw_connection(self) -> PoolProxiedConnection:
        """Check out a connection for the tenant; this is how every `Connection` gets its own, also a second one."""
        connection = super().raw_connection()
        connection.info[_TENANT] = self.tenant
        return connection


def engine_of(tenant: UUID | NoTenant, engine: Engine) -> TenantEngine:
    """Return the application's engine for one tenant.

    Raises:
        TenantContextError: `engine` sets no tenant, or is of another one.
    """
    dialect = engine.dialect
    if not isinstance(dialect, TenantDialect | AsyncTenantDialect):
        raise TenantContextError(
            f"This engine ({engine.url.drivername}) sets no tenant. Make the application's engine with "
            "schema.engine.create_engine."
        )
    if isinstance(engine, TenantEngine) and engine.tenant != tenant:
        raise TenantContextError(
            f"Tenant {tenant} was asked for on an engine, session or connection of tenant {engine.tenant}. One serves "
            "one tenant: pass the application's engine."
        )
    return dialect.tenant_engine(engine, tenant)


class _Shared(DefaultDialect):
    """What both dialects do alike."""

    @functools.cached_property
    def tenant_engine(self) -> Callable[[Engine, UUID | NoTenant], TenantEngine]:
        """Make engines of tenants, or return those of late: they cost as much as a short statement.

        Kept here, they go when the application's engine does.
        """
        return functools.lru_cache(maxsize=1024)(TenantEngine)

    def do_ping(self, dbapi_connection: DBAPIConnection) -> bool:
        """Ask the server whether it still serves, unless the connection shows it: with each checkout from the pool."""
        return known_to_serve(self.get_driver_connection(dbapi_connection)) or super().do_ping(dbapi_connection)


class TenantDialect(_Shared, PGDialect_psycopg):
    """psycopg's dialect, whose transactions have a tenant.

    The refusal stands here and not in an event: after an exception in SQLAlchemy's `begin` event the next statement
    would run all the same, without a context.
    """

    supports_statement_cache = True

    @classmethod
    def get_async_dialect_cls(cls, _url: URL) -> "type[AsyncTenantDialect]":
        """Return the dialect of `create_async_engine`."""
        return AsyncTenantDialect

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin with the tenant that this checkout is for."""
        begin_transaction(cast(Any, dbapi_connection.driver_connection), dbapi_connection.info.get(_TENANT))

    def do_begin_twophase(self, connection: SqlConnection, xid: Any) -> None:  # noqa: ARG002 - SQLAlchemy's names
        """Refuse: a prepared transaction outlives its connection, and with it the tenant."""
        raise TenantContextError(
            "A two-phase transaction is not available to the application: it outlives its connection and its tenant. "
            "Write in one transaction, and tell other systems once it is committed."
        )


class AsyncTenantDialect(_Shared, PGDialectAsync_psycopg):
    """The same under asyncio."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin with the tenant that this checkout is for, waiting as psycopg does under asyncio."""
        tenant = dbapi_connection.info.get(_TENANT)
        await_(begin_transaction_async(cast(Any, dbapi_connection.driver_connection), tenant))

    do_begin_twophase = TenantDialect.do_begin_twophase


def forget_tenants(engine: Engine) -> None:
    """Have each checkout of `engine` begin with no tenant, whoever used the connection before."""

    @event.listens_for(engine, "checkout")
    def forget(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        record.info.pop(_TENANT, None)


registry.register("postgresql.groundwork", __name__, TenantDialect.__name__)
