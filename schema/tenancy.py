"""What makes a table a tenant table, and keys that keep tenants apart."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    Column,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    event,
    func,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from schema.errors import TenancyError
from schema.rls.policy import Policy, Trigger
from schema.tenant_keys import TENANT, offences, with_reason

__all__ = [
    "TenantMixin",
    "is_tenant_table",
    "own_parts",
    "refuse_unsafe",
    "tenant_foreign_key",
    "tenant_index",
    "tenant_unique",
    "unique_across_tenants",
]

_MARK = "tenant_table"
_PARTS = "isolation_parts"
_QUOTE = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # SQLAlchemy's gap


class _TenantColumn(Column[UUID]):
    """The tenant of a row, which is the row's own: what the row refers to is the same tenant's, and does not give it.

    Otherwise two relationships of a model would both write it (SAWarning), and to refer to nothing would take it away.
    """

    inherit_cache = True

    def references(self, column: Column[Any]) -> bool:
        """Say whether this column is written from another one: from the tenant itself, or from the row it extends."""
        keys = (key for key in self.foreign_keys if key.constraint is None or _is_the_tenants_or_whole(key.constraint))
        return any(key.column.proxy_set.intersection(column.proxy_set) for key in keys)


def _is_the_tenants_or_whole(constraint: ForeignKeyConstraint) -> bool:
    """Say whether a foreign key leads to the tenant, or is the whole primary key, as of a class that inherits."""
    return len(constraint.elements) == 1 or {*constraint.columns} == {*constraint.table.primary_key.columns}


def _of_the_connection(context: Any) -> UUID | None:
    """Return the tenant that a connection of the application's serves, for an INSERT that names none.

    Without one the database refuses the row.
    """
    tenant = getattr(context.root_connection.engine, "tenant", None)
    return tenant if isinstance(tenant, UUID) else None


class TenantMixin:
    """Give a model its tenant and its two timestamps, and have its table isolated by the migrations.

    The columns come first in the table and `tenant_id` is part of the primary key, so every primary key leads with
    the tenant; it references `tenants`. Keys of the model's own lead with the tenant too:

        class Invoice(TenantMixin, Base):
            __tablename__ = "invoices"
            __table_args__ = (
                tenant_foreign_key("user_id", "users.id", ondelete="SET NULL"),
                tenant_unique("number"),
            )
            __policies__ = (narrowing("open", "NOT locked"),)

            id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
            user_id: Mapped[UUID | None]
            number: Mapped[str]
            locked: Mapped[bool]

    The mixin stands before `Base`; a model it is mixed into is imported by `schema.models`. `updated_at` is set by a
    trigger, so it follows every update, of plain SQL as well; an object has read it when its flush is done.

    A model that would not keep tenants apart is refused when mappers are configured (TenancyError).
    """

    __policies__: ClassVar[tuple[Policy, ...]] = ()
    """Policies beside the tenant's, made with `narrowing`."""
    __triggers__: ClassVar[tuple[Trigger, ...]] = ()
    """Triggers beside the one of `updated_at`, made with `trigger`."""
    __mapper_args__: Any = {"eager_defaults": True}  # noqa: RUF012 - as SQLAlchemy types it, so a model may override it

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.tenant_id"), primary_key=True, insert_default=_of_the_connection, sort_order=-3
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=-2)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), server_onupdate=FetchedValue(), sort_order=-1
    )

    @classmethod
    def __table_cls__(cls, name: str, metadata: MetaData, *args: Any, **kwargs: Any) -> Table:
        """Make the model's table and mark it (SQLAlchemy's hook, manual: Declarative, `__table_cls__`).

        A foreign key between tenant tables gets an index, which deleting a parent needs, unless a key begins with it.
        """
        table = Table(name, metadata, *args, **kwargs)
        # Declarative makes the column, and a relationship asks it which others it refers to.
        table.c[TENANT].__class__ = _TenantColumn
        table.info[_MARK] = True
        table.info[_PARTS] = (*cls.__policies__, *cls.__triggers__)
        for constraint in table.foreign_key_constraints:
            columns = constraint.column_keys
            if columns[0] == TENANT and not _is_indexed(table, columns):
                Index(None, *(table.c[column] for column in columns))
        return table


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


def is_tenant_table(table: Table) -> bool:
    """Say whether `table` was declared with `TenantMixin`."""
    return bool(table.info.get(_MARK))


def own_parts(table: Table) -> tuple[Policy | Trigger, ...]:
    """Return the policies and triggers that a tenant table's model declares beside the standard ones."""
    parts: tuple[Policy | Trigger, ...] = table.info.get(_PARTS, ())
    return parts


def refuse_unsafe(tables: Iterable[Table]) -> None:
    """Refuse models whose keys do not keep tenants apart.

    Raises:
        TenancyError: names each table and constraint, and what to write instead.
    """
    found = [offence for table in tables if is_tenant_table(table) for offence in offences(table, is_tenant_table)]
    if found:
        raise TenancyError(" ".join(found))


def _is_indexed(table: Table, columns: Sequence[str]) -> bool:
    uniques = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys: list[PrimaryKeyConstraint | UniqueConstraint | Index] = [table.primary_key, *uniques, *table.indexes]
    return any([column.name for column in key.columns][: len(columns)] == list(columns) for key in keys)


@event.listens_for(TenantMixin, "mapper_configured", propagate=True)
def _refuse_unsafe_model(mapper: Mapper[Any], _model: type) -> None:
    refuse_unsafe(table for table in mapper.tables if isinstance(table, Table))


# Every table of a tenant's references `tenants`: whoever has the mixin has that table too.
import schema.tenants  # noqa: E402, F401 - it is made with the mixin
