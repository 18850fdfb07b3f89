"""Alembic operations for isolation; a migration carries them as literal statements."""

from collections.abc import Collection, Iterator, Sequence
from textwrap import wrap
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations.ops import CreateForeignKeyOp, CreateTableOp, DropTableOp, MigrateOperation
from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.sql.compiler import BIND_PARAMS, BIND_PARAMS_ESC

from schema.rls.policy import FORCED

_COMMENT = 110
"""Longest comment in characters; with indentation and sign it fits a line."""


class LiteralSql(MigrateOperation):
    """Statements that a migration carries as they are, and those that undo them.

    `note` stands above them as a comment; `drops` names what of the data they take away, where they do.
    """

    def __init__(self, upgrade: Sequence[str], downgrade: Sequence[str], *, note: str = "", drops: str = "") -> None:
        self.upgrade = tuple(upgrade)
        self.downgrade = tuple(downgrade)
        self.note = note
        self.drops = drops

    def reverse(self) -> "LiteralSql":
        """Return the operation that undoes this one."""
        return LiteralSql(self.downgrade, self.upgrade)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the statements as `alembic check` shows them."""
        return ("execute", *self.upgrade)


class CommittedSql(LiteralSql):
    """Statements that are committed one by one, before all else of their migration: what follows needs them so."""


class NewTable(CreateTableOp):
    """A table that is made. Its way back needs its name alone; Alembic builds the whole table anew for that.

    What the model notes in `info` means nothing in a migration.
    """

    @classmethod
    def of(cls, table: Table, later: Collection[ForeignKeyConstraint] = ()) -> CreateTableOp:
        """Return what makes a table of the models, without the foreign keys that are made later."""
        made = cls.from_table(table)
        made.info = {}
        made.columns = [one for one in made.columns if not (isinstance(one, ForeignKeyConstraint) and one in later)]
        return made

    def reverse(self) -> DropTableOp:
        """Return the operation that undoes this one."""
        return DropTableOp(self.table_name, schema=self.schema)


class AddTenantForeignKey(MigrateOperation):
    """A foreign key that is added to a table which may hold rows; `forced` are its ends that are tenant tables.

    FORCE hides every row from the owner, and a key is validated with what the owner sees: under FORCE a row of another
    tenant that refers to nothing would pass. So FORCE is lifted for that one statement and set again in the same
    transaction. Both tables are locked until it ends.
    """

    def __init__(self, create: CreateForeignKeyOp, forced: Sequence[str]) -> None:
        self.create = create
        self.forced = tuple(forced)

    def reverse(self) -> "DropTenantForeignKey":
        """Return the operation that undoes this one."""
        return DropTenantForeignKey(self.create, self.forced)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what Alembic's own operation says."""
        return self.create.to_diff_tuple()


class DropTenantForeignKey(MigrateOperation):
    """The removal of a foreign key, which is undone as `AddTenantForeignKey` adds one."""

    def __init__(self, create: CreateForeignKeyOp, forced: Sequence[str]) -> None:
        self.create = create
        self.forced = tuple(forced)

    def reverse(self) -> AddTenantForeignKey:
        """Return the operation that undoes this one."""
        return AddTenantForeignKey(self.create, self.forced)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what Alembic's own operation says."""
        return self.create.reverse().to_diff_tuple()


@renderers.dispatch_for(LiteralSql)
def render_sql(_context: AutogenContext, operation: LiteralSql) -> list[str]:
    """Render one `op.execute` a statement, each line of it a string: the migration's indentation stays out of it."""
    note = [f"# {line}" for line in wrap(operation.note, _COMMENT)] if operation.upgrade else []
    return [*note, *(_execute(statement) for statement in operation.upgrade)]


@renderers.dispatch_for(CommittedSql)
def render_committed(_context: AutogenContext, operation: CommittedSql) -> str:
    """Render the statements in an autocommit block."""
    block = "".join(f"\n        {_execute(statement)}" for statement in operation.upgrade)
    return f"with op.get_context().autocommit_block():{block}"


@renderers.dispatch_for(AddTenantForeignKey)
def render_added(context: AutogenContext, operation: AddTenantForeignKey) -> list[str]:
    """Render the key between the statements that lift FORCE and set it again."""
    return [
        *(_execute(statement) for table in operation.forced for statement in FORCED.drop(table)),
        *render_op(context, operation.create),
        *(_execute(statement) for table in operation.forced for statement in FORCED.create(table)),
    ]


@renderers.dispatch_for(DropTenantForeignKey)
def render_dropped(context: AutogenContext, operation: DropTenantForeignKey) -> list[str]:
    """Render Alembic's own operation."""
    return render_op(context, operation.create.reverse())


def _execute(statement: str) -> str:
    return f"op.execute({''.join(_literals(statement))})"


def _literals(statement: str) -> Iterator[str]:
    for line in _escaped(statement).splitlines(keepends=True):
        yield f"{line!r}\n"


def _escaped(statement: str) -> str:
    """Write the statement so that SQLAlchemy's text(), through which it goes, leaves every colon alone."""
    return BIND_PARAMS.sub(r"\\:\1", BIND_PARAMS_ESC.sub(r"\\\\\1", statement))
