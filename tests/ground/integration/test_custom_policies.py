"""Policies that a model declares beside the tenant's: they are migrated, compared, and can only narrow."""

from enum import Enum
from uuid import UUID, uuid4

import pytest
from sqlalchemy import MetaData, Table, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.config.settings import Role
from schema.client.session import tenant_session
from schema.models.tenants import Tenant
from schema.tenancy.base import Base
from schema.tenancy.functions import new_id
from schema.tenancy.keys import tenant_foreign_key
from schema.tenancy.mixin import TenantMixin
from schema.tenancy.policies import restrictive_policy, trigger
from tests.ground.integration.conftest import Scratch
from tests.kit.database import MakeEngine
from tests.kit.drift import Drift
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

READER = "current_setting('app.reader', true)"


class State(Enum):
    """An enumerated type of the database's."""

    draft = "draft"
    sent = "sent"


@pytest.fixture
def notes(declared: MetaData) -> Table:
    """Declare a table with policies that name its own columns, another new table, and a new type."""

    class Product(DeclarativeBase):
        metadata = declared
        type_annotation_map = Base.type_annotation_map

    class Note(TenantMixin, Product):
        __tablename__ = "notes"
        __policies__ = (
            restrictive_policy("own_rows", f"owner = {READER}"),
            restrictive_policy("drafts", "true", check="state = 'draft'"),
            restrictive_policy("readable", "EXISTS (SELECT FROM readers r WHERE r.name = owner)"),
        )
        __triggers__ = (trigger("again", "BEFORE INSERT OR UPDATE OF owner", "app.set_updated_at()"),)

        id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
        owner: Mapped[str]
        state: Mapped[State] = mapped_column(server_default="draft")

    class Reader(TenantMixin, Product):
        __tablename__ = "readers"
        __table_args__ = (tenant_foreign_key("note_id", "notes.id"),)

        name: Mapped[str] = mapped_column(primary_key=True)
        note_id: Mapped[UUID | None]

    table = Note.__table__
    assert isinstance(table, Table)
    return table


def test_they_are_made_with_the_table_and_agree_afterwards(drift: Drift, notes: Table) -> None:
    """The migration holds them, a second one holds nothing, and a downgrade leaves no trace of them."""
    before = drift.objects
    script = drift.generate(notes.metadata)
    drift.upgrade(script)
    made = {found[1]: found[2] for found in drift.objects if found[0] == "policy" and found[1].startswith("notes.")}
    assert made == {
        "notes.drafts": "RESTRICTIVEALL{app_user}",
        "notes.own_rows": "RESTRICTIVEALL{app_user}",
        "notes.readable": "RESTRICTIVEALL{app_user}",
        "notes.tenant_permit": "PERMISSIVEALL{public}",
        "notes.tenant_restrict": "RESTRICTIVEALL{public}",
    }
    again = drift.generate(notes.metadata)
    assert again.upgrade_ops is not None
    assert again.upgrade_ops.is_empty(), again.upgrade_ops.as_diffs()
    drift.downgrade(script)
    drift.execute("DROP TYPE state")  # Alembic leaves types behind
    assert drift.objects == before


@pytest.mark.parametrize(
    "damage",
    [
        "DROP POLICY own_rows ON notes",
        "ALTER POLICY own_rows ON notes USING (true)",
        "ALTER POLICY readable ON notes USING (EXISTS (SELECT FROM readers))",
        "DROP TRIGGER again ON notes",
    ],
)
def test_damage_to_them_is_generated_away(damage: str, drift: Drift, notes: Table) -> None:
    """They are compared like the tenant's own."""
    drift.upgrade(drift.generate(notes.metadata))
    sound = drift.objects
    drift.execute(damage)
    damaged = drift.objects
    script = drift.generate(notes.metadata)
    drift.upgrade(script)
    assert drift.objects == sound
    drift.downgrade(script)
    assert drift.objects == damaged


def test_one_that_is_no_longer_declared_goes(drift: Drift, notes: Table) -> None:
    """What a model does not declare any more is dropped, before the column that it names, and comes back."""
    drift.upgrade(drift.generate(notes.metadata))
    before = drift.objects
    notes.info["isolation_parts"] = notes.info["isolation_parts"][1:2]
    notes._columns.remove(notes.c.owner)  # what a changed model amounts to
    script = drift.generate(notes.metadata)
    drift.upgrade(script)
    assert {found[1] for found in drift.objects if found[0] == "policy" and found[1].startswith("notes.")} == {
        "notes.drafts",
        "notes.tenant_permit",
        "notes.tenant_restrict",
    }
    drift.downgrade(script)
    kinds = {"policy", "trigger"}
    assert [found for found in drift.objects if found[0] in kinds] == [found for found in before if found[0] in kinds]


def test_they_narrow_and_cannot_widen(
    scratch: Scratch, declared: MetaData, stack: RunningStack, make_engine: MakeEngine
) -> None:
    """A tenant's reader sees its own rows of that tenant; a policy that allows everything adds nothing."""

    class Product(DeclarativeBase):
        metadata = declared
        type_annotation_map = Base.type_annotation_map

    class Memo(TenantMixin, Product):
        __tablename__ = "memos"
        __policies__ = (restrictive_policy("own_rows", f"owner = {READER}"), restrictive_policy("everything", "true"))

        owner: Mapped[str] = mapped_column(primary_key=True)

    scratch.generate("Add memos", declared)
    scratch.upgrade()
    engine = make_engine(stack.url(Role.USER).on(scratch.url.database))
    tenants = [uuid4(), uuid4()]
    for tenant in tenants:
        with tenant_session(engine, tenant) as session:
            session.add(Tenant(tenant_id=tenant, name="Acme", slug=str(tenant)))
            session.flush()
            for owner in ("ada", "eve"):
                session.execute(text(f"SET LOCAL app.reader = '{owner}'"))
                session.add(Memo(tenant_id=tenant, owner=owner))
                session.flush()
    with tenant_session(engine, tenants[0]) as session:
        assert session.scalars(select(Memo.owner)).all() == []
        session.execute(text("SET LOCAL app.reader = 'ada'"))
        assert session.execute(select(Memo.tenant_id, Memo.owner)).all() == [(tenants[0], "ada")]
        assert session.execute(text("UPDATE memos SET updated_at = now() WHERE owner = 'eve'")).rowcount == 0  # type: ignore[attr-defined]  # a cursor's result has it
        with pytest.raises(DBAPIError, match='policy "own_rows"'):
            session.execute(text("UPDATE memos SET owner = 'mallory'"))
