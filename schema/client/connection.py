"""One psycopg connection: made with retries up to a deadline, bounded in every wait, explained when it fails."""

import logging
import os
import re
import select
from collections.abc import Mapping
from contextlib import nullcontext
from math import ceil, inf
from time import monotonic
from typing import Any, Final, cast

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_exponential_jitter

from infra.config.libpq import may_heal, parameters, sslmode
from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from infra.config.versions import POSTGRES_VERSIONS, listed
from schema.client.forks import disown_in_children
from schema.client.leftovers import WatchingCursor, WatchingServerCursor
from schema.client.logs import log
from schema.errors import DatabaseUnavailable

# Whatever libpq's environment says; of PGTZ and PGDATESTYLE its word comes after that of `options`.
_CONVENTIONS: Final = {"TimeZone": "UTC", "DateStyle": "ISO,MDY"}
_LEAD = re.compile(r"^.*\bport \d+ failed: (FATAL: +)?", re.DOTALL)
# What refuses for good and is neither the role nor the database, in the words of libpq, OpenSSL, servers and PgBouncer.
_CA = (
    "Name the file of the CA that signed the server's certificate in the URL: ?sslrootcert=FILE, or "
    "?sslrootcert=system for a public one."
)
_ADVICE: Final = {
    "root certificate file|certificate verify failed|self-signed certificate": _CA,
    "does not match host name": "Write the host as the certificate has it, or check its CA alone: sslmode=verify-ca.",
    "does not support SSL": "Turn TLS on there, or set DATABASE_SSLMODE=prefer where the network in between is yours.",
    "no encryption": "The server may take this role with TLS alone: set DATABASE_SSLMODE=verify-full.",
    "unsupported startup parameter": (
        "A pooler such as PgBouncer does not pass on what a session asks for. Give the URL the server's own address; "
        "or let ignore_startup_parameters there name what is refused, and set for the role what that drops."
    ),
}
_ANY_ADVICE: Final = (
    "Correct the settings of this role and database, or let `invoke bootstrap` make what is missing or was changed; a "
    "database that it makes is empty until `invoke migrate`."
)

# Seconds for which a connection counts as good after it was used, as in HikariCP (aliveBypassWindowMs).
_LATELY: Final = 0.5


class InheritedConnection(psycopg.OperationalError):
    """A forked child was about to use a connection of its parent."""

    def __init__(self) -> None:
        super().__init__(
            "the parent process made this connection before it forked, and a child may not use it; nothing was sent"
        )


class Bounded(psycopg.BaseConnection[TupleRow]):
    """A connection of one process that waits for the server no longer than `answer_timeout` seconds; None: for ever.

    The server's statement_timeout cannot help where the server is frozen or the network swallows its answer. In a
    forked child the connection counts as closed: the server is sent nothing, and every use is refused.
    """

    answer_timeout: float | None = None
    asked_at: float = -inf  # on the monotonic clock
    inherited: bool = False
    leaves: bool = False  # something that outlives a transaction
    wrote: bool = False  # rows, in this transaction
    reset: bytes = b"RESET ALL"  # what takes the session's settings back to those that it began with

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        disown_in_children(self)

    @property
    def closed(self) -> bool:
        """Return whether the connection is closed, or the parent's; so psycopg neither cancels nor finishes it."""
        return self.inherited or super().closed

    def disown(self) -> None:
        """Refuse every further use, in a forked child."""
        self.inherited = True
        cast(Any, self).lock = nullcontext()  # a thread that the child does not have may hold the lock


class BoundedConnection(Bounded, psycopg.Connection[TupleRow]):
    """psycopg's connection, bounded in every wait."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory, self.server_cursor_factory = WatchingCursor, WatchingServerCursor

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as psycopg does; a server that does not answer in time loses the connection."""
        if self.inherited:
            raise InheritedConnection
        self.asked_at = started = monotonic()
        limit = self.answer_timeout if timeout is None else None
        try:
            return super().wait(gen, interval, timeout if limit is None else limit)
        except psycopg.OperationalError as error:
            if limit is None or self.closed or monotonic() - started < limit:
                raise
            self.close()
            raise no_answer(limit) from error

    def commit(self) -> None:
        """Commit as psycopg does, past `leftovers.commit_transaction`: what was set for the session stays."""
        self.leaves = True
        super().commit()

    def rollback(self) -> None:
        """Roll back; a child has nothing to roll back on its parent's connection."""
        if not self.inherited:
            super().rollback()


def known_to_serve(connection: object) -> bool:
    """Return whether an idle connection can be used without asking its server first, which takes a round trip.

    It was used a moment ago, and nothing has arrived since: a server process that ends says so, or closes the socket.
    """
    if not isinstance(connection, Bounded) or connection.inherited or monotonic() - connection.asked_at > _LATELY:
        return False
    arrived = select.poll()
    arrived.register(connection.fileno(), select.POLLIN)
    return not arrived.poll(0)


