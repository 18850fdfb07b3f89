"""A tenant's life: made, listed, found again by a person, deleted."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Literal
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.admin.tenant_export import exported, file_in
from schema.admin.whole_tenant import whole_tenant
from schema.client.connection import BoundedConnection, connect
from schema.client.session import tenant_session
from schema.errors import TenantError, list_message

# A label of a host name (RFC 1035, 2.3.1), so that a slug can be a tenant's subdomain.
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

_AT_ONCE = 500
_LISTED: LiteralString = """
    SET LOCAL app.tenant_id = {tenant};
    SELECT tenant_id, name, slug, external_id, created_at FROM public.tenants WHERE tenant_id = {tenant}
"""
_SIGN_UP = text(
    "INSERT INTO public.tenants (tenant_id, name, slug, external_id) VALUES (:tenant, :name, :slug, :external_id)"
)


class Key(StrEnum):
    """What names a tenant."""

    SLUG = "slug"
    ID = "id"
    EXTERNAL_ID = "external-id"

    def names(self, tenant: "Listed", text: str) -> bool:
        """Return whether a text is what the tenant has of this kind; an empty one is none."""
        if self is Key.ID:
            return _uuid(text) == tenant.tenant_id
        return text != "" and text == (tenant.slug if self is Key.SLUG else tenant.external_id)


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
    if not name or not is_slug(slug):
        raise TenantError(
            f"{slug!r} is no slug for {name!r}: 1 to 63 lower-case letters, digits and hyphens, and no uuid. Give one "
            "with --slug.",
            tenant=slug,
        )
    external_id = external_id or None
    tenant = uuid4()
    try:
        with tenant_session(engine, tenant) as session:
            values = {"tenant": tenant, "name": name, "slug": slug, "external_id": external_id}
            session.execute(_SIGN_UP, values)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error):
            raise
        raise _no_sign_up(error.orig, name, slug, external_id) from None
    return tenant


def _no_sign_up(error: psycopg.Error, name: str, slug: str, external_id: str | None) -> TenantError:
    if not isinstance(error, psycopg.errors.UniqueViolation):
        return _refusal(f"Tenant {name!r} cannot be made", error)
    taken = f"slug {slug!r}" if error.diag.constraint_name == "uq_tenants_slug" else f"external id {external_id!r}"
    return TenantError(
        f"The {taken} is another tenant's. `invoke tenants-list` shows whose; give another.",
        tenant=slug,
        causes=(taken,),
    )


def is_slug(text: str) -> bool:
    """Return whether a text can be a tenant's slug: the label of a host name, and nothing that reads as an id."""
    return bool(_SLUG.fullmatch(text)) and _uuid(text) is None


