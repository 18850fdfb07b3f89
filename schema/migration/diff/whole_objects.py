"""Sequences, types and how tables are stored: what of them is new, changed, or no longer declared."""

from collections.abc import Iterator
from dataclasses import replace

from infra.config.sql_text import quote
from schema.migration.diff.column_changes import create_enum
from schema.migration.diff.objects import Contents, Sequence
from schema.migration.diff.rls.operations import LiteralSql
from schema.migration.diff.storage import Storage


def create_new(actual: Contents, wanted: Contents) -> Iterator[LiteralSql]:
    """Yield what makes new sequences and types, and changes those that stay."""
    sequences = actual.of("sequence")
    for key, now in wanted.of("sequence").items():
        former = sequences.get(key)
        if former is None:
            yield LiteralSql(now.create(), now.drop())
        elif isinstance(former, Sequence) and isinstance(now, Sequence) and former != now:
            yield LiteralSql(now.alter(former), former.alter(now))
    for name, labels in wanted.enums.items():
        if name not in actual.enums:
            yield LiteralSql((create_enum(name, labels),), (f"DROP TYPE {quote(name)}",))
    for name, domain in wanted.domains.items():
        was = actual.domains.get(name)
        if was is None:
            yield LiteralSql(domain.create(), domain.drop())
        elif was != domain:
            yield LiteralSql(domain.alter(was), was.alter(domain))


def drop_undeclared(actual: Contents, wanted: Contents) -> Iterator[LiteralSql]:
    """Yield what removes types and sequences that nothing is of any more."""
    for name, domain in [*actual.domains.items()][::-1]:
        if name not in wanted.domains:
            yield LiteralSql(domain.drop(), domain.create())
    for name, labels in actual.enums.items():
        if name not in wanted.enums:
            yield LiteralSql((f"DROP TYPE {quote(name)}",), (create_enum(name, labels),))
    sequences = wanted.of("sequence")
    for key, former in actual.of("sequence").items():
        if key not in sequences:
            yield LiteralSql(former.drop(), former.create())


def change_storage(actual: Contents, wanted: Contents) -> Iterator[LiteralSql]:
    """Yield what changes how tables are stored; one that goes comes back as it was."""
    for table in actual.tables:
        former = actual.storage.get(table, Storage())
        # What else a table is stored with, Alembic writes.
        logged = replace(former, unlogged=False)
        if table not in wanted.tables:
            yield LiteralSql((), former.alter(table, logged))
        elif (now := wanted.storage.get(table, Storage())) != former:
            yield LiteralSql(now.alter(table, former), former.alter(table, now))
