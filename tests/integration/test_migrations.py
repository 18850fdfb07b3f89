"""Migrations as they are written, applied and taken back, each in an empty database and a checkout of its own."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, MetaData, Text, UniqueConstraint, false, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.settings import CHECKOUT, Role, Settings
from infra.urls import DatabaseUrl
from schema import migrate
from schema.base import Base
from schema.connect import BoundedConnection, connect
from schema.engine import owner_engine
from schema.errors import MigrationError
from schema.functions import new_id
from schema.migration_lock import migration_lock
from schema.models import metadata
from schema.revisions import Migrations
from schema.session import tenant_session
from schema.tenancy import TenantMixin
from schema.tenants import Tenant
from tests.fixtures.database import MakeEngine
from tests.fixtures.stack import RunningStack

HEAD = Migrations.load(CHECKOUT).head
MOMENT = timedelta(milliseconds=100)

# Whatever a migration can make in a database, each object with what it is made of.
OBJECTS = """
    SELECT 'relation', c.oid::regclass::text, relkind::text || relrowsecurity || relforcerowsecurity, relacl::text
    FROM pg_class c WHERE relnamespace IN ('public'::regnamespace, 'app'::regnamespace)
    UNION ALL
    SELECT 'column', attrelid::regclass || '.' || attname, attnum || format_type(atttypid, atttypmod) || attnotnull,
           pg_get_expr(adbin, adrelid)
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace IN ('public'::regnamespace, 'app'::regnamespace) AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint', conname, conrelid::regclass::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'app'::regnamespace)
    UNION ALL
    SELECT 'policy', tablename || '.' || policyname, permissive, qual FROM pg_policies
    UNION ALL
    SELECT 'function', oid::regprocedure::text, proacl::text, pg_get_functiondef(oid)
    FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'app'::regnamespace)
    ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty database, the owner's connection to it, and a checkout with the project's migrations."""

    url: DatabaseUrl
    settings: Settings
    checkout: Path
    connection: BoundedConnection

    @property
    def files(self) -> dict[str, str]:
        """The migrations, as they are written."""
        return {path.name: path.read_text() for path in (self.checkout / "migrations" / "versions").glob("*.py")}

    @property
    def objects(self) -> list[tuple[Any, ...]]:
        """Everything that is in the database."""
        return self.connection.execute(OBJECTS).fetchall()

    @property
    def at(self) -> tuple[str, ...]:
        """The revisions that the database is at."""
        return migrate.current(self.url, self.settings)

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind."""
        return {name for of, name, *_ in self.objects if of == kind}

    def upgrade(self) -> migrate.Upgraded:
        """Apply what is pending."""
        return migrate.upgrade(self.url, self.settings, checkout=self.checkout)

    def generate(self, message: str, declared: MetaData | None = None) -> Path | None:
        """Write the migration to what is declared."""
        return migrate.generate(self.url, self.settings, message, checkout=self.checkout, metadata=declared)

    def downgrade(self, to: str) -> None:
        """Take migrations back."""
        migrations = Migrations.load(self.checkout)
        with owner_engine(self.url, self.settings).connect() as connection:
            migrations.config.attributes["connection"] = connection
            command.downgrade(migrations.config, to)

    def write(self, body: str) -> None:
        """Add a migration behind the others, by hand."""
        (self.checkout / "migrations" / "versions" / "9999_by_hand.py").write_text(
            f'"""By hand."""\n\nfrom alembic import op\n\nrevision = "9999"\ndown_revision = "{HEAD}"\n\n\n'
            f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    pass\n"
        )


@pytest.fixture
def scratch(scratch_database: DatabaseUrl, stack: RunningStack, tmp_path: Path) -> Iterator[Scratch]:
    """Give an empty database and a checkout to migrate it from."""
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    with connect(scratch_database, stack.settings, autocommit=True) as connection:
        yield Scratch(scratch_database, stack.settings, tmp_path, connection)


@pytest.fixture
def declared() -> MetaData:
    """Give a copy of what the models declare, to be changed."""
    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(copy)
    return copy