def _uuid(text: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(text)
    return None


def slug_of(name: str) -> str:
    """Make a slug of a name: plain letters and digits, anything else a hyphen."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")


def tenants(url: DatabaseUrl, settings: Settings) -> list[Listed]:
    """Return every tenant, the oldest first, as the owner, or as a maintenance role that may read all tables.

    The directory knows who there is, and each tenant is read in its own context: a role needs no BYPASSRLS for it,
    which managed servers refuse. A job for each tenant begins with this and opens a `tenant_session` for each.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        TenantError: the role may not read the directory, or there is none.
    """
    problem = f"The tenants of database {url.database!r} cannot be listed as {url.user}"
    with _explained(problem), connect(url, settings) as connection:
        directory = connection.execute("SELECT tenant_id FROM public.tenant_directory").fetchall()
        ids = [str(tenant) for (tenant,) in directory]
        listed = [
            tenant for at in range(0, len(ids), _AT_ONCE) for tenant in _read(connection, ids[at : at + _AT_ONCE])
        ]
    return sorted(listed, key=lambda tenant: (tenant.created_at, tenant.tenant_id))


def _read(connection: BoundedConnection, tenants: Sequence[str]) -> Iterator[Listed]:
    """Read tenants, each in its own context, in one message; one that is gone by now is left out."""
    # SET takes no bound parameter; the texts are those of uuids.
    script = SQL(";").join(SQL(_LISTED).format(tenant=Literal(tenant)) for tenant in tenants)
    with connection.cursor(row_factory=class_row(Listed)) as cursor:
        cursor.execute(script)
        while True:
            if cursor.description is not None:
                yield from cursor.fetchall()
            if not cursor.nextset():
                return


def find_listed(found: Sequence[Listed], key: str, by: Key | None = None) -> Listed:
    """Return the one tenant with this slug, id or external id, or with this one of them.

    Raises:
        TenantError: there is none, or more than one.
    """
    kinds = [by] if by else list(Key)
    matches = {kind: tenant for kind in kinds for tenant in found if kind.names(tenant, key)}
    if not matches:
        raise TenantError(
            f"There is no tenant {key!r}: it is {by or 'a slug, an id or an external id'}. See `invoke tenants-list`.",
            tenant=key,
        )
    if len({tenant.tenant_id for tenant in matches.values()}) > 1:
        several = [f"{kind} of {tenant.name!r} (id {tenant.tenant_id})" for kind, tenant in matches.items()]
        then = f"Say which with --by {'|'.join(matches)}."
        raise TenantError(
            list_message(f"{key!r} names more than one tenant", several, then), tenant=key, causes=tuple(several)
        )
    return next(iter(matches.values()))


def rows_of(owner: DatabaseUrl, settings: Settings, tenant: UUID) -> dict[str, int]:
    """Count a tenant's rows in each table that holds rows of tenants.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        TenantError: something hides rows of the tenant from the owner, or refuses them.
    """
    with _explained(f"The rows of tenant {tenant} cannot be counted"), whole_tenant(owner, settings, tenant) as view:
        return view.count()


def export_file(checkout: Path, tenant: Listed, at: datetime) -> Path:
    """Return the file that a tenant's rows are written to unless another is named; a slug that is none is no path.

    Raises:
        TenantError: its folder cannot be made.
    """
    name = tenant.slug if is_slug(tenant.slug) else str(tenant.tenant_id)
    return file_in(checkout / "exports", f"{name}-{at:%Y%m%dT%H%M%SZ}.sql")


def delete(
    owner: DatabaseUrl,
    settings: Settings,
    tenant: UUID,
    export: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Delete every row of a tenant, all or nothing, and return how many each table had; write them to `export` first.

    The owner does it in the tenant's context, so that its policies keep every other tenant's rows out of reach. Only
    what was counted is deleted: if rows are added or changed meanwhile, the deletion is abandoned.

    Raises:
        DatabaseUnavailable: the server is away or refuses.
        TenantError: something hides rows, refers to them or would take more along, they change meanwhile, or the file
            cannot be written. Nothing is deleted then, and no file is left.
    """
    with (
        _explained(f"Tenant {tenant} cannot be deleted"),
        whole_tenant(owner, settings, tenant) as view,
        exported(view, export, say) if export else nullcontext(view.count()) as counts,
    ):
        say(f"deleting {sum(counts.values())} rows")
        view.delete(counts)
    return counts


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Tell a refusal of the server's in one paragraph."""
    try:
        yield
    except psycopg.Error as error:
        raise _refusal(problem, error) from error


def _refusal(problem: str, error: psycopg.Error) -> TenantError:
    reason = error.diag.message_primary or " ".join(str(error).split())
    where = f" (in {' '.join(error.diag.context.split())})" if error.diag.context else ""
    return TenantError(f"{problem}: {reason}{where}. {_advice(error)}", sqlstate=error.sqlstate)


def _advice(error: psycopg.Error) -> str:
    if error.sqlstate is None:
        return "The connection was lost: `invoke tenants-list` shows what holds now."
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "Run `invoke migrate` first."
    if isinstance(error, psycopg.errors.SerializationFailure):
        return "Its rows change meanwhile. Nothing was changed: stop what works for it and run the command again."
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return (
            "Nothing was changed. Remove what refers to it first; where those are rows of its own, they are new: run "
            "the command again."
        )
    return "Nothing was changed. Correct that and run the command again."
