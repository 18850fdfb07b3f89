"""What `generate` does without a word, what it wants to be told first, and what it leaves behind."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Column, Computed, Enum, Index, MetaData, Table, Text, text

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.errors import MigrationError
from schema.migration.engine import owner_engine
from schema.migration.generate import command
from schema.migration.generate.request import Request
from schema.migration.shadow import shadow_database
from schema.migration.shadow_template import PREFIX, key
from tests.ground.integration.conftest import Scratch
from tests.kit.checkout import Checkout
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


def renamed(table: Table, old: str, new: str) -> Table:
    """Declare a table again with one column called otherwise."""
    columns = [
        Column(new if column.name == old else column.name, column.type, primary_key=column.primary_key)
        for column in table.columns
    ]
    table.metadata.remove(table)
    return Table(table.name, table.metadata, *columns)


_generated: dict[str, str] = {}


@pytest.fixture
def written(scratch: Scratch, declared: MetaData) -> Scratch:
    """Give a checkout with a table of its own behind the project's, applied and with a row; it is generated once."""
    Table("notes", declared, Column("id", Text, primary_key=True), Column("text", Text, index=True))
    if not _generated:
        path = scratch.generate("Add notes", declared)
        assert path is not None
        _generated[path.name] = path.read_text()
    for name, text_of_it in _generated.items():
        (scratch.checkout / "migrations" / "versions" / name).write_text(text_of_it)
    scratch.upgrade()
    scratch.connection.execute("INSERT INTO notes VALUES ('1', 'kept')")
    return scratch


def test_a_column_that_may_be_renamed_is_not_dropped_unasked(written: Scratch, declared: MetaData) -> None:
    """Both commands are named, nothing is written; each of them then does what it says."""
    renamed(declared.tables["notes"], "text", "body")
    files = written.files
    either = r"--rename notes\.text:body`; if not, `invoke generate -m \"Call it body\" --allow-drop`"
    with pytest.raises(MigrationError, match=either):
        written.generate("Call it body", declared)
    assert written.files == files

    assert written.generate("Call it body", declared, renames=("notes.text:body",), allow_drop=True) is not None
    written.upgrade()
    assert written.connection.execute("SELECT id, body FROM notes").fetchall() == [("1", "kept")]


def test_a_renamed_column_keeps_its_rows_and_takes_its_index_along(written: Scratch, declared: MetaData) -> None:
    """The keys that are named after it are renamed as well, nothing is left to generate, and it goes back."""
    before = written.objects
    table = renamed(declared.tables["notes"], "text", "body")
    Index(None, table.c.body)
    path = written.generate("Call it body", declared, renames=("notes.text:body",))
    assert path is not None
    assert "DROP" not in path.read_text().upper()
    written.upgrade()
    assert written.connection.execute("SELECT id, body FROM notes").fetchall() == [("1", "kept")]
    assert "ix_notes_body" in written.names("relation")
    assert written.generate("Again", declared) is None
    written.downgrade("-1")
    assert written.objects == before


def test_a_renamed_tenant_table_keeps_its_isolation_and_keys(scratch: Scratch, declared: MetaData) -> None:
    """Policies, rights and triggers stay as they are, and every key is called after the new name."""
    scratch.upgrade()
    before = scratch.objects
    table = declared.tables["users"]
    table.to_metadata(declared, name="people")
    people = declared.tables["people"]
    people.info.update(table.info)
    for constraint in people.constraints:
        constraint.name = str(constraint.name).replace("users", "people") if constraint.name else None
    declared.remove(table)
    with pytest.raises(MigrationError, check=about(changes=("rename users:people",))):
        scratch.generate("Call them people", declared)
    path = scratch.generate("Call them people", declared, renames=("users:people",))
    assert path is not None
    assert "POLICY" not in path.read_text()
    scratch.upgrade()
    assert not [name for name in scratch.names("constraint") | scratch.names("relation") if "users" in name]
    scratch.downgrade("-1")
    assert scratch.objects == before


def test_somebody_who_is_there_is_asked(written: Scratch, declared: MetaData) -> None:
    """A yes renames, a no is no leave to drop."""
    renamed(declared.tables["notes"], "text", "body")
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    with pytest.raises(
        MigrationError, match=r"column notes\.text, which the models no longer declare\..* --allow-drop"
    ):
        written.generate("Call it body", declared, ask=answer)
    path = written.generate("Call it body", declared, ask=answer)
    assert asked == ["Is notes.body the former notes.text, renamed?"] * 2
    assert path is not None
    assert 'RENAME COLUMN "text" TO "body"' in path.read_text()


@pytest.mark.parametrize("said", ["notes", ":x", "notes.:x", "notes:a.b"])
def test_a_rename_that_cannot_be_read_is_refused(said: str, written: Scratch, declared: MetaData) -> None:
    """The form is shown."""
    with pytest.raises(MigrationError, match="--rename old:new"):
        written.generate("Rename", declared, renames=(said,))


