"""One attempt each to show that a server serves. A probe returns, raises NotReady, or raises what waiting cannot heal.

SQLSTATE classes: PostgreSQL manual, Appendix A. 57P03 is sent while the server starts, stops or recovers.
"""

import re
import socket

from infra.config.endpoints import HOST
from infra.config.errors import CredentialsRefused, ServiceFailed
from infra.config.identity import Service
from infra.config.libpq import may_heal, parameters
from infra.config.secret import Secret
from infra.config.settings import SslMode
from infra.config.urls import DatabaseUrl
from infra.config.versions import RedisVersion

_ATTEMPT_SECONDS = 3
_SILENCE_SECONDS = 0.25
# libpq gives no SQLSTATE for what the server says during authentication; its words are the server's own, in the
# server's language, which the stack sets to C. A limit of no connections is one that `up` lifts, so that waiting for
# it, as `may_heal` has it of others, would only delay that.
_UNKNOWN = (
    "authentication failed",
    "does not exist",
    "not permitted",
    "permission denied",
    "not currently accepting connections",
    "too many connections for",
)


# What Redis answers while it loads its data, or runs a script that it will end (redis.io, Errors).
_PASSING = ("+", "-LOADING", "-BUSY")


class NotReady(Exception):
    """The server does not serve yet; another attempt may find it ready."""


def probe_postgres(url: DatabaseUrl, cluster_name: str, version: int) -> None:
    """Run a query at `url` and hold the answer against the stack, and the major version, that is meant.

    Raises:
        NotReady: nobody answers yet, or the server is starting.
        CredentialsRefused: the server does not know this password, role or database.
        ServiceFailed: it is another stack's, or another version, or refuses for good for another reason.
    """
    import psycopg

    try:
        with psycopg.connect(**parameters(url, SslMode.PREFER, _ATTEMPT_SECONDS), autocommit=True) as connection:
            row = connection.execute(
                "SELECT current_setting('cluster_name'), current_setting('server_version_num')::int / 10000"
            ).fetchone()
    except psycopg.Error as error:
        raise _judged(url, error) from None
    if row is None or row[0] != cluster_name:
        raise ServiceFailed(
            f"Another PostgreSQL answers at {url.host}:{url.port}: its cluster_name is {row and row[0]!r}, not "
            f"{cluster_name!r}. Stop it, or set POSTGRES_PORT to a free port.",
            service=Service.POSTGRES,
        )
    if row[1] != version:
        raise ServiceFailed(
            f"PostgreSQL at {url.host}:{url.port} is version {row[1]}, and POSTGRES_VERSION asks for {version}. Set "
            f"POSTGRES_VERSION={row[1]}, or POSTGRES_IMAGE to an image of PostgreSQL {version}.",
            service=Service.POSTGRES,
        )


def _judged(url: DatabaseUrl, error: Exception) -> Exception:
    message = " ".join(str(error).split()).rstrip(".")
    where = f"PostgreSQL at {url.host}:{url.port}"
    if any(words in message for words in _UNKNOWN):
        return CredentialsRefused(
            f"{where} refuses {url.user} on database {url.database}: {message}. If .env changed since the data was "
            "made, put the former value back.",
            service=Service.POSTGRES,
        )
    if "no pg_hba.conf entry" in message:
        return ServiceFailed(
            f"{where} lets nobody in from outside: {message}. The first start of its data was killed, or pg_hba.conf "
            "in its data was changed. Add the line `host all all all scram-sha-256` to that file, or give the data up "
            "with `invoke down --volumes --service postgres`; then run `invoke up` again.",
            service=Service.POSTGRES,
        )
    if may_heal(error):
        return NotReady(f"{where}: {message}")
    return ServiceFailed(
        f"{where} cannot serve {url.user} on database {url.database}: {message}. `invoke logs --service postgres` "
        "shows what the server says of it; `invoke down` and `invoke up` start it again.",
        service=Service.POSTGRES,
    )


def probe_redis(port: int, password: Secret, version: RedisVersion) -> None:
    """Send an authenticated PING to 127.0.0.1:`port`, and hold what serves there against the `version` that is meant.

    Three commands of the protocol (RESP2) over a socket: importing a client library costs a hundred times more.

    Raises:
        NotReady: nobody answers yet, or the server is loading its data.
        CredentialsRefused: the password is refused.
        ServiceFailed: the server is another than `version`, cannot serve, or is no Redis.
    """
    where = f"Redis at {HOST}:{port}"
    try:
        with (
            socket.create_connection((HOST, port), timeout=_ATTEMPT_SECONDS) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(_command("AUTH", password.reveal()) + _command("PING") + _command("INFO", "server"))
            authenticated, ping = answers.readline().strip(), answers.readline().strip()
            info = answers.read(int(answers.readline()[1:])) if ping == b"+PONG" else b""
    except (OSError, ValueError) as error:
        raise NotReady(f"{where}: {error}") from None
    if authenticated.startswith((b"-WRONGPASS", b"-ERR")):
        raise CredentialsRefused(
            f"{where} refuses the password of REDIS_PASSWORD: another Redis answers there. Stop it, or set REDIS_PORT "
            "to a free port.",
            service=Service.REDIS,
        )
    found = re.search(rb"redis_version:(\d+)", info)
    if found is None:
        answer = (ping or authenticated).decode(errors="replace")
        if answer and not answer.startswith(_PASSING):
            raise ServiceFailed(
                f"{where} does not serve: {answer!r}. Stop what answers there if it is no Redis of this stack, or set "
                "REDIS_PORT to a free port; `invoke logs --service redis` shows what the stack's own says.",
                service=Service.REDIS,
            )
        raise NotReady(f"{where}: {answer or 'it closed the connection'}")
    valkey = re.search(rb"valkey_version:(\d+)", info)
    if not version.accepts(int(found[1]), valkey=valkey is not None):
        what = f"Valkey {valkey[1].decode()}" if valkey else f"version {found[1].decode()}"
        raise ServiceFailed(
            f"{where} is {what}, and {version.described} is needed. Set REDIS_VERSION to what it is, or REDIS_IMAGE to "
            "an image of the version that REDIS_VERSION names.",
            service=Service.REDIS,
        )


def probe_product(health: str | None, name: str, port: int) -> None:
    """Judge what the health check of a server of the product says against it; without a check ask its port.

    Raises:
        NotReady: it does not serve yet.
    """
    if health:
        raise NotReady(f"{name}: {health}")
    if health is None:
        probe_port(name, port)


def probe_port(name: str, port: int) -> None:
    """Connect to 127.0.0.1:`port` as a client of any protocol would.

    An engine accepts connections for a container in which nobody listens yet, and closes them at once. So the server
    has to greet, or to wait for what the client says.

    Raises:
        NotReady: nobody answers yet.
    """
    try:
        with socket.create_connection((HOST, port), timeout=_ATTEMPT_SECONDS) as connection:
            connection.settimeout(_SILENCE_SECONDS)
            if connection.recv(1):
                return
    except TimeoutError:
        return
    except OSError as error:
        raise NotReady(f"{name} at {HOST}:{port}: {error}") from None
    raise NotReady(f"{name} at {HOST}:{port} closes every connection")


def _command(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
