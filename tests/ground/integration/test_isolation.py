"""What a tenant sees and may do, as the application's role on the migrated database."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from infra.config.settings import Role
from schema.client.connection import BoundedConnection, connect
from schema.client.session import tenant_connection, tenant_session, tenantless_connection
from schema.errors import TenantContextError
from schema.models.features import TenantFeature
from schema.models.tenants import Tenant
from schema.models.users import User
from tests.kit.database import SignUp
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.quick_on_one

NO_CONTEXT = r"app\.tenant_id is not set"


def add_user(engine: Engine, tenant: UUID, name: str) -> UUID:
    """Add a user to a tenant, in the tenant's own context."""
    with tenant_session(engine, tenant) as session:
        user = User(tenant_id=tenant, external_id=name, email=f"{name}@example.com")
        session.add(user)
        session.flush()
        return user.id


def names(connection: BoundedConnection, tenant: UUID) -> list[Any]:
    """Return the external ids of a tenant's users, as the role that sees every tenant."""
    rows = connection.execute("SELECT external_id FROM users WHERE tenant_id = %s ORDER BY 1", [tenant])
    return [name for (name,) in rows]


def reason(error: DBAPIError) -> str | None:
    """Return the SQLSTATE of a refused statement."""
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None


def test_a_tenant_sees_its_own_rows_alone(engine: Engine, sign_up: SignUp) -> None:
    """Of two tenants each finds itself, its users and its features, whatever the query."""
    one, other = sign_up(), sign_up()
    for tenant in (one, other):
        add_user(engine, tenant, "ada")
        with tenant_session(engine, tenant) as session:
            session.add(TenantFeature(tenant_id=tenant, feature="export", enabled=True))
    for tenant in (one, other):
        with tenant_session(engine, tenant) as session:
            for model in (Tenant, User, TenantFeature):
                assert session.scalars(select(model.tenant_id)).all() == [tenant]
            assert session.scalars(text("SELECT tenant_id FROM users WHERE true OR tenant_id IS NULL")).all() == [
                tenant
            ]


def test_a_tenant_may_be_named_by_text(engine: Engine, tenant: UUID) -> None:
    """The id of a request or a message is as good as the UUID."""
    with tenant_session(engine, str(tenant).upper()) as session:
        assert session.scalars(select(Tenant.tenant_id)).all() == [tenant]


def test_a_row_of_another_tenant_cannot_be_written(engine: Engine, sign_up: SignUp) -> None:
    """Neither an insert nor an update puts a row into another tenant."""
    one, other = sign_up(), sign_up()
    add_user(engine, one, "ada")
    row = {"tenant_id": other, "external_id": "eve", "email": "eve@example.com"}
    with pytest.raises(DBAPIError) as inserting, tenant_session(engine, one) as session:
        session.execute(insert(User), row)
    with pytest.raises(DBAPIError) as moving, tenant_session(engine, one) as session:
        session.execute(update(User).values(tenant_id=other))
    assert [reason(inserting.value), reason(moving.value)] == ["42501", "42501"]


def test_rows_of_another_tenant_cannot_be_changed_or_deleted(
    engine: Engine, sign_up: SignUp, maintenance: BoundedConnection
) -> None:
    """A change that names another tenant's rows touches none."""
    one, other = sign_up(), sign_up()
    add_user(engine, other, "ada")
    with tenant_session(engine, one) as session:
        session.execute(update(User).where(User.tenant_id == other).values(external_id="stolen"))
        session.execute(delete(User).where(User.tenant_id == other))
    assert names(maintenance, other) == ["ada"]


def test_two_tenants_may_hold_the_same_values(engine: Engine, sign_up: SignUp) -> None:
    """What is unique is unique within a tenant, so that nobody learns what another one has."""
    one, other = sign_up(), sign_up()
    add_user(engine, one, "ada")
    add_user(engine, other, "ada")
    with pytest.raises(IntegrityError, match="uq_users_tenant_id_"):
        add_user(engine, one, "ada")


def test_a_user_needs_its_tenant(engine: Engine) -> None:
    """A context without a tenant behind it can hold no rows."""
    with pytest.raises(IntegrityError, check=about(constraint="fk_users_tenant_id_tenants")):
        add_user(engine, uuid4(), "ada")


@pytest.mark.parametrize("missing", [None, "", "x"])
def test_a_session_without_a_tenant_is_refused(missing: Any, engine: Engine) -> None:
    """Nothing reaches the server where no tenant is named."""
    with pytest.raises(TenantContextError), tenant_session(engine, missing):
        pass
    assert "Connections in pool: 0 " in engine.pool.status()


