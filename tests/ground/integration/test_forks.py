"""A connection belongs to the process that made it, whatever state it was in when that process forked.

The kind: a child shares its parent's sockets, so whatever it sends there (a statement, COMMIT, ROLLBACK or Terminate,
by intent or while a block unwinds) happens in the parent's transaction, and what it reads is somebody else's answer.
"""

import asyncio
import gc
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from threading import Event, Thread, current_thread
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infra.config.settings import CHECKOUT, Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import tenant_connection as async_tenant_connection
from schema.client.connection import BoundedConnection
from schema.client.logs import logger
from schema.client.session import tenant_connection, tenant_session
from schema.errors import DatabaseUnavailable
from schema.models.tenants import Tenant
from tests.ground.integration.connections_in_use import SEEN, STATES, idle_between_transactions
from tests.kit.database import MakeEngine, SignUp
from tests.kit.forks import in_child
from tests.kit.stack import RunningStack

pytestmark = [
    pytest.mark.one_backend,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # a test's worker has threads
]

PID = text("SELECT pg_backend_pid()")


def test_children_serve_their_own_tenants(single: Engine, sign_up: SignUp) -> None:
    """Two children of a process whose engine was in use: each sees its own tenant's rows, again and again."""
    tenants = [sign_up(), sign_up()]
    with tenant_session(single, tenants[0]) as session:
        session.execute(SEEN)

    def look(tenant: UUID) -> None:
        for _ in range(150):
            with tenant_session(single, tenant) as session:
                assert session.scalars(SEEN).all() == [tenant]

    children = [get_context("fork").Process(target=look, args=(tenant,)) for tenant in tenants]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        child.kill()  # one that waits for an answer that another child has read
        child.join()
    assert [child.exitcode for child in children] == [0, 0]


@pytest.mark.parametrize("state", STATES)
def test_a_child_leaves_its_parents_connection_alone(
    state: Any, single: Engine, tenant: UUID, stack: RunningStack, admin: BoundedConnection
) -> None:
    """What would use it in the child is refused, what would end it is quiet, and the server hears of neither."""
    with state(single, tenant, stack) as held:
        pid = held.ask("SELECT pg_backend_pid()")
        if state is idle_between_transactions:
            held.commit()
        last = "SELECT state, state_change, query FROM pg_stat_activity WHERE pid = %s"
        before = admin.execute(last, [pid]).fetchone()

        def use(what: Callable[[], object]) -> None:
            try:
                what()
            finally:
                held.rollback()
                held.close()
                gc.collect()

        answers = [in_child(partial(use, what)) for what in (partial(held.ask, "SELECT 1"), held.commit, int)]
        assert admin.execute(last, [pid]).fetchone() == before
        assert held.ask("SELECT pg_backend_pid()") == pid
        held.commit()
    asked, committed, ended = answers
    assert "the parent process made this connection" in asked[1]
    assert state is idle_between_transactions or committed == asked
    assert ended is None


def test_a_child_that_unwinds_its_parents_blocks_changes_nothing(
    single: Engine, tenant: UUID, maintenance: BoundedConnection
) -> None:
    """Neither the end of a block nor an exception in it commits, rolls back or closes what the parent goes on with."""

    def name() -> Any:
        return maintenance.execute("SELECT name FROM tenants WHERE tenant_id = %s", [tenant]).fetchone()

    block = tenant_session(single, tenant)
    session = block.__enter__()
    session.execute(update(Tenant).values(name="Beta"))
    assert in_child(partial(block.__exit__, None, None, None))[0] == "DatabaseUnavailable"
    assert in_child(lambda: block.__exit__(LookupError, LookupError("x"), None)) is False
    assert name() == ("Acme",)
    session.execute(SEEN)
    block.__exit__(None, None, None)
    assert name() == ("Beta",)


def test_the_childs_error_is_one_paragraph(single: Engine, tenant: UUID, stack: RunningStack) -> None:
    """It says what, where and what next, and that another attempt of the same kind is no use."""
    with tenant_connection(single, tenant) as connection:
        connection.execute(SEEN)
        said = in_child(partial(connection.execute, SEEN))
    url = stack.url(Role.USER)
    assert said == (
        "DatabaseUnavailable",
        (
            f"No connection to database 'app' at {url.host}:{url.port} as app_user: the parent process made this "
            "connection before it forked, and a child may not use it; nothing was sent. Open a session or connection "
            "in the child itself: its engines have new, empty pools."
        ),
    )


def test_a_child_has_its_whole_pool(single: Engine, tenant: UUID) -> None:
    """What was checked out when the process forked takes no place in the child's pool, and is not returned to it."""

    def serve() -> list[bool]:
        with tenant_session(single, tenant) as own:
            served = [own.scalars(SEEN).all() == [tenant]]
        outer.close()
        with tenant_session(single, tenant) as own:
            return [*served, own.scalar(PID) != mine]

    with tenant_session(single, tenant) as outer:
        mine = outer.scalar(PID)
        assert in_child(serve) == [True, True]
        assert outer.scalar(PID) == mine


def test_a_child_of_a_block_serves_whom_it_names(single: Engine, sign_up: SignUp) -> None:
    """Forked within a block, a child is as much on its own as a thread that was started there."""
    one, other = sign_up(), sign_up()

    def serve() -> list[Any]:
        with tenant_connection(single, other) as connection:
            return list(connection.scalars(SEEN))

    with tenant_connection(single, one):
        assert in_child(serve) == [other]


