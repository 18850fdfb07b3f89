"""Names that PostgreSQL would cut: it keeps the first 63 bytes of an identifier (manual, 4.1.1), with a notice alone.

What is declared under a longer name never is what the database has. SQLAlchemy counts characters, not bytes, and looks
at the names of constraints and indexes alone; those that a naming convention makes it shortens itself, which stands.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sqlalchemy import (
    Constraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Sequence,
    Table,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IdentifierError
from sqlalchemy.sql.elements import conv

from schema.errors import TenancyError
from schema.tenancy.named_types import named_types

LONGEST = 63
"""Bytes of an identifier that PostgreSQL keeps (NAMEDATALEN - 1)."""

_PREPARER = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's gap


def too_long(table: Table, parts: Iterable[tuple[str, str]] = ()) -> Iterator[str]:
    """Say which names of a table's declaration PostgreSQL would cut, and how long they are.

    `parts` are further names of the table's, each after its kind, such as ("policy", "own_rows").
    """
    named = (*_names(table), *parts)
    yield from (_offence(table.fullname, f"the {kind}", name) for kind, name in named if _is_too_long(name))


def refuse_too_long(tables: Iterable[Table], sequences: Iterable[Sequence] = ()) -> None:
    """Refuse tables, and sequences that belong to none, with names which PostgreSQL would cut, or cut to the same.

    Raises:
        TenancyError: names each table, what is called so, the name and its length.
    """
    every = list(tables)
    long = [(table.fullname, offence) for table in every for offence in too_long(table)]
    found = [*(offence for _, offence in long), *_the_same_when_cut(every)]
    found += [
        _offence("Sequences", "the sequence", sequence.name) for sequence in sequences if _is_too_long(sequence.name)
    ]
    if found:
        raise TenancyError(" ".join(found), tables=tuple(dict.fromkeys(table for table, _ in long)))


def _the_same_when_cut(tables: Iterable[Table]) -> Iterator[str]:
    """Say which keys would get one name, of those that may have a long one: in a schema, or foreign keys in a table."""
    named: dict[tuple[str | None, bytes], list[str]] = defaultdict(list)
    for table in tables:
        for key in (table.primary_key, *table.foreign_key_constraints):
            if (name := _format(key)) is not None and _is_too_long(name):
                scope = table.schema if key is table.primary_key else table.fullname
                named[scope, name.encode()[:LONGEST]].append(f"{name!r} of {table.fullname}")
    for keys in named.values():
        if len(keys) > 1:
            both = " and ".join(keys)
            yield f"PostgreSQL keeps {LONGEST} bytes of a name, and so one of {both}. Name them by `name=`."


def _is_too_long(name: str) -> bool:
    return len(name.encode()) > LONGEST


def _offence(where: str, kind: str, name: str) -> str:
    length = len(name.encode())
    return (
        f"{where}: {kind} {name!r} has a name of {length} bytes, of which PostgreSQL keeps {LONGEST}. Choose a shorter "
        "one."
    )


def _names(table: Table) -> Iterator[tuple[str, str]]:
    if table.schema is not None:
        yield "schema", table.schema
    yield "table", table.name
    for column in table.columns:
        yield "column", column.name
        yield from (("type", str(named_type.name)) for named_type in named_types(column.type) if named_type.name)
        if isinstance(column.default, Sequence):
            yield "sequence", column.default.name
    yield from (("constraint", name) for name in map(_server_name, table.constraints) if name)
    yield from (("index", name) for name in map(_server_name, table.indexes) if name)


def _server_name(item: Constraint | Index) -> str | None:
    """Return the name that the server is given; None where its length does not matter.

    The naming convention makes that of a primary or foreign key: those are compared by their columns, and the server
    cuts their name the same way whenever they are named.
    """
    if isinstance(item, PrimaryKeyConstraint | ForeignKeyConstraint) and isinstance(item.name, conv):
        return None
    return _format(item)


def _format(item: Constraint | Index) -> str | None:
    """Return a name as SQLAlchemy writes it, which shortens those that a convention makes; None where there is none."""
    if not isinstance(item.name, str) or not _is_too_long(item.name):
        return item.name if isinstance(item.name, str) else None
    try:
        # As Alembic asks for it: without quotes.
        name: str | None = _PREPARER.format_constraint(item, _alembic_quote=False)
    except IdentifierError:
        return item.name
    return name
