"""Ten tenant tables, how they may be edited, and the SQLAlchemy models that are declared of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    Index,
    Integer,
    MetaData,
    Numeric,
    Sequence,
    String,
    Text,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import CreateView
from sqlalchemy.types import TypeEngine

from schema.migration.generate.renames import Rename
from schema.tenancy.keys import tenant_foreign_key, tenant_index, tenant_unique
from schema.tenancy.mixin import TenantMixin
from schema.tenancy.policies import restrictive_policy
from tests.ground.integration.autogenerate.changes import INVOKER, declared, tenants

PLAIN: dict[str, TypeEngine[Any]] = {
    "integer": Integer(),
    "bigint": BigInteger(),
    "numeric": Numeric(9),
    "text": Text(),
    "varchar": String(20),
}
WHOLE = frozenset({"integer", "bigint"})
WORDS = frozenset({"text", "varchar"})
COMPUTED = "1 + 1"
# Of any type: each holds for the rows, whose columns are 1 and 2, and for none that is NULL.
CHECKS = ("{c}::text <> 'x'", "{c}::text <> 'y'", "({c} IS NOT NULL) OR id > 0")
GENERATED = ("length({c}::text)", "length({c}::text) + 1")
INDEXES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("{c}", {"postgresql_where": text("id > 1")}),
    ("{c}", {"postgresql_where": text("id > 2")}),
    ("length({c}::text)", {}),
    ("upper({c}::text)", {}),
    ("{c}", {"postgresql_using": "hash"}),
    ("{c} DESC", {}),
)


@dataclass(frozen=True)
class ColumnOf:
    """A column; `kind` is a plain type's name or an enum type's, `generated` the source's key and an expression."""

    name: str
    kind: str = "integer"
    nullable: bool = True
    default: str = ""
    comment: str = ""
    generated: tuple[int, int] | None = None
    unique: bool = False
    index: bool = False
    special: int | None = None
    check: int | None = None
    parent: int | None = None
    ondelete: str | None = None


@dataclass(frozen=True)
class TableOf:
    """A table; its columns, of which one may be in a policy, by a key that stays while names change."""

    name: str
    filled: bool
    columns: Mapping[int, ColumnOf] = field(default_factory=dict)
    comment: str = ""
    policy: int | None = None


@dataclass(frozen=True)
class ViewOf:
    """A view of one column of a table."""

    table: int
    column: int
    above: int


