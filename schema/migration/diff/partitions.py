"""Partitioned tables: how a table is partitioned is decided when it is made (PostgreSQL manual, 5.11.2).

Partitions belong to their parent. They are made in migrations of `invoke generate --empty`, and are never compared.
"""

from collections.abc import Iterable, Iterator, Mapping

from alembic.operations.ops import DropTableOp, MigrateOperation
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from infra.config.sql_text import quote
from schema.errors import MigrationError
from schema.migration.diff.rls.catalog import run_script, throw_away_schema
from schema.migration.diff.rls.operations import LiteralSql

_KEYS = """
    SELECT relname, pg_get_partkeydef(oid) AS key FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
"""
_REPEATED = """
    SELECT relname, conname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
    WHERE contype = 'f' AND conparentid <> 0 AND relnamespace = 'public'::regnamespace
"""
# Each partition after the one that it is part of.
_PARTS = """
    WITH RECURSIVE part AS (
        SELECT inhrelid, inhparent, 1 AS depth FROM pg_inherits WHERE inhparent = to_regclass(quote_ident(:table))
        UNION ALL
        SELECT i.inhrelid, i.inhparent, depth + 1 FROM pg_inherits i JOIN part ON i.inhparent = part.inhrelid
    )
    SELECT format('CREATE TABLE %s PARTITION OF %s %s', oid::regclass, inhparent::regclass,
                  pg_get_expr(relpartbound, oid)) || coalesce(' PARTITION BY ' || pg_get_partkeydef(oid), '')
    FROM part JOIN pg_class ON oid = inhrelid WHERE relispartition ORDER BY depth, 1
"""
_COUNT_ON = "`SELECT setval(pg_get_serial_sequence('{0}', '{2}'), nextval(pg_get_serial_sequence('{1}', '{2}')))`"
_TRIAL = "groundwork_trial"


def read_partition_keys(connection: Connection) -> dict[str, str | None]:
    """Return how each table of schema public is partitioned, None where it is not; partitions are left out."""
    return {row.relname: row.key for row in connection.execute(text(_KEYS))}


def read_repeated_keys(connection: Connection) -> frozenset[tuple[str, str]]:
    """Return the foreign keys, by table and name, that PostgreSQL keeps to each partition beside that to its parent."""
    return frozenset((row.relname, row.conname) for row in connection.execute(text(_REPEATED)))


def refuse_repartitioned(connection: Connection, actual: Mapping[str, str | None], tables: Iterable[Table]) -> None:
    """Refuse tables that are there and are declared to be partitioned otherwise, no longer, or for the first time.

    Raises:
        MigrationError: names the first such table, and the way to get there.
    """
    for table in tables:
        if table.schema is None and table.name in actual:
            found, wanted = actual[table.name], table.dialect_options["postgresql"]["partition_by"]
            if not _is_the_same(connection, table.name, found, wanted):
                raise MigrationError(_message(table, found, wanted), tables=(table.name,))


def with_partitions(connection: Connection, operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
    """Let a downgrade make a dropped table that is partitioned as one, and its partitions, without their rows."""
    keys, repeated = read_partition_keys(connection), read_repeated_keys(connection)
    for operation in operations:
        if not isinstance(operation, DropTableOp):
            yield operation
            continue
        table, key = operation.to_table(), keys[operation.table_name]
        for one in [
            foreign_key_constraint
            for foreign_key_constraint in table.foreign_key_constraints
            if (table.name, foreign_key_constraint.name) in repeated
        ]:
            table.constraints.remove(one)
        if key is not None:
            yield LiteralSql((), tuple(connection.scalars(text(_PARTS), {"table": table.name})))
            table.dialect_kwargs["postgresql_partition_by"] = key
        yield DropTableOp.from_table(table)


def _is_the_same(connection: Connection, table: str, found: str | None, wanted: str | None) -> bool:
    if found is None or not wanted:
        return found is None and not wanted
    # Most words are the same but for blanks; those that differ may mean the same.
    return "".join(found.split()) == "".join(wanted.split()) or found == _server_text(connection, table, wanted)


def _server_text(connection: Connection, table: str, key: str) -> str | None:
    """Return a declared key as PostgreSQL writes it; None where the table as it is cannot be partitioned so."""
    with throw_away_schema(connection):
        try:
            with connection.begin_nested():
                run_script(connection, [f"CREATE TABLE {_TRIAL} (LIKE {quote(table)}) PARTITION BY {key}"])
        except DBAPIError:
            return None
        written: str | None = connection.scalar(text("SELECT pg_get_partkeydef(to_regclass(:name))"), {"name": _TRIAL})
    return written


def _message(table: Table, found: str | None, wanted: str | None) -> str:
    old, new = table.name, f"{table.name}_partitioned" if wanted else f"{table.name}_whole"
    counted = [column.name for column in table.columns if column.identity is not None]
    count = "".join(f", let {new}.{column} count on ({_COUNT_ON.format(new, old, column)})" for column in counted)
    return (
        f"{old} {_is(found)}, and the models declare that it {_is(wanted)}. PostgreSQL cannot change that of a table "
        f"that is there. Leave {old} as it is, and declare what it should be as a second model, {new}; generate and "
        "apply that. In a migration of `invoke generate --empty` make the partitions that it is to have"
        f"{count} and copy the rows: `for_each_tenant(op.get_bind(), '{_copy_rows(table, new)}')`. Then take {old} out "
        f"of the models (`--allow-drop`), and give the second its name (`--rename {new}:{old}`). Nothing was written."
    )


def _copy_rows(table: Table, new: str) -> str:
    """Return what copies the rows; columns are named, because those that were added later stand elsewhere."""
    columns = ", ".join(quote(column.name) for column in table.columns if column.computed is None)
    counted = " OVERRIDING SYSTEM VALUE" if any(column.identity is not None for column in table.columns) else ""
    return f"INSERT INTO {quote(new)} ({columns}){counted} SELECT {columns} FROM {quote(table.name)}"  # noqa: S608 - shown to a person


def _is(key: str | None) -> str:
    return f"is partitioned by {key}" if key else "is not partitioned"
