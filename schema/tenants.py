"""Tenants: the root that every other tenant table references, and the directory that finds them."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base
from schema.functions import KEEP_TENANT_DIRECTORY, new_id
from schema.rls.policy import trigger
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

    __triggers__ = (trigger("keep_directory", "AFTER INSERT OR UPDATE", KEEP_TENANT_DIRECTORY.signature),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id(), sort_order=-3)
    name: Mapped[str]
    slug: Mapped[str]
    external_id: Mapped[str | None]
    """The organisation's id at the identity provider."""


class TenantDirectory(Base):
    """By what a request finds its tenant before there is any context.

    No tenant table: it has no policies, and nobody but the owner has a right on it. A trigger of `tenants`, whose keys
    are unique, keeps it, and `app.resolve_tenant` answers from it with an id and nothing else.
    """

    __tablename__ = "tenant_directory"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.tenant_id", ondelete="CASCADE"), primary_key=True)
    slug: Mapped[str] = mapped_column(index=True)
    external_id: Mapped[str | None] = mapped_column(index=True)
