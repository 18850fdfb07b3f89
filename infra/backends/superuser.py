"""What only the superuser can do to a server: be made known to existing data, and run a program beside it."""

from infra.config.endpoints import HOST
from infra.config.libpq import parameters
from infra.config.scram import scram_verifier
from infra.config.secret import Secret
from infra.config.settings import MAINTENANCE_DATABASE, SslMode
from infra.config.sql_text import literal, quote
from infra.config.urls import DatabaseUrl
from infra.declaration.spec import PostgresSpec

_CONNECT_SECONDS = 3


def statements_for(user: str, password: Secret) -> list[str]:
    """Return statements, a line each, after which `user` can log in as a superuser with `password`.

    They hold a SCRAM verifier and not the password.
    """
    name = quote(user)
    missing = f"NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal(user)})"
    rights = "SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN VALID UNTIL 'infinity'"
    return [
        f"DO $do$ BEGIN IF {missing} THEN CREATE ROLE {name}; END IF; END $do$;",
        f"ALTER ROLE {name} WITH {rights} PASSWORD '{scram_verifier(user, password)}';",
    ]


def retirement(former: str) -> str:
    """Return the statement after which a former superuser cannot log in.

    The first one that a cluster had stays a superuser, as PostgreSQL asks (oid 10), and keeps its login for the
    server's own socket, which asks for no password. Each other one becomes an ordinary role.
    """
    name = quote(former)
    role = f"SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal(former)}"
    rights = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOLOGIN"
    return (
        f"DO $do$ BEGIN IF EXISTS ({role}) THEN ALTER ROLE {name} PASSWORD NULL; END IF; "
        f"IF EXISTS ({role} AND oid <> 10) THEN ALTER ROLE {name} {rights}; END IF; END $do$"
    )


def execute(postgres: PostgresSpec, password: Secret, statement: str) -> None:
    """Run one statement as the superuser, whose password this is, on the stack's server.

    Raises:
        psycopg.Error: the server refuses.
    """
    import psycopg

    assert postgres.port is not None  # noqa: S101 - a server that runs has one
    url = DatabaseUrl(postgres.user, password, HOST, postgres.port, MAINTENANCE_DATABASE)
    with psycopg.connect(**parameters(url, SslMode.PREFER, _CONNECT_SECONDS), autocommit=True) as connection:
        connection.execute(statement.encode())


def program(command: str) -> str:
    """Return the statement that runs a shell's command where the server runs, as the server's account.

    Source: PostgreSQL manual, COPY, PROGRAM. The query yields no row, so nothing is written to the command.
    """
    return f"COPY (SELECT WHERE false) TO PROGRAM {literal(command)}"
