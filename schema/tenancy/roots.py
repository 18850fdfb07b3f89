"""The tables that the ground's own code relies on, as mixins: the product's models take them and add columns beside.

    class User(IdentityUser, TenantMixin, Base):
        __tablename__ = "users"

        nickname: Mapped[str | None]

What is required of a table is added to what its model declares: columns here, keys in `__required_keys__`, triggers in
`__required_triggers__`. Each mixin stands before `TenantMixin`, whose columns it has otherwise.
"""

from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, false
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import SchemaItem

from schema.tenancy.functions import KEEP_TENANT_DIRECTORY, new_id
from schema.tenancy.keys import tenant_unique, unique_across_tenants
from schema.tenancy.policies import Trigger, trigger


class TenantRoot:
    """One customer organisation; its own id is the one tenant_id that references nothing. The table is `tenants`."""

    __required_triggers__: ClassVar[tuple[Trigger, ...]] = (
        trigger("keep_directory", "AFTER INSERT OR UPDATE", KEEP_TENANT_DIRECTORY.signature),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id(), sort_order=-3)
    name: Mapped[str]
    slug: Mapped[str]
    external_id: Mapped[str | None]
    """The organisation's id at the identity provider."""

    @staticmethod
    def __required_keys__() -> tuple[SchemaItem, ...]:
        return (
            unique_across_tenants("slug", reason="a request finds its tenant by it before there is any context"),
            unique_across_tenants("external_id", reason="a sign-in names its tenant by the identity provider's id"),
        )


class TenantKeys:
    """By what a request finds its tenant before there is any context. The table is `tenant_directory`.

    No tenant table: it has no policies, and nobody but the owner has a right on it. A trigger of `tenants`, whose keys
    are unique, keeps it, and `app.resolve_tenant` answers from it with an id and nothing else.
    """

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.tenant_id", ondelete="CASCADE"), primary_key=True)
    slug: Mapped[str] = mapped_column(index=True)
    external_id: Mapped[str | None] = mapped_column(index=True)


class IdentityUser:
    """One person in one tenant, synced from an identity provider; somebody in two tenants has two rows."""

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    external_id: Mapped[str]
    """The user's id at the identity provider."""
    email: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="member")

    @staticmethod
    def __required_keys__() -> tuple[SchemaItem, ...]:
        return (
            tenant_unique("external_id"),
            tenant_unique("email"),
            CheckConstraint("role IN ('owner', 'admin', 'member')", name="role"),
        )


class PlanFeature:
    """One feature of one tenant's plan; `limit` is None where nothing is counted."""

    feature: Mapped[str] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(server_default=false())
    limit: Mapped[int | None] = mapped_column(BigInteger)
