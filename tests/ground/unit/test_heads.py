from pathlib import Path

import pytest

from schema.errors import MigrationError
from schema.migration.files import Migrations
from schema.migration.generate.branches import merge, rebase
from tests.ground.unit.test_migrate_input import checkout
from tests.kit.errors import about

MAKO = Path(__file__).parents[3] / "migrations" / "script.py.mako"


def names(folder: Path) -> list[str]:
    """Return the names of the migrations, in order."""
    return sorted(path.name for path in (folder / "versions").glob("*.py"))


def test_two_heads_are_merged(tmp_path: Path) -> None:
    """The migration follows both, changes nothing, and is formatted as one that is generated."""
    (tmp_path / "script.py.mako").write_text(MAKO.read_text())
    *_, path = merge(checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0001"), "")
    assert Migrations.load(tmp_path).head == "0004"
    assert '("0002", "0003")' in path.read_text()


def test_one_head_is_not_merged(tmp_path: Path) -> None:
    """There is nothing to do."""
    with pytest.raises(MigrationError, match="nothing to merge"):
        merge(checkout(tmp_path, r_0001_a=None), "")


def test_a_branch_goes_behind_the_other(tmp_path: Path) -> None:
    """With all that follows it, under the next numbers."""
    rebase(checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0002", r_0004_d="0001"), "0002_b.py")
    assert names(tmp_path) == ["0001_a.py", "0004_d.py", "0005_b.py", "0006_c.py"]
    migrations = Migrations.load(tmp_path)
    assert [walk_revision.revision for walk_revision in migrations.scripts.walk_revisions()] == [
        "0006",
        "0005",
        "0004",
        "0001",
    ]


def test_one_of_two_with_a_number_goes_behind_the_other(tmp_path: Path) -> None:
    """Two branches that both wrote 0002 are put in order."""
    rebase(checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0002_c="0001"), "0002_c")
    assert names(tmp_path) == ["0001_a.py", "0002_b.py", "0003_c.py"]
    assert Migrations.load(tmp_path).head == "0003"


def test_followers_of_a_number_that_two_have_are_nobodys(tmp_path: Path) -> None:
    """It is not guessed which of the two they follow."""
    with pytest.raises(MigrationError, check=about(files=("0003_d.py", "0002_b.py", "0002_c.py"), revision="0002")):
        rebase(checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0002_c="0001", r_0003_d="0002"), "0002_c")


@pytest.mark.parametrize(("name", "reason"), [("0009_x", "holds no file"), ("0002_b", "cannot be put after")])
def test_what_cannot_be_moved_stays(name: str, reason: str, tmp_path: Path) -> None:
    """A file that is not there, and one that is behind the others already."""
    with pytest.raises(MigrationError, match=reason):
        rebase(checkout(tmp_path, r_0001_a=None, r_0002_b="0001"), name)
    assert names(tmp_path) == ["0001_a.py", "0002_b.py"]
