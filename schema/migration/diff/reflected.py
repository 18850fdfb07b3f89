"""What Alembic has reflected of things that are dropped, in the words by which a downgrade makes them as they were."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from alembic.operations.ops import (
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)
from sqlalchemy import CheckConstraint, Computed, Index, Table, TextClause, text
from sqlalchemy import Column as ReflectedColumn
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import DefaultClause
from sqlalchemy.sql.schema import Constraint as ReflectedConstraint
from sqlalchemy.types import ARRAY, TypeEngine

from infra.config.sql_text import quote
from schema.migration.diff.objects import Constraint, Contents
from schema.migration.diff.objects import Index as OwnIndex
from schema.migration.diff.rls.operations import escape
from schema.migration.diff.spelling import reproducible
from schema.migration.helpers.sql_type import SqlType

_ARGUMENTS = re.compile(r"\(.*?\)|\[\]")
_CHECK = re.compile(r"CHECK (\(.*\))(?: NO INHERIT)?", re.DOTALL)


def know_types(dialect: PGDialect, actual: Contents) -> None:
    """Let a dialect reflect the types of these columns that SQLAlchemy has no class for, and else warns of."""
    names = {_ARGUMENTS.sub("", column.type) for column in actual.columns.values()}
    own = {written for name in (*actual.enums, *actual.domains) for written in (name, quote(name))}
    unknown = {name: _of(name) for name in names.difference(dialect.ischema_names, own)}
    vars(dialect)["ischema_names"] = {**dialect.ischema_names, **unknown}


def _of(name: str) -> Callable[..., SqlType]:
    return lambda *_, **__: SqlType(name)


def in_own_words(operations: Iterable[MigrateOperation], actual: Contents) -> Iterator[MigrateOperation]:
    """Yield the operations, those that drop something with the words that the catalogue has of it."""
    for operation in operations:
        match operation:
            case ModifyTableOps():
                operation.ops[:] = list(in_own_words(operation.ops, actual))
                yield operation
            case DropTableOp():
                yield DropTableOp.from_table(_table(operation.to_table(), actual))
            case DropColumnOp():
                column = _column(operation.to_column(), operation.table_name, actual)
                yield DropColumnOp.from_column_and_tablename(operation.schema, operation.table_name, column)
            case DropConstraintOp(constraint_type="check"):
                yield DropConstraintOp.from_constraint(_check(operation.to_constraint(), actual))
            case DropIndexOp():
                yield DropIndexOp.from_index(_index(operation.to_index(), actual))
            case _:
                yield operation


def _table(table: Table, actual: Contents) -> Table:
    for column in table.columns:
        _column(column, table.name, actual)
    for constraint in table.constraints:
        _check(constraint, actual)
    for index in table.indexes:
        _index(index, actual)
    return table


def _column(column: "ReflectedColumn[object]", table: str, actual: Contents) -> "ReflectedColumn[object]":
    found = actual.columns[table, column.name]
    column.nullable = found.nullable  # where its domain is not
    if isinstance(_innermost(column.type), SqlType):
        column.type = SqlType(found.type)
    if isinstance(column.server_default, Computed) and found.generated:
        column.server_default.sqltext = _text(found.generated)
    elif isinstance(column.server_default, DefaultClause) and not found.serial:
        # The default of its domain is none of its own.
        column.server_default = DefaultClause(_text(found.default)) if found.default else None
    return column


def _innermost(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.item_type if isinstance(kind, ARRAY) else kind


def _check(constraint: ReflectedConstraint, actual: Contents) -> ReflectedConstraint:
    found = actual.objects.get(("constraint", constraint.table.name, str(constraint.name)))
    said = _CHECK.fullmatch(found.definition) if isinstance(found, Constraint) else None
    if isinstance(constraint, CheckConstraint) and said:
        constraint.sqltext = _text(said[1])
    return constraint


def _index(index: Index, actual: Contents) -> Index:
    found = actual.objects.get(("index", str(index.table.name), str(index.name)))  # type: ignore[union-attr]  # it has one
    if isinstance(found, OwnIndex) and found.expressions:
        both = zip(index.expressions, found.expressions, strict=False)
        spelled: list[Any] = [_text(said) if said and _is_text(one) else one for one, said in both]
        index.expressions = spelled
    options = index.dialect_options["postgresql"]
    if options["where"] is not None:
        options["where"] = _text(str(options["where"]))
    return index


def _is_text(expression: object) -> bool:
    """Return whether an expression of an index is its text alone, as it is or in an element of Alembic's own."""
    return isinstance(expression, TextClause) or isinstance(getattr(expression, "text", None), TextClause)


def _text(expression: str) -> TextClause:
    return text(escape(reproducible(expression)))
