"""The tables that isolation is timed on: three of tenants as the product makes them, and a twin of each without.

The models go through `generate` and `migrate`, so policies, rights, keys and indexes are the product's own.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg.sql import SQL
from sqlalchemy import ForeignKeyConstraint, Index, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.migration.apply.upgrade import upgrade
from schema.migration.generate import command
from schema.migration.generate.writer import Request
from schema.models import metadata
from schema.tenancy.base import Base
from schema.tenancy.functions import new_id
from schema.tenancy.mixin import TenantMixin
from tests.ground.benchmarks.checkouts import served_project

ROWS = "BENCH_ROWS"
"""The environment variable for the number of invoices (200000); 5000000 take some minutes to make."""

TENANT = UUID(int=1)
"""The tenant that has a tenth of all rows; 90 others share the rest."""


class Measured(DeclarativeBase):
    """Models of the benchmark, beside a copy of the product's own."""

    metadata = MetaData(naming_convention=metadata.naming_convention)
    type_annotation_map = Base.type_annotation_map


for _table in metadata.sorted_tables:
    _table.to_metadata(Measured.metadata)


class Customer(TenantMixin, Measured):
    """Somebody with invoices."""

    __tablename__ = "bench_customers"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    name: Mapped[str]


class Invoice(TenantMixin, Measured):
    """A customer's invoice."""

    __tablename__ = "bench_invoices"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "customer_id"], ["bench_customers.tenant_id", "bench_customers.id"]),
        Index(None, "tenant_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    customer_id: Mapped[UUID]
    number: Mapped[int]


class Line(TenantMixin, Measured):
    """A line of an invoice."""

    __tablename__ = "bench_lines"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "invoice_id"], ["bench_invoices.tenant_id", "bench_invoices.id"]),
        Index(None, "tenant_id", "invoice_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=new_id())
    invoice_id: Mapped[UUID]
    amount: Mapped[int]


class Plain(DeclarativeBase):
    """Twins, for the ORM."""

    type_annotation_map = Base.type_annotation_map


class PlainCustomer(Plain):
    """A customer in the table without row level security."""

    __tablename__ = "plain_customers"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the tables are, and rows of the tenant to look for."""

    settings: Settings
    user: DatabaseUrl
    customer: UUID
    invoice: UUID


def make_tables(undo: ExitStack) -> Tables:
    """Start a stack of its own, make the tables and fill them."""
    checkout = served_project("isolation", undo)
    settings, owner = checkout.settings, checkout.url(Role.OWNER)
    request = Request("bench", allow_drop=True)
    command.generate(owner, settings, request, checkout=checkout.folder, metadata=Measured.metadata)
    upgrade(owner, settings, checkout=checkout.folder)
    with connect(checkout.admin.on(owner.database), settings, autocommit=True) as admin:
        _fill(admin, int(os.environ.get(ROWS, "200000")))
        customer, invoice = _some_rows(admin)
    return Tables(settings, checkout.url(Role.USER), customer, invoice)


# Every tenth invoice is the first tenant's, so its rows lie all over the heap.
_FILL: tuple[LiteralString, ...] = (
    "INSERT INTO tenants (tenant_id, name, slug) SELECT tenant(n), n::text, n::text FROM generate_series(1, 91) n",
    """
    INSERT INTO bench_customers (tenant_id, id, name)
    SELECT tenant(t), id(c), c::text FROM generate_series(1, 91) t, generate_series(1, 100) c
    """,
    """
    INSERT INTO bench_invoices (tenant_id, id, customer_id, number, created_at)
    SELECT tenant(CASE WHEN n % 10 = 0 THEN 1 ELSE 2 + n / 10 % 90 END), id(n), id(1 + n % 100), n % 1000,
           now() - n * interval '1 second'
    FROM generate_series(1, {rows}) n
    """,
    "INSERT INTO bench_lines (tenant_id, id, invoice_id, amount) SELECT tenant_id, id, id, number FROM bench_invoices",
)
_TWIN: tuple[LiteralString, ...] = (
    "CREATE TABLE plain_{name} (LIKE bench_{name} INCLUDING ALL)",
    "INSERT INTO plain_{name} SELECT * FROM bench_{name}",
    "ALTER TABLE plain_{name} ADD FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON plain_{name} TO app_user",
)
_TWIN_KEYS: tuple[LiteralString, ...] = (
    "ALTER TABLE plain_invoices ADD FOREIGN KEY (tenant_id, customer_id) REFERENCES plain_customers (tenant_id, id)",
    "ALTER TABLE plain_lines ADD FOREIGN KEY (tenant_id, invoice_id) REFERENCES plain_invoices (tenant_id, id)",
)


def _fill(admin: BoundedConnection, rows: int) -> None:
    for function in ("tenant", "id"):
        admin.execute(
            f"CREATE FUNCTION pg_temp.{function}(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE"
            " AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$"
        )
    for statement in _FILL:
        called = statement.replace(" tenant(", " pg_temp.tenant(").replace(" id(", " pg_temp.id(")
        admin.execute(called.replace("{rows}", str(rows)))
    for name in ("customers", "invoices", "lines"):
        for statement in _TWIN:
            admin.execute(SQL(statement).format(name=SQL(name)))
    for statement in _TWIN_KEYS:
        admin.execute(statement)
    admin.execute("VACUUM ANALYZE")
    admin.execute("CHECKPOINT")


def _some_rows(admin: BoundedConnection) -> tuple[UUID, UUID]:
    question = "SELECT customer_id, id FROM bench_invoices WHERE tenant_id = %s ORDER BY id LIMIT 1 OFFSET 100"
    row = admin.execute(question, [TENANT]).fetchone()
    if row is None:
        raise ValueError(f"{ROWS} is too small: the tenant has fewer than 100 rows")
    return row[0], row[1]
