"""Look after a run of migrations from a second connection: what takes long, and who holds it up.

Once a lock timeout has struck, the server no longer knows which session was waited for, so that is asked while it
waits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic
from typing import NamedTuple

import psycopg

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.errors import DatabaseUnavailable
from schema.migration.apply.destructive_sql import without_constants

Say = Callable[[str], None]

_INTERVAL = 0.2
_LONG = 1.0
_QUERY_LENGTH = 200

# What another role does is hidden from whom it does not concern (PostgreSQL manual, 28.2): then it is NULL.
_BLOCKERS = """
    SELECT pid, coalesce(usename, backend_type), application_name, state, to_char(xact_start, 'HH24:MI:SS'), query
    FROM unnest(pg_blocking_pids(%s)) AS blocking (pid) LEFT JOIN pg_stat_activity USING (pid) ORDER BY pid
"""


class Blocker(NamedTuple):
    """A process of the server's that holds a lock which is waited for; `description` names it for people."""

    pid: int
    description: str

    def __str__(self) -> str:
        return self.description


class LockMonitor:
    """What a second connection sees of a run; `blockers` names who it last waited for."""

    def __init__(self, urls: tuple[DatabaseUrl, ...], settings: Settings, pid: int, say: Say) -> None:
        self.blockers: tuple[Blocker, ...] = ()
        self._urls = urls
        self._settings = settings
        self._pid = pid
        self._say = say
        self._step = ("", monotonic())
        self._told: set[str] = set()
        self._over = Event()

    def begin(self, step: str) -> None:
        """Hear that a step begins; it is called by the name given here."""
        self._step = (step, monotonic())

    def poll(self) -> None:
        """Look until the run is over; a look that cannot be had is no reason for the run to fail."""
        if self._over.wait(_INTERVAL):
            return
        with suppress(psycopg.Error, DatabaseUnavailable), self._connect() as connection:
            while not self._over.wait(_INTERVAL):
                self._ask(connection)

    def end(self) -> None:
        """Hear that the run is over."""
        self._over.set()

    def _connect(self) -> BoundedConnection:
        *preferred, last = self._urls
        for url in preferred:
            with suppress(DatabaseUnavailable):
                return connect(url, self._settings, autocommit=True)
        return connect(last, self._settings, autocommit=True)

    def _ask(self, connection: BoundedConnection) -> None:
        found = tuple(map(_describe, connection.execute(_BLOCKERS, [self._pid]).fetchall()))
        self.blockers = found or self.blockers
        step, begun = self._step
        line = f"{step} waits for {'; '.join(map(str, found))}" if found else f"{step} runs"
        if step and line not in self._told and monotonic() - begun > _LONG:
            # Once it is said that it waits, that it runs again is no news.
            self._told |= {line, f"{step} runs"}
            self._say(line)


@contextmanager
def watched(urls: tuple[DatabaseUrl, ...], settings: Settings, pid: int, say: Say) -> Iterator[LockMonitor]:
    """LockMonitor server process `pid` for a block.

    The first of `urls` that lets one in is looked from: whose role may see what others do is best.
    `say` is called for a step that takes over a second, and names the session that it waits for.
    """
    watch = LockMonitor(urls, settings, pid, say)
    thread = Thread(target=watch.poll, name="migration watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join(timeout=_LONG)


def _describe(row: tuple[int, str | None, str | None, str | None, str | None, str | None]) -> Blocker:
    pid, role, application, state, since, query = row
    who = ", ".join(filter(None, (role, application, state and f"{state} since {since}" if since else state)))
    said = f": {without_constants(query)[:_QUERY_LENGTH].rstrip('; ')}" if query and state else ""
    hidden = "" if state else ", what it does is not shown to this role"
    return Blocker(pid, f"server process {pid} ({who or 'unknown'}{hidden}){said}")
