"""A stack whose files a power cut left empty, full of zeros or cut short comes up again, or says what to do.

The kind: a file that a server or a command was writing. What is only a note of a dead server blocks nobody; data
is never removed unasked.
"""

import re
import subprocess

import pytest

from infra.backends.data_directory import LOCK_FILE
from infra.config.identity import OUR_SERVICES, Service
from infra.config.settings import BackendChoice, Role
from tests.kit.checkout import Checkout
from tests.kit.world import kill_servers, run_in_data, things_of

EMPTY, ZEROS, GARBAGE = (
    f": > {LOCK_FILE}",
    f"printf '\\0\\0\\0' > {LOCK_FILE}",
    f"printf 'x\\303\\251 -1' > {LOCK_FILE}",
)
SINGLE_USER = f"printf -- '-5\\n' > {LOCK_FILE}"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [EMPTY, ZEROS, GARBAGE, SINGLE_USER])
def test_a_lock_file_that_names_no_server_blocks_nobody(checkout: Checkout, damage: str) -> None:
    """After a crash that left PostgreSQL's lock file without a process id every command works, the rows are there."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    kill_servers(checkout.project, checkout.backend)
    run_in_data(checkout.project, checkout.backend, Service.POSTGRES, damage)
    assert checkout.status()["services"] == {}
    for command in ("plan", "doctor"):
        checkout.succeed(command)
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    if checkout.backend is BackendChoice.EMBEDDED:  # of a server that runs: it has just made the file
        run_in_data(checkout.project, checkout.backend, Service.POSTGRES, damage)
        assert set(checkout.status()["services"]) == set(OUR_SERVICES)
    checkout.succeed("down", "--volumes", "--yes")
    assert things_of(checkout.project, checkout.backend) == []


@pytest.mark.slow
def test_damaged_redis_is_given_up_alone(checkout: Checkout) -> None:
    """Zeros at the end of the append-only file end `doctor` and `up` alike; Redis's data goes, and the rows stay.

    Both name the command that gives Redis up, and that one touches nothing of PostgreSQL, which may even run.
    """
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    checkout.redis().set("kept", "42")
    kill_servers(checkout.project, checkout.backend)
    zeros = "for part in appendonlydir/*.incr.aof; do printf '\\0\\0' >> $part; done"
    run_in_data(checkout.project, checkout.backend, Service.REDIS, zeros)
    doctor, up = checkout.invoke("doctor"), checkout.invoke("up")
    assert doctor.returncode == up.returncode == 4
    for said in (doctor.stdout, up.stderr.splitlines()[-1]):
        assert "invoke down --volumes --service redis" in said
    given_up = checkout.succeed("down", "--volumes", "--yes", "--service", "redis")
    assert "all data of redis removed" in given_up.stdout
    assert not [thing for thing in things_of(checkout.project, checkout.backend) if thing.endswith("redis")]
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    assert checkout.redis().get("kept") is None
    before = checkout.status()["services"]
    checkout.succeed("down", "--service", "redis")
    assert checkout.status()["services"] == {"postgres": before["postgres"]}
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]


@pytest.mark.slow
def test_data_that_lets_nobody_in_is_named(checkout: Checkout) -> None:
    """Data without an entry for connections over TCP, as a first start that was killed leaves it, ends `up` at once.

    With the line or the command that `up` names the rows are there.
    """
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    checkout.succeed("down")
    run_in_data(checkout.project, checkout.backend, Service.POSTGRES, "echo 'local all all trust' > pg_hba.conf")
    up = checkout.invoke("up", STACK_START_TIMEOUT="3600")
    assert up.returncode == 4
    if checkout.backend is BackendChoice.DOCKER:
        [command] = re.findall(r"`([^`]+)` lets the stack in", up.stderr)
        subprocess.run(command, shell=True, check=True)  # noqa: S602 - a person pastes it into a shell
    else:
        [line] = re.findall(r"Add the line `([^`]+)`", up.stderr)
        run_in_data(checkout.project, checkout.backend, Service.POSTGRES, f"echo '{line}' >> pg_hba.conf")
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
