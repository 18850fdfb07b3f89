"""What the models declare of isolation, table by table."""

import re
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Dialect, Enum, Table

from schema.rls.policy import Part, Policy, quoted
from schema.tenancy import is_tenant_table, own_parts


def declared_parts(tables: Iterable[Table]) -> dict[str, tuple[Part, ...]]:
    """Return what each tenant table declares beside the parts that all have, by the table's name."""
    return {table.name: own_parts(table) for table in tables if is_tenant_table(table)}


def definitions(tables: Sequence[Table], dialect: Dialect) -> dict[str, tuple[str, ...]]:
    """Return what makes the columns of those tables whose isolation names columns of its own.

    A table that such a policy mentions is among them: it may be new. Types, defaults and keys do not matter to an
    expression, but for the types themselves.
    """
    own = {table: own_parts(table) for table in tables if own_parts(table)}
    expressions = " ".join(_expressions(part for parts in own.values() for part in parts))
    words = set(re.findall(r"\w+", expressions))
    return {table.name: _definition(table, dialect) for table in tables if table in own or table.name in words}


def _expressions(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Policy):
            yield from (part.using or "", part.check or "")


def _definition(table: Table, dialect: Dialect) -> tuple[str, ...]:
    columns = [f"{quoted(column.name)} {column.type.compile(dialect)}" for column in table.columns]
    # A partitioned table has no storage of its own, and is made in a quarter of the time.
    partitioned = " PARTITION BY LIST (tenant_id)" if is_tenant_table(table) else ""
    return (*_types(table, dialect), f"CREATE TABLE {quoted(table.name)} ({', '.join(columns)}){partitioned}")


def _types(table: Table, dialect: Dialect) -> Iterator[str]:
    for column in table.columns:
        if isinstance(column.type, Enum) and column.type.native_enum:
            labels = ", ".join("'" + label.replace("'", "''") + "'" for label in column.type.enums)
            yield f"CREATE TYPE {column.type.compile(dialect)} AS ENUM ({labels})"
