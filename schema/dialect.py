"""The dialect of the application's engine: every transaction begins with its tenant, or not at all.

Importing this module registers it with SQLAlchemy as `postgresql+groundwork` (manual: Registering New Dialects).
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from psycopg import AsyncConnection, Connection, errors
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import URL, Engine, PoolProxiedConnection, event
from sqlalchemy import Connection as SqlConnection
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGDialectAsync_psycopg
from sqlalchemy.util import await_

from schema.context import OPTION, NoTenant, tenant_id
from schema.errors import TenantContextError

DRIVER: Final = "postgresql+groundwork"

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
    if connection.autocommit:
        raise TenantContextError(
            "An AUTOCOMMIT connection has no transaction that a tenant could be set for, and none is begun here. Leave "
            "the isolation level at a transactional one; statements that need AUTOCOMMIT are the owner's."
        )
    if tenant is None:
        raise TenantContextError(
            "No tenant: a transaction of the application belongs to one. Open it with tenant_session(engine, tenant) "
            "or tenant_connection(engine, tenant); what has no tenant says so with tenantless_connection(engine)."
        )
    if connection.pgconn.transaction_status in _OPEN:
        raise TenantContextError(
            "A transaction is open already, begun beside SQLAlchemy, and its tenant cannot be known. Commit it or roll "
            "it back before this connection begins one of a tenant."
        )
    # SET takes no bound parameter, so the text is that of a parsed uuid. CLOSE ALL ends cursors WITH HOLD, which
    # outlive a transaction and would show the next one its rows.
    text = tenant.value if isinstance(tenant, NoTenant) else tenant_id(tenant)
    message = f"{_begin_statement(connection)};SET LOCAL app.tenant_id='{text}';CLOSE ALL"
    connection.pgconn.send_query(message.encode())


def _begin_statement(connection: Connection[Any] | AsyncConnection[Any]) -> str:
    """Return what psycopg itself would begin with (PostgreSQL manual, BEGIN)."""
    begin = "BEGIN"
    if connection.isolation_level is not None:
        begin += f" ISOLATION LEVEL {connection.isolation_level.name.replace('_', ' ')}"
    if connection.read_only is not None:
        begin += " READ ONLY" if connection.read_only else " READ WRITE"
    if connection.deferrable is not None:
        begin += " DEFERRABLE" if connection.deferrable else " NOT DEFERRABLE"
    return begin


def _check(results: Sequence[PGresult], connection: Connection[Any] | AsyncConnection[Any]) -> None:
    # Whatever follows a statement that failed is not run, so the last result tells.
    if results[-1].status != ExecStatus.COMMAND_OK:
        raise errors.error_from_result(results[-1], connection.info.encoding)


class TenantDialect(PGDialect_psycopg):
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
        """Begin with the tenant that the `begin` event has left for this transaction."""
        begin_transaction(cast(Any, dbapi_connection.driver_connection), dbapi_connection.info.pop(OPTION, None))

    def do_begin_twophase(self, connection: SqlConnection, xid: Any) -> None:  # noqa: ARG002 - SQLAlchemy's names
        """Refuse: a prepared transaction outlives its connection, and with it the tenant."""
        raise TenantContextError(
            "A two-phase transaction is not available to the application: it outlives its connection and its tenant. "
            "Write in one transaction, and tell other systems once it is committed."
        )


class AsyncTenantDialect(PGDialectAsync_psycopg):
    """The same under asyncio."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin with the tenant that the `begin` event has left, waiting as psycopg does under asyncio."""
        tenant = dbapi_connection.info.pop(OPTION, None)
        await_(begin_transaction_async(cast(Any, dbapi_connection.driver_connection), tenant))

    do_begin_twophase = TenantDialect.do_begin_twophase


def sets_tenant(engine: Engine) -> bool:
    """Say whether the engine's transactions have a tenant: it is the application's."""
    return isinstance(engine.dialect, TenantDialect | AsyncTenantDialect)


def keep_to_one_tenant(engine: Engine) -> None:
    """Have `engine` hand each transaction's tenant to the dialect, and refuse to change a tenant once it is set."""
    event.listen(engine, "begin", _hand_over)
    event.listen(engine, "set_connection_execution_options", _refuse_another)
    event.listen(engine, "set_engine_execution_options", _refuse_another)


def _hand_over(connection: SqlConnection) -> None:
    connection.connection.info[OPTION] = connection.get_execution_options().get(OPTION)


def _refuse_another(target: SqlConnection | Engine, options: dict[str, Any]) -> None:
    if OPTION not in options:
        return
    given = options[OPTION] = options[OPTION] if isinstance(options[OPTION], NoTenant) else tenant_id(options[OPTION])
    current = target.get_execution_options().get(OPTION)
    if current not in {None, given}:
        raise TenantContextError(
            f"Tenant {given} was asked for on a connection or session of tenant {current}. One serves one tenant: open "
            "another with tenant_session(engine, tenant) or tenant_connection(engine, tenant)."
        )


registry.register("postgresql.groundwork", __name__, TenantDialect.__name__)
