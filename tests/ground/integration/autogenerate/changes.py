"""The changes that are seen: models before and after, and the rows that must survive both ways."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Numeric,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateView, SchemaItem

from schema.tenancy.base import NAMING_CONVENTION
from schema.tenancy.keys import tenant_foreign_key
from schema.tenancy.mixin import TenantMixin
from schema.tenancy.policies import Policy, Trigger, restrictive_policy, trigger

Declare = Callable[[MetaData], object]


@dataclass(frozen=True, slots=True)
class Change:
    """Models before and after, the rows between, and what of them is the same afterwards and when taken back."""

    before: Declare
    after: Declare
    rows: tuple[str, ...] = ("INSERT INTO t (id) VALUES (1), (2)",)
    kept: str = "SELECT id FROM t ORDER BY 1"


def declared(declare: Declare) -> MetaData:
    """Return the metadata that a model of a case makes."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    declare(metadata)
    return metadata


def table(*items: Any, **options: Any) -> Declare:
    """Declare table `t` with an id and these items, which are made again each time."""
    return lambda metadata: Table(
        "t", metadata, Column("id", Integer, primary_key=True, autoincrement=False), *(i() for i in items), **options
    )


def column(name: str, kind: Any, *details: Callable[[], Any], **options: Any) -> Callable[[], Column[Any]]:
    """Declare a column."""
    return lambda: Column(name, kind, *(detail() for detail in details), **options)


def several(*declares: Declare) -> Declare:
    """Declare one thing after the other."""
    return lambda metadata: [declare(metadata) for declare in declares]


def view(where: str, *columns: str, name: str = "v", **options: Any) -> Declare:
    """Declare a view on `t`."""

    def declare(metadata: MetaData) -> object:
        t = metadata.tables["t"]
        chosen = select(*(t.c[name] for name in columns or ("id",))).where(text(where))
        return CreateView(chosen, name, metadata=metadata, **options)

    return declare


def mood(*labels: str) -> Enum:
    """Return the native enum type `mood`."""
    return Enum(*labels, name="mood")


def check(expression: str, name: str = "c") -> Callable[[], CheckConstraint]:
    """Declare a CHECK."""
    return lambda: CheckConstraint(expression, name=name)


def index(name: str, *expressions: Any, **options: Any) -> Callable[[], Index]:
    """Declare an index of columns, or of expressions as text."""
    return lambda: Index(name, *expressions, **options)


def tenants(metadata: MetaData) -> object:
    """Declare the table that a tenant table references, without isolation."""
    return Table("tenants", metadata, Column("tenant_id", Uuid, primary_key=True))


def tenant_table(
    kind: Any,
    *,
    name: str = "t",
    policies: Iterable[Policy] = (),
    triggers: Iterable[Trigger] = (),
    constraints: Callable[[], tuple[SchemaItem, ...]] = tuple,
) -> Declare:
    """Declare a tenant table with a column `level` of this type, and what names that column."""

    def declare(metadata: MetaData) -> object:
        class Product(DeclarativeBase):
            pass

        Product.metadata = metadata

        class Note(TenantMixin, Product):
            __tablename__ = name
            __policies__ = tuple(policies)
            __triggers__ = tuple(triggers)
            __table_args__ = constraints()

            id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
            level: Mapped[Any] = mapped_column(kind)

        return Note

    return declare


def notes(kind: Any, using: str, events: str = "AFTER UPDATE") -> Declare:
    """Declare a tenant table whose policy and trigger name a column of it."""
    update = trigger("own", events, "app.set_updated_at()")
    return tenant_table(kind, policies=[restrictive_policy("own", using)], triggers=[update])


def replies(kind: Any) -> Declare:
    """Declare a tenant table whose rows refer to others of it by a column of this type."""
    return tenant_table(kind, constraints=lambda: (tenant_foreign_key("level", "t.id"),))


