"""What a generated migration may hold, and when somebody has to say so first. Decides, and changes nothing."""

from collections.abc import Iterable, Iterator

from alembic.operations.ops import DropColumnOp, DropTableOp, MigrateOperation, ModifyTableOps

from schema.autogenerate.renames import Rename
from schema.errors import MigrationError
from schema.rls.ops import LiteralSql

_SHOWN = 5


def drops(operations: Iterable[MigrateOperation]) -> Iterator[str]:
    """Yield what of the data a migration takes away: tables, columns, values of enum types."""
    for operation in operations:
        match operation:
            case DropTableOp():
                yield f"table {operation.table_name}"
            case ModifyTableOps():
                columns = (one for one in operation.ops if isinstance(one, DropColumnOp))
                yield from (f"column {one.table_name}.{one.column_name}" for one in columns)
            case LiteralSql() if operation.drops:
                yield operation.drops


def unsaid_drops(found: Iterable[str], command: str) -> MigrationError:
    """Say what would be dropped, and how to allow it."""
    return MigrationError(
        f"The models no longer declare {', '.join(found)}. The migration would drop that with all it holds: if that is "
        f"meant, run `{command} --allow-drop`. Nothing was written."
    )


def unsaid_renames(found: Iterable[Rename], command: str) -> MigrationError:
    """Name both commands: what is dropped and added may as well have been renamed."""
    every = list(found)
    pairs = "; ".join(f"{rename.old} goes and {rename.new} comes" for rename in every)
    renamed = " ".join(f"--rename {rename}" for rename in _one_each(every))
    return MigrationError(
        f"{pairs}: that may be a rename, which keeps what it holds. If so, run `{command} {renamed}`; if not, "
        f"`{command} --allow-drop` drops the one and adds the other empty. Nothing was written."
    )


def pending(operations: Iterable[MigrateOperation]) -> MigrationError:
    """Say what `generate` would write."""
    every = [line for operation in operations for line in _described(operation)]
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return MigrationError(
        f"The models declare what the migrations do not make: {'; '.join(every[:_SHOWN])}{more}. Write the migration: "
        '`invoke generate -m "…"`.'
    )


def _one_each(renames: Iterable[Rename]) -> Iterator[Rename]:
    """Yield no name twice: of several that one may have become, only the first can be said."""
    seen: set[str] = set()
    for rename in renames:
        if not {rename.old, rename.new} & seen:
            yield rename
            seen |= {rename.old, rename.new}


def _described(operation: MigrateOperation) -> Iterator[str]:
    if isinstance(operation, ModifyTableOps):
        yield from (line for one in operation.ops for line in _described(one))
    elif isinstance(operation, LiteralSql):
        yield from (statement.partition("\n")[0] for statement in operation.upgrade)
    else:
        words = type(operation).__name__.removesuffix("Op")
        names = (
            getattr(operation, name, None) for name in ("table_name", "column_name", "constraint_name", "index_name")
        )
        yield " ".join([words, *(str(name) for name in names if name)])
