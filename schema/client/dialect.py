"""The dialect of the application's engine: every transaction begins with its tenant, or not at all.

Importing this module registers it with SQLAlchemy as `postgresql+groundwork` (manual: Registering New Dialects).
"""

import functools
import re
from collections.abc import Callable
from typing import Any, Final, cast
from uuid import UUID

from psycopg import AsyncConnection, Connection, IsolationLevel
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, PoolProxiedConnection, event
from sqlalchemy import Connection as SqlConnection
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGDialectAsync_psycopg
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState
from sqlalchemy.util import await_

from schema.client.connection import Bounded, known_to_serve
from schema.client.leftovers import (
    AnyConnection,
    commit_transaction,
    commit_transaction_async,
    exchange,
    remove_leftovers,
    remove_leftovers_async,
)
from schema.errors import ContextFault, TenantContextError
from schema.tenancy.context import NoTenant, tenant_id, user_id

DRIVER: Final = "postgresql+groundwork"

CONTEXT: Final = "tenant and user"
"""Under which key a checkout's `info` holds for whom its transactions are."""

# What is neither idle nor broken; a broken connection is for libpq to refuse.
_OPEN = frozenset({TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR})


def begin_transaction(connection: Connection[Any], tenant: object, user: str | None = None) -> None:
    """Begin a transaction of `tenant` on a psycopg connection, with its isolation level, read-only and deferrable.

    BEGIN and the context, tenant and user, are one message. The context ends with the transaction.

    Raises:
        TenantContextError: `tenant` is none, or the connection is in autocommit or in a transaction.
        psycopg.Error: the server refused, or is gone.
    """
    with connection.lock:
        connection.wait(_begin(connection, tenant, user))


async def begin_transaction_async(connection: AsyncConnection[Any], tenant: object, user: str | None = None) -> None:
    """Begin a transaction as `begin_transaction` does, without blocking the event loop."""
    async with connection.lock:
        await connection.wait(_begin(connection, tenant, user))


def _begin(connection: AnyConnection, tenant: object, user: str | None) -> PQGen[None]:
    if tenant is None or connection.autocommit or connection.pgconn.transaction_status in _OPEN:
        raise refusal(connection, tenant)
    cast(Any, connection).wrote = False
    message = _message(connection.isolation_level, connection.read_only, connection.deferrable, tenant, user)
    yield from exchange(connection, message)


def refusal(connection: AnyConnection, tenant: object) -> TenantContextError:
    """Return why a connection cannot begin a transaction of `tenant`."""
    if connection.autocommit:
        return TenantContextError(
            "An AUTOCOMMIT connection has no transaction that a tenant could be set for, and none is begun here. Leave "
            "the isolation level at a transactional one; statements that need AUTOCOMMIT are the owner's.",
            fault=ContextFault.AUTOCOMMIT,
        )
    if tenant is None:
        return TenantContextError(
            "No tenant: a transaction of the application belongs to one. Open it with tenant_session(engine, tenant) "
            "or tenant_connection(engine, tenant); what has no tenant says so with tenantless_connection(engine).",
            fault=ContextFault.NO_TENANT,
        )
    return TenantContextError(
        "A transaction is open already, begun beside SQLAlchemy, and its tenant cannot be known. Commit it or roll "
        "it back before this connection begins one of a tenant.",
        fault=ContextFault.TRANSACTION_OPEN,
    )


@functools.lru_cache(maxsize=1024)
def _message(
    isolation: IsolationLevel | None, read_only: bool | None, deferrable: bool | None, tenant: object, user: str | None
) -> bytes:
    """Return what psycopg itself would begin with (PostgreSQL manual, BEGIN), and the context."""
    begin = "BEGIN"
    if isolation is not None:
        begin += f" ISOLATION LEVEL {isolation.name.replace('_', ' ')}"
    if read_only is not None:
        begin += " READ ONLY" if read_only else " READ WRITE"
    if deferrable is not None:
        begin += " DEFERRABLE" if deferrable else " NOT DEFERRABLE"
    # CLOSE ALL ends cursors WITH HOLD, which outlive a transaction and would show the next one its rows.
    return f"{begin};{context_settings(tenant, user)};CLOSE ALL".encode("ascii")


def context_settings(tenant: object, user: str | None) -> str:
    """Return the statements, ASCII alone, that make a transaction one of a tenant and a user until it ends."""
    # SET takes no bound parameter, so the text is that of a parsed uuid.
    text = tenant.value if isinstance(tenant, NoTenant) else tenant_id(tenant)
    return f"SET LOCAL app.tenant_id='{text}';SET LOCAL app.user_id={_literal(user_id(user) or '')}"


def _literal(text: str) -> str:
    """Return text as an SQL literal of ASCII alone, which reads the same with any standard_conforming_strings.

    The client's encoding cannot change it on the way either (PostgreSQL manual, 4.1.2.2: String Constants with C-Style
    Escapes).
    """
    quoted = text.replace("'", "''")
    if text.isascii() and "\\" not in text:
        return f"'{quoted}'"
    return "E'" + re.sub(r"[^\x01-\x5b\x5d-\x7f]", lambda found: f"\\U{ord(found[0]):08X}", quoted) + "'"


