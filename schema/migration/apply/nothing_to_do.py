"""Answer "nothing to do" without Alembic, SQLAlchemy or the models: by what has not changed.

What Alembic would do follows from two things: the code (the migrations, env.py, pyproject.toml that says where they
are, and package `schema`, which runs them and judges their files) and the rows of its version table. A run that ended
well leaves a digest of all that code in the ledger, at the row of the head that it reached. Where the database's
version table holds one row, that row's ledger entry carries a digest, and the code of now has the same, the last run
would be repeated on the same input: it would find nothing to do.

Nothing can slip past, because anything else is left to Alembic: a file added, edited, renamed or removed (the digest
covers names and bytes), other code, several rows or none, a version row that was set by hand or by `alembic stamp` or
by a restore (its entry has no digest, or one that was true of that very state), a downgrade (its row is removed), no
ledger. The database is the only witness; nothing is kept beside it that could be of another database.
"""

from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from infra.config.settings import Settings, function_schema
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.migration.apply.fingerprint import migration_code_digest
from schema.migration.apply.ledger import TABLE

_WHERE_IT_IS = SQL("SELECT version_num, code FROM {} LEFT JOIN {} ON revision = version_num").format(
    Identifier(function_schema(), "alembic_version"), TABLE
)


def head_if_unchanged(owner: DatabaseUrl, settings: Settings, checkout: Path) -> str | None:
    """Return the revision that the database is at where there is provably nothing to do; None where it must be seen.

    Raises:
        DatabaseUnavailable: the server is away or refuses the owner.
    """
    with connect(owner, settings, autocommit=True) as connection:
        try:
            rows = connection.execute(_WHERE_IT_IS).fetchall()
        except psycopg.errors.UndefinedTable:
            return None
    match rows:
        case [(str(revision), str(code))] if code == migration_code_digest(checkout):
            return revision
        case _:
            return None
