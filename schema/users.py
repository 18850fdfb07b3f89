"""Users, synced from an identity provider."""

from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base
from schema.functions import new_id
from schema.tenancy import TenantMixin, tenant_unique


class User(TenantMixin, Base):
    """One person in one tenant; somebody in two tenants has two rows."""

    __tablename__ = "users"
    __table_args__ = (
        tenant_unique("external_id"),
        tenant_unique("email"),
        CheckConstraint("role IN ('owner', 'admin', 'member')", name="role"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    external_id: Mapped[str]
    """The user's id at the identity provider."""
    email: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="member")
