"""Every parameter that libpq is given for a connection, so that neither the shell nor a service file adds to it.

libpq takes what its caller leaves out from variables (PostgreSQL manual, 34.15), which a shell may have for another
server. Every connection of the project, and psql, is described here.
"""

import os
import re
from collections.abc import Mapping
from math import ceil
from typing import Any

from infra.config.settings import AppEnv, Settings, SslMode
from infra.config.urls import DatabaseUrl

APPLICATION_NAME = "groundwork"
# libpq's own; those of psql (PSQL_…, PG_COLOR, PAGER) are its user's preferences and have another form.
_VARIABLE = re.compile(r"PG[A-Z]+")
# Where libpq's list of parameters names no default, empty means that; but not for these (fe-connect.c). The methods are
# all that libpq 16 knows; for another, as oauth, the URL says so.
_DEFAULTS = {
    "sslcertmode": "allow",
    "require_auth": "password,md5,gss,sspi,scram-sha-256,none",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
}
# libpq gives no SQLSTATE for a failed connection (PostgreSQL manual, 34.1), so its words decide: the operating
# system's, libpq's, and the server's for 57P03, 57P01 and 53300. Whatever is not known to heal stops at once.
_HEALS = re.compile(
    r"refused|timeout expired|timed out|starting up|shutting down|recovery mode|not (yet )?accepting connections"
    r"|closed (the connection )?unexpectedly|reset by peer|broken pipe|administrator command"
    r"|too many (clients|connections)|remaining connection slots|no route to host|unreachable"
    r"|temporary failure in name resolution",
    re.IGNORECASE,
)
_HEALING_STATES = {"57P01", "57P02", "57P03", "53300"}


def parameters(url: DatabaseUrl, mode: SslMode, seconds: float) -> dict[str, Any]:
    """Return libpq's connection parameters (PostgreSQL manual, 34.1.2); what the URL's query says wins.

    `mode` and `seconds` (for one attempt to connect) stand where the query says nothing. PGSERVICE, which no parameter
    overrides, is taken out of this process's environment.
    """
    os.environ.pop("PGSERVICE", None)
    return {
        **_without_variables(),
        "application_name": APPLICATION_NAME,
        "client_encoding": "UTF8",
        "sslmode": str(mode),
        "connect_timeout": max(1, ceil(seconds)),
        **url.query,
        "user": url.user,
        "password": url.password.reveal() or url.query.get("password", ""),
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
    }


def _without_variables() -> dict[str, str]:
    """Return libpq's own default of each parameter that it would else take from a variable."""
    from psycopg import pq

    return {
        keyword: _DEFAULTS.get(keyword) or (option.compiled or b"").decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar and (keyword := option.keyword.decode()) != "service"
    }


def client_query(url: DatabaseUrl, settings: Settings) -> dict[str, str]:
    """Return the query of the URL that a client program is given: TLS and waiting as the settings have them."""
    seconds = ceil(settings.database_connect_timeout.total_seconds())
    return {"sslmode": str(sslmode(settings)), "connect_timeout": str(seconds)} | dict(url.query)


def client_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without libpq's variables."""
    return {key: value for key, value in environ.items() if not _VARIABLE.fullmatch(key)}


def sslmode(settings: Settings) -> SslMode:
    """Return how TLS is asked for where the URL does not say: in production the server must prove its name."""
    if settings.database_sslmode is not None:
        return settings.database_sslmode
    return SslMode.VERIFY_FULL if settings.app_env is AppEnv.PRODUCTION else SslMode.PREFER


def may_heal(error: BaseException) -> bool:
    """Return whether another attempt may succeed, as once a server has started; what is not known to heal does not."""
    state = getattr(error, "sqlstate", None)
    if state:
        return state in _HEALING_STATES or state.startswith("08")
    return bool(_HEALS.search(str(error)))
