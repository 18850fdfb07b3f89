"""The tenant context under asyncio: the same rules, and a loop that goes on while the server is waited for."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from infra.config.settings import Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import in_tenant_session, tenant_connection, tenant_session, tenantless_connection
from schema.client.connection import BoundedConnection
from schema.errors import ContextFault, DatabaseUnavailable, TenantContextError
from schema.models.tenants import Tenant
from schema.models.users import User
from tests.kit.database import SignUp
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.quick_on_one

Run = Callable[[Callable[[AsyncEngine], Awaitable[None]]], None]
SEEN = text("SELECT tenant_id FROM tenants")
PID = text("SELECT pg_backend_pid()")


@asynccontextmanager
async def opened(stack: RunningStack, port: int | None = None, **changed: Any) -> AsyncIterator[AsyncEngine]:
    """Open the application's engine for asyncio, with some settings changed; it is disposed of in the same loop."""
    url = stack.url(Role.USER)
    engine = create_async_engine(replace(url, port=port or url.port), replace(stack.settings, **changed))
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.fixture
def run(stack: RunningStack) -> Run:
    """Run a coroutine on an engine with a pool of one connection."""

    def run(work: Callable[[AsyncEngine], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opened(stack, database_pool_budget=1, database_processes=1) as engine:
                await work(engine)

        asyncio.run(main())

    return run


async def seen(connection: AsyncConnection | AsyncSession) -> list[Any]:
    """Return the tenants that a statement without any condition shows."""
    return list((await connection.execute(SEEN)).scalars())


def test_each_transaction_of_a_block_has_the_tenant(run: Run, sign_up: SignUp) -> None:
    """On one connection, block after block, past a commit and past psycopg's threshold for preparing."""
    tenants = [sign_up(), sign_up()]

    async def work(engine: AsyncEngine) -> None:
        for turn in range(16):
            mine = tenants[turn % 2]
            async with tenant_session(engine, mine) as session:
                assert await seen(session) == [mine]
                await session.commit()
                assert (await session.scalars(select(Tenant.tenant_id))).all() == [mine]
            async with tenant_connection(engine, mine) as connection:
                assert await seen(connection) == [mine]
                await connection.rollback()
                assert await seen(connection) == [mine]

    run(work)


def test_keys_and_rows_have_the_tenant(run: Run, sign_up: SignUp) -> None:
    """An INSERT and a key that name no tenant have that of the session or the connection."""
    tenant = sign_up()

    async def work(engine: AsyncEngine) -> None:
        async with tenant_connection(engine, tenant) as connection:
            await connection.execute(insert(User).values(external_id="ada", email="ada@example.com"))
        async with tenant_session(engine, tenant) as session:
            user = (await session.scalars(select(User))).one()
            session.expunge(user)
            found = await session.get(User, user.id)
            assert found is not None
            assert (found.tenant_id, found.email) == (tenant, "ada@example.com")

    run(work)


def test_a_block_commits_or_rolls_back(run: Run, tenant: UUID) -> None:
    """What a block has written is there when it ended, and gone when it raised."""

    async def rename(engine: AsyncEngine, name: str) -> None:
        async with tenant_session(engine, tenant) as session:
            (await session.scalars(select(Tenant))).one().name = name
            await session.flush()
            if name == "raised":
                raise LookupError(name)

    async def work(engine: AsyncEngine) -> None:
        await rename(engine, "ended")
        with pytest.raises(LookupError):
            await rename(engine, "raised")
        async with tenant_session(engine, tenant) as session:
            assert await session.scalar(select(Tenant.name)) == "ended"

    run(work)


def test_what_has_no_tenant_is_refused(run: Run, tenant: UUID) -> None:
    """No tenant, AUTOCOMMIT, two-phase and another tenant raise as they do without asyncio."""

    async def work(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            for _ in range(2):
                with pytest.raises(TenantContextError, check=about(fault=ContextFault.NO_TENANT)):
                    await connection.execute(text("SELECT 1"))
        async with tenantless_connection(engine) as connection:
            assert await connection.scalar(text("SELECT current_setting('app.tenant_id')")) == ""
        async with tenant_connection(engine, tenant) as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            with pytest.raises(TenantContextError, check=about(fault=ContextFault.AUTOCOMMIT)):
                await connection.execute(SEEN)
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.TWO_PHASE)):
            async with tenant_connection(engine, tenant) as connection:
                await connection.run_sync(lambda plain: plain.begin_twophase())

    run(work)


def test_the_transaction_is_as_it_was_asked_for(run: Run, tenant: UUID) -> None:
    """Isolation level, read-only and deferrable are those of the connection."""
    asked = {"isolation_level": "SERIALIZABLE", "postgresql_readonly": True, "postgresql_deferrable": True}

    async def work(engine: AsyncEngine) -> None:
        async with tenant_connection(engine, tenant) as connection:
            await connection.execution_options(**asked)
            for _ in range(2):
                row = await connection.execute(
                    text(
                        "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
                        " current_setting('transaction_deferrable')"
                    )
                )
                assert row.one() == ("serializable", "on", "on")
                await connection.commit()

    run(work)


def test_tasks_that_share_a_connection_stay_apart(run: Run, sign_up: SignUp) -> None:
    """Each of many tasks on one connection sees its own tenant, before and after a commit."""
    tenants = [sign_up() for _ in range(4)]

    async def look(engine: AsyncEngine, mine: UUID) -> None:
        async with tenant_session(engine, mine) as session:
            assert await seen(session) == [mine]
            await session.commit()
            assert await seen(session) == [mine]

    async def work(engine: AsyncEngine) -> None:
        await asyncio.gather(*(look(engine, mine) for mine in tenants * 8))

    run(work)


def test_a_task_started_in_a_block_is_on_its_own(stack: RunningStack, sign_up: SignUp) -> None:
    """It may serve another tenant, though its creator's block is open; the creator itself may not."""
    one, other = sign_up(), sign_up()

    async def look(engine: AsyncEngine, mine: UUID) -> list[Any]:
        async with tenant_connection(engine, mine) as connection:
            return await seen(connection)

    async def main() -> None:
        async with opened(stack) as engine, tenant_session(engine, one) as session:
            assert await asyncio.create_task(look(engine, other)) == [other]
            assert await seen(session) == [one]
            with pytest.raises(TenantContextError, check=about(wanted=str(other), serves=str(one))):
                await look(engine, other)

    asyncio.run(main())


def test_a_killed_connection_is_replaced(run: Run, tenant: UUID, admin: BoundedConnection) -> None:
    """The statement raises, and after a rollback the block goes on with a new connection of the same tenant."""

    async def work(engine: AsyncEngine) -> None:
        async with tenant_session(engine, tenant) as session:
            pid = await session.scalar(PID)
            assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)
            with pytest.raises(DatabaseUnavailable):
                await seen(session)
            await session.rollback()
            assert await seen(session) == [tenant]

    run(work)


