import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from schema.client.aio import tenant_session as open_session
from schema.client.orm import TenantSession
from schema.models.users import User
from tests.kit.one_connection import OneConnectionError


@pytest.mark.parametrize("number", [1, 2], ids=["first", "second"])
def test_each_test_has_an_event_loop_of_its_own(
    number: int, async_tenant_session: AsyncSession, async_db: AsyncEngine, tenant: UUID, other_tenant: UUID
) -> None:
    """What a test commits is seen by the code that it calls, by no other tenant, and not by the next test."""

    async def body() -> None:
        async_tenant_session.add(User(external_id=f"ada-{number}", email="ada"))
        await async_tenant_session.commit()
        async with open_session(async_db, tenant) as session:
            assert (await session.scalars(select(User.external_id))).all() == [f"ada-{number}"]
        async with open_session(async_db, other_tenant) as session:
            assert (await session.scalars(select(User))).all() == []

    asyncio.run(body())


def test_sync_and_asyncio_share_the_connection(
    tenant_session: TenantSession, async_db: AsyncEngine, tenant: UUID
) -> None:
    """A test makes its rows one way, and calls code that reads them the other way, more often than one prepares."""
    tenant_session.add(User(external_id="ada", email="ada"))
    tenant_session.commit()

    emails = text("SELECT email FROM users")

    async def read() -> list[str]:
        async with open_session(async_db, tenant) as session:
            return [*(await session.scalars(emails))]

    for _ in range(12):
        assert asyncio.run(read()) == ["ada"]
        assert tenant_session.scalars(emails).all() == ["ada"]
        tenant_session.commit()


def test_two_tasks_at_once_are_refused(async_db: AsyncEngine, tenant: UUID) -> None:
    """The second is told to use `database`."""

    async def sleep() -> None:
        async with open_session(async_db, tenant) as session:
            await session.execute(text("SELECT pg_sleep(0.05)"))
            await session.execute(text("SELECT pg_sleep(0.05)"))

    async def both() -> None:
        await asyncio.gather(sleep(), sleep())

    with pytest.raises(OneConnectionError, match="`database`"):
        asyncio.run(both())


def test_a_session_that_a_cancelled_task_left_disturbs_nothing(
    async_tenant_session: AsyncSession, tenant_session: TenantSession
) -> None:
    """The statement is ended in the server, and the connection goes on."""

    async def body() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(async_tenant_session.execute(text("SELECT pg_sleep(60)")), 0.05)

    asyncio.run(body())
    async_tenant_session.sync_session.close()
    assert tenant_session.scalars(select(User)).all() == []
