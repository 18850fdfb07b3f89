"""The order of operations: what has to stand apart from the rest, and objects after those that they are made of."""

from collections.abc import Callable, Iterable, Mapping

from alembic.operations.ops import (
    AddColumnOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)
from sqlalchemy import ForeignKeyConstraint, Table

from schema.migration.diff.objects import Contents, Key, Object


def apart(
    operations: Iterable[MigrateOperation], condition: Callable[[MigrateOperation], bool]
) -> tuple[list[MigrateOperation], list[MigrateOperation]]:
    """Return the operations that meet a condition, those on parts of a table by themselves, and all the rest."""
    met: list[MigrateOperation] = []
    rest: list[MigrateOperation] = []
    for operation in operations:
        if not isinstance(operation, ModifyTableOps):
            (met if condition(operation) else rest).append(operation)
        else:
            taken = [op for op in operation.ops if condition(op)]
            met += [ModifyTableOps(operation.table_name, taken, schema=operation.schema)] if taken else []
            operation.ops[:] = [op for op in operation.ops if op not in taken]
            rest += [operation] if operation.ops else []
    return met, rest


def drops_in_order(operations: Iterable[MigrateOperation]) -> list[MigrateOperation]:
    """Return the drops: parts of tables first, then tables, each before those that it references.

    Of tables that reference each other, the foreign keys are dropped first. Alembic takes dropped tables from a set, in
    an order that is another in every process.
    """
    every = list(operations)
    parts = sorted((op for op in every if isinstance(op, ModifyTableOps)), key=lambda op: op.table_name)
    tables = {op.table_name: op.to_table() for op in every if isinstance(op, DropTableOp)}
    ordered: dict[str, Table] = {}
    around: list[ForeignKeyConstraint] = []

    def put(name: str, above: frozenset[str]) -> None:
        if name in ordered:
            return
        for key in sorted(tables[name].foreign_key_constraints, key=lambda key: str(key.name)):
            other = key.elements[0].target_fullname.rpartition(".")[0]
            if other in above:
                around.append(key)
            elif other in tables and other != name:
                put(other, above | {name})
        ordered[name] = tables[name]

    for name in sorted(tables):
        put(name, frozenset())
    gone = [ModifyTableOps(key.table.name, [DropConstraintOp.from_constraint(key)]) for key in around]
    for key in around:
        key.table.constraints.remove(key)
    return [*parts, *gone, *map(DropTableOp.from_table, reversed(ordered.values()))]


def is_dropped_foreign_key(operation: MigrateOperation) -> bool:
    """Return whether a foreign key is dropped: it holds back the table and the types that it refers to."""
    return isinstance(operation, DropConstraintOp) and operation.constraint_type == "foreignkey"


def is_drop(operation: MigrateOperation) -> bool:
    """Return whether something is dropped."""
    return isinstance(operation, DropColumnOp | DropConstraintOp | DropIndexOp | DropTableOp)


def is_added_column(operation: MigrateOperation) -> bool:
    """Return whether a column is added."""
    return isinstance(operation, AddColumnOp)


def in_order(objects: Mapping[Key, Object], contents: Contents) -> list[Object]:
    """Return objects so that each stands after those that it is made of."""
    places = {key: number for number, key in enumerate(contents.objects)}
    return sorted(objects.values(), key=lambda obj: (obj.rank, places.get(obj.key, len(places))))
