"""Migrations as they are written from the models, in a checkout of its own."""

from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString
from uuid import UUID, uuid4

from psycopg.sql import SQL, Identifier
from sqlalchemy import BigInteger, Boolean, Column, Identity, MetaData, Text, false, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.config.settings import Role
from schema.client.connection import connect
from schema.client.session import tenant_session
from schema.models.tenants import Tenant
from schema.tenancy.base import Base
from schema.tenancy.functions import new_id
from schema.tenancy.keys import tenant_foreign_key, tenant_unique
from schema.tenancy.mixin import TenantMixin
from tests.ground.integration.conftest import Scratch
from tests.kit.database import MakeEngine
from tests.kit.stack import RunningStack


def test_the_committed_migrations_make_what_the_models_declare(scratch: Scratch) -> None:
    """Where nothing changed `generate` says so and writes no file."""
    before = scratch.files
    assert scratch.generate("Nothing") is None
    assert scratch.files == before


def test_generating_leaves_nothing_behind_but_the_file(scratch: Scratch, declared: MetaData) -> None:
    """The database stays as empty as it is, and no shadow database remains, not even one of an interrupted run."""
    before = scratch.objects
    # The template of the migrations is kept for the next time, and another test's may have taken its place.
    question: LiteralString = "SELECT datname FROM pg_database WHERE datname !~ '^groundwork_template_' ORDER BY 1"
    databases = scratch.connection.execute(question).fetchall()
    scratch.connection.execute("CREATE DATABASE groundwork_shadow_app_999999999")
    declared.tables["users"].append_column(Column("nickname", Text()))
    assert scratch.generate("Add nickname", declared) is not None
    assert scratch.objects == before
    assert scratch.connection.execute(question).fetchall() == databases


def test_a_shadow_database_that_somebody_looks_into_goes_when_he_leaves(scratch: Scratch, stack: RunningStack) -> None:
    """The owner may not end a superuser's session, which is no reason for `generate` to fail."""
    left_over = "groundwork_shadow_app_999999999"
    scratch.connection.execute(SQL("CREATE DATABASE {}").format(Identifier(left_over)))
    waiting = f"SELECT count(*) FROM pg_stat_activity WHERE query = 'DROP DATABASE IF EXISTS \"{left_over}\"'"
    with ThreadPoolExecutor(1) as threads, connect(stack.admin.on(left_over), stack.settings, autocommit=True) as guest:
        generating = threads.submit(scratch.generate, "Nothing")
        while not generating.done() and guest.execute(waiting.encode()).fetchone() == (0,):
            pass
        guest.close()
        assert generating.result() is None
    found = scratch.connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [left_over])
    assert found.fetchone() == (0,)


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
        __table_args__ = (tenant_foreign_key("user_id", "users.id", ondelete="SET NULL"), tenant_unique("number"))

        id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
        user_id: Mapped[UUID | None]
        number: Mapped[str]
        place: Mapped[int] = mapped_column(Identity())

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
            assert [(scalar.tenant_id, scalar.place > 0) for scalar in session.scalars(select(Invoice))] == [
                (tenant, True)
            ]


def test_a_written_migration_stands_on_its_own(scratch: Scratch, declared: MetaData) -> None:
    """It holds literals and imports no model: the models change, and it still makes the same."""
    declared.tables["users"].append_column(Column("active", Boolean(), server_default=false()))
    path = scratch.generate('Say "active"', declared)
    assert path is not None
    written = path.read_text()
    assert written.startswith('"""Say \'active\'.\n\nRevision 0002, follows 0001.\n"""\n\nimport sqlalchemy as sa\n')
    imports = [line for line in written.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["import sqlalchemy as sa", "from alembic import op"]
