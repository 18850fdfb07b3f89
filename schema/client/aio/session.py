"""Sessions and connections under asyncio, of one tenant, of none, or of all: as `schema.client.session` has them."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Concatenate, ParamSpec, TypeVar, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from schema.client.dialect import engine_of
from schema.client.handlers import refuse_later_work, refuse_unless_coroutine
from schema.client.orm import BlockSession, TenantSession
from schema.client.session import announce_maintenance
from schema.tenancy.context import NoTenant, TenantBlock, tenant_id, user_id

P = ParamSpec("P")
R = TypeVar("R")


@asynccontextmanager
async def tenant_session(
    engine: AsyncEngine, tenant: UUID | str, *, user: UUID | str | None = None
) -> AsyncIterator[AsyncSession]:
    """Open an ORM session of `tenant`: committed when the block ends, rolled back when it raises.

    Relationships are loaded eagerly or by `AsyncAttrs`: nothing is loaded behind an attribute without an await.

    Raises:
        TenantContextError: as `schema.client.tenant_session`.
    """
    identifier = tenant_id(tenant)
    session = AsyncSession(engine, sync_session_class=TenantSession, tenant=identifier, user=user)
    with TenantBlock(identifier):
        async with _until_it_ends(session):
            yield session


@asynccontextmanager
async def _until_it_ends(session: AsyncSession) -> AsyncIterator[None]:
    """Commit a session when the block ends, and use it no further."""
    async with session:
        try:
            yield
            await session.commit()
        finally:
            cast(BlockSession, session.sync_session).end()


@asynccontextmanager
async def tenant_connection(
    engine: AsyncEngine, tenant: UUID | str, *, user: UUID | str | None = None
) -> AsyncIterator[AsyncConnection]:
    """Open a connection of `tenant`, for statements without the ORM: committed when the block ends.

    Raises:
        TenantContextError: as `schema.client.tenant_session`.
    """
    identifier = tenant_id(tenant)
    with TenantBlock(identifier):
        own = AsyncEngine(engine_of(identifier, engine.sync_engine, user_id(user)))
        async with own.connect() as connection:
            yield connection
            await connection.commit()


@asynccontextmanager
async def tenantless_connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection with no tenant, as `schema.client.tenantless_connection` does."""
    async with AsyncEngine(engine_of(NoTenant.NO_TENANT, engine.sync_engine)).connect() as connection:
        yield connection
        await connection.commit()


@asynccontextmanager
async def maintenance_session(
    engine: AsyncEngine, *, reason: str, read_only: bool = True
) -> AsyncIterator[AsyncSession]:
    """Open a session that sees every tenant, on an engine of `schema.client.aio.engine.maintenance_engine`.

    Raises:
        TenantContextError: as `schema.client.maintenance_session`.
    """
    announce_maintenance(engine.sync_engine, reason, read_only=read_only)
    session = AsyncSession(engine.execution_options(postgresql_readonly=read_only), sync_session_class=BlockSession)
    async with _until_it_ends(session):
        yield session


def in_tenant_session(
    engine: AsyncEngine, tenant_of: Callable[P, UUID | str], *, user_of: Callable[P, UUID | str | None] | None = None
) -> Callable[[Callable[Concatenate[AsyncSession, P], Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Make a decorator for coroutine handlers: they are called with the session of their tenant first.

    Raises:
        TypeError: (when it decorates) the handler is no coroutine function; (when called) it gave nothing to await, or
            returned what is to be awaited or iterated over afterwards, and what it wrote is rolled back.
    """

    def decorate(handler: Callable[Concatenate[AsyncSession, P], Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        refuse_unless_coroutine(handler)

        @functools.wraps(handler)
        async def run(*arguments: P.args, **options: P.kwargs) -> R:
            user = user_of(*arguments, **options) if user_of else None
            async with tenant_session(engine, tenant_of(*arguments, **options), user=user) as session:
                result = await handler(session, *arguments, **options)
                refuse_later_work(handler, result)
                return result

        del run.__dict__["__wrapped__"]  # its signature is the caller's: without the session
        return run

    return decorate
