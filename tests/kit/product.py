"""What the product's tests use all day. `pytest --fixtures tests/product` lists it, tests/README.md the costs.

Whatever a test writes through `db` and what stands on it is gone when the test ends, and was seen by nobody else.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from infra.config.endpoints import HOST
from infra.config.identity import Service
from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import tenantless_connection as async_tenantless_connection
from schema.client.engine import create_engine
from schema.client.orm import TenantSession
from schema.client.session import tenantless_connection
from schema.tenancy.mixin import TenantMixin

if TYPE_CHECKING:  # pytest rewrites the asserts of a plugin that nobody has imported before it
    from redis import Redis

    from schema.isolation.report import Report
    from tests.kit.clones import Clones
    from tests.kit.one_connection import OneConnection
    from tests.kit.rows import Facts, Make
    from tests.kit.stack import RunningStack

_REDIS_DATABASE = 1  # the ground's own tests write to 0


@dataclass
class Database:
    """A database of a test's own, with the tenants of `tenant` and `other_tenant`; commits are real in it."""

    owner: DatabaseUrl
    user: DatabaseUrl
    settings: Settings
    _connections: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The database's name."""
        return self.owner.database

    @cached_property
    def engine(self) -> Engine:
        """The application's engine."""
        return self._followed(create_engine(self.user, self.settings))

    @cached_property
    def async_engine(self) -> AsyncEngine:
        """The application's engine for asyncio, for one event loop."""
        engine = create_async_engine(self.user, self.settings)
        self._followed(engine.sync_engine)
        return engine

    def sign_up(self) -> UUID:
        """Make one more tenant and return its id."""
        from tests.kit.clones import sign_up

        tenant = uuid4()
        sign_up(self.user, self.settings, tenant)
        return tenant

    def close(self) -> None:
        """Close all connections of its engines, in whatever event loop they were made."""
        for connection in self._connections:
            connection.pgconn.finish()

    def _followed(self, engine: Engine) -> Engine:
        @event.listens_for(engine, "connect")
        def follow(_connection: object, record: Any) -> None:
            self._connections.append(record.driver_connection)

        return engine


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> "RunningStack":
    """Give the tests' own stack: PostgreSQL with the roles and the migrations, and Redis; once for a run."""
    from tests.kit.availability import chosen, needs, quickest_first

    choice = quickest_first(chosen(request.config))[0]
    needs(choice, request.config)
    running: RunningStack = request.getfixturevalue(f"{choice}_stack")
    return running


@pytest.fixture(scope="session")
def _clones(stack: "RunningStack") -> Iterator["Clones"]:
    from tests.kit.clones import Clones, ensure_template
    from tests.kit.keeping import KEPT

    owner = stack.url(Role.OWNER)
    template = ensure_template(owner, stack.url(Role.USER), stack.settings)
    clones = Clones(owner, stack.settings, template)
    yield clones
    clones.close(frozenset(KEPT))


@pytest.fixture(scope="session")
def _shared(stack: "RunningStack", _clones: "Clones") -> Iterator["OneConnection"]:
    from tests.kit.one_connection import OneConnection

    shared = OneConnection(lambda: stack.url(Role.USER).on(_clones.take()), stack.settings)
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def _engines(stack: "RunningStack", _shared: "OneConnection") -> tuple[Engine, AsyncEngine]:
    from tests.kit.one_dialect import async_engine_on, engine_on

    url = stack.url(Role.USER)
    return engine_on(_shared, url, stack.settings), async_engine_on(_shared, url, stack.settings)


@pytest.fixture
def _one_test(_shared: "OneConnection") -> Iterator[None]:
    _shared.start()
    yield
    _shared.end()


@pytest.fixture
def db(_engines: tuple[Engine, AsyncEngine], _one_test: None) -> Engine:
    """Give the application's engine for one test: on one connection, rolled back at the end. Pass it to your code."""
    return _engines[0]


@pytest.fixture
def async_db(_engines: tuple[Engine, AsyncEngine], _one_test: None) -> AsyncEngine:
    """Give the application's engine for asyncio, on the same connection as `db`: each sees what the other wrote."""
    return _engines[1]


