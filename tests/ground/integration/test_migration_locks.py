"""Migrations that do not get their locks, and what others wait for meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

import psycopg
import pytest

from infra.config.settings import Role
from schema.client.connection import BoundedConnection, connect
from schema.errors import MigrationError
from schema.migration.apply.run import LockRetry
from tests.ground.integration.conftest import HEAD, IMPATIENT, Scratch
from tests.kit.checkout import Checkout
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

ALTER = "op.execute('ALTER TABLE users ADD COLUMN nickname text')"


@contextmanager
def reading(scratch: Scratch, stack: RunningStack) -> Iterator[BoundedConnection]:
    """Let the application read a table and stay in its transaction."""
    url = stack.url(Role.USER).on(scratch.url.database)
    with connect(url, stack.settings) as reader:
        reader.execute("SELECT set_config('app.tenant_id', %s, true)", [str(scratch.sign_up())])
        reader.execute("SELECT * FROM users WHERE email <> 'S3cret'")
        yield reader


def named(reader: BoundedConnection) -> str:
    """Return how a session of the application is named."""
    return rf"server process {reader.info.backend_pid} \(app_user"


def test_who_is_in_the_way_is_named(scratch: Scratch, stack: RunningStack) -> None:
    """A migration gives up after its attempts and names the process in its way, its role and query, no constant."""
    scratch.upgrade()
    scratch.write(ALTER)
    with reading(scratch, stack) as reader:
        with pytest.raises(
            MigrationError, match="2 attempts", check=about(blockers=(reader.info.backend_pid,), sqlstate="55P03")
        ) as failed:
            scratch.upgrade(observers=(stack.admin,))
        pid = reader.info.backend_pid
    assert f"server process {pid} (app_user, groundwork, idle in transaction since" in str(failed.value)
    assert "SELECT * FROM users WHERE email <> '…'" in str(failed.value)
    assert "S3cret" not in str(failed.value)
    assert scratch.at == (HEAD,)


def test_the_owner_names_who_is_in_the_way_as_far_as_it_may(scratch: Scratch, stack: RunningStack) -> None:
    """Without a role that may see what others do, the process and its role are named all the same."""
    scratch.upgrade()
    scratch.write(ALTER)
    with reading(scratch, stack) as reader, pytest.raises(MigrationError, match=named(reader)):
        scratch.upgrade()


def test_a_lock_that_comes_free_is_had(scratch: Scratch, stack: RunningStack) -> None:
    """Who was in the way and goes is no reason to fail: a later attempt finds the table free."""
    scratch.upgrade()
    scratch.write(ALTER)
    missed = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
    lock_retry = LockRetry(timedelta(milliseconds=100), attempts=50, pause=timedelta(milliseconds=1))
    with ThreadPoolExecutor(1) as threads, reading(scratch, stack) as reader:
        upgrading = threads.submit(scratch.upgrade, lock_retry=lock_retry)
        for wanted in (1, 0, 1):
            while scratch.connection.execute(missed.encode()).fetchone() != (wanted,):
                assert not upgrading.done()
        reader.rollback()
        assert upgrading.result().head == "9999"


def test_others_wait_no_longer_than_the_lock_timeout(scratch: Scratch, stack: RunningStack) -> None:
    """A query that queues behind a waiting migration goes on though the table is still held: the migration gives up."""
    scratch.upgrade()
    scratch.write(ALTER)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
    with ThreadPoolExecutor(1) as threads, reading(scratch, stack):
        upgrading = threads.submit(scratch.upgrade, lock_retry=IMPATIENT)
        while scratch.connection.execute(waiting.encode()).fetchone() == (0,):
            assert not upgrading.done()
        with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as other:
            other.execute("SET statement_timeout = '60s'")  # a query that stays in the queue ends the test
            other.execute("SELECT count(*) FROM users")
        with pytest.raises(MigrationError, check=about(sqlstate="55P03")):
            upgrading.result()


@pytest.mark.slow
def test_a_held_table_ends_the_command(commands: Checkout, scratch: Scratch, stack: RunningStack) -> None:
    """With the command's own patience a SELECT never waits four seconds, and `migrate` ends with 5 and names who."""
    scratch.upgrade()
    scratch.write(ALTER)
    longest = 0.0
    with reading(scratch, stack) as reader:
        process = commands.start("migrate")
        with connect(stack.admin.on(scratch.url.database), stack.settings, autocommit=True) as other:
            while process.poll() is None:
                started = monotonic()
                other.execute("SELECT count(*) FROM users")
                longest = max(longest, monotonic() - started)
        _, errors = process.communicate()
        assert (process.returncode, longest < 4) == (5, True)
        assert f"server process {reader.info.backend_pid} " in errors
    assert "Traceback" not in errors
    with pytest.raises(psycopg.errors.UndefinedColumn):
        scratch.connection.execute("SELECT nickname FROM users")
