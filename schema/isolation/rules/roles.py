"""Rules on roles: who the application may become, what it owns, and what its sessions start with."""

from collections.abc import Iterator

from infra.config.settings import Role, logins
from schema.isolation.facts import Catalogue, RoleFacts
from schema.isolation.finding import Fault
from schema.isolation.rules.fixes import AS_SUPERUSER

_OURS = {str(role) for role in Role}
_ATTRIBUTES = {str(Role.OWNER): {"CREATEDB"}, str(Role.MAINTENANCE): {"BYPASSRLS"}}
_GROUPS = {str(Role.MAINTENANCE): {"pg_read_all_data"}}


def owned_by_user(catalogue: Catalogue) -> Iterator[Fault]:
    """The roles of the application own nothing: an owner may lift row level security, whatever FORCE says."""
    for owned in catalogue.owned:
        yield Fault(
            owned.description,
            f"it belongs to {owned.role}",
            f"{AS_SUPERUSER}REASSIGN OWNED BY {owned.role} TO {catalogue.owner}",
        )


def application_role(catalogue: Catalogue) -> Iterator[Fault]:
    """The application connects as a role of its own, not as one that lifts policies or reads every tenant."""
    for role in catalogue.roles_of_application:
        if role.beyond and role.name == catalogue.user:
            yield Fault(
                role.name,
                "the application connects as the owner, as a superuser or as who reads every tenant",
                f"in DATABASE_URL: connect as {Role.USER}",
            )


def role_missing(catalogue: Catalogue) -> Iterator[Fault]:
    """The roles exist: without them nothing is granted to anybody, and nothing was checked."""
    present = {*catalogue.application, *(role.name for role in catalogue.roles)}
    for role in map(str, Role):
        if role not in present:
            yield Fault(role, "the role does not exist", "invoke bootstrap")
    if catalogue.user not in present | _OURS:
        yield Fault(
            catalogue.user,
            "the role that the application connects as does not exist",
            f"{AS_SUPERUSER}CREATE ROLE {catalogue.user} LOGIN; GRANT {Role.USER} TO {catalogue.user}",
        )


def role_attribute(catalogue: Catalogue) -> Iterator[Fault]:
    """No role has an attribute that lifts policies or gives rights (PostgreSQL manual, 22.2).

    SUPERUSER and BYPASSRLS are bound by no policy, CREATEROLE and CREATEDB make what is not, REPLICATION reads it all.
    """
    for role in catalogue.roles:
        for attribute in role.attributes:
            if attribute not in _ATTRIBUTES.get(role.name, ()):
                yield Fault(
                    f"{attribute} OF {role.name}",
                    f"the role {role.name} is {attribute}",
                    AS_SUPERUSER + _without(catalogue, role, attribute),
                )


def _without(catalogue: Catalogue, role: RoleFacts, attribute: str) -> str:
    """Return what keeps the application from an attribute: a role of somebody else's keeps it, and loses the member."""
    if role.name in _OURS | {catalogue.user}:
        return f"ALTER ROLE {role.name} NO{attribute}"
    revokes = (dict(zip(each.member_of, each.revokes, strict=True)).get(role.name) for each in catalogue.roles)
    return "; ".join(filter(None, revokes))


def role_membership(catalogue: Catalogue) -> Iterator[Fault]:
    """The application is a member of the user role at most: a member of the owner may DISABLE row level security."""
    for role in catalogue.roles:
        allowed = _GROUPS.get(role.name, set() if role.name in _OURS else {str(Role.USER)})
        for group, statement in zip(role.member_of, role.revokes, strict=True):
            if group not in allowed:
                yield Fault(
                    f"{group} TO {role.name}",
                    f"the role {role.name} is a member of {group}",
                    AS_SUPERUSER + statement,
                )


def session_default(catalogue: Catalogue) -> Iterator[Fault]:
    """No session starts with a tenant, as another role, or with checks off: nobody would have said so.

    session_replication_role = replica keeps foreign keys from being checked, row_security = off hides a missing policy
    behind an error, lo_compat_privileges = on opens every large object (PostgreSQL manual, 20.11 and 20.13).
    """
    stand_ins = {f"ROLE {alternate}": own for own, alternate in map(logins, Role)}
    for default in catalogue.defaults:
        if default.name == "role" and default.value == stand_ins.get(default.where):
            continue  # a role's alternate login acts as the role (`schema.admin.roles`)
        yield Fault(
            f"{default.name} OF {default.where}",
            f"sessions start with {default.name} = {default.value}",
            AS_SUPERUSER + default.fix if default.fix.startswith("ALTER ") else default.fix,
        )
