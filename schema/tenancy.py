"""What makes a table a tenant table."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import MetaData, Table, func
from sqlalchemy.orm import Mapped, mapped_column

_MARK = "tenant_table"


class TenantMixin:
    """Give a model its tenant and its two timestamps, and have its table isolated by the migration that creates it.

    The columns come first in the table and `tenant_id` is part of the primary key, so every primary key leads with
    the tenant. Unique constraints and foreign keys between tenant tables must lead with `tenant_id` as well:

        class Invoice(TenantMixin, Base):
            __tablename__ = "invoices"
            __table_args__ = (
                ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"]),
                ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
                UniqueConstraint("tenant_id", "number"),
            )

            id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
            user_id: Mapped[UUID]
            number: Mapped[str]

    The mixin stands before `Base`; a model it is mixed into is imported by `schema.models`. `updated_at` follows
    updates made through SQLAlchemy; plain SQL sets it itself.
    """

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-3)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=-2)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now(), sort_order=-1)

    @classmethod
    def __table_cls__(cls, name: str, metadata: MetaData, *args: Any, **kwargs: Any) -> Table:
        """Make the model's table and mark it (SQLAlchemy's hook, manual: Declarative, `__table_cls__`)."""
        table = Table(name, metadata, *args, **kwargs)
        table.info[_MARK] = True
        return table


def is_tenant_table(table: Table) -> bool:
    """Say whether `table` was declared with `TenantMixin`."""
    return bool(table.info.get(_MARK))
