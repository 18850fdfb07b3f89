"""The tests' stack goes with the run that made it, however that run ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.settings import BackendChoice
from infra.spec import Project
from tests.fixtures.checkout import copy_project
from tests.fixtures.world import engine, things_of

pytestmark = [pytest.mark.usefixtures("docker"), pytest.mark.slow]

_A_TEST = "tests/docker/test_compose.py::test_health_checks_pass"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the project with its tests."""
    return copy_project(tmp_path / "copy", "tests")


def start_pytest(copy: Path, test: str = _A_TEST) -> "subprocess.Popen[str]":
    """Start a run of one test in the copy."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", test],
        cwd=copy,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_of(copy: Path) -> list[str]:
    """Name what exists of the copy's tests' stack."""
    return things_of(Project.of(copy, "test"), BackendChoice.DOCKER)


def wait_for(file: Path) -> None:
    """Wait until a file is there."""
    waiting = Retrying(retry=retry_if_result(lambda there: not there), stop=stop_after_delay(60), wait=wait_fixed(0.05))
    waiting(file.exists)


def volumes() -> set[str]:
    """Name all volumes of the engine."""
    with engine() as client:
        return {found["Name"] for found in client.volumes()["Volumes"] or ()}


def test_a_failed_start_is_cleaned_up(copy: Path) -> None:
    """Where a service cannot start, the run fails and leaves no container, network or volume, named or not."""
    spec = copy / "infra" / "spec.py"
    spec.write_text(spec.read_text().replace('("save", "")', '("no-such-directive", "")'))
    before = volumes()
    run = start_pytest(copy)
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 1, output
    assert left_of(copy) == []
    assert volumes() <= before


def test_a_killed_run_is_cleaned_up_by_the_next(copy: Path) -> None:
    """What a run that was killed left behind is removed by the next run, which passes."""
    (copy / "tests" / "docker" / "test_held.py").write_text(
        "import signal\n\n\ndef test_held(docker_services):\n    open('reached', 'w').close()\n    signal.pause()\n"
    )
    run = start_pytest(copy, "tests/docker/test_held.py")
    wait_for(copy / "reached")
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert left_of(copy)
    run = start_pytest(copy)
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    assert left_of(copy) == []
