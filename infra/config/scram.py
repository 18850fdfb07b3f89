"""What a server receives in place of a password."""

from infra.config.secret import Secret


def scram_verifier(user: str, password: Secret) -> str:
    """Return the SCRAM verifier of a password, for `ALTER ROLE … PASSWORD`.

    The server stores the verifier as it is, so that no statement and no log can show the password (PostgreSQL manual,
    34.11: PQencryptPasswordConn).
    """
    from psycopg import pq

    # libpq asks for a connection object here, but with the algorithm given never for a connection.
    connection = pq.PGconn.connect_start(b"hostaddr=127.0.0.1 port=1")
    try:
        return connection.encrypt_password(password.reveal().encode(), user.encode(), b"scram-sha-256").decode()
    finally:
        connection.finish()
