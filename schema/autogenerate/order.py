"""The order of operations: what has to stand apart from the rest, and objects behind those that they are made of."""

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

from schema.autogenerate.objects import Contents, Key, Object


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
            taken = [one for one in operation.ops if condition(one)]
            met += [ModifyTableOps(operation.table_name, taken, schema=operation.schema)] if taken else []
            operation.ops[:] = [one for one in operation.ops if one not in taken]
            rest += [operation] if operation.ops else []
    return met, rest


def drops_in_order(operations: Iterable[MigrateOperation]) -> list[MigrateOperation]:
    """Return what goes: parts of tables first, then tables, each before those that it references.

    Alembic takes dropped tables from a set, in an order that is another in every process.
    """
    every = list(operations)
    tables = {one.table_name: one for one in every if isinstance(one, DropTableOp)}
    parts = sorted((one for one in every if isinstance(one, ModifyTableOps)), key=lambda one: one.table_name)
    ordered: dict[str, DropTableOp] = {}

    def put(name: str, above: frozenset[str]) -> None:
        if name in tables and name not in ordered and name not in above:
            for other in sorted(_referenced(tables[name])):
                put(other, above | {name})
            ordered[name] = tables[name]

    for name in sorted(tables):
        put(name, frozenset())
    return [*parts, *reversed(ordered.values())]


def _referenced(dropped: DropTableOp) -> set[str]:
    keys = dropped.to_table().foreign_key_constraints
    return {element.target_fullname.rpartition(".")[0] for key in keys for element in key.elements}


def is_dropped_foreign_key(operation: MigrateOperation) -> bool:
    """Say whether a foreign key goes: it holds back the table and the types that it refers to."""
    return isinstance(operation, DropConstraintOp) and operation.constraint_type == "foreignkey"


def is_drop(operation: MigrateOperation) -> bool:
    """Say whether something goes."""
    return isinstance(operation, DropColumnOp | DropConstraintOp | DropIndexOp | DropTableOp)


def is_added_column(operation: MigrateOperation) -> bool:
    """Say whether a column comes."""
    return isinstance(operation, AddColumnOp)


def in_order(objects: Mapping[Key, Object], contents: Contents) -> list[Object]:
    """Return objects so that each stands behind those that it is made of."""
    places = {key: number for number, key in enumerate(contents.objects)}
    return sorted(objects.values(), key=lambda one: (one.rank, places.get(one.key, len(places))))
