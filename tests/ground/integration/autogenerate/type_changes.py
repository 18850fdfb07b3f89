"""The changes of columns whose types are the product's own classes, domains, or bring a CHECK along."""

import enum
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    Integer,
    Interval,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects.postgresql import DOMAIN, JSONB, JSONPATH, UUID
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine, UserDefinedType

from tests.ground.integration.autogenerate.changes import (
    BOTH,
    FILLED,
    Change,
    Declare,
    N,
    check,
    column,
    several,
    table,
)


class Cents(TypeDecorator[int]):
    """An amount of money."""

    impl = BigInteger
    cache_ok = True


class Price(TypeDecorator[int]):
    """An amount of money, decorated twice."""

    impl = Cents
    cache_ok = True


class Guid(TypeDecorator[Any]):
    """A UUID where there is such a type."""

    impl = CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the dialect's own type."""
        return dialect.type_descriptor(UUID() if dialect.name == "postgresql" else CHAR(32))


class Point(UserDefinedType[Any]):
    """A type that SQLAlchemy has no class for."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return what PostgreSQL calls it."""
        return "point"


class Code(String):
    """A class of the product's own, derived from one of SQLAlchemy's."""


class Mood(enum.Enum):
    """How somebody is."""

    OK = "ok"
    SAD = "sad"


class Feeling(TypeDecorator[Mood]):
    """A mood."""

    impl = Enum(Mood, name="feeling")
    cache_ok = True


def labels(*names: str, **options: Any) -> Callable[[], Enum]:
    """Declare a type of these labels that a CHECK keeps."""
    return lambda: Enum(*names, native_enum=False, create_constraint=True, **{"name": "kind", "length": 20, **options})


def domain(
    check: str | None = "VALUE > 0", kind: Any = Integer, name: str = "d", **options: Any
) -> Callable[[], DOMAIN]:
    """Declare a domain."""
    return lambda: DOMAIN(name, kind, check=check, **options)


KINDS: tuple[Callable[[], TypeEngine[Any]], ...] = (
    Cents,
    Price,
    Guid,
    Point,
    Feeling,
    JSONPATH,
    labels("a", "b'c :d %"),
    lambda: Code(5),
    lambda: ARRAY(Cents),
    lambda: ARRAY(Feeling),
    lambda: ARRAY(Point),
    lambda: Text().with_variant(Cents(), "postgresql"),
    lambda: JSON().with_variant(JSONB(), "postgresql"),
    # SQLAlchemy's copy of an Enum has no variants, so a copied table would have another type.
    lambda: Enum("a", "b", native_enum=False).with_variant(String(20), "postgresql"),
    lambda: Enum("a", "b", name="sqlites").with_variant(String(20), "postgresql"),
    lambda: labels("a", name="copied")().with_variant(Enum("a", "b", name="postgres"), "postgresql"),
    lambda: Boolean(create_constraint=True, name="number").with_variant(Integer(), "postgresql"),
    lambda: String(20).with_variant(labels("a", name="varied")(), "postgresql"),
    lambda: Interval(second_precision=3),
    lambda: Boolean(create_constraint=True, name="truth"),
    lambda: Boolean(create_constraint=True),
    lambda: Enum("a", "b", name="native", create_constraint=True),
    domain(),
    domain(r"VALUE ~ '^(?\:a|b)@%'", Text, "Of Two", not_null=True, collation="C", default="a@%:b"),
    domain("VALUE IN ('a', 'b')", String(5), "s", constraint_name="known"),
)


def every_kind(name: str) -> Declare:
    """Declare a table with a column of each type."""
    return lambda metadata: Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        *(Column(f"c{number}", kind()) for number, kind in enumerate(KINDS)),
    )


def of(kind: Callable[[], Any], **options: Any) -> Callable[[], Column[Any]]:
    """Declare column `n` of a type."""
    return lambda: Column("n", kind(), **options)


def by_columns(metadata: MetaData) -> object:
    """Declare a CHECK that names columns, and one that is for another database."""
    n: Column[int] = Column("n", Integer)
    return Table(
        "t",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        n,
        CheckConstraint(n > 0, name="c"),
        CheckConstraint("n GLOB 1", name="other").ddl_if(dialect="sqlite"),
    )


TYPES = {
    "table of every kind of type added": Change(table(), several(table(), every_kind("u"))),
    "table of every kind of type dropped": Change(several(table(), every_kind("u")), table()),
    "columns of every kind of type added": Change(table(), every_kind("t")),
    "columns of every kind of type dropped": Change(every_kind("t"), table()),
    "labels kept by a CHECK": Change(
        table(of(labels("a", "b"))), table(of(labels("a", "b", "it's"))), ("INSERT INTO t VALUES (1, 'a')",), BOTH
    ),
    "CHECK of labels added": Change(
        table(column("n", String(20))), table(of(labels("a", "b"))), ("INSERT INTO t VALUES (1, 'a')",), BOTH
    ),
    "CHECK that names columns": Change(table(N), by_columns, FILLED, BOTH),
    "domain changed": Change(
        table(of(domain("VALUE > 0", default="1"))),
        table(of(domain("VALUE > -1", default="2", not_null=True))),
        FILLED,
        BOTH,
    ),
    "integer to a domain": Change(table(N), table(of(domain())), FILLED, BOTH),
    "domain to its type": Change(
        table(of(domain()), check("n < 9"), column("g", Integer, lambda: Computed("n * 2", persisted=True))),
        table(N, check("n < 9"), column("g", Integer, lambda: Computed("n * 2", persisted=True))),
        FILLED,
        BOTH,
    ),
    "default of a domain's column": Change(
        table(of(domain())), table(of(domain(), server_default=text("7"))), FILLED, BOTH
    ),
}
