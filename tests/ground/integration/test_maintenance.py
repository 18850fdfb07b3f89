"""The session that sees every tenant: asked for outright, logged, and read-only unless it says otherwise."""

import asyncio

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from infra.config.settings import Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.engine import maintenance_engine as async_maintenance_engine
from schema.client.aio.session import maintenance_session as async_maintenance_session
from schema.client.engine import maintenance_engine
from schema.client.session import maintenance_session
from schema.errors import ContextFault, TenantContextError
from schema.models.tenants import Tenant
from tests.kit.database import Logged, SignUp
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


@pytest.fixture
def maintaining(stack: RunningStack) -> Engine:
    """Give the engine of app_maintenance."""
    return maintenance_engine(stack.url(Role.MAINTENANCE), stack.settings)


def test_maintenance_sees_every_tenant_and_says_why(logged: Logged, maintaining: Engine, sign_up: SignUp) -> None:
    """The reason, the role and the database are logged before anything is read."""
    tenants = {sign_up(), sign_up()}
    logged.clear()
    with maintenance_session(maintaining, reason="monthly invoices") as session:
        assert [entry["event"] for entry in logged] == ["maintenance session"]
        assert tenants <= set(session.scalars(select(Tenant.tenant_id)))
    assert {key: logged[0][key] for key in ("level", "reason", "role", "database", "read_only")} == {
        "level": "WARNING",
        "reason": "monthly invoices",
        "role": "app_maintenance",
        "database": "app",
        "read_only": True,
    }


@pytest.mark.parametrize("read_only", [True, False])
def test_maintenance_is_read_only_unless_asked(read_only: bool, maintaining: Engine) -> None:
    """The server refuses what would change something, in every transaction of the session."""
    with maintenance_session(maintaining, reason="a test", read_only=read_only) as session:
        for _ in range(2):
            assert session.scalar(text("SHOW transaction_read_only")) == ("on" if read_only else "off")
            session.commit()
        with pytest.raises(DBAPIError, check=about(sqlstate="25006" if read_only else "42501")):
            session.execute(text("DELETE FROM tenants"))
        session.rollback()


@pytest.mark.parametrize("reason", ["", "  "])
def test_maintenance_needs_a_reason(reason: str, maintaining: Engine) -> None:
    """Nobody reads across tenants without saying what for."""
    with (
        pytest.raises(TenantContextError, check=about(fault=ContextFault.NO_REASON)),
        maintenance_session(maintaining, reason=reason),
    ):
        pass


def test_the_applications_engine_does_no_maintenance(engine: Engine) -> None:
    """The error names the engine and the setting to use."""
    with (
        pytest.raises(TenantContextError, check=about(fault=ContextFault.OTHER_ENGINE)),
        maintenance_session(engine, reason="a test"),
    ):
        pass


def test_asyncio_maintains_too(logged: Logged, stack: RunningStack, sign_up: SignUp) -> None:
    """The twins of engine and session see every tenant, say why, are read-only, and refuse the application's engine."""
    tenants = {sign_up(), sign_up()}
    logged.clear()

    async def main() -> None:
        engine = async_maintenance_engine(stack.url(Role.MAINTENANCE), stack.settings)
        async with async_maintenance_session(engine, reason="monthly invoices") as session:
            assert tenants <= set(await session.scalars(select(Tenant.tenant_id)))
            assert await session.scalar(text("SHOW transaction_read_only")) == "on"
        async with async_maintenance_session(engine, reason="a test", read_only=False) as session:
            assert await session.scalar(text("SHOW transaction_read_only")) == "off"
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.BLOCK_ENDED)):
            await session.scalar(text("SELECT 1"))
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.NO_REASON)):
            await async_maintenance_session(engine, reason=" ").__aenter__()
        own = create_async_engine(stack.url(Role.USER), stack.settings)
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.OTHER_ENGINE)):
            await async_maintenance_session(own, reason="a test").__aenter__()

    asyncio.run(main())
    assert [entry["reason"] for entry in logged if entry["event"] == "maintenance session"] == [
        "monthly invoices",
        "a test",
    ]
