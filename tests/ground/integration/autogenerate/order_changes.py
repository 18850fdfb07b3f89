"""The changes of keys together with the foreign keys that lead to them: each needs the other to be there, or gone."""

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, UniqueConstraint

from schema.tenancy.keys import tenant_foreign_key, tenant_unique
from tests.ground.integration.autogenerate.changes import (
    BOTH,
    FILLED,
    Change,
    Declare,
    N,
    column,
    index,
    several,
    table,
    tenant_table,
    tenants,
)


def lists(*parents: str, unique_parent: bool = False, name: str = "u") -> Declare:
    """Declare a table whose columns `r` and `n` may refer to keys, and be one."""

    def declare(metadata: MetaData) -> object:
        keys = [ForeignKey(parent) for parent in parents]
        number: Column[int] = Column("n", Integer, index=True, unique=unique_parent)
        return Table(name, metadata, Column("id", Integer, primary_key=True), Column("r", Integer, *keys), number)

    return declare


def levels(*, keyed: bool, name: str = "a") -> Declare:
    """Declare a tenant table with a unique level, or without."""
    return tenant_table(Integer, name=name, constraints=lambda: (tenant_unique("level"),) if keyed else ())


def leading(to: str, name: str = "b") -> Declare:
    """Declare a tenant table whose rows refer to a level of another."""
    return tenant_table(Integer, name=name, constraints=lambda: (tenant_foreign_key("level", f"{to}.level"),))


def key(**options: Any) -> Any:
    """Declare that `n` is unique, under a name of its own."""
    return lambda: UniqueConstraint("n", **options)


UNIQUE_INDEX = index("ux", "n", unique=True)
WITH_ID: dict[str, Any] = {"postgresql_include": ["id"], "name": "uq_t_n"}

ORDER = {
    "key and a new table that refers to it": Change(table(N), several(table(N, key()), lists("t.n")), FILLED, BOTH),
    "unique index and a new table that refers to it": Change(
        table(N), several(table(N, UNIQUE_INDEX), lists("t.n")), FILLED, BOTH
    ),
    "key of a new column and a new table that refers to it": Change(table(), several(table(N, key()), lists("t.n"))),
    "key that includes more and a new table that refers to it": Change(
        table(N), several(table(N, key(**WITH_ID)), lists("t.n")), FILLED, BOTH
    ),
    "key and a table that is compared before it": Change(
        several(table(N), lists(name="a")), several(table(N, key()), lists("t.n", name="a")), FILLED, BOTH
    ),
    "key of tenants and a new table that refers to it": Change(
        several(tenants, table(), levels(keyed=False)), several(tenants, table(), levels(keyed=True), leading("a"))
    ),
    "key of tenants and a table that is compared before it": Change(
        several(tenants, table(), levels(keyed=False, name="b"), tenant_table(Integer, name="a")),
        several(tenants, table(), levels(keyed=True, name="b"), leading("b", "a")),
    ),
    "key and the table that refers to it dropped": Change(
        several(table(N, key()), lists("t.n")), table(N), FILLED, BOTH
    ),
    "key that includes more and the table that refers to it dropped": Change(
        several(table(N, key(**WITH_ID)), lists("t.n")), table(N), FILLED, BOTH
    ),
    "tables whose keys are indexes dropped": Change(
        several(table(), lists(unique_parent=True, name="a"), lists("a.n", name="b")), table()
    ),
    "key of tenants and the table that refers to it dropped": Change(
        several(tenants, table(), levels(keyed=True), leading("a")), several(tenants, table(), levels(keyed=False))
    ),
    "key under a foreign key called otherwise": Change(
        several(table(N, key(name="one")), lists("t.n")), several(table(N, key(name="two")), lists("t.n")), FILLED, BOTH
    ),
    "key under a foreign key made an index": Change(
        several(table(N, key()), lists("t.n")), several(table(N, UNIQUE_INDEX), lists("t.n")), FILLED, BOTH
    ),
    "key under a foreign key that includes more": Change(
        several(table(N, key()), lists("t.n")),
        several(table(N, key(**WITH_ID)), lists("t.n")),
        FILLED,
        BOTH,
    ),
    "key that another takes the place of": Change(
        several(table(N, column("m", Integer, unique=True)), lists("t.m")),
        several(table(N, key(), column("m", Integer)), lists("t.n")),
        FILLED,
        BOTH,
    ),
}
