"""What a database says of itself that matters to isolation, as frozen data. Pure; standard library only.

Names are written as SQL: quoted where they must be, and with their schema unless that is `public`.
"""

from dataclasses import dataclass

from schema.invalid_indexes import InvalidIndex

PUBLIC = "public"
"""Everybody, where a role is named."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, partitioned table, view, materialized view or foreign table.

    `privileges` are what the application's role or PUBLIC may do to it or to some of its columns; `rules` are the
    rewrite rules beside a view's own; `disabled` names the foreign keys whose triggers do not fire.
    """

    name: str
    kind: str
    row_security: bool
    forced: bool
    child: bool
    tenant_type: str | None
    tenant_not_null: bool
    options: tuple[str, ...]
    privileges: tuple[str, ...]
    rules: tuple[str, ...]
    disabled: tuple[str, ...]

    @property
    def is_table(self) -> bool:
        """Whether it holds rows that row level security can guard."""
        return self.kind in {"r", "p"}

    @property
    def reachable(self) -> bool:
        """Whether the application may read or write some of it."""
        return not {"SELECT", "INSERT", "UPDATE", "DELETE"}.isdisjoint(self.privileges)

    @property
    def of_tenants(self) -> bool:
        """Whether its rows say whose they are."""
        return self.is_table and self.tenant_type is not None


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of a table; `command` is `*` for ALL, and the expressions are as PostgreSQL writes them."""

    table: str
    name: str
    permissive: bool
    command: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A primary key, unique constraint, unique index or exclusion constraint of a table with a tenant_id.

    `columns` are its keys in order, an expression as its text; `condition` that of a partial index. ON CONFLICT can
    name one that `arbitrates`: neither an exclusion nor a deferrable one (PostgreSQL manual, INSERT).
    """

    table: str
    name: str
    columns: tuple[str, ...]
    condition: str | None
    leads_with_tenant: bool
    is_constraint: bool
    arbitrates: bool
    definition: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key; the actions are the letters of pg_constraint (PostgreSQL manual, 53.13)."""

    table: str
    name: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str
    set_columns: tuple[str, ...]

    @property
    def keeps_to_the_tenant(self) -> bool:
        """Whether child and parent belong to one tenant."""
        return ("tenant_id", "tenant_id") in zip(self.columns, self.parent_columns, strict=True)


@dataclass(frozen=True, slots=True)
class Function:
    """A function outside the system's schemas; `executable_by` names the application's role and PUBLIC alone."""

    signature: str
    language: str
    trusted: bool
    security_definer: bool
    leakproof: bool
    volatility: str
    settings: tuple[str, ...]
    owner: str
    owner_bypasses: bool
    executable_by: tuple[str, ...]
    policies: tuple[str, ...]
    triggers: tuple[str, ...]
    of_extension: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege of the application's role, of the maintenance role or of PUBLIC.

    `kind` is the word that GRANT knows the object by, or `DEFAULT` for what later objects will grant; `of_system` is
    true of what stands in the system's schemas.
    """

    kind: str
    object: str
    of_system: bool
    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """One of the product's roles: those of its attributes that matter, and the roles it is a member of."""

    name: str
    attributes: tuple[str, ...]
    member_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Default:
    """A setting that sessions start with, and what gives it: a role, the database, or the server."""

    where: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it; `predicate` is the tenant's as PostgreSQL writes it, None where its function does not exist."""

    predicate: str | None
    relations: tuple[Relation, ...]
    policies: tuple[Policy, ...]
    unique_keys: tuple[UniqueKey, ...]
    foreign_keys: tuple[ForeignKey, ...]
    functions: tuple[Function, ...]
    grants: tuple[Grant, ...]
    roles: tuple[RoleFacts, ...]
    defaults: tuple[Default, ...]
    event_triggers: tuple[str, ...]
    owned_by_user: tuple[str, ...]
    invalid_indexes: tuple[InvalidIndex, ...]

    @property
    def reachable_tables(self) -> tuple[Relation, ...]:
        """The tables that the application may read or write and whose rows say whose they are."""
        return tuple(found for found in self.relations if found.of_tenants and found.reachable)

    def tables_of_tenants(self) -> dict[str, Relation]:
        """Return every table whose rows say whose they are, by name."""
        return {found.name: found for found in self.relations if found.of_tenants}
