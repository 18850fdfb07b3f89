from pathlib import Path

import psycopg
import pytest

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import arguments, unavailable

URL = "postgresql://app_user:S3cret@db.example:5433/app"


def settings(**values: str) -> Settings:
    """Return settings made of these values alone."""
    return Settings.load(Path("/nonexistent/.env"), environ=values)


@pytest.mark.parametrize(
    ("query", "environ", "expected"),
    [
        ("", {}, "prefer"),
        ("", {"APP_ENV": "production"}, "verify-full"),
        ("", {"APP_ENV": "production", "DATABASE_SSLMODE": "require"}, "require"),
        ("?sslmode=disable", {"APP_ENV": "production"}, "disable"),
        ("?sslmode=verify-ca", {"DATABASE_SSLMODE": "disable"}, "verify-ca"),
    ],
)
def test_production_verifies_the_server_unless_told_otherwise(
    query: str, environ: dict[str, str], expected: str
) -> None:
    """The URL wins over the setting, and the setting over the environment's default."""
    assert arguments(DatabaseUrl.parse(URL + query), settings(**environ), {}, 5)["sslmode"] == expected


def test_server_settings_and_the_urls_own_options_are_joined() -> None:
    """What the URL says comes last, so it wins."""
    url = DatabaseUrl.parse(f"{URL}?options=-c%20work_mem%3D1MB")
    assert arguments(url, settings(), {"statement_timeout": "30000ms"}, 5)["options"] == (
        "-c TimeZone=UTC -c DateStyle=ISO,MDY -c statement_timeout=30000ms -c work_mem=1MB"
    )


def test_the_urls_query_cannot_redirect_the_connection() -> None:
    """Host, user, password and database are those of the URL itself."""
    url = DatabaseUrl.parse(f"{URL}?host=elsewhere&user=postgres&dbname=other&password=x&port=1")
    given = arguments(url, settings(), {}, 5)
    assert [given[name] for name in ("host", "user", "dbname", "password", "port")] == [
        "db.example",
        "app_user",
        "app",
        "S3cret",
        5433,
    ]


def test_the_url_decides_how_long_an_attempt_waits() -> None:
    """A `connect_timeout` or a password in the URL's query stands; without one, the attempt's own seconds do."""
    url = DatabaseUrl.parse("postgresql://app_user@db.example/app?connect_timeout=2&password=S3cret")
    given = arguments(url, settings(), {}, 5)
    assert (given["connect_timeout"], given["password"]) == ("2", "S3cret")
    assert arguments(DatabaseUrl.parse(URL), settings(), {}, 4.2)["connect_timeout"] == 5


@pytest.mark.parametrize(
    ("reason", "transient"),
    [
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs the server running?', True),
        ('connection to server at "::1", port 1 failed: FATAL:  the database system is starting up', True),
        ('connection to server at "::1", port 1 failed: FATAL:  sorry, too many clients already', True),
        ('connection to server at "::1", port 1 failed: server closed the connection unexpectedly', True),
        ("connection timeout expired", True),
        ("failed to resolve host 'db': [Errno -3] Temporary failure in name resolution", True),
        ("failed to resolve host 'db': [Errno -2] Name or service not known", False),
        ('port 1 failed: FATAL:  password authentication failed for user "app_user"', False),
        ('port 1 failed: FATAL:  database "app" does not exist', False),
        ("port 1 failed: server does not support SSL, but SSL was required", False),
    ],
)
def test_only_what_can_heal_is_worth_another_attempt(reason: str, transient: bool) -> None:
    """A wrong password or database is said at once; a server that starts is waited for."""
    assert unavailable(DatabaseUrl.parse(URL), ConnectionError(reason)).transient is transient


def test_the_message_says_what_where_and_what_next_in_one_paragraph() -> None:
    """Host, port, database and role are named; the password is not."""
    error = unavailable(
        DatabaseUrl.parse(URL), ConnectionError('connection to server at "x", port 5433 failed: Connection refused\n?')
    )
    assert str(error) == (
        "No connection to database 'app' at db.example:5433 as app_user: Connection refused. "
        "Start the server (`invoke up`), or correct the URL."
    )


@pytest.mark.parametrize(
    ("reason", "named"),
    [
        ('root certificate file "/home/ada/.postgresql/root.crt" does not exist', "sslrootcert"),
        ("SSL error: certificate verify failed", "sslrootcert"),
        ('server certificate for "db" does not match host name "10.0.0.1"', "verify-ca"),
        ("server does not support SSL, but SSL was required", "DATABASE_SSLMODE=prefer"),
        ('no pg_hba.conf entry for host "10.0.0.1", user "a", database "b", no encryption', "verify-full"),
        ("unsupported startup parameter: options", "ignore_startup_parameters"),
        ("unsupported startup parameter in options: lock_timeout", "ignore_startup_parameters"),
        ('password authentication failed for user "app_user"', "invoke bootstrap"),
    ],
)
def test_what_refuses_a_connection_decides_the_advice(reason: str, named: str) -> None:
    """TLS and poolers refuse for good as a role does, and take something else to mend."""
    url = DatabaseUrl.parse(URL)
    error = psycopg.OperationalError(f'connection to server at "db", port 5433 failed: FATAL:  {reason}')
    refused = unavailable(url, error)
    assert not refused.transient
    assert named in str(refused).partition(". ")[2]
