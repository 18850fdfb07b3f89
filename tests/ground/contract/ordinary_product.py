"""The tables of an ordinary product, as a person would declare them; copied into a checkout and never imported here."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    Enum,
    Identity,
    Index,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB, TSTZRANGE, TSVECTOR, Range
from sqlalchemy.orm import Mapped, mapped_column, relationship

from schema import Base, TenantMixin, new_id, tenant_foreign_key, tenant_index, tenant_unique
from schema.models.users import User


class Status(StrEnum):
    """How far a task is."""

    OPEN = "open"
    DOING = "doing"
    DONE = "done"


class Project(TenantMixin, Base):
    """A project, whose name is free again when it is deleted."""

    __tablename__ = "projects"
    __table_args__ = (
        tenant_foreign_key("owner_id", "users.id"),
        Index(
            "uq_projects_name",
            "tenant_id",
            text("lower(name)"),
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        CheckConstraint("char_length(name) BETWEEN 1 AND 80", name="name_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    name: Mapped[str]
    owner_id: Mapped[UUID]
    deleted_at: Mapped[datetime | None]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    owner: Mapped[User] = relationship()
    tasks: Mapped[list["Task"]] = relationship(back_populates="project")


class Task(TenantMixin, Base):
    """A task, found by its words."""

    __tablename__ = "tasks"
    __table_args__ = (
        tenant_foreign_key("project_id", "projects.id", ondelete="CASCADE"),
        tenant_foreign_key("parent_id", "tasks.id"),
        tenant_foreign_key("assignee_id", "users.id", ondelete="SET NULL"),
        tenant_unique("project_id", "number"),
        Index("ix_tasks_search", "search", postgresql_using="gin"),
        Index("ix_tasks_open", "tenant_id", "due", postgresql_where=text("status <> 'DONE'")),
        CheckConstraint("estimate >= 0 AND estimate % 0.25 = 0", name="estimate"),
        CheckConstraint("title NOT LIKE '% %%:%'", name="title"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    project_id: Mapped[UUID]
    parent_id: Mapped[UUID | None]
    assignee_id: Mapped[UUID | None]
    number: Mapped[int]
    title: Mapped[str] = mapped_column(String(200))
    status: Mapped[Status] = mapped_column(Enum(Status, name="task_status"), server_default="OPEN")
    labels: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    estimate: Mapped[Decimal] = mapped_column(Numeric(8, 2), server_default="0")
    due: Mapped[date | None]
    search: Mapped[str] = mapped_column(TSVECTOR, Computed("to_tsvector('simple', title)", persisted=True))
    project: Mapped[Project] = relationship(back_populates="tasks")
    assignee: Mapped[User | None] = relationship()
    parent: Mapped["Task | None"] = relationship(remote_side="Task.id", back_populates="children")
    children: Mapped[list["Task"]] = relationship(back_populates="parent")
    tags: Mapped[list["Tag"]] = relationship(secondary="task_tags")


class Tag(TenantMixin, Base):
    """A tag, which is put in order by hand: two may change places at the end of a transaction."""

    __tablename__ = "tags"
    __table_args__ = (
        tenant_unique("name"),
        UniqueConstraint("tenant_id", "place", deferrable=True, initially="DEFERRED"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    name: Mapped[str]
    place: Mapped[int]
    color: Mapped[str] = mapped_column(server_default="#cccccc")


class TaskTag(TenantMixin, Base):
    """A tag on a task."""

    __tablename__ = "task_tags"
    __table_args__ = (
        tenant_foreign_key("task_id", "tasks.id", ondelete="CASCADE"),
        tenant_foreign_key("tag_id", "tags.id", ondelete="CASCADE"),
    )

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    tag_id: Mapped[UUID] = mapped_column(primary_key=True)


class Team(TenantMixin, Base):
    """A team, which one of its members leads."""

    __tablename__ = "teams"
    __table_args__ = (tenant_foreign_key("lead_id", "members.id", ondelete="SET NULL"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    lead_id: Mapped[UUID | None]


class Member(TenantMixin, Base):
    """A user in a team."""

    __tablename__ = "members"
    __table_args__ = (
        tenant_foreign_key("team_id", "teams.id", ondelete="CASCADE"),
        tenant_foreign_key("user_id", "users.id", ondelete="CASCADE"),
        tenant_unique("team_id", "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    team_id: Mapped[UUID]
    user_id: Mapped[UUID]


class Booking(TenantMixin, Base):
    """A time that is somebody's."""

    __tablename__ = "bookings"
    __table_args__ = (CheckConstraint("NOT isempty(during)", name="during"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)


class Event(TenantMixin, Base):
    """What somebody did."""

    __tablename__ = "events"
    __table_args__ = (tenant_index("at"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    ip: Mapped[str | None] = mapped_column(INET)
    what: Mapped[dict[str, Any]] = mapped_column(JSONB)
