"""What the models declare, as PostgreSQL writes it down.

Declared expressions are made for a moment in a schema of their own, in a savepoint that is rolled back, and read from
the catalogue by the questions that read what is there: the two are equal where they mean the same. Most columns differ
only in type and default, so each such pair is made once; a table is made where an expression names its columns.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from sqlalchemy import (
    CheckConstraint,
    ClauseElement,
    Computed,
    Connection,
    Dialect,
    Enum,
    ForeignKeyConstraint,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy import Column as DeclaredColumn
from sqlalchemy import Constraint as DeclaredConstraint
from sqlalchemy import Index as DeclaredIndex
from sqlalchemy.dialects.postgresql import DOMAIN, CreateDomainType
from sqlalchemy.schema import CreateIndex, CreateSequence, ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from infra.config.sql_text import quote
from schema.migration.diff.catalog import read_contents
from schema.migration.diff.column_changes import create_enum
from schema.migration.diff.declared_checks import leave_out_others, refuse_unnamed
from schema.migration.diff.fixed_point import fixed_points, fixed_points_there, in_words_of, open_questions
from schema.migration.diff.objects import Column, Constraint, Contents, Index, Key, Object, View, application_rights
from schema.migration.diff.objects import Sequence as SequenceObject
from schema.migration.diff.rls.catalog import PROBE, run_script, throw_away_schema
from schema.migration.diff.storage import Storage
from schema.migration.diff.unsupported import refuse_materialized
from schema.tenancy.functions import FUNCTIONS
from schema.tenancy.mixin import is_tenant_table
from schema.tenancy.named_types import named_types

_PAIRS = "groundwork_columns_{}"
_STORED = "groundwork_stored_{}"
_NAME = 64  # a name's bytes with its end (PostgreSQL manual, 4.1.1)
_WIDTH = 500  # of the 1600 columns that a table may have (PostgreSQL manual, appendix K)
_PLAIN_KEYWORDS = {"postgresql_concurrently", "postgresql_nulls_not_distinct"}

Pair = tuple[str, str]
"""A column's type, and what its value comes from where none is given, as SQLAlchemy compiles them."""


def _types_of(tables: Iterable[Table]) -> Iterator[Enum | DOMAIN]:
    for table in tables:
        for column in () if table.is_view else table.columns:
            yield from named_types(column.type)


def declared_enums(tables: Iterable[Table]) -> dict[str, tuple[str, ...]]:
    """Return the labels of each native enum type that a table's column has, by the type's name."""
    return {str(found.name): tuple(found.enums) for found in _types_of(tables) if isinstance(found, Enum)}


def as_written(connection: Connection, metadata: MetaData, actual: Contents, compiler: DDLCompiler) -> Contents:
    """Return what the models declare in schema public, in the words of the catalogue; `actual` is what is there.

    What differs in words alone is in those of what is there.
    """
    leave_out_others(metadata.tables.values(), compiler)
    refuse_unnamed(metadata.tables.values(), compiler)
    declared = _Declared.of(metadata, compiler, actual.partitions)
    with throw_away_schema(connection):
        run_script(connection, list(declared.script(actual)))
        refuse_materialized(connection, {table.name for table in declared.tables if is_tenant_table(table)})
        wanted = declared.contents(read_contents(connection, PROBE))
        questions = open_questions(actual, wanted)
        if not questions:
            return wanted
        ours = fixed_points(connection, [other for _, other in questions.values()])
    theirs = fixed_points_there(connection, actual, [obj for obj, _ in questions.values() if obj.key in ours])
    return in_words_of(wanted, [questions[key][0] for key in theirs if theirs[key] == ours[key]])


