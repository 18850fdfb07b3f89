"""Relationships between a tenant's objects, as SQLAlchemy's manual has them."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData, event, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship, selectinload

from infra.config.settings import Role
from schema.client.session import tenant_connection, tenant_session
from schema.models.tenants import Tenant
from schema.tenancy.base import Base
from schema.tenancy.functions import new_id
from schema.tenancy.keys import tenant_foreign_key
from schema.tenancy.mixin import TenantMixin
from tests.ground.integration.conftest import Scratch
from tests.kit.database import MakeEngine
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend


class Product(DeclarativeBase):
    """Models of this test."""

    metadata = MetaData(naming_convention=Base.metadata.naming_convention)
    type_annotation_map = Base.type_annotation_map


Tenant.__table__.to_metadata(Product.metadata)  # type: ignore[attr-defined]  # the model's FromClause is a table


class Project(TenantMixin, Product):
    """A project with its tasks."""

    __tablename__ = "projects"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    tasks: Mapped[list["Task"]] = relationship(back_populates="project", cascade="all, delete-orphan")


class Person(TenantMixin, Product):
    """Whoever does a task."""

    __tablename__ = "persons"
    __mapper_args__ = TenantMixin.__mapper_args__ | {
        "polymorphic_on": "kind",
        "polymorphic_identity": "person",
    }

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    kind: Mapped[str]


class Employee(Person):
    """A person of whom more is known, in a table that extends the other's."""

    __tablename__ = "employees"
    __table_args__ = (tenant_foreign_key("id", "persons.id"),)
    __mapper_args__ = {"polymorphic_identity": "employee"}  # noqa: RUF012 - as SQLAlchemy has it

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.tenant_id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int]


