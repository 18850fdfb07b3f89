"""One psycopg connection: made with retries up to a deadline, bounded in every wait, explained when it fails."""

import re
import select
from collections.abc import Mapping
from math import ceil, inf
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_exponential_jitter

from infra.settings import AppEnv, Settings, SslMode
from infra.urls import DatabaseUrl
from schema.errors import DatabaseUnavailable

APPLICATION_NAME = "groundwork"

# libpq gives no SQLSTATE for a failed connection (PostgreSQL manual, 34.1), so its words decide: the operating
# system's, libpq's, and the server's for 57P03, 57P01 and 53300. Whatever is not known to heal stops at once.
_HEALS = re.compile(
    r"refused|timeout expired|timed out|starting up|shutting down|recovery mode|not yet accepting connections"
    r"|closed (the connection )?unexpectedly|reset by peer|administrator command|too many (clients|connections)"
    r"|remaining connection slots|no route to host|unreachable|temporary failure in name resolution",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^.*\bport \d+ failed: (FATAL: +)?", re.DOTALL)

# Seconds for which a connection counts as good after it was used, as in HikariCP (aliveBypassWindowMs).
_LATELY: Final = 0.5


class Bounded(psycopg.BaseConnection[TupleRow]):
    """What is kept of a connection that waits for the server no longer than `answer_timeout` seconds; None: for ever.

    The server's statement_timeout cannot help where the server is frozen or the network swallows its answer.
    """

    answer_timeout: float | None = None
    asked_at: float = -inf  # on the monotonic clock


class BoundedConnection(Bounded, psycopg.Connection[TupleRow]):
    """psycopg's connection, bounded in every wait."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as psycopg does; a server that does not answer in time loses the connection."""
        self.asked_at = started = monotonic()
        limit = self.answer_timeout if timeout is None else None
        try:
            return super().wait(gen, interval, timeout if limit is None else limit)
        except psycopg.OperationalError as error:
            if limit is None or self.closed or monotonic() - started < limit:
                raise
            self.close()
            raise no_answer(limit) from error


def known_to_serve(connection: object) -> bool:
    """Return whether an idle connection can be used without asking its server first, which takes a round trip.

    It was used a moment ago, and nothing has arrived since: a server process that ends says so, or closes the socket.
    """
    if not isinstance(connection, Bounded) or monotonic() - connection.asked_at > _LATELY:
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
            return kind.connect(
                autocommit=autocommit,
                **arguments(url, settings, parameters or {}),
                connect_timeout=max(1, ceil(remaining)),
            )
        except psycopg.Error as error:
            raise unavailable(url, error) from error

    return Retrying(**retry_policy(url, settings))(attempt)


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


def arguments(url: DatabaseUrl, settings: Settings, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return libpq's connection parameters (PostgreSQL manual, 34.1.2); what the URL's query says wins.

    Keepalives find a peer that vanished without a word within four connect timeouts.
    """
    seconds = ceil(settings.database_connect_timeout.total_seconds())
    query = dict(url.query)
    options = [f"-c {name}={value}" for name, value in parameters.items()]
    return {
        "application_name": APPLICATION_NAME,
        "sslmode": str(sslmode(settings)),
        "keepalives_idle": seconds,
        "keepalives_interval": seconds,
        "keepalives_count": 3,
        "tcp_user_timeout": seconds * 4000,
        **query,
        "options": " ".join([*options, query.get("options", "")]).strip(),
        "user": url.user,
        "password": url.password.reveal() or None,
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
    }


def sslmode(settings: Settings) -> SslMode:
    """Return how TLS is asked for where the URL does not say: in production the server must prove its name."""
    if settings.database_sslmode is not None:
        return settings.database_sslmode
    return SslMode.VERIFY_FULL if settings.app_env is AppEnv.PRODUCTION else SslMode.PREFER


def unavailable(url: DatabaseUrl, error: BaseException, *, lost: bool = False) -> DatabaseUnavailable:
    """Explain why there is no connection, or no longer one: what, where, as whom, and what next."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    transient = lost or bool(_HEALS.search(line))
    advice = (
        "Start the server (`invoke up`), or correct the URL."
        if transient
        else "Correct the settings of this role and database; `invoke up` ensures those of the local stack."
    )
    return DatabaseUnavailable(
        f"{'Lost the' if lost else 'No'} connection to database {url.database!r} at {url.host}:{url.port} "
        f"as {url.user}: {_LEAD.sub('', line).rstrip('.')}. {advice}",
        transient=transient,
    )


def _log_retry(url: DatabaseUrl, settings: Settings, state: RetryCallState) -> None:
    from schema.logs import logger  # structlog costs 15 ms, and only a command that waits needs it

    logger(settings).warning(
        "database not reachable, trying again",
        host=url.host,
        database=url.database,
        role=url.user,
        attempt=state.attempt_number,
        seconds=round(state.upcoming_sleep, 2),
    )
