"""A dropped column that could not be restored: NOT NULL, without a default, into a table that has rows by then.

What the rows held is gone either way. The downgrade fills the column with the type's empty value where that is all it
takes, and says above the statement what happens.
"""

from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations.ops import AddColumnOp, AlterColumnOp, DropColumnOp
from sqlalchemy import DefaultClause, text

from schema.migration.diff.objects import Column, Constraint, Contents, Index

# By the first word of the type, as format_type writes it (PostgreSQL manual, chapter 8).
_EMPTY = {
    **dict.fromkeys(("text", "character", "bytea", "citext", "xml", '"char"', "name"), "''"),
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric", "real", "double", "money"), "0"),
    **dict.fromkeys(("timestamp", "date"), "'epoch'"),
    **dict.fromkeys(("json", "jsonb"), "'{}'"),
    "boolean": "false",
    "interval": "'0'",
    "time": "'00:00'",
}


class DropRequiredColumn(DropColumnOp):
    """The removal of a NOT NULL column without a default; `empty` is what fills it when it comes back, if anything."""

    empty: str | None = None

    @classmethod
    def of(cls, drop: DropColumnOp, empty: str | None) -> "DropRequiredColumn":
        """Return the removal with what fills the column."""
        made = cls(drop.table_name, drop.column_name, schema=drop.schema, _reverse=drop._reverse)  # noqa: SLF001 - what Alembic's own copies of it pass on
        made.empty = empty
        return made

    def reverse(self) -> "AddRequiredColumn":
        """Return the operation that undoes this one."""
        return AddRequiredColumn.of(super().reverse(), self.empty)


class AddRequiredColumn(AddColumnOp):
    """A column that comes back as `DropRequiredColumn` says."""

    empty: str | None = None

    @classmethod
    def of(cls, add: AddColumnOp, empty: str | None) -> "AddRequiredColumn":
        """Return the addition with what fills the column."""
        made = cls(add.table_name, add.column, schema=add.schema)
        made.empty = empty
        return made


@renderers.dispatch_for(AddRequiredColumn)
def render(context: AutogenContext, operation: AddRequiredColumn) -> list[str]:
    """Render the column with a default that is dropped again, or a comment that says what a person has to do."""
    column = operation.column
    place = f"{operation.table_name}.{column.name}"
    add = AddColumnOp(operation.table_name, column, schema=operation.schema)
    if operation.empty is None:
        note = f"# {place} is NOT NULL: where there are rows, add it as nullable, fill it, then set NOT NULL."
        return [note, *render_op(context, add)]
    note = f"# What rows held in {place} is gone: those that are there get {operation.empty}."
    column.server_default = DefaultClause(text(operation.empty))
    plain = AlterColumnOp(operation.table_name, str(column.name), modify_server_default=None)
    return [note, *render_op(context, add), *render_op(context, plain)]


def as_it_comes_back(drop: DropColumnOp, actual: Contents) -> DropColumnOp:
    """Return the removal of a column so that it can be undone on a table with rows, as far as that is possible."""
    column = actual.columns.get((drop.table_name, drop.column_name))
    if column is None or column.nullable or column.default or column.generated or column.identity or column.serial:
        return drop
    named = _is_named(drop.table_name, drop.column_name, actual)
    return DropRequiredColumn.of(drop, None if named else empty_value(column, actual))


def empty_value(column: Column, actual: Contents) -> str | None:
    """Return the SQL of the empty value of a column's type; None where there is no obvious value."""
    if column.type.endswith("[]"):
        return "'{}'"
    return None if column.type in actual.enums else _EMPTY.get(column.type.split("(")[0].split(" ")[0])


def _is_named(table: str, column: str, actual: Contents) -> bool:
    """Return whether a key, a CHECK or a unique index of the table mentions the column, and may refuse the value."""
    objects: list[Any] = [*actual.of("constraint").values(), *actual.of("index").values()]
    return any(
        column in obj.definition
        for obj in objects
        if obj.table == table
        and (isinstance(obj, Constraint) or (isinstance(obj, Index) and "UNIQUE" in obj.definition))
    )
