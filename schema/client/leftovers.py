"""What outlives a transaction on a pooled connection, and how the next user of the connection is kept from it.

Settings end with each COMMIT and cursors with each BEGIN (`schema.client.dialect`). The rest would cost every
transaction a statement or more, so it is removed when a connection returns on which a statement named it.
"""

import functools
import re
from typing import Any, Final, Protocol, Self, cast

import psycopg
from psycopg import AsyncConnection, Connection, errors, sql
from psycopg.abc import PQGen
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus

AnyConnection = Connection[Any] | AsyncConnection[Any]

# DISCARD ALL (PostgreSQL manual) without DEALLOCATE ALL and DISCARD PLANS: psycopg's own prepared statements stay.
_REMOVE: Final = b"""CLOSE ALL;SET SESSION AUTHORIZATION DEFAULT;UNLISTEN *;DISCARD TEMP;DISCARD SEQUENCES;
SELECT pg_catalog.pg_advisory_unlock_all();
DO $$ DECLARE prepared pg_catalog.name; BEGIN
    FOR prepared IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql
    LOOP EXECUTE pg_catalog.format('DEALLOCATE %I', prepared); END LOOP;
END $$"""

# Wherever these words stand: it costs a round trip to be wrong about a comment, and a lock to be wrong about a DO.
_LEAVES = re.compile(
    r"\b(?:LISTEN|PREPARE|LOAD|TEMP|TEMPORARY|pg_(?:try_)?advisory_lock\w*)\b"
    r"|\bSET\s+(?:SESSION\s+)?(?:ROLE\b(?!\s*=)|AUTHORIZATION\b)|\bset_config\s*\(\s*'(?:role|session_auth)",
    re.IGNORECASE,
)
_WRITES: Final = frozenset({b"INSERT", b"UPDATE", b"DELETE", b"MERGE "})
LOST: Final = (
    "a statement of this transaction failed and the block went on, so the server has rolled back what was written "
    "before. Handle the error outside the block, or run the statement that may fail in begin_nested()"
)
_CACHED: Final = 4096  # characters; as psycopg, which caches no longer statements


class _Connection(Protocol):
    leaves: bool
    wrote: bool


class WatchingCursor(psycopg.Cursor[Any]):
    """psycopg's cursor; it marks its connection when a statement leaves something behind, or has written rows."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        """Execute as psycopg does."""
        _mark(cast(Any, self.connection), query)
        super().execute(query, *arguments, **options)
        _mark_written(self)
        return self

    def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
        """Execute as psycopg does."""
        _mark(cast(Any, self.connection), query)
        super().executemany(query, *arguments, **options)
        _mark_written(self)


class WatchingServerCursor(psycopg.ServerCursor[Any]):
    """psycopg's cursor of the server's, which only reads."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        """Execute as psycopg does."""
        _mark(cast(Any, self.connection), query)
        return super().execute(query, *arguments, **options)


class WatchingAsyncCursor(psycopg.AsyncCursor[Any]):
    """`WatchingCursor` for asyncio."""

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        """Execute as psycopg does."""
        _mark(cast(Any, self.connection), query)
        await super().execute(query, *arguments, **options)
        _mark_written(self)
        return self

    async def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
        """Execute as psycopg does."""
        _mark(cast(Any, self.connection), query)
        await super().executemany(query, *arguments, **options)
        _mark_written(self)


class WatchingAsyncServerCursor(psycopg.AsyncServerCursor[Any]):
    """`WatchingServerCursor` for asyncio."""

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        """Execute as psycopg does."""
        _mark(cast(Any, self.connection), query)
        return await super().execute(query, *arguments, **options)


def _mark_written(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> None:
    result = cursor.pgresult
    if result is not None and (result.command_status or b"")[:6] in _WRITES and cursor.rowcount > 0:
        cast(Any, cursor.connection).wrote = True


def _mark(connection: _Connection, query: Any) -> None:
    if not connection.leaves:
        text = query if isinstance(query, str) else _text(query)
        connection.leaves = (_leaves_cached if len(text) <= _CACHED else leaves)(text)


def _text(query: Any) -> str:
    return query.decode("latin-1") if isinstance(query, bytes) else sql.as_string(query)


def leaves(statement: str) -> bool:
    """Return whether a statement may leave a lock, a LISTEN, a role or an object of the session behind."""
    return _LEAVES.search(statement) is not None


_leaves_cached = functools.lru_cache(maxsize=1024)(leaves)


def exchange(connection: AnyConnection, message: bytes) -> PQGen[None]:
    """Hand a message to libpq, which does not wait, and wait as psycopg does: its connections are non-blocking."""
    connection.pgconn.send_query(message)
    results = yield from execute(connection.pgconn)
    # Whatever follows a statement that failed is not run, so the last result tells.
    if results[-1].status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
        raise errors.error_from_result(results[-1], connection.info.encoding)


def commit_transaction(connection: Connection[Any]) -> None:
    """Commit, and have settings for the session end with the transaction, in one message.

    A function may set them too, which no text of a statement shows. A rollback ends those of its transaction itself.

    Raises:
        psycopg.Error: the server refused, or is gone, or it rolled back rows that were written, because a later
            statement failed; its answer to COMMIT is ROLLBACK then, and no error.
    """
    with connection.lock:
        connection.wait(_commit(connection))


async def commit_transaction_async(connection: AsyncConnection[Any]) -> None:
    """Commit as `commit_transaction` does, without blocking the event loop."""
    async with connection.lock:
        await connection.wait(_commit(connection))


def _commit(connection: Any) -> PQGen[None]:
    status = connection.pgconn.transaction_status
    if status != TransactionStatus.IDLE:
        yield from exchange(connection, b"COMMIT;" + connection.reset)
    if status == TransactionStatus.INERROR and connection.wrote:
        raise errors.InFailedSqlTransaction(LOST)


def remove_leftovers(connection: Connection[Any]) -> None:
    """Roll back, and remove all that the session keeps but for psycopg's prepared statements.

    Raises:
        psycopg.Error: the server refused, or is gone.
    """
    with connection.lock:
        connection.wait(_remove(connection))


async def remove_leftovers_async(connection: AsyncConnection[Any]) -> None:
    """Remove leftovers as `remove_leftovers` does, without blocking the event loop."""
    async with connection.lock:
        await connection.wait(_remove(connection))


def _remove(connection: Any) -> PQGen[None]:
    idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
    yield from exchange(connection, (b"" if idle else b"ROLLBACK;") + _REMOVE + b";" + connection.reset)
    connection.leaves = False
