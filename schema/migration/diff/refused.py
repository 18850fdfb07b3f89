"""The parts of models that the server refuses: each is tried by itself once the whole of them has failed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import CheckConstraint, Column, Connection, Enum, MetaData, Table
from sqlalchemy.dialects.postgresql import CreateDomainType, CreateEnumType, ExcludeConstraint
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler

from infra.config.sql_text import quote
from schema.errors import MigrationError
from schema.migration.diff.declared import ddl_compiler, sequence_statements, stored, view_statements, written_name
from schema.migration.diff.declared_checks import leave_out_others
from schema.migration.diff.rls.catalog import run_each, run_script, throw_away_schema
from schema.migration.files import reason_of, shortened, sqlstate_of
from schema.migration.model_source import place_of
from schema.tenancy.functions import FUNCTIONS
from schema.tenancy.mixin import own_parts
from schema.tenancy.named_types import named_types

_TRIAL = "groundwork_trial"


@dataclass(frozen=True)
class _Part:
    """What a table declares: its name in a message, its SQL, and the statements that try it."""

    table: Table
    name: str
    said: str
    statements: tuple[str, ...]


def refused_parts(connection: Connection, metadata: MetaData) -> MigrationError | None:
    """Return the parts of the declared tables that the server refuses, each with the place where it is declared.

    None where the server takes each of them by itself. All is tried in a schema of its own that is taken back.
    """
    compiler = ddl_compiler(connection)
    every = list(metadata.tables.values())
    leave_out_others(every, compiler)
    tables = [table for table in every if not table.is_view]
    with throw_away_schema(connection):
        run_script(connection, [function.create for function in FUNCTIONS])
        run_each(
            connection,
            [
                (sequence_statement, [sequence_statement])
                for sequence_statement in sequence_statements(metadata, compiler.dialect)
            ],
        )
        # What needs a part that is refused is refused as well, and is not named.
        for stage in (_types, _columns, _expressions, _views):
            parts = list(stage(every if stage is _views else tables, compiler))
            refused = run_each(connection, [(number, part.statements) for number, part in enumerate(parts)])
            if refused:
                said = " ".join(_message(parts[number], error) for number, error in refused.items())
                return MigrationError(
                    f"{said} Correct the model and run the command again. Nothing was written.",
                    tables=tuple(dict.fromkeys(parts[number].table.name for number in refused)),
                    sqlstate=sqlstate_of(next(iter(refused.values()))),
                )
    return None


def _message(part: _Part, error: DBAPIError) -> str:
    place = place_of(part.table, part.said)
    where = f"{place}: " if place else ""
    what = f"{part.name} of {'view' if part.table.is_view else 'table'} {part.table.name}"
    return f"{where}{what} is refused: {reason_of(error)}. At: {shortened(part.said)}."


def _types(tables: Iterable[Table], compiler: DDLCompiler) -> Iterator[_Part]:
    known: set[str] = set()
    for table, column in _each_column(tables):
        for kind in named_types(column.type):
            if (name := str(kind.name)) not in known:
                known.add(name)
                make = CreateEnumType(kind) if isinstance(kind, Enum) else CreateDomainType(kind)
                made = str(make.compile(dialect=compiler.dialect))
                yield _Part(table, f"Type {name} of column {column.name}", made, (made,))


def _columns(tables: Sequence[Table], compiler: DDLCompiler) -> Iterator[_Part]:
    for table in tables:
        yield _Part(table, "The name", table.name, (f"CREATE TABLE {quote(table.name)} ()",))
    for table, column in _each_column(tables):
        said = f"{quote(column.name)} {column.type.compile(compiler.dialect)}"
        yield _Part(table, f"Column {column.name}", said, (f"{_alter(table)} ADD COLUMN {said}",))


def _expressions(tables: Sequence[Table], compiler: DDLCompiler) -> Iterator[_Part]:
    for table, column in _each_column(tables):
        yield from _values(table, column, compiler)
    for table in tables:
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint | ExcludeConstraint):
                said = compiler.process(constraint)
                name = f"Constraint {written_name(constraint, compiler)}"
                yield _Part(table, name, said, (f"{_alter(table)} ADD {said}",))
        for index in table.indexes:
            said = str(CreateIndex(index).compile(dialect=compiler.dialect))
            yield _Part(table, f"Index {written_name(index, compiler)}", said, (said,))
        for part in own_parts(table):
            made = part.create(table.name)
            yield _Part(table, part.key.capitalize(), made[0], made)
        if said := compiler.post_create_table(table).strip():
            trial = f"CREATE TABLE {_TRIAL} (LIKE {quote(table.name)}) {said}"
            yield _Part(table, "The storage", said, (trial, f"DROP TABLE {_TRIAL}"))


def _values(table: Table, column: Column[object], compiler: DDLCompiler) -> Iterator[_Part]:
    """Yield what a column's value comes from where none is given."""
    alter, name = f"{_alter(table)} ALTER COLUMN {quote(column.name)}", quote(column.name)
    if column.computed is not None:
        said = f"{name} {column.type.compile(compiler.dialect)} {compiler.process(stored(column.computed))}"
        again = f"{_alter(table)} DROP COLUMN {name}, ADD COLUMN {said}"
        yield _Part(table, f"Generated column {column.name}", said, (again,))
    elif column.identity is not None:
        said = compiler.process(column.identity)
        made = (f"{alter} SET NOT NULL", f"{alter} ADD {said}")
        yield _Part(table, f"Identity of column {column.name}", f"{name} {said}", made)
    elif (default := compiler.get_column_default_string(column)) is not None:
        said = f"{name} DEFAULT {default}"
        yield _Part(table, f"Default of column {column.name}", said, (f"{alter} SET DEFAULT {default}",))


def _views(tables: Iterable[Table], compiler: DDLCompiler) -> Iterator[_Part]:
    of_name = {table.name: table for table in tables}
    for name, made in view_statements(of_name.values(), compiler.dialect):
        yield _Part(of_name[name], "The query", made, (made,))


def _each_column(tables: Iterable[Table]) -> Iterator[tuple[Table, Column[object]]]:
    return ((table, column) for table in tables for column in table.columns)


def _alter(table: Table) -> str:
    return f"ALTER TABLE {quote(table.name)}"