class Task(TenantMixin, Product):
    """A task, which refers to others of its tenant in four ways."""

    __tablename__ = "tasks"
    __table_args__ = (
        tenant_foreign_key("project_id", "projects.id"),
        tenant_foreign_key("person_id", "persons.id"),
        tenant_foreign_key("parent_id", "tasks.id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    project_id: Mapped[UUID | None]
    person_id: Mapped[UUID | None]
    parent_id: Mapped[UUID | None]
    project: Mapped[Project | None] = relationship(back_populates="tasks")
    person: Mapped[Person | None] = relationship()
    parent: Mapped["Task | None"] = relationship(remote_side="Task.id", back_populates="children")
    children: Mapped[list["Task"]] = relationship(back_populates="parent")
    tags: Mapped[list["Tag"]] = relationship(secondary="task_tags", back_populates="tasks")


class Tag(TenantMixin, Product):
    """A tag of many tasks."""

    __tablename__ = "tags"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    tasks: Mapped[list[Task]] = relationship(secondary="task_tags", back_populates="tags")


class TaskTag(TenantMixin, Product):
    """A tag on a task."""

    __tablename__ = "task_tags"
    __table_args__ = (tenant_foreign_key("task_id", "tasks.id"), tenant_foreign_key("tag_id", "tags.id"))

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    tag_id: Mapped[UUID] = mapped_column(primary_key=True)


@pytest.fixture
def product(scratch: Scratch, declared: MetaData, stack: RunningStack, make_engine: MakeEngine) -> tuple[Engine, UUID]:
    """Give the application's engine on a database that has these tables, and a tenant of it."""
    for table in Product.metadata.sorted_tables:
        if table.name not in declared.tables:
            table.to_metadata(declared)
    scratch.generate("Add tasks", declared)
    scratch.upgrade()
    engine, tenant = make_engine(stack.url(Role.USER).on(scratch.url.database)), uuid4()
    with tenant_session(engine, tenant) as session:
        session.add(Tenant(tenant_id=tenant, name="Acme", slug="acme"))
    return engine, tenant


def test_objects_are_tied_and_parted(product: tuple[Engine, UUID]) -> None:
    """What an object refers to is set and taken away with no word of the tenant, which stays its own."""
    engine, tenant = product
    with tenant_session(engine, tenant) as session:
        first = Task(project=Project(), person=Person(), tags=[Tag(), Tag()])
        session.add_all([first, Task(project=first.project, parent=first)])
    with tenant_session(engine, tenant) as session:
        [child] = session.scalars(select(Task).where(Task.parent_id.is_not(None)))
        assert child.parent is not None
        parent, person = child.parent, child.parent.person
        assert (parent.children, len(parent.tags), person is not None) == ([child], 2, True)
        child.parent, parent.person = None, None
        del parent.tags[0]
    with tenant_session(engine, tenant) as session:
        found = session.scalars(select(Task)).all()
        assert {(task.tenant_id, task.parent_id, task.person_id) for task in found} == {(tenant, None, None)}
        assert sorted(len(task.tags) for task in found) == [0, 1]


def test_a_class_that_inherits_has_a_table_of_its_own(product: tuple[Engine, UUID]) -> None:
    """Both rows have the tenant and the key."""
    engine, tenant = product
    with tenant_session(engine, tenant) as session:
        session.add(Task(person=Employee(number=7)))
    with tenant_session(engine, tenant) as session:
        person = session.scalars(select(Task)).one().person
        assert isinstance(person, Employee)
        assert (person.tenant_id, person.kind, person.number) == (tenant, "employee", 7)


def test_what_is_no_longer_a_parents_goes(product: tuple[Engine, UUID]) -> None:
    """A cascade deletes an orphan, and with a parent its children."""
    engine, tenant = product
    with tenant_session(engine, tenant) as session:
        session.add(Project(tasks=[Task(), Task()]))
    with tenant_session(engine, tenant) as session:
        project = session.scalars(select(Project)).one()
        del project.tasks[0]
        session.flush()
        assert len(session.scalars(select(Task)).all()) == 1
        session.delete(project)
    with tenant_session(engine, tenant) as session:
        assert session.scalars(select(Task)).all() == []


def test_rows_of_an_insert_are_the_tenants(product: tuple[Engine, UUID]) -> None:
    """Of one or many, from a query, with the ORM and without: the connection knows whose they are."""
    engine, tenant = product
    with tenant_session(engine, tenant) as session:
        session.execute(insert(Tag), [{"id": uuid4()}, {"id": uuid4()}])
        session.execute(insert(Tag).values([{"id": uuid4()}, {"id": uuid4()}]))
        session.execute(insert(Project).from_select(["id"], select(Tag.id)))
    with tenant_connection(engine, tenant) as connection:
        connection.execute(insert(Tag))
        assert connection.scalars(select(Tag.tenant_id).union_all(select(Project.tenant_id))).all() == [tenant] * 9


def test_an_object_is_found_by_its_own_key(product: tuple[Engine, UUID]) -> None:
    """The tenant is the session's and need not be said; who says it all the same finds the same."""
    engine, tenant = product
    with tenant_session(engine, tenant) as session:
        session.add(task := Task(tags=[tag := Tag()]))
    with tenant_session(engine, tenant) as session:
        found = session.get_one(Task, task.id)
        assert {session.get(Task, key) for key in [(task.id,), (tenant, task.id), str(task.id)]} == {found}
        assert (session.get(Task, {"id": task.id}), session.get(Task, uuid4())) == (found, None)
        assert session.get(TaskTag, (task.id, tag.id)) is session.get(TaskTag, (tenant, task.id, tag.id)) is not None


@pytest.mark.parametrize("option", [None, joinedload(Task.project), selectinload(Task.project)])
def test_an_object_that_is_there_is_not_asked_for(option: Any, product: tuple[Engine, UUID]) -> None:
    """The whole key of what an object refers to is known, so one that the session has costs no statement."""
    engine, tenant = product
    with tenant_session(engine, tenant) as session:
        session.add(Project(tasks=[Task(), Task()]))
    with tenant_session(engine, tenant) as session:
        tasks = session.scalars(select(Task).options(*([option] if option else []))).all()
        project = tasks[0].project
        asked: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *words: asked.append(words[2]))
        assert tasks[1].project is project
        assert asked == []
