"""What the models declare of isolation, table by table."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Dialect, Enum, Table
from sqlalchemy.dialects.postgresql import CreateDomainType, CreateEnumType

from infra.config.sql_text import quote
from schema.tenancy.mixin import is_tenant_table, own_parts, rights_of
from schema.tenancy.named_types import named_types
from schema.tenancy.policies import Grant, Part, Policy


def declared_parts(tables: Iterable[Table]) -> dict[str, tuple[Part, ...]]:
    """Return what each tenant table declares beside the parts that all have, by the table's name."""
    return {table.name: own_parts(table) for table in tables if is_tenant_table(table)}


def with_rights(written: Mapping[str, Iterable[Part]], tables: Iterable[Table]) -> dict[str, tuple[Part, ...]]:
    """Return the parts of each tenant table with the application's rights as the table's model declares them."""
    rights = {table.name: rights_of(table) for table in tables if is_tenant_table(table)}
    return {
        table: (*(part for part in parts if not isinstance(part, Grant)), *rights[table])
        for table, parts in written.items()
    }


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
    columns = [f"{quote(column.name)} {column.type.compile(dialect)}" for column in table.columns]
    # A partitioned table has no storage of its own, and is made in a quarter of the time.
    partitioned = " PARTITION BY LIST (tenant_id)" if is_tenant_table(table) else ""
    return (*_types(table, dialect), f"CREATE TABLE {quote(table.name)} ({', '.join(columns)}){partitioned}")


def _types(table: Table, dialect: Dialect) -> Iterator[str]:
    for column in table.columns:
        for kind in named_types(column.type):
            made = CreateEnumType(kind) if isinstance(kind, Enum) else CreateDomainType(kind)
            yield str(made.compile(dialect=dialect))
