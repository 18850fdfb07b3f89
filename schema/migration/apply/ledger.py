"""The ledger: which migration was applied when, by whom, how long it took, and the very text of its file.

Alembic's own table holds the revision that a database is at and decides what is pending; the ledger only tells of it. A
row is added or removed in the transaction of the migration that it records. psycopg only: whoever runs migrations
writes it, and no migration makes it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier, Literal

from infra.config.settings import function_schema

TABLE = Identifier(function_schema(), "migration_ledger")
_NAME = f"{function_schema()}.migration_ledger"

# No right is granted on it; the application's role has none in this schema but to use it.
CREATE = f"""\
CREATE TABLE IF NOT EXISTS {_NAME} (
    revision text PRIMARY KEY,
    file text NOT NULL,
    follows text[] NOT NULL,
    sha256 text NOT NULL,
    content text NOT NULL,
    applied_at timestamptz NOT NULL,
    milliseconds bigint,
    applied_by text NOT NULL,
    versions text NOT NULL,
    code text
)"""


@dataclass(frozen=True, slots=True)
class File:
    """A migration's file: the revision that it makes, those that it follows, and its text."""

    revision: str
    name: str
    follows: tuple[str, ...]
    content: bytes

    @property
    def sha256(self) -> str:
        """Return the digest of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger; `milliseconds` is unknown where the migration was applied from a script."""

    revision: str
    file: str
    follows: list[str]
    sha256: str
    content: str
    applied_at: datetime
    milliseconds: int | None
    applied_by: str
    versions: str


Entries = Mapping[str, Entry]


def read(connection: "psycopg.Connection[Any]") -> dict[str, Entry]:
    """Return the ledger by revision; it is empty where there is none yet."""
    if not _exists(connection):
        return {}
    columns = SQL(", ").join(map(Identifier, Entry.__dataclass_fields__))
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        found = cursor.execute(SQL("SELECT {} FROM {} ORDER BY applied_at").format(columns, TABLE)).fetchall()
    return {entry.revision: entry for entry in found}


def ensure(connection: "psycopg.Connection[Any]") -> None:
    """Make the ledger where there is none."""
    if not _exists(connection):
        connection.execute(CREATE.encode())


def recorded(file: File, *, milliseconds: int | None, applied_by: str, versions: str) -> Composed:
    """Return the statement that enters a migration as applied; it takes the place of what the ledger had of it.

    Values stand in it as literals, so that it can be part of a script.
    """
    values: dict[str, Any] = {
        "revision": file.revision,
        "file": file.name,
        "follows": list(file.follows),
        "sha256": file.sha256,
        # What is no UTF-8 cannot be a text of the database; Python would not have read it either.
        "content": file.content.decode("utf-8", errors="replace"),
        "milliseconds": milliseconds,
        "applied_by": applied_by,
        "versions": versions,
        "code": None,
    }
    names = SQL(", ").join(map(Identifier, values))
    return SQL(
        "INSERT INTO {table} ({names}, applied_at) VALUES ({values}, clock_timestamp())"
        " ON CONFLICT (revision) DO UPDATE SET ({names}, applied_at) = ROW ({excluded}, EXCLUDED.applied_at)"
    ).format(
        table=TABLE,
        names=names,
        values=SQL(", ").join(map(Literal, values.values())),
        excluded=SQL(", ").join(Identifier("excluded", name) for name in values),
    )


def erased(revisions: Iterable[str]) -> Composed:
    """Return the statement that removes migrations that were taken back."""
    return SQL("DELETE FROM {} WHERE revision IN ({})").format(TABLE, SQL(", ").join(map(Literal, revisions)))


def accept(connection: "psycopg.Connection[Any]", file: File) -> None:
    """Let the ledger hold an applied migration's file as it is now; when it was applied stays."""
    connection.execute(
        SQL("UPDATE {} SET file = %s, sha256 = %s, content = %s WHERE revision = %s").format(TABLE),
        [file.name, file.sha256, file.content.decode("utf-8", errors="replace"), file.revision],
    )


def remember_code(connection: "psycopg.Connection[Any]", head: str, code: str) -> None:
    """Note at the head's row with which code a run ended there; see `schema.migration.apply.nothing_to_do`."""
    connection.execute(SQL("UPDATE {} SET code = %s WHERE revision = %s").format(TABLE), [code, head])


def _exists(connection: "psycopg.Connection[Any]") -> bool:
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", [_NAME]).fetchone() == (True,)
