"""Rules on roles and rights: what the application may do beyond reading and writing rows, and who it may become."""

from collections.abc import Iterable, Iterator

from infra.settings import Role
from schema.isolation.catalogue import PUBLIC, Catalogue, Grant
from schema.isolation.finding import Fault

_ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_ALLOWED = {
    Role.USER.value: {
        "TABLE": _ROWS,
        "SEQUENCE": frozenset({"USAGE"}),
        "SCHEMA": frozenset({"USAGE"}),
        "DATABASE": frozenset({"CONNECT"}),
    },
    Role.MAINTENANCE.value: {
        "TABLE": frozenset({"SELECT"}),
        "COLUMN": frozenset({"SELECT"}),
        "SEQUENCE": frozenset({"SELECT"}),
        "SCHEMA": frozenset({"USAGE"}),
        "DATABASE": frozenset({"CONNECT"}),
    },
}
_ATTRIBUTES = {Role.USER: set[str](), Role.OWNER: {"CREATEDB"}, Role.MAINTENANCE: {"BYPASSRLS"}}
_GROUPS = {Role.USER: set[str](), Role.OWNER: set[str](), Role.MAINTENANCE: {"pg_read_all_data"}}


def user_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """The application's role reads and writes rows, and no more.

    TRUNCATE and REFERENCES are not held by policies, TRIGGER runs its code as others, SELECT on a sequence tells how
    much other tenants make, TEMPORARY and CREATE make objects that outlive a checkout (PostgreSQL manual, 5.7, 5.8).
    """
    for grant in _beyond(catalogue, Role.USER.value):
        if grant.kind not in {"COLUMN", "DEFAULT"}:
            yield Fault(_granted(grant), f"{grant.grantee} may {_words(grant)}", _revoke(grant))


def column_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """Rights are granted on whole tables: one on a column stays when the table's is revoked (manual, GRANT)."""
    for grant in catalogue.grants:
        if grant.kind == "COLUMN" and grant.grantee == Role.USER:
            yield Fault(_granted(grant), f"{grant.grantee} may {_words(grant)}", _revoke(grant))


def public_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """Nothing is granted to PUBLIC: every role there is or will be has it, and a REVOKE from one takes none of it."""
    for grant in catalogue.grants:
        if grant.grantee == PUBLIC and grant.kind != "DEFAULT":
            yield Fault(_granted(grant), f"everybody may {_words(grant)}", _revoke(grant))


def maintenance_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """The role that sees every tenant changes none."""
    for grant in _beyond(catalogue, Role.MAINTENANCE.value):
        yield Fault(_granted(grant), f"{grant.grantee} may {_words(grant)}", _revoke(grant))


def default_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """Rights are given with a table's policies and never beforehand: a table without policies would be open."""
    for grant in catalogue.grants:
        if grant.kind == "DEFAULT":
            objects, _, rest = grant.object.partition(" of ")
            role, _, schema = rest.partition(" in ")
            within = f" IN SCHEMA {schema}" if schema else ""
            yield Fault(
                f"{grant.privilege} ON {grant.object}",
                f"{grant.privilege} on all {objects} that {role} makes from now on goes to {_grantee(grant)}",
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {role}{within} "
                f"REVOKE {grant.privilege} ON {objects} FROM {_grantee(grant)}",
            )


def owned_by_user(catalogue: Catalogue) -> Iterator[Fault]:
    """The application's role owns nothing: an owner may lift row level security, whatever FORCE says."""
    for described in catalogue.owned_by_user:
        yield Fault(
            described, f"it belongs to {Role.USER}", f"REASSIGN OWNED BY {Role.USER} TO {Role.OWNER} (as a superuser)"
        )


def role_missing(catalogue: Catalogue) -> Iterator[Fault]:
    """The roles exist: without them nothing is granted to anybody, and nothing was checked."""
    present = {role.name for role in catalogue.roles}
    for role in Role:
        if role not in present:
            yield Fault(role, "the role does not exist", "invoke up (or roles.ensure, on another server)")


def role_attribute(catalogue: Catalogue) -> Iterator[Fault]:
    """No role has an attribute that lifts policies or gives rights (PostgreSQL manual, 22.2).

    SUPERUSER and BYPASSRLS are held by no policy, CREATEROLE and CREATEDB make what is not, REPLICATION reads it all.
    """
    for role in catalogue.roles:
        for attribute in _without(role.attributes, _ATTRIBUTES[Role(role.name)]):
            yield Fault(role.name, f"the role is {attribute}", f"ALTER ROLE {role.name} NO{attribute}")


def role_membership(catalogue: Catalogue) -> Iterator[Fault]:
    """The application's role is a member of nothing: a member of the owner may DISABLE row level security."""
    for role in catalogue.roles:
        for group in _without(role.member_of, _GROUPS[Role(role.name)]):
            yield Fault(role.name, f"the role is a member of {group}", f"REVOKE {group} FROM {role.name}")


def session_default(catalogue: Catalogue) -> Iterator[Fault]:
    """No session starts with a tenant, as another role, or with checks off: nobody would have said so.

    session_replication_role = replica keeps foreign keys from being checked; row_security = off hides a missing
    policy behind an error (PostgreSQL manual, 20.11).
    """
    for default in catalogue.defaults:
        if default.name.startswith("app.") or default.name in {"row_security", "session_replication_role", "role"}:
            yield Fault(
                default.where,
                f"sessions start with {default.name} = {default.value}",
                f"ALTER {default.where} RESET {default.name}",
            )


def _beyond(catalogue: Catalogue, grantee: str) -> Iterator[Grant]:
    allowed = _ALLOWED[grantee]
    for grant in catalogue.grants:
        declared = not (grant.of_system or grant.grantable) and grant.privilege in allowed.get(grant.kind, ())
        if grant.grantee == grantee and not declared:
            yield grant


def _granted(grant: Grant) -> str:
    """Name what is granted to whom, as the allow-list does."""
    return f"{grant.privilege} ON {grant.kind} {grant.object}"


def _words(grant: Grant) -> str:
    return f"{grant.privilege} {grant.kind.lower()} {grant.object}{', and give that on' if grant.grantable else ''}"


def _revoke(grant: Grant) -> str:
    if grant.kind == "COLUMN":
        table, _, column = grant.object.rpartition(".")
        return f"REVOKE {grant.privilege} ({column}) ON {table} FROM {_grantee(grant)}"
    return f"REVOKE {grant.privilege} ON {grant.kind} {grant.object} FROM {_grantee(grant)}"


def _grantee(grant: Grant) -> str:
    return "PUBLIC" if grant.grantee == PUBLIC else grant.grantee


def _without(held: Iterable[str], allowed: set[str]) -> list[str]:
    return [word for word in held if word not in allowed]
