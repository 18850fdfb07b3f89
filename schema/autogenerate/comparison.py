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

from schema.autogenerate.casts import conversion, refuse_conversion
from schema.autogenerate.catalog import read_dependents, read_forced_ends
from schema.autogenerate.changes import (
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
from schema.autogenerate.declared import written_name
from schema.autogenerate.objects import Column, Constraint, Contents, Generated, Key, Object, View, literal
from schema.autogenerate.objects import Sequence as SequenceObject
from schema.autogenerate.order import apart, drops_in_order, in_order, is_added_column, is_drop, is_dropped_foreign_key
from schema.rls.ops import CommittedSql, LiteralSql
from schema.rls.policy import quoted, with_force_lifted
from schema.tenancy import is_tenant_table


class Comparison:
    """What differs between the actual and the declared contents of schema public.

    What goes is removed before anything else is changed, and what comes is made behind it. What only stands in the
    way of a change goes and comes back as it was. A downgrade is the mirror image.
    """

    def __init__(self, connection: Connection, actual: Contents, wanted: Contents, compiler: DDLCompiler) -> None:
        self._connection = connection
        self._compiler = compiler
        self._actual = actual
        self._wanted = wanted
        self._gone: dict[Key, Object] = {}
        self._made: dict[Key, Object] = {}
        self._readded: list[LiteralSql] = []
        self._remade: set[Place] = set()
        self._tenants: set[str] = set()
        self._numbers = {place: number for number, place in enumerate(actual.columns)}

    def around(self, operations: Iterable[MigrateOperation], tables: dict[str, Table]) -> list[MigrateOperation]:
        """Return Alembic's operations among those that it does not know."""
        self._tenants = {name for name, table in tables.items() if is_tenant_table(table)}
        self._collect_changed()
        first, last = [*self._new()], [*self._no_longer()]
        generated, middle = [*self._generated_otherwise()], [*self._in_place()]
        released, kept = apart(self._kept(operations, tables), is_dropped_foreign_key)
        dropped, kept = apart(kept, is_drop)
        gone = in_order(self._gone, self._actual)[::-1]
        made = in_order(self._made, self._wanted)
        again = [one for one in made if isinstance(one, Generated)]
        readded = [*self._readded, *(LiteralSql(one.create(), one.drop()) for one in again)]
        # What is new on a column that comes back stands behind it, and what it is generated from before it.
        added, kept = apart(kept, is_added_column) if readded else ([], kept)
        return [
            *first,
            *(self._removed(one) for one in gone),
            *generated,
            *released,
            *self._with_what_comes_back(drops_in_order(dropped)),
            *middle,
            *added,
            *readded,
            *kept,
            *self._identified(),
            *(LiteralSql(one.create(), one.drop()) for one in made if one not in again),
            *last,
        ]

    def _collect_changed(self) -> None:
        """Note what is changed, and views and exclusions that come or go; the rest of what does is Alembic's."""
        for kind in ("constraint", "index", "view"):
            actual, wanted = self._actual.of(kind), self._wanted.of(kind)
            for key in {**actual, **wanted}:
                former, now = actual.get(key), wanted.get(key)
                if former != now and ((former and now) or self._is_ours(former or now)):
                    self._replace(key, former, now)
        changed = [name for kind, _, name in self._gone if kind == "view"]
        if changed:
            self._step_aside(views=changed, all_of_them=False)

    def _is_ours(self, one: Object | None) -> bool:
        """Say whether an object comes and goes here; with a table, what Alembic knows of it does."""
        if isinstance(one, Constraint):
            stays = one.table in self._actual.tables and one.table in self._wanted.tables
            return one.kind in {"u", "x"} and not one.plain and stays
        return isinstance(one, View)

    def _replace(self, key: Key, former: Object | None, now: Object | None) -> None:
        if former is not None:
            self._gone.setdefault(key, former)
        if now is not None:
            self._made.setdefault(key, now)

    def _step_aside(
        self,
        *,
        columns: Iterable[Place] = (),
        types: Iterable[str] = (),
        views: Iterable[str] = (),
        all_of_them: bool = True,
    ) -> None:
        """Let what names columns, types or views go before they change, and come back behind them as it was.

        PostgreSQL makes the constraints and indexes of a column that changes its type anew by itself.
        """
        found = self._dependents(columns=columns, types=types, views=views)
        tables = {table for table, _ in self._wanted.columns}
        for one in found:
            if one.key[1] and one.key[1] not in tables:
                continue  # it goes with its table, before anything changes
            if isinstance(one, Generated):
                self._make_way(one)
            elif one.key not in self._gone and (all_of_them or one.key[0] not in {"constraint", "index"}):
                self._replace(one.key, one, one)

    def _make_way(self, former: Generated) -> None:
        """Let a generated column go and come back; one that is changed or dropped goes by itself.

        PostgreSQL refuses to change the type of a column that another is generated from, and a generated column's own
        by an expression (SQLSTATE 0A000, 42611).
        """
        place = (former.table, former.name)
        wanted = self._wanted.columns.get(place)
        if former.key in self._gone or wanted is None or wanted.generated != former.column.generated:
            return
        self._replace(former.key, former, Generated(*place, wanted))
        self._remade.add(place)
        self._step_aside(columns=[place])

    def _dependents(
        self, *, columns: Iterable[Place] = (), types: Iterable[str] = (), views: Iterable[str] = ()
    ) -> list[Object]:
        """Return what names columns, types or views; where a table stops being a tenant's, FORCE is not set again."""
        found = read_dependents(self._connection, self._actual, columns=columns, types=types, views=views)
        return [
            replace(one, forced=tuple(self._tenants.intersection(one.forced))) if isinstance(one, Constraint) else one
            for one in found
        ]

    def _with_those_of_generated(self, found: Sequence[Object]) -> list[Object]:
        columns = [(one.table, one.name) for one in found if isinstance(one, Generated)]
        more = self._dependents(columns=columns)
        return sorted({one.key: one for one in (*found, *more)}.values(), key=lambda one: one.rank)

    def _removed(self, one: Object) -> LiteralSql:
        if not isinstance(one, Generated):
            return LiteralSql(one.drop(), one.create())
        note = f"{one.table}.{one.name} makes way for a change of what it is generated from, and is computed anew."
        return LiteralSql(one.drop(), one.create(), note=note)

    def _with_what_comes_back(self, operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
        """Let a downgrade make constraints of a dropped table of which Alembic reads a part, or nothing."""
        for operation in operations:
            if isinstance(operation, DropTableOp):
                found = (one for one in self._actual.of("constraint").values() if isinstance(one, Constraint))
                for one in found:
                    if one.table == operation.table_name and one.kind in {"u", "x"} and not one.plain:
                        yield LiteralSql((), (*(one.drop() if one.kind == "u" else ()), *one.create()))
            yield operation

    def _new(self) -> Iterator[LiteralSql]:
        actual, wanted = self._actual.of("sequence"), self._wanted.of("sequence")
        for key in wanted:
            former, now = actual.get(key), wanted[key]
            if former is None:
                yield LiteralSql(now.create(), now.drop())
            elif isinstance(former, SequenceObject) and isinstance(now, SequenceObject) and former != now:
                yield LiteralSql(now.alter(former), former.alter(now))
        for name, labels in self._wanted.enums.items():
            if name not in self._actual.enums:
                yield LiteralSql((create_enum(name, labels),), (f"DROP TYPE {quoted(name)}",))

    def _no_longer(self) -> Iterator[LiteralSql]:
        for name, labels in self._actual.enums.items():
            if name not in self._wanted.enums:
                yield LiteralSql((f"DROP TYPE {quoted(name)}",), (create_enum(name, labels),))
        wanted = self._wanted.of("sequence")
        for key, former in self._actual.of("sequence").items():
            if key not in wanted:
                yield LiteralSql(former.drop(), former.create())

    def _in_place(self) -> Iterator[LiteralSql]:
        """Change columns before the types that they leave, and behind those that they come to."""
        leaving = {place for place, found, wanted in self._changed() if self._leaves(found, wanted)}
        replaced: set[Place] = set()
        for place, found, wanted in self._changed():
            if place in leaving:
                yield from self._altered(place, found, wanted, relabelled=False)
        for name, labels in self._wanted.enums.items():
            former = self._actual.enums.get(name, labels)
            if former != labels:
                operation, columns = self._relabelled(name, former, labels)
                replaced |= columns
                yield operation
        for place, found, wanted in self._changed():
            if found.generated == wanted.generated and place not in leaving:
                yield from self._altered(place, found, wanted, relabelled=place in replaced)

    def _generated_otherwise(self) -> Iterator[LiteralSql]:
        """Change columns that are generated otherwise: they hold those back that they were generated from."""
        for place, found, wanted in self._changed():
            if found.generated != wanted.generated:
                self._step_aside(columns=[place])
                before, *after = (_operation(one) for one in generated_change(place, found, wanted))
                self._readded.extend(after)
                self._remade |= {place} if after else set()
                yield before

    def _leaves(self, found: Column, wanted: Column) -> bool:
        """Say whether a column's type changes from one that is of an enum type."""
        enums = {name for enum in self._actual.enums for name in _written(enum)}
        return found.type in enums and found.type != wanted.type and found.generated == wanted.generated

    def _changed(self) -> Iterator[tuple[Place, Column, Column]]:
        for place, wanted in self._wanted.columns.items():
            found = self._actual.columns.get(place)
            if found is not None and found != wanted:
                yield place, found, wanted

    def _relabelled(self, name: str, former: Sequence[str], labels: Sequence[str]) -> tuple[LiteralSql, set[Place]]:
        types = _written(name)
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
                *(statement for one in reversed(dependents) for statement in one.drop()),
                *replaced_enum(name, former, back),
                *(statement for one in dependents for statement in one.create()),
            )
            add = f"ALTER TYPE {quoted(name)} ADD VALUE IF NOT EXISTS"
            return CommittedSql([f"{add} {literal(label)}{place}" for label, place in added], undo), set()
        # What is dropped or becomes another type is gone by then, and comes back after.
        columns = [
            (place, column)
            for place, column in columns
            if place in self._wanted.columns and not self._leaves(column, self._wanted.columns[place])
        ]
        places = [place for place, _ in columns]
        self._step_aside(columns=places, types=[name])
        now = [(place, column, self._wanted.columns[place].default) for place, column in columns]
        back = [(place, self._wanted.columns[place], column.default) for place, column in columns]
        upgrade, downgrade = replaced_enum(name, labels, now), replaced_enum(name, former, back)
        lost = [label for label in former if label not in labels]
        drops = f"value {', '.join(map(repr, lost))} of enum type {name}" if lost else ""
        return LiteralSql(tuple(upgrade), tuple(downgrade), drops=drops), {*places}

    def _altered(self, place: Place, found: Column, wanted: Column, *, relabelled: bool) -> Iterator[LiteralSql]:
        if found.identity and not wanted.identity:
            yield _operation(identity_change(place, found, wanted))
        if found.declaration != wanted.declaration:
            self._step_aside(columns=[place], all_of_them=False)
            yield _operation(self._retyped(place, found, wanted))
        elif found.default != wanted.default and not relabelled:
            yield _operation(default_change(place, found, wanted))

    def _identified(self) -> Iterator[LiteralSql]:
        """Make identity columns, which are NOT NULL by then, and change those that stay."""
        for place, found, wanted in self._changed():
            if wanted.identity and found.identity != wanted.identity and found.generated == wanted.generated:
                yield _operation(identity_change(place, found, wanted))

    def _retyped(self, place: Place, found: Column, wanted: Column) -> Statements:
        enums = {**self._actual.enums, **self._wanted.enums}
        using = conversion(self._connection, place[1], found.type, wanted.type, enums)
        if using is None:
            raise refuse_conversion(place, found.type, wanted.type)
        back = conversion(self._connection, place[1], wanted.type, found.type, enums)
        # Every type can be written as text and read from it (PostgreSQL manual, CREATE CAST: I/O conversion casts).
        back = f"{quoted(place[1])}::text::{found.type}" if back is None else back
        changed = type_change(place, found, replace(wanted, serial=found.serial), using, back)
        forced = self._tenants.intersection(read_forced_ends(self._connection, *place))
        upgrade, downgrade = (with_force_lifted(one, forced) for one in (changed.upgrade, changed.downgrade))
        return replace(changed, upgrade=upgrade, downgrade=downgrade)

    def _kept(self, operations: Iterable[MigrateOperation], tables: dict[str, Table]) -> Iterator[MigrateOperation]:
        """Leave out Alembic's operations on views, which it takes for tables, and on objects that are handled here."""
        for operation in operations:
            if isinstance(operation, CreateTableOp) and tables[operation.table_name].is_view:
                continue
            if isinstance(operation, ModifyTableOps):
                operation.ops[:] = sorted(
                    (one for one in operation.ops if not self._is_handled(one)), key=self._place_in_table
                )
                if not operation.ops:
                    continue
            yield operation

    def _place_in_table(self, operation: MigrateOperation) -> tuple[int, int]:
        """Put generated columns behind others where they come, and before them where they go: the last one first.

        Alembic takes dropped columns from a set, in an order that is another in every process.
        """
        if isinstance(operation, AddColumnOp):
            return (0 if operation.column.computed is None else 1), 0
        if isinstance(operation, DropColumnOp):
            place = (operation.table_name, operation.column_name)
            return (4 if self._actual.columns[place].generated is None else 3), -self._numbers[place]
        return 2, 0

    def _is_handled(self, operation: MigrateOperation) -> bool:
        """Say whether an object is changed here, or a column goes here; what Alembic drops does not come back."""
        if isinstance(operation, AlterColumnOp | DropColumnOp):
            return (operation.table_name, operation.column_name) in self._remade
        key = self._key(operation)
        former, now = self._actual.objects.get(key), self._wanted.objects.get(key)
        if (former and now) or self._is_ours(former or now):
            return True
        if key in self._gone and isinstance(operation, DropIndexOp | DropConstraintOp):
            self._made.pop(key, None)
            return True
        return False

    def _key(self, operation: MigrateOperation) -> Key:
        """Return the object that comes or goes, by the name that the server has; an empty key for anything else."""
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


def _written(enum: str) -> set[str]:
    """Return how the type of a column is written that is of an enum type, or an array of it."""
    return {enum, f"{enum}[]", quoted(enum), f"{quoted(enum)}[]"}


def _operation(statements: Statements) -> LiteralSql:
    return LiteralSql(statements.upgrade, statements.downgrade, note=statements.note, drops=statements.drops)
