"""What the application's engine promises, on a real server."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from threading import Event, Semaphore
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from infra.config.settings import AppEnv, Role, Settings, SslMode
from infra.config.urls import SCHEMES, DatabaseUrl
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import tenantless_connection as async_tenantless_connection
from schema.client.connection import BoundedConnection
from schema.client.session import tenant_connection, tenantless_connection
from schema.errors import DatabaseUnavailable
from tests.kit.database import Logged, MakeEngine
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.quick_on_one

MOMENT = timedelta(milliseconds=100)
PATIENCE = timedelta(milliseconds=500)


def backend_pid(engine: Engine) -> int:
    """Return the server process that serves the engine's next connection."""
    with tenantless_connection(engine) as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def terminate(admin: BoundedConnection, pid: int) -> None:
    """End a server process and wait until it is gone."""
    assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def full(engine: Engine, size: int) -> str:
    """Return what is said where all of a pool's connections are in use."""
    return (
        f"No connection to database 'app' at 127.0.0.1:{engine.url.port} as app_user came free within 0.5 s: {size} of "
        f"{size} in this process's pool are in use. End each session and connection with its block, or raise "
        "DATABASE_POOL_BUDGET, which DATABASE_PROCESSES processes share."
    )


@pytest.fixture
def echo_handlers() -> Iterator[None]:
    """Take away the handlers that an echoing engine added."""
    echo = logging.getLogger("sqlalchemy.engine.Engine")
    before = echo.handlers[:]
    yield
    echo.handlers[:] = before


def test_the_application_reaches_the_declared_postgresql_as_its_own_role(engine: Engine, settings: Settings) -> None:
    """The engine's connection is app_user's, to database app, on the declared version."""
    with tenantless_connection(engine) as connection:
        row = connection.execute(
            text("SELECT current_user, current_database(), current_setting('server_version_num')::int / 10000")
        ).one()
    assert row == ("app_user", "app", settings.postgres_version)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_url_of_each_scheme_connects(scheme: str, stack: RunningStack, make_engine: MakeEngine) -> None:
    """What other tools call the same database is read as the same."""
    written = stack.url(Role.USER).libpq().replace("postgresql", scheme, 1)
    with tenantless_connection(make_engine(DatabaseUrl.parse(written))) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_the_pool_never_exceeds_its_limit(
    stack: RunningStack, make_engine: MakeEngine, owner: BoundedConnection
) -> None:
    """Of eight threads three get this process's share, the others are refused within the connect timeout, by name."""
    name = "the pool's limit"
    engine = make_engine(
        replace(stack.url(Role.USER), query={"application_name": name}),
        database_pool_budget=6,
        database_processes=2,
        database_connect_timeout=PATIENCE,
    )
    held, counted = Semaphore(0), Event()

    def hold() -> None:
        with engine.connect():
            held.release()
            counted.wait(timeout=10)

    with ThreadPoolExecutor(8) as pool:
        threads = {pool.submit(hold) for _ in range(8)}
        refused = set(islice(as_completed(threads), 5))
        assert all(held.acquire(timeout=10) for _ in range(3))  # on a slow machine one of them still connects
        seen = owner.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [name]).fetchone()
        counted.set()
    errors = {thread.exception() for thread in refused}
    assert all(isinstance(error, DatabaseUnavailable) and error.transient for error in errors)
    assert {str(error) for error in errors} == {full(engine, size=3)}
    assert [thread.exception() for thread in threads - refused] == [None] * 3
    assert seen == (3,)


def test_a_full_pool_is_the_same_error_under_asyncio(stack: RunningStack) -> None:
    """While its only connection is in use, the next to ask is refused within the connect timeout, by name."""
    small = replace(stack.settings, database_pool_budget=1, database_processes=1, database_connect_timeout=PATIENCE)

    async def main() -> tuple[str, str]:
        engine = create_async_engine(stack.url(Role.USER), small)
        async with async_tenantless_connection(engine):
            with pytest.raises(DatabaseUnavailable) as refused:
                await async_tenantless_connection(engine).__aenter__()
        async with async_tenantless_connection(engine) as connection:
            assert await connection.scalar(text("SELECT 1")) == 1
        expected = full(engine.sync_engine, size=1)
        await engine.dispose()
        return str(refused.value), expected

    said, expected = asyncio.run(main())
    assert said == expected


def test_a_transaction_is_committed_or_rolled_back(engine: Engine, tenant: UUID) -> None:
    """A committed change is there for the next connection, one that was rolled back is not."""
    rename = text("UPDATE tenants SET name = :name")
    with tenant_connection(engine, tenant) as connection:
        connection.execute(rename, {"name": "committed"})
        connection.commit()
        connection.execute(rename, {"name": "rolled back"})
        connection.rollback()
    with tenant_connection(engine, tenant) as connection:
        assert connection.scalars(text("SELECT name FROM tenants")).all() == ["committed"]


def test_an_idle_connection_that_died_is_replaced(single: Engine, admin: BoundedConnection) -> None:
    """After the server ended a pooled connection, the next use gets a new one and no error."""
    before = backend_pid(single)
    terminate(admin, before)
    assert backend_pid(single) != before


def asked(admin: BoundedConnection, engine: Engine) -> bool:
    """Return whether taking an idle connection from the pool sends its server anything."""
    pid = backend_pid(engine)
    last = "SELECT state_change FROM pg_stat_activity WHERE pid = %s"
    before = admin.execute(last, [pid]).fetchone()
    with closing(engine.raw_connection()):
        after = admin.execute(last, [pid]).fetchone()
    assert before
    assert after
    return before != after


