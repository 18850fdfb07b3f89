"""Renamed tables and columns: given to `generate`, done in the shadow before it compares, and what looks like one."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from alembic.operations.ops import (
    AddColumnOp,
    CreateTableOp,
    DropColumnOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)
from sqlalchemy import Column, Connection, Dialect, MetaData, Table, text

from infra.config.sql_text import quote
from schema.errors import MigrationError
from schema.migration.diff.column_changes import Statements

_COMMON = {"tenant_id", "created_at", "updated_at"}
_ALIKE = 0.5
"""The share of columns that two tables have in common, from which on one may be the other, renamed."""

# The keys of a table, those of others that reference it, and its indexes that are no constraint's.
_NAMES = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint
    WHERE conrelid = to_regclass(:table) OR confrelid = to_regclass(:table)
    UNION ALL
    SELECT '', relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = to_regclass(:table)
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
    ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Rename:
    """A table that is called otherwise, or a column of one."""

    table: str
    column: str
    name: str

    @classmethod
    def parse(cls, said: str) -> "Rename":
        """Read `old:new` or `table.column:new`.

        Raises:
            MigrationError: it is neither.
        """
        old, colon, new = said.partition(":")
        table, dot, column = old.partition(".")
        if not (table and colon and new) or (dot and not column) or "." in new:
            raise MigrationError(
                f"--rename {said} says no rename. Write --rename old:new, or --rename table.column:new."
            )
        return cls(table, column, new)

    def __str__(self) -> str:
        return f"{self.old}:{self.name}"

    @property
    def old(self) -> str:
        """The former name, a column's with its table."""
        return f"{self.table}.{self.column}" if self.column else self.table

    @property
    def new(self) -> str:
        """The name from now on, a column's with its table."""
        return f"{self.table}.{self.name}" if self.column else self.name


def carry_out(connection: Connection, rename: Rename, metadata: MetaData) -> Statements:
    """Rename in a shadow database, with the keys and indexes that are named after it; return the statements of that.

    Raises:
        MigrationError: there is nothing of the former name, or the new one is not declared.
    """
    table = metadata.tables.get(rename.table if rename.column else rename.name)
    declared = table is not None and (not rename.column or rename.name in table.columns)
    there = _names_of(connection, rename)
    if not declared or rename.new in there or rename.old not in there:
        raise MigrationError(
            f"--rename {rename} does not fit: the migrations must make {rename.old} and not {rename.new}, and the "
            f"models must declare {rename.new}. A renamed table's columns go by its new name. Nothing was written.",
            changes=(f"rename {rename}",),
        )
    undo = Rename(rename.table, rename.name, rename.column) if rename.column else Rename(rename.name, "", rename.table)
    done, undone = [_statement(rename)], [_statement(undo)]
    connection.exec_driver_sql(done[0])
    for owner, former, now in list(_keys(connection, rename, _declared_names(metadata))):
        done.append(_key_statement(owner, former, now))
        undone.insert(0, _key_statement(owner, now, former))
        connection.exec_driver_sql(done[-1])
    return Statements(tuple(done), tuple(undone))


def _statement(rename: Rename) -> str:
    column = f" COLUMN {quote(rename.column)}" if rename.column else ""
    return f"ALTER TABLE {quote(rename.table)} RENAME{column} TO {quote(rename.name)}"


def _key_statement(owner: str, former: str, now: str) -> str:
    if not owner:
        return f"ALTER INDEX {quote(former)} RENAME TO {quote(now)}"
    return f"ALTER TABLE {owner} RENAME CONSTRAINT {quote(former)} TO {quote(now)}"


def lookalikes(operations: Iterable[MigrateOperation], dialect: Dialect) -> tuple[Rename, ...]:
    """Return what is dropped and added and may as well have been renamed: a column of one type, a table of columns."""
    every = list(operations)
    dropped = [op.to_table() for op in every if isinstance(op, DropTableOp)]
    created = [op.to_table() for op in every if dropped and isinstance(op, CreateTableOp)]
    tables = [Rename(old.name, "", new.name) for old in dropped for new in created if _alike(old, new)]
    parts = [part for op in every if isinstance(op, ModifyTableOps) for part in op.ops]
    return (*tables, *_columns(parts, dialect))


def _columns(parts: Iterable[MigrateOperation], dialect: Dialect) -> Iterator[Rename]:
    changed = list(parts)
    dropped = [(op.table_name, op.to_column()) for op in changed if isinstance(op, DropColumnOp)]
    added = [(op.table_name, op.column) for op in changed if isinstance(op, AddColumnOp)]
    for table, old in dropped:
        for other, new in added:
            if table == other and _type(old, dialect) == _type(new, dialect):
                yield Rename(table, old.name, new.name)


def _type(column: Column[object], dialect: Dialect) -> str:
    return column.type.compile(dialect)


def _alike(old: Table, new: Table) -> bool:
    before, after = ({column.name for column in table.columns} - _COMMON for table in (old, new))
    return len(before & after) >= _ALIKE * len(before | after)


def _names_of(connection: Connection, rename: Rename) -> set[str]:
    if not rename.column:
        question = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    else:
        question = """
            SELECT :plain || '.' || attname FROM pg_attribute
            WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped
        """
    return set(connection.execute(text(question), {"table": quote(rename.table), "plain": rename.table}).scalars())


def _declared_names(metadata: MetaData) -> set[str]:
    tables = metadata.tables.values()
    keys = [constraint.name for table in tables for constraint in table.constraints]
    return {
        str(name) for name in (*keys, *(index.name for table in tables for index in table.indexes)) if name is not None
    }


def _keys(connection: Connection, rename: Rename, declared: Collection[str]) -> Iterator[tuple[str, str, str]]:
    table = rename.table if rename.column else rename.name
    for owner, name in connection.execute(text(_NAMES), {"table": quote(table)}).all():
        now = name.replace(rename.column or rename.table, rename.name)
        if now != name and now in declared and name not in declared:
            yield owner, name, now
