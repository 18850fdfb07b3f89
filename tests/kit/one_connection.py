"""The one connection of a test: it begins when it is first used, and all that was written is rolled back at the end.

Each of the application's transactions is a savepoint in it, its tenant set while the savepoint is open. So
code under test commits, rolls back and changes between tenants as it always does, and sees what the test has written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Pool, event

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.aio.connection import BoundedAsyncConnection
from schema.client.connection import BoundedConnection, connect
from schema.client.dialect import CONTEXT, context_settings, refusal
from schema.client.engine import timeouts
from schema.client.leftovers import LOST, exchange, remove_leftovers
from schema.client.role_check import refuse_bypass

_TEST: Final = "the_test"
_INSTEAD: Final = "Use the fixture `database`, which gives the test a database of its own."
# What is deferred when a transaction begins. A name stands for all constraints of that name in its schema.
_DEFERRED: Final = """
    SELECT DISTINCT format('%I.%I', nspname, conname), condeferred
    FROM pg_constraint JOIN pg_namespace n ON n.oid = connamespace WHERE condeferrable
"""

Info = dict[Any, Any]


class OneConnectionError(Exception):
    """What a test does needs more than the one connection that it has; `database` gives it a database of its own."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} {_INSTEAD}")


class SharedConnection(BoundedConnection):
    """psycopg's connection, whose transaction nobody but the test ends."""

    shared = False

    def commit(self) -> None:
        """Refuse once it is shared: all that the test has written would stay."""
        self._refuse("committed")
        super().commit()

    def rollback(self) -> None:
        """Refuse once it is shared: the test would lose what was written before."""
        self._refuse("rolled back")
        super().rollback()

    def _refuse(self, done: str) -> None:
        if self.shared and not self.inherited:
            raise OneConnectionError(
                f"The test's only connection cannot be {done} beside SQLAlchemy; its transaction is the whole test."
            )


@dataclass(frozen=True, slots=True)
class _Turn:
    """A transaction that is open: a savepoint. `wrote` says whether the one around it had written rows."""

    info: Info  # of the checkout that began it
    settings: str
    name: str
    wrote: bool


