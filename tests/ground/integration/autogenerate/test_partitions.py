"""Partitions belong to their parent: whoever made them, `generate` neither drops nor changes them.

The kind: whatever hangs on a partitioned table that no model declares, of each strategy and at any depth.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from schema.errors import MigrationError
from schema.models import metadata
from schema.tenancy.base import NAMING_CONVENTION, Base
from schema.tenancy.keys import tenant_index
from schema.tenancy.mixin import TenantMixin
from tests.ground.integration.autogenerate.changes import declared, tenants
from tests.ground.integration.conftest import Scratch
from tests.kit.cases import Cases

pytestmark = pytest.mark.one_backend


def events(
    key: str | None, *more: Callable[[], Any], name: str = "events", **columns: Callable[[], Any]
) -> Callable[[MetaData], object]:
    """Declare a tenant's table of events, partitioned by a key where one is given, and what refers to one."""

    def declare(declared: MetaData) -> None:
        class Product(DeclarativeBase):
            type_annotation_map = Base.type_annotation_map
            metadata = declared

        tenants(declared) if "tenants" not in declared.tables else None
        options = {"postgresql_partition_by": key} if key else {}
        annotations = {"id": Mapped[int], "at": Mapped[Any], "kind": Mapped[str]}
        body = {
            "__tablename__": name,
            "__table_args__": (*(make() for make in more), options),
            "__annotations__": annotations,
            "id": mapped_column(Integer, primary_key=True, autoincrement=False),
            "at": mapped_column(DateTime(timezone=True), primary_key=True),
            "__module__": __name__,
            **{name: column() for name, column in columns.items()},
        }
        type("Event", (TenantMixin, Product), body)
        Table(
            "notes",
            declared,
            Column("id", Integer, primary_key=True, autoincrement=False),
            *(Column("tenant_id", Uuid), Column("event_id", Integer), Column("event_at", DateTime(timezone=True))),
            ForeignKeyConstraint(
                ["tenant_id", "event_id", "event_at"], [f"{name}.tenant_id", f"{name}.id", f"{name}.at"]
            ),
        )

    return declare


