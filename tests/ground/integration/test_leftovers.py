"""What one user of a pooled connection sets, holds, prepares or listens to is not there for the next one.

The kind: a server session outlives the transaction and the checkout, and so does psycopg's object. The next user may be
another tenant, nobody (`tenantless_connection`), or psycopg itself (`raw_connection`).
"""

import asyncio
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import greenlet_spawn

from infra.config.settings import Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import tenant_connection as async_tenant_connection
from schema.client.connection import BoundedConnection
from schema.client.session import tenant_connection, tenant_session, tenantless_connection
from schema.models.tenants import Tenant
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

PID = "SELECT pg_backend_pid()"
STATE = """
    SELECT pg_backend_pid(), current_setting('search_path'), current_setting('role'), current_user::text,
        coalesce(current_setting('app.tenant_id', true), ''), coalesce(current_setting('app.user_id', true), ''),
        coalesce(current_setting('app.reader', true), ''), current_setting('statement_timeout'),
        (SELECT count(*) FROM pg_listening_channels()),
        (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
        (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
        (SELECT count(*) FROM pg_cursors WHERE is_holdable)
"""
LEFT = {
    "the tenant": "SET app.tenant_id = '{tenant}'",
    "the user": "SET app.user_id = 'ada'",
    "a setting": "SET SESSION search_path = pg_catalog",
    "a function's setting": "SELECT set_config('app.reader', 'ada', false)",
    "a setting out of sight": "DO $$ BEGIN EXECUTE 'SELECT set_con' || 'fig($1, $1, false)' USING 'app.reader'; END $$",
    "a block's setting": "DO $$ BEGIN SET statement_timeout = 0; END $$",
    "a role": "SET ROLE app_user",
    "a role for the session": "set session authorization app_user",
    "a channel": "LISTEN news",
    "a commented channel": "/* hear */ SELECT 1; -- and\nLISTEN news",
    "a lock": "SELECT pg_advisory_lock(8341)",
    "a shared lock": "SELECT pg_try_advisory_lock_shared(8341, 2)",
    "a block's lock": "DO $$ BEGIN PERFORM pg_advisory_lock(8341); END $$",
    "a prepared statement": 'PREPARE "what \' this" AS SELECT 1',
    "a cursor": "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
}


def raw_state(engine: Engine) -> tuple[Any, ...]:
    """Return what psycopg's own connection finds."""
    with closing(engine.raw_connection()) as raw, closing(raw.cursor()) as cursor:
        cursor.execute(STATE)
        return cast(tuple[Any, ...], cursor.fetchone())


def state(engine: Engine) -> tuple[Any, ...]:
    """Return what a connection with no tenant finds."""
    with tenantless_connection(engine) as connection:
        return tuple(connection.execute(text(STATE)).one())


def leave(engine: Engine, tenant: UUID, statement: str, end: str) -> None:
    """Leave something behind in a block of a tenant, whose last transaction ends in a way."""
    with suppress(LookupError), tenant_connection(engine, tenant) as connection:
        connection.exec_driver_sql(statement.format(tenant=tenant))
        if end == "commits":
            connection.commit()
            connection.execute(text("SELECT 1"))
        if end == "raises":
            raise LookupError


@pytest.mark.parametrize("end", ["ends", "commits", "raises"])
@pytest.mark.parametrize("statement", LEFT.values(), ids=LEFT)
def test_nothing_is_left_to_the_next_tenant_or_nobody(statement: str, end: str, single: Engine, tenant: UUID) -> None:
    """The same server session serves the next transaction as it served the first."""
    before = state(single)
    leave(single, tenant, statement, end)
    assert state(single) == before


# A cursor WITH HOLD is closed with the next BEGIN; raw_connection() begins nothing of ours.
@pytest.mark.parametrize("statement", [pytest.param(LEFT[what], id=what) for what in LEFT if what != "a cursor"])
def test_nothing_is_left_to_psycopg(statement: str, single: Engine, tenant: UUID) -> None:
    """raw_connection() gets the server session as it was, right after the block."""
    before = state(single)
    leave(single, tenant, statement, "ends")
    assert raw_state(single) == before


def test_a_tenants_rows_are_not_left_to_psycopg(single: Engine, tenant: UUID) -> None:
    """After a tenant's SET for the session a raw connection is refused as if there had been none."""
    with tenant_session(single, tenant) as session:
        session.execute(text(f"SET app.tenant_id = '{tenant}'"))
    with (
        closing(single.raw_connection()) as raw,
        pytest.raises(psycopg.Error, match=r"app\.tenant_id is not set"),
    ):
        raw.cursor().execute("SELECT * FROM tenants")