def test_without_a_tenant_the_database_refuses_too(engine: Engine, tenant: UUID) -> None:
    """A connection that says it has no tenant is shown none, and none is taken from it."""
    with pytest.raises(DBAPIError, match=NO_CONTEXT) as reading, tenantless_connection(engine) as connection:
        connection.execute(select(Tenant))
    with pytest.raises(DBAPIError, match=NO_CONTEXT) as writing, tenantless_connection(engine) as connection:
        connection.execute(text("INSERT INTO users (tenant_id) VALUES (:tenant)"), {"tenant": tenant})
    assert [reason(reading.value), reason(writing.value)] == ["42501", "42501"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_connection_forgets_its_tenant(end: str, single: Engine, tenant: UUID) -> None:
    """The next use of the same connection has no tenant, however the session ended."""
    with tenant_session(single, tenant) as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        getattr(session, end)()
    with tenantless_connection(single) as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) == pid
        with pytest.raises(DBAPIError, match=NO_CONTEXT):
            connection.execute(select(Tenant))


def test_tenants_that_share_a_connection_stay_apart(single: Engine, sign_up: SignUp) -> None:
    """A statement that the driver has prepared for one tenant shows the next one its own rows."""
    tenants = [sign_up(), sign_up()]
    for tenant in tenants * 8:
        with tenant_session(single, tenant) as session:
            assert session.scalars(select(Tenant.tenant_id)).all() == [tenant]
    with tenant_session(single, tenants[0]) as session:
        assert session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))


def test_a_block_that_raises_leaves_nothing(engine: Engine, tenant: UUID, maintenance: BoundedConnection) -> None:
    """What was written before the exception is rolled back, and the exception arrives as it was."""

    class Interrupted(Exception):
        pass

    def work() -> None:
        with tenant_session(engine, tenant) as session:
            session.add(User(tenant_id=tenant, external_id="ada", email="ada@example.com"))
            session.flush()
            raise Interrupted

    with pytest.raises(Interrupted):
        work()
    assert names(maintenance, tenant) == []


def test_a_block_that_ends_is_committed(engine: Engine, tenant: UUID, maintenance: BoundedConnection) -> None:
    """What was written is there for every other connection."""
    add_user(engine, tenant, "ada")
    assert names(maintenance, tenant) == ["ada"]


def test_an_inner_rollback_keeps_the_tenant(engine: Engine, tenant: UUID) -> None:
    """A savepoint that is rolled back changes neither the context nor what was written before it."""
    with tenant_session(engine, tenant) as session:
        session.execute(update(Tenant).values(name="before"))
        with session.begin_nested() as savepoint:
            session.execute(update(Tenant).values(name="after"))
            savepoint.rollback()
        assert session.execute(select(Tenant.tenant_id, Tenant.name)).all() == [(tenant, "before")]


def test_objects_are_readable_after_their_session(engine: Engine, tenant: UUID) -> None:
    """What a block has read is still there when it has ended."""
    with tenant_session(engine, tenant) as session:
        found = session.scalars(select(Tenant)).one()
    assert (found.tenant_id, found.name, found.external_id) == (tenant, "Acme", None)


def test_an_update_moves_updated_at_alone(engine: Engine, tenant: UUID) -> None:
    """A row tells when it was made and when it was last changed, and the object knows it when its flush is done."""
    with tenant_session(engine, tenant) as session:
        assert session.scalar(select(Tenant.updated_at == Tenant.created_at))
    with tenant_session(engine, tenant) as session:
        found = session.scalars(select(Tenant)).one()
        found.name = "Acme & Sons"
        session.flush()
        assert "updated_at" not in inspect(found).unloaded
        assert found.updated_at == session.scalar(select(func.now()))
        assert found.created_at < found.updated_at


def test_plain_sql_moves_updated_at(engine: Engine, tenant: UUID) -> None:
    """The database keeps the time itself, whatever the statement says about it."""
    with tenant_session(engine, tenant) as session:
        session.execute(text("UPDATE tenants SET name = 'Acme & Sons', updated_at = '2000-01-01'"))
        assert session.scalar(select(Tenant.updated_at == func.now()))


def test_a_permissive_policy_added_later_widens_nothing(
    engine: Engine, sign_up: SignUp, admin: BoundedConnection
) -> None:
    """A policy that somebody adds by hand, and that lets everybody see all, shows nobody another tenant's rows."""
    one, _ = sign_up(), sign_up()
    admin.execute("CREATE POLICY widening ON tenants USING (true)")
    try:
        with tenant_connection(engine, one) as connection:
            assert list(connection.scalars(text("SELECT tenant_id FROM tenants"))) == [one]
    finally:
        admin.execute("DROP POLICY widening ON tenants")


def test_an_open_cursor_does_not_change_its_tenant(stack: RunningStack, sign_up: SignUp) -> None:
    """A cursor that was opened for one tenant shows no row of another, whatever is set while it is open."""
    one, other = sign_up(), sign_up()
    with connect(stack.url(Role.USER), stack.settings) as user:
        # In the order of the table, where the other tenant's row comes later, and row by row.
        user.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
        user.execute(f"SET LOCAL app.tenant_id = '{one}'".encode())
        user.execute("DECLARE opened CURSOR FOR SELECT tenant_id FROM tenants")
        assert user.execute("FETCH 1 FROM opened").fetchall() == [(one,)]
        user.execute(f"SET LOCAL app.tenant_id = '{other}'".encode())
        assert user.execute("FETCH ALL FROM opened").fetchall() == []