def test_a_grandchild_is_a_child(single: Engine, tenant: UUID) -> None:
    """Each process has its own connection, however deep."""

    def serve(depth: int) -> list[Any]:
        with tenant_connection(single, tenant) as connection:
            mine = connection.scalar(PID)
            deeper = in_child(partial(serve, depth - 1)) if depth else []
            return [mine, *deeper] if connection.scalar(PID) == mine else []

    pids = serve(3)
    assert len(set(pids)) == 4


@pytest.fixture
def writing() -> Iterator[logging.Handler]:
    """Have what is logged written to a file."""
    handler = logging.FileHandler(os.devnull)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)
    handler.close()


@pytest.mark.parametrize("lock", ["queue", "connection", "log"])
def test_a_lock_that_another_thread_holds_does_not_hold_up_a_child(
    lock: str, single: Engine, tenant: UUID, writing: logging.Handler
) -> None:
    """The thread is not there in the child, so nobody would release it."""
    with tenant_session(single, tenant) as session:
        session.execute(SEEN)
        held = {
            "queue": single.pool._pool.mutex,  # type: ignore[attr-defined]  # a QueuePool has it
            "connection": session.connection().connection.driver_connection.lock,  # type: ignore[union-attr]
            "log": writing.lock,
        }[lock]
        taken, done = Event(), Event()

        def hold() -> None:
            with held:
                taken.set()
                done.wait(30)

        def serve() -> list[Any]:
            with suppress(DatabaseUnavailable):
                session.execute(SEEN)
            session.rollback()
            session.close()
            with tenant_session(single, tenant) as own:
                return list(own.scalars(SEEN))

        thread = Thread(target=hold)
        thread.start()
        taken.wait(30)
        try:
            assert in_child(serve) == [tenant]
        finally:
            done.set()
            thread.join()


def test_a_fork_during_another_threads_first_connection(make_engine: MakeEngine, tenant: UUID) -> None:
    """The child makes its own first connection, though the thread that makes the parent's holds SQLAlchemy's lock."""
    engine = make_engine()
    connecting, forked = Event(), Event()

    @event.listens_for(engine, "connect", insert=True)
    def stall(*_: object) -> None:
        if current_thread() is thread:
            connecting.set()
            forked.wait(30)

    def serve() -> list[Any]:
        with tenant_connection(engine, tenant) as connection:
            return list(connection.scalars(SEEN))

    thread = Thread(target=serve)
    thread.start()
    connecting.wait(30)
    try:
        assert in_child(serve) == [tenant]
    finally:
        forked.set()
        thread.join()


def test_an_asyncio_child_leaves_its_parents_connection_alone(
    stack: RunningStack, sign_up: SignUp, admin: BoundedConnection
) -> None:
    """Under asyncio too: what would use it is refused, what ends it is quiet, and the child's own engine serves."""
    one, other = sign_up(), sign_up()
    small = replace(stack.settings, database_pool_budget=1, database_processes=1)
    last = "SELECT state, state_change, query FROM pg_stat_activity WHERE pid = %s"

    async def misuse(connection: AsyncConnection) -> str:
        with pytest.raises(DatabaseUnavailable) as refused:
            await connection.execute(SEEN)
        await connection.rollback()
        await connection.close()
        return str(refused.value)

    async def commit(connection: AsyncConnection) -> str:
        with pytest.raises(DatabaseUnavailable) as refused:
            await connection.commit()
        return str(refused.value)

    async def serve(engine: AsyncEngine) -> list[Any]:
        async with async_tenant_connection(engine, other) as connection:
            return list(await connection.scalars(SEEN))

    def run(work: Callable[[], Any]) -> Any:
        return asyncio.run(work())

    async def main() -> list[Any]:
        engine = create_async_engine(stack.url(Role.USER), small)
        async with async_tenant_connection(engine, one) as connection:
            await connection.execute(update(Tenant).values(name="Beta"))
            pid = await connection.scalar(PID)
            before = admin.execute(last, [pid]).fetchone()
            works = [partial(misuse, connection), partial(commit, connection), partial(serve, engine)]
            answers = [in_child(partial(run, cast(Any, work))) for work in works]
            assert admin.execute(last, [pid]).fetchone() == before
            assert await connection.scalar(select(Tenant.name)) == "Beta"
        idle = in_child(lambda: asyncio.run(serve(engine)))
        await engine.dispose()
        return [*answers, idle]

    misused, committed, *served = asyncio.run(main())
    assert "the parent process made this connection" in misused
    assert committed == misused
    assert served == [[other], [other]]


PROGRAM = """
import os, sys
from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.engine import create_engine
from schema.client.logs import logger
from schema.client.session import tenant_session
from sqlalchemy import text

engine = create_engine(DatabaseUrl.parse(sys.argv[1]), Settings.load())
with tenant_session(engine, sys.argv[2]) as session:
    session.execute(text("UPDATE tenants SET name = 'Beta'"))
    child = os.fork()
    if not child:
        sys.exit()  # as a program does: every block unwinds, and what is to be done at exit is done
    assert os.waitpid(child, 0)[1] == 0
    session.execute(text("UPDATE tenants SET name = name || 2"))
engine.dispose()
"""


def test_a_child_that_exits_within_a_block_rolls_nothing_back(
    stack: RunningStack, tenant: UUID, maintenance: BoundedConnection
) -> None:
    """A program whose child ends by sys.exit commits what it wrote before and after; neither says anything is wrong."""
    url = stack.url(Role.USER).libpq()
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, url, str(tenant)],
        cwd=CHECKOUT,
        env={**os.environ, "LOG_LEVEL": "warning"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert maintenance.execute("SELECT name FROM tenants WHERE tenant_id = %s", [tenant]).fetchone() == ("Beta2",)