@pytest.mark.parametrize("said", ["nots:notes", "notes.txt:text", "notes.text:nothing", "users:nothing"])
def test_a_rename_that_does_not_fit_is_refused(said: str, written: Scratch, declared: MetaData) -> None:
    """The former name must be there and the new one declared."""
    with pytest.raises(MigrationError, check=about(changes=(f"rename {said}",))):
        written.generate("Rename", declared, renames=(said,))


def test_drops_are_said_first(written: Scratch, declared: MetaData) -> None:
    """Tables, columns and values of enum types go only where that is said."""
    Table("moods", declared, Column("mood", Enum("ok", "sad", name="mood"), primary_key=True))
    written.generate("Add moods", declared)
    files = written.files
    for name in ("notes", "moods", "users"):
        declared.remove(declared.tables[name]) if name != "moods" else None
    declared.remove(declared.tables["moods"])
    Table("moods", declared, Column("mood", Enum("ok", name="mood"), primary_key=True))
    declared.remove(declared.tables["tenant_features"])
    with pytest.raises(
        MigrationError, match=r"(?s)table notes.*value 'sad' of enum type mood|value 'sad'.*table notes"
    ):
        written.generate("Drop", declared)
    assert written.files == files
    assert written.generate("Drop", declared, allow_drop=True) is not None


@pytest.mark.parametrize(
    ("key", "former", "wanted"),
    [
        (["id", "text"], r"\(id\)", r"\(id, text\)"),
        (["text"], r"\(id\)", r"\(text\)"),
        ([], r"\(id\)", "none"),
    ],
)
def test_a_changed_primary_key_is_refused(
    key: list[str], former: str, wanted: str, written: Scratch, declared: MetaData
) -> None:
    """Alembic does not see it: what to write is said, nothing is written, and with that applied nothing is left."""
    declared.remove(declared.tables["notes"])
    columns = [Column(name, Text, primary_key=name in key, nullable=name == "text") for name in ("id", "text")]
    Table("notes", declared, *columns, Index(None, "text"))
    files = written.files
    with pytest.raises(
        MigrationError, match=f"^The primary key of notes changes from {former} to {wanted},"
    ) as refused:
        written.generate("Change the key", declared)
    assert written.files == files
    said = re.findall(r"op\.\w+\([^)]*\)", str(refused.value))
    at = written.at[0]
    written.write("\n    ".join(said), number=9999, follows=at)
    written.upgrade()
    rest = written.generate("The rest", declared)
    assert rest is None or "primary" not in rest.read_text()


def test_a_primary_key_does_not_go_with_its_column(written: Scratch, declared: MetaData) -> None:
    """Leave to drop a column is none to leave its table without a key."""
    declared.remove(declared.tables["notes"])
    Table("notes", declared, Column("text", Text, index=True))
    with pytest.raises(MigrationError, check=about(tables=("notes",))):
        written.generate("Drop it", declared, allow_drop=True)


def test_check_writes_nothing_and_says_what_is_pending(written: Scratch, declared: MetaData) -> None:
    """With nothing pending it is content."""
    files = written.files
    assert written.generate("", declared, check=True) is None
    declared.tables["notes"].append_column(Column("more", Text))
    with pytest.raises(MigrationError, match=r"do not make: AddColumn notes\.more\..*invoke generate -m"):
        written.generate("", declared, check=True)
    assert written.files == files


def test_check_names_every_object_that_is_pending(written: Scratch, declared: MetaData) -> None:
    """Columns, constraints and indexes, each with its table."""
    notes = declared.tables["notes"]
    notes.append_column(Column("more", Text, unique=True))
    Index("ix_more", notes.c.more)
    notes.c.text.nullable = not notes.c.text.nullable
    with pytest.raises(MigrationError) as pending:
        written.generate("", declared, check=True)
    for part in (
        "AddColumn notes.more",
        "AlterColumn notes.text",
        "CreateIndex ix_more on notes",
        "uq_notes_more on notes",
    ):
        assert part in str(pending.value)
    Table("other", declared, Column("id", Text, primary_key=True))
    with pytest.raises(MigrationError, check=lambda error: "CreateTable other" in error.changes):
        written.generate("", declared, check=True)


def test_the_same_models_give_the_same_bytes(written: Scratch, declared: MetaData) -> None:
    """Written twice from the same state, a file is the same to the byte, whatever the order of Python's sets."""
    notes = declared.tables["notes"]
    for number in range(5):
        notes.append_column(Column(f"c{number}", Enum("a", "b", name=f"e{number}"), server_default="a", index=True))
    notes.append_column(Column("twice", Text, Computed("text || text", persisted=True)))
    Index("ix_part", notes.c.text, postgresql_where=text("c1 = 'a'"))
    for number in range(5):
        Table(f"t{number}", declared, Column("id", Text, primary_key=True))
    once = written.generate("Many", declared)
    assert once is not None
    first = once.read_bytes()
    shutil.move(once, once.with_suffix(".kept"))
    again = written.generate("Many", declared)
    assert again == once
    assert again.read_bytes() == first


