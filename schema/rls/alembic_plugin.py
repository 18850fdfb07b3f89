"""What autogenerate adds for isolation: functions, and all that isolates tenant tables, compared on every run.

Importing this module registers it with Alembic (manual: Plugins) under `NAME`; a process can register it once.
"""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import cast

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    CreateForeignKeyOp,
    CreateTableOp,
    DropConstraintOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
    UpgradeOps,
)
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Connection, ForeignKeyConstraint, Table

from schema.functions import FUNCTIONS
from schema.rls.catalog import as_written, read_functions, read_tables, read_undeclared
from schema.rls.compare import Difference, State, differences
from schema.rls.declared import declared_parts, definitions
from schema.rls.ops import AddTenantForeignKey, DropTenantForeignKey, LiteralSql, NewTable
from schema.rls.policy import FORCED, Part, create_all, is_own, isolation
from schema.tenancy import is_tenant_table, refuse_unsafe

NAME = "groundwork.rls"


def compare(context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Put what differs around Alembic's own operations.

    Functions come first. What goes is removed before columns are, and what comes is made behind them, so a policy
    never holds a column back; a downgrade is the mirror image.
    """
    tables = context.sorted_tables
    refuse_unsafe(tables)
    connection = cast(Connection, context.connection)
    declared = declared_parts(tables)
    functions, written = as_written(connection, FUNCTIONS, declared, definitions(tables, connection.dialect))
    actual = read_tables(connection)
    made, gone = _names(upgrade_ops.ops, CreateTableOp), _names(upgrade_ops.ops, DropTableOp)
    found = [
        *(one for one in differences(written, actual) if one.table not in made | gone),
        *(Difference(table, None, part) for table in sorted(made & {*declared}) for part in declared[table]),
        *(Difference(table, part, None) for table in sorted(gone) for part in _own(actual[table])),
    ]
    forced = {*declared, *(table for table, parts in actual.items() if FORCED in parts)}
    upgrade_ops.ops[:] = [
        *_changed_functions(read_functions(connection, FUNCTIONS), functions),
        *_removed(found),
        *_in_place(upgrade_ops.ops, context.table_key_to_table, actual, forced),
        *_added(found),
        *(LiteralSql((one.drop,), (one.create, *one.rights)) for one in read_undeclared(connection, FUNCTIONS)),
    ]
    return PriorityDispatchResult.CONTINUE


def isolation_differences(connection: Connection, tables: Sequence[Table]) -> tuple[Difference, ...]:
    """Return how a database's isolation differs from what the models declare; nothing of it is changed or locked."""
    declared = declared_parts(tables)
    _, written = as_written(connection, FUNCTIONS, declared, definitions(tables, connection.dialect))
    return differences(written, read_tables(connection))


def _own(parts: Collection[Part]) -> list[Part]:
    """Return what may name other tables: it is made when all of them are there, and goes before any of them does."""
    return [part for part in parts if is_own(part)]


def _names(operations: Iterable[MigrateOperation], kind: type[CreateTableOp] | type[DropTableOp]) -> set[str]:
    return {operation.table_name for operation in operations if isinstance(operation, kind)}


def _changed_functions(actual: dict[str, str | None], written: dict[str, str | None]) -> Iterator[LiteralSql]:
    for function in FUNCTIONS:
        before = actual[function.signature]
        if before is None:
            yield LiteralSql((function.create, *function.rights), (function.drop,))
        elif before != written[function.signature]:
            yield LiteralSql((function.create,), (before.rstrip(),))


def _removed(found: Sequence[Difference]) -> Iterator[LiteralSql]:
    # The application loses its rights before the policies go.
    for one in sorted(found, key=lambda one: -one.rank):
        if one.former:
            yield LiteralSql(one.former.drop(one.table), one.former.create(one.table))


def _added(found: Sequence[Difference]) -> Iterator[LiteralSql]:
    for one in sorted(found, key=lambda one: one.rank):
        if one.wanted:
            yield LiteralSql(one.wanted.create(one.table), one.wanted.drop(one.table))


def _in_place(
    operations: Iterable[MigrateOperation], tables: dict[str, Table], actual: State, forced: Collection[str]
) -> Iterator[MigrateOperation]:
    """Give tables that are made or dropped their isolation, and added foreign keys what they need.

    Tables that reference each other get their foreign keys when all of them are there.
    """
    every = list(operations)
    later = _made_later([tables[one.table_name] for one in every if isinstance(one, CreateTableOp)])
    for operation in every:
        if isinstance(operation, DropTableOp):
            # Dropping a table drops what isolates it; the downgrade makes both again.
            yield LiteralSql((), _standard(actual.get(operation.table_name, ()), operation.table_name))
        if isinstance(operation, ModifyTableOps):
            operation.ops[:] = [_with_force_lifted(one, forced) for one in operation.ops]
        if not isinstance(operation, CreateTableOp):
            yield operation
            continue
        table = tables[operation.table_name]
        yield NewTable.of(table, later)
        if is_tenant_table(table):
            yield LiteralSql(create_all(isolation(), table.name), ())
    for key in later:
        create = CreateForeignKeyOp.from_constraint(key)
        create.kw.pop("use_alter", None)
        yield ModifyTableOps(key.table.name, [_with_force_lifted(create, forced)])


def _made_later(tables: Sequence[Table]) -> list[ForeignKeyConstraint]:
    """Return the foreign keys that lead to a table which is made behind their own, or that are to be altered in."""
    behind = dict.fromkeys(tables)
    later: list[ForeignKeyConstraint] = []
    for table in tables:
        del behind[table]
        keys = sorted(table.foreign_key_constraints, key=lambda one: str(one.name))
        later += [key for key in keys if key.use_alter or key.referred_table in behind]
    return later


def _standard(parts: Collection[Part], table: str) -> tuple[str, ...]:
    return create_all([part for part in parts if not is_own(part)], table)


def _with_force_lifted(operation: MigrateOperation, forced: Collection[str]) -> MigrateOperation:
    create = operation.reverse() if isinstance(operation, DropConstraintOp) else operation
    if not isinstance(create, CreateForeignKeyOp):
        return operation
    ends = sorted({create.source_table, create.referent_table}.intersection(forced))
    if not ends:
        return operation
    return (AddTenantForeignKey if create is operation else DropTenantForeignKey)(create, ends)


def setup(plugin: Plugin) -> None:
    """Register the comparison behind Alembic's own (called by Alembic)."""
    plugin.add_autogenerate_comparator(compare, "autogenerate", priority=DispatchPriority.LAST)


Plugin.setup_plugin_from_module(sys.modules[__name__], NAME)
