"""Teach existing data the superuser and the password that the settings name."""

from infra.secret import Secret


def statements_for(user: str, password: Secret) -> list[str]:
    """Return statements, a line each, after which `user` can log in as a superuser with `password`.

    They hold a SCRAM verifier and not the password, so that no log of the server can show it (PostgreSQL manual,
    34.11: PQencryptPasswordConn).
    """
    name = '"' + user.replace('"', '""') + '"'
    literal = "'" + user.replace("'", "''") + "'"
    missing = f"NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal})"
    rights = "SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN"
    return [
        f"DO $do$ BEGIN IF {missing} THEN CREATE ROLE {name}; END IF; END $do$;",
        f"ALTER ROLE {name} WITH {rights} PASSWORD '{_verifier(user, password)}';",
    ]


def _verifier(user: str, password: Secret) -> str:
    from psycopg import pq

    # libpq asks for a connection object here, but with the algorithm given never for a connection.
    connection = pq.PGconn.connect_start(b"hostaddr=127.0.0.1 port=1")
    try:
        return connection.encrypt_password(password.reveal().encode(), user.encode(), b"scram-sha-256").decode()
    finally:
        connection.finish()
