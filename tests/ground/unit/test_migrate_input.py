from pathlib import Path

import pytest

from infra.config.settings import CHECKOUT, Settings
from infra.config.urls import DatabaseUrl
from schema.errors import MigrationError
from schema.migration.files import Migrations
from schema.migration.generate.command import generate
from schema.migration.generate.request import TITLE_LENGTH, Request

PYPROJECT = '[tool.alembic]\nscript_location = "%(here)s"\nversion_locations = ["%(here)s/versions"]\n'


def checkout(path: Path, **files: str | None) -> Path:
    """Make a checkout with these migrations; each text is the revision it follows."""
    (path / "versions").mkdir()
    (path / "pyproject.toml").write_text(PYPROJECT)
    for name, follows in files.items():
        revision = name.split("_")[1]
        text = f'"""{name}"""\nrevision = "{revision}"\ndown_revision = {follows!r}\n'
        (path / "versions" / f"{name.removeprefix('r_')}.py").write_text(text)
    return path


@pytest.mark.parametrize("message", ["", "  ", "!?", "x" * (TITLE_LENGTH + 1)])
def test_a_migration_needs_a_title(message: str) -> None:
    """What cannot name a file and a docstring is refused before anything connects."""
    with pytest.raises(MigrationError, match="needs a title"):
        generate(
            DatabaseUrl.parse("postgresql://a:b@localhost/c"), Settings.load(Path("/nonexistent")), Request(message)
        )


def test_the_first_number_is_0001(tmp_path: Path) -> None:
    """A checkout without migrations starts the sequence."""
    migrations = Migrations.load(checkout(tmp_path))
    assert (migrations.head, migrations.next_revision) == (None, "0001")


def test_numbers_go_on_from_the_highest(tmp_path: Path) -> None:
    """The head is the last migration, and the next number is one more."""
    migrations = Migrations.load(checkout(tmp_path, r_0001_a=None, r_0002_b="0001"))
    assert (migrations.head, migrations.next_revision) == ("0002", "0003")


def test_one_number_twice_names_both_files(tmp_path: Path) -> None:
    """Two branches that both wrote 0002 are told apart by name."""
    with pytest.raises(MigrationError, match=r"0002_b\.py and 0002_c\.py.*--rebase 0002_c\.py"):
        Migrations.load(checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0002_c="0001"))


def test_two_heads_name_both_files(tmp_path: Path) -> None:
    """The way out is named as well."""
    with pytest.raises(
        MigrationError,
        match=r"0002_b\.py and 0003_c\.py.*--rebase 0003_c\.py`, or join them: `invoke generate --merge`",
    ):
        Migrations.load(checkout(tmp_path, r_0001_a=None, r_0002_b="0001", r_0003_c="0001"))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """A migration that is no Python is the user's error, not a traceback."""
    (checkout(tmp_path) / "versions" / "0001_a.py").write_text("def x(:\n")
    with pytest.raises(MigrationError, match=r"cannot be read: SyntaxError.*0001_a\.py"):
        Migrations.load(tmp_path)


def test_outside_a_checkout_there_are_no_migrations(tmp_path: Path) -> None:
    """The message names the folder that was looked at."""
    with pytest.raises(MigrationError, match="pyproject"):
        Migrations.load(tmp_path)


def test_the_projects_own_migrations_are_in_order() -> None:
    """The committed migrations load and end in one head."""
    assert Migrations.load(CHECKOUT).head is not None
