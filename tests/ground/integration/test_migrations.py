"""Migrations as they are applied and taken back, in an empty database of its own."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from infra.config.settings import Role
from schema.client.connection import connect
from schema.errors import MigrationError
from schema.migration.apply.upgrade import Upgraded
from schema.migration.lock import begin_work, migration_lock
from schema.models import metadata
from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.errors import about
from tests.kit.stack import RunningStack

MOMENT = timedelta(milliseconds=100)


def test_an_upgrade_from_empty_applies_everything_once(scratch: Scratch) -> None:
    """The first upgrade applies each migration in order and says so, the second finds nothing to do."""
    first = scratch.upgrade()
    made = scratch.objects
    assert [step.revision for step in first.applied] == [name.partition("_")[0] for name in sorted(scratch.files)]
    assert first.applied[0].title == "Create tenants, users and tenant features"
    assert (first.head, scratch.at) == (HEAD, (HEAD,))
    assert scratch.names("relation") >= set(metadata.tables)
    assert scratch.upgrade() == Upgraded((), HEAD)
    assert scratch.objects == made


def test_taking_everything_back_leaves_alembics_table_and_the_ledger(scratch: Scratch) -> None:
    """The downgrades undo all that the upgrades did, and the upgrades then make the same again."""
    scratch.upgrade()
    made = scratch.objects
    scratch.downgrade("base")
    left = [name for _, name, *_ in scratch.objects if "alembic_version" not in name and "migration_ledger" not in name]
    assert left == []
    assert scratch.at == ()
    scratch.upgrade()
    assert scratch.objects == made


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("op.execute('SELECT 1 / 0')", r"division by zero \(SQLSTATE 22012\)"),
        ("raise KeyError('tier')", "KeyError: 'tier'"),
        ("op.execute('INSERT INTO half VALUES (1), (1)')", r"duplicate key .* \(SQLSTATE 23505\)"),
    ],
    ids=["in a statement", "in Python", "at the commit"],
)
def test_a_failing_migration_leaves_nothing_of_itself(statement: str, reason: str, scratch: Scratch) -> None:
    """It is named with the reason, it is rolled back wholly, and those before it stay applied."""
    half = "op.execute('CREATE TABLE half (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)')"
    scratch.write(f"{half}\n    {statement}")
    failed = rf"^9999_by_hand\.py failed in database '{scratch.url.database}' and was rolled back: {reason}\. "
    with pytest.raises(MigrationError, match=rf"{failed}The database is at {HEAD}\."):
        scratch.upgrade()
    assert scratch.at == (HEAD,)
    assert "half" not in scratch.names("relation")
    scratch.write(half)
    assert scratch.upgrade().head == "9999"


def test_upgrades_at_once_apply_everything_once(scratch: Scratch) -> None:
    """Of several that start together one migrates, and the others find it done."""
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda _: scratch.upgrade(), range(3)))
    assert sorted(len(upgraded.applied) for upgraded in done) == [0, 0, len(scratch.files)]
    assert scratch.connection.execute("SELECT version_num FROM app.alembic_version").fetchall() == [(HEAD,)]


def test_who_holds_the_migration_lock_is_named(scratch: Scratch) -> None:
    """A process that cannot get the lock says which server process holds it; an ended one holds nothing."""
    with migration_lock(scratch.url, scratch.settings) as holder:
        waiting = migration_lock(scratch.url, scratch.settings, MOMENT)
        with pytest.raises(MigrationError, check=about(blockers=(holder.info.backend_pid,))), waiting:
            pass
    with migration_lock(scratch.url, scratch.settings, MOMENT):
        pass


def test_what_a_killed_process_left_running_is_waited_for(scratch: Scratch) -> None:
    """A process that is gone has left its turn; while its session still runs a statement, nobody else begins."""
    with connect(scratch.url, scratch.settings, autocommit=True) as running:
        begin_work(running)
        with (
            pytest.raises(MigrationError, check=about(blockers=(running.info.backend_pid,))),
            migration_lock(scratch.url, scratch.settings, MOMENT),
        ):
            pass
    with migration_lock(scratch.url, scratch.settings):
        pass


def test_the_migration_lock_is_a_databases_own(scratch: Scratch, stack: RunningStack) -> None:
    """Migrations of two databases of one server do not wait for each other."""
    with (
        migration_lock(scratch.url, scratch.settings),
        migration_lock(stack.url(Role.OWNER), stack.settings, MOMENT),
    ):
        pass
