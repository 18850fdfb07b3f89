"""The tables as the server has them, after the committed migrations."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from sqlalchemy import CheckConstraint, Column, Dialect, Inspector, Table, UniqueConstraint, inspect, make_url

from infra.config.settings import Role
from schema.client.connection import BoundedConnection
from schema.migration.engine import owner_engine
from schema.models import metadata
from schema.tenancy.mixin import is_tenant_table
from tests.kit.stack import RunningStack

POSTGRESQL: Dialect = make_url("postgresql+psycopg://").get_dialect()()
TABLES = [pytest.param(table, id=table.name) for table in metadata.sorted_tables]
TENANT_TABLES = sorted(table.name for table in metadata.sorted_tables if is_tenant_table(table))
# What the server makes of the declared predicate.
PREDICATE = "(tenant_id = ( SELECT app.tenant_id() AS tenant_id))"


@pytest.fixture
def inspector(stack: RunningStack) -> Iterator[Inspector]:
    """Reflect the migrated database."""
    with owner_engine(stack.url(Role.OWNER), stack.settings).connect() as connection:
        yield inspect(connection)


def default(column: Column[Any]) -> str | None:
    """Return a declared server default as the catalogue writes it."""
    if column.server_default is None:
        return None
    argument = getattr(column.server_default, "arg")  # noqa: B009 - of DefaultClause, which the attribute's type hides
    return f"'{argument}'::text" if isinstance(argument, str) else str(argument.compile(dialect=POSTGRESQL))


def named(constraint: Any) -> str:
    """Return a constraint's name as the naming convention makes it."""
    return POSTGRESQL.identifier_preparer.format_constraint(constraint) or ""


def test_the_database_holds_the_declared_tables(inspector: Inspector) -> None:
    """There is no table but the models', and in schema app Alembic's own and the ledger of migrations."""
    assert sorted(inspector.get_table_names()) == sorted(metadata.tables)
    assert sorted(inspector.get_table_names("app")) == ["alembic_version", "migration_ledger"]


@pytest.mark.parametrize("table", TABLES)
def test_the_columns_are_the_declared_ones(table: Table, inspector: Inspector) -> None:
    """Name, type, NOT NULL and default of each column are the model's, in the model's order."""
    assert [
        (found["name"], found["type"].compile(POSTGRESQL), found["nullable"], found["default"])
        for found in inspector.get_columns(table.name)
    ] == [(c.name, c.type.compile(POSTGRESQL), c.nullable, default(c)) for c in table.columns]


@pytest.mark.parametrize("table", TABLES)
def test_the_keys_are_the_declared_ones(table: Table, inspector: Inspector) -> None:
    """Primary key, foreign keys, unique and check constraints are the model's, by name and columns."""
    key = inspector.get_pk_constraint(table.name)
    assert (key["name"], key["constrained_columns"]) == (named(table.primary_key), table.primary_key.columns.keys())
    assert {
        (found["name"], *found["constrained_columns"], found["referred_table"], *found["referred_columns"])
        for found in inspector.get_foreign_keys(table.name)
    } == {
        (named(c), *c.column_keys, c.referred_table.name, *(element.column.name for element in c.elements))
        for c in table.foreign_key_constraints
    }
    assert {(found["name"], *found["column_names"]) for found in inspector.get_unique_constraints(table.name)} == {
        (named(c), *c.columns.keys()) for c in table.constraints if isinstance(c, UniqueConstraint)
    }
    assert {found["name"] for found in inspector.get_check_constraints(table.name)} == {
        named(c) for c in table.constraints if isinstance(c, CheckConstraint)
    }


def test_every_table_carries_the_mixin(owner: BoundedConnection) -> None:
    """Each table but the migrations' own begins with just the mixin's columns; only tenants makes its own tenant_id."""
    found = owner.execute("""
        SELECT c.oid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
               pg_get_expr(adbin, adrelid)
        FROM pg_class c
        JOIN pg_attribute ON attrelid = c.oid AND attnum BETWEEN 1 AND 3
        LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
        WHERE relkind IN ('r', 'p') AND relnamespace IN ('public'::regnamespace, 'app'::regnamespace)
          AND c.oid NOT IN (
            'app.alembic_version'::regclass, 'app.migration_ledger'::regclass, 'tenant_directory'::regclass
          )
        ORDER BY 1, attnum
    """).fetchall()
    assert found == [
        column
        for table in TENANT_TABLES
        for column in (
            (table, "tenant_id", "uuid", True, "app.uuid7()" if table == "tenants" else None),
            (table, "created_at", "timestamp with time zone", True, "now()"),
            (table, "updated_at", "timestamp with time zone", True, "now()"),
        )
    ]


def test_every_table_is_isolated(owner: BoundedConnection) -> None:
    """Row-level security is enabled and forced on each table that has a tenant_id."""
    found = owner.execute("""
        SELECT relname, relrowsecurity, relforcerowsecurity
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relkind IN ('r', 'p') AND attname = 'tenant_id' AND relname <> 'tenant_directory'
        ORDER BY 1
    """).fetchall()
    assert found == [(table, True, True) for table in TENANT_TABLES]


def test_every_table_has_both_policies_and_no_other(owner: BoundedConnection) -> None:
    """A permissive and a restrictive policy say the same, for every command and every role."""
    found = owner.execute("""
        SELECT tablename, policyname, permissive, roles::text[], cmd, qual, with_check
        FROM pg_policies ORDER BY tablename, policyname
    """).fetchall()
    assert found == [
        (table, policy, kind, ["public"], "ALL", PREDICATE, PREDICATE)
        for table in TENANT_TABLES
        for policy, kind in (("tenant_permit", "PERMISSIVE"), ("tenant_restrict", "RESTRICTIVE"))
    ]


def test_the_tenants_function_is_read_at_every_statement(owner: BoundedConnection) -> None:
    """It is STABLE: one that is IMMUTABLE is folded into a prepared plan with the first tenant's id."""
    assert owner.execute(
        "SELECT provolatile, prosecdef, proconfig FROM pg_proc WHERE oid = 'app.tenant_id'::regproc"
    ).fetchone() == ("s", False, None)


def test_ids_are_uuids_of_version_7(owner: BoundedConnection) -> None:
    """Version and variant are those of RFC 9562, and the first 48 bits are the server's clock in milliseconds."""
    row = owner.execute("SELECT app.uuid7(), clock_timestamp()").fetchone()
    assert row is not None
    made, now = row
    assert (made.version, made.variant) == (7, RFC_4122)
    assert abs(datetime.fromtimestamp((made.int >> 80) / 1000, UTC) - now) < timedelta(seconds=1)


def test_ids_sort_by_the_time_they_were_made(owner: BoundedConnection) -> None:
    """Of a thousand ids made in a row none is equal to another, and each sorts behind those of a microsecond before."""
    ids: list[UUID] = [made for (made,) in owner.execute("SELECT app.uuid7() FROM generate_series(1, 1000)").fetchall()]
    assert len(set(ids)) == 1000
    # Without the variant and the random bits: milliseconds, version, and the fraction of the millisecond.
    times = [made.int >> 64 for made in ids]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert len(set(times)) > 100


def test_ids_of_separate_statements_are_in_order(owner: BoundedConnection) -> None:
    """Rows that are written one after the other are found in that order by their ids."""
    with owner.pipeline():
        cursors = [owner.execute("SELECT app.uuid7()") for _ in range(1000)]
        ids = [cursor.fetchone() for cursor in cursors]
    assert ids == sorted(ids)  # type: ignore[type-var]  # each has a row
