"""The ledger of what was applied, and what is said where it and the checkout do not agree."""

import getpass
import hashlib
import os
import subprocess
import sys

import pytest
from sqlalchemy import MetaData

from schema.errors import MigrationError
from schema.migration.apply.history import content
from schema.migration.apply.status import State
from schema.migration.apply.upgrade import upgrade
from tests.ground.integration.autogenerate.type_changes import every_kind
from tests.ground.integration.autogenerate.written_changes import defaults, suffixed
from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.checkout import Checkout
from tests.kit.errors import about

pytestmark = pytest.mark.one_backend

ROWS = """
    SELECT revision, file, sha256, content, milliseconds, applied_by, applied_at <= now()
    FROM app.migration_ledger ORDER BY 1
"""


def test_a_migration_is_entered_with_its_file(scratch: Scratch) -> None:
    """The ledger tells the file's name, digest and very text, when and how long, and who ran it."""
    path = scratch.write("op.execute('SELECT 1')  # 100 % \\\\ \"it's\"")
    scratch.upgrade()
    *_, (revision, file, digest, text, took, who, past) = scratch.connection.execute(ROWS).fetchall()
    assert (revision, file, text, past) == ("9999", path.name, path.read_text(), True)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert 0 <= took < 60_000
    assert who.startswith(f"{getpass.getuser()}@")


