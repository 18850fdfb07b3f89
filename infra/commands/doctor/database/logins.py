"""Connect as each role to where its URL says, as the product does, and see how the connection is made."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from infra.commands.doctor.database.pooler import examine_pooling
from infra.commands.doctor.database.ways import SESSION_SETTINGS, Tls, Way, Who
from infra.config.libpq import sslmode
from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.client.engine import timeouts

APPLICATION = "groundwork doctor"
_PATIENCE = timedelta(seconds=3)
_ANSWER_SECONDS = 10.0
_TLS = "SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
_SESSION = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"


def log_in(who: Who, url: DatabaseUrl, settings: Settings) -> BoundedConnection:
    """Connect with what a session of the role asks for; every wait is bounded.

    Raises:
        DatabaseUnavailable: the server is away, or refuses the role.
    """
    named = replace(url, query={**url.query, "application_name": APPLICATION})
    asked: Mapping[str, str] = timeouts(settings) if who == Role.USER else {}
    connection = connect(named, _impatient(settings), autocommit=True, parameters=asked)
    connection.answer_timeout = _ANSWER_SECONDS
    # What psycopg prepares by itself would stay in a pooler's session, which somebody else gets.
    connection.prepare_threshold = None
    return connection


def find_way(who: Who, url: DatabaseUrl, settings: Settings, connection: BoundedConnection) -> Way:
    """Return how a connection is made; in a pooler's statement mode it is of no further use.

    Raises:
        psycopg.Error, DatabaseUnavailable: the server went away meanwhile.
    """
    row = connection.execute(_TLS).fetchone()
    return Way(
        who,
        url,
        url.query.get("sslmode") or str(sslmode(settings)),
        connection.pgconn.ssl_in_use,
        Tls(*row) if row else None,
        session=dict(connection.execute(_SESSION, [list(SESSION_SETTINGS)]).fetchall()),
        asked=_asked(who, settings),
        pooled=examine_pooling(connection, lambda: log_in(who, url, settings)),
    )


def _asked(who: Who, settings: Settings) -> Mapping[str, str]:
    conventions = {"TimeZone": "UTC", "DateStyle": "ISO, MDY"}
    milliseconds = settings.database_statement_timeout.total_seconds() * 1000
    return conventions | ({"statement_timeout": f"{milliseconds:.0f}"} if who == Role.USER else {})


def _impatient(settings: Settings) -> Settings:
    return replace(
        settings,
        database_connect_timeout=min(settings.database_connect_timeout, _PATIENCE),
        database_connect_deadline=min(settings.database_connect_deadline, _PATIENCE),
    )
