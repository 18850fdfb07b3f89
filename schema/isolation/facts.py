"""What a database says of itself that matters to isolation, as frozen data.

Names are written as SQL: quoted where they must be, and with their schema unless that is `public`.
"""

from dataclasses import dataclass
from hashlib import sha256

from schema.migration.invalid_indexes import InvalidIndex

PUBLIC = "public"
"""Everybody, where a role is named."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, partitioned table, view, materialized view or foreign table.

    `security_invoker` is a view's; `privileges` are what the application or PUBLIC may do to it or to some of its
    columns; `rules` are the rewrite rules beside a view's own; `disabled` names the foreign keys whose triggers do not
    fire.
    """

    name: str
    kind: str
    row_security: bool
    forced: bool
    child: bool
    tenant_type: str | None
    tenant_not_null: bool
    security_invoker: bool
    privileges: tuple[str, ...]
    rules: tuple[str, ...]
    disabled: tuple[str, ...]
    owner: str

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
    index: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key; the actions are the letters of pg_constraint (PostgreSQL manual, 53.13).

    Names of columns are as the catalogue has them, not as SQL.
    """

    table: str
    name: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str
    set_columns: tuple[str, ...]
    deferral: str

    @property
    def keeps_to_the_tenant(self) -> bool:
        """Whether child and parent belong to one tenant."""
        return ("tenant_id", "tenant_id") in zip(self.columns, self.parent_columns, strict=True)


@dataclass(frozen=True, slots=True)
class Function:
    """A function outside the system's schemas, or one there that runs as its owner.

    `executable_by` names the roles of the application and PUBLIC alone; `triggers` are as DROP TRIGGER names them;
    `definition` is what the function does and how, part by part, whoever owns it.
    """

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
    definition: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The word that ALTER and REVOKE know it by."""
        return {"p": "PROCEDURE", "a": "AGGREGATE"}.get(self.definition[0], "FUNCTION")

    @property
    def sha256(self) -> str:
        """The digest of its definition, the same on every server."""
        return sha256("\0".join(self.definition).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DeclaredFunction:
    """A function as `schema.tenancy.functions` declares it: its definition, and one line of SQL that makes it."""

    signature: str
    definition: tuple[str, ...]
    statement: str


@dataclass(frozen=True, slots=True)
class SystemObject:
    """What stands in a schema of the system and initdb did not make, or a cast between types of the system.

    `kind` is the word for DROP.
    """

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class SystemFunction:
    """A function that initdb made and that is evidently another now; `made_leakproof` is what somebody did later."""

    signature: str
    language: str
    settings: tuple[str, ...]
    made_leakproof: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege of a role of the application, of the maintenance role or of PUBLIC.

    `kind` is the word that GRANT knows the object by; `of_system` is true of what stands in the system's schemas, where
    those that initdb makes are left out. A REVOKE names the `target`, and of a COLUMN the `field`; `grantors` are
    roles other than the object's owner.
    """

    kind: str
    object: str
    of_system: bool
    grantee: str
    privilege: str
    grantable: bool
    target: str
    field: str
    owner: str
    grantors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DefaultGrant:
    """A privilege that objects which `role` makes later will grant, in one schema or, where that is None, in all."""

    objects: str
    role: str
    schema: str | None
    grantee: str
    privilege: str


@dataclass(frozen=True, slots=True)
class ApplicationRole:
    """A role that the application acts as.

    Of one that lies `beyond` (the owner, a superuser, a predefined role) nothing else is asked: to act as it is too
    much.
    """

    name: str
    beyond: bool


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """A role: those of its attributes that matter, the roles it is a member of, and what revokes each of these."""

    name: str
    attributes: tuple[str, ...]
    member_of: tuple[str, ...]
    revokes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Default:
    """A setting that sessions start with, what gives it (a role, the database, or the server), and how to end that."""

    where: str
    name: str
    value: str
    fix: str


@dataclass(frozen=True, slots=True)
class Owned:
    """An object that belongs to a role of the application."""

    description: str
    role: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it; `predicate` is the tenant's as PostgreSQL writes it, None where its function does not exist.

    `user` is the role that the application connects as, and `roles_of_application` that one with all that it is a
    member of, and the role that tables grant their rights to.
    """

    owner: str
    user: str
    roles_of_application: tuple[ApplicationRole, ...]
    predicate: str | None
    relations: tuple[Relation, ...]
    policies: tuple[Policy, ...]
    unique_keys: tuple[UniqueKey, ...]
    foreign_keys: tuple[ForeignKey, ...]
    functions: tuple[Function, ...]
    declared_functions: tuple[DeclaredFunction, ...]
    system_objects: tuple[SystemObject, ...]
    system_functions: tuple[SystemFunction, ...]
    grants: tuple[Grant, ...]
    default_grants: tuple[DefaultGrant, ...]
    roles: tuple[RoleFacts, ...]
    defaults: tuple[Default, ...]
    event_triggers: tuple[str, ...]
    owned: tuple[Owned, ...]
    invalid_indexes: tuple[InvalidIndex, ...]

    @property
    def application(self) -> tuple[str, ...]:
        """The names of the roles that the application acts as, the one that it connects as first."""
        return tuple(role.name for role in self.roles_of_application)

    @property
    def reachable_tables(self) -> tuple[Relation, ...]:
        """The tables that the application may read or write and whose rows say whose they are."""
        return tuple(found for found in self.relations if found.of_tenants and found.reachable)

    def tables_of_tenants(self) -> dict[str, Relation]:
        """Return every table whose rows say whose they are, by name."""
        return {found.name: found for found in self.relations if found.of_tenants}

    def relation(self, name: str) -> Relation:
        """Return the relation of a name that another object of the catalogue gives."""
        return next(found for found in self.relations if found.name == name)
