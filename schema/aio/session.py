"""Sessions and connections of one tenant, or of none, under asyncio: the rules are those of `schema.session`."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from schema.context import NoTenant, TenantBlock, tenant_id
from schema.dialect import engine_of
from schema.orm import TenantSession

P = ParamSpec("P")
R = TypeVar("R")


@asynccontextmanager
async def tenant_session(engine: AsyncEngine, tenant: UUID | str) -> AsyncIterator[AsyncSession]:
    """Open an ORM session of `tenant`: committed when the block ends, rolled back when it raises.

    Relationships are loaded eagerly or by `AsyncAttrs`: nothing is loaded behind an attribute without an await.

    Raises:
        TenantContextError: as `schema.session.tenant_session`.
    """
    identifier = tenant_id(tenant)
    session = AsyncSession(engine, sync_session_class=TenantSession, tenant=identifier)
    with TenantBlock(identifier):
        async with session:
            yield session
            await session.commit()


@asynccontextmanager
async def tenant_connection(engine: AsyncEngine, tenant: UUID | str) -> AsyncIterator[AsyncConnection]:
    """Open a connection of `tenant`, for statements without the ORM: committed when the block ends.

    Raises:
        TenantContextError: as `schema.session.tenant_session`.
    """
    identifier = tenant_id(tenant)
    with TenantBlock(identifier):
        async with AsyncEngine(engine_of(identifier, engine.sync_engine)).connect() as connection:
            yield connection
            await connection.commit()


@asynccontextmanager
async def tenantless_connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection with no tenant, as `schema.session.tenantless_connection` does."""
    async with AsyncEngine(engine_of(NoTenant.NO_TENANT, engine.sync_engine)).connect() as connection:
        yield connection
        await connection.commit()


def in_tenant_session(
    engine: AsyncEngine, tenant_of: Callable[P, UUID | str]
) -> Callable[[Callable[Concatenate[AsyncSession, P], Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Make a decorator for coroutine handlers: they are called with the session of their tenant first."""

    def decorate(handler: Callable[Concatenate[AsyncSession, P], Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @functools.wraps(handler)
        async def run(*arguments: P.args, **options: P.kwargs) -> R:
            async with tenant_session(engine, tenant_of(*arguments, **options)) as session:
                return await handler(session, *arguments, **options)

        del run.__dict__["__wrapped__"]  # its signature is the caller's: without the session
        return run

    return decorate
