"""The tests' stack goes with the run that made it, also where it cannot start."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.config.identity import Project
from infra.config.settings import BackendChoice
from infra.declaration.spec import PROJECT_LABEL
from tests.kit.checkout import copy_project
from tests.kit.world import engine, things_of

pytestmark = [pytest.mark.usefixtures("docker"), pytest.mark.slow]

_A_TEST = "tests/ground/docker/test_compose.py::test_health_checks_pass"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the project with its tests."""
    return copy_project(tmp_path / "copy", "tests")


def volumes_left(project: Project, since: datetime) -> set[str]:
    """Name the volumes on the engine, named or not, that containers of a project mounted since then."""
    with engine() as client:
        happened = list(client.events(since=since, until=datetime.now(UTC), decode=True))
        containers = {
            event["Actor"]["ID"]
            for event in happened
            if event["Type"] == "container" and event["Actor"]["Attributes"].get(PROJECT_LABEL) == project.id
        }
        mounted = {
            event["Actor"]["ID"]
            for event in happened
            if event["Type"] == "volume" and event["Actor"]["Attributes"].get("container") in containers
        }
        return mounted & {found["Name"] for found in client.volumes()["Volumes"] or ()}


def test_a_failed_start_is_cleaned_up(copy: Path) -> None:
    """Where a service cannot start, the run fails and leaves no container, network or volume, named or not."""
    spec = copy / "infra" / "declaration" / "spec.py"
    spec.write_text(spec.read_text().replace('("save", "")', '("no-such-directive", "")'))
    begun = datetime.now(UTC)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", _A_TEST],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    project = Project.of(copy, "test")
    assert things_of(project, BackendChoice.DOCKER) == []
    assert volumes_left(project, begun) == set()
