"""What makes a table a tenant table."""

from collections.abc import Iterable, Iterator, Sequence
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
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from schema.errors import TenancyError
from schema.tenancy.base import in_the_default_schema
from schema.tenancy.identifiers import too_long
from schema.tenancy.key_rules import TENANT, offences
from schema.tenancy.policies import Grant, Grants, Policy, Trigger, offence_of

_MARK = "tenant_table"
_PARTS = "isolation_parts"
_GRANTS = "application_grants"


class _TenantColumn(Column[UUID]):
    """The tenant of a row, which is the row's own: what the row refers to is the same tenant's, and does not give it.

    Otherwise two relationships of a model would both write it (SAWarning), and to refer to nothing would take it away.
    """

    inherit_cache = True

    def references(self, column: Column[Any]) -> bool:
        """Return whether this column is written from another: from the tenant itself, or from the row it extends."""
        keys = (key for key in self.foreign_keys if key.constraint is None or _is_the_tenants_or_whole(key.constraint))
        return any(key.column.proxy_set.intersection(column.proxy_set) for key in keys)


def _is_the_tenants_or_whole(constraint: ForeignKeyConstraint) -> bool:
    """Return whether a foreign key leads to the tenant, or is the whole primary key, as of a class that inherits."""
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
            __policies__ = (restrictive_policy("open", "NOT locked"),)

            id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
            user_id: Mapped[UUID | None]
            number: Mapped[str]
            locked: Mapped[bool]

    The mixin stands before `Base`, and the model in a module of `schema.models`. `updated_at` is set by a
    trigger, so it follows every update, of plain SQL as well; an object has read it when its flush is done.

    A model that would not keep tenants apart is refused when mappers are configured (TenancyError).
    """

    __policies__: ClassVar[tuple[Policy, ...]] = ()
    """Policies beside the tenant's, made with `restrictive_policy`."""
    __triggers__: ClassVar[tuple[Trigger, ...]] = ()
    """Triggers beside the one of `updated_at`, made with `trigger`."""
    __required_triggers__: ClassVar[tuple[Trigger, ...]] = ()
    """Triggers that the ground's own code relies on, of a mixin such as `TenantRoot`."""
    __grants__: ClassVar[Grants] = Grants()
    """What the application may do with the table, made with `grants`: to read and write rows, unless it says less."""
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
        # Of a class that inherits from another model (joined-table inheritance) the other's table has what is required.
        bases = () if any("__table__" in base.__dict__ for base in cls.__mro__[1:]) else cls.__mro__
        required = [key for base in bases for key in base.__dict__.get("__required_keys__", tuple)()]
        table = Table(name, metadata, *args, *required, **in_the_default_schema(kwargs))
        # Declarative makes the column, and a relationship asks it which others it refers to.
        table.c[TENANT].__class__ = _TenantColumn
        table.info[_MARK] = True
        table.info[_PARTS] = (*cls.__policies__, *cls.__triggers__, *(cls.__required_triggers__ if bases else ()))
        table.info[_GRANTS] = cls.__grants__
        for constraint in table.foreign_key_constraints:
            columns = constraint.column_keys
            if columns[0] == TENANT and not _is_indexed(table, columns):
                Index(None, *(table.c[column] for column in columns))
        return table


def is_tenant_table(table: Table) -> bool:
    """Return whether `table` was declared with `TenantMixin`."""
    return bool(table.info.get(_MARK))


def own_parts(table: Table) -> tuple[Policy | Trigger, ...]:
    """Return the policies and triggers that a tenant table's model declares beside the standard ones."""
    parts: tuple[Policy | Trigger, ...] = table.info.get(_PARTS, ())
    return parts


def rights_of(table: Table) -> tuple[Grant, ...]:
    """Return the application's rights on a tenant table, as its model declares them."""
    declared: Grants = table.info.get(_GRANTS, Grants())
    return declared.parts(column.name for column in table.columns)


def refuse_unsafe(tables: Iterable[Table]) -> None:
    """Refuse models whose keys or policies do not keep tenants apart, and names that the database would cut.

    Raises:
        TenancyError: names each table and what is wrong with it, and what to write instead.
    """
    if found := [(table.fullname, offence) for table in tables for offence in _offences(table)]:
        raise TenancyError(
            " ".join(offence for _, offence in found), tables=tuple(dict.fromkeys(table for table, _ in found))
        )


def _offences(table: Table) -> Iterator[str]:
    kinds = {Policy: "policy", Trigger: "trigger"}
    yield from too_long(table, ((kinds[type(part)], part.name) for part in own_parts(table)))
    if not is_tenant_table(table):
        return
    yield from offences(table, is_tenant_table)
    policies = (part for part in own_parts(table) if isinstance(part, Policy))
    yield from (f"{table.name}: {offence}" for policy in policies if (offence := offence_of(policy)))
    declared: Grants = table.info.get(_GRANTS, Grants())
    columns = [column.name for column in table.columns]
    yield from (f"{table.name}: {offence}" for offence in declared.offences(columns))


def _is_indexed(table: Table, columns: Sequence[str]) -> bool:
    uniques = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys: list[PrimaryKeyConstraint | UniqueConstraint | Index] = [table.primary_key, *uniques, *table.indexes]
    return any([column.name for column in key.columns][: len(columns)] == list(columns) for key in keys)


@event.listens_for(TenantMixin, "mapper_configured", propagate=True)
def _refuse_unsafe_model(mapper: Mapper[Any], _model: type) -> None:
    refuse_unsafe(table for table in mapper.tables if isinstance(table, Table))
