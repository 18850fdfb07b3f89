"""Rules on the keys of tables whose rows say whose they are: a constraint is checked past row level security.

"Referential integrity checks, such as unique or primary key constraints and foreign key references, always bypass row
security" (PostgreSQL manual, 5.8). A foreign key is added as a superuser: under FORCE the owner sees the rows of no
tenant, so that it could not be validated.
"""

import re
from collections.abc import Iterable, Iterator

from schema.isolation.facts import Catalogue, ForeignKey, UniqueKey
from schema.isolation.finding import Fault
from schema.isolation.rules.fixes import AS_SUPERUSER, columns, on_relation

_ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_DEFERRAL = re.compile(r"( DEFERRABLE)( INITIALLY DEFERRED)?$")


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
                _led_by_tenant(catalogue, key),
            )


def _led_by_tenant(catalogue: Catalogue, key: UniqueKey) -> str:
    drop = f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}"
    if key.definition.startswith("EXCLUDE"):
        # What GiST compares for equality it takes from an extension (PostgreSQL manual, appendix F.8).
        extension = ("CREATE EXTENSION IF NOT EXISTS btree_gist",) if " gist " in key.definition else ()
        led = key.definition.replace("(", "(tenant_id WITH =, ", 1)
        return on_relation(catalogue, key.table, *extension, f"{drop}, ADD CONSTRAINT {key.name} {led}")
    led = ", ".join(["tenant_id", *(column for column in key.columns if column != "tenant_id")])
    if key.is_constraint:
        kind, deferral = key.definition.partition(" (")[0], _DEFERRAL.search(key.definition)
        added = f"ADD CONSTRAINT {key.name} {kind} ({led}){deferral[0] if deferral else ''}"
        return on_relation(catalogue, key.table, f"{drop}, {added}")
    nulls = " NULLS NOT DISTINCT" if " NULLS NOT DISTINCT" in key.definition else ""
    where = f" WHERE {key.condition}" if key.condition else ""
    create = f"CREATE UNIQUE INDEX {key.name} ON {key.table} ({led}){nulls}{where}"
    return on_relation(catalogue, key.table, f"DROP INDEX {key.index}", create)


def foreign_key_across_tenants(catalogue: Catalogue) -> Iterator[Fault]:
    """A foreign key between tenants' tables holds tenant_id on both sides.

    Otherwise one tenant can point at another's row, learns by it that the row exists, and the other's delete is
    refused or cascades.
    """
    for key in _between_tenants(catalogue):
        if not key.keeps_to_the_tenant:
            pairs = [pair for pair in zip(key.columns, key.parent_columns, strict=True) if "tenant_id" not in pair]
            yield Fault(
                f"{key.table}.{key.name}",
                f"it lets a row of one tenant point at another tenant's row of {key.parent}",
                _again(catalogue, key, [("tenant_id", "tenant_id"), *pairs]),
            )


def foreign_key_nulls_the_tenant(catalogue: Catalogue) -> Iterator[Fault]:
    """ON DELETE SET NULL or SET DEFAULT names the parent's column: otherwise it takes the row from its tenant.

    ON UPDATE cannot be limited to columns (PostgreSQL manual, 5.4.5 and CREATE TABLE), so there neither will do.
    """
    for key in _between_tenants(catalogue):
        deleting = key.on_delete in {"n", "d"} and "tenant_id" in (key.set_columns or key.columns)
        if key.keeps_to_the_tenant and (deleting or key.on_update in {"n", "d"}):
            yield Fault(
                f"{key.table}.{key.name}",
                f"{'ON DELETE' if deleting else 'ON UPDATE'} sets tenant_id as well, so that the row is taken from its "
                "tenant",
                _again(catalogue, key, list(zip(key.columns, key.parent_columns, strict=True))),
            )


def _again(catalogue: Catalogue, key: ForeignKey, pairs: list[tuple[str, str]]) -> str:
    """Return what drops a foreign key and adds it between pairs of columns, its actions within the tenant."""
    parents = [parent for _, parent in pairs]
    add = (
        f"ADD CONSTRAINT {key.name} FOREIGN KEY ({columns(child for child, _ in pairs)}) "
        f"REFERENCES {key.parent} ({columns(parents)}){_on_delete(key, pairs)}{_on_update(key)}{key.deferral}"
    )
    unique = (
        ()
        if _is_unique(catalogue, key.parent, parents)
        else (f"ALTER TABLE {key.parent} ADD UNIQUE ({columns(parents)})",)
    )
    return AS_SUPERUSER + "; ".join((*unique, f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}, {add}"))


def _on_delete(key: ForeignKey, pairs: list[tuple[str, str]]) -> str:
    action = _ACTIONS.get(key.on_delete)
    if key.on_delete in {"n", "d"}:
        given = key.set_columns or key.columns
        own = [child for child, _ in pairs if child != "tenant_id" and child in given]
        return f" ON DELETE {action} ({columns(own)})" if own else ""
    return f" ON DELETE {action}" if action else ""


def _on_update(key: ForeignKey) -> str:
    action = _ACTIONS.get(key.on_update)
    return f" ON UPDATE {action}" if action and key.on_update not in {"n", "d"} else ""


def _is_unique(catalogue: Catalogue, table: str, names: Iterable[str]) -> bool:
    """Return whether a foreign key can reference these columns (PostgreSQL manual, CREATE TABLE)."""
    wanted = set(names)
    return any(
        key.table == table
        and key.arbitrates
        and not key.condition
        and {column.strip('"').replace('""', '"') for column in key.columns} == wanted
        for key in catalogue.unique_keys
    )


def _between_tenants(catalogue: Catalogue) -> Iterator[ForeignKey]:
    tables = catalogue.tables_of_tenants()
    return (key for key in catalogue.foreign_keys if key.table in tables and key.parent in tables)
