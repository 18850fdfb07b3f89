"""The tenant of a transaction: set where it begins, kept until it ends, and never changed in between."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, Engine, select, text, update
from sqlalchemy import create_engine as plain_engine
from sqlalchemy.exc import DBAPIError

from infra.config.settings import Role
from schema.client.connection import BoundedConnection
from schema.client.orm import TenantSession
from schema.client.session import in_tenant_session, tenant_connection, tenant_session, tenantless_connection
from schema.errors import ContextFault, DatabaseUnavailable, TenantContextError
from schema.models.tenants import Tenant
from tests.kit.database import SignUp
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.quick_on_one

CONTEXT = text("SELECT current_setting('app.tenant_id')")
PID = text("SELECT pg_backend_pid()")
SEEN = text("SELECT tenant_id FROM tenants")
CHARACTERISTICS = text(
    "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
    " current_setting('transaction_deferrable')"
)


def kill(admin: BoundedConnection, pid: Any) -> None:
    """End a server process and wait until it is gone."""
    assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def seen(connection: Connection) -> list[Any]:
    """Return the tenants that a statement without any condition shows."""
    return list(connection.scalars(SEEN))


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_each_transaction_of_a_block_has_the_tenant(end: str, single: Engine, tenant: UUID) -> None:
    """After a commit or rollback inside the block the next transaction is the same tenant's."""
    with tenant_session(single, tenant) as session:
        for _ in range(3):
            assert session.scalars(SEEN).all() == [tenant]
            getattr(session, end)()
    with tenant_connection(single, tenant) as connection:
        for _ in range(3):
            assert seen(connection) == [tenant]
            getattr(connection, end)()


def test_a_connection_block_commits_or_rolls_back(engine: Engine, tenant: UUID) -> None:
    """What a block has written is there when it ended, and gone when it raised."""

    def rename(name: str) -> None:
        with tenant_connection(engine, tenant) as connection:
            connection.execute(update(Tenant).values(name=name))
            if name == "raised":
                raise LookupError(name)

    rename("ended")
    with pytest.raises(LookupError):
        rename("raised")
    with tenant_connection(engine, tenant) as connection:
        assert connection.scalar(select(Tenant.name)) == "ended"


def test_the_context_is_part_of_begin(single: Engine, tenant: UUID, admin: BoundedConnection) -> None:
    """BEGIN and the context reach the server as one message: there is no moment between them."""
    with tenant_connection(single, tenant) as connection:
        pid = connection.scalar(PID)
        connection.commit()
        connection.begin()
        row = admin.execute("SELECT state, query FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    assert row is not None
    assert row[0] == "idle in transaction"
    assert row[1].startswith(f"BEGIN;SET LOCAL app.tenant_id='{tenant}'")


def test_an_engine_used_without_a_block_is_refused(single: Engine, tenant: UUID) -> None:
    """A transaction with no tenant does not begin, at no try, nor on the connection that has just served a tenant."""
    for _ in range(2):
        with single.connect() as connection:
            for _ in range(2):
                with pytest.raises(TenantContextError, check=about(fault=ContextFault.NO_TENANT)):
                    connection.execute(text("SELECT 1"))
        with pytest.raises(TenantContextError), single.begin():
            pass
        with tenant_connection(single, tenant) as connection:
            assert seen(connection) == [tenant]


def test_autocommit_is_refused(engine: Engine, tenant: UUID, maintenance: BoundedConnection) -> None:
    """What would run outside a transaction runs not at all: nothing of it arrives, and the connection goes on."""
    rename = update(Tenant).values(name="lost")
    with tenant_connection(engine, tenant) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.AUTOCOMMIT)):
            connection.execute(rename)
    with (
        pytest.raises(TenantContextError, check=about(fault=ContextFault.AUTOCOMMIT)),
        tenant_session(engine.execution_options(isolation_level="AUTOCOMMIT"), tenant) as session,
    ):
        session.execute(rename)
    assert maintenance.execute("SELECT name FROM tenants WHERE tenant_id = %s", [tenant]).fetchone() == ("Acme",)


def test_two_phase_is_refused(engine: Engine, tenant: UUID) -> None:
    """A prepared transaction would outlive its connection."""
    with tenant_connection(engine, tenant) as connection:
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.TWO_PHASE)):
            connection.begin_twophase()
        assert seen(connection) == [tenant]
    with TenantSession(engine, tenant=tenant, twophase=True) as session, pytest.raises(TenantContextError):
        session.execute(SEEN)


def test_a_tenant_is_not_changed(engine: Engine, sign_up: SignUp) -> None:
    """Neither a connection nor a session takes another tenant, inside a transaction or between two."""
    one, other = sign_up(), sign_up()
    with tenant_connection(engine, one) as connection:
        for _ in range(2):
            connection.execution_options(tenant=other)
            assert seen(connection) == [one]
            with pytest.raises(TenantContextError, check=about(wanted=str(other), serves=str(one))):
                TenantSession(connection.engine, tenant=other)
            connection.commit()
    with tenant_session(engine, one) as session:
        for _ in range(2):
            session.connection(execution_options={"tenant": other})
            assert session.scalars(SEEN).all() == [one]
            session.rollback()


