"""Foreign keys and the keys that they reference: a key is made before what needs it, and dropped after it."""

from collections.abc import Collection, Iterable, Iterator

from alembic.operations.ops import (
    AddColumnOp,
    CreateForeignKeyOp,
    CreateIndexOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)
from sqlalchemy import ForeignKeyConstraint

from schema.migration.diff.objects import Constraint, Contents, Index, Key, Object


def parts(operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
    """Yield the operations, those on parts of a table one by one."""
    for operation in operations:
        yield from operation.ops if isinstance(operation, ModifyTableOps) else (operation,)


def keys_that_go(operations: Iterable[MigrateOperation], gone: Iterable[Object]) -> set[str]:
    """Return the names of what may be a unique key and is dropped or changed."""
    dropped = {str(part.constraint_name) for part in parts(operations) if isinstance(part, DropConstraintOp)}
    indexes = {str(part.index_name) for part in parts(operations) if isinstance(part, DropIndexOp)}
    return dropped | indexes | {obj.key[2] for obj in gone if _is_key(obj)}


def foreign_keys_that_go(operations: Iterable[MigrateOperation], actual: Contents, wanted: Contents) -> set[Key]:
    """Return the foreign keys that are dropped by themselves or with their tables."""
    with_tables = {key for key in actual.of("constraint") if key[1] not in wanted.tables}
    dropped = (part for part in parts(operations) if isinstance(part, DropConstraintOp))
    return with_tables | {("constraint", op.table_name, str(op.constraint_name)) for op in dropped}


def foreign_keys_first(operations: list[MigrateOperation], keys: Collection[Key]) -> list[MigrateOperation]:
    """Take these foreign keys out of the tables that are dropped, and return what drops them."""
    first: list[MigrateOperation] = []
    for number, operation in enumerate(operations):
        if isinstance(operation, DropTableOp):
            table = operation.to_table()
            going = [
                foreign_key_constraint
                for foreign_key_constraint in table.foreign_key_constraints
                if ("constraint", table.name, str(foreign_key_constraint.name)) in keys
            ]
            drops = [DropConstraintOp.from_constraint(key) for key in sorted(going, key=lambda key: str(key.name))]
            table.constraints.difference_update(going)
            operations[number] = DropTableOp.from_table(table)
            first += [ModifyTableOps(table.name, drops)] if drops else []
    return sorted(first, key=lambda op: str(getattr(op, "table_name", "")))


def foreign_keys_last(operations: Iterable[MigrateOperation], made: Iterable[Object]) -> list[MigrateOperation]:
    """Take out the foreign keys to tables that get columns or keys by these operations, and return what makes them.

    What is `made` is added after the operations.
    """
    every = list(operations)
    changed = {table for part in parts(every) if (table := _table_with_more(part))} | {
        obj.key[1] for obj in made if _is_key(obj)
    }
    later: list[MigrateOperation] = []
    for operation in every:
        if isinstance(operation, CreateTableOp):
            later += _take_keys(operation, changed)
        elif isinstance(operation, ModifyTableOps):
            keys = [part for part in operation.ops if _leads_to(part, changed)]
            operation.ops[:] = [part for part in operation.ops if part not in keys]
            later += [ModifyTableOps(operation.table_name, keys, schema=operation.schema)] if keys else []
    return later


def _take_keys(operation: CreateTableOp, changed: set[str]) -> list[MigrateOperation]:
    keys = [
        column
        for column in operation.columns
        if isinstance(column, ForeignKeyConstraint) and column.referred_table.name in changed
    ]
    operation.columns = [
        column for column in operation.columns if not (isinstance(column, ForeignKeyConstraint) and column in keys)
    ]
    creates = [CreateForeignKeyOp.from_constraint(key) for key in sorted(keys, key=lambda key: str(key.name))]
    for create in creates:
        create.kw.pop("use_alter", None)
    return [ModifyTableOps(operation.table_name, creates)] if creates else []


def _table_with_more(operation: MigrateOperation) -> str:
    """Return the table that gets a column or a key, empty where none does."""
    match operation:
        case AddColumnOp() | CreateUniqueConstraintOp() | CreateIndexOp(unique=True):
            return str(operation.table_name)
        case _:
            return ""


def _leads_to(operation: MigrateOperation, tables: set[str]) -> bool:
    return isinstance(operation, CreateForeignKeyOp) and operation.referent_table in tables


def _is_key(obj: Object) -> bool:
    return isinstance(obj, Index) or (isinstance(obj, Constraint) and obj.kind == "u")
