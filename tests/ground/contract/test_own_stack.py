"""A run of the tests that is killed leaves nothing that the next does not remove, and the developer's stack alone."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.backends.embedded.backend import EmbeddedBackend
from infra.config.identity import Project, state_directory
from infra.config.settings import BackendChoice, Role
from infra.stack.lifecycle import make_backend
from tests.kit.checkout import Checkout, copy_parts
from tests.kit.world import things_of

_TEST = """import os
import signal


def test_held(stack, make_checkout):
    if os.environ.get("HOLD"):
        made = make_checkout()
        made.succeed("up")
        open("made", "w").write(made.project.id)
        open("reached", "w").close()
        signal.pause()
"""


def start_pytest(checkout: Checkout, **environ: str) -> "subprocess.Popen[str]":
    """Start a run of one test, which holds the tests' stack, in the checkout."""
    words = ["-p", "no:cacheprovider", "--backend", checkout.backend, "tests/ground/contract/test_held.py"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *words],
        cwd=checkout.path,
        env=checkout._environment() | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_of(checkout: Checkout) -> list[str]:
    """Name what exists of the checkout's tests' stack."""
    tests_own = Project.of(checkout.path, "test")
    if checkout.backend is BackendChoice.DOCKER:
        return things_of(tests_own, checkout.backend)
    folder = EmbeddedBackend(tests_own, durable=False).folder
    working = [
        f"process {p.info['pid']}" for p in psutil.process_iter(["pid", "cwd"]) if str(folder) in (p.info["cwd"] or "")
    ]
    return working + ([str(folder)] if folder.exists() else [])


@pytest.fixture
def with_tests(checkout: Checkout) -> Iterator[Checkout]:
    """Give a checkout with the project's tests and one more; their stack goes with it, whoever should have ended it."""
    copy_parts(checkout.path, "tests")
    (checkout.path / "tests" / "ground" / "contract" / "test_held.py").write_text(_TEST)
    yield checkout
    make_backend(checkout.backend, Project.of(checkout.path, "test"), durable=False).down(volumes=True)


@pytest.mark.slow
def test_a_killed_run_is_cleaned_up_by_the_next(with_tests: Checkout) -> None:
    """What a killed run left is removed by the next, which passes; the developer's stack stays as it is."""
    checkout = with_tests
    checkout.succeed("up")
    checkout.query(Role.OWNER, "CREATE TABLE sentinel AS SELECT 42 AS value")
    before = checkout.status()
    run = start_pytest(checkout, HOLD="1")
    reached: Path = checkout.path / "reached"
    Retrying(retry=retry_if_result(lambda there: not there), stop=stop_after_delay(60), wait=wait_fixed(0.05))(
        lambda: reached.exists() or run.poll() is not None
    )
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert left_of(checkout)
    [noted] = re.findall(r"shop-[0-9a-f]{8}", (checkout.path / "made").read_text())
    assert things_of(Project(noted, ""), checkout.backend)
    run = start_pytest(checkout)
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    assert left_of(checkout) == []
    assert things_of(Project(noted, ""), checkout.backend) == []
    assert not state_directory(Project(noted, "")).exists()
    assert checkout.status() == before
    assert checkout.query(Role.OWNER, "SELECT value FROM sentinel") == [(42,)]
