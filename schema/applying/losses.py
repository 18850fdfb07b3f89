"""What data a step would take away, asked of the database. psycopg only."""

from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Identifier

from schema.applying.statements import Kind, Loss

_COUNTED = 1_000
"""Rows are counted up to here; whoever reads the refusal needs no more."""

# A table of no size holds no row, and asking for that takes no lock. Of a partitioned one its parts are summed up.
_TABLE = """
    SELECT c.oid, nspname, relname, relrowsecurity AND relforcerowsecurity,
           (SELECT coalesce(sum(pg_relation_size(coalesce(part.relid, c.oid))), 0)
            FROM (SELECT relid FROM pg_partition_tree(c.oid) UNION SELECT c.oid) AS part)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE c.oid = to_regclass(%s) AND relkind IN ('r', 'p')
"""
_COLUMN = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %s AND attname = (parse_ident(%s))[1] AND NOT attisdropped AND attgenerated = ''
"""


def lost(connection: "psycopg.Connection[Any]", loss: Loss) -> str | None:
    """Return what `loss` would take away in this database as it is now, None where that is nothing.

    Rows count whoever's they are: FORCE ROW LEVEL SECURITY, which keeps them from the owner, is lifted for the question
    in a transaction that is rolled back. That waits for the table as any ALTER TABLE does.

    Raises:
        psycopg.errors.LockNotAvailable: a table is held for longer than the connection's lock_timeout.
    """
    if loss.kind is Kind.OTHER:
        return f"{loss}, and what that takes along cannot be told"
    table = connection.execute(_TABLE, [loss.table]).fetchone()
    if table is None or not table[4]:
        return None
    oid, schema, name, forced, _ = table
    question: Composable = SQL("true")
    if loss.kind is Kind.DROP_COLUMN:
        column = connection.execute(_COLUMN, [oid, loss.column]).fetchone()
        if column is None:
            return None
        question = SQL("{} IS NOT NULL").format(Identifier(column[0]))
    rows = _count(connection, Identifier(schema, name), question, forced=forced)
    if not rows:
        return None
    counted = "1 row" if rows == 1 else f"{rows} rows" if rows <= _COUNTED else f"more than {_COUNTED} rows"
    return f"{loss}, which holds {counted if loss.kind is not Kind.DROP_COLUMN else f'values in {counted}'}"


def _count(connection: "psycopg.Connection[Any]", table: Composable, question: Composable, *, forced: bool) -> int:
    count = SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS found").format(
        table, question, _COUNTED + 1
    )
    with connection.transaction(force_rollback=True):
        if forced:
            connection.execute(SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY").format(table))
        row = connection.execute(count).fetchone()
    return int(row[0]) if row else 0