def connect(
    url: DatabaseUrl,
    settings: Settings,
    *,
    autocommit: bool = False,
    parameters: Mapping[str, str] | None = None,
    kind: type[BoundedConnection] = BoundedConnection,
) -> BoundedConnection:
    """Connect, retrying with exponential back-off while the cause can heal, up to DATABASE_CONNECT_DEADLINE.

    `parameters` are server settings for the session, such as {"lock_timeout": "3s"}; `kind` is what is to be made.

    Raises:
        DatabaseUnavailable: the deadline passed, or the server refused for good.
    """
    give_up_at = monotonic() + settings.database_connect_deadline.total_seconds()

    def attempt() -> BoundedConnection:
        remaining = min(settings.database_connect_timeout.total_seconds(), give_up_at - monotonic())
        try:
            connection = kind.connect(autocommit=autocommit, **arguments(url, settings, parameters or {}, remaining))
            if statement := against_the_environment():
                connection.execute(statement)
                connection.commit()
                connection.reset += f";{statement}".encode()
        except psycopg.Error as error:
            raise unavailable(url, error) from error
        refuse_other_version(url, connection)
        return connection

    return Retrying(**retry_policy(url, settings))(attempt)


def refuse_other_version(url: DatabaseUrl, connection: Bounded) -> None:
    """Refuse a server of another version than those that the product is tested on, as it said when it was connected to.

    Raises:
        DatabaseUnavailable: it is one; the connection is closed.
    """
    major = connection.pgconn.server_version // 10_000
    if major not in POSTGRES_VERSIONS:
        connection.pgconn.finish()
        raise DatabaseUnavailable(
            f"The server at {url.host}:{url.port} is PostgreSQL {major}; {listed(POSTGRES_VERSIONS)} are supported. "
            "Upgrade it, or name another server in the URL.",
            transient=False,
        )


def retry_policy(url: DatabaseUrl, settings: Settings) -> dict[str, Any]:
    """Return tenacity's options: exponential back-off while the cause can heal, up to DATABASE_CONNECT_DEADLINE."""
    return {
        "retry": retry_if_exception(lambda error: isinstance(error, DatabaseUnavailable) and error.transient),
        "stop": stop_before_delay(settings.database_connect_deadline),
        "wait": wait_exponential_jitter(multiplier=0.05, max=1.0, jitter=0.05),
        "before_sleep": lambda state: _log_retry(url, settings, state),
        "reraise": True,
    }


def no_answer(limit: float) -> psycopg.Error:
    """Return the error of a server that did not answer within `limit` seconds."""
    return psycopg.errors.ConnectionTimeout(f"no answer within {limit:g} s")


def arguments(
    url: DatabaseUrl, settings: Settings, server_settings: Mapping[str, str], seconds: float
) -> dict[str, Any]:
    """Return libpq's parameters for a connection with these server settings; what the URL's query says wins.

    `seconds` bound one attempt to connect. Keepalives find a peer that vanished without a word within four connect
    timeouts.
    """
    quiet = ceil(settings.database_connect_timeout.total_seconds())
    options = [f"-c {name}={value}" for name, value in {**_CONVENTIONS, **server_settings}.items()]
    return {
        "keepalives_idle": quiet,
        "keepalives_interval": quiet,
        "keepalives_count": 3,
        "tcp_user_timeout": quiet * 4000,
        **parameters(url, sslmode(settings), seconds),
        "options": " ".join([*options, url.query.get("options", "")]).strip(),
    }


def against_the_environment() -> str:
    """Return what sets again in a new session what PGTZ or PGDATESTYLE have set; empty where they are not there."""
    if os.environ.keys().isdisjoint({"PGTZ", "PGDATESTYLE"}):
        return ""
    return "; ".join(f"SET {name} = '{value}'" for name, value in _CONVENTIONS.items())


def unavailable(url: DatabaseUrl, error: BaseException, *, lost: bool = False) -> DatabaseUnavailable:
    """Explain why there is no connection, or no longer one: what, where, as whom, and what next."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    lost = lost and not isinstance(error, InheritedConnection)
    transient = lost or may_heal(error)
    if isinstance(error, InheritedConnection):
        advice = "Open a session or connection in the child itself: its engines have new, empty pools."
    elif transient:
        advice = "Start the server (`invoke up`), or correct the URL."
    else:
        advice = next((then for words, then in _ADVICE.items() if re.search(words, line)), _ANY_ADVICE)
    return DatabaseUnavailable(
        f"{'Lost the' if lost else 'No'} connection to database {url.database!r} at {url.host}:{url.port} "
        f"as {url.user}: {_LEAD.sub('', line).rstrip('.')}. {advice}",
        transient=transient,
        host=url.host,
        port=url.port,
        database=url.database,
        role=url.user,
        sqlstate=getattr(error, "sqlstate", None),
    )


def _log_retry(url: DatabaseUrl, settings: Settings, state: RetryCallState) -> None:
    """Log once for all attempts that there is no connection yet, and for how many seconds it is tried."""
    if state.attempt_number > 1:
        return
    log(
        logging.WARNING,
        "database not reachable, trying again",
        host=url.host,
        database=url.database,
        role=url.user,
        seconds=settings.database_connect_deadline.total_seconds(),
    )
