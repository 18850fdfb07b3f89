"""What the ORM session of a tenant adds to statements and objects, and what it refuses."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, MetaData, delete, event, func, select, text, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)

from schema.client.session import tenant_connection, tenant_session
from schema.errors import ContextFault, TenantContextError
from schema.models.features import TenantFeature
from schema.models.tenants import Tenant
from schema.models.users import User
from schema.tenancy.base import Base
from schema.tenancy.mixin import TenantMixin
from tests.kit.database import SignUp
from tests.kit.errors import about

pytestmark = pytest.mark.one_backend

Statements = list[tuple[str, Any]]


class Product(DeclarativeBase):
    """Models of this test, over the migrated tables."""

    metadata = MetaData()
    type_annotation_map = Base.type_annotation_map


class Organisation(TenantMixin, Product):
    """A tenant with its people."""

    __tablename__ = "tenants"

    name: Mapped[str]
    slug: Mapped[str]
    people: Mapped[list["Person"]] = relationship(back_populates="organisation")


class Person(TenantMixin, Product):
    """A user of the organisation."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("app.uuid7()"))
    external_id: Mapped[str]
    email: Mapped[str]
    organisation: Mapped[Organisation] = relationship(back_populates="people")


@pytest.fixture
def statements(engine: Engine) -> Iterator[Statements]:
    """Collect what reaches the server, with its parameters."""
    collected: Statements = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        collected.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield collected
    event.remove(engine, "before_cursor_execute", note)


def named(statements: Statements, tenant: UUID) -> list[int]:
    """Return how often each statement says that a tenant_id is the tenant."""
    return [
        sum(statement.count(f"tenant_id = %({key})s") for key, value in parameters.items() if value == tenant)
        for statement, parameters in statements
    ]


def test_every_kind_of_statement_names_the_tenant(engine: Engine, tenant: UUID, statements: Statements) -> None:
    """The planner learns the tenant of each table, of a join's both and an alias's too."""
    other = aliased(User)
    with tenant_session(engine, tenant) as session:
        session.execute(select(User))
        session.execute(select(func.count()).select_from(User))
        session.execute(select(User.email).join(TenantFeature, TenantFeature.tenant_id == User.tenant_id))
        session.execute(select(User, other).join(other, other.email == User.external_id))
        session.execute(update(User).values(email="x"))
        session.execute(delete(User))
    assert [count > 0 for count in named(statements, tenant)] == [True] * 6
    assert [statement.count("tenant_id = %(") for statement, _ in statements] == [1, 1, 2, 2, 1, 1]


def test_relationships_are_loaded_with_the_tenant(engine: Engine, tenant: UUID, statements: Statements) -> None:
    """Whether they are loaded when asked for, with the query or in one behind it."""
    with tenant_session(engine, tenant) as session:
        session.add(Person(external_id="ada", email="ada@example.com"))
    for option in ([], [joinedload(Organisation.people)], [selectinload(Organisation.people)]):
        statements.clear()
        with tenant_session(engine, tenant) as session:
            organisation = session.scalars(select(Organisation).options(*option)).unique().one()
            assert [person.external_id for person in organisation.people] == ["ada"]
        tables = [statement.count("tenants.name") + statement.count(".email") for statement, _ in statements]
        assert named(statements, tenant) == tables


def test_a_tenants_statement_does_not_serve_the_next(engine: Engine, sign_up: SignUp, statements: Statements) -> None:
    """SQLAlchemy keeps compiled statements; the tenant in them is the session's own each time."""
    tenants = [sign_up(), sign_up()]
    statements.clear()
    for tenant in tenants * 2:
        with tenant_session(engine, tenant) as session:
            assert session.scalars(select(Tenant.tenant_id)).all() == [tenant]
    assert [set(parameters.values()) for _, parameters in statements] == [{tenant} for tenant in tenants * 2]


def test_new_objects_are_the_sessions(engine: Engine, tenant: UUID) -> None:
    """No code has to say whose a new object is, nor what hangs on it."""
    with tenant_session(engine, tenant) as session:
        organisation = session.scalars(select(Organisation)).one()
        organisation.people.append(Person(external_id="ada", email="ada@example.com"))
        session.add(User(external_id="bob", email="bob@example.com"))
    with tenant_connection(engine, tenant) as connection:
        assert connection.scalars(text("SELECT external_id FROM users ORDER BY 1")).all() == ["ada", "bob"]


def test_an_object_of_another_tenant_is_refused(engine: Engine, sign_up: SignUp, statements: Statements) -> None:
    """New, read elsewhere or moved: the error names both tenants, and nothing is sent."""
    one, other = sign_up(), sign_up()
    with tenant_session(engine, other) as session:
        foreign = session.scalars(select(Tenant)).one()
    statements.clear()
    ways: list[Callable[[Session], object]] = [
        lambda session: session.add(Tenant(tenant_id=other, name="Eve", slug="eve")),
        lambda session: session.add(foreign),
        lambda session: session.merge(foreign, load=False),
    ]
    for add in ways:
        with (
            pytest.raises(
                TenantContextError, check=about(fault=ContextFault.OTHER_TENANT, wanted=str(other), serves=str(one))
            ),
            tenant_session(engine, one) as session,
        ):
            add(session)
    assert statements == []


def test_an_object_is_not_moved_to_another_tenant(engine: Engine, sign_up: SignUp) -> None:
    """A changed tenant_id is refused at the flush, before the server does."""
    one, other = sign_up(), sign_up()
    with tenant_session(engine, one) as session:
        mine = session.scalars(select(Tenant)).one()
        mine.tenant_id = other
        with pytest.raises(
            TenantContextError, check=about(fault=ContextFault.OTHER_TENANT, wanted=str(other), serves=str(one))
        ):
            session.flush()
        session.rollback()


def test_an_object_of_another_tenant_is_not_found(engine: Engine, sign_up: SignUp) -> None:
    """Its primary key leads nowhere."""
    one, other = sign_up(), sign_up()
    with tenant_session(engine, one) as session:
        assert session.get(Tenant, other) is None
        assert session.get(Tenant, one) is not None
