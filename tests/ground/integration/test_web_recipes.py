"""The documented recipes for web handlers, each with a commit that fails and with one that does not.

The kind: who is told of a success sees it committed. A commit fails after the handler has returned (a duplicate at the
flush, a deferred constraint at COMMIT itself), so whatever answers before it, or swallows its error, acknowledges a row
that is lost.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import httpx2
import pytest
import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI, Header
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.config.settings import Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import in_tenant_session as in_async_tenant_session
from schema.client.aio.session import tenant_session as async_tenant_session
from schema.client.connection import BoundedConnection
from schema.client.orm import TenantSession
from schema.client.session import in_tenant_session, tenant_session
from schema.errors import ContextFault, TenantContextError
from schema.models.tenants import Tenant
from schema.models.users import User
from tests.ground.integration.conftest import Scratch
from tests.kit.database import MakeEngine
from tests.kit.errors import about
from tests.kit.pages import blocks
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

Post = Callable[[str], int]  # asks for a new user of a name, and returns the status of the answer


def current_tenant(x_tenant: Annotated[UUID, Header()]) -> UUID:
    """Find the tenant of a request, as a product would by its own means."""
    return x_tenant


class StateOfTenant:
    """Middleware that finds it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the tenant where handlers look for it."""
        if scope["type"] == "http":
            scope.setdefault("state", {})["tenant"] = dict(scope["headers"])[b"x-tenant"].decode()
        await self.app(scope, receive, send)


def recipe(framework: str, engine: Engine) -> Any:
    """Run the documented block for a framework, and return its application."""
    (block,) = (block for block in blocks("schema/README.md") if f"from {framework}" in block.text)
    names = {"engine": engine, "current_tenant": current_tenant, "__name__": "product"}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102 - the block is ours
    return names["app"]


def disposing(engine: AsyncEngine) -> Any:
    """Dispose of an engine with the event loop that has used it."""

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    return lifespan


def asynchronous_fastapi(engine: AsyncEngine) -> FastAPI:
    """Write the same for asyncio, as the page says."""
    app = FastAPI(lifespan=disposing(engine))

    async def session(tenant: Annotated[UUID, Depends(current_tenant)]) -> AsyncIterator[AsyncSession]:
        async with async_tenant_session(engine, tenant) as session:
            yield session

    async def add_user(session: Annotated[AsyncSession, Depends(session, scope="function")], name: str) -> str:
        session.add(User(external_id=name, email=f"{name}@example.com"))
        return name

    app.post("/users/{name}", status_code=201)(add_user)
    return app


def asynchronous_starlette(engine: AsyncEngine) -> Starlette:
    """Write the same for asyncio, as the page says."""

    @in_async_tenant_session(engine, lambda request: request.state.tenant)
    async def add_user(session: AsyncSession, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        session.add(User(external_id=name, email=f"{name}@example.com"))
        return JSONResponse(name, 201)

    routes = [Route("/users/{name}", add_user, methods=["POST"])]
    return Starlette(routes=routes, lifespan=disposing(engine))


class Server(uvicorn.Server):
    """A server in a thread, that says when it listens."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_level="critical"))
        self.listens = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.listens.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application by uvicorn."""
    server = Server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.listens.wait(30)
    try:
        yield server.url
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def by_client(app: ASGIApp, tenant: UUID) -> Iterator[Post]:
    """Ask through the framework's own client."""
    with TestClient(app, headers={"x-tenant": str(tenant)}, raise_server_exceptions=False) as client:
        yield lambda name: client.post(f"/users/{name}").status_code


@contextmanager
def by_uvicorn(app: ASGIApp, tenant: UUID) -> Iterator[Post]:
    """Ask over a socket, each time over one of its own: uvicorn closes those whose application raised."""
    each = httpx2.Limits(max_keepalive_connections=0)
    with served(app) as url, httpx2.Client(base_url=url, headers={"x-tenant": str(tenant)}, limits=each) as client:
        yield lambda name: client.post(f"/users/{name}").status_code


@contextmanager
def by_flask(app: Any, tenant: UUID) -> Iterator[Post]:
    """Ask through Flask's client."""
    from flask import g

    app.before_request(lambda: setattr(g, "tenant", tenant))
    yield lambda name: cast(int, app.test_client().post(f"/users/{name}").status_code)


@contextmanager
def by_call(engine: Engine, tenant: UUID) -> Iterator[Post]:
    """Call a plain function that is decorated; its caller sees an exception where others see a status."""

    @in_tenant_session(engine, lambda name: tenant)  # noqa: ARG005 - called with the handler's arguments, by name too
    def add_user(session: TenantSession, name: str) -> int:
        session.add(User(external_id=name, email=f"{name}@example.com"))
        return 201

    def post(name: str) -> int:
        try:
            return add_user(name)
        except Exception:
            return 500

    yield post


@pytest.fixture
def database(scratch: Scratch) -> Scratch:
    """Give a database in which one constraint of users is looked at by each statement, and one at COMMIT."""
    scratch.upgrade()
    scratch.connection.execute("ALTER TABLE users DROP CONSTRAINT uq_users_tenant_id_email")
    scratch.connection.execute("ALTER TABLE users ADD UNIQUE (tenant_id, email) DEFERRABLE INITIALLY DEFERRED")
    return scratch


