"""One process migrates a database at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from tenacity import Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from infra.settings import Settings
from infra.urls import DatabaseUrl
from schema.connect import BoundedConnection, connect
from schema.errors import MigrationError

LOCK = 0x67776D696772
PATIENCE = timedelta(minutes=5)

_HOLDER = """
    SELECT pid, date_trunc('second', backend_start)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = %s AND granted
"""


@contextmanager
def migration_lock(owner: DatabaseUrl, settings: Settings, patience: timedelta = PATIENCE) -> Iterator[None]:
    """Hold the database's migration lock for a block.

    The lock has a connection of its own in autocommit and is polled: waiting inside the server would hold a snapshot,
    which CREATE INDEX CONCURRENTLY in the process that has the lock waits for, without a deadlock being seen.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
        MigrationError: another process has the lock for longer than `patience`; says which.
    """
    polling = Retrying(
        retry=retry_if_exception_type(MigrationError),
        stop=stop_before_delay(patience),
        wait=wait_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )
    with connect(owner, settings, autocommit=True) as connection:
        polling(_acquire, connection)
        yield


def _acquire(connection: BoundedConnection) -> None:
    if connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone() == (True,):
        return
    pid, since = connection.execute(_HOLDER, [LOCK]).fetchone() or ("unknown", "unknown")
    raise MigrationError(
        f"Another process migrates database {connection.info.dbname!r}: server process {pid}, connected since {since}. "
        "Wait for it, or end it where it runs, and run the command again."
    )
