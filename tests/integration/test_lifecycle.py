"""Making, finding and deleting tenants, beside their commands."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from infra.dump import dump_tenant
from infra.errors import StackError
from infra.export import Export
from infra.settings import Role
from schema import lifecycle
from schema.connect import BoundedConnection
from schema.errors import TenantError
from tests.fixtures.database import SignUp
from tests.fixtures.stack import RunningStack

pytestmark = pytest.mark.one_backend


def slugs(maintenance: BoundedConnection, tenant: UUID) -> list[tuple[Any, ...]]:
    """Return name, slug and external id of a tenant."""
    return maintenance.execute("SELECT name, slug, external_id FROM tenants WHERE tenant_id = %s", [tenant]).fetchall()


def test_a_slug_is_made_of_the_name(engine: Engine, maintenance: BoundedConnection) -> None:
    """Letters lose their accents, anything else becomes one hyphen."""
    unique = uuid4().hex[:12]
    tenant = lifecycle.create(engine, f" Söhne & Co. {unique} ")
    assert slugs(maintenance, tenant) == [(f"Söhne & Co. {unique}", f"sohne-co-{unique}", None)]


@pytest.mark.parametrize(("name", "slug"), [("", ""), ("  ", "a"), ("漢字", ""), ("Acme", "Acme"), ("Acme", "a" * 64)])
def test_what_is_no_name_or_slug_is_refused(name: str, slug: str, engine: Engine) -> None:
    """A tenant has a name and a slug that a host name can hold."""
    with pytest.raises(TenantError, match="slug"):
        lifecycle.create(engine, name, slug=slug)


def test_slug_and_external_id_are_given_once(engine: Engine, maintenance: BoundedConnection) -> None:
    """The error names which of the two is taken; nothing is made."""
    unique = uuid4().hex
    made = lifecycle.create(engine, "Acme", slug=unique, external_id=f"org|{unique}")
    with pytest.raises(TenantError, match=f"slug '{unique}'"):
        lifecycle.create(engine, "Other", slug=unique)
    with pytest.raises(TenantError, match=f"external id 'org.{unique}'"):
        lifecycle.create(engine, "Other", slug=f"{unique}-2", external_id=f"org|{unique}")
    assert maintenance.execute("SELECT tenant_id FROM tenants WHERE slug LIKE %s", [f"{unique}%"]).fetchall() == [
        (made,)
    ]


def test_a_tenant_is_named_by_slug_id_or_external_id(engine: Engine, stack: RunningStack) -> None:
    """Each of the three finds it; anything else is an error."""
    unique = uuid4().hex
    made = lifecycle.create(engine, "Acme", slug=unique, external_id=f"org|{unique}")
    listed = lifecycle.tenants(stack.url(Role.MAINTENANCE), stack.settings)
    assert {lifecycle.named(listed, key).tenant_id for key in (unique, str(made), f"org|{unique}")} == {made}
    with pytest.raises(TenantError, match="nobody"):
        lifecycle.named(listed, "nobody")


def test_what_refers_to_its_rows_keeps_a_tenant(
    sign_up: SignUp, stack: RunningStack, admin: BoundedConnection, maintenance: BoundedConnection
) -> None:
    """A row elsewhere that refers to the tenant stops the deletion, and then nothing of it is deleted."""
    tenant = sign_up()
    admin.execute("CREATE TABLE contracts (tenant_id uuid REFERENCES tenants)")
    try:
        admin.execute("INSERT INTO contracts VALUES (%s)", [tenant])
        with pytest.raises(TenantError, match="contracts"):
            lifecycle.delete(stack.url(Role.OWNER), stack.settings, tenant)
    finally:
        admin.execute("DROP TABLE contracts")
    assert len(slugs(maintenance, tenant)) == 1
    assert lifecycle.delete(stack.url(Role.OWNER), stack.settings, tenant)["tenants"] == 1
    assert slugs(maintenance, tenant) == []


def test_a_file_is_not_written_over(sign_up: SignUp, stack: RunningStack, tmp_path: Path) -> None:
    """A file that is there already stays as it is, and nothing is left beside it."""
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(StackError, match="kept is there already"):
        dump_tenant(stack.url(Role.OWNER), sign_up(), Export(("tenants",)), tmp_path / "kept")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


def test_an_export_that_fails_leaves_no_file(sign_up: SignUp, stack: RunningStack, tmp_path: Path) -> None:
    """What pg_dump says is the error; there is no half of a file."""
    with pytest.raises(StackError, match="no matching tables"):
        dump_tenant(stack.url(Role.OWNER), sign_up(), Export(("nothing",)), tmp_path / "export.sql")
    assert list(tmp_path.iterdir()) == []
