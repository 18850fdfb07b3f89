"""Definitions that a migration sends together, seen from the server."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.migration.batching import BatchingConnection
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.quick_on_one

MADE = "SELECT count(*) FROM pg_tables WHERE tablename IN ('one', 'two')"


@pytest.fixture
def deferring(scratch_database: DatabaseUrl, stack: RunningStack) -> Iterator[BatchingConnection]:
    """Give a connection to an empty database, within a block that defers."""
    with connect(scratch_database, stack.settings, kind=BatchingConnection) as connection:
        assert isinstance(connection, BatchingConnection)
        with connection.batch_ddl():
            yield connection


def test_definitions_are_sent_with_what_is_asked_next(deferring: BatchingConnection) -> None:
    """Until then the server has not heard of them; what is asked sees all of them done."""
    for table in ("one", "two"):
        deferring.execute(f"CREATE TABLE {table} (label text DEFAULT 'a;b') -- the {table}")
    assert deferring.info.transaction_status == TransactionStatus.IDLE
    assert deferring.execute(MADE).fetchone() == (2,)


def test_a_commit_and_a_savepoint_come_behind_what_was_deferred(deferring: BatchingConnection) -> None:
    """What is committed stays; what a savepoint takes back is what came after it."""
    deferring.execute("CREATE TABLE one ()")
    with deferring.transaction(force_rollback=True):
        deferring.execute("CREATE TABLE two ()")
    deferring.execute("COMMENT ON TABLE one IS 'kept'")
    deferring.commit()
    deferring.rollback()
    assert deferring.execute(MADE).fetchone() == (1,)
    assert deferring.execute("SELECT obj_description('one'::regclass)").fetchone() == ("kept",)


def test_what_was_deferred_fails_where_it_is_sent(deferring: BatchingConnection) -> None:
    """The failure is the server's own; none of what was sent together stays."""
    deferring.execute("CREATE TABLE one ()")
    deferring.execute("CREATE TABLE one ()")
    with pytest.raises(psycopg.errors.DuplicateTable):
        deferring.commit()
    deferring.rollback()
    assert deferring.execute(MADE).fetchone() == (0,)


def test_a_rollback_forgets_what_was_deferred(deferring: BatchingConnection) -> None:
    """It is run neither behind it nor before, where it may fail."""
    deferring.execute("CREATE TABLE one ()")
    deferring.execute("CREATE TABLE one ()")
    deferring.rollback()
    deferring.commit()
    assert deferring.execute(MADE).fetchone() == (0,)


def test_in_autocommit_nothing_is_deferred(deferring: BatchingConnection) -> None:
    """What may not be in a transaction, or in one message with others, runs by itself and at once."""
    deferring.autocommit = True
    deferring.execute("CREATE TABLE one (id int)")
    deferring.execute("CREATE INDEX CONCURRENTLY ON one (id)")
    with pytest.raises(psycopg.errors.DuplicateTable):
        deferring.execute("CREATE TABLE one ()")