def test_an_idle_connection_that_died_is_replaced(run: Run, tenant: UUID, admin: BoundedConnection) -> None:
    """After the server ended a pooled connection, the next block gets a new one and no error."""

    async def work(engine: AsyncEngine) -> None:
        async with tenant_session(engine, tenant) as session:
            pid = await session.scalar(PID)
        assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)
        async with tenant_session(engine, tenant) as session:
            assert await seen(session) == [tenant]

    run(work)


def test_a_cancelled_task_leaves_its_tenant_to_nobody(run: Run, sign_up: SignUp) -> None:
    """After a task is cancelled in the middle of a statement, the connection serves the next tenant."""
    one, other = sign_up(), sign_up()

    async def linger(engine: AsyncEngine, begun: asyncio.Event) -> None:
        async with tenant_connection(engine, one) as connection:
            await connection.execute(SEEN)
            begun.set()
            await connection.execute(text("SELECT pg_sleep(30)"))

    async def work(engine: AsyncEngine) -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(linger(engine, begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with tenant_connection(engine, other) as connection:
            assert await seen(connection) == [other]

    run(work)


def test_a_handler_runs_in_its_tenants_session(run: Run, tenant: UUID) -> None:
    """A coroutine handler gets the session first and its own arguments behind."""

    async def work(engine: AsyncEngine) -> None:
        @in_tenant_session(engine, lambda request: UUID(request["tenant"]))
        async def handle(session: AsyncSession, request: dict[str, str]) -> str:
            await session.execute(update(Tenant).values(name=request["name"]))
            return str(await session.scalar(select(Tenant.name)))

        assert await handle({"tenant": str(tenant), "name": "Beta"}) == "Beta"

    run(work)


class Gate(StreamRequestHandler):
    """A proxy before the server, in threads of its own, that holds back what the server answers while it is shut."""

    port = 0
    opened = threading.Event()
    held = threading.Event()
    in_vain = threading.Event()

    def handle(self) -> None:
        """Pass on what either side says, until one has closed."""
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            back = threading.Thread(target=self._answer, args=(server,))
            back.start()
            while data := self.request.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _answer(self, server: socket.socket) -> None:
        while data := server.recv(65536):
            if not self.opened.is_set():
                self.held.set()
                if not self.opened.wait(timeout=2):
                    self.in_vain.set()
            with suppress(OSError):
                self.request.sendall(data)


def test_the_loop_goes_on_while_a_transaction_begins(stack: RunningStack, tenant: UUID) -> None:
    """The server's answer to BEGIN is held back until the loop lets it pass, which a blocked loop never does."""

    async def main(port: int) -> None:
        async with (
            opened(stack, port, database_pool_budget=1, database_processes=1) as engine,
            tenant_connection(engine, tenant) as connection,
        ):
            await connection.execute(SEEN)
            await connection.commit()
            Gate.opened.clear()
            beginning = asyncio.ensure_future(connection.begin().start())
            await asyncio.to_thread(Gate.held.wait, 10)
            Gate.opened.set()
            await beginning
            assert await seen(connection) == [tenant]

    Gate.port = stack.url(Role.USER).port
    Gate.opened.set()
    Gate.held.clear()
    Gate.in_vain.clear()
    with ThreadingTCPServer(("127.0.0.1", 0), Gate) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        asyncio.run(main(proxy.server_address[1]))
        proxy.shutdown()
        thread.join()
    assert Gate.held.is_set()
    assert not Gate.in_vain.is_set()
