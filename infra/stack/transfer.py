"""Take all databases of one PostgreSQL server into another: dumped while nobody may write, restored, and counted."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from infra.backends.protocol import Backend
from infra.config.errors import EnvironmentFault, StackError
from infra.config.identity import Service
from infra.config.libpq import parameters
from infra.config.settings import MAINTENANCE_DATABASE, BackendChoice, SslMode
from infra.config.urls import DatabaseUrl

_CONNECT_SECONDS = 5
_LOCK_SECONDS = 10
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname"
_TABLES = """
SELECT c.oid::regclass::text, c.relkind IN ('r', 'm') FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
  AND n.nspname !~ '^pg_(catalog|toast)' ORDER BY c.oid
"""
_LOCKABLE = (
    "SELECT c.oid::regclass::text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 "
    "AND c.relpersistence <> 't' ORDER BY c.oid"
)


class Contents(NamedTuple):
    """What a server's databases hold: the rows of each table, the extensions of each database, their bytes in all."""

    rows: dict[str, int]
    extensions: dict[str, frozenset[str]]
    size: int


@contextmanager
def dumped(backend: Backend, admin: DatabaseUrl, programs: int, path: Path) -> Iterator[Contents]:
    """Write all databases of the server at `admin` to `path`; nobody writes to a table until the block ends.

    `programs` is the version of the programs that are used where the server is a plain process.

    Raises:
        StackError: a transaction keeps a table, or the dump fails.
    """
    with ExitStack() as held:
        contents = _contents(admin, held, lock=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            command, environ = _client(backend, admin, programs, "pg_dumpall", "-l", MAINTENANCE_DATABASE)
            done = subprocess.run(command, env=environ, stdout=output, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise StackError(
                f"The data could not be dumped: {_last_line(done.stderr)}. Correct that and run the command again."
            )
        yield contents


def restore(backend: Backend, admin: DatabaseUrl, programs: int, path: Path, before: Contents) -> None:
    """Restore what `dumped` wrote into the server at `admin`, which is new, and hold its rows against those `before`.

    Raises:
        StackError: an extension is missing, a statement failed, or a table holds other rows.
    """
    _refuse_missing_extensions(admin, before)
    command, environ = _client(backend, admin, programs, "psql", "-X", "-q", "-d", MAINTENANCE_DATABASE, "-f", "-")
    with path.open("rb") as dump:
        done = subprocess.run(
            command, env=environ, stdin=dump, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
    errors = [line for line in done.stderr.decode(errors="replace").splitlines() if "ERROR:" in line]
    # The superuser is the one role that a new cluster has.
    failed = [line for line in errors if f'role "{admin.user}" already exists' not in line]
    if failed or done.returncode != 0:
        raise StackError(f"The data could not be restored: {failed[0] if failed else _last_line(done.stderr)}.")
    with ExitStack() as held:
        after = _contents(admin, held, lock=False).rows
    if after != before.rows:
        table = next(name for name in {**before.rows, **after} if after.get(name) != before.rows.get(name))
        raise StackError(
            f"After the restore {table} holds {after.get(table, 0)} rows and not {before.rows.get(table, 0)} as before."
        )


def _contents(admin: DatabaseUrl, held: ExitStack, *, lock: bool) -> Contents:
    """Count all rows, each database in a transaction of its own that stays open as long as `held`."""

    def connected(database: str) -> psycopg.Connection:
        options = parameters(admin.on(database), SslMode.PREFER, _CONNECT_SECONDS)
        return held.enter_context(closing(psycopg.connect(**options)))

    rows: dict[str, int] = {}
    extensions: dict[str, frozenset[str]] = {}
    size = 0
    databases = [name for (name,) in connected(MAINTENANCE_DATABASE).execute(_DATABASES)]
    for database in databases:
        connection = connected(database)
        connection.isolation_level = (
            psycopg.IsolationLevel.READ_COMMITTED if lock else psycopg.IsolationLevel.REPEATABLE_READ
        )
        if lock:
            _lock(connection, database)
        for table, counted in connection.execute(_TABLES).fetchall():
            if counted:
                # The catalogue's own text of a name, quoted where that is needed.
                statement = f"SELECT count(*) FROM ONLY {table}"  # noqa: S608 - a name cannot be a parameter
                [(rows[f"{database}: {table}"],)] = connection.execute(statement.encode())
        installed = connection.execute("SELECT extname FROM pg_extension").fetchall()
        extensions[database] = frozenset(name for (name,) in installed)
        [(of_database,)] = connection.execute("SELECT pg_database_size(current_database())")
        size += of_database
    return Contents(rows, extensions, size)


def _lock(connection: psycopg.Connection, database: str) -> None:
    """Keep others from writing to any table, and from making one, until the transaction ends; reading goes on."""
    try:
        connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        connection.execute("LOCK TABLE pg_catalog.pg_class IN SHARE ROW EXCLUSIVE MODE")
        for (table,) in connection.execute(_LOCKABLE).fetchall():
            connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
    except psycopg.errors.LockNotAvailable:
        raise StackError(
            f"A transaction in database {database} kept a table for {_LOCK_SECONDS} s, so its data cannot be taken "
            "along. Nothing was changed. Stop what is connected, as the application, and run the command again."
        ) from None


def _refuse_missing_extensions(admin: DatabaseUrl, before: Contents) -> None:
    with psycopg.connect(**parameters(admin, SslMode.PREFER, _CONNECT_SECONDS)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM pg_available_extensions")}
    for database, names in before.extensions.items():
        if missing := sorted(names - there):
            raise StackError(
                f"Database {database} has the extension {missing[0]}, which the new server lacks. Drop it, or make the "
                "move yourself, on an image that has it (POSTGRES_IMAGE)."
            )


def _client(
    backend: Backend, admin: DatabaseUrl, version: int, program: str, *words: str
) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the command line of a client program, and its environment: in the container, else the wheel's own."""
    path = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    inside = backend.client(Service.POSTGRES, (program, "-U", admin.user, *words), terminal=False)
    if inside:
        return inside, os.environ
    if backend.choice is BackendChoice.DOCKER:
        raise EnvironmentFault(
            "There is no docker on the PATH, with which the data is dumped and restored in its containers. Install "
            "Docker's client and run the command again."
        )
    from infra.backends.embedded.binaries import find_postgres

    where = ("-h", admin.host, "-p", str(admin.port), "-U", admin.user)
    return (find_postgres(version).program(program), *where, *words), path | {"PGPASSWORD": admin.password.reveal()}


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return lines[-1].rstrip(".")
