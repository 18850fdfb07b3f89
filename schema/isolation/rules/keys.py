"""Rules on the keys of tables whose rows say whose they are: a constraint is checked past row level security.

"Referential integrity checks, such as unique or primary key constraints and foreign key references, always bypass row
security" (PostgreSQL manual, 5.8).
"""

from collections.abc import Iterator

from schema.isolation.catalogue import Catalogue, ForeignKey, UniqueKey
from schema.isolation.finding import Fault


def unique_across_tenants(catalogue: Catalogue) -> Iterator[Fault]:
    """Every unique key leads with tenant_id: otherwise it tells one tenant whether another has a value.

    What must be unique across tenants, such as a slug, is on the allow-list with its reason.
    """
    tables = catalogue.tables_of_tenants()
    for key in catalogue.unique_keys:
        if key.table in tables and not key.leads_with_tenant:
            yield Fault(
                f"{key.table}.{key.name}",
                f"it is checked across tenants and tells one what another has: {key.definition}",
                _led_by_tenant(key),
            )


def _led_by_tenant(key: UniqueKey) -> str:
    if key.definition.startswith("EXCLUDE"):
        return f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}, and exclude with tenant_id WITH = as well"
    columns = ", ".join(["tenant_id", *(column for column in key.columns if column != "tenant_id")])
    if key.is_constraint:
        kind = key.definition.partition(" (")[0]
        return f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}, ADD {kind} ({columns})"
    where = f" WHERE {key.condition}" if key.condition else ""
    return f"DROP INDEX {key.name}; CREATE UNIQUE INDEX ON {key.table} ({columns}){where}"


def foreign_key_across_tenants(catalogue: Catalogue) -> Iterator[Fault]:
    """A foreign key between tenants' tables holds tenant_id on both sides.

    Otherwise one tenant can point at another's row, learns by it that the row exists, and the other's delete is
    refused or cascades.
    """
    for key in _between_tenants(catalogue):
        if not key.keeps_to_the_tenant:
            columns = ", ".join(("tenant_id", *(column for column in key.columns if column != "tenant_id")))
            others = ", ".join(("tenant_id", *(column for column in key.parent_columns if column != "tenant_id")))
            yield Fault(
                f"{key.table}.{key.name}",
                f"it lets a row of one tenant point at another tenant's row of {key.parent}",
                f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}, "
                f"ADD FOREIGN KEY ({columns}) REFERENCES {key.parent} ({others})",
            )


def foreign_key_nulls_the_tenant(catalogue: Catalogue) -> Iterator[Fault]:
    """ON DELETE SET NULL or SET DEFAULT names the parent's column: otherwise it takes the row from its tenant.

    ON UPDATE cannot be limited to columns (PostgreSQL manual, 5.4.5 and CREATE TABLE), so there neither will do.
    """
    for key in _between_tenants(catalogue):
        parents = tuple(column for column in key.columns if column != "tenant_id")
        deleting = key.on_delete in {"n", "d"} and "tenant_id" in (key.set_columns or key.columns)
        if deleting or key.on_update in {"n", "d"}:
            what = "ON DELETE" if deleting else "ON UPDATE"
            action = f"ON DELETE SET NULL ({', '.join(parents)})" if deleting and parents else "NO ACTION"
            yield Fault(
                f"{key.table}.{key.name}",
                f"{what} sets tenant_id as well, so that the row is taken from its tenant",
                f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}, and add it again with {action}",
            )


def _between_tenants(catalogue: Catalogue) -> Iterator[ForeignKey]:
    tables = catalogue.tables_of_tenants()
    return (key for key in catalogue.foreign_keys if key.table in tables and key.parent in tables)
