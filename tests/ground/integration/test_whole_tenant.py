"""What acts for a whole tenant sees all of it and nothing else.

The kind: rows that something hides from the owner, that go by a cascade or a trigger without being counted, or that are
another tenant's. `properties/test_whole_tenant.py` holds it over drawn schemas; here is what must be refused.
"""

from dataclasses import replace
from pathlib import Path
from typing import LiteralString
from uuid import UUID, uuid4

import pytest
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.config.secret import Secret
from infra.config.settings import Role
from schema.admin import tenants
from schema.client.connection import BoundedConnection, connect
from schema.errors import TenantError
from schema.migration.apply.upgrade import upgrade
from schema.tenancy.base import Base
from schema.tenancy.mixin import TenantMixin
from schema.tenancy.policies import restrictive_policy
from tests.ground.integration.conftest import Scratch
from tests.ground.integration.isolation.damaged_tables import protected
from tests.ground.integration.test_export import restore
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

ITEMS = protected("items", "tenant_id uuid REFERENCES tenants, id int, blob int, PRIMARY KEY (tenant_id, id)")
DELETING: LiteralString = """
    CREATE FUNCTION app.collect() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN DELETE FROM blobs WHERE id = OLD.blob; RETURN NULL; END $$;
    CREATE TRIGGER collect AFTER DELETE ON items FOR EACH ROW EXECUTE FUNCTION app.collect();
"""
KEEPING: LiteralString = """
    CREATE FUNCTION app.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER keep BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION app.keep();
"""


@pytest.fixture
def acme(scratch: Scratch) -> UUID:
    """Give a tenant with one item, beside a table that is no tenant's."""
    scratch.upgrade()
    scratch.connection.execute(f"{ITEMS}; CREATE TABLE blobs (id int PRIMARY KEY)".encode())
    scratch.connection.execute("INSERT INTO blobs VALUES (1)")
    return add_items(scratch, scratch.sign_up(), 1)


def add_items(scratch: Scratch, tenant: UUID, count: int) -> UUID:
    """Give a tenant items of the one blob."""
    with scratch.connection.transaction():
        scratch.connection.execute(f"SET LOCAL app.tenant_id = '{tenant}'".encode())
        scratch.connection.execute("INSERT INTO items SELECT %s, n, 1 FROM generate_series(1, %s) n", [tenant, count])
    return tenant


def delete(scratch: Scratch, tenant: UUID, file: Path | None = None) -> dict[str, int]:
    """Delete a tenant as the command does."""
    return tenants.delete(scratch.url, scratch.settings, tenant, file)


def test_a_product_that_narrowed_everybody_gets_it_by_generate(
    scratch: Scratch, declared: MetaData, stack: RunningStack, tmp_path: Path
) -> None:
    """A policy TO PUBLIC of before stops the deletion by name; the migration that `generate` writes makes it whole."""

    class Product(DeclarativeBase):
        metadata = declared
        type_annotation_map = Base.type_annotation_map

    class Invoice(TenantMixin, Product):
        __tablename__ = "invoices"
        __policies__ = (restrictive_policy("open", "NOT locked", check="true"),)

        id: Mapped[int] = mapped_column(primary_key=True)
        locked: Mapped[bool]

    scratch.generate("Add invoices", declared)
    scratch.upgrade()
    scratch.connection.execute("ALTER POLICY open ON invoices TO PUBLIC")
    tenant = scratch.sign_up()
    with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as superuser:
        for locked in (False, True):
            superuser.execute("INSERT INTO invoices VALUES (%s, now(), now(), %s, %s)", [tenant, int(locked), locked])
        with pytest.raises(TenantError, check=about(causes=("policy open of invoices",))):
            tenants.rows_of(scratch.url, scratch.settings, tenant)
        with pytest.raises(TenantError, check=about(causes=("policy open of invoices",))):
            delete(scratch, tenant, tmp_path / "rows.sql")
        assert superuser.execute("SELECT count(*) FROM invoices").fetchall() == [(2,)]
        assert not (tmp_path / "rows.sql").exists()
        # The migrations of such a product say TO PUBLIC as well.
        [path] = (scratch.checkout / "migrations" / "versions").glob("0002*")
        path.write_text(path.read_text().replace(' FOR ALL TO "app_user"', " FOR ALL"))
        assert scratch.generate("Bind the application", declared) is not None
        upgrade(
            scratch.url, scratch.settings, accept="0002", checkout=scratch.checkout, run_options=scratch.run_options()
        )
        assert delete(scratch, tenant, tmp_path / "rows.sql")["invoices"] == 2
        restore(scratch.url, tmp_path / "rows.sql")
        assert superuser.execute("SELECT id, locked FROM invoices ORDER BY 1").fetchall() == [(0, False), (1, True)]