@pytest.fixture
def tenant() -> UUID:
    """Give the id of a tenant that every database of the tests has."""
    from tests.kit.clones import TENANTS

    return TENANTS[0]


@pytest.fixture
def other_tenant() -> UUID:
    """Give the id of another tenant that every database of the tests has."""
    from tests.kit.clones import TENANTS

    return TENANTS[1]


@pytest.fixture
def tenant_session(db: Engine, tenant: UUID) -> Iterator[TenantSession]:
    """Give an ORM session of `tenant` on `db`. It commits as ever, checks and hooks included; the end takes it back."""
    with TenantSession(db, tenant=tenant) as session:
        yield session


@pytest.fixture
def async_tenant_session(async_db: AsyncEngine, tenant: UUID) -> Iterator[AsyncSession]:
    """Give an ORM session of `tenant` on `async_db`, for asyncio."""
    session = AsyncSession(async_db, sync_session_class=TenantSession, tenant=tenant)
    yield session
    session.sync_session.close()  # no event loop is needed to end a transaction of `async_db`


@pytest.fixture
def as_nobody(db: Engine) -> Iterator[Connection]:
    """Give a connection of `db` without a tenant: tenant tables refuse it."""
    with tenantless_connection(db) as connection:
        yield connection


@pytest.fixture
def async_as_nobody(async_db: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
    """Give a connection of `async_db` without a tenant, to enter: `async with async_as_nobody as connection`."""
    return async_tenantless_connection(async_db)


@pytest.fixture
def database(request: pytest.FixtureRequest, stack: "RunningStack", _clones: "Clones") -> Iterator[Database]:
    """Give a database of the test's own, for threads, processes and real commits; kept where the test fails."""
    from tests.kit.keeping import DATABASE, KEPT

    name = _clones.take()
    made = Database(stack.url(Role.OWNER).on(name), stack.url(Role.USER).on(name), stack.settings)
    request.node.stash[DATABASE] = made.owner, stack.project
    yield made
    made.close()
    if name not in KEPT:
        _clones.drop(name)


@pytest.fixture(scope="session")
def _facts(stack: "RunningStack", _clones: "Clones") -> Iterator["Facts"]:
    from tests.kit.rows import read_facts

    name = _clones.take()
    yield read_facts(stack.url(Role.OWNER).on(name), stack.settings)
    _clones.drop(name)


@pytest.fixture
def make(tenant_session: TenantSession, _facts: "Facts") -> "Make":
    """Make rows of `tenant` in `tenant_session`: `make(Invoice, number=7)`. What must be there besides is made up."""
    from tests.kit.rows import Make, declared_factories

    return Make(tenant_session, _facts, declared_factories())


@pytest.fixture(scope="session")
def isolation_report(stack: "RunningStack", _clones: "Clones") -> "Report":
    """Give the report of `invoke check` on what the migrations make: by the catalogue, and by attacks on a clone."""
    from schema.isolation.check import check

    name = _clones.take()
    report = check(stack.url(Role.OWNER).on(name), stack.url(Role.USER).on(name), stack.settings)
    _clones.drop(name)
    return report


@pytest.fixture
def assert_isolated(isolation_report: "Report") -> Callable[[type[Any]], None]:
    """Give what fails unless a model's table keeps tenants apart: `assert_isolated(Invoice)`."""

    def check(model: type[Any]) -> None:
        table = str(model.__table__)
        words = re.compile(rf"(?<![\w.]){re.escape(table)}(?!\w)")
        found = [str(each) for each in isolation_report.about("isolation") if words.search(each.object)]
        assert not isolation_report.incomplete, isolation_report.incomplete
        assert issubclass(model, TenantMixin), f"{model.__name__} has no TenantMixin, so its rows are nobody's"
        assert not found, "\n".join(found)

    return check


@pytest.fixture
def redis(stack: "RunningStack") -> Iterator["Redis"]:
    """Give a client of Redis, on a database of the tests' own that is empty."""
    from redis import Redis

    password = stack.settings.redis_password.reveal()
    with Redis(HOST, stack.ports[Service.REDIS], _REDIS_DATABASE, password, decode_responses=True) as client:
        client.flushdb()
        yield client
        client.flushdb()
