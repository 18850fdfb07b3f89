"""Rules on rights: what the application, everybody, and the role that sees every tenant may do beyond what they should.

A finding names what GRANT would: privilege, object and who has it; so does the entry that allows it.
"""

from collections.abc import Iterator

from infra.config.settings import Role
from schema.isolation.facts import PUBLIC, Catalogue, Grant
from schema.isolation.finding import Fault
from schema.isolation.rules.fixes import by_owner_of, grantee, revoke

_ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_APPLICATION = {
    "TABLE": _ROWS,
    "SEQUENCE": frozenset({"USAGE"}),
    "SCHEMA": frozenset({"USAGE"}),
    "DATABASE": frozenset({"CONNECT"}),
}
_MAINTENANCE = {
    "TABLE": frozenset({"SELECT"}),
    "COLUMN": frozenset({"SELECT"}),
    "SEQUENCE": frozenset({"SELECT"}),
    "SCHEMA": frozenset({"USAGE"}),
    "DATABASE": frozenset({"CONNECT"}),
}


def user_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """The roles of the application read and write rows, and no more.

    TRUNCATE and REFERENCES are not bound by policies, TRIGGER runs its code as others, SELECT on a sequence tells how
    much other tenants make, TEMPORARY and CREATE make objects that outlive a checkout (PostgreSQL manual, 5.7, 5.8).
    """
    for grant in _of_application(catalogue):
        declared = _is_declared(grant, _APPLICATION)
        if grant.kind != "COLUMN" and (grant.grantable or not declared):
            yield _fault(catalogue, grant, option_only=declared)


def column_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """Rights are granted on whole tables: one on a column stays when the table's is revoked (manual, GRANT).

    UPDATE of some columns of a tenant's table, where that of the table is not granted, is less than that.
    """
    for grant in _of_application(catalogue):
        if grant.kind == "COLUMN":
            less = _is_less_than_the_table(grant, catalogue)
            if grant.grantable or not less:
                yield _fault(catalogue, grant, option_only=less)


def _is_less_than_the_table(grant: Grant, catalogue: Catalogue) -> bool:
    of_tenants = {f"TABLE {name}" for name in catalogue.tables_of_tenants()}
    whole = {(each.target, each.grantee) for each in catalogue.grants
             if (each.kind, each.privilege) == ("TABLE", "UPDATE")}  # fmt: skip
    return grant.privilege == "UPDATE" and grant.target in of_tenants and (grant.target, grant.grantee) not in whole


def public_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """Nothing is granted to PUBLIC: every role there is or will be has it, and a REVOKE from one takes none of it.

    In the system's schemas that is what initdb has not granted.
    """
    for grant in catalogue.grants:
        if grant.grantee == PUBLIC:
            yield _fault(catalogue, grant)


def maintenance_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """The role that sees every tenant changes none."""
    for grant in catalogue.grants:
        if grant.grantee == str(Role.MAINTENANCE):
            declared = _is_declared(grant, _MAINTENANCE)
            if grant.grantable or not declared:
                yield _fault(catalogue, grant, option_only=declared)


def default_privilege(catalogue: Catalogue) -> Iterator[Fault]:
    """Rights are given with a table's policies and never beforehand: a table without policies would be open."""
    for grant in catalogue.default_grants:
        who, place = grantee(grant.grantee), f" in {grant.schema}" if grant.schema else ""
        within = f" IN SCHEMA {grant.schema}" if grant.schema else ""
        yield Fault(
            f"{grant.privilege} ON {grant.objects} of {grant.role}{place} TO {who}",
            f"{grant.privilege} on all {grant.objects} that {grant.role} makes from now on goes to {who}",
            by_owner_of(
                catalogue,
                grant.role,
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {grant.role}{within} "
                f"REVOKE {grant.privilege} ON {grant.objects} FROM {who}",
            ),
        )


def _of_application(catalogue: Catalogue) -> Iterator[Grant]:
    return (grant for grant in catalogue.grants if grant.grantee in catalogue.application)


def _is_declared(grant: Grant, allowed: dict[str, frozenset[str]]) -> bool:
    return not grant.of_system and grant.privilege in allowed.get(grant.kind, ())


def _fault(catalogue: Catalogue, grant: Grant, *, option_only: bool = False) -> Fault:
    """Return the fault of one privilege; `option_only` where nothing but the right to give it on is too much."""
    who = grantee(grant.grantee)
    words = f"{grant.privilege} {grant.kind.lower()} {grant.object}{', and give that on' if grant.grantable else ''}"
    return Fault(
        f"{grant.privilege} ON {grant.kind} {grant.object} TO {who}",
        f"{'everybody' if grant.grantee == PUBLIC else who} may {words}",
        revoke(catalogue, grant, option_only=option_only),
    )