ANYBODY = "00000000-0000-0000-0000-000000000001"
NOTED = (
    f"INSERT INTO tenants VALUES ('{ANYBODY}')",
    "ALTER TABLE t NO FORCE ROW LEVEL SECURITY",
    f"INSERT INTO t (tenant_id, id, level) VALUES ('{ANYBODY}', 1, '1')",
    "ALTER TABLE t FORCE ROW LEVEL SECURITY",
)
# FORCE hides every row from the owner but not from the statistics that ANALYZE makes of all of them.
ALL_NOTES = "ANALYZE t; SELECT reltuples FROM pg_class WHERE oid = 't'::regclass"
N = column("n", Integer)
M = column("m", Integer)
FILLED = ("INSERT INTO t (id, n) VALUES (1, 1), (2, 2)",)
HAPPY = ("INSERT INTO t (id, m) VALUES (1, 'ok'), (2, 'sad')",)
BOTH = "SELECT id, n::text FROM t ORDER BY 1"
MOODS = "SELECT id, m::text FROM t ORDER BY 1"
INVOKER: dict[str, Any] = {"postgresql_with": {"security_invoker": True}}
MOOD = column("m", mood("ok", "sad"))


def _to(other: str) -> Callable[[], ForeignKeyConstraint]:
    return lambda: ForeignKeyConstraint(["n"], [f"{other}.id"])


def _chain(*names: str) -> list[Declare]:
    """Declare tables of which each references the one before."""

    def link(name: str, before: str) -> Declare:
        key = [ForeignKeyConstraint(["id"], [f"{before}.id"])] if before else []
        return lambda metadata: Table(name, metadata, Column("id", Integer, primary_key=True), *key)

    return [link(name, before) for name, before in zip(names, ("", *names), strict=False)]