# Many of each kind, so that an order that is left to chance shows.
MANY = """
from sqlalchemy import CheckConstraint, Column, Computed, Enum, Index, Integer, Sequence, Table, Text, text
from schema import Base, TenantMixin, tenant_foreign_key, tenant_unique
from schema.models.users import User

class Thing(TenantMixin, Base):
    __tablename__ = "things"
    __table_args__ = (
        tenant_foreign_key("user_id", "users.id"),
        *(tenant_unique(f"c{number}") for number in range(4)),
        *(CheckConstraint(f"c{number} <> 'x'", name=f"k{number}") for number in range(4)),
        *(Index(f"ix_odd_{number}", text(f"lower(c{number})")) for number in range(4)),
    )
    id = Column(Integer, primary_key=True)
    user_id = Column(User.__table__.c.id.type)
    for number in range(4):
        vars()[f"c{number}"] = Column(Text)
        vars()[f"e{number}"] = Column(Enum("a", "b", name=f"e{number}"), index=True)

for number in range(4):
    Table(f"t{number}", Base.metadata, Column("id", Integer, primary_key=True), Column("d", Text, unique=True))
    Sequence(f"s{number}", metadata=Base.metadata)
    users = Base.metadata.tables["users"]
    users.append_column(Column(f"n{number}", Integer, comment="n"))
    users.append_column(Column(f"g{number}", Integer, Computed(f"n{number} + 1", persisted=True)))
"""


def written_by_all(commands: Checkout, message: str) -> set[bytes]:
    """Return what processes whose sets are in other orders write; the last of their files stays."""
    written = set()
    for seed in "123":
        for path in commands.path.glob(f"migrations/versions/*_{message}.py"):
            path.unlink()
        done = commands.succeed("generate", f"--message={message}", "--allow-drop", PYTHONHASHSEED=seed)
        written.add((commands.path / done.stdout.splitlines()[0]).read_bytes())
    return written


@pytest.mark.slow
def test_the_same_models_give_the_same_bytes_in_any_process(commands: Checkout) -> None:
    """Where many things come and where they go again, every process writes one and the same file."""
    many = commands.path / "schema" / "models" / "many.py"
    many.write_text(MANY)
    assert len(written_by_all(commands, "many")) == 1
    many.unlink()
    assert len(written_by_all(commands, "few")) == 1


def test_a_template_is_made_once_and_stale_ones_go(scratch: Scratch, declared: MetaData) -> None:
    """The second run clones what the first has migrated; other migrations make another template."""
    named = f"SELECT datname FROM pg_database WHERE starts_with(datname, '{PREFIX}')"
    versions = scratch.checkout / "migrations" / "versions"
    scratch.generate("Nothing", declared)
    template = f"{PREFIX}{key(scratch.checkout, versions)}"
    found = scratch.connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [template]).fetchall()
    assert len(found) == 1
    scratch.generate("Nothing", declared)
    assert scratch.connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [template]).fetchall() == found
    scratch.write("op.execute('SELECT 1')")
    scratch.generate("Nothing", declared)
    other = f"{PREFIX}{key(scratch.checkout, versions)}"
    assert scratch.connection.execute(named.encode()).fetchall() == [(other,)]


def test_a_clone_has_the_rights_that_cloning_loses(scratch: Scratch, stack: RunningStack) -> None:
    """Nobody but the product's roles connects to it, as to the database itself."""
    owner = stack.url(Role.OWNER)
    command.generate(owner, stack.settings, Request("Nothing"))
    named = f"SELECT datname FROM pg_database WHERE starts_with(datname, '{PREFIX}')"
    [(template,)] = scratch.connection.execute(named.encode()).fetchall()
    question = "SELECT has_database_privilege('app_user', oid, 'CONNECT'), datacl::text FROM pg_database WHERE datname"
    with (
        shadow_database(owner, stack.settings, template) as clone,
        owner_engine(clone, stack.settings).connect() as connection,
    ):
        connects, rights = connection.exec_driver_sql(f"{question} = current_database()").one()
    assert connects
    assert "{=" not in rights


def test_without_a_server_an_ephemeral_one_serves(scratch: Scratch, declared: MetaData) -> None:
    """It is asked for where there is none, or where the owner may not make databases, and left afterwards."""
    used: list[str] = []

    @contextmanager
    def ephemeral() -> Iterator[DatabaseUrl]:
        used.append("begun")
        yield scratch.url
        used.append("over")

    declared.tables["users"].append_column(Column("nickname", Text))
    path = command.generate(
        None, scratch.settings, Request("Add"), checkout=scratch.checkout, metadata=declared, ephemeral=ephemeral
    )
    assert path is not None
    assert used == ["begun", "over"]