def test_a_block_of_another_tenant_inside_is_refused(engine: Engine, sign_up: SignUp) -> None:
    """In one thread a block serves one tenant; the same tenant's block inside is allowed, another's after it too."""
    one, other = sign_up(), sign_up()
    with tenant_session(engine, one) as session:
        with (
            pytest.raises(TenantContextError, check=about(wanted=str(other), serves=str(one))),
            tenant_session(engine, other),
        ):
            pass
        with pytest.raises(TenantContextError), tenant_connection(engine, other):
            pass
        with tenant_connection(engine, one) as connection:
            assert seen(connection) == [one]
        assert session.scalars(SEEN).all() == [one]
    with tenant_connection(engine, other) as connection:
        assert seen(connection) == [other]


def test_an_engine_that_sets_no_tenant_is_refused(stack: RunningStack, tenant: UUID) -> None:
    """A plain engine would run the block's statements with no context."""
    engine = plain_engine("postgresql+psycopg://", creator=lambda: pytest.fail(f"{stack} was connected to"))
    with (
        pytest.raises(TenantContextError, check=about(fault=ContextFault.OTHER_ENGINE)),
        tenant_session(engine, tenant),
    ):
        pass


def test_savepoints_keep_the_tenant(engine: Engine, tenant: UUID) -> None:
    """Neither RELEASE nor ROLLBACK TO changes it, however deep they are."""
    with tenant_session(engine, tenant) as session:
        for end in ("commit", "rollback"):
            outer = session.begin_nested()
            inner = session.begin_nested()
            assert session.scalars(SEEN).all() == [tenant]
            getattr(inner, end)()
            assert session.scalars(SEEN).all() == [tenant]
            getattr(outer, end)()
            assert session.scalars(SEEN).all() == [tenant]


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(("read_only", "deferrable"), [(True, True), (False, True), (True, False)])
def test_the_transaction_is_as_it_was_asked_for(
    level: Any, read_only: bool, deferrable: bool, engine: Engine, tenant: UUID
) -> None:
    """Isolation level, read-only and deferrable are those of the connection, in every transaction of it."""
    words = {True: "on", False: "off"}
    with tenant_connection(engine, tenant) as connection:
        connection.execution_options(
            isolation_level=level, postgresql_readonly=read_only, postgresql_deferrable=deferrable
        )
        for _ in range(2):
            assert connection.execute(CHARACTERISTICS).one() == (level.lower(), words[read_only], words[deferrable])
            connection.commit()
    with tenant_connection(engine, tenant) as connection:
        assert connection.execute(CHARACTERISTICS).one() == ("read committed", "off", "off")


def test_serializable_transactions_still_conflict(engine: Engine, tenant: UUID) -> None:
    """Of two transactions that each read what the other wrote, the server refuses one."""
    serializable = engine.execution_options(isolation_level="SERIALIZABLE")
    add = text("INSERT INTO tenant_features (tenant_id, feature) VALUES (:tenant, :feature)")
    with tenant_connection(serializable, tenant) as one, tenant_connection(serializable, tenant) as other:
        for connection in (one, other):
            connection.execute(text("SELECT count(*) FROM tenant_features"))
        for feature, connection in (("first", one), ("second", other)):
            connection.execute(add, {"tenant": tenant, "feature": feature})
        one.commit()
        with pytest.raises(DBAPIError, check=about(sqlstate="40001")):
            other.commit()
        other.rollback()


def test_a_statement_prepared_for_one_tenant_serves_the_next(single: Engine, sign_up: SignUp) -> None:
    """On one connection, past psycopg's threshold and the server's change to a generic plan, each sees its own."""
    tenants = [sign_up(), sign_up()]
    for turn in range(24):
        mine = tenants[turn % 2]
        with tenant_connection(single, mine) as connection:
            assert seen(connection) == [mine]
    with tenantless_connection(single) as connection:
        prepared = connection.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    assert SEEN.text in prepared


def test_a_setting_for_the_session_reaches_nobody(single: Engine, sign_up: SignUp) -> None:
    """A SET that outlives its transaction neither gives the next tenant other rows, nor a tenant to what has none."""
    one, other = sign_up(), sign_up()
    with tenant_connection(single, one) as connection:
        connection.execute(text(f"SET app.tenant_id = '{one}'"))
    with tenant_connection(single, other) as connection:
        assert seen(connection) == [other]
    with tenantless_connection(single) as connection:
        assert connection.scalar(CONTEXT) == ""
        with pytest.raises(DBAPIError, match=r"app\.tenant_id is not set"):
            seen(connection)


