"""Keys that keep tenants apart, as a model declares them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql

from schema.errors import TenancyError
from schema.tenancy.key_rules import TENANT, with_reason

_QUOTE = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # SQLAlchemy's gap


def tenant_unique(*columns: str, **options: Any) -> UniqueConstraint:
    """Make columns unique within a tenant. `options` are UniqueConstraint's."""
    return UniqueConstraint(TENANT, *columns, **options)


def tenant_index(*columns: Any, **options: Any) -> Index:
    """Index columns for queries of one tenant. `options` are Index's; one with an expression needs a `name`."""
    return Index(options.pop("name", None), TENANT, *columns, **options)


def tenant_foreign_key(
    columns: str | Sequence[str], parent: str | Sequence[str], *, ondelete: str | None = None, **options: Any
) -> ForeignKeyConstraint:
    """Let columns reference a row of the same tenant: `tenant_foreign_key("user_id", "users.id")`.

    Several columns reference a key of several columns, in order. `ondelete="SET NULL"` takes the parent away and
    leaves the tenant (PostgreSQL manual, 5.4.5: SET NULL with a column list). `options` are ForeignKeyConstraint's.
    """
    local = [columns] if isinstance(columns, str) else list(columns)
    remote = [parent] if isinstance(parent, str) else list(parent)
    if ondelete and ondelete.upper() in {"SET NULL", "SET DEFAULT"}:
        ondelete = f"{ondelete.upper()} ({', '.join(map(_QUOTE, local))})"
    table = remote[0].rpartition(".")[0]
    return ForeignKeyConstraint([TENANT, *local], [f"{table}.{TENANT}", *remote], ondelete=ondelete, **options)


def unique_across_tenants(*columns: str, reason: str, **options: Any) -> UniqueConstraint:
    """Make columns unique over all tenants, so that a tenant can learn that another one holds a value.

    Raises:
        TenancyError: no reason is given.
    """
    if not reason.strip():
        raise TenancyError(f"unique_across_tenants({', '.join(columns)}) needs a reason. Say why tenants may see that.")
    return UniqueConstraint(*columns, info=with_reason(reason), **options)
