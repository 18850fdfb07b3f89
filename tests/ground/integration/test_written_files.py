"""What `generate` writes can be run where it stands: it has been, and a file that fails is not left behind."""

from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.types import TypeDecorator, UserDefinedType

from schema.errors import MigrationError
from schema.migration.generate import writer
from tests.ground.integration.conftest import Scratch
from tests.kit.errors import about
from tests.kit.full_disk import limited

pytestmark = pytest.mark.one_backend


class Cents(TypeDecorator[int]):
    """An amount of money."""

    impl = BigInteger
    cache_ok = True


class Point(UserDefinedType[Any]):
    """A type that SQLAlchemy has no class for."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return what PostgreSQL calls it."""
        return "point"


def test_types_of_the_products_own_need_no_import(scratch: Scratch, declared: MetaData) -> None:
    """The file says what PostgreSQL has, so that every later command reads it though the class is gone or moved."""
    columns = (Column("price", Cents), Column("place", Point), Column("twice", Integer, Computed("id * 2")))
    Table("offers", declared, Column("id", Integer, primary_key=True), *columns)
    path = scratch.generate("Add offers", declared)
    assert path is not None
    assert "tests." not in path.read_text()
    scratch.upgrade()
    made = scratch.connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'offers' ORDER BY 1"
    )
    assert made.fetchall() == [("id", "integer"), ("place", "point"), ("price", "bigint"), ("twice", "integer")]
    assert scratch.generate("Again", declared) is None
    scratch.downgrade("-1")


