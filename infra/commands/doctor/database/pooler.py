"""See by its behaviour what lies between the client and the server; leave nothing in sessions that others get.

A pooler announces another process to its client than the one that answers. In transaction mode two clients that stay
connected get the same process in turn, or one gets another process than before. So a session's settings and locks need
no trial of their own, which would stay behind with somebody else.
"""

from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus

from infra.commands.doctor.database.ways import Pooled, Pooling
from schema.client.connection import BoundedConnection

_ROUNDS = 3
_ANSWER_SECONDS = 3.0  # a pool of one has no process for a second client


def examine_pooling(first: BoundedConnection, another: Callable[[], BoundedConnection]) -> Pooled:
    """Return what lies between; `first` is in autocommit and stays usable, but in statement mode.

    Raises:
        psycopg.Error, DatabaseUnavailable: the server or the pooler went away meanwhile.
    """
    try:
        processes = {_process_of_transaction(first), _process_of_transaction(first)}
    except psycopg.errors.ProtocolViolation:  # of PgBouncer, which then closes the connection
        return Pooled(Pooling.STATEMENT)
    if processes == {first.info.backend_pid}:
        return Pooled(Pooling.NONE)
    with another() as second:
        second.answer_timeout = _ANSWER_SECONDS
        try:
            shared = len(processes) > 1 or _process_of_transaction(second) in processes
            if not shared and not any(_changes(first, second) for _ in range(_ROUNDS)):
                return Pooled(Pooling.SESSION)
        except psycopg.OperationalError:
            return Pooled(Pooling.SESSION)  # each session has its process to itself, and there is none left
        with suppress(psycopg.OperationalError):
            return Pooled(Pooling.TRANSACTION, _keeps_prepared(first, second))
    return Pooled(Pooling.TRANSACTION)


def _process_of_transaction(connection: BoundedConnection) -> int:
    with connection.transaction():
        return _process(connection)


def _process(connection: BoundedConnection) -> int:
    return int((connection.execute("SELECT pg_backend_pid()").fetchone() or (0,))[0])


def _changes(first: BoundedConnection, second: BoundedConnection) -> bool:
    """Return whether the first client has another process after both had one at once and gave it back in order."""
    _begin(first, second)
    before = _process(first)
    _commit(first, second)
    return _process_of_transaction(first) != before


def _keeps_prepared(first: BoundedConnection, second: BoundedConnection) -> bool | None:
    """Return whether a statement that is prepared by protocol is there in another process; None where none was had."""
    name = f"groundwork_{token_hex(8)}".encode()
    _begin(first, second)
    prepared_in = _process(first)
    first.pgconn.send_prepare(name, b"SELECT 1")
    first.wait(generators.execute(first.pgconn))
    _commit(first, second)
    first.execute("BEGIN")
    other = _process(first) != prepared_in
    first.pgconn.send_query_prepared(name, [])
    results = first.wait(generators.execute(first.pgconn))
    first.execute("ROLLBACK")
    # The other client takes the process that was given back last, and so this one its first again.
    _begin(second, first)
    if _process(first) == prepared_in:
        with suppress(psycopg.ProgrammingError), first.transaction():
            first.execute(f"DEALLOCATE {name.decode()}".encode())
    _commit(first, second)
    return results[-1].status == ExecStatus.TUPLES_OK if other else None


def _begin(*connections: BoundedConnection) -> None:
    for connection in connections:
        connection.execute("BEGIN")
        connection.execute("SELECT 1")


def _commit(*connections: BoundedConnection) -> None:
    for connection in connections:
        connection.execute("COMMIT")
