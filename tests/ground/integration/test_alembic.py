"""Plain `alembic`, as it is used where `invoke` has no command for something."""

import subprocess
import sys

import pytest

from infra.config.settings import Role
from schema.migration.files import Migrations
from tests.kit.checkout import Checkout

pytestmark = pytest.mark.one_backend

# One process for all three, which costs a third; -P, because the console script has no working directory on its path.
COMMANDS = "from alembic.config import main; main(['upgrade', 'head']); main(['current']); main(['check'])"


@pytest.mark.slow
def test_plain_alembic_finds_the_running_stack(checkout: Checkout) -> None:
    """It migrates what `up` brought up, as the owner, knows where that stands, and finds no drift from the models."""
    checkout.succeed("up")
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMANDS],
        cwd=checkout.path,
        env=checkout._environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    head = Migrations.load(checkout.path).head
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [f"{head} (head)", "No new upgrade operations detected."],
    ), done.stderr
    assert checkout.query(
        Role.OWNER,
        "SELECT version_num, pg_get_userbyid(relowner) FROM app.alembic_version, pg_class WHERE relname = 'users'",
    ) == [(head, "app_owner")]