REFERS: LiteralString = "CREATE TABLE more (item int, tenant uuid, FOREIGN KEY (tenant, item) REFERENCES items {})"
DAMAGES: dict[str, LiteralString] = {
    "CREATE POLICY narrow ON items AS RESTRICTIVE USING (id > 1)": "policy narrow of items",
    "CREATE POLICY narrow ON items AS RESTRICTIVE TO app_owner USING (id > 1)": "policy narrow of items",
    "DROP POLICY tenant_permit ON items": "lack of a policy tenant_permit of items",
    "ALTER POLICY tenant_permit ON items TO app_user": "lack of a policy tenant_permit of items",
    "ALTER POLICY tenant_permit ON items USING (tenant_id = app.tenant_id() AND id > 1)": "items_tenant_id_fkey",
    "CREATE TABLE more (tenant uuid REFERENCES tenants ON DELETE CASCADE, item int)": "1 of more would go",
    REFERS.format("ON DELETE CASCADE"): "1 of more would go",
    REFERS.format("ON DELETE SET NULL"): "1 of more would lose",
    (
        "ALTER TABLE items ADD UNIQUE (id); CREATE TABLE more"
        " (tenant_id uuid, tenant uuid, item int REFERENCES items (id) ON DELETE SET NULL)"
    ): "1 of more would lose",
    DELETING: "1 of blobs would go",
    KEEPING: "items_tenant_id_fkey",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_that_nobody_counted_are_not_deleted(
    damage: str, scratch: Scratch, acme: UUID, stack: RunningStack, tmp_path: Path
) -> None:
    """What hides rows, takes others along, cuts them off or keeps some is named; all stay, and there is no file."""
    scratch.connection.execute(damage.encode())
    more = ["more"] if "TABLE more" in damage else []
    with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as superuser:
        for table in more:
            superuser.execute(f"INSERT INTO {table} (tenant, item) VALUES (%s, 1)".encode(), [acme])
        with pytest.raises(TenantError, match=DAMAGES[damage]):
            delete(scratch, acme, tmp_path / "rows.sql")
        assert [rows(superuser, table) for table in ("tenants", "users", "items", "blobs", *more)] == [1] * (
            4 + len(more)
        )
    assert not (tmp_path / "rows.sql").exists()


def rows(superuser: BoundedConnection, table: str) -> int:
    """Count the rows of a table, whoever's they are, that refer to what they referred to."""
    column = "tenant" if table == "more" else "1"
    ((count,),) = superuser.execute(f'SELECT count({column}) FROM "{table}"'.encode()).fetchall()
    return int(count)


def test_a_table_that_only_maps_tenants_is_the_tenants_too(scratch: Scratch, acme: UUID, tmp_path: Path) -> None:
    """Rows with a tenant_id are written and deleted where no policy guards them, in whatever schema, and come back."""
    other = scratch.sign_up("other")
    for table in ("domains", 'billing."Line Items"'):
        scratch.connection.execute("CREATE SCHEMA IF NOT EXISTS billing")
        scratch.connection.execute(
            f"CREATE TABLE {table} (tenant_id uuid REFERENCES tenants ON DELETE CASCADE, name text)".encode()
        )
        scratch.connection.execute(f"INSERT INTO {table} VALUES (%s, 'a'), (%s, 'b')".encode(), [acme, other])
    gone = delete(scratch, acme, tmp_path / "rows.sql")
    assert (gone["domains"], gone["billing.Line Items"]) == (1, 1)
    restore(scratch.url, tmp_path / "rows.sql")
    for table in ("domains", 'billing."Line Items"'):
        found = scratch.connection.execute(f"SELECT tenant_id, name FROM {table} ORDER BY name".encode()).fetchall()
        assert found == [(acme, "a"), (other, "b")]


# Each as its type writes it, where a setting of a session would have it written or read otherwise.
VALUES = {
    "timestamptz": "2026-02-01 03:04:05.123456+09",
    "timestamp": "2026-02-01 03:04:05",
    "date": "2026-02-01",
    "interval": "-1 year 2 mons -3 days 04:05:06",
    "float8": "0.1",
    "real": "1.1754944e-38",
    "bytea": "\\x00ff",
    "money": "-1234.50",
    "char(5)": "ab",
    '"char"': "x",
    "numeric": "NaN",
    "jsonb": '{"a": "\\u00e9\\\\ \'"}',
    "regclass": "items",
    "text[]": '{"a,b",NULL,"\'","\\\\"}',
    "int4range": "[1,5)",
    "tsvector": "'a':1 'b''c':2",
    "inet": "10.0.0.1/8",
    "point": "(0.1,1e300)",
    "bit(3)": "101",
}
STORED: LiteralString = "SELECT md5(record_send(k)) FROM kinds k"
SETTINGS = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
}


