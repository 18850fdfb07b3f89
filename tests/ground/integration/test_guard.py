"""Destructive steps on databases that are not this checkout's own."""

import subprocess
import sys
from dataclasses import replace

import pytest

from infra.config.settings import AppEnv, SslMode
from schema.errors import MigrationError
from schema.migration.apply.guard import Guard
from schema.migration.apply.upgrade import upgrade
from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.checkout import Checkout
from tests.kit.errors import about

pytestmark = pytest.mark.one_backend

DESTRUCTIVE = [
    "op.drop_column('users', 'email')",
    "op.execute('TRUNCATE users')",
    "op.get_bind().exec_driver_sql('DROP TABLE users')",
]


@pytest.mark.parametrize("step", DESTRUCTIVE, ids=["column", "truncate", "table with a live connection"])
def test_another_server_loses_nothing_unasked(scratch: Scratch, step: str) -> None:
    """On a server that is not this checkout's stack a destructive step needs the database's name."""
    foreign = Guard("another-stack-0000")
    scratch.upgrade(guard=foreign)
    before = scratch.objects
    scratch.write(step)
    with pytest.raises(
        MigrationError, match=rf"9999_by_hand\.py.*--confirm-database={scratch.url.database}"
    ) as refused:
        scratch.upgrade(guard=foreign)
    assert f"not this checkout's stack (its cluster_name is {scratch.stack_id!r})" in str(refused.value)
    with pytest.raises(MigrationError, match="--confirm-database=app names another database"):
        scratch.upgrade(guard=replace(foreign, confirm_database="app"))
    assert (scratch.at, scratch.objects) == ((HEAD,), before)
    scratch.upgrade(guard=replace(foreign, confirm_database=scratch.url.database))
    assert scratch.at == ("9999",)


def test_production_loses_nothing_unasked(scratch: Scratch) -> None:
    """In production this holds on one's own stack as well, and for a way back that would lose nothing."""
    production = replace(scratch.settings, app_env=AppEnv.PRODUCTION, database_sslmode=SslMode.PREFER)
    scratch.write("op.execute('CREATE TABLE notes ()')", "op.drop_table('notes')")
    scratch.upgrade()
    before = scratch.objects
    with pytest.raises(
        MigrationError, match=r"This is production \(APP_ENV\): 9999_by_hand\.py: it drops table notes\. "
    ):
        replace(scratch, settings=production).rollback()
    assert (scratch.at, scratch.objects) == (("9999",), before)


def test_a_refusal_of_several_steps_is_a_list(commands: Checkout, scratch: Scratch) -> None:
    """One sentence says why, a line names each step once, and the last one says what next; nothing is done.

    The kind: a refusal of many things was one paragraph of a screen, in which each step repeated the reason. Siblings:
    drops and possible renames that `generate` asks about, migrations that a checkout lacks, several tenants of a name.
    """
    scratch.upgrade()
    before = scratch.objects
    live = {"APP_ENV": "production", "DATABASE_SSLMODE": "prefer"}
    done = commands.invoke("rollback", **live)
    _, first, *steps, last = done.stderr.splitlines()
    assert done.returncode == 5
    assert first.endswith("This is production (APP_ENV):")
    assert {line.rpartition(" ")[2] for line in steps} >= {"users", "tenants", "tenant_features"}
    assert all(line.startswith("- 0001_") for line in steps)
    assert len(set(steps)) == len(steps)
    assert last == (
        f"If {scratch.url.database!r} is what you mean, repeat the command with "
        f"--confirm-database={scratch.url.database}."
    )
    assert scratch.objects == before


def test_nothing_is_applied_before_a_refusal(scratch: Scratch) -> None:
    """Where the last of several is destructive, the harmless ones before it wait with it."""
    scratch.write("op.execute('DROP TABLE users')")
    with pytest.raises(MigrationError, check=about(files=("9999_by_hand.py",), changes=("drops table users",))):
        upgrade(scratch.url, scratch.settings, checkout=scratch.checkout)
    assert scratch.at == ()


def test_the_target_is_printed_before_anything_else(commands: Checkout, scratch: Scratch) -> None:
    """Whoever migrates reads first where, and never a password; a destructive plan says so and changes nothing."""
    scratch.write("op.drop_column('users', 'email')")
    done = commands.invoke("migrate")
    assert done.returncode == 5
    where = f"app_owner at 127.0.0.1:{scratch.url.port}, database {scratch.url.database}"
    assert done.stderr.splitlines()[0] == where
    assert len(done.stderr.splitlines()) == 2
    assert "drops column users.email" in commands.succeed("migrate", "--plan").stdout
    assert scratch.url.password.reveal() not in "".join(commands.said)
    assert scratch.at == ()


def test_plain_alembic_is_guarded_as_well(commands: Checkout, scratch: Scratch) -> None:
    """On a server that is not this checkout's stack `alembic downgrade` drops nothing, unless the database is named."""

    def alembic(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "alembic", *words],
            cwd=commands.path,
            env=commands._environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    scratch.upgrade()
    before = scratch.objects
    refused = alembic("downgrade", "base")
    assert refused.returncode != 0
    assert f"--confirm-database={scratch.url.database}" in refused.stdout + refused.stderr
    assert (scratch.at, scratch.objects) == ((HEAD,), before)
    assert alembic("-x", f"confirm-database={scratch.url.database}", "downgrade", "base").returncode == 0
    assert scratch.at == ()
