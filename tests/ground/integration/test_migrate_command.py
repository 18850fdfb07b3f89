"""`invoke migrate` as processes: ended by signals, killed, and two at once."""

import random
import signal
import subprocess
import time
from contextlib import suppress
from uuid import UUID

import pytest

from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.checkout import Checkout

pytestmark = pytest.mark.one_backend

# The backends of whoever migrates; this connection's own is none of them.
OURS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(60)%'"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
VERSIONS = "SELECT version_num FROM app.alembic_version"
CHAIN = {
    8001: ("op.execute('ALTER TABLE users ADD COLUMN nickname text')", "op.drop_column('users', 'nickname')"),
    8002: ("create_index('ix_users_email', 'users', ['email'])", "drop_index('ix_users_email', 'users')"),
    8003: ("op.execute('CREATE TABLE notes AS SELECT FROM generate_series(1, 3)')", "op.drop_table('notes')"),
}


def number(scratch: Scratch, question: str) -> int:
    """Return the one number that a query answers."""
    row = scratch.connection.execute(question.encode()).fetchone()
    assert row is not None
    return int(row[0])


def emails(scratch: Scratch, tenant: UUID) -> list[str]:
    """Return the addresses of a tenant's users."""
    with scratch.connection.transaction():
        scratch.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant)])
        return [email for (email,) in scratch.connection.execute("SELECT email FROM users").fetchall()]


def write_chain(scratch: Scratch) -> None:
    """Add migrations, one of them with an index that is built CONCURRENTLY."""
    follows = HEAD
    for revision, (upgrade, downgrade) in CHAIN.items():
        scratch.write(upgrade, downgrade, revision, follows)
        follows = str(revision)


def assert_whole(scratch: Scratch) -> None:
    """Hold the database to what one undisturbed run leaves."""
    assert scratch.connection.execute(VERSIONS.encode()).fetchall() == [(str(max(CHAIN)),)]
    assert number(scratch, INVALID) == 0
    assert number(scratch, "SELECT count(*) FROM pg_class WHERE relname = 'ix_users_email'") == 1
    assert number(scratch, "SELECT count(*) FROM notes") == 3
    assert number(scratch, "SELECT count(*) FROM pg_attribute WHERE attname = 'nickname'") == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_an_ended_migrate_leaves_no_session_and_nothing_half_done(
    commands: Checkout, scratch: Scratch, how: signal.Signals
) -> None:
    """Its sessions are gone before its statement would end, the version is unchanged, and what it says is one line."""
    scratch.upgrade()
    before = scratch.objects
    scratch.write("op.execute('ALTER TABLE users ADD COLUMN nickname text'); op.execute('SELECT pg_sleep(60)')")
    process = commands.start("migrate")
    while number(scratch, SLEEPING) == 0:
        assert process.poll() is None
    process.send_signal(how)
    ends = time.monotonic() + 50  # of the 60 seconds that the statement takes
    while number(scratch, OURS) > 0:
        assert time.monotonic() < ends
    out, err = process.communicate(timeout=10)
    assert (scratch.at, scratch.objects) == ((HEAD,), before)
    said = [line for line in err.splitlines()[1:] if not line.endswith(" runs")]
    if how is signal.SIGKILL:
        assert (process.returncode, out, said) == (-how, "", [])
    else:
        assert (process.returncode, out, len(said)) == (128 + how, "", 1)
        assert f"Interrupted in 9999_by_hand.py, which was not finished: database {scratch.url.database!r}" in said[0]
        assert f"is at {HEAD};" in said[0]


def both(commands: Checkout) -> list["subprocess.Popen[str]"]:
    """Start two at once."""
    return [commands.start("migrate") for _ in range(2)]


def test_two_at_once_apply_everything_once(commands: Checkout, scratch: Scratch) -> None:
    """With an index that is built CONCURRENTLY among the migrations both succeed, and one has found it done."""
    write_chain(scratch)
    started = both(commands)
    said = [process.communicate(timeout=30) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert sorted(len(out.splitlines()) for out, _ in said) == [1, len(scratch.files) + 1]
    assert_whole(scratch)


@pytest.mark.slow
def test_rounds_of_two_of_which_one_is_killed(commands: Checkout, scratch: Scratch) -> None:
    """Twenty times over: either is killed at some moment, the other succeeds all the same, and nothing is lost."""
    scratch.upgrade()
    tenant = scratch.sign_up()
    write_chain(scratch)
    chance, killed = random.Random(), 0
    for _ in range(20):
        victim, survivor = chance.sample(both(commands), 2)
        with suppress(subprocess.TimeoutExpired):
            victim.wait(chance.uniform(0.3, 2.5))
        victim.kill()
        victim.communicate()
        out, err = survivor.communicate(timeout=60)
        assert survivor.returncode == 0, out + err
        killed += victim.returncode == -signal.SIGKILL
        assert_whole(scratch)
        assert emails(scratch, tenant) == ["ada@example.com"]
        scratch.rollback(len(CHAIN), allow_data_loss=True)
    assert killed > 0


@pytest.mark.slow
def test_what_goes_wrong_is_said_and_put_right(commands: Checkout, scratch: Scratch) -> None:
    """A failed index, an edited file and an unknown revision each end `migrate` with 5; put right, it ends with 0."""
    scratch.upgrade()
    first, _ = scratch.sign_up("a"), scratch.sign_up("b")
    path = scratch.write("create_index('ix_users_email', 'users', ['email'], unique=True)")

    def refused() -> str:
        done = commands.invoke("migrate")
        assert (done.returncode, "Traceback" in done.stderr) == (5, False)
        return done.stderr.splitlines()[-1]

    assert "could not create unique index" in refused()
    assert number(scratch, INVALID) == 1
    with scratch.connection.transaction():
        scratch.connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(first)])
        scratch.connection.execute("UPDATE users SET email = 'other@example.com'")
    commands.succeed("migrate")
    assert number(scratch, INVALID) == 0
    applied = path.read_text()
    path.write_text(f"{applied}# edited\n")
    assert path.name in refused()
    path.unlink()
    assert "'9999'" in refused()
    assert scratch.at == ("9999",)
    path.write_text(commands.succeed("history", "--show", "9999").stdout)
    assert path.read_text() == applied
    assert commands.succeed("migrate").stdout == "nothing to do: at 9999\n"
    commands.succeed("rollback")
    assert scratch.at == (HEAD,)