def test_values_come_back_whatever_the_session_writes(
    scratch: Scratch, acme: UUID, stack: RunningStack, tmp_path: Path
) -> None:
    """Dates, numbers, money and names are written in one form, whatever form the owner's sessions are set to."""
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(VALUES))
    scratch.connection.execute(protected("kinds", f"tenant_id uuid REFERENCES tenants, {columns}").encode())
    with scratch.connection.transaction():
        scratch.connection.execute(f"SET LOCAL app.tenant_id = '{acme}'".encode())
        places = ", ".join(f"%s::text::{kind}" for kind in VALUES)
        scratch.connection.execute(f"INSERT INTO kinds VALUES (%s, {places})".encode(), [acme, *VALUES.values()])
    with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as superuser:
        before = superuser.execute(STORED).fetchall()
        for setting, value in SETTINGS.items():
            superuser.execute(
                f"ALTER ROLE app_owner IN DATABASE \"{scratch.url.database}\" SET {setting} = '{value}'".encode()
            )
        delete(scratch, acme, tmp_path / "rows.sql")
        restore(scratch.url, tmp_path / "rows.sql")
        assert superuser.execute(STORED).fetchall() == before


def test_tenants_are_listed_by_a_role_that_bypasses_nothing(scratch: Scratch, acme: UUID, stack: RunningStack) -> None:
    """The owner, and a role that may read all tables but has no BYPASSRLS, as on managed servers, list them."""
    signed_up = {acme, *(scratch.sign_up(f"t{number}") for number in range(3))}
    reader = f"reader_{uuid4().hex[:8]}"
    with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {reader} LOGIN PASSWORD 'made-up' IN ROLE pg_read_all_data".encode())
        try:
            superuser.execute(f'GRANT CONNECT ON DATABASE "{scratch.url.database}" TO {reader}'.encode())
            superuser.execute(f"GRANT USAGE ON SCHEMA app TO {reader}".encode())
            for user in (reader, None):
                url = replace(scratch.url, user=user, password=Secret("made-up")) if user else scratch.url
                found = tenants.tenants(url, scratch.settings)
                assert [tenant.slug for tenant in found] == ["acme", "t0", "t1", "t2"]
                assert {tenant.tenant_id for tenant in found} == signed_up
        finally:
            superuser.execute(f"DROP OWNED BY {reader}; DROP ROLE {reader}".encode())
    with pytest.raises(TenantError, check=about(sqlstate="42501")):
        tenants.tenants(stack.url(Role.USER).on(scratch.url.database), scratch.settings)