CHANGES = {
    "table added": Change(table(), several(table(), lambda m: Table("u", m, Column("id", Uuid, primary_key=True)))),
    "tables that reference each other dropped": Change(several(table(), *_chain("a", "b", "c", "d", "e")), table()),
    "table dropped": Change(several(table(), lambda m: Table("u", m, Column("id", Uuid, primary_key=True))), table()),
    "column added": Change(table(), table(N)),
    "column dropped": Change(table(N), table()),
    "varchar longer": Change(
        table(column("n", String(5))), table(column("n", String(9))), ("INSERT INTO t VALUES (1, 'a')",), BOTH
    ),
    "varchar shorter": Change(
        table(column("n", String(9))), table(column("n", String(5))), ("INSERT INTO t VALUES (1, 'a')",), BOTH
    ),
    "integer to bigint": Change(table(N), table(column("n", BigInteger)), FILLED, BOTH),
    "numeric's precision": Change(
        table(column("n", Numeric(8, 2))),
        table(column("n", Numeric(10, 4))),
        FILLED,
        "SELECT id, n::int FROM t ORDER BY 1",
    ),
    "text to integer": Change(table(column("n", Text)), table(N), FILLED, BOTH),
    "text to integer with a default": Change(
        table(column("n", Text, server_default="7")), table(column("n", Integer, server_default="7")), FILLED, BOTH
    ),
    "boolean to smallint": Change(
        table(column("n", Boolean, server_default="true")),
        table(column("n", SmallInteger, server_default="1")),
        ("INSERT INTO t VALUES (1, true), (2, false), (3, NULL)",),
        "SELECT id, n::text::boolean FROM t ORDER BY 1",
    ),
    "numeric to boolean": Change(
        table(column("n", Numeric(3, 1))),
        table(column("n", Boolean)),
        ("INSERT INTO t VALUES (1, 1), (2, 0)",),
        "SELECT id, n::int::boolean FROM t ORDER BY 1",
    ),
    "storage options": Change(
        table(N, postgresql_with={"fillfactor": 50, "autovacuum_enabled": False}),
        table(N, postgresql_with={"fillfactor": 70, "parallel_workers": 2}),
        FILLED,
        BOTH,
    ),
    "no longer logged": Change(table(N), table(N, prefixes=["UNLOGGED"]), FILLED, BOTH),
    "table that is not logged dropped": Change(
        several(table(), lambda m: Table("u", m, Column("id", Uuid, primary_key=True), prefixes=["UNLOGGED"])), table()
    ),
    "integer to boolean": Change(table(N), table(column("n", Boolean)), ("INSERT INTO t VALUES (1, 1)",)),
    "text to jsonb": Change(table(column("n", Text)), table(column("n", JSONB)), FILLED, BOTH),
    "array of text to array of integer": Change(
        table(column("n", ARRAY(Text))),
        table(column("n", ARRAY(Integer))),
        ("INSERT INTO t VALUES (1, '{1,2}')",),
        BOTH,
    ),
    "timestamp with a zone": Change(
        table(column("n", DateTime())),
        table(column("n", DateTime(timezone=True))),
        ("INSERT INTO t VALUES (1, now())",),
    ),
    "collation": Change(table(column("n", Text)), table(column("n", Text(collation="C"))), FILLED, BOTH),
    "type under a view, a check and an index": Change(
        several(table(N, check("n > 0"), index("ix_n", "n", postgresql_where=text("n > 1"))), view("n > 0", "id", "n")),
        several(
            table(column("n", BigInteger), check("n > 0"), index("ix_n", "n", postgresql_where=text("n > 1"))),
            view("n > 0", "id", "n"),
        ),
        FILLED,
        "SELECT id, n FROM v ORDER BY 1",
    ),
    "not null": Change(table(N), table(column("n", Integer, nullable=False)), FILLED, BOTH),
    "null": Change(table(column("n", Integer, nullable=False)), table(N), FILLED, BOTH),
    "unique": Change(table(N), table(N, lambda: UniqueConstraint("n")), FILLED, BOTH),
    "foreign key": Change(table(N), table(N, lambda: ForeignKeyConstraint(["n"], ["t.id"])), FILLED, BOTH),
    "foreign key's action": Change(
        table(N, lambda: ForeignKeyConstraint(["n"], ["t.id"])),
        table(N, lambda: ForeignKeyConstraint(["n"], ["t.id"], ondelete="CASCADE")),
        FILLED,
        BOTH,
    ),
    "foreign key and the table that it references": Change(
        several(lambda m: Table("a", m, Column("id", Integer, primary_key=True)), table(N, _to("a"))),
        table(N),
    ),
    "foreign key and the type under it": Change(table(N, _to("t")), table(column("n", Text)), FILLED, BOTH),
    "index": Change(table(N), table(N, index("ix_n", "n")), FILLED, BOTH),
    "index dropped": Change(table(N, index("ix_n", "n")), table(N), FILLED, BOTH),
    "default added": Change(table(N), table(column("n", Integer, server_default="1")), FILLED, BOTH),
    "default changed": Change(
        table(column("n", Integer, server_default="1")),
        table(column("n", Integer, server_default=text("1 + 1"))),
        FILLED,
        BOTH,
    ),
    "default dropped": Change(table(column("n", Text, server_default="a")), table(column("n", Text)), FILLED, BOTH),
    "default of text": Change(
        table(column("n", Text, server_default="it's")), table(column("n", Text, server_default="its")), FILLED, BOTH
    ),
    "default of a function": Change(
        table(column("n", DateTime, server_default=func.now())),
        table(column("n", DateTime, server_default=func.clock_timestamp())),
    ),
    "text to enum": Change(table(column("m", Text)), table(MOOD), HAPPY, MOODS),
    "enum to text": Change(table(MOOD), table(column("m", Text)), HAPPY, MOODS),
    "check added": Change(table(N), table(N, check("n > 0")), FILLED, BOTH),
    "check dropped": Change(table(N, check("n > 0")), table(N), FILLED, BOTH),
    "check changed": Change(table(N, check("n > 0")), table(N, check("n > 0 AND n < 9")), FILLED, BOTH),
    "check on a column that comes": Change(table(N), table(N, M, check("n > 0 OR m > 0")), FILLED, BOTH),
    "check on a column that goes": Change(table(N, M, check("n > 0 OR m > 0")), table(N, check("n > 0")), FILLED, BOTH),
    "index made partial": Change(
        table(N, index("ix_n", "n")), table(N, index("ix_n", "n", postgresql_where=text("n > 0"))), FILLED, BOTH
    ),
    "index no longer partial": Change(
        table(N, index("ix_n", "n", postgresql_where=text("n > 0"))), table(N, index("ix_n", "n")), FILLED, BOTH
    ),
    "partial index's predicate": Change(
        table(N, index("ix_n", "n", postgresql_where=text("n > 0"))),
        table(N, index("ix_n", "n", postgresql_where=text("n > 1"))),
        FILLED,
        BOTH,
    ),
    "partial index dropped": Change(
        table(N, index("ix_n", "n", postgresql_where=text("n > 0"), unique=True)), table(N), FILLED, BOTH
    ),
    "expression index added": Change(
        table(column("n", Text)), table(column("n", Text), index("ix_n", text("lower(n)"), "id")), FILLED, BOTH
    ),
    "expression index changed": Change(
        table(column("n", Text), index("ix_n", text("lower(n)"))),
        table(column("n", Text), index("ix_n", text("upper(n)"))),
        FILLED,
        BOTH,
    ),
    "expression index dropped": Change(
        table(column("n", Text), index("ix_n", text("lower(n)"))), table(column("n", Text)), FILLED, BOTH
    ),
    "index's method": Change(
        table(N, index("ix_n", "n")), table(N, index("ix_n", "n", postgresql_using="hash")), FILLED, BOTH
    ),
    "index's method again the usual one": Change(
        table(N, index("ix_n", "n", postgresql_using="hash")), table(N, index("ix_n", "n")), FILLED, BOTH
    ),
    "index's order": Change(table(N, index("ix_n", "n")), table(N, index("ix_n", text("n DESC"))), FILLED, BOTH),
    "comment of a column": Change(table(N), table(column("n", Integer, comment="it's\n100 % :n"))),
    "comment of a table": Change(table(comment="a"), table(comment="b")),
    "view added": Change(table(N), several(table(N), view("n > 0", **INVOKER)), FILLED, BOTH),
    "view dropped": Change(several(table(N), view("n > 0", **INVOKER)), table(N), FILLED, BOTH),
    "view changed": Change(
        several(table(N), view("n > 0", **INVOKER)), several(table(N), view("n > 1", "n", **INVOKER)), FILLED, BOTH
    ),
    "view made the caller's": Change(
        several(table(N), view("n > 0")), several(table(N), view("n > 0", **INVOKER)), FILLED, BOTH
    ),
    "view of a new column": Change(table(), several(table(N), view("n > 0", "n"))),
    "view of a view": Change(
        several(table(N), view("n > 0"), _of_view := lambda m: CreateView(select(m.tables["v"].c.id), "w", metadata=m)),
        several(table(N), view("n > 1"), _of_view),
        FILLED,
        BOTH,
    ),
    "view grouped by a key": Change(
        table(N),
        several(
            table(N),
            lambda m: CreateView(
                select(*m.tables["t"].c, func.count().label("many")).group_by(m.tables["t"].c.id), "v", metadata=m
            ),
        ),
        FILLED,
        BOTH,
    ),
    "view of a table whose name is quoted": Change(
        table(),
        several(
            table(),
            lambda m: Table("of two words", m, Column("id", Integer, primary_key=True)),
            lambda m: CreateView(select(m.tables["of two words"].c.id), "v", metadata=m),
        ),
    ),
    "materialized view": Change(table(N), several(table(N), view("n > 0", materialized=True)), FILLED, BOTH),
    "sequence added": Change(table(), several(table(), lambda m: Sequence("s", metadata=m, start=5))),
    "type under a policy and a trigger": Change(
        several(tenants, notes(Integer, "level > 0", "AFTER UPDATE OF level")),
        several(tenants, notes(BigInteger, "level > 0", "AFTER UPDATE OF level")),
        NOTED,
        ALL_NOTES,
    ),
    "type and the policy on it": Change(
        several(tenants, notes(Integer, "level > 0")),
        several(tenants, notes(BigInteger, "level > 1")),
        NOTED,
        ALL_NOTES,
    ),
    "type under a tenant's foreign key": Change(
        several(tenants, replies(Integer)), several(tenants, replies(BigInteger)), NOTED, ALL_NOTES
    ),
    "enum under a policy": Change(
        several(tenants, notes(mood("ok", "odd", "1"), "level = 'ok'")),
        several(tenants, notes(mood("1", "ok"), "level <> 'ok'")),
        NOTED,
        ALL_NOTES,
    ),
    "sequence dropped": Change(several(table(), lambda m: Sequence("s", metadata=m)), table()),
    "sequence changed": Change(
        several(table(), lambda m: Sequence("s", metadata=m)),
        several(table(), lambda m: Sequence("s", metadata=m, increment=5, cycle=True, maxvalue=99)),
    ),
    "default of a new sequence": Change(
        table(N),
        several(lambda m: Sequence("s", metadata=m), table(column("n", Integer, server_default=text("nextval('s')")))),
        FILLED,
        BOTH,
    ),
}
