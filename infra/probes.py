"""One attempt each to show that a server serves. A probe returns, raises NotReady, or raises what waiting cannot heal.

SQLSTATE classes: PostgreSQL manual, Appendix A. 57P03 is sent while the server starts, stops or recovers.
"""

import re
import socket

from infra.endpoints import HOST
from infra.errors import CredentialsRefused, ServiceFailed
from infra.secret import Secret
from infra.spec import POSTGRES_MAJOR, REDIS_MAJOR
from infra.urls import DatabaseUrl

_ATTEMPT_SECONDS = 3
_WAIT_STATES = {"57P01", "57P02", "57P03", "53300"}


class NotReady(Exception):
    """The server does not serve yet; another attempt may find it ready."""


def probe_postgres(url: DatabaseUrl, cluster_name: str) -> None:
    """Run a query at `url` and hold the answer against the stack that is meant.

    Raises:
        NotReady: nobody answers yet, or the server is starting.
        CredentialsRefused: the server does not know this password, role or database.
        ServiceFailed: it is another stack's, or another version.
    """
    import psycopg

    try:
        with psycopg.connect(url.libpq(), connect_timeout=_ATTEMPT_SECONDS, autocommit=True) as connection:
            row = connection.execute(
                "SELECT current_setting('cluster_name'), current_setting('server_version_num')::int / 10000"
            ).fetchone()
    except psycopg.Error as error:
        message = " ".join(str(error).split())
        if _heals(error):
            raise NotReady(f"PostgreSQL at {url.host}:{url.port}: {message}") from None
        raise CredentialsRefused(
            f"PostgreSQL at {url.host}:{url.port} refuses {url.user} on database {url.database}: {message}. "
            "If .env changed since the data was made, put the former value back."
        ) from None
    if row is None or row[0] != cluster_name:
        raise ServiceFailed(
            f"Another PostgreSQL answers at {url.host}:{url.port}: its cluster_name is {row and row[0]!r}, not "
            f"{cluster_name!r}. Stop it, or set POSTGRES_PORT to a free port."
        )
    if row[1] != POSTGRES_MAJOR:
        raise ServiceFailed(f"PostgreSQL at {url.host}:{url.port} is version {row[1]}; {POSTGRES_MAJOR} is needed.")


def _heals(error: Exception) -> bool:
    state = getattr(error, "sqlstate", None)
    if state:
        return state in _WAIT_STATES or state.startswith("08")
    # libpq gives no SQLSTATE for what the server says during authentication; its words are the server's own, in the
    # server's language, which the stack sets to C.
    return not any(
        words in str(error)
        for words in ("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted")
    )


def probe_redis(port: int, password: Secret) -> None:
    """Send an authenticated PING to 127.0.0.1:`port`.

    Three commands of the protocol (RESP2) over a socket: importing a client library costs a hundred times more.

    Raises:
        NotReady: nobody answers yet, or the server is loading its data.
        CredentialsRefused: the password is refused.
        ServiceFailed: the server is too old.
    """
    where = f"Redis at {HOST}:{port}"
    try:
        with socket.create_connection((HOST, port), timeout=_ATTEMPT_SECONDS) as connection:
            connection.sendall(_command("AUTH", password.reveal()) + _command("PING") + _command("INFO", "server"))
            answers = connection.makefile("rb")
            authenticated, ping = answers.readline().strip(), answers.readline().strip()
            info = answers.read(int(answers.readline()[1:])) if ping == b"+PONG" else b""
    except (OSError, ValueError) as error:
        raise NotReady(f"{where}: {error}") from None
    if authenticated.startswith((b"-WRONGPASS", b"-ERR")):
        raise CredentialsRefused(
            f"{where} refuses the password of REDIS_PASSWORD: another Redis answers there. Stop it, or set REDIS_PORT "
            "to a free port."
        )
    version = re.search(rb"redis_version:(\d+)", info)
    if version is None:
        raise NotReady(f"{where}: {(ping or authenticated).decode(errors='replace') or 'it closed the connection'}")
    if int(version[1]) < REDIS_MAJOR:
        raise ServiceFailed(f"{where} is version {version[1].decode()}; {REDIS_MAJOR} or later is needed.")


def _command(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
