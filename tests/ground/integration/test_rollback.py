"""Taking migrations back, and what is refused because data would be lost."""

import pytest

from schema.errors import MigrationError
from schema.migration.apply.status import State
from tests.ground.integration.conftest import HEAD, Scratch
from tests.kit.errors import about

pytestmark = pytest.mark.one_backend

MAKE = "op.execute('CREATE TABLE notes (id int, body text)')"
DROP = "op.drop_table('notes')"


def test_the_last_migrations_are_taken_back(scratch: Scratch) -> None:
    """As many as asked for go, the newest first; more than are applied is refused."""
    scratch.upgrade()
    before = scratch.objects
    scratch.write(MAKE, DROP)
    scratch.write("pass", number=99999, follows="9999")
    scratch.upgrade()
    with pytest.raises(MigrationError, match=r"4 migrations cannot be taken back: .* has 3 applied"):
        scratch.rollback(4)
    assert [step.revision for step in scratch.rollback(2)] == ["99999", "9999"]
    assert (scratch.at, scratch.objects) == ((HEAD,), before)


@pytest.mark.parametrize(
    ("downgrade", "reason"),
    [
        (DROP, "drops table notes, which holds 1 row"),
        ("op.drop_column('notes', 'body')", "drops column notes.body, which holds values in 1 row"),
        ("op.execute('TRUNCATE notes')", "truncates notes, which holds 1 row"),
        ("op.get_bind().exec_driver_sql('DELETE FROM notes')", "deletes from notes, which holds 1 row"),
        ("op.execute('DROP SCHEMA IF EXISTS old CASCADE')", "may drop data: DROP SCHEMA"),
        ("op.rename_table('notes', 'n'); op.drop_table('n')", "drops table n, which holds 1 row"),
    ],
    ids=["table", "column", "truncate", "delete with a live connection", "what cannot be told", "under another name"],
)
def test_what_would_lose_data_is_refused(scratch: Scratch, downgrade: str, reason: str) -> None:
    """It is named, everything stays, and whoever gives the data up may have it done."""
    scratch.write(MAKE, downgrade)
    scratch.upgrade()
    scratch.connection.execute("INSERT INTO notes VALUES (1, 'x')")
    before = scratch.objects
    with pytest.raises(
        MigrationError, match=rf"it {reason}.*--allow-data-loss", check=about(files=("9999_by_hand.py",))
    ):
        scratch.rollback()
    assert (scratch.at, scratch.objects) == (("9999",), before)
    assert scratch.connection.execute("SELECT * FROM notes").fetchall() == [(1, "x")]
    scratch.rollback(allow_data_loss=True)
    assert scratch.at == (HEAD,)


def test_what_is_empty_may_go(scratch: Scratch) -> None:
    """A table whose rows are deleted and a column without values are no loss."""
    scratch.write(MAKE, f"op.drop_column('notes', 'body'); {DROP}")
    scratch.upgrade()
    scratch.connection.execute("INSERT INTO notes VALUES (1, 'x')")
    scratch.connection.execute("DELETE FROM notes")
    scratch.rollback()
    assert "notes" not in scratch.names("relation")


def test_rows_that_the_owner_cannot_see_count(scratch: Scratch) -> None:
    """Rows of tenants, which forced row level security keeps from the owner, are found; the table stays forced."""
    scratch.upgrade()
    scratch.sign_up()
    before = scratch.objects
    with pytest.raises(
        MigrationError,
        check=lambda error: (
            {
                "drops table users, which holds 1 row",
                "drops table tenants, which holds 1 row",
            }
            <= {*error.changes}
        ),
    ):
        scratch.rollback()
    assert scratch.objects == before


def test_a_refusal_comes_before_the_first_step(scratch: Scratch) -> None:
    """Where the second of two migrations would lose data, the first is not taken back either."""
    scratch.write(MAKE, DROP)
    scratch.write("pass", number=99999, follows="9999")
    scratch.upgrade()
    scratch.connection.execute("INSERT INTO notes VALUES (1, 'x')")
    with pytest.raises(
        MigrationError, check=about(files=("9999_by_hand.py",), changes=("drops table notes, which holds 1 row",))
    ):
        scratch.rollback(2)
    assert scratch.at == ("99999",)


def test_a_migration_that_joins_branches_is_taken_back_alone(scratch: Scratch) -> None:
    """The database is then at the end of each branch, and goes on back from there, a branch at a time, or up again."""
    scratch.upgrade()
    before = scratch.objects
    assert HEAD is not None
    for number, name in ((8001, "a"), (8002, "b")):
        scratch.write(f"op.execute('CREATE TABLE {name} ()')", f"op.drop_table('{name}')", number, HEAD)
    scratch.write("op.execute('CREATE TABLE c ()')", "op.drop_table('c')", 8003, ("8001", "8002"))
    scratch.upgrade()
    whole = scratch.objects

    assert [step.revision for step in scratch.rollback()] == ["8003"]
    assert sorted(scratch.at) == ["8001", "8002"]
    assert scratch.names("relation") >= {"a", "b"}
    assert "c" not in scratch.names("relation")
    scratch.upgrade()
    assert (scratch.at, scratch.objects) == (("8003",), whole)

    first, _ = scratch.rollback(2)
    assert first.revision == "8003"
    assert len(scratch.names("relation") & {"a", "b"}) == 1
    scratch.rollback()
    assert (scratch.at, scratch.objects) == ((HEAD,), before)
    assert set(scratch.lines.values()) == {State.APPLIED, State.PENDING}
    assert scratch.upgrade().head == "8003"
    assert scratch.objects == whole