def test_a_connection_that_answered_a_moment_ago_is_not_asked_again(single: Engine, admin: BoundedConnection) -> None:
    """A checkout right after another costs no round trip of its own."""
    assert not asked(admin, single)


def test_a_connection_that_was_idle_for_longer_is_asked(
    monkeypatch: pytest.MonkeyPatch, single: Engine, admin: BoundedConnection
) -> None:
    """A checkout after a while finds out whether the server still answers."""
    monkeypatch.setattr("schema.client.connection._LATELY", 0.0)
    assert asked(admin, single)


def test_a_connection_that_dies_in_use_is_one_clear_error(
    logged: Logged, single: Engine, admin: BoundedConnection
) -> None:
    """The statement raises DatabaseUnavailable, and the engine serves the next one."""
    with tenantless_connection(single) as connection:
        terminate(admin, int(connection.scalar(text("SELECT pg_backend_pid()")) or 0))
        with pytest.raises(
            DatabaseUnavailable,
            match="Lost the connection",
            check=about(role="app_user", transient=True, sqlstate="57P01"),
        ) as caught:
            connection.execute(text("SELECT 1"))
        connection.rollback()
    assert caught.value.transient
    assert backend_pid(single)
    assert "database connection lost" in [entry["event"] for entry in logged]


def test_a_long_statement_is_ended(make_engine: MakeEngine) -> None:
    """The server cancels what runs longer than the statement timeout, and the connection stays usable."""
    engine = make_engine(database_statement_timeout=MOMENT, database_pool_budget=1, database_processes=1)
    before = backend_pid(engine)
    with pytest.raises(DBAPIError) as caught, tenantless_connection(engine) as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    assert isinstance(caught.value.orig, psycopg.errors.QueryCanceled)
    assert backend_pid(engine) == before


def test_an_answer_is_not_waited_for_longer_than_the_settings_say(make_engine: MakeEngine) -> None:
    """A session that lifts its own statement timeout still waits no longer than the engine's bound."""
    engine = make_engine(database_statement_timeout=MOMENT, database_connect_timeout=PATIENCE)
    with tenantless_connection(engine) as connection:
        connection.execute(text("SET statement_timeout = 0"))
        with pytest.raises(DatabaseUnavailable, match=r"no answer within 0\.6 s"):
            connection.execute(text("SELECT pg_sleep(5)"))
        connection.rollback()


def test_production_refuses_a_server_without_tls(make_engine: MakeEngine) -> None:
    """In production the server must prove its name, so one that speaks no TLS is refused for good."""
    with pytest.raises(DatabaseUnavailable, match=r"SSL|certificate") as caught:
        make_engine(app_env=AppEnv.PRODUCTION).connect()
    assert not caught.value.transient


def test_a_setting_may_ask_for_less_than_tls(make_engine: MakeEngine) -> None:
    """A weaker DATABASE_SSLMODE is an explicit choice, in production as well."""
    with tenantless_connection(make_engine(app_env=AppEnv.PRODUCTION, database_sslmode=SslMode.PREFER)) as connection:
        assert connection.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")) is False


@pytest.mark.usefixtures("echo_handlers")
@pytest.mark.parametrize("app_env", AppEnv)
def test_statements_are_echoed_in_development_alone(
    app_env: AppEnv, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    """DATABASE_ECHO shows statements on stderr in development, and nothing anywhere else."""
    engine = make_engine(app_env=app_env, database_sslmode=SslMode.PREFER, database_echo=True)
    with tenantless_connection(engine) as connection:
        connection.execute(text("SELECT 4242"))
    said = capsys.readouterr()
    assert ("SELECT 4242" in said.err) is (app_env is AppEnv.DEVELOPMENT)
    assert "SELECT 4242" not in said.out


@pytest.mark.usefixtures("echo_handlers")
def test_nothing_is_echoed_unless_asked_for(make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    """Development alone is no reason to show statements."""
    with tenantless_connection(make_engine(app_env=AppEnv.DEVELOPMENT)) as connection:
        connection.execute(text("SELECT 4242"))
    assert "SELECT 4242" not in "".join(capsys.readouterr())


def test_connecting_and_losing_is_logged_with_host_database_and_role(
    logged: Logged, make_engine: MakeEngine, admin: BoundedConnection
) -> None:
    """Each event names where and as whom."""
    engine = make_engine(database_pool_budget=1, database_processes=1)
    terminate(admin, backend_pid(engine))
    backend_pid(engine)
    engine.dispose()
    assert [(entry["event"], entry["level"]) for entry in logged] == [
        ("database connected", "INFO"),
        ("database connection lost", "WARNING"),
        ("database connection closed", "DEBUG"),
        ("database connected", "INFO"),
        ("database connection closed", "DEBUG"),
    ]
    assert [(e["host"], e["database"], e["role"]) for e in logged] == [("127.0.0.1", "app", "app_user")] * len(logged)


def test_no_event_holds_a_url_or_a_password(
    logged: Logged, stack: RunningStack, make_engine: MakeEngine, admin: BoundedConnection
) -> None:
    """Neither connecting, losing, retrying nor failing puts a secret into the log."""
    engine = make_engine(database_pool_budget=1, database_processes=1)
    terminate(admin, backend_pid(engine))
    backend_pid(engine)
    away = make_engine(replace(stack.url(Role.USER), port=1), database_connect_deadline=PATIENCE)
    with pytest.raises(DatabaseUnavailable):
        away.connect()
    assert [entry["event"] for entry in logged].count("database not reachable, trying again") == 1
    assert stack.settings.app_user_password.reveal() not in repr(logged)
    assert "://" not in repr(logged)
