"""Indexes that migrations build and drop while others write."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from infra.config.settings import Role
from schema.client.connection import connect
from schema.errors import MigrationError
from schema.migration.apply.run import LockRetry
from schema.migration.invalid_indexes import read
from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

CREATE = "create_index('ix_users_email', 'users', ['email'], unique=True)"
DROP = "drop_index('ix_users_email', 'users')"
INDEX = """
    SELECT indisvalid, pg_get_indexdef(indexrelid), indexrelid::int
    FROM pg_index WHERE indexrelid = to_regclass('ix_users_email')
"""


def index(scratch: Scratch) -> tuple[bool, str, int] | None:
    """Return whether the index is valid, its definition and its number; None where there is none."""
    row = scratch.connection.execute(INDEX).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def test_an_index_is_built_and_dropped(scratch: Scratch) -> None:
    """It is there after the migration, and gone after that was taken back."""
    scratch.write(CREATE, DROP)
    scratch.upgrade()
    assert (index(scratch) or ())[:2] == (
        True,
        "CREATE UNIQUE INDEX ix_users_email ON public.users USING btree (email)",
    )
    scratch.rollback()
    assert index(scratch) is None


def test_an_index_that_failed_is_built_again(scratch: Scratch) -> None:
    """What a failed build left behind is invalid, and once the data is put right the next run makes it valid."""
    scratch.upgrade()
    first, _ = scratch.sign_up("a"), scratch.sign_up("b")
    scratch.write(CREATE)
    for _ in range(2):
        with pytest.raises(MigrationError, check=about(sqlstate="23505")):
            scratch.upgrade()
        assert (index(scratch) or ())[:1] == (False,)
    with scratch.connection.transaction():
        scratch.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(first)])
        scratch.connection.execute("UPDATE users SET email = 'other@example.com'")
    assert scratch.upgrade().head == "9999"
    assert (index(scratch) or ())[:1] == (True,)


def test_an_index_that_was_built_is_kept(scratch: Scratch) -> None:
    """A run that ended between the build and its own end finds its index, and does not build it again."""
    scratch.write(CREATE)
    scratch.upgrade()
    built = index(scratch)
    scratch.connection.execute("UPDATE app.alembic_version SET version_num = %s", [HEAD])
    scratch.upgrade()
    assert index(scratch) == built


@pytest.mark.parametrize("other", ["users (role)", "users (email)", "tenants (slug)"])
def test_another_index_of_the_name_is_left_alone(scratch: Scratch, other: str) -> None:
    """An index that is valid and another one, by its column, its table or that it is not unique, is named and stays."""
    scratch.upgrade()
    scratch.connection.execute(f"CREATE INDEX ix_users_email ON {other}".encode())
    before = index(scratch)
    scratch.write(CREATE)
    with pytest.raises(MigrationError, match="There is another index 'ix_users_email'"):
        scratch.upgrade()
    assert index(scratch) == before


def test_a_drop_that_was_interrupted_is_finished(scratch: Scratch, stack: RunningStack) -> None:
    """An index that a drop left invalid goes, and one that is gone is no failure."""
    scratch.write("pass", DROP)
    for left in ("CREATE INDEX ix_users_email ON users (email)", "SELECT 1"):
        scratch.upgrade()
        scratch.connection.execute(left.encode())
        with connect(stack.admin.on(scratch.url.database), stack.settings) as admin:
            admin.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('ix_users_email')")
        scratch.rollback()
        assert (scratch.at, index(scratch)) == ((HEAD,), None)


def test_a_build_waits_for_others_without_a_limit(scratch: Scratch, stack: RunningStack) -> None:
    """A transaction that a build has to wait for makes it wait for longer than locks are waited for, and not fail."""
    scratch.upgrade()
    scratch.write(CREATE)
    url = stack.url(Role.USER).on(scratch.url.database)
    limit = timedelta(milliseconds=50)
    waited = "SELECT now() - query_start > %s FROM pg_stat_activity WHERE query LIKE 'CREATE UNIQUE INDEX CONC%%'"
    with ThreadPoolExecutor(1) as threads, connect(url, stack.settings) as writer:
        writer.execute("SELECT set_config('app.tenant_id', %s, true)", [str(scratch.sign_up())])
        writer.execute("UPDATE users SET role = 'owner'")
        upgrading = threads.submit(scratch.upgrade, lock_retry=LockRetry(limit, attempts=1))
        while scratch.connection.execute(waited, [limit * 4]).fetchone() != (True,):
            assert not upgrading.done()
        writer.rollback()
        assert upgrading.result().head == "9999"
    assert (index(scratch) or ())[:1] == (True,)


def test_an_invalid_index_of_any_other_hand_is_named(scratch: Scratch) -> None:
    """What a build by hand left behind is told with what to do, and no longer once that is done."""
    scratch.upgrade()
    first, _ = scratch.sign_up("a"), scratch.sign_up("b")
    with pytest.raises(psycopg.errors.UniqueViolation):
        scratch.connection.execute("CREATE UNIQUE INDEX CONCURRENTLY ix_users_email ON users (email)")
    told: list[str] = []
    scratch.upgrade(say=told.append)
    (line,) = told
    assert line.startswith("index ix_users_email of users: ")
    assert ". REINDEX INDEX CONCURRENTLY ix_users_email, or DROP INDEX" in line
    with scratch.connection.transaction():
        scratch.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(first)])
        scratch.connection.execute("UPDATE users SET email = 'other@example.com'")
    scratch.connection.execute("REINDEX INDEX CONCURRENTLY ix_users_email")
    told.clear()
    scratch.upgrade(say=told.append)
    assert (told, (index(scratch) or ())[:1]) == ([], (True,))


def test_what_a_rebuild_left_behind_goes(scratch: Scratch) -> None:
    """The half of a REINDEX that failed is to be dropped; the index that was to be rebuilt is as good as before."""
    scratch.upgrade()
    for slug in "ab":
        scratch.sign_up(slug)
    with pytest.raises(psycopg.errors.UniqueViolation):
        scratch.connection.execute("CREATE UNIQUE INDEX CONCURRENTLY ix_users_email ON users (email)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        scratch.connection.execute("REINDEX INDEX CONCURRENTLY ix_users_email")
    left = [index for index in read(scratch.connection) if index.name != "ix_users_email"]
    assert [index.fix for index in left] == ["DROP INDEX CONCURRENTLY ix_users_email_ccnew"]
    scratch.connection.execute(left[0].fix.encode())
    assert [index.name for index in read(scratch.connection)] == ["ix_users_email"]
