"""`invoke release`: a version of the ground, which `invoke update` of a product then finds."""

import tomllib

import pytest

from tests.kit.checkout import copy_parts
from tests.kit.repositories import FIRST, SECOND, Repository


def announce(ground: Repository, version: str) -> None:
    """Commit what a product has to do for a version."""
    head, _, former = ground.read(".github/CHANGELOG.md").partition("\n## ")
    ground.write(".github/CHANGELOG.md", f"{head}\n## {version}\n\nNothing to do.\n\n## {former}")
    ground.commit(f"Announce {version}")


@pytest.mark.slow
def test_a_release_is_a_commit_and_a_tag(ground: Repository) -> None:
    """The commit changes the version alone; the tag on it says what the CHANGELOG says of that version alone."""
    copy_parts(ground.path, "tests")  # the types of all that there is are checked
    announce(ground, SECOND)
    before = ground.head
    ground.succeed("release", SECOND)
    assert ground.git("diff", "--name-only", before, "HEAD") == "pyproject.toml"
    assert tomllib.loads(ground.read("pyproject.toml"))["project"]["version"] == SECOND
    assert ground.git("rev-parse", f"v{SECOND}^{{commit}}", "HEAD^").split() == [ground.head, before]
    assert (
        ground.git("for-each-ref", "--format=%(contents)", f"refs/tags/v{SECOND}") == f"## {SECOND}\n\nNothing to do."
    )
    assert ground.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_code_that_lint_refuses_is_not_released(ground: Repository) -> None:
    """Where a check fails there is neither commit nor tag."""
    announce(ground, SECOND)
    ground.write("schema/models/odd.py", "import os\n")
    ground.commit("Add what lint refuses")
    before = ground.state()
    assert ground.invoke("release", SECOND).returncode != 0
    assert {key: now for key, now in ground.state().items() if before.get(key) != now and "_cache" not in key} == {}


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("2", "three numbers"),
        ("v91.0.0", "three numbers"),
        (FIRST, "released"),
        ("1.0.0", "released"),
        (SECOND, f"## {SECOND}"),
    ],
)
def test_a_version_that_cannot_be_released_is_refused(ground: Repository, version: str, why: str) -> None:
    """Nothing is changed by what is no later version, or of which the CHANGELOG says nothing."""
    before = ground.state()
    done = ground.invoke("release", version)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert why in done.stderr
    assert ground.state() == before


def test_a_product_releases_nothing_of_the_ground(product: Repository) -> None:
    """Its version is its own affair."""
    before = product.state()
    done = product.invoke("release", SECOND)
    assert (done.returncode, "product shop" in done.stderr) == (1, True)
    assert product.state() == before