def test_a_lock_is_free_when_the_block_has_ended(single: Engine, tenant: UUID, maintenance: BoundedConnection) -> None:
    """Another session gets the lock as soon as the block is left, not when the connection is used again."""
    with tenant_connection(single, tenant) as connection:
        connection.execute(text("SELECT pg_advisory_lock(8342)"))
        connection.commit()
        assert maintenance.execute("SELECT pg_try_advisory_lock(8342)").fetchone() == (False,)
    assert maintenance.execute("SELECT pg_try_advisory_lock(8342)").fetchone() == (True,)


@pytest.mark.parametrize("end", ["commits", "raises"])
def test_a_return_costs_nothing_where_nothing_is_left(
    end: str, single: Engine, tenant: UUID, admin: BoundedConnection
) -> None:
    """The last that the server hears of a block is the end of its transaction."""
    pid = state(single)[0]
    with suppress(LookupError), tenant_session(single, tenant) as session:
        session.execute(update(Tenant).values(name="Beta"))
        session.execute(text("SELECT set_config('app.reader', 'ada', true), 'advisory'"))
        if end == "raises":
            raise LookupError
    last = admin.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    assert last == ("COMMIT;RESET ALL" if end == "commits" else "ROLLBACK",)


def test_psycopgs_prepared_statements_stay(single: Engine, tenant: UUID) -> None:
    """What is removed is the block's own: a statement that psycopg has prepared is still there, and works."""
    seen = text("SELECT tenant_id FROM tenants")
    for _ in range(8):
        with tenant_connection(single, tenant) as connection:
            assert connection.scalars(seen).all() == [tenant]
            connection.execute(text("SELECT pg_advisory_lock(8343)"))
    with tenant_connection(single, tenant) as connection:
        prepared = connection.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
        assert connection.scalars(seen).all() == [tenant]
    assert seen.text in prepared


def _autocommit(raw: psycopg.Connection[Any]) -> None:
    raw.autocommit = True
    raw.execute("SET app.reader = 'ada'")


def _rows(raw: psycopg.Connection[Any]) -> None:
    raw.row_factory = dict_row


def _read_only(raw: psycopg.Connection[Any]) -> None:
    raw.read_only = True
    raw.isolation_level = psycopg.IsolationLevel.SERIALIZABLE


def _setting(raw: psycopg.Connection[Any]) -> None:
    raw.execute("SET search_path = pg_catalog")
    raw.commit()


def _transaction(raw: psycopg.Connection[Any]) -> None:
    raw.execute("SELECT set_config('app.reader', 'ada', false), pg_advisory_lock(8344)")


@pytest.mark.parametrize("change", [_autocommit, _rows, _read_only, _setting, _transaction])
def test_what_is_done_to_a_raw_connection_is_left_to_nobody(change: Any, single: Engine, tenant: UUID) -> None:
    """Neither the server's session nor psycopg's object is used again with what was changed there."""
    before = state(single)
    with closing(single.raw_connection()) as raw:
        change(raw.driver_connection)
    assert state(single)[1:] == before[1:]
    with tenant_connection(single, tenant) as connection:
        connection.execute(update(Tenant).values(name="Beta"))


@pytest.mark.parametrize("change", [_autocommit, _setting])
def test_what_is_done_below_a_tenants_connection_is_left_to_nobody(change: Any, single: Engine, tenant: UUID) -> None:
    """The same for the driver's connection that a block's own gives out."""
    before = state(single)
    with tenant_connection(single, tenant) as connection:
        change(connection.connection.driver_connection)
    assert state(single)[1:] == before[1:]


def test_a_transaction_that_failed_leaves_the_session_as_it_was(single: Engine, tenant: UUID) -> None:
    """COMMIT of it is a rollback, which ends the settings as well."""
    before = state(single)
    with tenant_connection(single, tenant) as connection:
        connection.execute(text("SET app.reader = 'ada'"))
        with suppress(DBAPIError):
            connection.execute(text("SELECT 1 / 0"))
    assert state(single) == before


def test_asyncio_leaves_nothing_either(stack: RunningStack, tenant: UUID) -> None:
    """Under asyncio each of them is gone when the next transaction begins on the same server session."""
    small = replace(stack.settings, database_pool_budget=1, database_processes=1)

    async def main() -> None:
        engine = create_async_engine(stack.url(Role.USER), small)

        async def look() -> Any:
            async with async_tenant_connection(engine, tenant) as connection:
                return (await connection.execute(text(STATE))).one()

        before = await look()
        for statement in LEFT.values():
            async with async_tenant_connection(engine, tenant) as connection:
                await connection.exec_driver_sql(statement.format(tenant=tenant))
            assert await look() == before
        raw = await engine.raw_connection()
        await cast(Any, raw.driver_connection).set_autocommit(True)
        await cast(Any, raw.driver_connection).execute("SET app.reader = 'ada'")
        await greenlet_spawn(raw.close)
        assert (await look())[1:] == before[1:]
        await engine.dispose()

    asyncio.run(main())
