"""One attempt each to show that a server serves. A probe returns, raises NotReady, or raises what waiting cannot heal.

SQLSTATE classes: PostgreSQL manual, Appendix A. 57P03 is sent while the server starts, stops or recovers.
"""

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

    Raises:
        NotReady: nobody answers yet, or the server is loading its data.
        ServiceFailed: the password is refused, or the server is too old.
    """
    import redis

    client = redis.Redis(HOST, port, password=password.reveal(), socket_timeout=_ATTEMPT_SECONDS)
    try:
        client.ping()
        version = str(client.info("server")["redis_version"])
    except redis.AuthenticationError:
        raise ServiceFailed(
            f"Redis at {HOST}:{port} refuses the password. Another Redis answers there, or REDIS_PASSWORD changed: "
            "`invoke down` and `invoke up` start it with the new one."
        ) from None
    except redis.RedisError as error:
        raise NotReady(f"Redis at {HOST}:{port}: {' '.join(str(error).split())}") from None
    finally:
        client.close()
    if int(version.partition(".")[0]) < REDIS_MAJOR:
        raise ServiceFailed(f"Redis at {HOST}:{port} is version {version}; {REDIS_MAJOR} or later is needed.")
