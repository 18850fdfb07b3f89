"""Alembic operations for isolation; a migration carries them as literal statements."""

from collections.abc import Collection, Iterator, Sequence
from textwrap import wrap
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations.ops import CreateForeignKeyOp, CreateTableOp, DropTableOp, MigrateOperation
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, ForeignKeyConstraint, Table
from sqlalchemy.sql.compiler import BIND_PARAMS, BIND_PARAMS_ESC

from schema.tenancy.policies import FORCED

_COMMENT = 110
"""Longest comment in characters; with indentation and sign it fits a line."""


class LiteralSql(MigrateOperation):
    """Statements that a migration carries as they are, and those that undo them.

    `note` stands above them as a comment; `drops` names what of the data they take away, where they do, and `narrows`
    says of what they convert that it may be another value then.
    """

    def __init__(
        self,
        upgrade: Sequence[str],
        downgrade: Sequence[str],
        *,
        note: str = "",
        drops: str = "",
        narrows: str = "",
    ) -> None:
        self.upgrade = tuple(upgrade)
        self.downgrade = tuple(downgrade)
        self.note = note
        self.drops = drops
        self.narrows = narrows

    def reverse(self) -> "LiteralSql":
        """Return the operation that undoes this one."""
        return LiteralSql(self.downgrade, self.upgrade)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the statements as `alembic check` shows them."""
        return ("execute", *self.upgrade)


class CommittedSql(LiteralSql):
    """Statements that are committed one by one, before all else of their migration: what follows needs them so."""


class NewTable(CreateTableOp):
    """A table that is made. Its way back needs its name alone; Alembic builds the whole table again for that.

    What the model notes in `info` means nothing in a migration.
    """

    @classmethod
    def of(cls, operation: CreateTableOp, table: Table, later: Collection[ForeignKeyConstraint] = ()) -> CreateTableOp:
        """Return what makes a table of the models as an operation does, but for foreign keys that come later."""
        made = cls.from_table(table)
        made.info = {}
        made.columns = [
            column for column in operation.columns if not (isinstance(column, ForeignKeyConstraint) and column in later)
        ]
        return made

    def to_table(self, migration_context: MigrationContext | None = None) -> Table:
        """Return the table with the types of the models: SQLAlchemy's copy of an Enum has no variants."""
        table = super().to_table(migration_context)
        for column in self.columns:
            if isinstance(column, Column):
                table.columns[column.key].type = column.type
        return table

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
    for line in escape(statement).splitlines(keepends=True):
        yield f"{plain_literal(line)}\n"


def plain_literal(line: str) -> str:
    """Return the string literal of a line, without escapes but that of its end, where there is such a one."""
    body, end = (line[:-1], "\\n") if line.endswith("\n") else (line, "")
    raw = "r" if "\\" in body else ""
    if not body.isprintable() or (raw and end) or body.endswith("\\"):
        return repr(line)
    for quote in ('"', "'", '"""', "'''"):
        if quote not in body and (len(quote) == 1 or end or not body.endswith(quote[0])):
            return f"{raw}{quote}{body}{end}{quote}"
    return repr(line)


def escape(statement: str) -> str:
    """Return SQL written so that SQLAlchemy's text(), through which it goes, leaves every colon alone."""
    return BIND_PARAMS.sub(r"\\:\1", BIND_PARAMS_ESC.sub(r"\\\\\1", statement))
