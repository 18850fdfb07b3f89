"""Data that a user restored by hand is served, and neither replaced nor removed; whatever else is there is refused.

The kind: a volume or folder is where the stack's data belongs, and `up` did not make what is in it.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from infra.backends.data_directory import SNAPSHOT
from infra.config.identity import OUR_SERVICES, Service, state_directory
from infra.config.settings import BackendChoice, Role
from tests.kit.checkout import Checkout, copy_project
from tests.kit.engine_user import packed
from tests.kit.world import back_up, data_files, remove_data, restore, run_in_data, things_of


def fill(checkout: Checkout) -> None:
    """Bring the stack up, write a row and a key, and stop it."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    checkout.redis().set("kept", "42")
    checkout.succeed("down")


@pytest.mark.slow
def test_restored_data_is_served_and_never_removed(checkout: Checkout) -> None:
    """Backups that were restored before an `up` are served by it; `down --volumes` keeps them, and says how they go."""
    fill(checkout)
    archives = {service: back_up(checkout.project, checkout.backend, service) for service in OUR_SERVICES}
    assert checkout.succeed("down", "--volumes", "--yes").stdout.endswith(" and all data removed\n")
    for service, archive in archives.items():
        restore(checkout.project, checkout.backend, service, archive)
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    assert checkout.redis().get("kept") == "42"
    said = checkout.succeed("down", "--volumes", "--yes").stdout
    assert "all data removed" not in said
    assert data_files(checkout.project, checkout.backend)
    commands = [line for line in said.splitlines() if line.startswith(("docker ", "rm "))]
    assert len(commands) == len(OUR_SERVICES)
    for command in commands:
        subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert things_of(checkout.project, checkout.backend) == []


@pytest.mark.slow
def test_data_restored_in_place_of_ups_own_is_served(checkout: Checkout) -> None:
    """A backup in the place of data that `up` made, which has no marker, is not taken for a first start cut short.

    Also where nobody remembers the data any more.
    """
    fill(checkout)
    archive = back_up(checkout.project, checkout.backend, Service.POSTGRES)
    checkout.succeed("up")
    checkout.query(Role.OWNER, "DROP TABLE kept")
    checkout.succeed("down")
    remove_data(checkout.project, checkout.backend)
    restore(checkout.project, checkout.backend, Service.POSTGRES, archive)
    (state_directory(checkout.project) / "state.json").unlink()
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]


@pytest.mark.quick_on_one
@pytest.mark.parametrize("service", OUR_SERVICES)
def test_a_folder_with_something_else_is_refused(checkout: Checkout, service: Service) -> None:
    """Files that are no server's data are refused in a paragraph, also by `plan` and `doctor`, and left as they are."""
    restore(checkout.project, checkout.backend, service, packed({"notes.txt": b"remember"}))
    for command in ("up", "plan", "doctor"):
        done = checkout.invoke(command)
        assert done.returncode == 4, done.stdout + done.stderr
        assert "notes.txt" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert back_up(checkout.project, checkout.backend, service, "notes.txt")
    left = things_of(checkout.project, checkout.backend)
    assert left == (
        [str(state_directory(checkout.project) / service)] if checkout.backend is BackendChoice.EMBEDDED else []
    )
    said = checkout.succeed("down", "--volumes", "--yes").stdout
    assert service in said.splitlines()[-1]
    run_in_data(checkout.project, checkout.backend, service, "rm notes.txt")


@pytest.mark.slow
def test_a_snapshot_of_redis_is_loaded_as_the_refusal_says(checkout: Checkout) -> None:
    """A snapshot beside which Redis would start empty is refused; with the command that is named its keys are there."""
    fill(checkout)
    checkout.succeed("up")
    checkout.redis().save()
    checkout.succeed("down")
    archive = back_up(checkout.project, checkout.backend, Service.REDIS, SNAPSHOT)
    checkout.succeed("down", "--volumes", "--yes")
    restore(checkout.project, checkout.backend, Service.REDIS, archive)
    refused = checkout.invoke("up")
    assert refused.returncode == 4
    [command] = re.findall(r"`(mkdir [^`]*)`", refused.stderr)
    run_in_data(checkout.project, checkout.backend, Service.REDIS, f"umask 022 && {command} && chmod -R a+rwX .")
    checkout.succeed("up")
    assert checkout.redis().get("kept") == "42"


@pytest.mark.slow
def test_what_a_user_keeps_beside_the_data_stays(checkout: Checkout) -> None:
    """`down --volumes` removes nothing in the state's folder but what the stack's commands put there."""
    checkout.succeed("up")
    beside = state_directory(checkout.project) / "backup.tar"
    beside.write_bytes(b"mine")
    checkout.succeed("down", "--volumes", "--yes")
    assert beside.read_bytes() == b"mine"
    assert {found.name for found in beside.parent.iterdir()} <= {"backup.tar", "lock"}


@pytest.mark.slow
def test_a_users_process_in_the_data_folder_goes_on(tmp_path: Path) -> None:
    """A shell or a `tar` that works in a server's folder, or names it, is no server left behind and is not ended."""
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.EMBEDDED)
    checkout.succeed("up")
    data = state_directory(checkout.project) / Service.POSTGRES / "data"
    users = [
        subprocess.Popen(["sleep", "600"], cwd=data),
        subprocess.Popen(["sh", "-c", "sleep 600 & wait", str(data)], cwd=tmp_path),
    ]
    try:
        checkout.succeed("down")
        checkout.succeed("up")
        checkout.succeed("down", "--volumes", "--yes")
        assert [user.poll() for user in users] == [None, None]
    finally:
        for user in users:
            user.kill()
            user.wait()
