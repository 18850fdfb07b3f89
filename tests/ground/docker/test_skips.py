"""What a run lacks is a skip that says so, or a failure where containers are required."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.checkout import copy_project

LACKING = {
    "no engine": {"DOCKER_HOST": "unix:///nowhere/none.sock"},
    "no images": {"POSTGRES_IMAGE": "groundwork/nowhere:16"},
    "no Compose": {"PATH": "/nowhere"},
}


def run_one_test(folder: Path, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run one test that asks for an engine, in a run of its own."""
    copy_project(folder, "tests")
    (folder / "tests" / "ground" / "unit" / "test_one.py").write_text("def test_one(docker):\n    pass\n")
    kept = {key: value for key, value in os.environ.items() if key != "STACK_REQUIRE_DOCKER"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/ground/unit/test_one.py"],
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("reason", LACKING)
def test_what_is_lacking_is_said(tmp_path: Path, reason: str) -> None:
    """Without engine, images or Compose a test is skipped for that reason; where containers are required it fails."""
    skipped = run_one_test(tmp_path / "optional", LACKING[reason])
    assert (skipped.returncode, re.findall(r"\d+ (?:passed|failed|skipped|error)", skipped.stdout)) == (
        0,
        ["1 skipped"],
    )
    assert re.search(rf"^SKIPPED .*{reason}: ", skipped.stdout, re.MULTILINE)
    required = run_one_test(tmp_path / "required", LACKING[reason] | {"STACK_REQUIRE_DOCKER": "1"})
    assert required.returncode == 1
    assert f"the docker backend is asked for and not available: {reason}: " in required.stdout
