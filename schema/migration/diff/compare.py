"""The operations between what is and what is declared, in the order in which they can be run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateIndexOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)
from sqlalchemy import Connection, Table
from sqlalchemy.sql.compiler import DDLCompiler

from infra.config.sql_text import literal, quote
from schema.migration.diff.casts import conversion, refuse_conversion
from schema.migration.diff.catalog import read_dependents, read_forced_ends, read_referring
from schema.migration.diff.column_changes import (
    Place,
    Statements,
    added_labels,
    create_enum,
    default_change,
    generated_change,
    identity_change,
    replaced_enum,
    type_change,
)
from schema.migration.diff.declared import written_name
from schema.migration.diff.declared_checks import with_checks_said
from schema.migration.diff.dropped_columns import as_it_comes_back
from schema.migration.diff.objects import Column, Constraint, Contents, Generated, Index, Key, Object, View
from schema.migration.diff.operations import create_operation, drop_operation, statements_operation
from schema.migration.diff.order import (
    apart,
    drops_in_order,
    in_order,
    is_added_column,
    is_drop,
    is_dropped_foreign_key,
)
from schema.migration.diff.partitions import with_partitions
from schema.migration.diff.referenced_keys import (
    foreign_keys_first,
    foreign_keys_last,
    foreign_keys_that_go,
    keys_that_go,
)
from schema.migration.diff.reflected import in_own_words
from schema.migration.diff.rls.operations import CommittedSql, LiteralSql
from schema.migration.diff.spelling import reproducible
from schema.migration.diff.whole_objects import change_storage, create_new, drop_undeclared
from schema.tenancy.mixin import is_tenant_table
from schema.tenancy.policies import with_force_lifted


class Comparison:
    """What differs between the actual and the declared contents of schema public.

    Dropped objects are removed before anything else is changed, and new ones are made after that. What only stands in
    the way of a change is dropped and recreated as it was. A downgrade is the mirror image.
    """

    def __init__(self, connection: Connection, actual: Contents, wanted: Contents, compiler: DDLCompiler) -> None:
        self._connection = connection
        self._compiler = compiler
        self._actual = actual
        self._wanted = wanted
        self._to_drop: dict[Key, Object] = {}
        self._to_create: dict[Key, Object] = {}
        self._readded: list[LiteralSql] = []
        self._remade: set[Place] = set()
        self._tenants: set[str] = set()
        self._numbers = {place: number for number, place in enumerate(actual.columns)}

    def merge_with(self, operations: Iterable[MigrateOperation], tables: dict[str, Table]) -> list[MigrateOperation]:
        """Return Alembic's operations among those that it does not know."""
        self._tenants = {name for name, table in tables.items() if is_tenant_table(table)}
        self._collect_changed()
        both = (self._actual, self._wanted)
        first: list[MigrateOperation] = [*create_new(*both), *change_storage(*both)]
        last = [*drop_undeclared(*both)]
        generated, middle = [*self._generated_otherwise()], [*self._in_place()]
        said = with_checks_said(in_own_words(operations, self._actual), self._compiler)
        every = [*self._keep(said, tables)]
        first += self._release_keys(every)
        released, kept = apart(every, is_dropped_foreign_key)
        dropped, kept = apart(kept, is_drop)
        gone = in_order(self._to_drop, self._actual)[::-1]
        coming = in_order(self._to_create, self._wanted)
        again = [obj for obj in coming if isinstance(obj, Generated)]
        readded: list[MigrateOperation] = [*self._readded, *map(create_operation, again)]
        # What is new on a column that is recreated stands after it, and what it is generated from before it.
        added, kept = apart(kept, is_added_column) if readded else ([], kept)
        foreign_keys = foreign_keys_last([*added, *kept], coming)
        return [
            *first,
            *released,
            *map(drop_operation, gone),
            *generated,
            *self._with_what_comes_back(with_partitions(self._connection, drops_in_order(dropped))),
            *middle,
            *added,
            *readded,
            *kept,
            *self._identified(),
            *(create_operation(obj) for obj in coming if obj not in again),
            *foreign_keys,
            *last,
        ]

    def _collect_changed(self) -> None:
        """Note what is changed, and views and exclusions that are added or dropped; the rest of those is Alembic's."""
        for kind in ("constraint", "index", "view"):
            actual, wanted = self._actual.of(kind), self._wanted.of(kind)
            for key in {**actual, **wanted}:
                former, now = actual.get(key), wanted.get(key)
                if former != now and ((former and now) or self._is_ours(former or now)):
                    self._replace(key, former, now)
        changed = [name for kind, _, name in self._to_drop if kind == "view"]
        if changed:
            self._recreate_dependents(views=changed, all_of_them=False)

    def _release_keys(self, operations: list[MigrateOperation]) -> list[MigrateOperation]:
        """Recreate foreign keys that reference a changed or dropped key; return the drops of all the others."""
        names = keys_that_go(operations, self._to_drop.values())
        referring = self._without_former_force(read_referring(self._connection, self._actual, names))
        going = foreign_keys_that_go(operations, self._actual, self._wanted)
        for obj in referring:
            if obj.key not in going:
                self._replace(obj.key, obj, obj)
        return foreign_keys_first(operations, {obj.key for obj in referring})

    def _is_ours(self, obj: Object | None) -> bool:
        """Return whether an object is added and dropped here; with a table, Alembic does that for those it knows."""
        if isinstance(obj, Constraint):
            stays = obj.table in self._actual.tables and obj.table in self._wanted.tables
            return obj.kind in {"u", "x"} and not obj.plain and stays
        return isinstance(obj, View)

    def _replace(self, key: Key, former: Object | None, now: Object | None) -> None:
        if former is not None:
            self._to_drop.setdefault(key, former)
        if now is not None:
            self._to_create.setdefault(key, now)

    def _recreate_dependents(
        self,
        *,
        columns: Iterable[Place] = (),
        types: Iterable[str] = (),
        views: Iterable[str] = (),
        all_of_them: bool = True,
    ) -> None:
        """Drop dependents of the changed columns, types or views first and recreate them afterwards.

        PostgreSQL makes the constraints and indexes of a column that changes its type again by itself, of their text;
        those are recreated as well whose text would change.
        """
        found = self._dependents(columns=columns, types=types, views=views)
        tables = {table for table, _ in self._wanted.columns}
        for obj in found:
            if obj.key[1] and obj.key[1] not in tables:
                continue  # it is dropped with its table, before anything changes
            if isinstance(obj, Generated):
                self._recreate_generated(obj)
            elif obj.key not in self._to_drop and (all_of_them or not _comes_back_by_itself(obj)):
                self._replace(obj.key, obj, obj)

    def _recreate_generated(self, former: Generated) -> None:
        """Recreate a generated column; one that is changed or dropped is dropped by itself.

        PostgreSQL refuses to change the type of a column that another is generated from, and a generated column's own
        by an expression (SQLSTATE 0A000, 42611).
        """
        place = (former.table, former.name)
        wanted = self._wanted.columns.get(place)
        if former.key in self._to_drop or wanted is None or wanted.generated != former.column.generated:
            return
        self._replace(former.key, former, Generated(*place, wanted))
        self._remade.add(place)
        self._recreate_dependents(columns=[place])

    def _dependents(
        self, *, columns: Iterable[Place] = (), types: Iterable[str] = (), views: Iterable[str] = ()
    ) -> list[Object]:
        """Return what names columns, types or views; where a table stops being a tenant's, FORCE is not set again."""
        found = read_dependents(self._connection, self._actual, columns=columns, types=types, views=views)
        return self._without_former_force(found)

    def _without_former_force(self, found: Iterable[Object]) -> list[Object]:
        return [
            replace(obj, forced=tuple(self._tenants.intersection(obj.forced))) if isinstance(obj, Constraint) else obj
            for obj in found
        ]

    def _with_those_of_generated(self, found: Sequence[Object]) -> list[Object]:
        columns = [(obj.table, obj.name) for obj in found if isinstance(obj, Generated)]
        more = self._dependents(columns=columns)
        return sorted({obj.key: obj for obj in (*found, *more)}.values(), key=lambda obj: obj.rank)

    def _with_what_comes_back(self, operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
        """Let a downgrade make constraints of a dropped table of which Alembic reads a part, or nothing."""
        for operation in operations:
            if isinstance(operation, DropTableOp):
                found = (obj for obj in self._actual.of("constraint").values() if isinstance(obj, Constraint))
                for obj in found:
                    if obj.table == operation.table_name and obj.kind in {"u", "x"} and not obj.plain:
                        yield LiteralSql((), (*(obj.drop() if obj.kind == "u" else ()), *obj.create()))
            yield operation

    def _in_place(self) -> Iterator[LiteralSql]:
        """Change columns before their former types are dropped, and after their new types are made."""
        leaving = {place for place, found, wanted in self._changed_columns() if self._leaves(found, wanted)}
        replaced: set[Place] = set()
        for place, found, wanted in self._changed_columns():
            if place in leaving:
                yield from self._altered(place, found, wanted, relabelled=False)
        for name, labels in self._wanted.enums.items():
            former = self._actual.enums.get(name, labels)
            if former != labels:
                operation, columns = self._relabelled(name, former, labels)
                replaced |= columns
                yield operation
        # What others are generated from first: it is known then which of them come back as they are to be.
        for place, found, wanted in sorted(self._changed_columns(), key=lambda change: change[1].generated is not None):
            if found.generated == wanted.generated and place not in leaving | self._remade:
                yield from self._altered(place, found, wanted, relabelled=place in replaced)

    def _generated_otherwise(self) -> Iterator[LiteralSql]:
        """Change columns that are generated otherwise: they hold those back that they were generated from."""
        for place, found, wanted in self._changed_columns():
            if found.generated != wanted.generated:
                self._recreate_dependents(columns=[place])
                before, *after = (statements_operation(change) for change in generated_change(place, found, wanted))
                self._readded.extend(after)
                self._remade |= {place} if after else set()
                yield before

    def _is_enum(self, kind: str) -> bool:
        return any(kind in _spellings(name) for name in (*self._actual.enums, *self._wanted.enums))

    def _leaves(self, found: Column, wanted: Column) -> bool:
        """Return whether a column's type changes from one that is of an enum type."""
        enums = {name for enum in self._actual.enums for name in _spellings(enum)}
        return found.type in enums and found.type != wanted.type and found.generated == wanted.generated

    def _changed_columns(self) -> Iterator[tuple[Place, Column, Column]]:
        for place, wanted in self._wanted.columns.items():
            found = self._actual.columns.get(place)
            if found is not None and found != wanted:
                yield place, found, wanted

    def _relabelled(self, name: str, former: Sequence[str], labels: Sequence[str]) -> tuple[LiteralSql, set[Place]]:
        types = _spellings(name)
        columns = [
            (place, column)
            for place, column in self._actual.columns.items()
            if column.type in types and column.generated is None
        ]
        places = [place for place, _ in columns]
        added = added_labels(former, labels)
        if added is not None:
            dependents = self._with_those_of_generated(self._dependents(columns=places, types=[name]))
            back = [(place, column, column.default) for place, column in columns]
            undo = (
                *(statement for dependent in reversed(dependents) for statement in dependent.drop()),
                *replaced_enum(name, former, back),
                *(statement for dependent in dependents for statement in dependent.create()),
            )
            add = f"ALTER TYPE {quote(name)} ADD VALUE IF NOT EXISTS"
            return CommittedSql([f"{add} {literal(label)}{place}" for label, place in added], undo), set()
        # What is dropped or becomes another type is gone by then, and comes back after.
        columns = [
            (place, column)
            for place, column in columns
            if place in self._wanted.columns and not self._leaves(column, self._wanted.columns[place])
        ]
        places = [place for place, _ in columns]
        self._recreate_dependents(columns=places, types=[name])
        now = [(place, column, self._wanted.columns[place].default) for place, column in columns]
        back = [(place, self._wanted.columns[place], column.default) for place, column in columns]
        upgrade, downgrade = replaced_enum(name, labels, now), replaced_enum(name, former, back)
        lost = [label for label in former if label not in labels]
        drops = f"value {', '.join(map(repr, lost))} of enum type {name}" if lost else ""
        return LiteralSql(tuple(upgrade), tuple(downgrade), drops=drops), {*places}

    def _altered(self, place: Place, found: Column, wanted: Column, *, relabelled: bool) -> Iterator[LiteralSql]:
        if found.identity and not wanted.identity:
            yield statements_operation(identity_change(place, found, wanted))
        if found.declaration != wanted.declaration:
            self._recreate_dependents(columns=[place], all_of_them=False)
            yield statements_operation(self._retyped(place, found, wanted))
        elif found.default != wanted.default and not relabelled:
            yield statements_operation(default_change(place, found, wanted))

    def _identified(self) -> Iterator[LiteralSql]:
        """Make identity columns, which are NOT NULL by then, and change those that stay."""
        for place, found, wanted in self._changed_columns():
            if wanted.identity and found.identity != wanted.identity and found.generated == wanted.generated:
                changed = identity_change(place, found, wanted)
                counted = found.identity or found.serial
                seen = () if counted else self._tenants.intersection({place[0]})
                yield statements_operation(replace(changed, upgrade=with_force_lifted(changed.upgrade, seen)))

    def _retyped(self, place: Place, found: Column, wanted: Column) -> Statements:
        types = [create_enum(*enum) for enum in {**self._actual.enums, **self._wanted.enums}.items()]
        domains = {**self._actual.domains, **self._wanted.domains}
        types += [statement for domain in domains.values() for statement in domain.create()]
        using = conversion(self._connection, place[1], found.type, wanted.type, types)
        if using is None and self._is_enum(found.type) and self._is_enum(wanted.type):
            text = "text[]" if wanted.type.endswith("[]") else "text"
            using = f"{quote(place[1])}::{text}::{wanted.type}"
        if using is None:
            raise refuse_conversion(place, found.type, wanted.type)
        back = conversion(self._connection, place[1], wanted.type, found.type, types)
        # Every type can be written as text and read from it (PostgreSQL manual, CREATE CAST: I/O conversion casts).
        back = f"{quote(place[1])}::text::{found.type}" if back is None else back
        changed = type_change(place, found, replace(wanted, serial=found.serial), using, back)
        forced = self._tenants.intersection(read_forced_ends(self._connection, *place))
        upgrade, downgrade = (with_force_lifted(part, forced) for part in (changed.upgrade, changed.downgrade))
        return replace(changed, upgrade=upgrade, downgrade=downgrade)

    def _keep(self, operations: Iterable[MigrateOperation], tables: dict[str, Table]) -> Iterator[MigrateOperation]:
        """Leave out Alembic's operations on views, which it takes for tables, and on objects that are handled here."""
        for operation in operations:
            if isinstance(operation, CreateTableOp) and tables[operation.table_name].is_view:
                continue
            if isinstance(operation, ModifyTableOps):
                kept = sorted((op for op in operation.ops if not self._is_handled(op)), key=self._place_in_table)
                operation.ops[:] = [
                    as_it_comes_back(op, self._actual) if isinstance(op, DropColumnOp) else op for op in kept
                ]
                if not operation.ops:
                    continue
            yield operation

    def _place_in_table(self, operation: MigrateOperation) -> tuple[int, int]:
        """Put generated columns after others where they are added; where they are dropped, before them, in reverse.

        Alembic takes dropped columns from a set, in an order that is another in every process.
        """
        if isinstance(operation, AddColumnOp):
            return (0 if operation.column.computed is None else 1), 0
        if isinstance(operation, DropColumnOp):
            place = (operation.table_name, operation.column_name)
            return (4 if self._actual.columns[place].generated is None else 3), -self._numbers[place]
        return 2, 0

    def _is_handled(self, operation: MigrateOperation) -> bool:
        """Return whether an object is changed, or a column dropped, here; what Alembic drops is not recreated."""
        if isinstance(operation, AlterColumnOp | DropColumnOp):
            return (operation.table_name, operation.column_name) in self._remade
        key = self._key(operation)
        former, now = self._actual.objects.get(key), self._wanted.objects.get(key)
        if (former and now) or self._is_ours(former or now):
            return True
        if key in self._to_drop and isinstance(operation, DropIndexOp | DropConstraintOp):
            self._to_create.pop(key, None)
            return True
        return False

    def _key(self, operation: MigrateOperation) -> Key:
        """Return the object that is added or dropped, by its name on the server; an empty key for anything else."""
        match operation:
            case CreateIndexOp() | DropIndexOp():
                return "index", str(operation.table_name), str(operation.index_name)
            case DropConstraintOp():
                return "constraint", str(operation.table_name), str(operation.constraint_name)
            case CreateCheckConstraintOp() | CreateUniqueConstraintOp():
                name = written_name(operation.to_constraint(), self._compiler)
                return "constraint", str(operation.table_name), str(name)
            case _:
                return "", "", ""


def _comes_back_by_itself(obj: Object) -> bool:
    """Return whether PostgreSQL makes an object again as it was where a column of it changes its type."""
    return isinstance(obj, Constraint | Index) and reproducible(obj.definition) == obj.definition


def _spellings(enum: str) -> set[str]:
    """Return how the type of a column is written that is of an enum type, or an array of it."""
    return {enum, f"{enum}[]", quote(enum), f"{quote(enum)}[]"}
