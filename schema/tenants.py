"""Tenants: the root that every other tenant table references."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base
from schema.functions import new_id
from schema.tenancy import TenantMixin, unique_across_tenants


class Tenant(TenantMixin, Base):
    """One customer organisation.

    Its own id is the one tenant_id that references nothing.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        unique_across_tenants("slug", reason="a request finds its tenant by it before there is any context"),
        unique_across_tenants("external_id", reason="a sign-in names its tenant by the identity provider's id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id(), sort_order=-3)
    name: Mapped[str]
    slug: Mapped[str]
    external_id: Mapped[str | None]
    """The organisation's id at the identity provider."""
