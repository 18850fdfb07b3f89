"""The tests' stack goes with the run that made it, also where it cannot start."""

import subprocess
import sys
from pathlib import Path

import pytest

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


def volumes() -> set[str]:
    """Name all volumes of the engine."""
    with engine() as client:
        return {found["Name"] for found in client.volumes()["Volumes"] or ()}


def test_a_failed_start_is_cleaned_up(copy: Path) -> None:
    """Where a service cannot start, the run fails and leaves no container, network or volume, named or not."""
    spec = copy / "infra" / "spec.py"
    spec.write_text(spec.read_text().replace('("save", "")', '("no-such-directive", "")'))
    before = volumes()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", _A_TEST],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert things_of(Project.of(copy, "test"), BackendChoice.DOCKER) == []
    assert volumes() <= before