@pytest.mark.parametrize(
    ("step", "error"), [("rehearse", KeyboardInterrupt()), ("plain_literals", OSError(28, "No space left on device"))]
)
def test_what_does_not_come_to_its_end_is_not_written(
    step: str, error: BaseException, scratch: Scratch, declared: MetaData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or Ctrl-C leaves no file that was not tried to its end, at whichever step after it was written."""
    scratch.upgrade()
    files = scratch.files

    def fail(*_: object) -> None:
        assert scratch.files != files, "there is nothing to remove"
        raise error

    monkeypatch.setattr(writer, step, fail)
    Table("sums", declared, Column("id", Integer, primary_key=True))
    with pytest.raises((MigrationError, KeyboardInterrupt)):
        scratch.generate("Add sums", declared)
    assert scratch.files == files


def test_a_disk_that_is_full_leaves_no_migration(scratch: Scratch, declared: MetaData) -> None:
    """Where Alembic can write half of the file, it is removed, and the migrations can be read."""
    scratch.upgrade()
    files = scratch.files
    Table("sums", declared, Column("id", Integer, primary_key=True))
    with limited(100), pytest.raises(MigrationError, match="Nothing was written"):
        scratch.generate("Add sums", declared)
    assert scratch.files == files
    assert scratch.generate("Add sums", declared) is not None


@pytest.mark.parametrize(
    ("broken", "sqlstates"),
    [
        (lambda: (Column("user_id", Integer, ForeignKey("users.email")),), ("42804", "42830")),
        (lambda: (Column("n", Integer, server_default=text("nowhere()")),), ("42883",)),
        (lambda: (Column("n", Integer), CheckConstraint("n > (SELECT 1)", name="c")), ("0A000",)),
        (
            lambda: (Column("n", Integer), ExcludeConstraint(("n", "&&"))),
            (None,),
        ),
    ],
    ids=["foreign key to no key", "default of no function", "CHECK with a query", "exclusion without a name"],
)
def test_what_cannot_be_run_is_not_written(
    broken: Any, sqlstates: tuple[str | None, ...], scratch: Scratch, declared: MetaData
) -> None:
    """The server's reason is said when the file would be written, and neither a file nor a database is left."""
    scratch.upgrade()
    files, objects = scratch.files, scratch.objects
    Table("broken", declared, Column("id", Integer, primary_key=True), *broken())
    with pytest.raises(MigrationError, check=lambda error: error.sqlstate in sqlstates) as refused:
        scratch.generate("Break it", declared)
    assert "\n" not in str(refused.value)
    assert (scratch.files, scratch.objects) == (files, objects)
    assert not list((scratch.checkout / "migrations" / "versions").rglob("*break_it*"))


def test_renames_are_in_the_file_that_is_tried(scratch: Scratch, declared: MetaData) -> None:
    """What was renamed before the comparison is renamed again by the file, there and back."""
    declared.tables["users"].append_column(Column("nickname", Text))
    scratch.generate("Add nickname", declared)
    users = declared.tables["users"]
    users._columns.remove(users.c.nickname)
    users.append_column(Column("alias", Text))
    assert scratch.generate("Call it alias", declared, renames=("users.nickname:alias",)) is not None
    scratch.upgrade()
    assert scratch.generate("Again", declared) is None
    scratch.downgrade("-1")


def test_an_enum_type_that_is_called_otherwise_is_renamed(scratch: Scratch, declared: MetaData) -> None:
    """The type keeps its rows, its defaults and what names it, without a word, and gets its name back."""
    kept = "SELECT id, m::text, pg_typeof(m)::text FROM days"

    def declare(name: str) -> None:
        if "days" in declared.tables:
            declared.remove(declared.tables["days"])
        mood: Column[Any] = Column("m", Enum("ok", "sad", name=name), server_default="ok")
        Table("days", declared, Column("id", Integer, primary_key=True), mood, CheckConstraint("m <> 'sad'", name="c"))

    declare("mood")
    scratch.generate("Add days", declared)
    scratch.upgrade()
    scratch.connection.execute("INSERT INTO days DEFAULT VALUES")
    before = scratch.objects
    declare("feeling")
    with pytest.raises(MigrationError, check=about(changes=('ALTER TYPE "mood" RENAME TO "feeling"',))):
        scratch.generate("", declared, check=True)
    assert scratch.generate("Call it feeling", declared) is not None
    scratch.upgrade()
    assert scratch.connection.execute(kept).fetchall() == [(1, "ok", "feeling")]
    assert scratch.generate("Again", declared) is None
    scratch.downgrade("-1")
    assert scratch.objects == before


def test_a_column_that_becomes_generated_is_said_to_be_lost(scratch: Scratch, declared: MetaData) -> None:
    """It is still declared, and what it holds goes only where that is said."""
    Table("sums", declared, Column("id", Integer, primary_key=True), Column("twice", Integer))
    scratch.generate("Add sums", declared)
    declared.remove(declared.tables["sums"])
    Table("sums", declared, Column("id", Integer, primary_key=True), Column("twice", Integer, Computed("id * 2")))
    with pytest.raises(MigrationError, match=r"what is in sums\.twice, since a generated column holds nothing else"):
        scratch.generate("Compute it", declared)
    assert scratch.generate("Compute it", declared, allow_drop=True) is not None


def test_checks_that_alembic_has_no_word_for_stay_sql(scratch: Scratch, declared: MetaData) -> None:
    """One that is not inherited comes back so; one that is not valid yet is no change, and nothing warns of either."""
    add = "ALTER TABLE users ADD CONSTRAINT ck_users_{} CHECK (length(email) > {}) NO INHERIT"
    statements = (add.format("a", 1), add.format("b", 2).replace("NO INHERIT", "NOT VALID"))
    scratch.write("; ".join(f'op.execute("{statement}")' for statement in statements), "raise NotImplementedError")
    users = declared.tables["users"]
    for name, length in (("a", 1), ("b", 2)):
        users.append_constraint(CheckConstraint(f"length(email) > {length}", name=name))
    path = scratch.generate("Inherit it", declared)
    assert path is not None
    text_of_it = path.read_text()
    assert "NO INHERIT" in text_of_it
    assert "ck_users_b" not in text_of_it
    scratch.upgrade()
    assert scratch.generate("Again", declared) is None
    scratch.downgrade("-1")
    definition = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_users_a'"
    assert scratch.connection.execute(definition).fetchone() == ("CHECK ((length(email) > 1)) NO INHERIT",)


def test_what_a_reviewer_reads_has_no_doubled_escapes(scratch: Scratch, declared: MetaData) -> None:
    """A pattern stands in the file as the database has it, in a new table and in a change of it."""
    pattern = r"number ~ '^\d+[\\.]\w\Z'"
    table = Table("bills", declared, Column("id", Integer, primary_key=True), Column("number", Text))
    table.append_constraint(CheckConstraint(text(pattern), name="number"))
    path = scratch.generate("Add bills", declared)
    assert path is not None
    assert r"'^\d+[\\.]\w\Z'" in path.read_text()
    scratch.upgrade()
    condition = (
        "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid = 'bills'::regclass AND contype = 'c'"
    )
    assert scratch.connection.execute(condition).fetchall() == [(rf"({pattern}::text)",)]
    assert scratch.generate("Again", declared) is None
    scratch.downgrade("-1")
