"""Tenants: the root that every other tenant table references."""

from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base
from schema.functions import new_id
from schema.tenancy import TenantMixin


class Tenant(TenantMixin, Base):
    """One customer organisation.

    `slug` and `external_id` are unique across tenants, which only this table may do: a request finds its tenant by
    them before there is any tenant context.
    """

    __tablename__ = "tenants"
    __table_args__ = (UniqueConstraint("slug"), UniqueConstraint("external_id"))

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id(), sort_order=-3)
    name: Mapped[str]
    slug: Mapped[str]
    external_id: Mapped[str | None]
    """The organisation's id at the identity provider."""