class OneConnection:
    """The connection that every use of the engines of a test shares, sync and asyncio."""

    def __init__(self, fresh: Callable[[], DatabaseUrl], settings: Settings) -> None:
        """Take where a database is that nothing has been written to, and settings.

        `fresh` is called before the first connection, and again after a test has committed.
        """
        self._fresh = fresh
        self._settings = settings
        self._connection: SharedConnection | None = None
        self._async_connection: BoundedAsyncConnection | None = None
        self._turns: list[_Turn] = []
        self._constraints: tuple[str, str] = ("", "")
        self._url: DatabaseUrl | None = None
        self._in_use = False
        self._begun = False

    def start(self) -> None:
        """Let a test use it, and nothing else reach its database by an engine."""
        self._in_use = True
        event.listen(Pool, "checkout", self._refuse_others)

    def end(self) -> None:
        """Roll back all that the test has written.

        Raises:
            OneConnectionError: a statement of the test committed; the next test has another database.
        """
        event.remove(Pool, "checkout", self._refuse_others)
        self._turns.clear()
        begun, self._in_use, self._begun = self._begun, False, False
        connection = self._connection
        if not begun or connection is None:
            return
        if connection.closed or connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
            self.close()
            return
        try:
            self._send(f"ROLLBACK TO SAVEPOINT {_TEST};ROLLBACK")
        except psycopg.Error:
            self.close()
            self._url = None
            raise OneConnectionError(
                "A statement of this test committed or rolled back by itself, and what it wrote stayed; the next test "
                "has a fresh database."
            ) from None
        self._remove_leftovers(connection)

    def close(self) -> None:
        """Close the connection; the next use makes another one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._async_connection = None

    def take(self) -> SharedConnection:
        """Return the connection for one use, in the test's transaction.

        Raises:
            OneConnectionError: there is no test that uses it, or this is a forked child.
        """
        if not self._in_use:
            raise OneConnectionError("The engine of `db` serves a test alone, and none that asks for it is running.")
        if self._connection is not None and self._connection.inherited:
            raise OneConnectionError("A forked child cannot use the connection of the test that forked it.")
        if self._connection is None or (self._connection.closed and not self._begun):
            self._connection = self._connected()
        if not self._begun:
            self._begun = True
            self._send(f"BEGIN;SAVEPOINT {_TEST}")
        return self._connection

    async def take_async(self) -> BoundedAsyncConnection:
        """Return the same connection, as asyncio uses it."""
        self.take()
        assert self._async_connection is not None
        return self._async_connection

    def begin(self, info: Info) -> None:
        """Begin the transaction of a checkout: a savepoint with its tenant and user.

        Raises:
            OneConnectionError: the server is busy with another one's statement, or the test's transaction was ended.
            TenantContextError: the checkout has no tenant.
        """
        tenant, user = info.get(CONTEXT, (None, None))
        if tenant is None:
            raise refusal(self._taken, None)
        turn = _Turn(info, context_settings(tenant, user), f"turn_{len(self._turns)}", self._wrote)
        self._send(f"SAVEPOINT {turn.name};{turn.settings}{'' if self._turns else ';CLOSE ALL'}")
        self._turns.append(turn)
        self._wrote = False

    def commit(self, info: Info) -> None:
        """Commit the transaction of a checkout, with all checks and the end of all settings that a COMMIT brings.

        Raises:
            OneConnectionError: it is not the one that began last.
            psycopg.Error: a deferred check failed, or an earlier statement did; it is rolled back.
        """
        self.refuse_but_last(info)
        lost = self._wrote
        if self._taken.pgconn.transaction_status == TransactionStatus.INERROR:
            self.rollback(info)
            if lost:
                raise psycopg.errors.InFailedSqlTransaction(LOST)
            return
        turn = self._turns[-1]
        around = self._turns[-2].settings if len(self._turns) > 1 else self._taken.reset.decode()
        check, defer = self._constraints
        try:
            self._send(f"{check}RELEASE SAVEPOINT {turn.name};{defer}{around}")
        except psycopg.Error:
            self.rollback(info)
            raise
        self._turns.pop()
        self._wrote = self._wrote or turn.wrote

    def rollback(self, info: Info) -> None:
        """Roll the transaction of a checkout back, and those that began within it; without one there is none to do."""
        depth = next((depth for depth, turn in enumerate(self._turns) if turn.info is info), None)
        if depth is None or self._taken.closed:  # a forked child has it closed too
            return
        turn = self._turns[depth]
        del self._turns[depth:]
        self._wrote = turn.wrote
        self._send(f"ROLLBACK TO SAVEPOINT {turn.name};RELEASE SAVEPOINT {turn.name}")

    def refuse_but_last(self, info: Info) -> None:
        """Refuse what is not of the transaction that began last: its statements would be another tenant's.

        Raises:
            OneConnectionError: another transaction began since, of another session, thread or task.
        """
        if not self._turns or self._turns[-1].info is not info:
            raise OneConnectionError(
                "Two transactions are used in turns on the test's only connection, by two sessions, threads or tasks. "
                "End the one that began last before the other goes on."
            )

    @property
    def _taken(self) -> SharedConnection:
        assert self._connection is not None
        return self._connection

    @property
    def _wrote(self) -> bool:
        return any(each is not None and each.wrote for each in (self._connection, self._async_connection))

    @_wrote.setter
    def _wrote(self, wrote: bool) -> None:
        for each in (self._connection, self._async_connection):
            if each is not None:
                each.wrote = wrote

    def _connected(self) -> SharedConnection:
        """Connect as the application does: as its role, whom row level security binds."""
        if self._url is None:
            self._url = self._fresh()
        made = connect(
            self._url, self._settings, autocommit=True, parameters=timeouts(self._settings), kind=SharedConnection
        )
        connection = cast(SharedConnection, made)
        refuse_bypass(connection, self._url)
        self._constraints = _deferrable(connection)
        connection.autocommit = False
        connection.shared = True
        self._async_connection = BoundedAsyncConnection(connection.pgconn)
        # Both prepare statements under the same names, in one session of the server.
        self._async_connection.prepare_threshold = None
        limit = self._settings.database_statement_timeout + self._settings.database_connect_timeout
        connection.answer_timeout = self._async_connection.answer_timeout = limit.total_seconds()
        return connection

    def _send(self, message: str) -> None:
        """Send statements at once and wait for the answers, under asyncio too: the server is near."""
        connection = self._taken
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.ACTIVE:
            raise OneConnectionError("Two tasks use the test's only connection at once.")
        if status == TransactionStatus.IDLE and not message.startswith("BEGIN") and self._in_use:
            raise OneConnectionError("A statement of the test has ended the transaction that the test is.")
        with connection.lock:
            connection.wait(exchange(connection, message.encode()))

    def _remove_leftovers(self, connection: SharedConnection) -> None:
        asynchronous = self._async_connection
        if connection.leaves or (asynchronous is not None and asynchronous.leaves):
            remove_leftovers(connection)
            if asynchronous is not None:
                asynchronous.leaves = False

    def _refuse_others(self, _connection: object, record: Any, _proxy: object) -> None:
        """Refuse a checkout of another engine on the database of the test, which would see nothing of it."""
        mine, other = self._connection, getattr(record.driver_connection, "pgconn", None)
        if mine is None or other is None or other is mine.pgconn or mine.closed:
            return
        if (other.host, other.port, other.db) == (mine.pgconn.host, mine.pgconn.port, mine.pgconn.db):
            raise OneConnectionError(
                "A second engine connects to the database of this test, and would see nothing of what the test has "
                "written. Give the code under test the engine of `db` or `async_db`."
            )


def _deferrable(connection: psycopg.Connection[Any]) -> tuple[str, str]:
    """Return what checks all deferred constraints, and what defers again those that are from the beginning."""
    found = connection.execute(_DEFERRED).fetchall()
    deferred = ", ".join(name for name, initially in found if initially)
    return (
        "SET CONSTRAINTS ALL IMMEDIATE;" if found else "",
        f"SET CONSTRAINTS {deferred} DEFERRED;" if deferred else "",
    )