@dataclass(frozen=True)
class Model:
    """All that is declared; `next` is the next free key."""

    tables: Mapping[int, TableOf]
    enums: Mapping[str, tuple[str, ...]]
    views: Mapping[str, ViewOf]
    sequences: Mapping[str, int]
    next: int
    edits: tuple[str, ...] = field(default=(), compare=False)
    """What was done last, for people."""

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Print the edits alone, where hypothesis prints a history (its manual: IPython's protocol)."""
        printer.text(f"<{', '.join(self.edits)}>")

    def with_table(self, key: int, **changed: Any) -> "Model":
        """Return the model with a table changed."""
        return replace(self, tables={**self.tables, key: replace(self.tables[key], **changed)})

    def with_column(self, table: int, key: int, **changed: Any) -> "Model":
        """Return the model with a column changed."""
        columns = self.tables[table].columns
        return self.with_table(table, columns={**columns, key: replace(columns[key], **changed)})

    def metadata(self) -> MetaData:
        """Return what is declared."""
        return declared(self._declare)

    def _declare(self, metadata: MetaData) -> None:
        tenants(metadata)
        for name, step in self.sequences.items():
            Sequence(name, metadata=metadata, increment=step)

        class Product(DeclarativeBase):
            pass

        Product.metadata = metadata
        for table in self.tables.values():
            type(table.name, (TenantMixin, Product), self._body(table))
        for name, view in self.views.items():
            made = metadata.tables[self.tables[view.table].name]
            shown = made.c[self.tables[view.table].columns[view.column].name]
            CreateView(select(made.c.id, shown).where(text(f"id > {view.above}")), name, metadata=metadata, **INVOKER)

    def _body(self, table: TableOf) -> dict[str, Any]:
        policed = () if table.policy is None else (table.columns[table.policy].name,)
        return {
            "__tablename__": table.name,
            "__table_args__": (*self._keys(table), {"comment": table.comment or None}),
            "__policies__": tuple(restrictive_policy("own", f"{name} IS NOT NULL OR id > 0") for name in policed),
            "id": Column(Integer, primary_key=True, autoincrement=False),
            **{column.name: self._column(table, column) for column in table.columns.values()},
        }

    def _column(self, table: TableOf, one: ColumnOf) -> Column[Any]:
        kind: TypeEngine[Any] = PLAIN[one.kind] if one.kind in PLAIN else Enum(*self.enums[one.kind], name=one.kind)
        computed = []
        if one.generated is not None:
            source, number = one.generated
            computed.append(Computed(GENERATED[number].format(c=table.columns[source].name), persisted=True))
        default: Any = text(one.default) if one.default == COMPUTED or "(" in one.default else one.default
        given = {"server_default": default} if one.default else {}
        return Column(kind, *computed, nullable=one.nullable, comment=one.comment or None, **given)

    def _keys(self, table: TableOf) -> Iterator[Any]:
        for key, one in table.columns.items():
            if one.unique:
                yield tenant_unique(one.name)
            if one.index:
                yield tenant_index(one.name)
            if one.special is not None:
                expression, options = INDEXES[one.special]
                yield Index(f"ix_{table.name}_{one.name}_odd", text(expression.format(c=one.name)), **options)
            if one.check is not None:
                yield CheckConstraint(CHECKS[one.check].format(c=one.name), name=f"k{key}")
            if one.parent is not None:
                yield tenant_foreign_key(one.name, f"{self.tables[one.parent].name}.id", ondelete=one.ondelete)


def renames(before: Model, after: Model) -> Iterator[Rename]:
    """Yield what is called otherwise."""
    for key, table in after.tables.items():
        former = before.tables.get(key, table)
        if former.name != table.name:
            yield Rename(former.name, "", table.name)
        for number, column in table.columns.items():
            was = former.columns.get(number, column)
            if was.name != column.name:
                yield Rename(table.name, was.name, column.name)


def is_sound(model: Model) -> bool:
    """Return whether PostgreSQL takes what is declared."""
    return all(
        _column_is_sound(model, table, column) for table in model.tables.values() for column in table.columns.values()
    )


def _column_is_sound(model: Model, table: TableOf, one: ColumnOf) -> bool:
    labels = model.enums.get(one.kind)
    if one.generated is not None:
        source = table.columns[one.generated[0]]
        plain = source.kind in PLAIN and source.generated is None
        return plain and one.kind in WHOLE and not (one.default or one.unique) and one.parent is None
    if labels is not None and (one.default and one.default not in labels):
        return False
    if labels is not None and one.special is not None and "(" in INDEXES[one.special][0]:
        return False  # what depends on an enum type's labels is not immutable
    return one.parent is None or (one.kind in WHOLE and "(" not in one.default)


def is_possible(before: Model, after: Model) -> bool:
    """Return whether every type can be converted, and the rows can be what both models declare, on the way and back."""
    return all(
        _table_is_possible(before, after, key) and _table_is_possible(after, before, key, back=True)
        for key in before.tables
        if key in after.tables
    )


def comes(former: Mapping[int, ColumnOf], now: Mapping[int, ColumnOf], key: int, *, back: bool = False) -> bool:
    """Return whether a column is made again, not of what it was; on the way back none stays what it was computed to."""
    was, one = former.get(key), now[key]
    if was is None or was.generated == one.generated:
        return was is None
    return back or one.generated is not None or was.kind != one.kind


def _table_is_possible(before: Model, after: Model, key: int, *, back: bool = False) -> bool:
    """Return whether what `after` declares of a table can be made of what `before` has."""
    former, now, filled = before.tables[key].columns, after.tables[key].columns, before.tables[key].filled
    for number, one in now.items():
        if comes(former, now, number, back=back):
            if filled and not (one.nullable or one.default or one.generated):
                return False
            if filled and one.unique and one.default:
                return False
        elif not _converts(after, former[number], one, filled=filled):
            return False
        if filled and one.parent is not None:
            parent = before.tables.get(one.parent)
            if parent is None or not parent.filled:
                return False
    return True


def _converts(after: Model, was: ColumnOf, one: ColumnOf, *, filled: bool) -> bool:
    labels = after.enums.get(one.kind)
    if labels is not None:
        kept = not filled or {"1", "2"} <= {*labels}
        return kept and (was.kind == one.kind or was.kind in WORDS)
    return was.kind in PLAIN or one.kind in WORDS
