"""What autogenerate adds for isolation: the functions that policies call, and the policies of new tenant tables.

Importing this module registers it with Alembic (manual: Plugins) under `NAME`; a process can register it once.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp, MigrateOperation, UpgradeOps
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Connection, Table, text
from sqlalchemy.sql.compiler import BIND_PARAMS, BIND_PARAMS_ESC

from schema.functions import FUNCTIONS, Function
from schema.rls.policy import isolate
from schema.tenancy import is_tenant_table

NAME = "groundwork.rls"


class LiteralSql(MigrateOperation):
    """Statements that a migration carries as they are, and those that undo them."""

    def __init__(self, upgrade: Sequence[str], downgrade: Sequence[str]) -> None:
        self.upgrade = tuple(upgrade)
        self.downgrade = tuple(downgrade)

    def reverse(self) -> "LiteralSql":
        """Return the operation that undoes this one."""
        return LiteralSql(self.downgrade, self.upgrade)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the statements as `alembic check` shows them."""
        return ("execute", *self.upgrade)


@renderers.dispatch_for(LiteralSql)
def render(_context: AutogenContext, operation: LiteralSql) -> list[str]:
    """Render one `op.execute` a statement, each line of it a string: the migration's indentation stays out of it."""
    return [f"op.execute({''.join(_literals(statement))})" for statement in operation.upgrade]


def _literals(statement: str) -> Iterator[str]:
    for line in _escaped(statement).splitlines(keepends=True):
        yield f"{line!r}\n"


def _escaped(statement: str) -> str:
    """Write the statement so that SQLAlchemy's text(), through which it goes, leaves every colon alone."""
    return BIND_PARAMS.sub(r"\\:\1", BIND_PARAMS_ESC.sub(r"\\\\\1", statement))


def compare(context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Put changed functions before everything else, and each new tenant table's isolation behind its creation."""
    functions = list(_changed_functions(cast(Connection, context.connection)))
    upgrade_ops.ops[:] = [*functions, *_isolated(upgrade_ops.ops, context)]
    return PriorityDispatchResult.CONTINUE


def _isolated(operations: Sequence[MigrateOperation], context: AutogenContext) -> Iterator[MigrateOperation]:
    for operation in operations:
        yield operation
        if isinstance(operation, CreateTableOp):
            operation.info = {}  # notes of the models, which mean nothing in a migration
            if is_tenant_table(_model_table(operation, context)):
                # Dropping the table drops what isolates it.
                yield LiteralSql(isolate(operation.table_name), ())


def _model_table(operation: CreateTableOp, context: AutogenContext) -> Table:
    key = f"{operation.schema}.{operation.table_name}" if operation.schema else operation.table_name
    return context.table_key_to_table[key]


def _changed_functions(connection: Connection) -> Iterator[LiteralSql]:
    for function in FUNCTIONS:
        before = _definition(connection, function)
        if before is None:
            yield LiteralSql((function.create,), (function.drop,))
        elif before != _definition_as_declared(connection, function):
            yield LiteralSql((function.create,), (before.rstrip(),))


def _definition(connection: Connection, function: Function) -> str | None:
    question = text("SELECT pg_get_functiondef(to_regprocedure(:signature))")
    return cast(str | None, connection.scalar(question, {"signature": function.signature}))


def _definition_as_declared(connection: Connection, function: Function) -> str | None:
    """Let the server write the declared function down its own way, and take it back."""
    with connection.begin_nested() as savepoint:
        connection.execute(text(_escaped(function.create)))
        declared = _definition(connection, function)
        savepoint.rollback()
    return declared


def setup(plugin: Plugin) -> None:
    """Register the comparison behind Alembic's own (called by Alembic)."""
    plugin.add_autogenerate_comparator(compare, "autogenerate", priority=DispatchPriority.LAST)


Plugin.setup_plugin_from_module(sys.modules[__name__], NAME)