def test_a_cursor_keeps_its_tenant_and_ends_with_it(single: Engine, sign_up: SignUp) -> None:
    """Rows that stream are the tenant's to the last, and a cursor WITH HOLD is gone at the next BEGIN."""
    one, other = sign_up(), sign_up()
    with tenant_connection(single, one) as connection:
        streamed = text("SELECT tenant_id FROM tenants, generate_series(1, 50)")
        rows = connection.execute(streamed, execution_options={"stream_results": True, "max_row_buffer": 1})
        assert {found for (found,) in rows} == {one}
        connection.execute(text("DECLARE held CURSOR WITH HOLD FOR SELECT tenant_id FROM tenants"))
    with tenant_connection(single, other) as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_cursors WHERE is_holdable")) == 0
        with pytest.raises(DBAPIError, check=about(sqlstate="34000")):
            connection.execute(text("FETCH ALL FROM held"))


def test_a_killed_connection_is_replaced_in_the_same_block(
    single: Engine, tenant: UUID, admin: BoundedConnection
) -> None:
    """The statement raises, and after a rollback the block goes on with a new connection of the same tenant."""
    with tenant_session(single, tenant) as session:
        first = session.scalar(PID)
        kill(admin, first)
        with pytest.raises(DatabaseUnavailable):
            session.execute(SEEN)
        session.rollback()
        assert session.scalars(SEEN).all() == [tenant]
        assert session.scalar(PID) != first
    with tenant_connection(single, tenant) as connection:
        second = connection.scalar(PID)
        connection.commit()
        kill(admin, second)
        with pytest.raises(DatabaseUnavailable):  # at BEGIN
            seen(connection)
        connection.rollback()
        assert seen(connection) == [tenant]


def test_a_transaction_begun_beside_sqlalchemy_is_refused(single: Engine, tenant: UUID) -> None:
    """Its tenant cannot be known, so no tenant's transaction is taken for begun."""
    with tenant_connection(single, tenant) as connection:
        beside = connection.connection.driver_connection
        assert isinstance(beside, BoundedConnection)
        beside.execute("SELECT 1")
        with pytest.raises(TenantContextError, check=about(fault=ContextFault.TRANSACTION_OPEN)):
            seen(connection)
        beside.rollback()
        assert seen(connection) == [tenant]


def test_a_raw_connection_has_no_tenant(single: Engine, tenant: UUID) -> None:
    """Past SQLAlchemy there is no context, also on a connection that has just served a tenant."""
    with tenant_connection(single, tenant) as connection:
        seen(connection)
    raw = single.raw_connection()
    try:
        with pytest.raises(psycopg.Error, match=r"app\.tenant_id is not set"):
            raw.cursor().execute("SELECT * FROM tenants")
    finally:
        raw.close()


def test_threads_stay_apart(stack: RunningStack, make_engine: Callable[..., Engine], sign_up: SignUp) -> None:
    """Eight threads that share two connections each see their own tenant."""
    engine = make_engine(stack.url(Role.USER), database_pool_budget=2, database_processes=1)
    tenants = [sign_up() for _ in range(4)]

    def look(turn: int) -> bool:
        mine = tenants[turn % 4]
        with tenant_session(engine, mine) as session:
            before = session.scalars(SEEN).all()
            session.commit()
            return before == session.scalars(SEEN).all() == [mine]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(64)))


def test_a_thread_started_in_a_block_is_on_its_own(engine: Engine, sign_up: SignUp) -> None:
    """It may serve another tenant, and without a block of its own it has none."""
    one, other = sign_up(), sign_up()

    def look() -> list[Any]:
        with tenant_connection(engine, other) as connection:
            return seen(connection)

    def forget() -> list[Any]:
        with engine.connect() as connection:
            return seen(connection)

    with tenant_session(engine, one), ThreadPoolExecutor(1) as pool:
        assert pool.submit(look).result() == [other]
        assert isinstance(pool.submit(forget).exception(), TenantContextError)


def test_a_handler_runs_in_its_tenants_session(engine: Engine, sign_up: SignUp) -> None:
    """It gets the session first and its own arguments behind; what it returns is returned, what it raises undoes."""
    one = sign_up()

    @in_tenant_session(engine, lambda request: UUID(request["tenant"]))
    def handle(session: TenantSession, request: dict[str, str]) -> str:
        session.execute(update(Tenant).values(name=request["name"]))
        if request["name"] == "wrong":
            raise LookupError
        return f"{session.tenant} is {session.scalar(select(Tenant.name))}"

    assert handle({"tenant": str(one), "name": "Beta"}) == f"{one} is Beta"
    with pytest.raises(LookupError):
        handle({"tenant": str(one), "name": "wrong"})
    with tenant_session(engine, one) as session:
        assert session.scalar(select(Tenant.name)) == "Beta"