@pytest.mark.parametrize("error", [KeyError, OSError], ids=["Python 3.12", "Python 3.13"])
def test_a_user_without_a_name_is_entered_by_number(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """In a container the user that migrates may be a number that no file of users knows."""

    def no_name() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", no_name)
    scratch.write("op.execute('SELECT 1')")
    scratch.upgrade()
    *_, (*_, who, _) = scratch.connection.execute(ROWS).fetchall()
    assert who.startswith(f"{os.getuid()}@")


def test_an_entry_comes_and_goes_with_its_migration(scratch: Scratch) -> None:
    """What fails is not entered, and what is taken back is entered no longer."""
    scratch.write("op.execute('SELECT 1 / 0')")
    with pytest.raises(MigrationError, check=about(files=("9999_by_hand.py",), sqlstate="22012")):
        scratch.upgrade()
    assert scratch.lines == {HEAD: State.APPLIED, "9999": State.PENDING}
    scratch.write("pass")
    scratch.upgrade()
    assert scratch.lines == {HEAD: State.APPLIED, "9999": State.APPLIED}
    scratch.rollback()
    assert [row[0] for row in scratch.connection.execute(ROWS).fetchall()] == [HEAD]


def test_the_ledger_is_no_difference_to_the_models(scratch: Scratch, declared: MetaData) -> None:
    """`generate` neither writes a migration for it nor drops it."""
    scratch.upgrade()
    assert scratch.generate("Nothing", declared) is None
    assert "app.migration_ledger" in scratch.names("relation")


def test_an_edited_file_is_refused(scratch: Scratch) -> None:
    """It is named with the way back, nothing pending is applied, and what was applied can be written back."""
    path = scratch.write("pass")
    scratch.upgrade()
    applied = path.read_text()
    path.write_text(f"{applied}# edited\n")
    scratch.write("op.execute('CREATE TABLE late ()')", number=99999, follows="9999")
    with pytest.raises(MigrationError, match=rf"^{path.name} is not .* `invoke history --show 9999 > migrations/ver"):
        scratch.upgrade()
    assert "late" not in scratch.names("relation")
    assert scratch.lines["9999"] is State.EDITED
    path.write_text(content(scratch.url, scratch.settings, "9999"))
    assert path.read_text() == applied
    assert scratch.upgrade().head == "99999"


def test_an_edited_file_can_be_accepted(scratch: Scratch) -> None:
    """A person may say that the change makes no difference; of a file that was not edited nobody can."""
    path = scratch.write("pass")
    scratch.upgrade()
    path.write_text(f"{path.read_text()}# edited\n")
    with pytest.raises(MigrationError, check=about(revision=str(HEAD))):
        upgrade(scratch.url, scratch.settings, checkout=scratch.checkout, accept=str(HEAD))
    upgrade(scratch.url, scratch.settings, checkout=scratch.checkout, accept="9999")
    assert scratch.lines["9999"] is State.APPLIED


def test_a_database_ahead_of_the_code_is_named(scratch: Scratch) -> None:
    """Every migration that the checkout lacks is named with its file, and its text is there to be written back."""
    paths = [scratch.write("pass"), scratch.write("pass", number=99999, follows="9999")]
    texts = [path.read_text() for path in paths]
    scratch.upgrade()
    for path in paths:
        path.unlink()
    before = scratch.at, scratch.objects
    with pytest.raises(
        MigrationError, match=r"(?s)- .* \(9999_by_hand\.py.*\n- .* \(99999_by_hand\.py.*\nIt is ahead of this checkout"
    ):
        scratch.upgrade()
    assert scratch.lines == {HEAD: State.APPLIED, "9999": State.UNKNOWN, "99999": State.UNKNOWN}
    assert (scratch.at, scratch.objects) == before
    for path, text in zip(paths, texts, strict=True):
        path.write_text(content(scratch.url, scratch.settings, path.name.partition("_")[0]))
        assert path.read_text() == text
    assert scratch.upgrade().applied == ()


def test_a_database_of_another_branch_is_named(scratch: Scratch) -> None:
    """Where checkout and database went different ways, both ways are named and neither is taken."""
    scratch.write("pass").rename(path := scratch.write("pass").with_name("9999_theirs.py"))
    scratch.upgrade()
    path.unlink()
    scratch.write("op.execute('CREATE TABLE mine ()')", number=8888)
    with pytest.raises(
        MigrationError,
        match=r"parts from this checkout.*8888_by_hand\.py",
        check=about(files=("9999_theirs.py",), revision="9999"),
    ):
        scratch.upgrade()
    assert scratch.at == ("9999",)
    assert "mine" not in scratch.names("relation")


def test_a_revision_that_nobody_knows_is_left_alone(scratch: Scratch) -> None:
    """Where not even the ledger knows the revision, the branch that has it is the way out."""
    scratch.upgrade()
    scratch.connection.execute("UPDATE app.alembic_version SET version_num = '7777'")
    before = scratch.objects
    with pytest.raises(MigrationError, match=r"revision '7777'\. .*ledger does not know it.*Check out the branch"):
        scratch.upgrade()
    assert (scratch.at, scratch.objects) == (("7777",), before)


def test_the_script_leaves_what_a_run_leaves(commands: Checkout, scratch: Scratch) -> None:
    """What `--sql` prints makes the same objects, the same version and the same entries, signs of percent and all."""
    scratch.write("op.execute(\"COMMENT ON TABLE users IS '100 % done'\")")
    script = commands.succeed("migrate", "--sql").stdout
    assert scratch.names("relation") == set()
    scratch.connection.execute(script.encode())
    assert scratch.connection.execute("SELECT obj_description('users'::regclass)").fetchone() == ("100 % done",)
    assert scratch.lines == {HEAD: State.APPLIED, "9999": State.APPLIED}
    made = scratch.objects
    scratch.rollback(2)
    scratch.upgrade()
    assert scratch.objects == made


def test_the_script_has_every_character_as_a_run_has(commands: Checkout, scratch: Scratch, declared: MetaData) -> None:
    """Backslashes, colons, quotes and signs of percent are those of the models, in SQL of every kind and in rows."""
    for declare in (defaults("words"), suffixed("files", "png"), every_kind("kinds")):
        declare(declared)
    written = scratch.generate("Add words", declared)
    assert written is not None
    table = 'sa.table("words", sa.column("id", sa.Integer), sa.column("c0", sa.Text))'
    rows = rf"""op.bulk_insert({table}, [{{"id": 1, "c0": r"\w :e % 'z'"}}])"""
    written.write_text(written.read_text().replace("\n\ndef downgrade", f"    {rows}\n\n\ndef downgrade", 1))
    script = commands.succeed("migrate", "--sql").stdout
    scratch.connection.execute(script.encode())
    question, made = "SELECT id, c0, c8 FROM words", scratch.objects
    filled = scratch.connection.execute(question).fetchall()
    assert filled == [(1, r"\w :e % 'z'", "%s %(x)s :x 100%")]
    scratch.rollback(2, allow_data_loss=True)
    scratch.upgrade()
    assert scratch.objects == made
    assert scratch.connection.execute(question).fetchall() == filled


def test_plain_alembic_writes_the_same_ledger(commands: Checkout, scratch: Scratch) -> None:
    """`alembic upgrade` enters what it applies, and `alembic downgrade` removes it; a stamp is no application."""
    scratch.write("pass")

    def alembic(*commanded: str) -> None:
        code = "; ".join(["from alembic.config import main", *(f"main({words.split()})" for words in commanded)])
        command = [sys.executable, "-c", code]
        subprocess.run(command, cwd=commands.path, env=commands._environment(), check=True, capture_output=True)

    alembic("upgrade head")
    assert scratch.lines == {HEAD: State.APPLIED, "9999": State.APPLIED}
    alembic(f"downgrade {HEAD}", "stamp 9999")
    assert scratch.lines == {HEAD: State.APPLIED, "9999": State.UNRECORDED}


def test_a_database_without_a_ledger_is_taken_as_it_is(scratch: Scratch) -> None:
    """Where something else has migrated, nothing is pending, nothing is entered by itself, and the next file is."""
    scratch.upgrade()
    scratch.connection.execute("DROP TABLE app.migration_ledger")
    assert scratch.upgrade().applied == ()
    scratch.write("op.execute('SELECT 1')")
    scratch.upgrade()
    assert scratch.connection.execute("SELECT revision FROM app.migration_ledger").fetchall() == [("9999",)]
