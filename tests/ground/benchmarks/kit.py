"""What the kit of the product's tests costs, on a server as the tests have it, with a template of 100 tables."""

import sys
from concurrent.futures import wait
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex

from sqlalchemy import Engine, text

from infra.commands.own_stack import preparation
from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from infra.stack.ephemeral import ephemeral_postgres
from schema.client.connection import BoundedConnection, connect
from schema.client.orm import TenantSession
from tests.ground.benchmarks.cases import Case, Measure, Side, Suite, Target
from tests.ground.benchmarks.checkouts import Checkout, copy_project
from tests.ground.benchmarks.commands import Command, Work
from tests.kit.availability import embedded_lacks
from tests.kit.checkout import copy_parts
from tests.kit.clones import TENANTS, Clones
from tests.kit.one_connection import OneConnection
from tests.kit.one_dialect import engine_on
from tests.kit.stack import make_settings

_TESTS = 200
_DATABASES = 20
_TABLES = 100
_TEMPLATE = "bench_template"
_TABLE = """
    CREATE TABLE bench_{n} (
        tenant_id uuid, id uuid, number text NOT NULL, amount int CHECK (amount >= 0), due timestamptz, note text,
        PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, number)
    );
    CREATE INDEX ON bench_{n} (tenant_id, due);
    ALTER TABLE bench_{n} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON bench_{n} USING (tenant_id = current_setting('app.tenant_id')::uuid);
"""

_OURS = """
import pytest
from sqlalchemy import text

@pytest.mark.parametrize("n", range(1000))
def test_trivial(n, tenant_session):
    assert tenant_session.scalar(text("SELECT 1")) == 1
"""
_BY_HAND = """
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from infra.config.settings import Role

@pytest.fixture(scope="session")
def connection(stack):
    url = stack.url(Role.USER).libpq().replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()

@pytest.fixture
def session(connection):
    with connection.begin() as outer:
        connection.execute(text("SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-00000000000a', true)"))
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        outer.rollback()

@pytest.mark.parametrize("n", range(1000))
def test_trivial(n, session):
    assert session.scalar(text("SELECT 1")) == 1
"""


def _nothing() -> None:
    """Take no time."""


def _set_up(undo: ExitStack) -> tuple[Case, ...]:
    settings = make_settings(APP_ENV="test")
    owner = undo.enter_context(ephemeral_postgres(settings, preparation(), lambda _: None))
    server = undo.enter_context(connect(owner, settings, autocommit=True))
    server.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
    with connect(owner.on(_TEMPLATE), settings) as connection:
        connection.execute("".join(_TABLE.format(n=n) for n in range(_TABLES)).encode())
    clones = Clones(owner, settings, _TEMPLATE)
    undo.callback(clones.close)
    user = DatabaseUrl(str(Role.USER), settings.role_password(Role.USER), owner.host, owner.port, owner.database)
    return (
        _session_case(user, settings, clones, undo),
        *_database_cases(clones),
        _peer_case(clones, owner, settings),
        _runs_case(undo),
    )


def _session_case(user: DatabaseUrl, settings: Settings, clones: Clones, undo: ExitStack) -> Case:
    url = user.on(clones.take())
    shared = OneConnection(lambda: url, settings)
    undo.callback(shared.close)
    bare = undo.enter_context(connect(url, settings))
    return Case(
        _NAMES[0],
        Side("the fixture tenant_session", Work(lambda: _sessions(shared, engine_on(shared, url, settings)))),
        Side("a savepoint and a rollback", Work(lambda: _savepoints(bare))),
        Target(_TESTS * 0.001, Measure.BEYOND),
    )


def _sessions(shared: OneConnection, engine: Engine) -> None:
    question = text("SELECT 1")
    for _ in range(_TESTS):
        shared.start()
        with TenantSession(engine, tenant=TENANTS[0]) as session:
            session.execute(question)
        shared.end()


def _savepoints(connection: BoundedConnection) -> None:
    for _ in range(_TESTS):
        connection.execute("SAVEPOINT a_test")
        connection.execute("SELECT 1")
        connection.rollback()


def _database_cases(clones: Clones) -> tuple[Case, ...]:
    nothing = Side("nothing", Work(_nothing))
    ready = (Work(lambda: wait(clones._ready)),)
    return (
        Case(_NAMES[1], Side("a clone that none was made ahead for", Work(clones._make)), nothing, _beyond(0.030)),
        Case(_NAMES[2], Side("a clone that is ready", Work(clones.take), prepare=ready), nothing, _beyond(0.001)),
    )


def _beyond(seconds: float) -> Target:
    return Target(seconds, Measure.BEYOND)


def _peer_case(clones: Clones, owner: DatabaseUrl, settings: Settings) -> Case:
    from pytest_postgresql.janitor import DatabaseJanitor

    def theirs() -> None:
        for _ in range(_DATABASES):
            name = f"janitor_{token_hex(4)}"
            with DatabaseJanitor(
                user=owner.user,
                host=owner.host,
                port=owner.port,
                dbname=name,
                template_dbname=_TEMPLATE,
                version=16,
                password=owner.password.reveal(),
            ):
                _use(owner.on(name), settings)

    def ours() -> None:
        for _ in range(_DATABASES):
            name = clones.take()
            _use(owner.on(name), settings)
            clones.drop(name)

    return Case(
        _NAMES[3],
        Side(f"{_DATABASES} databases", Work(ours)),
        Side("as many by pytest-postgresql's template", Work(theirs)),
        Target(1 / 3),
    )


def _runs_case(undo: ExitStack) -> Case:
    checkout = copy_project("kit-tests", undo)
    copy_parts(checkout.folder, "tests")
    tests = checkout.folder / "tests" / "product"
    for file in tests.glob("test_*.py"):
        file.unlink()
    return Case(
        _NAMES[4],
        Side("1,000 tests with tenant_session", _run_of(checkout, tests / "test_ours.py", _OURS)),
        Side("as many with a fixture by hand", _run_of(checkout, tests / "test_by_hand.py", _BY_HAND)),
        Target(1.3),
        every=3,
    )


def _run_of(checkout: Checkout, file: Path, content: str) -> Command:
    file.write_text(content, encoding="utf-8")
    words = ("-m", "pytest", "-q", "-n", "0", "--backend", "embedded", f"tests/product/{file.name}")
    return Command((sys.executable, *words), checkout.folder, checkout.environ)


def _use(url: DatabaseUrl, settings: Settings) -> None:
    with connect(url, settings) as connection:
        connection.execute("SELECT count(*) FROM bench_7")


def _lacks() -> str | None:
    return embedded_lacks() or (None if find_spec("pytest_postgresql") else "no peer: install the extra peers")


_NAMES = (
    "kit-tenant-session",
    "kit-database-cold",
    "kit-database-ready",
    "kit-databases-over-pytest-postgresql",
    "kit-1000-tests",
)
SUITE = Suite(_NAMES, _lacks, _set_up)