@dataclass(frozen=True)
class _Declared:
    """The declared tables, views, sequences and enum types, and how they are written in DDL."""

    metadata: MetaData
    compiler: DDLCompiler
    tables: Sequence[Table]
    views: Mapping[str, str]
    pairs: Mapping[Pair, tuple[str, str]]
    """Where each pair is made: table and column."""
    pair_of: Mapping[tuple[str, str], Pair]
    """The pair of each declared column."""
    enums: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, metadata: MetaData, compiler: DDLCompiler, partitions: Collection[str] = ()) -> "_Declared":
        """Return what is declared but for tables that are partitions of others, which are not compared."""
        every = [table for table in metadata.tables.values() if table.schema is None and table.name not in partitions]
        tables = [table for table in every if not table.is_view]
        # Named after the first column that has it, whom the server then names where it refuses a default.
        pair_of = {(table.name, c.name): _pair(c, compiler) for table in tables for c in table.columns}
        pairs: dict[Pair, str] = {}
        for place, pair in pair_of.items():
            pairs.setdefault(pair, ".".join(place))
        places = {
            pair: (_PAIRS.format(n // _WIDTH), name if len(name.encode()) < _NAME else f"c{n}")
            for n, (pair, name) in enumerate(pairs.items())
        }
        views = dict(view_statements(every, compiler.dialect))
        return cls(metadata, compiler, tables, views, places, pair_of, declared_enums(tables))

    @cached_property
    def stored(self) -> dict[str, tuple[str, Storage]]:
        """How tables are stored that say so, and the tables of no columns that are made to read it."""
        said = {table.name: _storage(table) for table in self.tables}
        asked = ((name, storage) for name, storage in said.items() if storage != Storage())
        return {name: (_STORED.format(number), storage) for number, (name, storage) in enumerate(asked)}

    def script(self, actual: Contents) -> Iterator[str]:
        """Yield the statements that make all that is to be read."""
        yield from (function.create for function in FUNCTIONS)
        yield from sequence_statements(self.metadata, self.compiler.dialect)
        for name, labels in self.enums.items():
            yield create_enum(name, labels)
        domains = {str(domain.name): domain for domain in _types_of(self.tables) if isinstance(domain, DOMAIN)}
        yield from (str(CreateDomainType(domain).compile(dialect=self.compiler.dialect)) for domain in domains.values())
        yield from (f"CREATE TABLE {name} ()" for name in dict.fromkeys(name for name, _ in self.pairs.values()))
        for (kind, value), (name, column) in self.pairs.items():
            yield f"ALTER TABLE {name} ADD {quote(column)} {kind}{value}"
        yield from (storage.make(name) for name, storage in self.stored.values())
        views = "\n".join(self.views.values())
        # Where columns in their order say all of it, here and there, Alembic compares it.
        special = {
            key for key, found in actual.objects.items() if isinstance(found, Index | Constraint) and not found.plain
        }
        for table in self.tables:
            constraints = [
                constraint for constraint in table.constraints if self._is_to_be_made(constraint, table, special)
            ]
            indexes = [index for index in table.indexes if self._is_to_be_made(index, table, special)]
            parts = self._parts(table, constraints)
            if (
                table.name in views
                or indexes
                or not all(isinstance(constraint, CheckConstraint) for constraint in constraints)
            ):
                yield from self._whole(table, parts, indexes)
            elif constraints or any(column.computed is not None for column in table.columns):
                yield self._without_storage(table, parts)
        yield from self.views.values()

    def contents(self, made: Contents) -> Contents:
        """Return what is declared, of what was made."""
        tables = {table.name: table.comment or None for table in self.tables}
        storage = {table: made.storage[name] for table, (name, _) in self.stored.items()}
        return Contents(
            tables,
            dict(self.columns(made)),
            dict(_objects(made)),
            self.enums,
            domains=made.domains,
            storage=storage,
        )

    def columns(self, made: Contents) -> Iterator[tuple[tuple[str, str], Column]]:
        """Yield the declared columns, from the pairs and tables that were made."""
        for table in self.tables:
            for column in table.columns:
                generated = made.columns[table.name, column.name].generated if column.computed is not None else None
                pair = made.columns[self.pairs[self.pair_of[table.name, column.name]]]
                yield (
                    (table.name, column.name),
                    replace(
                        pair,
                        generated=generated,
                        nullable=bool(column.nullable) and not column.primary_key,
                        comment=column.comment,
                    ),
                )

    def _is_to_be_made(self, item: DeclaredConstraint | DeclaredIndex, table: Table, special: Collection[Key]) -> bool:
        if isinstance(item, PrimaryKeyConstraint | ForeignKeyConstraint):
            return False
        kind = "index" if isinstance(item, DeclaredIndex) else "constraint"
        return (kind, table.name, str(written_name(item, self.compiler))) in special or not _is_plain(item)

    def _whole(self, table: Table, parts: Iterable[str], indexes: Iterable[DeclaredIndex]) -> Iterator[str]:
        """Yield what makes a table with its key, which a view that groups by it depends on, and with these indexes."""
        key = self.compiler.process(table.primary_key)
        yield f"CREATE TABLE {quote(table.name)} ({', '.join([*parts, *filter(None, [key])])})"
        for index in sorted(indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=self.compiler.dialect))

    def _without_storage(self, table: Table, parts: Iterable[str]) -> str:
        """Return what makes a table that has no files, for it is partitioned: it takes a sixth of the time."""
        made = f"CREATE TABLE {quote(table.name)} ({', '.join(parts)})"
        plain = next((quote(column.name) for column in table.columns if column.computed is None), None)
        # A key may be of any type and none that is generated (PostgreSQL manual, CREATE TABLE: PARTITION BY).
        return made if plain is None else f"{made} PARTITION BY LIST (({plain} IS NULL))"

    def _parts(self, table: Table, constraints: Iterable[DeclaredConstraint]) -> list[str]:
        columns = [_column(column, self.compiler) for column in table.columns]
        return [*columns, *map(self.compiler.process, constraints)]


def written_name(item: DeclaredConstraint | DeclaredIndex, compiler: DDLCompiler) -> str | None:
    """Return the name that the server is given: a long one is cut, an unnamed one is left to the server."""
    name: str | None = compiler.preparer.format_constraint(item, _alembic_quote=False)  # as Alembic asks for it
    return name


def ddl_compiler(connection: Connection) -> DDLCompiler:
    """Return what writes DDL, and parts of it, as it is to stand in a file.

    A driver that marks parameters with % is given every other % twice, and takes only one of them where a statement has
    parameters, which none of these has.
    """
    dialect = type(connection.dialect)(paramstyle="named")  # type: ignore[call-arg]  # every dialect has a style (manual)
    dialect.initialize(connection)
    compiler: DDLCompiler = dialect.ddl_compiler(dialect, cast(ExecutableDDLElement, None))  # of parts, not a statement
    return compiler


def _pair(column: DeclaredColumn[Any], compiler: DDLCompiler) -> Pair:
    kind, default = column.type.compile(compiler.dialect), compiler.get_column_default_string(column)
    if column.identity is not None:
        return kind, f" {compiler.process(column.identity)}"
    return kind, "" if default is None else f" DEFAULT {default}"


def _column(column: DeclaredColumn[Any], compiler: DDLCompiler) -> str:
    generated = "" if column.computed is None else f" {compiler.process(stored(column.computed))}"
    return f"{quote(column.name)} {column.type.compile(compiler.dialect)}{generated}"


def stored(computed: Computed) -> Computed:
    """Return what computes a column, as a stored one: PostgreSQL 16 has no others, and SQLAlchemy warns of it."""
    return Computed(computed.sqltext, persisted=True) if computed.persisted is None else computed


def _storage(table: Table) -> Storage:
    options = table.dialect_options["postgresql"]["with"] or {}
    unlogged = "UNLOGGED" in (str(prefix).upper() for prefix in table._prefixes)  # noqa: SLF001 - as given, with no other name
    return Storage(unlogged, tuple(f"{name} = {value}" for name, value in options.items()))


def view_statements(tables: Iterable[Table], dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Yield the name of each view and the statement that makes it."""
    for table in tables:
        # SQLAlchemy says that a table is a view, and has no public name for the statement that makes it.
        made = table._creator_ddl  # noqa: SLF001 - see above
        if made is not None and table.is_view:
            yield table.name, str(made.compile(dialect=dialect))


def sequence_statements(metadata: MetaData, dialect: Dialect) -> Iterator[str]:
    """Yield the statements that make the declared sequences."""
    # The one place where SQLAlchemy keeps them.
    for sequence in metadata._sequences.values():  # noqa: SLF001 - see above
        yield str(CreateSequence(sequence).compile(dialect=dialect))


def _is_plain(item: DeclaredConstraint | DeclaredIndex) -> bool:
    """Return whether columns in their order say all of an index or a constraint."""
    # An expression that is set has no truth value of its own.
    given = {name for name, value in item.dialect_kwargs.items() if isinstance(value, ClauseElement) or value}
    if not given <= _PLAIN_KEYWORDS:
        return False
    if isinstance(item, DeclaredIndex):
        return all(isinstance(expression, DeclaredColumn) for expression in item.expressions)
    return isinstance(item, UniqueConstraint) and not (item.deferrable or item.initially)


def _objects(made: Contents) -> Iterator[tuple[Key, Object]]:
    """Yield the objects that were made but for keys; declared views and sequences are for the application to use."""
    for key, found in made.objects.items():
        if isinstance(found, Constraint) and found.kind == "p":
            continue
        if isinstance(found, View):
            invoker = "security_invoker=true" in found.options
            yield key, replace(found, grants=application_rights("view", visible=invoker and not found.materialized))
        elif isinstance(found, SequenceObject):
            yield key, replace(found, grants=application_rights("sequence"))
        else:
            yield key, found
