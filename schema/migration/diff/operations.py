"""Objects that are made or removed, as operations: Alembic's own where it has one that says all of it."""

import re

from alembic.operations.ops import CreateCheckConstraintOp, DropConstraintOp, MigrateOperation, ModifyTableOps
from sqlalchemy import CheckConstraint, MetaData, Table, text
from sqlalchemy.sql.elements import conv

from schema.migration.diff.column_changes import Statements
from schema.migration.diff.objects import Constraint, Generated, Object
from schema.migration.diff.rls.operations import LiteralSql, escape
from schema.migration.diff.spelling import reproducible

# One that is not inherited has no word in Alembic (manual: `create_check_constraint`).
_CHECK = re.compile(r"CHECK \((.*)\)", re.DOTALL)


def create_operation(obj: Object) -> MigrateOperation:
    """Return what makes an object."""
    if (check := _check(obj)) is not None:
        return ModifyTableOps(check.table.name, [CreateCheckConstraintOp.from_constraint(check)])
    return LiteralSql(obj.create(), obj.drop())


def drop_operation(obj: Object) -> MigrateOperation:
    """Return what removes an object, and makes it again where it is undone."""
    if (check := _check(obj)) is not None:
        return ModifyTableOps(check.table.name, [DropConstraintOp.from_constraint(check)])
    if not isinstance(obj, Generated):
        return LiteralSql(obj.drop(), obj.create())
    note = f"{obj.table}.{obj.name} makes way for a change of what it is generated from, and is computed again."
    return LiteralSql(obj.drop(), obj.create(), note=note)


def statements_operation(statements: Statements) -> LiteralSql:
    """Return what runs statements that are written out."""
    said = {"note": statements.note, "drops": statements.drops, "narrows": statements.narrows}
    return LiteralSql(statements.upgrade, statements.downgrade, **said)


def _check(obj: Object) -> CheckConstraint | None:
    said = _CHECK.fullmatch(obj.definition) if isinstance(obj, Constraint) and obj.kind == "c" else None
    if said is None:
        return None
    check = CheckConstraint(text(escape(reproducible(said[1]))), name=conv(obj.key[2]))
    Table(obj.key[1], MetaData(), check)
    return check
