import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from schema.client import create_engine, tenant_connection, tenantless_connection
from schema.client import tenant_session as open_session
from schema.client.connection import BoundedConnection
from schema.client.orm import TenantSession
from schema.errors import TenantContextError
from schema.models.users import User
from tests.kit.one_connection import OneConnection, OneConnectionError
from tests.kit.product import Database

USERS = "SELECT count(*) FROM users"


@contextmanager
def a_test(shared: OneConnection) -> Iterator[None]:
    """Be a test that uses the connection."""
    shared.start()
    try:
        yield
    finally:
        shared.end()


def ada() -> User:
    """Return a new user."""
    return User(external_id="ada", email="ada@example.com")


def rows(database: Database, tenant: UUID) -> int | None:
    """Count a tenant's users on another connection."""
    with tenant_connection(database.engine, tenant) as connection:
        found: int | None = connection.scalar(text(USERS))
    return found


def test_what_a_test_commits_is_gone_when_it_ends(
    shared: OneConnection, on_one: Engine, database: Database, tenant: UUID
) -> None:
    """The test and the code that it calls see what was committed; after the test nobody does, nor in between."""
    with a_test(shared):
        with open_session(on_one, tenant) as session:
            session.add(ada())
        with open_session(on_one, tenant) as session:
            assert session.scalar(select(func.count()).select_from(User)) == 1
    assert rows(database, tenant) == 0
    with a_test(shared), open_session(on_one, tenant) as session:
        assert session.scalars(select(User)).all() == []


def test_row_level_security_binds_within_a_test(
    tenant_session: TenantSession, db: Engine, tenant: UUID, other_tenant: UUID
) -> None:
    """Another tenant sees no row by raw SQL, and can write none; the context around comes back when its block ends."""
    tenant_session.add(ada())
    tenant_session.flush()
    with tenant_connection(db, other_tenant) as connection:
        assert connection.scalar(text(USERS)) == 0
        assert connection.execute(text("UPDATE users SET email = 'x'")).rowcount == 0
    statement = text("INSERT INTO users (tenant_id, external_id, email) VALUES (:tenant, 'eve', 'eve')")
    with pytest.raises(DBAPIError, match="row-level security"), tenant_connection(db, other_tenant) as connection:
        connection.execute(statement, {"tenant": tenant})
    assert tenant_session.scalar(text("SELECT current_setting('app.tenant_id')")) == str(tenant)
    assert tenant_session.scalar(text(USERS)) == 1


@pytest.mark.usefixtures("tenant_session")
def test_without_a_tenant_nothing_is_read(db: Engine) -> None:
    """The refusals are those of the application's engine: of the database, and of the client before it asks."""
    with tenantless_connection(db) as connection, pytest.raises(DBAPIError, match=r"app\.tenant_id is not set"):
        connection.execute(text("SELECT * FROM tenants"))
    with db.connect() as connection, pytest.raises(TenantContextError, match="No tenant"):
        connection.execute(text("SELECT 1"))


def test_the_role_is_the_applications(db: Engine, tenant: UUID) -> None:
    """A test that passes as the superuser or the owner alone does not pass here."""
    with tenant_connection(db, tenant) as connection:
        who, can = connection.execute(
            text("SELECT session_user, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user")
        ).one()
    assert (who, can) == ("app_user", False)
    with tenant_connection(db, tenant) as connection, pytest.raises(DBAPIError, match="must be owner of table users"):
        connection.execute(text("ALTER TABLE users DISABLE ROW LEVEL SECURITY"))


def test_deferred_checks_are_made_at_each_commit(
    shared: OneConnection, on_one: Engine, owner: BoundedConnection, tenant: UUID
) -> None:
    """A COMMIT that a server would refuse is refused; what was deferred is deferred again in the next transaction."""
    owner.execute("ALTER TABLE users ADD CONSTRAINT late UNIQUE (email) DEFERRABLE INITIALLY DEFERRED")
    owner.execute("ALTER TABLE users DROP CONSTRAINT uq_users_tenant_id_email")
    twice = text("INSERT INTO users (tenant_id, external_id, email) VALUES (:t, 'a', 'ada'), (:t, 'b', 'ada')")
    with a_test(shared):
        with pytest.raises(IntegrityError, match='constraint "late"'), tenant_connection(on_one, tenant) as connection:
            connection.execute(twice, {"t": tenant})
        with tenant_connection(on_one, tenant) as connection:
            assert connection.scalar(text(USERS)) == 0
        for _ in range(2):
            with tenant_connection(on_one, tenant) as connection:
                connection.execute(text("DELETE FROM users"))
                connection.execute(twice, {"t": tenant})
                connection.execute(text("UPDATE users SET email = external_id"))
        with tenant_connection(on_one, tenant) as connection:
            assert connection.scalar(text(USERS)) == 2


def test_hooks_run_when_the_test_commits(tenant_session: TenantSession) -> None:
    """What an application does after a commit, it does at the test's."""
    done: list[str] = []
    event.listen(tenant_session, "after_commit", lambda _: done.append("told"))
    tenant_session.add(ada())
    tenant_session.flush()
    assert done == []
    tenant_session.commit()
    assert done == ["told"]


