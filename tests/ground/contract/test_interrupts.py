"""Whenever a command is ended, the next `up` succeeds."""

import json
import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.config.endpoints import admin_url
from infra.config.identity import OUR_SERVICES, state_directory
from infra.config.settings import BackendChoice, Role
from infra.stack.locks import lock_holder
from tests.kit.checkout import Checkout, copy_project
from tests.kit.world import kill_servers, signal_within_postgres, things_of

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


def end_after(process: "subprocess.Popen[str]", how: signal.Signals, seconds: float) -> tuple[int, str]:
    """End a command by a signal after some time, unless it has ended by then; return its code and what it said."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def begun(checkout: Checkout, process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    """Wait until a command holds the stack's lock: before that, Python and Invoke are only being loaded."""
    Retrying(retry=retry_if_result(lambda late: late), stop=stop_after_delay(30), wait=wait_fixed(0.01))(
        lambda: process.poll() is None and lock_holder(checkout.project) is None
    )
    return process


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS, ids=lambda how: how.name)
def test_up_succeeds_after_an_up_that_was_ended(checkout: Checkout, how: signal.Signals) -> None:
    """Whenever a first `up` is ended, its code says by what, it leaves nothing or all, and the next `up` serves."""
    for seconds in (0.01, 0.4, 0.8, 1.3, 1.9):
        code, said = end_after(begun(checkout, checkout.start("up")), how, seconds)
        assert code in {0, -how, 128 + how}
        assert "Traceback" not in said
        if how is not signal.SIGKILL and code != 0 and things_of(checkout.project, checkout.backend):
            # It came when all was done but for saying so: then the stack is whole, and proven.
            assert json.loads(checkout.succeed("plan", "--json").stdout)["operations"] == []
    checkout.succeed("up")
    assert checkout.query(Role.USER, "SELECT 1") == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS, ids=lambda how: how.name)
def test_up_succeeds_after_a_down_that_was_ended(checkout: Checkout, how: signal.Signals) -> None:
    """Whenever a `down` is ended, the next `up` serves the data of before."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    for seconds in (0.25, 0.45):
        end_after(checkout.start("down"), how, seconds)
        checkout.succeed("up")
        assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]


@pytest.mark.slow
def test_up_waits_for_servers_that_an_interrupted_down_told_to_end(checkout: Checkout) -> None:
    """A server that still answers but was told to end is not taken for one that serves: `up` starts it again."""
    checkout.succeed("up")
    with psycopg.connect(admin_url(checkout.settings, checkout.ports).libpq()) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
    assert found is not None
    [checkpointer] = found
    # A shutdown ends with a checkpoint, so this one lasts for as long as the test likes.
    signal_within_postgres(checkout.project, checkout.backend, checkpointer, signal.SIGSTOP)
    down = checkout.start("down")
    Retrying(retry=retry_if_result(lambda told: not told), stop=stop_after_delay(30), wait=wait_fixed(0.01))(
        lambda: is_shutting_down(checkout)
    )
    end_after(down, signal.SIGKILL, 0)
    planned = json.loads(checkout.succeed("plan", "--json").stdout)["operations"]
    up = checkout.start("up")
    assert up.stderr is not None
    said = up.stderr.readline()
    signal_within_postgres(checkout.project, checkout.backend, checkpointer, signal.SIGCONT)
    _, more = up.communicate(timeout=60)
    assert up.returncode == 0, said + more
    assert checkout.query(Role.USER, "SELECT 1") == [(1,)]
    assert planned[0]["cause"] == "a command that stops it was interrupted"
    assert json.loads(checkout.succeed("plan", "--json").stdout)["operations"] == []


def is_shutting_down(checkout: Checkout) -> bool:
    """Return whether PostgreSQL was told to end."""
    try:
        checkout.query(Role.USER, "SELECT 1")
    except psycopg.OperationalError as refused:
        return "shutting down" in str(refused)
    return False


@pytest.mark.quick_on_one
def test_two_ups_at_once_make_one_stack(checkout: Checkout) -> None:
    """Of two `up` at the same time one waits for the other, both succeed, and there is one of everything."""
    with ThreadPoolExecutor() as threads:
        for done in threads.map(lambda _: checkout.invoke("up"), range(2)):
            assert done.returncode == 0, done.stderr
    alone = things_of(checkout.project, checkout.backend)
    assert len(alone) == len(set(alone))
    assert set(checkout.status()["services"]) == set(OUR_SERVICES)


@pytest.mark.slow
def test_two_ups_at_once_round_after_round(checkout: Checkout) -> None:
    """Five times over, from no data and from data, two `up` at once succeed and there is one of everything."""
    for number in range(5):
        test_two_ups_at_once_make_one_stack(checkout)
        assert checkout.query(Role.USER, "SELECT 1") == [(1,)]
        checkout.succeed("down", *(["--volumes", "--yes"] if number % 2 else []))


@pytest.mark.slow
def test_a_killed_server_is_started_again(checkout: Checkout) -> None:
    """Servers that were killed by hand are started by the next `up`; committed rows and keys are there."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE kept AS SELECT 42 AS value")
    client = checkout.redis()
    client.mset({f"key-{number}": number for number in range(20_000)})
    # Written is what the append-only file holds; it is synced every second.
    Retrying(retry=retry_if_result(lambda late: late), stop=stop_after_delay(10), wait=wait_fixed(0.1))(
        lambda: client.info("persistence")["aof_pending_bio_fsync"] or client.info("persistence")["aof_buffer_length"]
    )
    kill_servers(checkout.project, checkout.backend)
    checkout.succeed("up")
    assert checkout.query(Role.OWNER, "SELECT value FROM kept") == [(42,)]
    assert checkout.redis().dbsize() == 20_000


@pytest.mark.slow
def test_down_ends_a_server_that_nobody_noted(tmp_path: Path) -> None:
    """A process that a killed `up` had started and not noted yet goes with `down`, and not only its folder."""
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.EMBEDDED)
    checkout.succeed("up")
    for notes in state_directory(checkout.project).glob("*/*.json"):
        notes.unlink()
    checkout.succeed("down", "--volumes", "--yes")
    assert things_of(checkout.project, checkout.backend) == []


@pytest.mark.slow
def test_rounds_of_killed_ups_lose_nothing(checkout: Checkout) -> None:
    """Over rounds of `up` ended at a random moment, then `up` again, no committed row is lost: fifty in all."""
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE counted (round int PRIMARY KEY)")
    chance = random.Random()
    # A round on an engine takes three times as long.
    for number in range(15 if checkout.backend is BackendChoice.DOCKER else 35):
        if number % 3 == 0:
            checkout.succeed("down")
        end_after(checkout.start("up"), chance.choice(SIGNALS), chance.uniform(0.1, 2.0))
        if number % 5 == 0:
            kill_servers(checkout.project, checkout.backend)
        checkout.succeed("up")
        checkout.query(Role.OWNER, f"INSERT INTO counted VALUES ({number})")
        assert checkout.query(Role.OWNER, "SELECT count(*) FROM counted") == [(number + 1,)]