def test_an_upgrade_from_empty_applies_everything_once(scratch: Scratch) -> None:
    """The first upgrade applies each migration in order and says so, the second finds nothing to do."""
    first = scratch.upgrade()
    made = scratch.objects
    assert [step.revision for step in first.applied] == [name.partition("_")[0] for name in sorted(scratch.files)]
    assert first.applied[0].title == "Create tenants, users and tenant features"
    assert (first.head, scratch.at) == (HEAD, (HEAD,))
    assert scratch.names("relation") >= set(metadata.tables)
    assert scratch.upgrade() == migrate.Upgraded((), HEAD)
    assert scratch.objects == made


def test_the_committed_migrations_make_what_the_models_declare(scratch: Scratch) -> None:
    """Where nothing changed `generate` says so and writes no file."""
    before = scratch.files
    assert scratch.generate("Nothing") is None
    assert scratch.files == before


def test_generating_leaves_no_database_behind(scratch: Scratch) -> None:
    """The shadow database goes with the command, and one that an interrupted run left goes with the next."""
    scratch.connection.execute("CREATE DATABASE groundwork_shadow_999999999")
    scratch.generate("Nothing")
    assert (
        scratch.connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'groundwork%' AND datname <> current_database()"
        ).fetchall()
        == []
    )


def test_generating_does_not_touch_the_database(scratch: Scratch, declared: MetaData) -> None:
    """What is compared is migrations and models, so an empty database serves as well and stays empty."""
    before = scratch.objects
    declared.tables["users"].append_column(Column("nickname", Text()))
    assert scratch.generate("Add nickname", declared) is not None
    assert scratch.objects == before


def test_a_changed_model_becomes_a_migration(scratch: Scratch, declared: MetaData) -> None:
    """The migration makes the declared columns, after it nothing is left to generate, and taking it back undoes it."""
    declared.tables["users"].append_column(Column("nickname", Text()))
    declared.tables["users"].append_column(Column("credit", BigInteger(), server_default="0", nullable=False))
    scratch.upgrade()
    before = scratch.objects

    path = scratch.generate("Add  nickname & credit", declared)

    assert path == scratch.checkout / "migrations" / "versions" / "0002_add_nickname_credit.py"
    assert [step.title for step in scratch.upgrade().applied] == ["Add nickname & credit"]
    assert scratch.connection.execute(
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_name = 'users' AND column_name IN ('nickname', 'credit') ORDER BY 1"
    ).fetchall() == [("credit", "bigint", "NO", "'0'::bigint"), ("nickname", "text", "YES", None)]
    assert scratch.generate("Again", declared) is None
    scratch.downgrade("-1")
    assert scratch.objects == before


def test_a_new_model_becomes_an_isolated_table(
    scratch: Scratch, declared: MetaData, stack: RunningStack, make_engine: MakeEngine
) -> None:
    """With nothing but the mixin the application can use the new table, and a tenant sees its own rows of it alone."""

    class Product(DeclarativeBase):
        metadata = declared
        type_annotation_map = Base.type_annotation_map

    class Invoice(TenantMixin, Product):
        __tablename__ = "invoices"
        __table_args__ = (
            ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"]),
            ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
            UniqueConstraint("tenant_id", "number"),
        )

        id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
        user_id: Mapped[UUID | None]
        number: Mapped[str]

    scratch.generate("Add invoices", declared)
    scratch.upgrade()
    engine = make_engine(stack.url(Role.USER).on(scratch.url.database))
    tenants = [uuid4(), uuid4()]
    for tenant in tenants:
        with tenant_session(engine, tenant) as session:
            session.add(Tenant(tenant_id=tenant, name="Acme", slug=str(tenant)))
            session.flush()
            session.add(Invoice(tenant_id=tenant, number="1"))
    for tenant in tenants:
        with tenant_session(engine, tenant) as session:
            assert session.scalars(select(Invoice.tenant_id)).all() == [tenant]


