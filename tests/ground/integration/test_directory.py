"""Finding a tenant before there is any context."""

import asyncio
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, text

from infra.config.settings import Role
from schema.admin import tenants
from schema.client.aio.engine import create_async_engine
from schema.client.aio.tenants import resolve_tenant as async_resolve_tenant
from schema.client.connection import BoundedConnection, connect
from schema.client.session import tenant_session
from schema.client.tenants import resolve_tenant
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


@pytest.fixture
def unique() -> str:
    """Give a name that no other test uses."""
    return f"acme-{uuid4().hex[:12]}"


@pytest.fixture
def tenant(engine: Engine, unique: str) -> UUID:
    """Give a tenant with a slug and an external id."""
    return tenants.create(engine, "Acme", slug=unique, external_id=f"org|{unique}")


def test_a_tenant_is_found_without_a_context(engine: Engine, tenant: UUID, unique: str) -> None:
    """Slug and external id each find it; what is nobody's finds nothing."""
    assert resolve_tenant(engine, slug=unique) == tenant
    assert resolve_tenant(engine, external_id=f"org|{unique}") == tenant
    assert resolve_tenant(engine, slug=f"org|{unique}") is None
    assert resolve_tenant(engine, external_id=unique) is None


def test_asyncio_finds_a_tenant_too(stack: RunningStack, tenant: UUID, unique: str) -> None:
    """The twin finds what the other finds, and asks for one key as well."""

    async def main() -> None:
        engine = create_async_engine(stack.url(Role.USER), stack.settings)
        assert await async_resolve_tenant(engine, slug=unique) == tenant
        assert await async_resolve_tenant(engine, external_id=f"org|{unique}") == tenant
        assert await async_resolve_tenant(engine, slug=f"org|{unique}") is None
        with pytest.raises(ValueError, match="slug or external_id"):
            await async_resolve_tenant(engine)
        await engine.dispose()

    asyncio.run(main())


@pytest.mark.parametrize("keys", [{}, {"slug": "a", "external_id": "b"}], ids=["neither", "both"])
def test_one_key_is_asked_for(engine: Engine, keys: dict[str, str]) -> None:
    """With neither key, or with both, nobody can say who is meant."""
    with pytest.raises(ValueError, match="slug or external_id"):
        resolve_tenant(engine, **keys)


def test_an_empty_key_is_nobodys(engine: Engine, tenant: UUID) -> None:
    """A tenant whose external id was set to nothing by its model is not found by a sign-in that has none."""
    with tenant_session(engine, tenant) as session:
        session.execute(text("UPDATE tenants SET external_id = ''"))
    assert resolve_tenant(engine, external_id="") is resolve_tenant(engine, slug="") is None


def test_the_directory_follows_its_tenants(
    engine: Engine, tenant: UUID, unique: str, owner: BoundedConnection, stack: RunningStack
) -> None:
    """A changed slug is found and the former one is not; of a deleted tenant nothing is left."""
    with owner.transaction():
        owner.execute(f"SET LOCAL app.tenant_id = '{tenant}'".encode())
        owner.execute("UPDATE tenants SET slug = slug || '-2', external_id = NULL")
    assert resolve_tenant(engine, slug=f"{unique}-2") == tenant
    assert resolve_tenant(engine, slug=unique) is resolve_tenant(engine, external_id=f"org|{unique}") is None
    tenants.delete(stack.url(Role.OWNER), stack.settings, tenant)
    assert resolve_tenant(engine, slug=f"{unique}-2") is None
    assert owner.execute("SELECT count(*) FROM tenant_directory WHERE tenant_id = %s", [tenant]).fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM tenant_directory",
        "INSERT INTO tenant_directory VALUES (gen_random_uuid(), 'x')",
        "UPDATE tenant_directory SET slug = 'x'",
        "DELETE FROM tenant_directory",
        "SELECT app.keep_tenant_directory()",
    ],
)
def test_the_application_has_no_right_on_the_directory(statement: LiteralString, stack: RunningStack) -> None:
    """All that it gets out of the directory is one id for one name."""
    with (
        connect(stack.url(Role.USER), stack.settings, autocommit=True) as user,
        pytest.raises(psycopg.Error) as refused,
    ):
        user.execute(statement)
    assert refused.value.sqlstate in {"42501", "0A000"}


def test_the_functions_of_the_directory_are_narrow(owner: BoundedConnection) -> None:
    """They run as an owner who bypasses nothing, and look names up in the system's schema and nowhere else."""
    found = owner.execute("""
        SELECT proname, pg_get_userbyid(proowner), rolsuper OR rolbypassrls, proconfig
        FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner
        WHERE prosecdef AND pronamespace = 'app'::regnamespace ORDER BY 1
    """).fetchall()
    pinned = ["search_path=pg_catalog, pg_temp"]
    assert found == [(name, "app_owner", False, pinned) for name in ("keep_tenant_directory", "resolve_tenant")]