KEYS: dict[str, tuple[str, list[str]]] = {
    "range": ("RANGE (at)", ["FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "DEFAULT"]),
    "list": ("LIST (tenant_id)", ["FOR VALUES IN ('00000000-0000-0000-0000-00000000000a')", "DEFAULT"]),
    "hash": ("HASH (tenant_id, id)", [f"FOR VALUES WITH (MODULUS 2, REMAINDER {n})" for n in (0, 1)]),
    "several columns": ("range (at , id)", ["FOR VALUES FROM ('2026-01-01', 1) TO ('2027-01-01', 1)", "DEFAULT"]),
    "partitions of partitions": ("RANGE (at)", ["DEFAULT PARTITION BY LIST (tenant_id)"]),
}  # fmt: skip


def make_partitions(cases: Cases, bounds: list[str]) -> None:
    """Make partitions as a migration by hand would; of a partitioned one, a partition of its own."""
    for number, bound in enumerate(bounds):
        cases.execute(f"CREATE TABLE events_{number} PARTITION OF events {bound}")
        if "PARTITION BY" in bound:
            cases.execute(f"CREATE TABLE events_{number}_0 PARTITION OF events_{number} DEFAULT")


@pytest.mark.parametrize(("key", "bounds"), KEYS.values(), ids=KEYS)
def test_partitions_are_no_difference(key: str, bounds: list[str], cases: Cases) -> None:
    """Nor is what they have of their parent: columns, keys, indexes, triggers and foreign keys to each of them."""
    plain = declared(events(key))
    cases.run(cases.generate(plain).upgrade)
    make_partitions(cases, bounds)
    assert cases.generate(plain).is_empty
    changed = declared(events(key, lambda: tenant_index("kind"), lambda: UniqueConstraint("tenant_id", "id", "at")))
    written = cases.generate(changed)
    cases.run(written.upgrade)
    assert cases.generate(changed).is_empty
    assert not re.search(r"events_\d", written.upgrade + written.downgrade)
    cases.run(written.downgrade)
    assert cases.generate(plain).is_empty


@pytest.mark.parametrize(("key", "bounds"), KEYS.values(), ids=KEYS)
def test_a_dropped_parent_comes_back_with_its_partitions(key: str, bounds: list[str], cases: Cases) -> None:
    """The way back makes the partitioned table, its isolation and each partition again."""
    before = declared(events(key))
    cases.run(cases.generate(before).upgrade)
    make_partitions(cases, bounds)
    shape = cases.shape
    written = cases.generate(declared(tenants))
    cases.run(written.upgrade)
    assert cases.ask("SELECT count(*) FROM pg_class WHERE relname ~ '^events'") == [(0,)]
    cases.run(written.downgrade)
    assert cases.shape == shape
    assert cases.generate(before).is_empty


def test_columns_change_with_those_of_the_partitions(cases: Cases) -> None:
    """A type, and with it what is generated of it, indexes and checks; labels of an enum type; and a default."""

    def logs(kind: Any, *labels: str, default: str) -> MetaData:
        made = MetaData(naming_convention=NAMING_CONVENTION)
        Table(
            "logs",
            made,
            Column("at", DateTime(timezone=True), primary_key=True),
            Column("size", kind, server_default=default),
            Column("twice", kind, Computed("size * 2", persisted=True)),
            Column("mood", Enum(*labels, name="mood"), server_default=labels[0]),
            CheckConstraint("size > 0", name="size"),
            Index("ix_twice", text("(size * 3)"), postgresql_where=text("mood = 'ok'")),
            postgresql_partition_by="RANGE (at)",
        )
        return made

    before, after = logs(Integer, "ok", "sad", default="1"), logs(BigInteger, "ok", "new", default="2")
    cases.run(cases.generate(before).upgrade)
    cases.execute("CREATE TABLE logs_0 PARTITION OF logs DEFAULT", "INSERT INTO logs (at) VALUES ('2026-03-01')")
    shape = cases.shape
    written = cases.generate(after)
    cases.run(written.upgrade)
    assert cases.generate(after).is_empty
    assert cases.ask("SELECT size, twice, mood::text, pg_typeof(twice)::text FROM logs_0") == [(1, 2, "ok", "bigint")]
    cases.run(written.downgrade)
    assert cases.generate(before).is_empty
    assert {row for row in cases.shape if row[0] != "index"} == {row for row in shape if row[0] != "index"}


def test_partitioned_tables_refer_to_each_other(cases: Cases) -> None:
    """Keys between partitions are none of the models', in whatever schema they lie, when other things change."""

    def both(*more: Callable[[], Any]) -> MetaData:
        made = MetaData(naming_convention=NAMING_CONVENTION)
        day: dict[str, Any] = {"postgresql_partition_by": "RANGE (day)"}
        parent: list[Any] = [Column("id", Integer, primary_key=True), Column("day", Date, primary_key=True)]
        Table("parents", made, *parent, **day)
        child: list[Any] = [Column("id", Integer, primary_key=True), Column("day", Date, primary_key=True)]
        key = ForeignKeyConstraint(["id", "day"], ["parents.id", "parents.day"])
        Table("children", made, *child, key, *(make() for make in more), **day)
        return made

    cases.run(cases.generate(both()).upgrade)
    cases.execute(
        "CREATE SCHEMA parts",
        *(f"CREATE TABLE parts.{parent}_0 PARTITION OF {parent} DEFAULT" for parent in ("parents", "children")),
    )
    try:
        assert cases.generate(both()).is_empty
        changed = both(lambda: Column("note", Text), lambda: Index("ix_note", "note"))
        written = cases.generate(changed)
        assert "drop_constraint" not in written.upgrade
        cases.run(written.upgrade)
        assert cases.generate(changed).is_empty
        cases.run(written.downgrade)
        gone = cases.generate(MetaData())
        cases.run(gone.upgrade)
        cases.run(gone.downgrade)
        assert cases.generate(both()).is_empty
        assert cases.ask("SELECT count(*) FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'") == [
            (2,)
        ]
    finally:
        cases.execute("DROP SCHEMA parts CASCADE")


def test_a_partition_that_has_a_model_belongs_to_its_parent_too(cases: Cases) -> None:
    """Whatever its model declares is not compared, with the mixin or without; its own isolation stays as it is."""
    plain = declared(events("RANGE (at)"))
    cases.run(cases.generate(plain).upgrade)
    make_partitions(cases, ["DEFAULT"])
    cases.execute("ALTER TABLE events_0 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    cases.execute("CREATE POLICY tenant_permit ON events_0 USING (tenant_id = (SELECT app.tenant_id()))")
    cases.execute("GRANT SELECT ON events_0 TO app_user")
    assert cases.generate(plain).is_empty
    with_model = declared(lambda made: [events("RANGE (at)")(made), Table("events_0", made, Column("x", Integer))])
    assert cases.generate(with_model).is_empty


def test_a_detached_partition_is_a_table_of_its_own(cases: Cases) -> None:
    """It is one that no model declares, as a child that inherits is."""
    plain = declared(events("RANGE (at)"))
    cases.run(cases.generate(plain).upgrade)
    make_partitions(cases, ["FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "DEFAULT"])
    cases.execute("ALTER TABLE events DETACH PARTITION events_0")
    assert "op.drop_table('events_0')" in cases.generate(plain).upgrade
    assert "events_1" not in cases.generate(plain).upgrade


@pytest.mark.parametrize(
    ("former", "wanted"),
    [
        (None, "RANGE (at)"),
        ("RANGE (at)", None),
        ("RANGE (at)", "LIST (at)"),
        ("RANGE (at)", "RANGE (at, id)"),
        ("HASH (id)", "HASH (tenant_id)"),
        ("RANGE (at)", "RANGE (unknown)"),
    ],
)
def test_partitioning_a_table_that_is_there_is_refused(former: str | None, wanted: str | None, cases: Cases) -> None:
    """Whether it is new, gone or another: the table, both ways, and what to do instead; no key counts before it."""
    cases.run(cases.generate(declared(events(former))).upgrade)
    with pytest.raises(MigrationError, match=r"^events is .*partitioned.* and the models declare .*--rename"):
        cases.generate(declared(events(wanted)))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('range("at")', "RANGE (at)"),
        ("RANGE (date_trunc('month', at at time zone 'UTC'))", None),
        ("LIST ((kind))", None),
    ],
)
def test_a_key_that_is_written_otherwise_is_the_same(written: str, read: str | None, cases: Cases) -> None:
    """Expressions and names are compared as PostgreSQL writes them."""

    def declare(key: str) -> MetaData:
        made = MetaData(naming_convention=NAMING_CONVENTION)
        columns = (Column("at", DateTime(timezone=True)), Column("kind", Integer))
        Table("logs", made, *columns, Index("ix_kind", "kind"), postgresql_partition_by=key)
        return made

    cases.run(cases.generate(declare(written)).upgrade)
    assert cases.generate(declare(written)).is_empty
    assert read is None or cases.generate(declare(read)).is_empty


def test_the_way_that_is_named_leads_there(scratch: Scratch) -> None:
    """A second model, its partitions and the rows in a migration by hand, then the first one goes: no row is lost."""

    def product(*declares: Callable[[MetaData], object]) -> MetaData:
        made = MetaData(naming_convention=NAMING_CONVENTION)
        for table in metadata.tables.values():
            table.to_metadata(made)
        for declare in declares:
            declare(made)
            made.remove(made.tables["notes"])
        return made

    def counted() -> Any:
        return mapped_column(Integer, Identity(), primary_key=True)

    former = events(None, id=counted)
    scratch.generate("events", product(former))
    scratch.upgrade()
    tenant = scratch.sign_up()
    with scratch.connection.transaction():
        scratch.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant)])
        scratch.connection.execute(f"INSERT INTO events (tenant_id, at, kind) VALUES ('{tenant}', '2026-03-01', 'a')")
    with pytest.raises(MigrationError) as refused:
        scratch.generate("partition them", product(events("RANGE (at)", id=counted)))
    copy, count = re.findall(r"`(for_each_tenant\(.*?\))`|`(SELECT setval.*?)`", str(refused.value))
    second = events("RANGE (at)", name="events_partitioned", id=counted)
    scratch.generate("partitioned events", product(former, second))
    last = max(scratch.files).partition("_")[0]
    scratch.write(
        "from schema.migration.helpers.tenants import for_each_tenant\n"
        "    op.execute('CREATE TABLE events_all PARTITION OF events_partitioned DEFAULT')\n"
        f'    op.execute("""{max(copy)}""")\n    {max(count)}',
        "op.execute('DROP TABLE events_all')",
        follows=last,
        number=int(last) + 1,
    )
    scratch.generate("only one", product(second), allow_drop=True)
    final = product(events("RANGE (at)", id=counted))
    scratch.generate("its name", final, renames=("events_partitioned:events",))
    assert scratch.generate("nothing", final) is None
    scratch.upgrade()
    with scratch.connection.transaction():
        scratch.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant)])
        scratch.connection.execute(f"INSERT INTO events (tenant_id, at, kind) VALUES ('{tenant}', '2026-04-01', 'b')")
        found: dict[str, int] = dict(scratch.connection.execute("SELECT kind, id FROM events").fetchall())
    assert found["a"] == 1
    assert found["b"] > 1