def test_a_rollback_and_a_savepoint_take_back_their_own(tenant_session: TenantSession) -> None:
    """What was committed before stays; what a block wrote that failed does not."""
    tenant_session.add(ada())
    tenant_session.commit()
    tenant_session.add(User(external_id="eve", email="eve"))
    again = text("INSERT INTO users (tenant_id, external_id, email) SELECT tenant_id, external_id, 'again' FROM users")
    with pytest.raises(IntegrityError), tenant_session.begin_nested():
        tenant_session.execute(again)
    tenant_session.rollback()
    assert tenant_session.scalars(select(User.external_id)).all() == ["ada"]


def test_settings_end_with_their_transaction(db: Engine, tenant: UUID) -> None:
    """SET and SET LOCAL reach no later transaction, whether it was committed or rolled back."""
    with tenant_connection(db, tenant) as connection:
        before = connection.scalar(text("SHOW work_mem"))
        connection.execute(text("SET work_mem = '77MB'; SET LOCAL statement_timeout = '1h'"))
    with tenant_connection(db, tenant) as connection:
        assert connection.scalar(text("SHOW work_mem")) == before
        assert connection.scalar(text("SHOW statement_timeout")) != "1h"


def test_two_sessions_in_turns_are_refused(db: Engine, tenant: UUID, other_tenant: UUID) -> None:
    """A statement of a transaction that is not the last would be of the wrong tenant: it is not sent."""
    with (
        tenant_connection(db, tenant) as outer,
        TenantSession(db, tenant=other_tenant) as inner,
    ):
        outer.execute(text(USERS))
        inner.execute(text(USERS))
        with pytest.raises(OneConnectionError, match="`database`"):
            outer.execute(text(USERS))
        inner.commit()
        assert outer.scalar(text("SELECT current_setting('app.tenant_id')")) == str(tenant)


def test_threads_take_turns_or_are_refused(db: Engine, tenant: UUID) -> None:
    """Code that runs in another thread while the test waits gets the connection; two at once are told to go apart."""

    def work() -> int | None:
        with tenant_connection(db, tenant) as connection:
            found: int | None = connection.scalar(text(USERS))
        return found

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 0
    began, go_on = threading.Event(), threading.Event()

    def stay() -> None:
        with tenant_connection(db, tenant) as connection:
            connection.execute(text(USERS))
            began.set()
            go_on.wait()

    with ThreadPoolExecutor(1) as pool, tenant_connection(db, tenant) as connection:
        connection.execute(text(USERS))
        staying = pool.submit(stay)
        began.wait()
        try:
            with pytest.raises(OneConnectionError, match="threads"):
                connection.execute(text(USERS))
        finally:
            go_on.set()
        staying.result()


@pytest.mark.usefixtures("tenant_session")
def test_a_second_engine_is_refused(shared: OneConnection, on_one: Engine, database: Database, tenant: UUID) -> None:
    """It would see nothing of the test; on another database it is nobody's business."""
    with a_test(shared):
        with tenant_connection(on_one, tenant) as connection:
            connection.execute(text(USERS))
        other = create_engine(database.user, database.settings)
        with pytest.raises(OneConnectionError, match=r"second engine.*`database`"), tenant_connection(other, tenant):
            pass
    with tenant_connection(other, tenant) as connection:
        assert connection.scalar(text(USERS)) == 0
    other.dispose()


def test_a_forked_child_is_refused(db: Engine, tenant: UUID) -> None:
    """It is told to use `database`, and the test's connection is as it was."""
    with tenant_connection(db, tenant) as connection:
        connection.execute(text(USERS))
    child = os.fork()
    if child == 0:
        try:
            with tenant_connection(db, tenant) as connection:
                connection.execute(text(USERS))
        except OneConnectionError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with tenant_connection(db, tenant) as connection:
        assert connection.scalar(text(USERS)) == 0


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN"])
def test_a_real_commit_is_found(statement: str, shared: OneConnection, on_one: Engine, tenant: UUID) -> None:
    """A statement that ends the test's transaction fails that test, at the latest at its end."""
    with pytest.raises(OneConnectionError, match=r"committed|ended"), a_test(shared):  # noqa: SIM117 - the end raises
        with tenant_connection(on_one, tenant) as connection:
            connection.execute(text(statement))


@pytest.mark.parametrize("options", [{"isolation_level": "SERIALIZABLE"}, {"postgresql_readonly": True}])
def test_what_only_a_whole_transaction_can_be_is_refused(options: dict[str, object], db: Engine, tenant: UUID) -> None:
    """Another isolation level, or a transaction that only reads, needs a database of the test's own."""
    other = db.execution_options(**options)
    with pytest.raises(OneConnectionError, match="`database`"), tenant_connection(other, tenant) as connection:
        connection.execute(text(USERS))


def test_a_transaction_that_is_left_open_disturbs_no_later_test(
    shared: OneConnection, on_one: Engine, database: Database, tenant: UUID
) -> None:
    """Nothing stays of it, not even where its last statement failed."""
    with a_test(shared):
        session = TenantSession(on_one, tenant=tenant)
        session.add(ada())
        session.flush()
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT 1/0"))
    with a_test(shared), open_session(on_one, tenant) as other:
        assert other.scalars(select(User)).all() == []
    session.close()
    assert rows(database, tenant) == 0


def test_fifty_connections_at_once_are_fifty_savepoints(db: Engine, tenant: UUID) -> None:
    """Each is within the one before, and they end in the other order."""

    def nest(depth: int) -> int | None:
        with tenant_connection(db, tenant) as connection:
            found = connection.scalar(text(USERS))
            return nest(depth - 1) if depth else found

    assert nest(50) == 0
