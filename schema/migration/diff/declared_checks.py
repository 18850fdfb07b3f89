"""CHECKs as a file can say them: by the text that they have on PostgreSQL, and none that is not for PostgreSQL.

An Enum or a Boolean brings its CHECK along (`create_constraint`), which SQLAlchemy leaves out where the database has
such a type; the others have no name in a type that is written down. And a condition that names columns is no part of
any migration: it belongs to the models, and whatever is made of it is added to their tables.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from alembic.operations.ops import CreateCheckConstraintOp, CreateTableOp, MigrateOperation, ModifyTableOps
from sqlalchemy import (
    CheckConstraint,
    Constraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    TextClause,
    text,
)
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.schema import ColumnCollectionConstraint, SchemaItem
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.sql.elements import conv

from schema.errors import MigrationError
from schema.migration.diff.rls.operations import escape


def leave_out_others(tables: Iterable[Table], compiler: DDLCompiler) -> None:
    """Take out of the tables what SQLAlchemy makes on other databases alone, by the type of a column or by `ddl_if`.

    Whoever compares takes all that a table has for declared here, and asks for names that such a part may not have.
    """
    for table in tables:
        for parts in (table.constraints, table.indexes):
            parts.difference_update([part for part in parts if not _is_for_postgresql(part, compiler)])


def refuse_unnamed(tables: Iterable[Table], compiler: DDLCompiler) -> None:
    """Refuse a constraint or an index without a name: the server would give it one that nothing can be compared with.

    Raises:
        MigrationError: names it and its table, and what to write.
    """
    for table in tables:
        unnamed = [part for part in _parts(table) if _name(part, compiler) is None]
        for item in sorted(unnamed, key=lambda item: (type(item).__name__, _columns(item))):
            kind = type(item).__name__
            raise MigrationError(
                f"{'An' if kind[0] in 'EI' else 'A'} {kind} of table {table.name}{_columns(item)} has no name, so it "
                f"could neither be compared nor dropped. Give it one{_how(item, table)}, or give its kind one in the "
                "naming_convention of the MetaData. Nothing was written.",
                tables=(table.name,),
            )


def _parts(table: Table) -> Iterator[Constraint | Index]:
    """Yield the constraints and indexes of a table; a primary key of no columns is none."""
    yield from (
        constraint
        for constraint in table.constraints
        if not isinstance(constraint, PrimaryKeyConstraint) or constraint.columns
    )
    yield from table.indexes


def _columns(item: Constraint | Index) -> str:
    columns = item.columns if isinstance(item, ColumnCollectionConstraint | Index) else ()
    names = ", ".join(column.name for column in columns)
    return f" ({names})" if names else ""


def _name(item: Constraint | Index, compiler: DDLCompiler) -> str | None:
    """Return the name that the server is given; None where the server has to choose."""
    try:
        return None if item.name is None else compiler.preparer.format_constraint(item)
    except InvalidRequestError:  # by the naming convention its name is made of the one that it does not have
        return None


def _how(item: Constraint | Index, table: Table) -> str:
    """Return how a name is given: to the type of a column where that brings the constraint along."""
    if isinstance(item, CheckConstraint) and item._type_bound:  # noqa: SLF001 - see `_is_for_postgresql`
        return ', as the name of the column\'s type: Enum(…, name="…")'
    return f': {type(item).__name__}(…, name="{table.name}_…")'


def _is_for_postgresql(declared: Constraint | Index, compiler: DDLCompiler) -> bool:
    # SQLAlchemy asks the same where it creates a table, and has no public names for it.
    if isinstance(declared, CheckConstraint) and declared._type_bound:  # noqa: SLF001 - see above
        return bool(declared._should_create_for_compiler(compiler))  # noqa: SLF001 - see above
    condition = declared._ddl_if  # noqa: SLF001 - see above
    return condition is None or condition.dialect in {None, compiler.dialect.name}


def with_checks_said(operations: Iterable[MigrateOperation], compiler: DDLCompiler) -> Iterator[MigrateOperation]:
    """Yield the operations with their CHECKs as text."""
    for operation in operations:
        if isinstance(operation, CreateTableOp):
            operation.columns = [_describe(column, compiler) for column in operation.columns]
        elif isinstance(operation, ModifyTableOps):
            for part in operation.ops:
                if isinstance(part, CreateCheckConstraintOp):
                    part.condition = _text(part.condition, compiler)
        yield operation


def _describe(part: SchemaItem, compiler: DDLCompiler) -> SchemaItem:
    if not isinstance(part, CheckConstraint):
        return part
    name = compiler.preparer.format_constraint(part, _alembic_quote=False)  # as Alembic asks for it
    return CheckConstraint(_text(part.sqltext, compiler), name=None if name is None else conv(name), **part.kwargs)


def _text(condition: Any, compiler: DDLCompiler) -> TextClause:
    said = compiler.sql_compiler.process(condition, include_table=False, literal_binds=True)
    return text(escape(said))