def test_a_written_migration_stands_on_its_own(scratch: Scratch, declared: MetaData) -> None:
    """It holds literals and imports no model: the models change, and it still makes the same."""
    declared.tables["users"].append_column(Column("active", BigInteger(), server_default=false()))
    path = scratch.generate('Say "active"', declared)
    assert path is not None
    written = path.read_text()
    assert written.startswith('"""Say \'active\'.\n\nRevision 0002, follows 0001.\n"""\n\nimport sqlalchemy as sa\n')
    imports = [line for line in written.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["import sqlalchemy as sa", "from alembic import op"]


def test_taking_everything_back_leaves_alembics_table_alone(scratch: Scratch) -> None:
    """The downgrades undo all that the upgrades did, and the upgrades then make the same again."""
    scratch.upgrade()
    made = scratch.objects
    scratch.downgrade("base")
    assert scratch.names("relation") == {"app.alembic_version", "app.alembic_version_pkc"}
    assert scratch.names("function") == set()
    assert scratch.at == ()
    scratch.upgrade()
    assert scratch.objects == made


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("op.execute('SELECT 1 / 0')", r"division by zero \(SQLSTATE 22012\)"),
        ("raise KeyError('tier')", "KeyError: 'tier'"),
        ("op.execute('INSERT INTO half VALUES (1), (1)')", r"duplicate key .* \(SQLSTATE 23505\)"),
    ],
    ids=["in a statement", "in Python", "at the commit"],
)
def test_a_failing_migration_leaves_nothing_of_itself(statement: str, reason: str, scratch: Scratch) -> None:
    """It is named with the reason, it is rolled back wholly, and those before it stay applied."""
    half = "op.execute('CREATE TABLE half (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)')"
    scratch.write(f"{half}\n    {statement}")
    failed = rf"^9999_by_hand\.py failed in database '{scratch.url.database}' and was rolled back: {reason}\. "
    with pytest.raises(MigrationError, match=rf"{failed}The database is at {HEAD}\."):
        scratch.upgrade()
    assert scratch.at == (HEAD,)
    assert "half" not in scratch.names("relation")
    scratch.write(half)
    assert scratch.upgrade().head == "9999"


def test_upgrades_at_once_apply_everything_once(scratch: Scratch) -> None:
    """Of several that start together one migrates, and the others find it done."""
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda _: scratch.upgrade(), range(3)))
    assert sorted(len(upgraded.applied) for upgraded in done) == [0, 0, len(scratch.files)]
    assert scratch.connection.execute("SELECT version_num FROM app.alembic_version").fetchall() == [(HEAD,)]


def test_who_holds_the_migration_lock_is_named(scratch: Scratch) -> None:
    """A process that waits in vain says for which server process; an ended one holds nothing."""
    with migration_lock(scratch.url, scratch.settings):
        waiting = migration_lock(scratch.url, scratch.settings, MOMENT)
        with pytest.raises(MigrationError, match=r"server process \d+, connected since \d{4}-"), waiting:
            pass
    with migration_lock(scratch.url, scratch.settings, MOMENT):
        pass


def test_the_migration_lock_is_a_databases_own(scratch: Scratch, stack: RunningStack) -> None:
    """Migrations of two databases of one server do not wait for each other."""
    with (
        migration_lock(scratch.url, scratch.settings),
        migration_lock(stack.url(Role.OWNER), stack.settings, MOMENT),
    ):
        pass


def test_a_database_that_is_ahead_is_left_alone(scratch: Scratch) -> None:
    """A revision that this checkout does not hold is named, with the way out."""
    scratch.upgrade()
    scratch.connection.execute("UPDATE app.alembic_version SET version_num = '7777'")
    before = scratch.objects
    with pytest.raises(MigrationError, match=r"is at revision '7777', which .* Check out the branch that has it"):
        scratch.upgrade()
    assert scratch.objects == before


def test_a_migration_gives_up_on_a_table_that_is_held(scratch: Scratch) -> None:
    """It has a lock timeout, because whatever queries the table queues behind a migration that waits."""
    scratch.upgrade()
    with owner_engine(scratch.url, scratch.settings).connect() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "5s"
    scratch.write("op.execute(\"SET LOCAL lock_timeout = '50ms'\")\n    op.drop_table('users')")
    with scratch.connection.transaction():
        scratch.connection.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match=r"^9999_by_hand\.py .* lock timeout \(SQLSTATE 55P03\)"):
            scratch.upgrade()
    assert scratch.upgrade().head == "9999"
