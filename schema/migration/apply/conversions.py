"""Which rows would not keep their value where a column changes its type, asked of the database.

PostgreSQL converts by casts that round, cut and leave out without a word. So each value is converted as the statement
would and then back, and the rows in which that is another value are counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psycopg

from infra.config.sql_text import quote
from schema.migration.apply.destructive_sql import Loss

# Numbers are equal whatever digits they are written with. Of everything else the text says more than `=`, which takes
# 1 month for 30 days and a box for another of its area, and which json does not have.
_COLUMN = """
    WITH RECURSIVE part AS (
        SELECT atttypid AS oid FROM pg_attribute WHERE attrelid = %(table)s AND attname = %(column)s
        UNION
        SELECT unnest(ARRAY[typbasetype, CASE WHEN typcategory = 'A' THEN typelem END, rngsubtype])
        FROM part JOIN pg_type t USING (oid) LEFT JOIN pg_range ON t.oid IN (rngtypid, rngmultitypid)
    )
    SELECT format_type(atttypid, atttypmod),
           EXISTS (SELECT FROM part WHERE oid::regtype::text IN ('numeric', 'real', 'double precision', 'jsonb'))
    FROM pg_attribute WHERE attrelid = %(table)s AND attname = %(column)s
"""
_TRIAL = "pg_temp.groundwork_trial"
_FILE = f"SELECT pg_relation_filenode('{_TRIAL}')".encode()

_Answer = TypeVar("_Answer")
Count = Callable[[str], int]
"""Counts the rows of a query that begins after FROM."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a statement makes of a column's values; `table` and `column` are written as SQL has them."""

    table: str
    column: str
    former: str
    wanted: str
    using: str
    by_value: bool

    @property
    def new(self) -> str:
        """The new value of a row."""
        return f"CAST(({self.using or self.column}) AS {self.wanted})"

    def other_than(self, back: str) -> str:
        """Return what finds the rows whose new value, turned back by an expression, is not what it was."""
        different = f'CAST({self.column} AS text) COLLATE "C" IS DISTINCT FROM CAST(kept.value AS text) COLLATE "C"'
        if self.by_value:
            different += f" AND {self.column} IS DISTINCT FROM kept.value"
        if self.former == "json":
            # Neither blanks nor the order of keys are a value; a key that is there twice is.
            sizes = (
                f"length(regexp_replace(CAST({expression} AS text), '\\s+', '', 'g'))"
                for expression in (self.column, "kept.value")
            )
            different += f" AND {' IS DISTINCT FROM '.join(sizes)}"
        return f"{self.table}, LATERAL (SELECT {back} AS value) AS kept WHERE {different}"


def conversion(
    connection: "psycopg.Connection[Any]", oid: int, table: tuple[str, str], column: str, loss: Loss
) -> Conversion:
    """Return what `loss` makes of a column of the table with this oid, schema and name."""
    former, by_value = connection.execute(_COLUMN, {"table": oid, "column": column}).fetchone() or ("", False)
    schema, name = map(quote, table)
    return Conversion(f"{schema}.{name}", f"{name}.{quote(column)}", former, loss.type, loss.using, by_value)


def leaves_files(connection: "psycopg.Connection[Any]", change: Conversion) -> bool:
    """Return whether PostgreSQL takes the values for ones of the new type as they are, which needs no look at rows.

    It says so by leaving the files of a table as they are, here of one without rows.
    """

    def file() -> object:
        return connection.execute(_FILE).fetchone()

    def trial() -> bool:
        connection.execute(f"CREATE TEMP TABLE groundwork_trial (value {change.former})".encode())
        before = file()
        connection.execute(f"ALTER TABLE {_TRIAL} ALTER value TYPE {change.wanted}".encode())
        return file() == before

    return not change.using and bool(_tried(connection, trial))


def other_rows(connection: "psycopg.Connection[Any]", change: Conversion, count: Count) -> int:
    """Return how many rows would not keep their value.

    A statement that fails takes nothing away, so where PostgreSQL refuses to convert there are none. Where it converts
    and cannot turn back what comes of it, that is every row with a value.
    """
    # Where there is no cast, every value can be written as text and read from it (manual, CREATE CAST).
    for back in (change.new, f"CAST({change.new} AS text)"):
        found = _tried(connection, partial(count, change.other_than(f"CAST({back} AS {change.former})")))
        if found is not None:
            return found
    every = f"{change.table} WHERE {change.column} IS NOT NULL AND coalesce(CAST({change.new} AS text), '') IS NOT NULL"
    return _tried(connection, partial(count, every)) or 0


def _tried(connection: "psycopg.Connection[Any]", attempt: Callable[[], _Answer]) -> _Answer | None:
    """Return what an attempt returns, None where the database refuses it; nothing that it does stays."""
    try:
        with connection.transaction(force_rollback=True):
            return attempt()
    except psycopg.OperationalError:
        raise
    except psycopg.DatabaseError:
        return None
