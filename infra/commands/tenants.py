"""Tenants."""

from dataclasses import asdict
from datetime import UTC, datetime
from json import dumps
from pathlib import Path

from invoke.context import Context

from infra.commands import cli, tables
from infra.commands.cli import command
from infra.config.settings import CHECKOUT, Role, Settings


@command(
    name="What the tenant is called.",
    slug="Its short name, unique: lower-case letters, digits, hyphens. Made of the name unless given.",
    external_id="Its id at the identity provider.",
    json="Print JSON, for programs.",
)
def tenants_create(_: Context, name: str, slug: str = "", external_id: str = "", json: bool = False) -> None:
    """Sign a tenant up."""
    from infra.config.endpoints import database_url
    from schema.admin import tenants
    from schema.client.engine import create_engine

    settings = Settings.load()
    engine = create_engine(database_url(settings, Role.USER), settings)
    made = tenants.create(engine, name, slug=slug, external_id=external_id)
    print(dumps({"tenant_id": str(made)}) if json else made)


@command(json="Print JSON, for programs.")
def tenants_list(_: Context, json: bool = False) -> None:
    """List every tenant, the oldest first."""
    from infra.config.endpoints import database_url
    from schema.admin import tenants

    settings = Settings.load()
    found = tenants.tenants(database_url(settings, Role.OWNER), settings)
    if json:
        print(dumps([asdict(tenant) for tenant in found], indent=2, default=str))
        return
    if found:
        rows = [(str(each.tenant_id), each.slug, f"{each.created_at:%Y-%m-%d}", each.name) for each in found]
        tables.show(("id", "slug", "since", "name"), rows, fold="name")
    else:
        cli.say("there are no tenants; `invoke tenants-create NAME` makes one")


@command(
    tenant="Its slug, id or external id.",
    by="Which of these it is, where it could be several: slug, id or external-id.",
    yes="Do not ask.",
    export="The file that its rows are written to first; by default its slug and the time, in the folder exports.",
    no_export="Write nothing; its rows are gone for good.",
)
def tenants_delete(
    _: Context, tenant: str, by: str = "", yes: bool = False, export: str = "", no_export: bool = False
) -> None:
    """Delete a tenant and all of its rows; write them to a file first, and ask."""
    from infra.config.endpoints import database_url
    from schema.admin import tenants

    settings = Settings.load()
    owner = database_url(settings, Role.OWNER)
    kind = cli.one_of(tenants.Key, by, "--by") if by else None
    found = tenants.find_listed(tenants.tenants(owner, settings), tenant, kind)
    called = f"{found.name!r} ({cli.printable(found.slug)}, {found.tenant_id})"
    if not yes:
        held = tenants.rows_of(owner, settings, found.tenant_id)
        for table, count in held.items():
            if count:
                cli.say(f"- {count} in {table}")
        cli.confirm(f"Delete tenant {called} at {owner} with its {sum(held.values())} rows?")
    file = None if no_export else Path(export) if export else tenants.export_file(CHECKOUT, found, datetime.now(UTC))
    with cli.stoppable():
        gone = tenants.delete(owner, settings, found.tenant_id, file, cli.later())
    if file is not None:
        print(f"wrote {file}")
    print(f"deleted tenant {called}: {sum(gone.values())} rows in {sum(1 for n in gone.values() if n)} tables")
