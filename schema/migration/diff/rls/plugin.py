"""What autogenerate adds for isolation: functions, and all that isolates tenant tables, compared on every run.

Importing this module registers it with Alembic (manual: Plugins) under `NAME`; a process can register it once.
"""

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
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

from schema.migration.diff.fixed_point import same_policies
from schema.migration.diff.rls.catalog import as_written, read_functions, read_partitions, read_tables, read_undeclared
from schema.migration.diff.rls.compare import Difference, State, differences
from schema.migration.diff.rls.declared import declared_parts, definitions, with_rights
from schema.migration.diff.rls.operations import AddTenantForeignKey, DropTenantForeignKey, LiteralSql, NewTable
from schema.migration.diff.spelling import reproducible
from schema.tenancy.functions import FUNCTIONS
from schema.tenancy.mixin import is_tenant_table, refuse_unsafe, rights_of
from schema.tenancy.policies import FORCED, Part, Policy, create_all, is_custom, isolation

NAME = "groundwork.rls"


def compare(context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Put what differs around Alembic's own operations.

    Functions come first. Dropped parts are removed before columns are, and new ones are made after them, so a policy
    never holds a column back; a downgrade is the mirror image.
    """
    tables = context.sorted_tables
    refuse_unsafe(tables)
    connection = cast(Connection, context.connection)
    declared, made_of = _read_declared(connection, tables), definitions(tables, connection.dialect)
    functions, written = as_written(connection, FUNCTIONS, declared, made_of)
    written = with_rights(written, tables)
    actual = read_tables(connection)
    made, gone = _names(upgrade_ops.ops, CreateTableOp), _names(upgrade_ops.ops, DropTableOp)
    found = [
        *(
            _spell(change)
            for change in _without_equivalent(connection, made_of, written, actual)
            if change.table not in made | gone
        ),
        *(Difference(table, None, part) for table in sorted(made & {*declared}) for part in declared[table]),
        *(_spell(Difference(table, part, None)) for table in sorted(gone) for part in _own(actual[table])),
    ]
    forced = {*declared, *(table for table, parts in actual.items() if FORCED in parts)}
    upgrade_ops.ops[:] = [
        *_change_functions(read_functions(connection, FUNCTIONS), functions),
        *_remove(found),
        *_in_place(upgrade_ops.ops, context.table_key_to_table, actual, forced),
        *_add(found),
        *(
            LiteralSql((function.drop,), (function.create, *function.rights))
            for function in read_undeclared(connection, FUNCTIONS)
        ),
    ]
    return PriorityDispatchResult.CONTINUE


def _read_declared(connection: Connection, tables: Iterable[Table]) -> dict[str, tuple[Part, ...]]:
    """Return what each tenant table declares of its own; a model may stand for a partition, which is its parent's."""
    partitions = read_partitions(connection)
    return declared_parts(table for table in tables if table.name not in partitions)


def _without_equivalent(
    connection: Connection, made_of: Mapping[str, Sequence[str]], written: State, actual: State
) -> tuple[Difference, ...]:
    """Return the differences but for policies that differ in words alone."""
    found = differences(written, actual)
    pairs = [
        (change.table, change.former, change.wanted)
        for change in found
        if isinstance(change.former, Policy) and isinstance(change.wanted, Policy) and is_custom(change.wanted)
    ]
    same = same_policies(connection, chain.from_iterable(made_of.values()), pairs)
    return tuple(change for change in found if (change.table, getattr(change.wanted, "name", "")) not in same)


def _spell(difference: Difference) -> Difference:
    """Return a difference with policies that can be made of their texts again."""
    return replace(difference, former=_reproducible(difference.former), wanted=_reproducible(difference.wanted))


def _reproducible(part: Part | None) -> Part | None:
    if not isinstance(part, Policy):
        return part
    using, check = (text if text is None else reproducible(text) for text in (part.using, part.check))
    return replace(part, using=using, check=check)


def _own(parts: Collection[Part]) -> list[Part]:
    """Return what may name other tables: it is made when all of them are there, and dropped before any of them is."""
    return [part for part in parts if is_custom(part)]


def _names(operations: Iterable[MigrateOperation], kind: type[CreateTableOp] | type[DropTableOp]) -> set[str]:
    return {operation.table_name for operation in operations if isinstance(operation, kind)}


def _change_functions(actual: dict[str, str | None], written: dict[str, str | None]) -> Iterator[LiteralSql]:
    for function in FUNCTIONS:
        before = actual[function.signature]
        if before is None:
            yield LiteralSql((function.create, *function.rights), (function.drop,))
        elif before != written[function.signature]:
            yield LiteralSql((function.create,), (before.rstrip(),))


def _remove(found: Sequence[Difference]) -> Iterator[LiteralSql]:
    # The application loses its rights before the policies are dropped.
    for change in sorted(found, key=lambda change: -change.rank):
        if change.former:
            yield LiteralSql(change.former.drop(change.table), change.former.create(change.table))


def _add(found: Sequence[Difference]) -> Iterator[LiteralSql]:
    for change in sorted(found, key=lambda change: change.rank):
        if change.wanted:
            yield LiteralSql(change.wanted.create(change.table), change.wanted.drop(change.table))


def _in_place(
    operations: Iterable[MigrateOperation], tables: dict[str, Table], actual: State, forced: Collection[str]
) -> Iterator[MigrateOperation]:
    """Give tables that are made or dropped their isolation, and added foreign keys what they need.

    Tables that reference each other get their foreign keys when all of them are there.
    """
    every = list(operations)
    later = _keys_to_make_later([op for op in every if isinstance(op, CreateTableOp)], tables)
    for operation in every:
        if isinstance(operation, DropTableOp):
            # Dropping a table drops what isolates it; the downgrade makes both again.
            yield LiteralSql((), _standard(actual.get(operation.table_name, ()), operation.table_name))
        if isinstance(operation, ModifyTableOps):
            operation.ops[:] = [_with_force_lifted(part, forced) for part in operation.ops]
        if not isinstance(operation, CreateTableOp):
            yield operation
            continue
        table = tables[operation.table_name]
        yield NewTable.of(operation, table, later)
        if is_tenant_table(table):
            yield LiteralSql(create_all(isolation(rights_of(table)), table.name), ())
    for key in later:
        create = CreateForeignKeyOp.from_constraint(key)
        create.kw.pop("use_alter", None)
        yield ModifyTableOps(key.table.name, [_with_force_lifted(create, forced)])


def _keys_to_make_later(operations: Sequence[CreateTableOp], tables: dict[str, Table]) -> list[ForeignKeyConstraint]:
    """Return the foreign keys that lead to a table which is made after their own, or that are to be altered in."""
    behind = dict.fromkeys(tables[op.table_name] for op in operations)
    later: list[ForeignKeyConstraint] = []
    for operation in operations:
        del behind[tables[operation.table_name]]
        keys = [column for column in operation.columns if isinstance(column, ForeignKeyConstraint)]
        keys.sort(key=lambda key: str(key.name))
        later += [key for key in keys if key.use_alter or key.referred_table in behind]
    return later


def _standard(parts: Collection[Part], table: str) -> tuple[str, ...]:
    return create_all([part for part in parts if not is_custom(part)], table)


def _with_force_lifted(operation: MigrateOperation, forced: Collection[str]) -> MigrateOperation:
    create = operation.reverse() if isinstance(operation, DropConstraintOp) else operation
    if not isinstance(create, CreateForeignKeyOp):
        return operation
    ends = sorted({create.source_table, create.referent_table}.intersection(forced))
    if not ends:
        return operation
    return (AddTenantForeignKey if create is operation else DropTenantForeignKey)(create, ends)


def setup(plugin: Plugin) -> None:
    """Register the comparison after Alembic's own (called by Alembic)."""
    plugin.add_autogenerate_comparator(compare, "autogenerate", priority=DispatchPriority.LAST)


Plugin.setup_plugin_from_module(sys.modules[__name__], NAME)