def names_of(engine: Engine, tenant: UUID) -> list[str]:
    """Return the users that there are."""
    with tenant_session(engine, tenant) as session:
        return sorted(session.scalars(select(User.email)))


def acknowledge(post: Post, engine: Engine, tenant: UUID) -> None:
    """Ask for users, of which some cannot be; a success is there at once, anything else is an error and is not."""
    assert post("ada") == 201
    assert names_of(engine, tenant) == ["ada@example.com"]
    with tenant_session(engine, tenant) as session:
        session.add(User(external_id="another", email="bob@example.com"))
    for name in ("ada", "bob") * 3:  # at the flush, at COMMIT; more often than the pool has connections
        assert post(name) == 500
        assert names_of(engine, tenant) == ["ada@example.com", "bob@example.com"]
    assert post("eve") == 201
    assert names_of(engine, tenant)[2:] == ["eve@example.com"]


def test_a_success_is_committed_and_a_failed_commit_is_an_error(
    database: Scratch, stack: RunningStack, make_engine: MakeEngine, subtests: pytest.Subtests
) -> None:
    """By each recipe, through the framework's client and over uvicorn, sync and asyncio."""
    url = stack.url(Role.USER).on(database.url.database)
    engine = make_engine(url, database_pool_budget=2, database_processes=1)
    small = replace(stack.settings, database_pool_budget=2, database_processes=1)
    starlette = recipe("starlette", engine)
    asynchronous = asynchronous_starlette(create_async_engine(url, small))
    for application in (starlette, asynchronous):
        application.add_middleware(StateOfTenant)
    ways: dict[str, tuple[Any, Any]] = {
        "FastAPI": (by_client, recipe("fastapi", engine)),
        "FastAPI over uvicorn": (by_uvicorn, recipe("fastapi", engine)),
        "FastAPI under asyncio": (by_uvicorn, asynchronous_fastapi(create_async_engine(url, small))),
        "Starlette": (by_client, starlette),
        "Starlette over uvicorn": (by_uvicorn, starlette),
        "Starlette under asyncio": (by_uvicorn, asynchronous),
        "Flask": (by_flask, recipe("flask", engine)),
        "a plain decorator": (by_call, engine),
    }
    for way, (ask, app) in ways.items():
        tenant = uuid4()
        with tenant_session(engine, tenant) as session:
            session.add(Tenant(tenant_id=tenant, name="Acme", slug=str(tenant)))
        with subtests.test(way), ask(app, tenant) as post:
            acknowledge(post, engine, tenant)


def test_a_commit_that_the_server_makes_a_rollback_is_an_error(
    single: Engine, tenant: UUID, stack: RunningStack, maintenance: BoundedConnection
) -> None:
    """A handler that swallows an error would answer for rows that are lost: COMMIT is answered by ROLLBACK alone."""
    fail = text("SELECT 1 / 0")

    @in_tenant_session(single, lambda: tenant)
    def swallow(session: TenantSession) -> int:
        session.add(User(external_id="ada", email="ada@example.com"))
        session.flush()
        with suppress(DBAPIError):
            session.execute(fail)
        return 201

    @in_tenant_session(single, lambda: tenant)
    def save(session: TenantSession) -> int:
        session.execute(insert(User), [{"external_id": "bob", "email": "bob@example.com"}])
        with suppress(DBAPIError), session.begin_nested():
            session.execute(fail)
        return 201

    async def main() -> None:
        engine = create_async_engine(stack.url(Role.USER), stack.settings)

        @in_async_tenant_session(engine, lambda: tenant)
        async def swallow(session: AsyncSession) -> int:
            await session.execute(update(Tenant).values(name="Beta"))
            with suppress(DBAPIError):
                await session.execute(fail)
            return 201

        with pytest.raises(DBAPIError, match=r"begin_nested\(\)"):
            await swallow()
        await engine.dispose()

    with pytest.raises(DBAPIError, match=r"begin_nested\(\)"):
        swallow()
    assert save() == 201
    asyncio.run(main())
    assert names_of(single, tenant) == ["bob@example.com"]
    assert maintenance.execute("SELECT name FROM tenants WHERE tenant_id = %s", [tenant]).fetchone() == ("Acme",)


def test_what_is_left_for_after_the_response_finds_no_session(single: Engine, tenant: UUID) -> None:
    """A stream or a background task that uses the request's session is an error, and takes no connection for ever."""

    def session() -> Iterator[TenantSession]:
        with tenant_session(single, tenant) as session:
            yield session

    of_tenant = Depends(session, scope="function")
    app = FastAPI()

    @app.get("/stream")
    def stream(session: Any = of_tenant) -> StreamingResponse:
        return StreamingResponse(str(session.scalar(select(Tenant.name))) for _ in range(3))

    @app.get("/background")
    def background(tasks: BackgroundTasks, session: Any = of_tenant) -> None:
        tasks.add_task(session.scalar, select(Tenant.name))

    with TestClient(app) as client:
        for path in ("/stream", "/background") * 2:
            with pytest.raises(TenantContextError, check=about(fault=ContextFault.BLOCK_ENDED)):
                client.get(path)
    with tenant_session(single, tenant) as own:
        assert own.scalar(select(Tenant.name)) == "Acme"
