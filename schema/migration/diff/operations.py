"""Objects that are made or removed, as operations: Alembic's own where it has one that says all of it."""

import re

from alembic.operations.ops import CreateCheckConstraintOp, DropConstraintOp, MigrateOperation, ModifyTableOps
from sqlalchemy import CheckConstraint, MetaData, Table, text
from sqlalchemy.sql.elements import conv

from schema.migration.diff.column_changes import Statements
from schema.migration.diff.objects import Constraint, Generated, Object
from schema.migration.diff.rls.operations import LiteralSql, escaped
from schema.migration.diff.spelling import reproducible

# One that is not inherited has no word in Alembic (manual: `create_check_constraint`).
_CHECK = re.compile(r"CHECK \((.*)\)", re.DOTALL)


def create_operation(one: Object) -> MigrateOperation:
    """Return what makes an object."""
    if (check := _check(one)) is not None:
        return ModifyTableOps(check.table.name, [CreateCheckConstraintOp.from_constraint(check)])
    return LiteralSql(one.create(), one.drop())


def drop_operation(one: Object) -> MigrateOperation:
    """Return what removes an object, and makes it again where it is undone."""
    if (check := _check(one)) is not None:
        return ModifyTableOps(check.table.name, [DropConstraintOp.from_constraint(check)])
    if not isinstance(one, Generated):
        return LiteralSql(one.drop(), one.create())
    note = f"{one.table}.{one.name} makes way for a change of what it is generated from, and is computed again."
    return LiteralSql(one.drop(), one.create(), note=note)


def statements_operation(statements: Statements) -> LiteralSql:
    """Return what runs statements that are written out."""
    said = {"note": statements.note, "drops": statements.drops, "narrows": statements.narrows}
    return LiteralSql(statements.upgrade, statements.downgrade, **said)


def _check(one: Object) -> CheckConstraint | None:
    said = _CHECK.fullmatch(one.definition) if isinstance(one, Constraint) and one.kind == "c" else None
    if said is None:
        return None
    check = CheckConstraint(text(escaped(reproducible(said[1]))), name=conv(one.key[2]))
    Table(one.key[1], MetaData(), check)
    return check
