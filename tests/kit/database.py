"""The tests' database: engines and connections that are closed again, tenants of a test's own, empty databases.

No test depends on another's rows: what it looks for belongs to tenants that it signed up itself.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.client.engine import create_engine
from schema.client.logs import logger
from schema.client.session import tenant_connection
from schema.isolation.check import check
from schema.isolation.report import Report
from schema.migration.shadow import shadow_database

if TYPE_CHECKING:  # pytest rewrites the asserts of a plugin that nobody has imported before it
    from tests.kit.stack import RunningStack

MakeEngine = Callable[..., Engine]
SignUp = Callable[[], UUID]
Logged = list[dict[str, Any]]


@pytest.fixture
def make_engine(stack: "RunningStack") -> Iterator[MakeEngine]:
    """Make engines of the application's role, or at another URL, with some settings changed; all are disposed of."""
    with ExitStack() as undo:

        def make(url: DatabaseUrl | None = None, **changed: Any) -> Engine:
            made = create_engine(url or stack.url(Role.USER), replace(stack.settings, **changed))
            undo.callback(made.dispose)
            return made

        yield make


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    """Give the application's engine."""
    return make_engine()


@pytest.fixture
def single(make_engine: MakeEngine) -> Engine:
    """Give the application's engine with a pool of one connection, which every use shares."""
    return make_engine(database_pool_budget=1, database_processes=1)


@pytest.fixture
def admin(stack: "RunningStack") -> Iterator[BoundedConnection]:
    """Give a superuser's connection to the application's database, in autocommit."""
    with connect(stack.admin.on(stack.url(Role.OWNER).database), stack.settings, autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(stack: "RunningStack") -> Iterator[BoundedConnection]:
    """Give the owner's connection, in autocommit."""
    with connect(stack.url(Role.OWNER), stack.settings, autocommit=True) as connection:
        yield connection


@pytest.fixture
def maintenance(stack: "RunningStack") -> Iterator[BoundedConnection]:
    """Give the connection of the role that sees every tenant, in autocommit."""
    with connect(stack.url(Role.MAINTENANCE), stack.settings, autocommit=True) as connection:
        yield connection


@pytest.fixture
def sign_up(engine: Engine) -> SignUp:
    """Sign up new tenants, whose slugs hold their ids; a sign-up makes the tenant's row inside its own context."""

    def sign_up() -> UUID:
        tenant = uuid4()
        with tenant_connection(engine, tenant) as connection:
            values = {"tenant": tenant, "slug": f"acme-{tenant}"}
            connection.execute(
                text("INSERT INTO tenants (tenant_id, name, slug) VALUES (:tenant, 'Acme', :slug)"), values
            )
        return tenant

    return sign_up


@pytest.fixture
def tenant(sign_up: SignUp) -> UUID:
    """Give a tenant of the test's own."""
    return sign_up()


@pytest.fixture
def scratch_database(stack: "RunningStack") -> Iterator[DatabaseUrl]:
    """Give the owner's URL of an empty database with the declared rights; it is dropped afterwards."""
    with shadow_database(stack.url(Role.OWNER), stack.settings) as scratch:
        yield scratch


@pytest.fixture
def isolation(stack: "RunningStack") -> Report:
    """Give the report of the isolation check on the tests' stack: by its catalogue, and by attacks on a clone."""
    return check(stack.url(Role.OWNER), stack.url(Role.USER), stack.settings)


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Collect what is logged at any level, as events with their level and data; nothing of it is printed."""
    collecting = _Collecting()
    logger.addHandler(collecting)
    logger.setLevel(logging.DEBUG)
    yield collecting.entries
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(collecting)


class _Collecting(logging.Handler):
    """Keeps what a record says beside what every record has."""

    _COMMON = frozenset(vars(logging.makeLogRecord({})))

    def __init__(self) -> None:
        super().__init__()
        self.entries: Logged = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        said = {key: value for key, value in vars(record).items() if key not in self._COMMON}
        self.entries.append(said | {"level": record.levelname})
