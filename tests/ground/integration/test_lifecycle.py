"""Making, finding and deleting tenants, beside their commands."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from infra.config.settings import Role
from schema.admin import tenants
from schema.client.connection import BoundedConnection
from schema.errors import TenantError
from tests.kit.database import SignUp
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


def slugs(maintenance: BoundedConnection, tenant: UUID) -> list[tuple[Any, ...]]:
    """Return name, slug and external id of a tenant."""
    return maintenance.execute("SELECT name, slug, external_id FROM tenants WHERE tenant_id = %s", [tenant]).fetchall()


def test_a_slug_is_made_of_the_name(engine: Engine, maintenance: BoundedConnection) -> None:
    """Letters lose their accents, anything else becomes one hyphen."""
    unique = uuid4().hex[:12]
    tenant = tenants.create(engine, f" Söhne & Co. {unique} ")
    assert slugs(maintenance, tenant) == [(f"Söhne & Co. {unique}", f"sohne-co-{unique}", None)]


@pytest.mark.parametrize(("name", "slug"), [("", ""), ("  ", "a"), ("漢字", ""), ("Acme", "Acme"), ("Acme", "a" * 64)])
def test_what_is_no_name_or_slug_is_refused(name: str, slug: str, engine: Engine) -> None:
    """A tenant has a name and a slug that a host name can hold."""
    with pytest.raises(TenantError, match="slug"):
        tenants.create(engine, name, slug=slug)


def test_slug_and_external_id_are_given_once(engine: Engine, maintenance: BoundedConnection) -> None:
    """The error names which of the two is taken; nothing is made."""
    unique = f"acme-{uuid4().hex}"
    made = tenants.create(engine, "Acme", slug=unique, external_id=f"org|{unique}")
    with pytest.raises(TenantError, check=about(causes=(f"slug '{unique}'",))):
        tenants.create(engine, "Other", slug=unique)
    with pytest.raises(TenantError, check=about(causes=(f"external id 'org|{unique}'",))):
        tenants.create(engine, "Other", slug=f"{unique}-2", external_id=f"org|{unique}")
    assert maintenance.execute("SELECT tenant_id FROM tenants WHERE slug LIKE %s", [f"{unique}%"]).fetchall() == [
        (made,)
    ]


def test_a_tenant_is_named_by_slug_id_or_external_id(engine: Engine, stack: RunningStack) -> None:
    """Each of the three finds it; anything else is an error."""
    unique = f"acme-{uuid4().hex}"
    made = tenants.create(engine, "Acme", slug=unique, external_id=f"org|{unique}")
    listed = tenants.tenants(stack.url(Role.MAINTENANCE), stack.settings)
    assert {tenants.find_listed(listed, key).tenant_id for key in (unique, str(made), f"org|{unique}")} == {made}
    with pytest.raises(TenantError, check=about(tenant="nobody")):
        tenants.find_listed(listed, "nobody")


@pytest.mark.parametrize("key", ["globex", "as id"])
def test_a_name_that_is_two_tenants_is_refused(key: str) -> None:
    """A slug, an id or an external id that another tenant has of another kind names both; a kind names one."""
    globex, partner = uuid4(), uuid4()
    name = {"globex": "globex", "as id": str(globex)}[key]
    found = [
        tenants.Listed(partner, "Old\x1bPartner", "old-partner", name, datetime(2026, 1, 1, tzinfo=UTC)),
        tenants.Listed(globex, "Globex", "globex", "", datetime(2026, 1, 2, tzinfo=UTC)),
    ]
    with pytest.raises(
        TenantError, match=rf"(?s)Globex.*{globex}.*x1bPartner.*{partner}.*--by .*external-id"
    ) as refused:
        tenants.find_listed(found, name)
    assert "\x1b" not in str(refused.value)
    assert tenants.find_listed(found, name, tenants.Key.EXTERNAL_ID).tenant_id == partner
    kind = tenants.Key.SLUG if key == "globex" else tenants.Key.ID
    assert tenants.find_listed(found, name, kind).tenant_id == globex
    assert tenants.find_listed(found, f"{{{str(partner).upper()}}}").tenant_id == partner
    with pytest.raises(TenantError, check=about(tenant="")):
        tenants.find_listed(found, "")


@given(st.text(max_size=70) | st.uuids().map(str) | st.uuids().map(lambda tenant: tenant.hex))
def test_a_slug_is_no_id_and_no_path(text: str) -> None:
    """Whatever a person or a model gives: what passes for a slug names a file in its folder, and reads as no uuid."""
    if tenants.is_slug(text):
        assert (Path("/exports") / text).parent == Path("/exports")
        with pytest.raises(ValueError, match="badly formed"):
            UUID(text)


def test_a_slug_made_of_a_name_that_reads_as_an_id_is_refused(engine: Engine) -> None:
    """The name is a uuid, and so would its slug be; nothing is made of it."""
    name = str(uuid4())
    with pytest.raises(TenantError, check=about(tenant=name)):
        tenants.create(engine, name)


def test_an_empty_external_id_is_none(engine: Engine, maintenance: BoundedConnection) -> None:
    """Two tenants without one do not collide."""
    made = [tenants.create(engine, "Acme", slug=f"a-{uuid4().hex}", external_id="") for _ in range(2)]
    assert [slugs(maintenance, tenant)[0][2] for tenant in made] == [None, None]


def test_what_refers_to_its_rows_keeps_a_tenant(
    sign_up: SignUp, stack: RunningStack, admin: BoundedConnection, maintenance: BoundedConnection
) -> None:
    """A row elsewhere that refers to the tenant stops the deletion, and then nothing of it is deleted."""
    tenant = sign_up()
    admin.execute("CREATE TABLE contracts (tenant uuid REFERENCES tenants)")
    admin.execute("ALTER TABLE contracts OWNER TO app_owner")  # or the server would refuse to look into it
    try:
        admin.execute("INSERT INTO contracts VALUES (%s)", [tenant])
        with pytest.raises(TenantError, match="contracts", check=about(sqlstate="23503")):
            tenants.delete(stack.url(Role.OWNER), stack.settings, tenant)
    finally:
        admin.execute("DROP TABLE contracts")
    assert len(slugs(maintenance, tenant)) == 1
    assert tenants.delete(stack.url(Role.OWNER), stack.settings, tenant)["tenants"] == 1
    assert slugs(maintenance, tenant) == []


def test_a_file_is_not_written_over(sign_up: SignUp, stack: RunningStack, tmp_path: Path) -> None:
    """A file that is there already stays as it is, nothing is left beside it, and the tenant stays."""
    (tmp_path / "kept").write_text("kept")
    tenant = sign_up()
    with pytest.raises(TenantError, match="kept is there already"):
        tenants.delete(stack.url(Role.OWNER), stack.settings, tenant, tmp_path / "kept")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
    assert tenants.rows_of(stack.url(Role.OWNER), stack.settings, tenant)["tenants"] == 1
