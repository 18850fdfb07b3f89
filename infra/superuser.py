"""What only the superuser can do to a server: be made known to existing data, and run a program beside it."""

from infra.endpoints import HOST
from infra.scram import scram_verifier
from infra.secret import Secret
from infra.spec import MAINTENANCE_DATABASE, PostgresSpec
from infra.urls import DatabaseUrl

_CONNECT_SECONDS = 3


def statements_for(user: str, password: Secret) -> list[str]:
    """Return statements, a line each, after which `user` can log in as a superuser with `password`.

    They hold a SCRAM verifier and not the password.
    """
    name = '"' + user.replace('"', '""') + '"'
    literal = _literal(user)
    missing = f"NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal})"
    rights = "SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN"
    return [
        f"DO $do$ BEGIN IF {missing} THEN CREATE ROLE {name}; END IF; END $do$;",
        f"ALTER ROLE {name} WITH {rights} PASSWORD '{scram_verifier(user, password)}';",
    ]


def execute(postgres: PostgresSpec, password: Secret, statement: str) -> None:
    """Run one statement as the superuser, whose password this is, on the stack's server.

    Raises:
        psycopg.Error: the server refuses.
    """
    import psycopg

    assert postgres.port is not None  # noqa: S101 - a server that runs has one
    url = DatabaseUrl(postgres.user, password, HOST, postgres.port, MAINTENANCE_DATABASE)
    with psycopg.connect(url.libpq(), connect_timeout=_CONNECT_SECONDS, autocommit=True) as connection:
        connection.execute(statement.encode())


def program(command: str) -> str:
    """Return the statement that runs a shell's command where the server runs, as the server's account.

    Source: PostgreSQL manual, COPY, PROGRAM. The query yields no row, so nothing is written to the command.
    """
    return f"COPY (SELECT WHERE false) TO PROGRAM {_literal(command)}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
