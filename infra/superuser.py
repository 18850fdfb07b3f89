"""Teach existing data the superuser and the password that the settings name."""

from infra.scram import scram_verifier
from infra.secret import Secret


def statements_for(user: str, password: Secret) -> list[str]:
    """Return statements, a line each, after which `user` can log in as a superuser with `password`.

    They hold a SCRAM verifier and not the password.
    """
    name = '"' + user.replace('"', '""') + '"'
    literal = "'" + user.replace("'", "''") + "'"
    missing = f"NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal})"
    rights = "SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN"
    return [
        f"DO $do$ BEGIN IF {missing} THEN CREATE ROLE {name}; END IF; END $do$;",
        f"ALTER ROLE {name} WITH {rights} PASSWORD '{scram_verifier(user, password)}';",
    ]