class TenantEngine(OptionEngine):
    """An engine that shares the pool and all else of the application's, and whose every transaction is of one tenant.

    The tenant goes with the checkout and not with an event of SQLAlchemy's, which would cost each statement.
    """

    def __init__(self, engine: Engine, tenant: UUID | NoTenant, user: str | None) -> None:
        super().__init__(engine, {})
        self.tenant: UUID | NoTenant = tenant
        self.user = user

    def raw_connection(self) -> PoolProxiedConnection:
        """Check out a connection for the tenant; this is how every `Connection` gets its own, also a second one."""
        connection = super().raw_connection()
        connection.info[CONTEXT] = self.tenant, self.user
        return connection


def engine_of(tenant: UUID | NoTenant, engine: Engine, user: str | None = None) -> TenantEngine:
    """Return the application's engine for one tenant, and one of its users.

    Raises:
        TenantContextError: `engine` sets no tenant, or is of another one, or of another user.
    """
    dialect = engine.dialect
    if not isinstance(dialect, TenantDialect | AsyncTenantDialect):
        raise TenantContextError(
            f"This engine ({engine.url.drivername}) sets no tenant. Make the application's engine with "
            "schema.client.create_engine.",
            fault=ContextFault.OTHER_ENGINE,
        )
    if isinstance(engine, TenantEngine) and engine.tenant != tenant:
        raise TenantContextError(
            f"Tenant {tenant} was asked for on an engine, session or connection of tenant {engine.tenant}. One serves "
            "one tenant: pass the application's engine.",
            fault=ContextFault.OTHER_TENANT,
            wanted=str(tenant),
            serves=str(engine.tenant),
        )
    if isinstance(engine, TenantEngine) and engine.user != user:
        raise TenantContextError(
            f"User {user!r} was asked for on an engine, session or connection of user {engine.user!r}. One serves one "
            "user: pass the application's engine.",
            fault=ContextFault.OTHER_USER,
            wanted=user,
            serves=engine.user,
        )
    return dialect.tenant_engine(engine, tenant, user)


class _Shared(DefaultDialect):
    """What both dialects do alike."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Makes engines of tenants, or returns recent ones: they cost as much as a short statement. Kept here, they go
        # when the application's engine does. Made here, since a cached_property's lock might be held at a fork.
        self.tenant_engine: Callable[[Engine, UUID | NoTenant, str | None], TenantEngine] = functools.lru_cache(
            maxsize=1024
        )(TenantEngine)

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
        begin_transaction(cast(Any, dbapi_connection.driver_connection), *dbapi_connection.info.get(CONTEXT, (None,)))

    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Commit, and end with the transaction what was set for the session."""
        commit_transaction(cast(Any, dbapi_connection.driver_connection))

    def do_clean(self, dbapi_connection: DBAPIConnection) -> None:
        """Remove what statements have left behind on a connection that is returned."""
        remove_leftovers(cast(Any, dbapi_connection))

    def do_begin_twophase(self, connection: SqlConnection, xid: Any) -> None:  # noqa: ARG002 - SQLAlchemy's names
        """Refuse: a prepared transaction outlives its connection, and with it the tenant."""
        raise TenantContextError(
            "A two-phase transaction is not available to the application: it outlives its connection and its tenant. "
            "Write in one transaction, and tell other systems once it is committed.",
            fault=ContextFault.TWO_PHASE,
        )


class AsyncTenantDialect(_Shared, PGDialectAsync_psycopg):
    """The same under asyncio."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin with the tenant that this checkout is for, waiting as psycopg does under asyncio."""
        context = dbapi_connection.info.get(CONTEXT, (None,))
        await_(begin_transaction_async(cast(Any, dbapi_connection.driver_connection), *context))

    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Commit, waiting as psycopg does under asyncio."""
        await_(commit_transaction_async(cast(Any, dbapi_connection.driver_connection)))

    def do_clean(self, dbapi_connection: DBAPIConnection) -> None:
        """Remove what statements have left behind, waiting as psycopg does under asyncio."""
        await_(remove_leftovers_async(cast(Any, self).get_driver_connection(dbapi_connection)))

    do_begin_twophase = TenantDialect.do_begin_twophase


def forget_tenants(engine: Engine) -> None:
    """Have each checkout of `engine` begin with no tenant, whoever used the connection before."""

    @event.listens_for(engine, "checkout")
    def forget(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        record.info.pop(CONTEXT, None)


def clean_returned(engine: Engine) -> None:
    """Have each connection that returns to `engine` leave nothing of its user's behind.

    One that was used as psycopg's own, or left in autocommit, is closed: changes to psycopg's object would stay too.
    """

    @event.listens_for(engine, "reset")
    def clean(connection: DBAPIConnection, record: ConnectionPoolEntry | None, state: PoolResetState) -> None:
        driver = None if record is None else cast(Bounded, record.driver_connection)
        if driver is not None and driver.leaves and not driver.closed and state.asyncio_safe:
            cast(TenantDialect, engine.dialect).do_clean(connection)

    @event.listens_for(engine, "checkin")
    def close(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        driver = cast(Bounded | None, record.driver_connection)
        if driver is not None and (CONTEXT not in record.info or driver.autocommit):
            record.close()


registry.register("postgresql.groundwork", __name__, TenantDialect.__name__)
