"""One process migrates a database at a time.

There are two locks. One says whose turn it is; its connection ends with its process. The other is held by the session
that runs the statements: when a process is killed, its turn is over at once, but its last statement, a COMMIT perhaps,
may still run in the server. The next one begins when that has come to its end.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.errors import MigrationError
from schema.migration.settings import pin

LOCK = 0x67776D696772
WORK = LOCK + 1
PATIENCE = timedelta(minutes=5)
# It may be idle for as long as a migration takes; what else is asked on it waits for no lock for long.
_PARAMETERS = {"idle_session_timeout": "0", "lock_timeout": "3s"}
_TOLD_AT = 7  # the attempt that is made after about a second

_HOLDER = """
    SELECT pid, date_trunc('second', backend_start)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = ANY(%s) AND granted AND pid <> pg_backend_pid()
"""
# The second lock is only looked at; it is given back with the statement's own transaction.
_TAKE = "SELECT CASE WHEN pg_try_advisory_lock(%(turn)s) THEN pg_try_advisory_xact_lock(%(work)s) END"


@contextmanager
def migration_lock(
    owner: DatabaseUrl, settings: Settings, patience: timedelta = PATIENCE, say: Callable[[str], None] = lambda _: None
) -> Iterator[BoundedConnection]:
    """Hold the database's migration lock for a block; give the connection that holds it, which is in autocommit.

    The lock has a connection of its own in autocommit and is polled: waiting inside the server would hold a snapshot,
    which CREATE INDEX CONCURRENTLY in the process that has the lock waits for, without a deadlock being seen. What is
    asked on it means what it does in a migration.
    `say` is called once, with the name of the process that holds it.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: another process has the lock for longer than `patience`; says which.
    """
    polling = Retrying(
        retry=retry_if_exception_type(MigrationError),
        stop=stop_before_delay(patience),
        wait=wait_exponential(multiplier=0.05, max=0.2),
        before_sleep=lambda state: _tell(state, say),
        reraise=True,
    )
    with connect(owner, settings, autocommit=True, parameters=_PARAMETERS) as connection:
        polling(_acquire, connection)
        pin(connection)
        yield connection


def begin_work(connection: "psycopg.Connection[Any]") -> None:
    """Say, for as long as this session lives, that it runs the statements of a migration."""
    connection.execute("SELECT pg_advisory_lock_shared(%s)", [WORK])


def _acquire(connection: BoundedConnection) -> None:
    if connection.execute(_TAKE, {"turn": LOCK, "work": WORK}).fetchone() == (True,):
        return
    pid, since = connection.execute(_HOLDER, [[LOCK, WORK]]).fetchone() or ("unknown", "unknown")
    raise MigrationError(
        f"Another process migrates database {connection.info.dbname!r}: server process {pid}, connected since {since}. "
        "Wait for it, or end it where it runs, and run the command again.",
        blockers=(pid,) if isinstance(pid, int) else (),
    )


def _tell(state: RetryCallState, say: Callable[[str], None]) -> None:
    if state.attempt_number == _TOLD_AT:
        say("another process migrates this database; waiting for it")
