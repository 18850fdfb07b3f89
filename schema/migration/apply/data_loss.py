"""What data a step would take away, asked of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from infra.config.sql_text import quote
from schema.migration.apply.conversions import conversion, leaves_files, other_rows
from schema.migration.apply.destructive_sql import Kind, Loss

_COUNTED = 1_000
"""Rows are counted up to here; whoever reads the refusal needs no more."""

# A table of no size holds no row, and asking for that takes no lock. Its partitions and children go with it.
_TABLE = """
    SELECT c.oid, nspname, relname, relrowsecurity AND relforcerowsecurity,
           (WITH RECURSIVE part AS (
               SELECT c.oid AS relid UNION SELECT inhrelid FROM pg_inherits JOIN part ON inhparent = relid
            ) SELECT coalesce(sum(pg_relation_size(relid)), 0) FROM part)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE c.oid = to_regclass(%s) AND relkind IN ('r', 'p')
"""
_COLUMN = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %s AND attname = (parse_ident(%s))[1] AND NOT attisdropped AND attgenerated = ''
"""


def find_loss(connection: "psycopg.Connection[Any]", loss: Loss, *, hold: bool = False) -> str | None:
    """Return what `loss` would take away in this database as it is now, None where that is nothing.

    Rows count whoever's they are: FORCE ROW LEVEL SECURITY, which keeps them from the owner, is lifted for the question
    in a transaction that is rolled back. That waits for the table as any ALTER TABLE does. With `hold` it stays locked
    until the connection's own transaction ends, where the statement is to lock it anyway: no row comes in between.

    Raises:
        psycopg.errors.LockNotAvailable: a table is held for longer than the connection's lock_timeout.
    """
    if loss.kind in {Kind.OTHER, Kind.CONVERT}:
        return f"{loss}, and what that takes along cannot be determined"
    found = connection.execute(_TABLE, [loss.table]).fetchone()
    if found and hold and loss.kind is not Kind.DELETE and not connection.autocommit:
        connection.execute(f"LOCK TABLE {quote(found[1])}.{quote(found[2])}".encode())
        found = connection.execute(_TABLE, [loss.table]).fetchone()
    if found is None or not found[4]:
        return None
    table = _Table(connection, *found[:4])
    if not loss.column:
        return _holding(loss, "", table.count())
    column = connection.execute(_COLUMN, [table.oid, loss.column]).fetchone()
    if column is None:
        return None
    if loss.kind is Kind.DROP_COLUMN:
        return _holding(loss, "values in ", table.count(f"{quote(column[0])} IS NOT NULL"))
    rows = table.count_changed(column[0], loss)
    return f"{loss}, which does not keep the values of {_counted(rows)}" if rows else None


def _holding(loss: Loss, contents: str, rows: int) -> str | None:
    return f"{loss}, which holds {contents}{_counted(rows)}" if rows else None


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows" if rows <= _COUNTED else f"more than {_COUNTED} rows"


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that may hold rows; where row level security is `forced`, it keeps them from the owner."""

    connection: "psycopg.Connection[Any]"
    oid: int
    schema: str
    name: str
    forced: bool

    def count(self, condition: str = "true") -> int:
        """Return how many rows meet a condition."""
        with self._every_row():
            return self._count(f"{self._quoted_name} WHERE {condition}")

    def count_changed(self, column: str, loss: Loss) -> int:
        """Return how many rows do not keep the value of a column that changes its type."""
        change = conversion(self.connection, self.oid, (self.schema, self.name), column, loss)
        if leaves_files(self.connection, change):
            return 0
        with self._every_row():
            return other_rows(self.connection, change, self._count)

    @property
    def _quoted_name(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    @contextmanager
    def _every_row(self) -> Iterator[None]:
        with self.connection.transaction(force_rollback=True):
            if self.forced:
                self.connection.execute(f"ALTER TABLE {self._quoted_name} NO FORCE ROW LEVEL SECURITY".encode())
            yield

    def _count(self, source: str) -> int:
        question = f"SELECT count(*) FROM (SELECT FROM {source} LIMIT {_COUNTED + 1}) AS found"  # noqa: S608 - names are quoted, and a statement's own words run as the owner anyway
        row = self.connection.execute(question.encode()).fetchone()
        return int(row[0]) if row else 0
