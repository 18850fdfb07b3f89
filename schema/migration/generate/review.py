"""What a generated migration may hold, and when somebody has to say so first. Decides, and changes nothing."""

from collections.abc import Iterable, Iterator

from alembic.operations.ops import (
    AddColumnOp,
    CreateTableOp,
    DropColumnOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)

from schema.errors import MigrationError, list_message
from schema.migration.diff.column_changes import BECOMES_GENERATED
from schema.migration.diff.rls.operations import AddTenantForeignKey, DropTenantForeignKey, LiteralSql
from schema.migration.generate.renames import Rename

_SHOWN = 5


def drops(operations: Iterable[MigrateOperation]) -> Iterator[str]:
    """Yield what of the data a migration takes away: tables, columns, values of enum types."""
    for operation in operations:
        match operation:
            case DropTableOp():
                yield f"table {operation.table_name}"
            case ModifyTableOps():
                columns = (op for op in operation.ops if isinstance(op, DropColumnOp))
                yield from (f"column {column.table_name}.{column.column_name}" for column in columns)
            case LiteralSql() if operation.drops:
                yield operation.drops


def unconfirmed_drops(found: Iterable[str], command: str) -> MigrationError:
    """Say what would be dropped, and how to allow it."""
    every = list(found)
    things = [
        f"{thing}, since a generated column holds nothing else"
        if thing.startswith(BECOMES_GENERATED)
        else f"{thing}, which the models no longer declare"
        for thing in every
    ]
    then = f"If that is meant, run `{command} --allow-drop`. Nothing was written."
    message = list_message("The migration would drop with all it holds", things, then)
    return MigrationError(message, changes=tuple(f"drop {thing}" for thing in every))


def unsaid_renames(found: Iterable[Rename], command: str) -> MigrationError:
    """Name both commands: what is dropped and added may as well have been renamed."""
    every = list(found)
    pairs = [f"{rename.old} is dropped and {rename.new} added" for rename in every]
    renamed = " ".join(f"--rename {rename}" for rename in _one_each(every))
    then = (
        f"If so, run `{command} {renamed}`; if not, `{command} --allow-drop` drops the one and adds the other empty. "
        "Nothing was written."
    )
    message = list_message("This may be a rename, which keeps what it holds", pairs, then)
    return MigrationError(message, changes=tuple(f"rename {rename}" for rename in every))


def pending(operations: Iterable[MigrateOperation]) -> MigrationError:
    """Say what `generate` would write."""
    every = [line for operation in operations for line in _describe(operation)]
    more = [f"{len(every) - _SHOWN} more"] if len(every) > _SHOWN else []
    then = 'Write the migration: `invoke generate -m "…"`.'
    message = list_message("The models declare what the migrations do not make", [*every[:_SHOWN], *more], then)
    return MigrationError(message, changes=tuple(every))


def _one_each(renames: Iterable[Rename]) -> Iterator[Rename]:
    """Yield no name twice: of several that one may have become, only the first can be said."""
    seen: set[str] = set()
    for rename in renames:
        if not {rename.old, rename.new} & seen:
            yield rename
            seen |= {rename.old, rename.new}


def _describe(operation: MigrateOperation) -> Iterator[str]:
    if isinstance(operation, ModifyTableOps):
        yield from (line for part in operation.ops for line in _describe(part))
    elif isinstance(operation, LiteralSql):
        yield from (statement.partition("\n")[0] for statement in operation.upgrade)
    elif isinstance(operation, AddTenantForeignKey):
        yield from _describe(operation.create)
    elif isinstance(operation, DropTenantForeignKey):
        yield from _describe(operation.create.reverse())
    else:
        kind = CreateTableOp if isinstance(operation, CreateTableOp) else type(operation)
        yield f"{kind.__name__.removesuffix('Op')} {_object_of(operation)}".strip()


def _object_of(operation: MigrateOperation) -> str:
    """Return what an operation is about: a table, a column of it, or a constraint or an index on it."""

    def attribute(*names: str) -> str:
        return next((str(found) for name in names if (found := getattr(operation, name, None))), "")

    table = attribute("table_name", "source_table")
    column = operation.column.name if isinstance(operation, AddColumnOp) else attribute("column_name")
    name = attribute("constraint_name", "index_name")
    if name:
        return f"{name} on {table}"
    return f"{table}.{column}" if column else table
