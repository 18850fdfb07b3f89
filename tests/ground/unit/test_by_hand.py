"""Migrations for a person to fill."""

from pathlib import Path

import pytest

from schema.errors import MigrationError
from schema.migration.files import Migrations
from schema.migration.generate.blank import write_blank_revision
from schema.migration.generate.branches import merge
from schema.migration.generate.request import Request
from tests.ground.unit.test_heads import MAKO, names
from tests.ground.unit.test_migrate_input import checkout
from tests.kit.errors import about
from tests.kit.full_disk import limited


def test_an_empty_migration_follows_the_last_one(tmp_path: Path) -> None:
    """It is numbered and named as one that is generated, and changes nothing."""
    (tmp_path / "script.py.mako").write_text(MAKO.read_text())
    path = write_blank_revision(
        checkout(tmp_path, r_0001_a=None, r_0002_b="0001"), Request("Give everybody a nickname")
    )
    assert names(tmp_path) == ["0001_a.py", "0002_b.py", "0003_give_everybody_a_nickname.py"]
    assert [migration.revision for migration in Migrations.load(tmp_path).in_order] == ["0001", "0002", "0003"]
    assert "op." not in path.read_text()


def test_behind_which_of_two_is_not_guessed(tmp_path: Path) -> None:
    """Where the migrations have two ends nothing is written."""
    (tmp_path / "script.py.mako").write_text(MAKO.read_text())
    two = checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0001")
    with pytest.raises(MigrationError, check=about(files=("0002_b.py", "0003_c.py"))):
        write_blank_revision(two, Request("More"))
    assert names(tmp_path) == ["0001_a.py", "0002_b.py", "0003_c.py"]


@pytest.mark.parametrize(
    "request_", [Request(""), Request("a", check=True), Request("a", renames=("b:c",)), Request("a", allow_drop=True)]
)
def test_what_is_compared_is_not_asked_of_an_empty_migration(request_: Request, tmp_path: Path) -> None:
    """Neither without a title nor with what only a comparison can do is anything written."""
    (tmp_path / "script.py.mako").write_text(MAKO.read_text())
    with pytest.raises(MigrationError, match="title"):
        write_blank_revision(checkout(tmp_path, r_0001_a=None), request_)
    assert names(tmp_path) == ["0001_a.py"]


def test_a_disk_that_is_full_leaves_no_file(tmp_path: Path) -> None:
    """Neither a blank migration nor one that joins branches is left half-written, which nothing could be read beside.

    The kind: what Alembic writes is there from its first byte on, and a file without a revision ends every command.
    """
    (tmp_path / "script.py.mako").write_text(MAKO.read_text())
    one = checkout(tmp_path, r_0001_a=None)
    with limited(20), pytest.raises(MigrationError, match="Nothing was changed"):
        write_blank_revision(one, Request("More"))
    assert names(tmp_path) == ["0001_a.py"]
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "script.py.mako").write_text(MAKO.read_text())
    two = checkout(tmp_path / "two", r_0001_a=None, r_0002_b="0001", r_0003_c="0001")
    with limited(20), pytest.raises(MigrationError, match="are as they were"):
        merge(two, "")
    assert names(two) == ["0001_a.py", "0002_b.py", "0003_c.py"]


def test_a_file_that_is_no_migration_is_named(tmp_path: Path) -> None:
    """An empty file among the migrations, as a full disk leaves one, is named with what to do."""
    folder = checkout(tmp_path, r_0001_a=None)
    (tmp_path / "versions" / "0002_b.py").touch()
    with pytest.raises(MigrationError, match="or remove the file", check=about(files=("0002_b.py",))):
        Migrations.load(folder)
