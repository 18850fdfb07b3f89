"""The changes of constraints that are more than columns in their order, of names that are cut, and of percent signs."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from schema.tenancy.keys import tenant_foreign_key, tenant_unique
from tests.ground.integration.autogenerate.changes import (
    BOTH,
    FILLED,
    Change,
    Declare,
    N,
    check,
    column,
    index,
    mood,
    several,
    table,
    tenant_table,
    tenants,
    view,
)

DEFERRED: dict[str, Any] = {"deferrable": True, "initially": "DEFERRED"}


def unique(*columns: str, **options: Any) -> Callable[[], UniqueConstraint]:
    """Declare a UNIQUE constraint `u`."""
    return lambda: UniqueConstraint(*columns, name="u", **options)


def apart(number: str = "n", **options: Any) -> Callable[[], ExcludeConstraint]:
    """Declare that no two rows have the same number, by an exclusion."""
    return lambda: ExcludeConstraint((text(f"int8range({number}, {number} + 1)"), "&&"), name="apart", **options)


def next_to(expression: str) -> Callable[[], Column[Any]]:
    """Declare a column that is generated of another."""
    return column("m", Integer, lambda: Computed(expression, persisted=True))


def levels(*labels: str) -> Declare:
    """Declare tables of tenants of which one refers to the other by a column of an enum type."""
    kind = mood(*labels)
    return several(
        tenant_table(kind, name="x", constraints=lambda: (tenant_unique("level"),)),
        tenant_table(kind, name="y", constraints=lambda: (tenant_foreign_key("level", "x.level"),)),
    )


def pair(**options: Any) -> Declare:
    """Declare two tables that reference each other."""

    def declare(metadata: MetaData) -> object:
        for one, other in (("a", "b"), ("b", "a")):
            key: Column[int] = Column("other", ForeignKey(f"{other}.id", **options))
            Table(one, metadata, Column("id", Integer, primary_key=True), key)
        return metadata

    return declare


def partitioned(*items: Callable[[], Any]) -> Declare:
    """Declare a partitioned table."""
    return lambda metadata: Table(
        "p",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("n", Integer),
        *(item() for item in items),
        postgresql_partition_by="LIST (id)",
    )


def long(*columns: Callable[[], Column[Any]]) -> Declare:
    """Declare a table whose names are longer than a name may be, with more columns."""
    return lambda metadata: Table(
        "a_name_of_a_table_that_is_as_long_as_many_are_and_some",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("another_long_name", Integer, index=True, unique=True),
        CheckConstraint("id > 0", name="yet_another_name"),
        *(column() for column in columns),
    )


def each_other(*names: str) -> Declare:
    """Declare two tables of tenants' rows that refer to rows of the other."""

    def table_of(name: str, other: str) -> Declare:
        return tenant_table(Integer, name=name, constraints=lambda: (tenant_foreign_key("level", f"{other}.id"),))

    first, second = names
    return several(table_of(first, second), table_of(second, first))


def everything(metadata: MetaData) -> object:
    """Declare a table with something of each kind that a downgrade has to bring back."""
    return Table(
        "u",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("n", Integer, Identity(increment=5), comment="50 %"),
        Column("t", Text(collation="C"), server_default=":%s"),
        Column("g", Integer, Computed("n % 2", persisted=True)),
        Column("m", mood("a%", "b'c")),
        Column("ms", ARRAY(mood("a%", "b'c"))),
        CheckConstraint("t LIKE '%@%' AND n % 5 > 0", name="c"),
        UniqueConstraint("n", name="u1", **DEFERRED),
        UniqueConstraint("t", "id", name="u2", postgresql_include=["n"]),
        UniqueConstraint("t", name="u3", postgresql_nulls_not_distinct=True),
        ExcludeConstraint((text("int8range(n, n + 1)"), "&&"), name="apart", where=text("n % 3 > 1")),
        Index("i1", "t", postgresql_where=text("t LIKE 'a%'")),
        Index("i2", text("lower(t)")),
        Index("i3", "n", unique=True, postgresql_nulls_not_distinct=True),
        Index("i4", "t", postgresql_ops={"t": "text_pattern_ops"}, postgresql_with={"fillfactor": 50}),
        Index("i5", "n", postgresql_include=["t"]),
        Index("i6", text("n DESC NULLS LAST")),
        comment="50 % of 'it'",
    )


def less(metadata: MetaData) -> object:
    """Declare that table with two of its columns alone."""
    return Table("u", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, Identity(increment=5)))


KEYS = {
    "UNIQUE at the end of a transaction": Change(
        table(N, unique("n")), table(N, unique("n", **DEFERRED)), FILLED, BOTH
    ),
    "UNIQUE at once again": Change(table(N, unique("n", **DEFERRED)), table(N, unique("n")), FILLED, BOTH),
    "UNIQUE of other columns, and deferred": Change(
        table(N, unique("n")), table(N, unique("n", "id", **DEFERRED)), FILLED, BOTH
    ),
    "UNIQUE that includes a column added": Change(
        table(N), table(N, unique("n", postgresql_include=["id"])), FILLED, BOTH
    ),
    "exclusion added": Change(table(N), table(N, apart()), FILLED, BOTH),
    "exclusion dropped": Change(table(N, apart()), table(N), FILLED, BOTH),
    "exclusion changed": Change(table(N, apart()), table(N, apart(where=text("n > 0"))), FILLED, BOTH),
    "exclusion of a column that is dropped": Change(
        table(N, apart()), table(), ("INSERT INTO t (id, n) VALUES (1, 1)",)
    ),
    "exclusion of a column that is generated otherwise": Change(
        table(N, next_to("n + 1"), apart("m")), table(N, next_to("n + 2"), apart("m")), FILLED, BOTH
    ),
    "table with everything added": Change(table(), several(table(), everything)),
    "table with everything dropped": Change(several(table(), everything), table()),
    "columns of everything dropped": Change(several(table(), everything), several(table(), less)),
    "tables that refer to each other added": Change(table(), several(table(), pair())),
    "tables that refer to each other dropped": Change(several(table(), pair()), table()),
    "foreign keys that are to come later": Change(table(), several(table(), pair(use_alter=True))),
    "rows of tenants that refer to each other": Change(
        several(tenants, table()),
        several(tenants, table(), each_other("x", "y")),
    ),
    "rows of tenants that refer to each other no longer": Change(
        several(tenants, table(), each_other("x", "y")), several(tenants, table())
    ),
    "enum under a tenant's foreign key": Change(
        several(tenants, table(), levels("ok", "odd", "1")), several(tenants, table(), levels("1", "ok"))
    ),
    "index of a partitioned table": Change(
        several(table(), partitioned()),
        several(table(), partitioned(index("ix_n", "n", postgresql_where=text("n > 1")), check("n > 0"))),
    ),
    "names that are cut": Change(table(), several(table(), long())),
    "names that are cut, and a column more": Change(
        several(table(), long()), several(table(), long(column("more", Integer)))
    ),
    "CHECK with a percent sign": Change(
        table(N, check("n % 2 >= 0")), table(N, check("n % 3 >= 0 AND 'a:b' LIKE 'a%'")), FILLED, BOTH
    ),
    "default with a percent sign": Change(
        table(column("n", Text)), table(column("n", Text, server_default=":a %s %(b)s 'q' \\ ")), FILLED, BOTH
    ),
    "view with a percent sign": Change(
        table(column("n", Text)), several(table(column("n", Text)), view("n LIKE 'a%:b'")), FILLED, BOTH
    ),
}
