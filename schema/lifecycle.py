"""A tenant's life: made, listed, found again by a person, deleted."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from infra.export import Export
from infra.settings import Settings
from infra.urls import DatabaseUrl
from schema.connect import BoundedConnection, connect
from schema.errors import TenantError
from schema.export import export_of
from schema.session import tenant_session, tenantless_connection
from schema.tenants import Tenant

# A label of a host name (RFC 1035, 2.3.1), so that a slug can be a tenant's subdomain.
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Listed:
    """A tenant as it is listed."""

    tenant_id: UUID
    name: str
    slug: str
    external_id: str | None
    created_at: datetime


def create(engine: Engine, name: str, *, slug: str = "", external_id: str | None = None) -> UUID:
    """Sign a tenant up in its own context and return its id; nothing is bypassed.

    `slug` is made of the name unless given.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        TenantError: there is no name, the slug is none, or slug or external id are taken.
    """
    name, slug = name.strip(), slug or slug_of(name)
    if not name or not _SLUG.fullmatch(slug):
        raise TenantError(
            f"{slug!r} is no slug for {name!r}: 1 to 63 lower-case letters, digits and hyphens. Give one with --slug."
        )
    tenant = uuid4()
    try:
        with tenant_session(engine, tenant) as session:
            session.add(Tenant(tenant_id=tenant, name=name, slug=slug, external_id=external_id))
    except IntegrityError as error:
        taken = f"external id {external_id!r}" if "external_id" in str(error.orig) else f"slug {slug!r}"
        raise TenantError(
            f"The {taken} is another tenant's. `invoke tenants-list` shows whose; give another."
        ) from None
    return tenant


def slug_of(name: str) -> str:
    """Make a slug of a name: plain letters and digits, anything else a hyphen."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")


def resolve_tenant(engine: Engine, *, slug: str | None = None, external_id: str | None = None) -> UUID | None:
    """Find a tenant's id before there is a tenant context, by its slug or by its external id; None where there is none.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        ValueError: neither key is given, or both.
    """
    if (slug is None) == (external_id is None):
        raise ValueError("give slug or external_id, and not both")
    with tenantless_connection(engine) as connection:
        found: UUID | None = connection.scalar(
            text("SELECT app.resolve_tenant(:slug, :external_id)"), {"slug": slug, "external_id": external_id}
        )
    return found


def tenants(maintenance: DatabaseUrl, settings: Settings) -> list[Listed]:
    """Return every tenant, the oldest first: read by the role that sees all of them.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
    """
    with connect(maintenance, settings) as connection, connection.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(
            "SELECT tenant_id, name, slug, external_id, created_at FROM tenants ORDER BY created_at, tenant_id"
        ).fetchall()


def named(found: Sequence[Listed], key: str) -> Listed:
    """Return the tenant with this slug, id or external id.

    Raises:
        TenantError: there is none.
    """
    for tenant in found:
        if key in {tenant.slug, str(tenant.tenant_id), tenant.external_id}:
            return tenant
    raise TenantError(f"There is no tenant {key!r}: it is a slug, an id or an external id. See `invoke tenants-list`.")


def rows_of(owner: DatabaseUrl, settings: Settings, tenant: UUID) -> dict[str, int]:
    """Count a tenant's rows in each tenant table.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
    """
    with connect(owner, settings) as connection:
        return _in_each(connection, tenant, "SELECT FROM {table} WHERE tenant_id = {tenant}")


def delete(
    owner: DatabaseUrl, settings: Settings, tenant: UUID, write: Callable[[Export], None] | None = None
) -> dict[str, int]:
    """Delete every row of a tenant, all or nothing, after `write` has put them down; return how many each table had.

    The owner does it in the tenant's context, so that its policies keep every other tenant's rows out of reach. It is
    one statement: foreign keys are looked at when it ends, in whatever order and circle they refer to one another. Only
    what is written is deleted: rows that come or change meanwhile keep the tenant.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        TenantError: something that is not the tenant's own refers to its rows, or they change meanwhile.
    """
    try:
        with connect(owner, settings) as connection:
            if write is not None:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                write(export_of(connection, tenant_tables(connection)))
            return _in_each(connection, tenant, "DELETE FROM {table} WHERE tenant_id = {tenant} RETURNING 1")
    except psycopg.IntegrityError as error:
        raise TenantError(
            f"Tenant {tenant} cannot be deleted: {error.diag.message_primary}. Nothing was deleted. Remove what refers "
            "to it first; where those are rows of its own, they came meanwhile: run the command again."
        ) from error
    except psycopg.errors.SerializationFailure as error:
        raise TenantError(
            f"Tenant {tenant} cannot be deleted: its rows change meanwhile. Nothing was deleted. Stop what works for "
            "it and run the command again."
        ) from error


def _in_each(connection: BoundedConnection, tenant: UUID, statement: str) -> dict[str, int]:
    """Run a statement on each tenant table, all in one, and count the rows of each."""
    tables = tenant_tables(connection)
    connection.execute(SQL("SET LOCAL app.tenant_id = {}").format(Literal(str(tenant))))
    parts, counts = [], []
    for number, table in enumerate(tables):
        part = Identifier(f"part_{number}")
        text = SQL(statement).format(table=Identifier("public", table), tenant=Literal(str(tenant)))
        parts.append(SQL("{} AS ({})").format(part, text))
        counts.append(SQL("SELECT {}, count(*) FROM {}").format(Literal(table), part))
    query = SQL("WITH {} {}").format(SQL(", ").join(parts), SQL(" UNION ALL ").join(counts))
    return dict(connection.execute(query).fetchall())


def tenant_tables(connection: BoundedConnection) -> list[str]:
    """Return the tables that hold tenants' rows, by name: those with forced row level security and a tenant_id."""
    found = connection.execute(
        "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'tenant_id'"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        " AND relrowsecurity AND relforcerowsecurity AND NOT attisdropped ORDER BY relname"
    )
    return [name for (name,) in found.fetchall()]
