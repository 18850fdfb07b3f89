"""What autogenerate adds for tables: types, defaults, identities, enums, constraints, indexes, views, sequences.

Importing this module registers it with Alembic (manual: Plugins) under `NAME`; a process can register it once.
Functions, policies and triggers are compared by `schema.migration.diff.rls.plugin`, whose operations come around these.
"""

import sys
import warnings
from typing import Any, cast

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import MigrateOperation, UpgradeOps
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Connection, MetaData
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import SAWarning

from schema.migration.diff.compare import Comparison
from schema.migration.diff.partitions import read_partition_keys, refuse_repartitioned
from schema.migration.diff.primary_keys import read_primary_keys, refuse_changed
from schema.migration.diff.reflected import know_types
from schema.migration.diff.rendering import keep_colons
from schema.migration.diff.rls import plugin as isolation  # registered before this one, so that it is run before
from schema.migration.diff.rls.operations import CommittedSql, LiteralSql
from schema.migration.diff.snapshots import SchemaSnapshots
from schema.tenancy.identifiers import refuse_too_long

NAME = "groundwork.tables"
PLUGINS = ("alembic.autogenerate.*", "alembic.ext.checkconstraint_byname", NAME, isolation.NAME)
"""Every comparison that `generate` makes."""

SIDES = "groundwork_sides"
"""The option of Alembic's context that holds both sides of a comparison."""


def options() -> dict[str, Any]:
    """Return the options of Alembic's context for one comparison."""
    sides = SchemaSnapshots()
    return {
        "autogenerate_plugins": PLUGINS,
        "include_name": sides.include_name,
        "include_object": sides.include_object,
        SIDES: sides,
    }


def read(context: AutogenContext, _upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Read both sides, and refuse what is never written."""
    connection, metadata = cast(Connection, context.connection), cast(MetaData, context.metadata)
    # The one place where SQLAlchemy keeps the sequences that are declared.
    refuse_too_long(metadata.tables.values(), metadata._sequences.values())  # noqa: SLF001 - see above
    refuse_repartitioned(connection, read_partition_keys(connection), metadata.tables.values())
    refuse_changed(read_primary_keys(connection), metadata.tables.values())
    with warnings.catch_warnings():
        # Of tables that reference each other, none comes first: their foreign keys are made and dropped apart.
        warnings.filterwarnings("ignore", "Cannot correctly sort tables", SAWarning)
        _ = context.sorted_tables  # once for all
    sides = _sides(context)
    sides.read(connection, metadata)
    know_types(cast(PGDialect, connection.dialect), sides.actual)
    # What is written from now on is for a file, and not for the connection.
    impl = context.migration_context.impl
    impl.dialect = sides.compiler.dialect
    keep_colons(impl)
    return PriorityDispatchResult.CONTINUE


def compare(context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Put what differs around Alembic's own operations, and take over those that it cannot do fully."""
    sides = _sides(context)
    comparison = Comparison(cast(Connection, context.connection), sides.actual, sides.wanted, sides.compiler)
    upgrade_ops.ops[:] = comparison.merge_with(upgrade_ops.ops, context.table_key_to_table)
    return PriorityDispatchResult.CONTINUE


def _sides(context: AutogenContext) -> SchemaSnapshots:
    return cast(SchemaSnapshots, context.opts[SIDES])


def put_in_order(_context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Put first what is committed by itself, and let go once only what goes for two reasons, as a policy may."""
    seen: set[tuple[str, ...]] = set()
    undone: set[tuple[str, ...]] = set()
    ordered: list[MigrateOperation] = []
    for operation in sorted(upgrade_ops.ops, key=lambda op: not isinstance(op, CommittedSql)):
        if isinstance(operation, LiteralSql) and operation.upgrade:
            if operation.upgrade in seen:
                undone.add(operation.downgrade)
                continue
            if operation.upgrade in undone:
                continue
            seen.add(operation.upgrade)
        ordered.append(operation)
    upgrade_ops.ops[:] = ordered
    return PriorityDispatchResult.CONTINUE


def leave_to_compare(
    _context: AutogenContext,
    _alter: Any,
    schema: str | None,
    _table: str,
    _name: str,
    _was: Column[Any],
    _is: Column[Any],
) -> PriorityDispatchResult:
    """Keep Alembic from comparing what is compared here."""
    return PriorityDispatchResult.STOP if schema is None else PriorityDispatchResult.CONTINUE


def leave_nullable(
    context: AutogenContext,
    _alter: Any,
    schema: str | None,
    table: str,
    name: str,
    _was: Column[Any],
    _is: Column[Any],
) -> PriorityDispatchResult:
    """Keep Alembic from taking a column's domain, which may be NOT NULL, for the column itself."""
    sides = _sides(context)
    same = schema is None and sides.actual.columns[table, name].nullable == sides.wanted.columns[table, name].nullable
    return PriorityDispatchResult.STOP if same else PriorityDispatchResult.CONTINUE


def setup(plugin: Plugin) -> None:
    """Register the comparisons (called by Alembic); the last of them runs after that of isolation."""
    first = DispatchPriority.FIRST
    plugin.add_autogenerate_comparator(leave_to_compare, "column", "types", priority=first)
    plugin.add_autogenerate_comparator(leave_to_compare, "column", "server_default", priority=first)
    plugin.add_autogenerate_comparator(leave_nullable, "column", "nullable", priority=first)
    plugin.add_autogenerate_comparator(read, "autogenerate", "groundwork.sides", priority=first)
    plugin.add_autogenerate_comparator(compare, "autogenerate", "groundwork.tables")
    plugin.add_autogenerate_comparator(put_in_order, "autogenerate", "groundwork.order", priority=DispatchPriority.LAST)


Plugin.setup_plugin_from_module(sys.modules[__name__], NAME)
