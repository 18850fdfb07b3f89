"""Handlers that a decorator gives a session: those whose work would begin after it has ended are refused.

The kind: the session ends when the handler returns. What is awaited or iterated over afterwards (a coroutine, a
generator, a stream) would begin a transaction of its own that nobody commits, on a connection that nobody returns.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update

from infra.config.settings import Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import in_tenant_session as in_async_tenant_session
from schema.client.aio.session import tenant_session as async_tenant_session
from schema.client.connection import BoundedConnection
from schema.client.orm import TenantSession
from schema.client.session import in_tenant_session, tenant_session
from schema.errors import ContextFault, TenantContextError
from schema.models.tenants import Tenant
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

RENAME = update(Tenant).values(name="Beta")


async def coroutine(session: Any, _tenant: UUID) -> None:
    """Write later."""
    session.execute(RENAME)


def generator(session: Any, _tenant: UUID) -> Iterator[int]:
    """Write later."""
    session.execute(RENAME)
    yield 1


async def asynchronous_generator(session: Any, _tenant: UUID) -> AsyncIterator[int]:
    """Write later."""
    session.execute(RENAME)
    yield 1


class View:
    """Handlers of a class."""

    async def __call__(self, session: Any, _tenant: UUID) -> None:
        """Write later."""
        session.execute(RENAME)

    async def method(self, session: Any, _tenant: UUID) -> None:
        """Write later."""
        session.execute(RENAME)

    @staticmethod
    def static(_session: Any, _tenant: UUID) -> Iterator[int]:
        """Write later."""
        yield 1


def plain(session: Any, _tenant: UUID) -> str:
    """Write now."""
    session.execute(RENAME)
    return str(session.scalar(select(Tenant.name)))


LATER: dict[str, Any] = {
    "a coroutine function": coroutine,
    "a generator": generator,
    "an asynchronous generator": asynchronous_generator,
    "an object": View(),
    "a method": View().method,
    "a static method": View.static,
    "a partial": functools.partial(coroutine),
    "a partial of one": functools.partial(functools.partial(generator)),
    "a partial of an object": functools.partial(View()),
}

RETURNS: dict[str, Callable[[Any, UUID], Any]] = {
    "a coroutine": coroutine,
    "a generator": generator,
    "an asynchronous generator": asynchronous_generator,
    "a map": lambda session, _: map(str, session.scalars(select(Tenant.name))),
    "rows that stream": lambda session, _: iter(session.scalars(select(Tenant.name))),
}


def name(maintenance: BoundedConnection, tenant: UUID) -> Any:
    """Return what the tenant's row says for everybody."""
    row = maintenance.execute("SELECT name FROM tenants WHERE tenant_id = %s", [tenant]).fetchone()
    return row and row[0]


@pytest.mark.parametrize("handler", LATER.values(), ids=LATER)
def test_a_handler_that_works_later_is_refused_when_it_is_decorated(handler: Any, engine: Engine) -> None:
    """The error says which, and what to use instead."""
    with pytest.raises(TypeError, match=r"after its session has ended.*schema\.client\.aio"):
        in_tenant_session(engine, lambda tenant: tenant)(handler)


@pytest.mark.parametrize("later", RETURNS.values(), ids=RETURNS)
def test_a_result_that_works_later_is_refused_and_rolled_back(
    later: Any, single: Engine, tenant: UUID, maintenance: BoundedConnection
) -> None:
    """What only the result shows is an error of the call; nothing is half done, and the connection is returned."""

    @in_tenant_session(single, lambda tenant: tenant)
    def handle(session: TenantSession, tenant: UUID) -> Any:
        session.execute(RENAME)
        return later(session, tenant)

    for _ in range(2):
        with pytest.raises(TypeError, match="rolled back"):
            handle(tenant)
    assert name(maintenance, tenant) == "Acme"


@pytest.mark.parametrize(
    "handler", [plain, functools.partial(plain), print], ids=["a function", "a partial", "a builtin"]
)
def test_what_works_at_once_is_served(handler: Any, engine: Engine, tenant: UUID) -> None:
    """A function, a partial of one and a builtin are called with the session first."""
    assert in_tenant_session(engine, lambda tenant: tenant)(handler)(tenant) in {"Beta", None}


def test_asyncio_refuses_what_cannot_await(stack: RunningStack) -> None:
    """A plain function, a generator and an asynchronous generator are refused when they are decorated."""
    engine = create_async_engine(stack.url(Role.USER), stack.settings)
    decorate = in_async_tenant_session(engine, lambda tenant: tenant)
    for handler in (plain, generator, asynchronous_generator, functools.partial(plain), View.static):
        with pytest.raises(TypeError, match=r"async def.*schema\.client"):
            decorate(handler)  # type: ignore[arg-type]  # as one would without a type checker


def test_asyncio_serves_what_can_be_awaited(stack: RunningStack, tenant: UUID, maintenance: BoundedConnection) -> None:
    """A coroutine function in any guise is served; a stream that it returns is refused, and rolled back."""

    async def write(session: Any, _tenant: UUID) -> str:
        await session.execute(RENAME)
        return str(await session.scalar(select(Tenant.name)))

    @functools.wraps(write)
    def wrapped(*arguments: Any) -> Any:
        return write(*arguments)

    class Handler:
        async def __call__(self, session: Any, _tenant: UUID) -> str:
            return await write(session, _tenant)

    async def stream(session: Any, _tenant: UUID) -> Any:
        await session.execute(RENAME)
        return asynchronous_generator(session, _tenant)

    async def main() -> None:
        engine = create_async_engine(stack.url(Role.USER), stack.settings)
        decorate = cast(Any, in_async_tenant_session)(engine, lambda tenant: tenant)
        with pytest.raises(TypeError, match="rolled back"):
            await decorate(stream)(tenant)
        assert name(maintenance, tenant) == "Acme"
        for handler in (write, wrapped, Handler(), functools.partial(write)):
            assert await decorate(handler)(tenant) == "Beta"
        await engine.dispose()

    asyncio.run(main())


def test_a_session_ends_with_its_block(single: Engine, tenant: UUID) -> None:
    """Used by a stream or a background task afterwards, it says so, and takes no connection that nobody returns."""
    with tenant_session(single, tenant) as session:
        session.execute(RENAME)
    for _ in range(2):
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.BLOCK_ENDED)):
            session.scalars(select(Tenant.name))
    session.add(Tenant(tenant_id=tenant, name="Late", slug="late"))
    with pytest.raises(TenantContextError, check=about(fault=ContextFault.BLOCK_ENDED)):
        session.flush()
    with tenant_session(single, tenant) as own:
        assert own.scalar(select(Tenant.name)) == "Beta"


def test_an_asyncio_session_ends_with_its_block(stack: RunningStack, tenant: UUID) -> None:
    """The same under asyncio."""

    async def main() -> None:
        engine = create_async_engine(stack.url(Role.USER), stack.settings)
        async with async_tenant_session(engine, tenant) as session:
            await session.execute(RENAME)
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.BLOCK_ENDED)):
            await session.scalars(select(Tenant.name))
        await engine.dispose()

    asyncio.run(main())
