"""Whenever a command is ended, the next `up` succeeds."""

import json
import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.settings import BackendChoice, Role
from infra.spec import Service
from infra.state import lock_holder, state_directory
from tests.fixtures.checkout import Checkout, copy_project
from tests.fixtures.world import kill_servers, things_of

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


def test_two_ups_at_once_make_one_stack(checkout: Checkout) -> None:
    """Of two `up` at the same time one waits for the other, both succeed, and there is one of everything."""
    with ThreadPoolExecutor() as threads:
        for done in threads.map(lambda _: checkout.invoke("up"), range(2)):
            assert done.returncode == 0, done.stderr
    alone = things_of(checkout.project, checkout.backend)
    assert len(alone) == len(set(alone))
    assert set(checkout.status()["services"]) == set(Service)


@pytest.mark.slow
def test_two_ups_at_once_round_after_round(checkout: Checkout) -> None:
    """Five times over, from no data and from data, two `up` at once succeed and there is one of everything."""
    for number in range(5):
        test_two_ups_at_once_make_one_stack(checkout)
        assert checkout.query(Role.USER, "SELECT 1") == [(1,)]
        checkout.succeed("down", *(["--volumes", "--yes"] if number % 2 else []))


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
